"""What a fork's checkpoint has to have in common with its settings, and what it takes of them: with a small network of torch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench.problems import Problem
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.project import TorchProject
from workbench.training import fitting
from workbench.training.project import Batches, Project, Settings


class Small(TorchProject):
    """A network of one layer."""

    class Config(Settings):
        hidden: int = 4
        """Units."""
        layers: int = 1
        """Layers."""
        optimizer: str = "adam"
        """Update rule."""
        decay: float = 0.0
        """Weight decay."""
        examples: int = 40
        """Examples."""

    def build_data(self) -> None:
        self.x = np.zeros((self.config.examples, 3), np.float32)

    def build_model(self) -> None:
        layers = [nn.Linear(3, self.config.hidden), *(nn.Linear(4, 4) for _ in range(self.config.layers - 1))]
        self.network = nn.Sequential(*layers)
        kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        self.optimizer = kinds[self.config.optimizer](self.network.parameters(), lr=0.1, weight_decay=self.config.decay)
        self.scale = np.ones(2)

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        return Batches((self.x,), 10, rng)


def built(**config: Any) -> Project:
    project = Small(Small.Config(**config), Train(), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


def tree(project: Project) -> dict[str, Any]:
    network, optimizer = project.network, project.optimizer  # type: ignore[attr-defined]
    network(torch.zeros(2, 3)).sum().backward()
    optimizer.step()
    saved = {"state": project.state(), "epoch": 0, "per_epoch": 4, "batch": 7}
    return project.decode_state(project.encode_state(saved))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"hidden": 5},
            r"does not fit config\.hidden: network\.0\.weight is 4 × 3 there and 5 × 3 here; network\.0\.bias is 4 there and 5",
        ),
        ({"layers": 2}, r"does not fit config\.layers: Error\(s\) in loading state_dict"),
        ({"optimizer": "sgd"}, r"does not fit config\.optimizer: the optimizer of the checkpoint has no momentum"),
        ({"examples": 60}, r"counts 4 batches in an epoch, and with config\.examples there are 6"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(config: dict[str, Any], sentence: str) -> None:
    saved = tree(built())
    with pytest.raises(Problem, match=sentence) as refused:
        fitting.fit(built(**config), saved, [f"config.{name}" for name in config])
    assert refused.value.cause == "fit" and refused.value.hint.startswith("Keep config.")


def test_an_optimizer_takes_the_settings_of_the_fork_and_keeps_its_memory() -> None:
    """Without that the checkpoint would bring the weight decay of before back, and AdamW would go on as Adam, in silence."""
    saved = tree(built())
    project = built(decay=0.3, optimizer="adamw")
    fitting.fit(project, saved, ["config.decay", "config.optimizer"])
    project.load_state(saved["state"])
    (group,) = project.optimizer.param_groups  # type: ignore[attr-defined]
    assert group["weight_decay"] == 0.3 and group["lr"] == 0.1 and group["decoupled_weight_decay"] is True
    assert next(iter(project.optimizer.state.values()))["step"] == 1  # type: ignore[attr-defined]
    assert saved["batch"] is None  # that its batches are others is what was asked for


def test_an_array_of_another_shape_would_be_replaced_in_silence() -> None:
    saved = tree(built())
    saved["state"]["scale"] = np.ones(3)
    project = built()
    project.trained_arrays = lambda: {"scale": project.scale}  # type: ignore[method-assign, attr-defined]
    with pytest.raises(Problem, match=r"scale is 3 there and 2 here"):
        fitting.fit(project, saved, ["config.hidden"])
