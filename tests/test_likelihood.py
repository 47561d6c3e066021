"""Likelihood and cross-entropy: the notes' two models, softmax and its gradient, two classes against the sigmoid, no overflow."""

import warnings
from typing import Any

import numpy as np
import pytest
from exploring import asked

from workbench.problems import Problem
from workbench.projects.neural_networks.likelihood import binary_cross_entropy, cross_entropy, log_softmax, one_hot

NAME = "likelihood"


def column(events: dict[str, Any], tag: str, name: str) -> list[Any]:
    table = events[tag]
    return [row[table.columns.index(name)] for row in table.rows]


def test_the_notes_two_models() -> None:
    events = asked(NAME)
    assert column(events, "models", "product") == pytest.approx([0.0084, 0.3024], rel=1e-9)
    assert column(events, "models", "sum of −ln p") == pytest.approx([4.779524, 1.196005], abs=5e-7)
    assert column(events, "points", "first p") == [0.6, 0.2, 0.1, 0.7]
    assert column(events, "points", "−ln p") == pytest.approx([0.510826, 1.609438, 2.302585, 0.356675], abs=5e-7)


def test_softmax_loss_and_gradient() -> None:
    events = asked(NAME)
    assert column(events, "softmax", "p") == pytest.approx([0.665241, 0.244728, 0.090031], abs=5e-7)
    assert column(events, "softmax", "one-hot y") == [1, 0, 0]
    assert column(events, "softmax", "p − y") == pytest.approx([-0.334759, 0.244728, 0.090031], abs=5e-7)
    assert column(events, "loss", "value") == [pytest.approx(0.407606, abs=5e-7), "–"]


def test_the_gradient_is_the_loss_s_by_finite_differences() -> None:
    scores = np.array([0.3, -1.2, 2.0, 0.1])
    target = one_hot(2, 4)
    slopes = [
        (cross_entropy(log_softmax(scores + step), target) - cross_entropy(log_softmax(scores - step), target)) / 2e-5
        for step in 1e-5 * np.eye(4)
    ]
    assert column(asked(NAME, scores=[scores.tolist()], label=2), "softmax", "p − y") == pytest.approx(slopes, rel=1e-7)


def test_two_classes_are_the_sigmoid() -> None:
    events = asked(NAME, scores=[[1, 0]])
    assert column(events, "softmax", "p")[0] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-12) == pytest.approx(0.731059, abs=5e-7)
    softmax, binary = column(events, "loss", "value")
    assert softmax == pytest.approx(binary, abs=1e-12) == pytest.approx(0.313262, abs=5e-7)


def test_both_cross_entropies_agree_for_two_classes() -> None:
    """One is a sum over a softmax, the other a sigmoid's: on 300 pairs of scores, and on probabilities as targets."""
    rng = np.random.default_rng(0)
    for scores, target in zip(rng.normal(0, 20, (300, 2)), rng.uniform(size=300), strict=True):
        softmax = cross_entropy(log_softmax(scores), np.array([target, 1 - target]))
        assert softmax == pytest.approx(binary_cross_entropy(scores[0] - scores[1], target), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "p", "loss"), [([1000, 0], 1, 0), ([-1000, 0], 0, 1000), ([1000, 999], 0.731059, 0.313262), ([1000] * 6, 1 / 6, np.log(6))]
)
def test_scores_of_a_thousand_do_not_overflow(scores: list[float], p: float, loss: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        events = asked(NAME, scores=[scores])
    assert column(events, "softmax", "p")[0] == pytest.approx(p, abs=5e-7)
    assert column(events, "loss", "value")[0] == pytest.approx(loss, abs=5e-7)


def test_only_differences_of_scores_count() -> None:
    plain, raised = asked(NAME), asked(NAME, scores=[[502, 501, 500]])
    assert column(plain, "softmax", "p") == pytest.approx(column(raised, "softmax", "p"), rel=1e-12)


def test_a_probability_of_zero_is_infinitely_wrong_and_certainty_costs_nothing() -> None:
    events = asked(NAME, models=[[0, 1], [1, 1]])
    assert column(events, "models", "product") == [0, 1] and column(events, "models", "sum of −ln p") == [np.inf, 0]


def test_the_probabilities_are_drawn_over_the_label_s_score() -> None:
    events = asked(NAME, label=3)
    curves = [events[f"probabilities/class {place}"] for place in (1, 2, 3)]
    assert np.sum([curve.y for curve in curves], axis=0) == pytest.approx(np.ones(49), rel=1e-12)
    assert curves[2].y == sorted(curves[2].y) and curves[0].x[24] == 0
    assert events["probabilities/now"].x == [0] and events["probabilities/now"].y == pytest.approx([curves[2].y[24]])
    assert events["softmax"].rows[2][3] == 1 and column(events, "loss", "value")[0] == pytest.approx(2.407606, abs=5e-7)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"label": 4}, "label must be from 1 to 3, the classes that have a score, not 4."),
        ({"label": 0}, "label must be at least 1, not 0"),
        ({"scores": [[1]]}, "scores.0 must have 2 or more items, not 1"),
        ({"scores": [[1, 1001]]}, "scores.0.1 must be at most 1000, not 1001"),
        ({"models": [[0.5, 1.1], [0.5, 0.5]]}, "models.0.1 must be at most 1, not 1.1"),
        ({"models": [[0.5, 0.1], [0.5]]}, "models: all rows must have equally many numbers, not 1 and 2."),
        ({"models": [[float("nan")], [0.5]]}, "models"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
