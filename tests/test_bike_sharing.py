"""Bike sharing: the course's own unit-test values, gradients against finite differences, learning on the real hours, and no torch."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from stepping import measured, scalars, train

from workbench.events import Curve, Table
from workbench.projects.neural_networks.bike_sharing import BikeSharing, sigmoid
from workbench.recipes.recipe import Compute, Train

# The inputs, target and weights of the course's unit tests (course.md 2.6 has their results).
INPUTS, TARGET = np.array([[0.5, -0.2, 0.1]]), np.array([[0.4]])
INPUT_TO_HIDDEN = [[0.1, -0.2], [0.4, 0.5], [-0.3, 0.2]]
HIDDEN_TO_OUTPUT = [[0.3], [-0.1]]


def made(seed: int = 1, **config: Any) -> BikeSharing:
    return BikeSharing(BikeSharing.Config(**config), Train(batch_size=128), Compute(device="cpu"), seed)


def of_the_course() -> BikeSharing:
    project = made(hidden=2, learning_rate=0.5)
    project.input_to_hidden = np.array(INPUT_TO_HIDDEN)
    project.hidden_to_output = np.array(HIDDEN_TO_OUTPUT)
    return project


def test_activation() -> None:
    assert sigmoid(np.array(0.5)) == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-15)
    with np.errstate(all="raise"):
        assert sigmoid(np.array([-1000.0, 0, 1000])).tolist() == [0, 0.5, 1]


def test_weight_updates() -> None:
    project = of_the_course()
    numbers = project.train_step((INPUTS, TARGET))
    assert numbers["loss"] == pytest.approx((0.4 - 0.09998924) ** 2, abs=1e-8)
    assert np.allclose(project.hidden_to_output, [[0.37275328], [-0.03172939]], rtol=0, atol=1e-8)
    expected = [[0.10562014, -0.20185996], [0.39775194, 0.50074398], [-0.29887597, 0.19962801]]
    assert np.allclose(project.input_to_hidden, expected, rtol=0, atol=1e-8)


def test_run() -> None:
    _, output = of_the_course().forward(INPUTS)
    assert output[0, 0] == pytest.approx(0.09998924, abs=1e-8)


def test_a_step_goes_down_the_gradient_of_half_the_mean_squared_error() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(7, 4)), rng.normal(size=(7, 1))
    project = made(hidden=3, learning_rate=1.0)
    project.input_to_hidden, project.hidden_to_output = rng.normal(size=(4, 3)), rng.normal(size=(3, 1))
    weights = [project.input_to_hidden, project.hidden_to_output]

    def half_error() -> float:
        return float(np.mean((target - project.forward(features)[1]) ** 2)) / 2

    numeric = [np.zeros_like(weight) for weight in weights]
    for weight, slope in zip(weights, numeric, strict=True):
        for place in np.ndindex(weight.shape):
            kept = weight[place]
            weight[place] = kept + 1e-5
            above = half_error()
            weight[place] = kept - 1e-5
            slope[place] = (above - half_error()) / 2e-5
            weight[place] = kept
    before = [weight.copy() for weight in weights]
    project.train_step((features, target))
    for old, new, slope in zip(before, weights, numeric, strict=True):
        assert np.allclose(old - new, slope, rtol=0, atol=1e-9)


def test_it_learns_and_nothing_from_shuffled_targets(mirror: Any) -> None:
    learnt, misled = made(), made()
    for project in (learnt, misled):
        project.build()
    untrained = scalars(learnt)["loss"]
    np.random.default_rng(0).shuffle(misled.data.train.target)
    for project in (learnt, misled):
        train(project, 600)
    assert scalars(learnt)["loss"] < untrained - 0.7
    assert scalars(misled)["loss"] > untrained - 0.3


def test_the_recipe_meets_both_bars(mirror: Any) -> None:
    project = made()
    project.build()
    train(project, 10_000)
    values = scalars(project)
    assert values["loss/training_hours"] < 0.09 and values["loss"] < 0.18
    assert scalars(project, "test")["rmse"] < 90


def test_batches_are_drawn_with_replacement_and_can_be_skipped(mirror: Any) -> None:
    project = made()
    project.build()
    rows = project.data.train.features
    batches = project.batches(0, np.random.default_rng(3))
    made_all = list(batches)
    assert len(batches) == len(made_all) == 15_435 // 128
    assert {len(target) for _, target in made_all} == {128}
    drawn = np.concatenate([features for features, _ in made_all])
    # Of n draws from n, 1 - 1/e are different ones.
    share = len(np.unique(drawn, axis=0)) / len(np.unique(rows, axis=0))
    assert share == pytest.approx(1 - np.exp(-1), abs=0.03)
    again = project.batches(0, np.random.default_rng(3))
    again.skip(100)
    assert np.array_equal(next(iter(again))[0], made_all[100][0])


def test_the_forecast_is_of_the_last_21_days_in_riders(mirror: Any) -> None:
    project = made()
    project.build()
    train(project, 2000)
    truth, network = (event for event in project.sample(project.Request()) if isinstance(event, Curve))
    assert (truth.tag, network.tag) == ("forecast/truth", "forecast/network")
    assert truth.x == network.x and len(truth.x) == 504 and truth.x[-1] == pytest.approx(31 + 23 / 24, abs=1e-3)
    error = np.sqrt(np.mean((np.array(network.y) - np.array(truth.y)) ** 2))
    assert scalars(project, "test")["rmse"] == pytest.approx(error, abs=0.05)
    table = next(event for event in measured(project, "test") if isinstance(event, Table))
    rows = {str(name): float(value) for name, value in table.rows}
    assert rows["the same hour a week earlier"] == pytest.approx(122, abs=0.5)
    assert rows["the network, to 21 December"] < rows["the network"] < rows["the network, from 22 December"]
    assert rows["the network"] < rows["the same hour a week earlier"] < rows["always the mean"]


def test_state_comes_back_in_place(mirror: Any) -> None:
    project, other = made(), made(seed=2)
    for each in (project, other):
        each.build()
    train(project, 5)
    weights = other.input_to_hidden
    other.load_state(other.decode_state(project.encode_state(project.state())))
    assert other.input_to_hidden is weights
    assert np.array_equal(weights, project.input_to_hidden)
    assert scalars(other) == scalars(project)


def test_torch_is_never_imported(mirror: Any) -> None:
    script = """
import sys
import numpy as np
from workbench.projects.neural_networks.bike_sharing import BikeSharing
from workbench.recipes.recipe import Compute, Train
project = BikeSharing(BikeSharing.Config(), Train(batch_size=128), Compute(), 1)
project.build()
for batch in project.batches(0, np.random.default_rng(0)):
    project.train_step(batch)
for split in ("valid", "test"):
    list(project.evaluate(split))
list(project.sample(project.Request()))
project.decode_state(project.encode_state(project.state()))
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"torch", "torchvision", "sklearn", "pandas", "pooch", "textual"}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
