"""One network from seven starts: its size, how weights begin, what zeros and equal units cannot learn, and the order of the rest."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from stepping import measured, shuffled, train

from workbench.datasets import images
from workbench.datasets.labelled_images import ImageData
from workbench.events import Curve, Images, Scalars, Table
from workbench.projects.convolutional_networks.weight_init import WeightInit, linear_layers
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train

STARTS = ["zeros", "ones", "uniform-0-1", "uniform-0.5", "uniform-rule", "normal-rule", "default"]


@cache
def part() -> ImageData:
    """Some of the real clothes: to read all costs a second for each test."""
    data = images.read("fashion-mnist")
    return ImageData(data.train[:6000], data.valid[:1000], data.test[:1000], data.classes)


@pytest.fixture(autouse=True)
def few(mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = part()
    monkeypatch.setattr("workbench.projects.convolutional_networks.weight_init.images.read", lambda name: data)


def built(initialisation: str = "default", **config: Any) -> WeightInit:
    settings = {**load_recipe(find_recipe("weight-init")).recipe.config, "initialisation": initialisation, **config}
    project = WeightInit(WeightInit.Config(**settings), Train(batch_size=100, epochs=2), Compute(device="cpu", threads=1), 1)
    project.build()
    return project


def test_the_network_and_its_settings_are_the_course_s() -> None:
    recipe = load_recipe(find_recipe("weight-init")).recipe
    project = built()
    assert sum(weight.numel() for weight in project.network.parameters()) == 235_146
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.config["learning_rate"]) == (2, 100, 0.001)
    assert [layer.p for layer in project.network if isinstance(layer, torch.nn.Dropout)] == [0.2, 0.2]


@pytest.mark.parametrize("start", STARTS)
def test_weights_begin_as_they_are_called(start: str) -> None:
    layers = linear_layers(built(start).network)
    assert [layer.in_features for layer in layers] == [784, 256, 128]
    for layer in layers:
        weights, rule = layer.weight.detach(), 1 / math.sqrt(layer.in_features)
        low, high, deviation = {
            "zeros": (0, 0, 0),
            "ones": (1, 1, 0),
            "uniform-0-1": (0, 1, 1 / math.sqrt(12)),
            "uniform-0.5": (-0.5, 0.5, 1 / math.sqrt(12)),
            "normal-rule": (-5 * rule, 5 * rule, rule),
        }.get(start, (-rule, rule, rule / math.sqrt(3)))
        assert low <= weights.min() and weights.max() <= high
        assert float(weights.std()) == pytest.approx(deviation, rel=0.05)
        assert bool(layer.bias.any()) == (start == "default")


def test_pytorch_s_default_is_the_rule() -> None:
    """The course says that the default is another one: it is Kaiming's with a = √5, and that is ±1/√n."""
    first = linear_layers(built().network)[0].weight.detach()
    assert float(first.abs().max()) == pytest.approx(0.0357143, abs=1e-6) and math.sqrt(6 / (6 * 784)) == pytest.approx(0.0357143, abs=5e-8)


def test_zeros_stay_at_guessing_and_only_the_last_biases_learn() -> None:
    project = built("zeros")
    losses = [step["loss"] for step in train(project, 60)]
    assert np.mean(losses[-30:]) == pytest.approx(math.log(10), abs=0.01)
    *hidden, last = linear_layers(project.network)
    assert not any(layer.weight.any() or layer.bias.any() for layer in hidden) and not last.weight.any()
    assert last.bias.any()


def test_units_that_begin_equal_stay_equal_without_dropout() -> None:
    project = built("ones", dropout=0.0)
    train(project, 20)
    first, second, _ = linear_layers(project.network)
    for layer in (first, second):
        assert not torch.equal(layer.weight, torch.ones_like(layer.weight))
        torch.testing.assert_close(layer.weight, layer.weight[:1].expand_as(layer.weight), rtol=1e-4, atol=1e-6)
    # With dropout each unit sees other steps: chance alone makes them differ.
    project = built("ones")
    train(project, 20)
    weights = linear_layers(project.network)[0].weight
    assert float((weights - weights[:1]).detach().abs().max()) > 1e-3


def test_after_sixty_steps_only_the_right_sizes_have_learnt() -> None:
    loss = {start: float(np.mean([step["loss"] for step in train(built(start), 60)][-20:])) for start in STARTS}
    rules = [loss[start] for start in ("uniform-rule", "normal-rule", "default")]
    assert max(rules) < 1.2 < loss["uniform-0.5"] < min(loss["uniform-0-1"], loss["ones"])
    assert loss["zeros"] == pytest.approx(math.log(10), abs=0.02)
    assert max(rules) - min(rules) < 0.1, "the rest cannot be ranked"


def test_it_learns_and_nothing_from_shuffled_labels() -> None:
    project = built()
    train(project, 60)
    first = next(event.values for event in measured(project) if isinstance(event, Scalars))
    assert first["accuracy"] > 0.7
    project = shuffled(built())
    train(project, 60)
    assert next(event.values for event in measured(project) if isinstance(event, Scalars))["accuracy"] < 0.25


def test_what_is_shown() -> None:
    project = built("normal-rule")
    train(project, 5)
    with project.evaluating():
        spread, before, after, table, units = project.sample(project.Request(layer=2, examples=100))
    assert isinstance(spread, Curve) and len(spread.x) == 4
    assert isinstance(before, Curve) and isinstance(after, Curve) and before.y != after.y and sum(after.y) == pytest.approx(1)
    assert isinstance(table, Table) and [row[4] for row in table.rows] == ["256 of 256", "128 of 128", "10 of 10"]
    assert table.rows[0][:3] == ["layer 1", 784, pytest.approx(1 / 28)]
    assert isinstance(units, Images) and len(units.captions) == 32
    with (equal := built("ones")).evaluating():
        table = list(equal.sample(equal.Request()))[3]
    assert isinstance(table, Table) and table.rows[0][4] == "1 of 256"
