"""Gates from perceptrons: the notes' point and two models, every gate that a line can make, XOR that only three units can."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from exploring import asked, built

from workbench.problems import Problem
from workbench.projects.neural_networks.logic_gates import CORNERS, GATES, outputs

NAME = "logic-gates"
XOR = [[1, 1, -0.5], [-1, -1, 1.5], [1, 1, -1.5]]


def answers(events: dict[str, Any]) -> list[float]:
    return [row[-1] for row in events["truth table"].rows]


def test_the_notes_point_to_six_digits() -> None:
    events = asked(NAME)
    assert list(events) == ["truth table", "lines/points", "lines/output", "the point", "gates", "plane"]
    ((score, step, sigmoid),) = events["the point"].rows
    assert (score, step) == (2, 1) and sigmoid == pytest.approx(0.880797, abs=5e-7)


@pytest.mark.parametrize(("x1", "step", "sigmoid"), [(6.0, 1, 0.5), (5.9, 0, 0.450166), (7.0, 1, 0.880797)])
def test_a_score_of_zero_counts_as_positive(x1: float, step: float, sigmoid: float) -> None:
    ((_, stepped, probability),) = asked(NAME, x1=x1)["the point"].rows
    assert stepped == step and probability == pytest.approx(sigmoid, abs=5e-7)


@pytest.mark.parametrize(("w1", "w2", "bias", "probability"), [(1, 1, 0, 0.817574), (7, 5, -6, 0.947846)])
def test_two_models_are_combined(w1: float, w2: float, bias: float, probability: float) -> None:
    ((_, _, sigmoid),) = asked(NAME, w1=w1, w2=w2, bias=bias, x1=0.7, x2=0.8)["the point"].rows
    assert sigmoid == pytest.approx(probability, abs=5e-7)


@pytest.mark.parametrize(
    ("gate", "weights"), [("AND", (1, 1, -1.5)), ("OR", (1, 1, -0.5)), ("NAND", (-1, -1, 1.5)), ("NOR", (-1, -1, 0.5))]
)
def test_one_unit_makes_a_gate(gate: str, weights: tuple[float, float, float]) -> None:
    w1, w2, bias = weights
    events = asked(NAME, w1=w1, w2=w2, bias=bias, x1=0, x2=0)
    assert answers(events) == list(GATES[gate])
    agree = {row[0]: row[-1] for row in events["gates"].rows}
    assert agree[gate] == 4 and all(right < 4 for name, right in agree.items() if name != gate)


def test_no_weights_of_one_unit_make_xor() -> None:
    """A canned table would say that some do: all weights and biases on a grid agree with at most three rows."""
    grid = np.arange(-3, 3.5, 0.5)
    best = max(
        int((outputs(CORNERS, [[w1, w2, bias]], "step")[1][:, 0] == GATES["XOR"]).sum()) for w1, w2, bias in product(grid, grid, grid)
    )
    assert best == 3


def test_xor_is_and_of_or_and_nand() -> None:
    events = asked(NAME, network="three units")
    assert built(NAME).Request().units == XOR
    hidden_1, hidden_2, output = zip(*(row[2:] for row in events["truth table"].rows), strict=True)
    assert (hidden_1, hidden_2, output) == (GATES["OR"], GATES["NAND"], GATES["XOR"])
    assert "the point" not in events and len(events["lines/hidden 1"].x) == len(events["lines/hidden 2"].x) == 2


@pytest.mark.parametrize(("row", "column", "value"), [(0, 2, -1.5), (1, 0, 1), (2, 2, -0.5), (2, 0, -1)])
def test_a_changed_number_breaks_xor(row: int, column: int, value: float) -> None:
    """The cheat: x1·x2 as a hidden input, or a stored table, would not notice."""
    units = [list(unit) for unit in XOR]
    units[row][column] = value
    assert answers(asked(NAME, network="three units", units=units)) != list(GATES["XOR"])


def test_the_plane_and_the_line_belong_to_the_weights() -> None:
    events = asked(NAME, w1=1, w2=-1, bias=0, x1=0.25, x2=0.75)
    plane, line = np.array(events["plane"].values), events["lines/output"]
    assert plane.shape == (16, 36) and set(plane.ravel()) == {-0.5, 0.5}
    assert plane[0, 0] == -0.5 and plane[-1, -1] == 0.5  # top left: x1 small and x2 large
    assert line.x == pytest.approx(line.y) and (min(line.x), max(line.x)) == (-0.5, 1.5)
    # No weights, no direction: the plane is one side, and there is no line.
    empty = asked(NAME, w1=0, w2=0, bias=-1)
    assert empty["lines/output"].x == [] and set(np.ravel(empty["plane"].values)) == {-0.5}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"w1": float("nan")}, "w1"),
        ({"bias": 21}, "bias must be at most 20, not 21"),
        ({"x1": float("inf")}, "x1 must be at most 10, not inf"),
        ({"units": [[1, 1, 1], [1, 1, 1]]}, "units must have 3 items, not 2"),
        ({"units": [[1, 1], [1, 1], [1, 1]]}, "units.0 must have 3 items, not 2"),
        ({"network": "two units"}, "network must be one unit or three units, not 'two units'"),
        ({"w1": "one"}, "w1 must be a number, not 'one'"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
