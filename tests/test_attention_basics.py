"""Attention by hand: the notebook's numbers, four formulas on one state, a softmax that cannot overflow, and masks."""

import math
from typing import Any

import numpy as np
import pytest
from exploring import asked, built

from workbench.problems import Problem
from workbench.projects.recurrent_networks import attention_basics

NAME = "attention-basics"
SMALL = {"state": [[1, 0]], "annotations": [[1, 0], [0, 1], [-1, 0]], "v_a": [[1, 1]], "U_a": [[1, 0], [0, 1]]}
SWAP = {**SMALL, "W_a": [[0, 1], [1, 0]]}
EQUAL = {**SMALL, "W_a": [[1, 0], [0, 1]]}


def column(events: dict[str, Any], tag: str, name: str) -> list[float]:
    numbers = events[tag]
    return [row[numbers.columns.index(name)] for row in numbers.values]


def weights(**fields: Any) -> list[float]:
    return column(asked(NAME, **fields), "weights", "weight")


def test_the_notebook_s_numbers_to_six_digits() -> None:
    events = asked(NAME)
    assert column(events, "scores", "score") == [927, 397, 148, 929]
    assert column(events, "weights", "weight") == pytest.approx([0.119203, 0, 0, 0.880797], abs=5e-7)
    *parts, context = events["weighted"].values
    assert context == pytest.approx([3.880797, 4.072826, 45.264239], rel=1e-6)
    assert np.sum(parts, 0) == pytest.approx(context, rel=1e-12) and events["weighted"].rows[-1] == "context"
    assert "5·3 + 1·12 + 20·45 = 927" in events["formula"].text
    assert list(events)[:4] == ["formula", "scores", "weights", "weighted"]
    assert list(events)[4:] == [f"weights by formula/{scoring}" for scoring in ("dot", "general", "concat", "additive")]


def test_the_notes_weights_of_13_9_9_and_of_14_and_13() -> None:
    assert weights(state=[[1]], annotations=[[13], [9], [9]]) == pytest.approx([0.964663, 0.017668, 0.017668], abs=5e-7)
    assert weights(state=[[1]], annotations=[[28], [26]], temperature=2) == pytest.approx([0.731059, 0.268941], abs=5e-7)


@pytest.mark.parametrize(
    ("fields", "scores", "expected"),
    [
        ({"scoring": "dot", **SWAP}, [1, 0, -1], [0.665241, 0.244728, 0.090031]),
        ({"scoring": "general", **SWAP}, [0, 1, 0], [0.211942, 0.576117, 0.211942]),
        ({"scoring": "additive", **EQUAL}, [0.964028, 1.523188, 0], [0.319432, 0.558752, 0.121817]),
        ({"scoring": "concat", **EQUAL}, [0.964028, 1.523188, 0], [0.319432, 0.558752, 0.121817]),
    ],
)
def test_four_formulas_on_the_same_state(fields: dict[str, Any], scores: list[float], expected: list[float]) -> None:
    events = asked(NAME, **fields)
    assert column(events, "scores", "score") == pytest.approx(scores, abs=5e-7)
    assert column(events, "weights", "weight") == pytest.approx(expected, abs=5e-7)
    assert events[f"weights by formula/{fields['scoring']}"].y == column(events, "weights", "weight")


def test_concat_equals_additive_on_vectors_of_two_sizes_and_only_additive_takes_the_state_before() -> None:
    fields = {
        "state": [[0.3, -1.2]],
        "annotations": [[0.5, 0.1, -0.4], [1.5, -0.2, 0.7]],
        "W_a": [[0.2, 0.9], [-0.5, 0.3], [1.1, 0.4], [0, 1]],
        "U_a": [[0.1, 0.5, 0.3], [0.6, -0.8, 0.2], [0.4, 0.4, -1], [1, 0, 0]],
        "v_a": [[1, -2, 0.5, 0.7]],
    }
    additive, concat = asked(NAME, scoring="additive", **fields), asked(NAME, scoring="concat", **fields)
    assert additive["scores"].values == [pytest.approx(row, rel=1e-12) for row in concat["scores"].values]
    by_hand = [
        np.dot(fields["v_a"][0], np.tanh(np.array(fields["W_a"]) @ fields["state"][0] + np.array(fields["U_a"]) @ place))
        for place in fields["annotations"]
    ]
    assert column(additive, "scores", "score") == pytest.approx(by_hand, rel=1e-12)
    assert "state of the step before" in additive["formula"].text and "state of this step" in concat["formula"].text
    # The other formulas need other sizes, and are left out of the comparison.
    assert [tag for tag in additive if tag.startswith("weights by")] == ["weights by formula/concat", "weights by formula/additive"]


