"""Descent on a curve with two minima: its exact places, which momenta reach the global one, restarts, velocity, divergence."""

from typing import Any

import numpy as np
import pytest
from exploring import asked

from workbench.problems import Problem
from workbench.projects.neural_networks.descent_landscape import MOMENTA, RATES, descent, gradient, height

NAME = "descent-landscape"
LOCAL, GLOBAL = 1.130901, -1.300840


def test_the_exact_places() -> None:
    events = asked(NAME)
    places = {row[0]: row[1:] for row in events["places"].rows}
    assert places["global minimum"] == pytest.approx([GLOBAL, -3.513905], abs=5e-7)
    assert places["local minimum"] == pytest.approx([LOCAL, -1.070230], abs=5e-7)
    assert places["top"][0] == pytest.approx(0.169938, abs=5e-7)
    assert places["after 500 steps"] == pytest.approx([LOCAL, -1.070230], abs=5e-7) and places["start"] == [2, 6]


@pytest.mark.parametrize(
    ("rate", "reached"), [(0.01, {0.9, 0.95}), (0.02, {0.8, 0.9}), (0.05, {0.8})], ids=["rate 0.01", "rate 0.02", "rate 0.05"]
)
def test_momentum_helps_and_not_monotonically(rate: float, reached: set[float]) -> None:
    """A stored table would not follow the start: from the left side every setting ends global."""
    ends = asked(NAME)["where it ends"].values[RATES.index(rate)]
    assert {momentum for momentum, end in zip(MOMENTA, ends, strict=True) if end < 0} == reached
    assert [abs(end - (GLOBAL if momentum in reached else LOCAL)) < 0.01 for momentum, end in zip(MOMENTA, ends, strict=True)] == [True] * 5
    alone = [asked(NAME, rate=rate, momentum=momentum)["places"].rows[1][1] for momentum in MOMENTA]
    assert alone == pytest.approx(ends, abs=1e-12)


def test_the_table_of_ends_follows_the_start() -> None:
    ends = np.array(asked(NAME, start=-2)["where it ends"].values)
    assert (ends[:, :2] == pytest.approx(GLOBAL, abs=1e-6)) and (ends != np.array(asked(NAME)["where it ends"].values)).any()


def test_velocity_under_a_constant_gradient() -> None:
    rows = asked(NAME, momentum=0.9)["velocity"].rows
    assert [row[1] for row in rows] == pytest.approx([1, 1.9, 2.71, 10], rel=1e-12)


def test_random_starts() -> None:
    rows = {row[0]: row[1] for row in asked(NAME)["random starts"].rows}
    assert rows["1"] == pytest.approx(0.542, abs=1e-3) and rows["5"] == pytest.approx(0.980, abs=5e-4)
    ends = descent(np.random.default_rng(0).uniform(-2, 2, 4000), 0.01, 0.0, 500)[-1]
    assert np.mean(ends < 0) == pytest.approx(rows["1"], abs=0.025)


def test_a_step_goes_down_the_gradient_with_the_velocity() -> None:
    x = np.linspace(-2, 2, 9)
    assert gradient(x) == pytest.approx((height(x + 1e-5) - height(x - 1e-5)) / 2e-5, abs=1e-7)
    path = descent(np.array([2.0]), 0.01, 0.9, 2)[:, 0]
    first = 2 - 0.01 * 21
    assert path.tolist() == pytest.approx([2, first, first - 0.01 * (0.9 * 21 + (4 * first**3 - 6 * first + 1))], rel=1e-12)


def test_what_diverges_is_named_and_nothing_overflows() -> None:
    events = asked(NAME, start=2.5, rate=0.2)
    assert events["places"].rows[1] == ["diverged", "–", "–"]
    for event in events.values():
        assert not hasattr(event, "y") or np.isfinite(event.y).all()


def test_fewer_steps_show_it_on_its_way() -> None:
    events = asked(NAME, steps=3)
    assert len(events["path/x"].y) == 4 and events["path/x"].y[0] == 2 and events["places"].rows[1][0] == "after 3 steps"
    assert events["landscape/path"].labels[-1] == "end" and events["landscape/path"].x[-1] == events["path/x"].y[-1]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"start": 3}, "start must be at most 2.5, not 3"),
        ({"rate": 0}, "rate must be at least 0.001, not 0"),
        ({"momentum": 1}, "momentum must be at most 0.99, not 1"),
        ({"steps": 501}, "steps must be at most 500, not 501"),
        ({"start": float("nan")}, "start"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
