"""Untrained networks: counts of parameters, probabilities that sum to 1, the loss of guessing, and weights that follow the seed."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from exploring import asked, built

from workbench.events import Curve, Images
from workbench.problems import Problem

STEM = "pytorch-networks"


@pytest.mark.parametrize(
    ("network", "parameters", "weights"),
    [
        ("784-256-10, sigmoid", 203_530, ["256 x 784", "10 x 256", ""]),
        ("784-128-64-10, ReLU", 109_386, ["128 x 784", "64 x 128", "10 x 64", ""]),
    ],
)
def test_parameters_and_the_loss_of_guessing(mirror: Path, network: str, parameters: int, weights: list[str]) -> None:
    project = built(STEM)
    shown = asked(STEM, project, network=network)
    assert shown["layers"].rows[-1] == ["total", "", "", parameters]
    assert [row[1] for row in shown["layers"].rows] == weights
    assert sum(row[3] for row in shown["layers"].rows[:-1]) == parameters
    assert shown[""].values["loss"] == pytest.approx(math.log(10), abs=0.25)
    curve = shown["probabilities"]
    assert isinstance(curve, Curve) and sum(curve.y) == pytest.approx(1, abs=1e-6) and all(0.02 < share < 0.25 for share in curve.y)
    with torch.no_grad():
        sums = project.network(network, 1)(project.pixels).softmax(1).sum(1)  # type: ignore[attr-defined]
    assert sums.tolist() == pytest.approx([1] * 64, abs=1e-6)


def test_the_answer_is_the_network_s_own_forward_pass(mirror: Path) -> None:
    project: Any = built(STEM)
    shown = asked(STEM, project, digit=5, seed=3)
    flat = project.pixels[5].flatten()
    network = project.network("784-128-64-10, ReLU", 3)
    first, second, last = (layer for layer in network if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        hidden = (second.weight @ (first.weight @ flat + first.bias).clamp(min=0) + second.bias).clamp(min=0)
        wanted = (last.weight @ hidden + last.bias).softmax(0)
    assert shown["probabilities"].y == pytest.approx(wanted.tolist(), abs=1e-6)
    assert isinstance(shown["digit"], Images) and shown["digit"].captions[0].endswith(f"is {int(project.labels[5])}")


def test_another_seed_has_other_weights_and_the_same_one_the_same(mirror: Path) -> None:
    project = built(STEM)
    first, again, other = (asked(STEM, project, seed=seed)["probabilities"].y for seed in (1, 1, 2))
    assert first == again != other


def test_pixels_are_normalised_as_in_the_course(mirror: Path) -> None:
    project: Any = built(STEM)
    assert project.pixels.shape == (64, 1, 28, 28)
    assert (project.pixels.min().item(), project.pixels.max().item()) == (-1, 1)


@pytest.mark.parametrize("fields", [{"digit": 64}, {"seed": -1}, {"network": "784-10"}])
def test_what_is_no_request_is_refused(mirror: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(Problem, match=next(iter(fields))):
        asked(STEM, **fields)
