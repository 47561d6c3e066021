"""Back-propagation by hand: the notes' example to six digits, old weights in the error terms, no forward pass in the backward one."""

from typing import Any

import numpy as np
import pytest
from exploring import asked, built

from workbench.problems import Problem
from workbench.projects.neural_networks import backprop

NAME = "backprop-by-hand"
WIDE = {"x": [[0.5, -1.0, 0.2]], "W1": [[0.3, -0.8], [0.7, 0.4], [-1.2, 0.9]], "W2": [[1.5], [-0.6]], "y": 0.25}


def column(events: dict[str, Any], tag: str, name: str = "value") -> dict[str, float]:
    table = events[tag]
    return {row[0]: float(row[table.columns.index(name)]) for row in table.rows}


def test_the_course_s_example_to_six_digits() -> None:
    events = asked(NAME)
    forward, backward = column(events, "forward"), column(events, "backward")
    assert forward == {"h": -0.02, "a": 0.495, "o": 0.0495, "ŷ": 0.512372, "E": 0.11889}
    assert backward["δ output"] == pytest.approx(0.121832, abs=5e-7)
    assert backward["δ hidden"] == pytest.approx(0.00304550, rel=1e-6)
    assert backward["step W"] == pytest.approx(0.0301535, rel=2e-6)
    assert backward["step w1"] == pytest.approx(0.000152275, abs=5e-10)
    assert backward["step w2"] == pytest.approx(0.000456825, abs=5e-10)
    assert list(events) == ["forward", "backward", "finite differences", "weights", "error/over steps", "error/now"]


def test_the_first_step_moves_the_weights_and_lowers_the_error() -> None:
    before, after = asked(NAME), asked(NAME, steps=1)
    assert column(after, "forward")["ŷ"] == pytest.approx(0.516102, abs=5e-7)
    errors = before["error/over steps"].y
    assert errors[:2] == pytest.approx([0.118890, 0.117079], abs=5e-7) and len(errors) == 51
    assert (before["error/now"].x, before["error/now"].y) == ([0], errors[:1])
    assert (after["error/now"].x, after["error/now"].y) == ([1], errors[1:2])
    start, now, then = np.array(before["weights"].values).T
    assert start.tolist() == now.tolist() == [0.4, -0.2, 0.1]
    assert then - now == pytest.approx([0.000152275, 0.000456825, 0.0301535], rel=1e-5)
    assert np.array(after["weights"].values)[:, 1].tolist() == then.tolist()


def test_the_hidden_error_term_uses_the_weight_from_before_the_step() -> None:
    """The trap: with W2 after its step, 0.130153, the hidden error term would be 0.003965."""
    project = built(NAME)
    request = project.Request()
    weights, x = backprop.checked(request)
    terms = backprop.backward(weights, x, backprop.forward(weights, x, request), request)
    slope = 0.4950001667 * (1 - 0.4950001667)
    assert terms.hidden[0] == pytest.approx(0.1 * terms.output * slope, rel=1e-9)
    assert terms.hidden[0] != pytest.approx((0.1 + terms.step2[0]) * terms.output * slope, rel=0.1)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "linear"])
@pytest.mark.parametrize("error", ["squared", "cross-entropy"])
@pytest.mark.parametrize("steps", [0, 50])
def test_every_term_equals_its_finite_difference(activation: str, error: str, steps: int) -> None:
    backward = asked(NAME, activation=activation, error=error, steps=steps, **WIDE)
    values, differences = column(backward, "backward"), column(backward, "finite differences", "differences")
    assert len(values) == 1 + 2 + 2 + 6
    assert list(values.values()) == pytest.approx(list(differences.values()), rel=2e-5, abs=1e-9)


def test_back_propagation_makes_no_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheat: finite differences called back-propagation need two forward passes for each term."""
    passes: list[int] = []
    real = backprop.forward
    monkeypatch.setattr(backprop, "forward", lambda *args, **nudges: passes.append(1) or real(*args, **nudges))
    request = built(NAME).Request(**WIDE)
    weights, x = backprop.checked(request)
    now = backprop.forward(weights, x, request)
    passes.clear()
    terms = backprop.backward(weights, x, now, request)
    assert not passes
    checks = backprop.differences(weights, x, request)
    assert len(passes) == 2 * (1 + 2 + 2 + 6)
    # What is shown is the exact one: at a large nudge the two differ.
    monkeypatch.setattr(backprop, "NUDGE", 0.5)
    rough = backprop.differences(weights, x, request)
    assert terms.output == pytest.approx(checks.output, rel=1e-8) != pytest.approx(rough.output, rel=1e-3)
    shown = asked(NAME, **WIDE)
    assert column(shown, "backward")["δ output"] == pytest.approx(terms.output, rel=1e-5)
    assert column(shown, "finite differences", "differences")["δ output"] == pytest.approx(rough.output, rel=1e-5)


def test_zero_weights_above_pass_no_error_down() -> None:
    backward = column(asked(NAME, W2=[[0]]), "backward")
    assert backward["δ hidden"] == backward["step w1"] == 0 and backward["step W"] > 0.03


@pytest.mark.parametrize(("target", "weight"), [(0, 10), (1, -10)])
def test_a_confident_wrong_output_learns_by_cross_entropy_alone(target: float, weight: float) -> None:
    wrong = {"x": [[5]], "W1": [[1]], "W2": [[weight]], "y": target}
    squared, entropy = (abs(column(asked(NAME, error=error, **wrong), "backward")["δ output"]) for error in ("squared", "cross-entropy"))
    assert squared < 1e-3 and entropy > 0.99


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"x": [[0.1, 0.2, 0.3]]}, "W1 must have a row for each of the 3 inputs in x, not 2."),
        ({"W1": [[1, 2], [3, 4]]}, "W2 must have a row for each of the 2 columns of W1, not 1."),
        ({"W1": [[1, 2], [3]]}, "W1: all rows must have equally many numbers, not 1 and 2."),
        ({"W1": []}, "W1 must have 1 or more items, not 0."),
        ({"x": [[11, 0]]}, "x.0.0 must be at most 10, not 11"),
        ({"x": [[float("nan"), 0]]}, "x.0.0"),
        ({"y": 1.5}, "y must be at most 1, not 1.5"),
        ({"y": float("inf")}, "y must be at most 1, not inf"),
        ({"steps": 51}, "steps must be at most 50, not 51"),
        ({"activation": "step"}, "activation must be sigmoid or tanh or relu or linear, not 'step'"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


@pytest.mark.parametrize("error", ["squared", "cross-entropy"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "linear"])
def test_the_largest_values_give_finite_numbers(activation: str, error: str) -> None:
    for y in (0, 0.5, 1):
        events = asked(
            NAME, x=[[10] * 3], W1=[[10, -10, 10]] * 3, W2=[[10], [10], [-9]], y=y, rate=5, steps=50, activation=activation, error=error
        )
        assert np.isfinite(events["error/over steps"].y).all() and np.isfinite(events["weights"].values).all()
