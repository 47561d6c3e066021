"""The table of a network: its layers, shapes, parameters; that it leaves nothing behind, and that no project is too odd for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from test_loop import attempt
from torch import nn

from workbench.events import Event, Scalars, Table
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.layers import cnn
from workbench.torchkit.project import TorchProject
from workbench.torchkit.summary import in_words, network_table
from workbench.training.project import Project


def test_each_layer_has_its_shape_parameters_and_memory() -> None:
    network = cnn((1, 8, 8), [[4], [6]], [5], 3, 0.1)
    network[0].requires_grad_(False)
    table = network_table({"network": network}, {"network": (torch.zeros(2, 1, 8, 8),)})
    assert table
    rows = {str(row[0]): row[1:] for row in table.rows}
    assert rows["0"] == ["Conv2d, frozen", "2 x 4 x 8 x 8", 36, in_words(4 * (36 + 2 * 4 * 64))]
    # gamma and beta; and as buffers mean, variance, and a count of eight bytes
    assert rows["1"] == ["BatchNorm2d", "2 x 4 x 8 x 8", 8, in_words(4 * (8 + 8 + 2 * 4 * 64) + 8)]
    assert rows["3"][:3] == ["MaxPool2d", "2 x 4 x 4 x 4", 0]
    assert rows["10"] == ["Linear", "2 x 5", 6 * 2 * 2 * 5 + 5, in_words(4 * (125 + 10))]
    assert rows["total"][2] == sum(each.numel() for each in network.parameters())
    assert not any(layer._forward_hooks for layer in network.modules())


def test_several_networks_are_told_apart_and_what_two_share_counts_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    table = network_table({"a": nn.Sequential(first), "b": second}, {"a": (torch.zeros(1, 3),)})
    assert table and [row[0] for row in table.rows] == ["a.0", "b", "total"]
    assert [row[2:4] for row in table.rows] == [["1 x 3", 12], ["", 3], ["", 15]]
    assert network_table({}, {}) is None and network_table({"empty": nn.Sequential()}, {}) is None


class Odd(TorchProject):
    """One weight and no module; or a network that is called with what it cannot take."""

    class Config(Project.Config):
        network: bool = False
        """have a network"""

    def build_model(self) -> None:
        self.weight = torch.zeros(1, requires_grad=True)
        if self.config.network:
            self.network = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (torch.zeros(5, 7),)} if self.config.network else {}

    def batches(self, epoch: int, rng: np.random.Generator) -> Any:
        return [1.0] * 4

    def train_step(self, batch: float) -> dict[str, Any]:
        return {"loss": (self.weight - torch.rand(1)).square()}

    def evaluate(self, split: str) -> Iterator[Event]:
        yield Scalars({"loss": float(self.weight)})


def test_a_run_has_it_once_and_what_cannot_be_summarized_trains_all_the_same(tmp_path: Path, capsys: Any) -> None:
    for name, config in (("none", {}), ("wrong", {"network": True})):
        history, _ = attempt(Odd, tmp_path / name, Train(epochs=1, log_every=1), config)
        assert history.status.state == "finished"
        assert "model/network" not in history.samples
    assert "mat1 and mat2" in capsys.readouterr().err


class Plain(Odd):
    """The same with a network that has no example."""

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {}


def test_it_is_logged_once_at_step_0_and_changes_no_random_number(tmp_path: Path) -> None:
    history, project = attempt(Plain, tmp_path / "whole", Train(epochs=2, log_every=1), {"network": True})
    [table] = history.samples["model/network"].events
    assert isinstance(table, Table) and table.step == 0
    assert [row[:4] for row in table.rows] == [["0", "Linear", "", 2], ["total", "1 layers", "", 2]]
    for cut in (2, 6):  # before and after what there is to go on from
        folder = tmp_path / f"cut{cut}"
        attempt(Plain, folder, Train(epochs=2, log_every=1, checkpoint_every=3), {"network": True}, die_at=cut)
        resumed, _ = attempt(Plain, folder, Train(epochs=2, log_every=1, checkpoint_every=3), {"network": True}, number=2)
        assert len(resumed.samples["model/network"].events) == 1
        assert list(resumed.series["train/loss"].values) == list(history.series["train/loss"].values)
    without = Odd(Odd.Config(), Train(epochs=2), Compute(), 1)
    without.build()
    assert project.state().keys() == {"weight", "network"} and without.state().keys() == {"weight"}
