"""Back-propagation through time by hand: the notes' example to six digits, counts of factors, Jordan, truncation, clipping, the cheat."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from exploring import asked

from workbench.problems import Problem
from workbench.projects.recurrent_networks import bptt

NAME = "bptt"
LONG: dict[str, Any] = {
    "inputs": [[0.3, -1.2, 0.8, 2.0, -0.5, 0.1, 1.4, -0.9, 0.6, -0.2, 0.7, 0.4]],
    "W_x": 0.7,
    "W_s": -0.9,
    "W_y": 1.3,
    "d": -0.4,
}


def terms(**fields: Any) -> list[list[float]]:
    """Rows of numbers without the sum; a factor that is not there is 1."""
    rows = asked(NAME, **fields)["terms"].rows
    assert rows[-1][0] == "sum"
    return [[float(cell or 1) for cell in row] for row in rows[:-1]]


def total(weight: str, **fields: Any) -> float:
    return float(asked(NAME, weight=weight, **fields)["terms"].rows[-1][-1])


def gradients(column: str = "by hand", **fields: Any) -> list[float]:
    table = asked(NAME, **fields)["gradient"]
    return [float(row[table.columns.index(column)]) for row in table.rows[:3]]


def test_the_example_to_six_digits() -> None:
    events = asked(NAME)
    assert events["states/s"].y == pytest.approx([0, 0.761594, 0.706818, -0.569370], abs=5e-7)
    assert events["states/y"].y[-1] == pytest.approx(-1.138741, abs=5e-7)
    assert "E = 4.574213" in events["formula"].text
    assert [row[-1] for row in terms()] == pytest.approx([-4.086536, -1.101704, 0], abs=5e-7)
    assert [row[-1] for row in terms(weight="W_x")] == pytest.approx([5.781592, -0.723288, -0.303763], abs=5e-7)
    assert [row[-1] for row in terms(weight="W_y")] == pytest.approx([2.435472], abs=5e-7)
    assert [total("W_s"), total("W_x")] == pytest.approx([-5.188240, 4.754541], abs=5e-7)
    assert gradients() == pytest.approx([4.754541, -5.188240, 2.435472], abs=5e-7)
    assert gradients("differences") == pytest.approx([4.754541, -5.188240, 2.435472], abs=2e-6)


def test_elman_and_jordan_on_a_single_one() -> None:
    one: dict[str, Any] = {"inputs": [[1, 0, 0]]}
    assert asked(NAME, **one)["states/y"].y[1:] == pytest.approx([1.523188, 0.726799, 0.359452], abs=5e-7)
    assert asked(NAME, network="Jordan", **one)["states/y"].y[1:] == pytest.approx([1.523188, 1.284030, 1.132540], abs=5e-7)
    assert "W_s y(t−1)" in asked(NAME, network="Jordan")["formula"].text


@pytest.mark.parametrize("network", ["Elman", "Jordan"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "identity"])
def test_every_gradient_equals_its_finite_difference(network: str, activation: str) -> None:
    fields = {**LONG, "network": network, "activation": activation}
    by_hand = gradients(**fields)
    assert by_hand == pytest.approx(gradients("differences", **fields), rel=1e-6, abs=1e-8)
    assert by_hand == pytest.approx([total(weight, **fields) for weight in bptt.WEIGHTS], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("count", range(1, 11))
def test_n_terms_have_n_minus_one_to_no_factors(count: int) -> None:
    rows = terms(truncate=count, **LONG)
    assert [int(row[1]) for row in rows] == list(range(count))
    assert [int(row[0]) for row in rows] == list(range(12, 12 - count, -1)), "i = t+1 … t+N, from the last back"
    products = [row[3] for row in rows]
    assert products == pytest.approx(np.cumprod([row[2] for row in rows]), rel=2e-6)
    assert f"over i = {13 - count} … 12" in asked(NAME, truncate=count, **LONG)["formula"].text


def test_the_total_derivative_of_a_state_counts_paths_twice() -> None:
    """The cheat: ∂s_i/∂W with everything before it, in place of the immediate one."""
    states = asked(NAME)["states/s"].y
    whole = [0.0]
    for before, state in pairwise(states):
        whole.append((1 - state**2) * (before + 0.5 * whole[-1]))
    head = -2 * (1 - 2 * states[-1]) * 2
    rows = terms()
    counted_twice = sum(head * row[3] * derivative for row, derivative in zip(rows, reversed(whole[1:]), strict=True))
    assert counted_twice == pytest.approx(-6.289945, abs=5e-7)
    assert sum(head * row[3] * row[4] for row in rows) == pytest.approx(-5.188240, abs=2e-6) == pytest.approx(gradients()[1], abs=2e-6)
    # The last state's total derivative holds all paths already.
    assert head * whole[-1] == pytest.approx(gradients()[1], abs=5e-7)


def test_truncation_leaves_terms_out() -> None:
    assert gradients(truncate=1)[:2] == pytest.approx([5.781592, -4.086536], abs=5e-7)
    assert gradients(truncate=3) == gradients(truncate=100) == gradients()
    assert gradients("differences", truncate=1) == gradients("differences"), "a check of the whole gradient"
    left_out, used = (asked(NAME, truncate=4, **LONG)[f"gradient back/{name}"] for name in ("left out", "by step"))
    assert used.x == [0, 1, 2, 3] and left_out.x == list(range(4, 12))


def test_products_vanish_and_explode() -> None:
    rows = {row[0]: [float(cell) for cell in row[1:]] for row in asked(NAME, activation="sigmoid", W_s=1)["products"].rows}
    assert rows["0.9"][2] == pytest.approx(2.65614e-5, rel=1e-5) and rows["1.1"][2] == pytest.approx(13_780.6, abs=0.05)
    assert rows["sigmoid, W_s 1, at most"][1] == pytest.approx(9.53674e-7, rel=1e-5)
    assert rows["this network, at most"] == rows["sigmoid, W_s 1, at most"]
    for weight, left in ((0.9, 0.9**99), (1.1, 1.1**99)):
        curve = asked(NAME, inputs=[[0.1] * 100], activation="identity", W_s=weight)["gradient back/by step"]
        assert 10 ** (curve.y[99] - curve.y[0]) == pytest.approx(left, rel=1e-9)
    curves = asked(NAME, **{**LONG, "activation": "sigmoid"})
    assert (np.array(curves["gradient back/by step"].y) <= np.array(curves["gradient back/at most"].y) + 1e-12).all()


def test_a_relu_that_is_off_passes_nothing_back() -> None:
    events = asked(NAME, activation="relu", inputs=[[1, -5, 1]])
    assert events["gradient back/by step"].x == [0, 1], "no logarithm of 0"
    assert [row[3] for row in terms(activation="relu", inputs=[[1, -5, 1]])] == [1, 0.5, 0]


def test_clipping_by_norm_keeps_the_direction_and_by_value_does_not() -> None:
    rows = {row[0]: [float(cell) for cell in row[1:]] for row in asked(NAME)["clipping"].rows}
    assert rows == {
        "as it is": [3, 4, 5],
        "by norm": pytest.approx([0.6, 0.8, 1]),
        "by value": pytest.approx([1, 1, 2**0.5], abs=1e-6),
    }
    unchanged = asked(NAME, threshold=10)["clipping"].rows
    assert {tuple(row[1:]) for row in unchanged} == {("3", "4", "5")}
    by_hand = np.array(gradients())
    by_norm, by_value = (np.array(gradients("clipped", clip=kind)) for kind in ("norm", "value"))
    assert by_norm == pytest.approx(by_hand / np.linalg.norm(by_hand), rel=1e-6)
    assert by_value.tolist() == [1, -1, 1]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"inputs": [[1, 2]]}, "inputs.0 must have 3 or more items, not 2"),
        ({"inputs": [[0.0] * 101]}, "inputs.0 must have 100 or fewer items, not 101"),
        ({"inputs": [[1, 2, 11]]}, "inputs.0.2 must be at most 10, not 11"),
        ({"inputs": [[1, 2, float("nan")]]}, "inputs.0.2"),
        ({"W_s": 3.1}, "W_s must be at most 3, not 3.1"),
        ({"d": float("inf")}, "d must be at most 10, not inf"),
        ({"threshold": 0}, "threshold must be at least 0.1, not 0"),
        ({"truncate": -1}, "truncate must be at least 0, not -1"),
        ({"network": "LSTM"}, "network must be Elman or Jordan, not 'LSTM'"),
        ({"vector": [[1, 2, 3]]}, "vector.0"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


@pytest.mark.parametrize("network", ["Elman", "Jordan"])
def test_the_largest_values_give_finite_numbers(network: str) -> None:
    for activation in ("tanh", "sigmoid", "relu", "identity"):
        fields: dict[str, Any] = {"inputs": [[10] * 100], "W_x": 3, "W_s": 3, "W_y": 3, "d": -10, "vector": [[100, -100]]}
        for weight in bptt.WEIGHTS:
            events = asked(NAME, network=network, activation=activation, weight=weight, **fields)
            assert all(np.isfinite(event.y).all() for tag, event in events.items() if tag.startswith(("states", "gradient back")))
            assert np.isfinite([float(row[-1]) for row in events["terms"].rows]).all()
