"""Activations: exact derivatives, what ten layers leave, finite differences, saturation and dead units."""

from typing import Any

import numpy as np
import pytest
from exploring import asked

from workbench.problems import Problem
from workbench.projects.neural_networks.activations import NAMES, activated, derivative

NAME = "activations"


def row(events: dict[str, Any], activation: str) -> list[Any]:
    return next(cells[1:] for cells in events["at the sum"].rows if cells[0] == activation)


def test_the_exact_derivatives() -> None:
    events = asked(NAME)
    assert row(events, "sigmoid") == [0.5, 0.25, 0.25**10]
    assert row(asked(NAME, sum=2), "sigmoid")[1] == pytest.approx(0.104994, abs=5e-7)
    assert row(asked(NAME, sum=1), "tanh")[1] == pytest.approx(0.419974, abs=5e-7)
    assert events["gradient/sigmoid"].y[10] == pytest.approx(np.log10(0.25**10), rel=1e-12)


def test_one_layer_loses_three_quarters_and_two_93_75_percent() -> None:
    lost = {cells[0]: cells[1:] for cells in asked(NAME)["lost by sigmoid"].rows}
    assert lost["1"] == [0.25, "75 %"] and lost["2"] == [0.0625, "93.75 %"] and lost["10"][0] == pytest.approx(9.53674e-07, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_the_functions(name: str) -> None:
    sums = np.linspace(-5.95, 5.95, 120)
    slopes = (activated(name, sums + 1e-5) - activated(name, sums - 1e-5)) / 2e-5
    assert derivative(name, sums) == pytest.approx(slopes, abs=1e-9)
    events = asked(NAME, activation=name, sum=1.5)
    assert events["derivative/now"].y == [float(derivative(name, np.array(1.5)))] and events["value/now"].x == [1.5]


def test_ten_layers_are_the_product_of_ten_derivatives() -> None:
    """Back-propagation through ten units of one weight, by finite differences through all of them at once."""

    def through(sum_: float) -> float:
        value = sum_
        for _ in range(10):
            # Shifted so that every layer gets the same sum.
            value = 0.3 + 2.0 * (float(activated("tanh", np.array(value))) - float(activated("tanh", np.array(0.3))))
        return value

    slope = (through(0.3 + 1e-5) - through(0.3 - 1e-5)) / 2e-5
    assert float(row(asked(NAME, sum=0.3, weight=2), "tanh")[2]) == pytest.approx(slope, rel=1e-5)


def test_saturation_dead_units_and_explosion() -> None:
    assert row(asked(NAME, sum=-1), "relu") == [0, 0, 0]
    assert row(asked(NAME, sum=-1), "leaky relu")[:2] == [-0.01, 0.01]
    assert row(asked(NAME, sum=0, weight=4), "sigmoid")[2] == 1
    assert float(row(asked(NAME, sum=0, weight=5), "sigmoid")[2]) > 9
    dead = asked(NAME, activation="relu", sum=-1)
    assert dead["gradient/relu"].y == [0] and "gradient/now" not in dead and dead["lost by relu"].rows[0][2] == "100 %"
    assert row(asked(NAME, weight=0), "sigmoid")[2] == 0


def test_every_curve_is_finite_at_the_ends() -> None:
    for fields in ({"sum": -6, "layers": 30}, {"sum": 6, "layers": 30, "weight": 5}):
        for event in asked(NAME, **fields).values():
            assert not hasattr(event, "y") or np.isfinite(event.y).all()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sum": 7}, "sum must be at most 6.0, not 7"),
        ({"sum": float("nan")}, "sum"),
        ({"layers": 0}, "layers must be at least 1, not 0"),
        ({"activation": "softplus"}, "activation must be sigmoid or tanh or relu or leaky relu, not 'softplus'"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