def test_every_weight_follows_one_edited_number() -> None:
    """The cheat: weights that are written down."""
    edited = asked(NAME, annotations=[[3, 12, 45], [59, 2, 5], [1, 43, 5], [4, 3, 45.2]])
    assert column(edited, "scores", "score") == [927, 397, 148, 927]
    assert column(edited, "weights", "weight") == pytest.approx([0.5, 0, 0, 0.5], abs=1e-12)
    assert edited["weighted"].values[-1] == pytest.approx([3.5, 7.5, 45.1], rel=1e-9)
    assert weights(state=[[5, 2, 20]]) == pytest.approx([1 / (1 + math.exp(-7)), 0, 0, 1 / (1 + math.exp(7))], abs=1e-12)
    assert weights(temperature=2) == pytest.approx([1 / (1 + math.e), 0, 0, math.e / (1 + math.e)], abs=1e-12)


def test_float32_gives_the_same_and_the_naive_softmax_none() -> None:
    events = asked(NAME)
    assert column(events, "weights", "in float32") == pytest.approx(column(events, "weights", "weight"), abs=1e-7)
    naive = column(events, "weights", "naive exp")
    assert math.isnan(naive[0]) and math.isnan(naive[3])
    small = asked(NAME, **SWAP)
    assert column(small, "weights", "naive exp") == pytest.approx(column(small, "weights", "weight"), rel=1e-12)
    shares = attention_basics.softmax(np.array([927, 397, 148, 929], np.float32), np.ones(4, bool))
    assert shares.dtype == np.float32 and shares.sum() == pytest.approx(1)


def test_masked_places_get_exactly_nothing_whatever_their_score() -> None:
    events = asked(NAME, mask="4, 2")
    assert column(events, "weights", "weight") == [1, 0, pytest.approx(0), 0]
    assert column(events, "weights", "in float32")[1::2] == column(events, "weights", "naive exp")[1::2] == [0, 0]
    assert column(events, "scores", "÷ 1")[3] == -math.inf and column(events, "scores", "score")[3] == 929
    assert events["weights by formula/dot"].y[3] == 0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"mask": "1 2 3 4"}, "mask leaves no place to attend to."),
        ({"mask": "5"}, "mask must name places from 1 to 4, as `2 4`."),
        ({"mask": "0"}, "mask must name places from 1 to 4"),
        ({"mask": "-1"}, "mask must name places from 1 to 4"),
        ({"mask": "two"}, "mask must name places from 1 to 4"),
        ({"mask": "1" * 51}, "mask must have 50 characters or fewer"),
        ({"state": [[1, 2]]}, "dot needs vectors of one size, but state has 2 numbers and annotations 3."),
        ({"state": [[1, 2]], "scoring": "general"}, "W_a must have 2x3 numbers beside these vectors, not 3x3."),
        ({"state": [[1, 2]], "scoring": "additive"}, "W_a must have 3x2 numbers beside these vectors, not 3x3."),
        ({"U_a": [[1, 0, 0]], "scoring": "concat"}, "U_a must have 3x3 numbers beside these vectors, not 1x3."),
        ({"v_a": [[1, 0]], "scoring": "concat"}, "v_a must have a number for each of the 3 rows of W_a, not 2."),
        ({"state": [[float("nan"), 0, 0]]}, "state.0.0"),
        ({"annotations": [[1001, 0, 0]]}, "annotations.0.0 must be at most 1000, not 1001"),
        ({"annotations": []}, "annotations must have 1 or more items, not 0."),
        ({"annotations": [[1, 2, 3], [4, 5]]}, "annotations: all rows must have equally many numbers, not 2 and 3."),
        ({"temperature": 0}, "temperature must be at least 0.1, not 0"),
        ({"temperature": math.inf}, "temperature must be at most 100, not inf"),
        ({"scoring": "cosine"}, "scoring must be dot or general or concat or additive, not 'cosine'"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"


def test_dot_of_unequal_sizes_says_to_take_general_which_answers() -> None:
    with pytest.raises(Problem, match="Take scoring: general"):
        asked(NAME, state=[[1, 2]])
    assert sum(weights(state=[[1, 2]], scoring="general", W_a=[[1, 0, 0], [0, 0, 1]])) == pytest.approx(1)


@pytest.mark.parametrize("scoring", ["dot", "general", "concat", "additive"])
def test_the_largest_values_give_finite_weights(scoring: str) -> None:
    large: dict[str, Any] = {
        "state": [[1000] * 6],
        "annotations": [[1000] * 6, [-1000] * 6],
        "W_a": [[100] * 6] * 6,
        "U_a": [[100] * 6] * 6,
        "v_a": [[100] * 6],
    }
    events = asked(NAME, built(NAME), scoring=scoring, temperature=0.1, **large)
    assert np.isfinite(events["weighted"].values).all() and sum(column(events, "weights", "in float32")) == pytest.approx(1)
