"""A line between points: the course's exact figures, both rules against their definitions, and where the line is drawn."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.datasets import points
from workbench.events import Curve, Scalars, Scatter
from workbench.problems import Problem
from workbench.projects.neural_networks.linear_boundary import LinearBoundary, crossing
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Train


def built(seed: int, rule: str, batch_size: int = 1, **config: Any) -> LinearBoundary:
    project = LinearBoundary(LinearBoundary.Config(rule=rule, **config), Train(batch_size=batch_size), Compute(device="cpu"), seed)
    project.build()
    return project


def epochs(project: LinearBoundary, number: int) -> list[dict[str, float]]:
    """Trains, and measures after each epoch."""
    found = []
    for epoch in range(number):
        for batch in project.batches(epoch, np.random.default_rng(0)):
            project.train_step(batch)
        found.append(measured(project))
    return found


def measured(project: LinearBoundary) -> dict[str, float]:
    (event,) = project.evaluate("valid")
    assert isinstance(event, Scalars)
    return {tag.partition("/")[0]: value for tag, value in event.values.items()}


def test_gradient_descent_gives_the_course_s_figures(mirror: Any) -> None:
    found = epochs(built(44, "gradient descent"), 100)
    assert found[0] == pytest.approx({"loss": 0.7135845195381634, "accuracy": 0.40, "misclassified": 60}, rel=1e-12)
    assert found[90] == pytest.approx({"loss": 0.3379273658879921, "accuracy": 0.94, "misclassified": 6}, rel=1e-12)
    assert found[99] == pytest.approx({"loss": 0.32489877590283334, "accuracy": 0.94, "misclassified": 6}, rel=1e-12)


@pytest.mark.parametrize("seed", [1, 3, 42, 44])
def test_a_perceptron_gets_92_to_93_points_right(mirror: Any, seed: int) -> None:
    project = built(seed, "perceptron")
    assert measured(project)["accuracy"] == 0.5
    found = epochs(project, 25)
    assert found[-1]["accuracy"] in (0.92, 0.93)


def test_the_gradient_of_the_batch_is_the_mean_of_all_single_gradients(mirror: Any) -> None:
    def moved(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
        project = built(44, "gradient descent", average=True, learning_rate=1)
        before = np.append(project.weights, project.bias)
        project.train_step((points, labels))
        return np.append(project.weights, project.bias) - before

    points, labels = built(44, "gradient descent").points, built(44, "gradient descent").labels
    single = [moved(points[place : place + 1], labels[place : place + 1]) for place in range(100)]
    assert moved(points, labels) == pytest.approx(np.mean(single, axis=0), abs=1e-12)
    # A point's own gradient is another one: what makes stochastic descent noisy.
    assert np.std(single, axis=0).min() > 0.1


def test_smaller_batches_lower_the_loss_further_by_points_and_not_by_steps(mirror: Any) -> None:
    recipe = load_recipe(find_recipe("batch-or-stochastic")).recipe
    last, early, rises = {}, {}, {}
    for size in (100, 10, 1):
        project = built(recipe.seed, batch_size=size, **recipe.config)
        for epoch in range(recipe.train.epochs):
            for step, batch in enumerate(project.batches(epoch, np.random.default_rng([recipe.seed, epoch]))):
                project.train_step(batch)
                if epoch * (100 // size) + step == 19:
                    early[size] = measured(project)["loss"]
        *_, curve = project.sample(project.Request())
        assert isinstance(curve, Curve) and curve.tag == "loss by points seen"
        assert (curve.x[0], curve.x[-1], len(curve.x)) == (0, 2000, 201 if size < 100 else 21)
        last[size], rises[size] = curve.y[-1], int((np.diff(curve.y) > 0).sum())
        assert last[size] == pytest.approx(measured(project)["loss"])
    assert last[1] < last[10] < last[100] - 0.2
    # After 20 steps the large batch has seen 2,000 points, and batches of 10 a tenth, for the same loss.
    assert early[100] == last[100] and early[10] == pytest.approx(early[100], abs=0.05)
    assert rises[100] == 0 and rises[1] > 50


@pytest.mark.parametrize(("rule", "number"), [("perceptron", 25), ("gradient descent", 100)])
def test_nothing_is_learnt_from_shuffled_classes(mirror: Any, rule: str, number: int) -> None:
    project = built(44, rule)
    np.random.default_rng(0).shuffle(project.labels)
    last = epochs(project, number)[-1]
    assert last["accuracy"] < 0.7
    if rule == "gradient descent":
        assert last["loss"] > 0.6


def test_the_course_s_worked_perceptron_moves_by_the_rate_times_the_point(mirror: Any) -> None:
    project = built(1, "perceptron")
    project.config = project.config.model_copy(update={"learning_rate": 0.1})
    project.weights, project.bias = np.array([3.0, 4.0]), -10.0
    assert project.train_step((np.array([[4.0, 5.0]]), np.array([0.0])))["loss"] == 22  # called one, and wrongly
    assert project.weights == pytest.approx([2.6, 3.5]) and project.bias == pytest.approx(-10.1)
    before = project.weights.copy()
    assert project.train_step((np.array([[4.0, 5.0]]), np.array([1.0])))["loss"] == 0  # rightly: it stays where it is
    assert np.array_equal(project.weights, before)


def test_a_step_goes_down_the_gradient_of_the_log_loss(mirror: Any) -> None:
    project = built(3, "gradient descent")
    batch = (project.points[:7], project.labels[:7])

    def loss(weights: np.ndarray, bias: float) -> float:
        chance = 1 / (1 + np.exp(-(batch[0] @ weights + bias)))
        return float(-np.sum(batch[1] * np.log(chance) + (1 - batch[1]) * np.log(1 - chance)))

    weights, bias = project.weights.copy(), project.bias
    moves = [np.array(each) for each in ((1e-5, 0), (0, 1e-5))]
    slope = [(loss(weights + move, bias) - loss(weights - move, bias)) / 2e-5 for move in moves]
    slope.append((loss(weights, bias + 1e-5) - loss(weights, bias - 1e-5)) / 2e-5)
    assert project.train_step(batch)["loss"] * 7 == pytest.approx(loss(weights, bias))
    went = (np.append(weights, bias) - np.append(project.weights, project.bias)) / 0.01
    assert went == pytest.approx(slope, abs=1e-8)


def test_the_line_is_drawn_where_the_score_is_zero(mirror: Any) -> None:
    project = built(44, "gradient descent")
    epochs(project, 30)
    dots, line = project.sample(project.Request())
    assert isinstance(dots, Scatter) and isinstance(line, Curve)
    assert (dots.tag, line.tag) == ("boundary/points", "boundary/line")
    assert len(dots.x) == 100 and dots.labels.count("one") == 50
    ends = np.stack([line.x, line.y], axis=1)
    assert len(ends) == 2 and project.score(ends) == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("weights", "bias", "ends"),
    [
        ((1, 0), -0.5, [(0.5, 0), (0.5, 1)]),
        ((0, 2), -1.0, [(0, 0.5), (1, 0.5)]),
        ((1, -1), 0.0, [(0, 0), (1, 1)]),
        ((1, 1), -0.5, [(0, 0.5), (0.5, 0)]),
        ((1, 1), -3.0, []),
        ((0, 0), 0.0, []),
    ],
)
def test_the_line_ends_at_the_edges(weights: Any, bias: float, ends: Any) -> None:
    found = crossing(np.array(weights, float), bias, np.zeros(2), np.ones(2))
    assert np.array(found) == pytest.approx(np.array(ends))


def test_both_recipes_are_the_course_s(mirror: Any) -> None:
    descent = load_recipe(find_recipe("gradient-descent")).recipe
    assert (descent.seed, descent.train.epochs, descent.train.batch_size) == (44, 100, 1)
    assert LinearBoundary.Config(**descent.config).learning_rate == 0.01
    perceptron = load_recipe(find_recipe("perceptron")).recipe
    assert (perceptron.train.epochs, perceptron.train.batch_size, perceptron.config["rule"]) == (25, 1, "perceptron")


@pytest.mark.parametrize(
    ("line", "says"),
    [("0.5,nan,1", "line 2"), ("0.5,0.5", "line 2"), ("0.5,0.5,2", "line 2"), ("a,0.5,1", "line 2"), ("\x1b[2J,1,1", "line 2")],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "data.csv"
    file.write_text(f"0.1,0.2,1\n{line}\n")
    with pytest.raises(Problem, match=says) as raised:
        points.parse(file)
    assert "\x1b" not in str(raised.value)


def test_the_points_are_the_file_s(mirror: Path) -> None:
    found, labels = points.read()
    rows = list(csv.reader((mirror / "gradient_descent/data.csv").read_text().splitlines()))
    assert found.tolist() == [[float(x), float(y)] for x, y, _ in rows]
    assert labels.tolist() == [float(label) for _, _, label in rows]
