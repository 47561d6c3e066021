"""Shapes of arrays: the exact products, broadcasting, views and copies, refusals that name both shapes, against loops of plain Python."""

from typing import Any

import numpy as np
import pytest
from exploring import asked, built

from workbench.problems import Problem

NAME = "shapes"


def shapes(events: dict[str, Any]) -> dict[str, str]:
    return {row[0]: row[1] for row in events["shapes"].rows}


def test_the_default_product() -> None:
    events = asked(NAME)
    assert list(events) == ["A", "B", "rule", "result", "terms", "shapes"]
    assert events["result"].values == [[70, 80, 90], [158, 184, 210]]
    assert shapes(events) == {"A": "(2, 4)", "B": "(4, 3)", "result": "(2, 3)"}
    assert events["shapes"].rows[0][2:] == [2, "(32, 8)", "–"] and events["shapes"].rows[2][4] == "no"
    assert events["terms"].rows == [[1, 1, 1], [2, 4, 8], [3, 7, 21], [4, 10, 40]]
    assert asked(NAME, row=2, column=3)["terms"].rows == [[5, 3, 15], [6, 6, 36], [7, 9, 63], [8, 12, 96]]


def test_products_are_computed_not_stored() -> None:
    """The cheat is a stored answer: twenty random pairs against loops, and one edited number."""
    project, rng = built(NAME), np.random.default_rng(0)
    for _ in range(20):
        rows, inner, columns = (int(size) for size in rng.integers(1, 7, 3))
        a, b = rng.integers(-9, 10, (rows, inner)).tolist(), rng.integers(-9, 10, (inner, columns)).tolist()
        expected = [[sum(a[i][k] * b[k][j] for k in range(inner)) for j in range(columns)] for i in range(rows)]
        assert asked(NAME, project, A=a, B=b)["result"].values == expected
    edited = asked(NAME, project, A=[[1, 2, 3, 4], [5, 6, 7, 9]])
    assert edited["result"].values == [[70, 80, 90], [168, 195, 222]]


def test_a_number_a_vector_and_a_matrix() -> None:
    three = {"A": [[1, 2, 3], [4, 5, 6]], "operation": "multiply", "B": [[2]]}
    found = {kind: asked(NAME, a_is=kind, **three)["shapes"].rows[0] for kind in ("number", "vector", "matrix")}
    assert [(row[1], row[2]) for row in found.values()] == [("()", 0), ("(3,)", 1), ("(2, 3)", 2)]


def test_broadcasting() -> None:
    events = asked(NAME, operation="add", A=[[1, 2, 3]], a_is="vector", B=[[10], [20]])
    assert shapes(events) == {"A": "(3,)", "B": "(2, 1)", "result": "(2, 3)"}
    assert events["result"].values == [[11, 12, 13], [21, 22, 23]]
    assert asked(NAME, operation="multiply", A=[[1, 2, 3]], a_is="vector", B=[[10], [20]], row=2, column=3)["terms"].rows == [[3, 20, 60]]


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"B": [[1, 2], [3, 4], [5, 6]]}, ["(2, 4)", "(3, 2)", "4 and 3 must be equal"]),
        ({"b_is": "vector"}, ["(2, 4)", "(3,)", "4 and 3 must be equal"]),
        ({"a_is": "number"}, ["()", "(4, 3)", "Use multiply"]),
        ({"operation": "add"}, ["(2, 4)", "(4, 3)", "4 and 3 at axis -1"]),
        ({"operation": "add", "B": [[1], [2], [3]]}, ["(2, 4)", "(3, 1)", "2 and 3 at axis -2"]),
        ({"operation": "reshape", "target": "3, 2"}, ["(2, 4)", "(3, 2)", "8 and 6 must be equal"]),
        ({"operation": "reshape", "target": "3, -1"}, ["(2, 4)", "8 numbers", "no multiple of 3"]),
        ({"operation": "reshape", "target": "0, -1"}, ["(2, 4)", "no multiple of 0"]),
        ({"operation": "sum", "a_is": "number"}, ["()", "no axis"]),
    ],
)
def test_a_refusal_names_both_shapes_and_the_numbers_that_differ(fields: dict[str, Any], parts: list[str]) -> None:
    events = asked(NAME, **fields)
    assert events["rule"].text.startswith("Refused. ") and all(part in events["rule"].text for part in parts)
    assert "result" not in events and "result" not in shapes(events)


@pytest.mark.parametrize(
    ("operation", "shape", "strides"),
    [("transpose", "(4, 2)", "(8, 32)"), ("reshape", "(4, 2)", "(16, 8)"), ("new axis", "(1, 2, 4)", None)],
)
def test_writing_into_a_view_changes_the_original_and_into_a_copy_not(operation: str, shape: str, strides: str | None) -> None:
    view, copy = (asked(NAME, operation=operation, write=True, copy_first=copied) for copied in (False, True))
    assert view["shapes"].rows[1][1] == copy["shapes"].rows[1][1] == shape
    assert strides in (None, view["shapes"].rows[1][3])
    assert view["result"].values[0][0] == copy["result"].values[0][0] == 100
    assert view["A"].values[0][0] == 100 and view["shapes"].rows[1][4] == "yes"
    assert copy["A"].values[0][0] == 1 and copy["shapes"].rows[1][4] == "no"
    assert asked(NAME)["A"].values[0][0] == 1  # a question leaves nothing behind


def test_transpose_and_reshape_order_the_same_numbers_otherwise() -> None:
    turned, reshaped = (asked(NAME, operation=operation, row=3, column=2) for operation in ("transpose", "reshape"))
    assert turned["result"].values == [[1, 5], [2, 6], [3, 7], [4, 8]] and reshaped["result"].values == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert turned["terms"].rows == [[7, "cell 2, 3"]] and reshaped["terms"].rows == [[6, "cell 2, 2"]]


@pytest.mark.parametrize(
    ("axis", "shape", "values"), [("first", "(4,)", [[6, 8, 10, 12]]), ("last", "(2,)", [[10, 26]]), ("all", "()", [[36]])]
)
def test_sums_along_an_axis(axis: str, shape: str, values: list[list[float]]) -> None:
    events = asked(NAME, operation="sum", axis=axis)
    assert events["shapes"].rows[1][1] == shape and events["result"].values == values
    assert sum(row[0] for row in events["terms"].rows) == values[0][0]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"row": 3}, "row must be from 1 to 2, as the result is shown with 2, not 3."),
        ({"operation": "reshape", "target": "two"}, "target must be up to 4 whole numbers with commas"),
        ({"operation": "reshape", "target": "-1, -1"}, "target must be up to 4 whole numbers with commas"),
        ({"operation": "reshape", "target": "2.5, 2"}, "target must be up to 4 whole numbers with commas"),
        ({"A": []}, "A must have 1 or more items, not 0"),
        ({"A": [[1] * 7]}, "A.0 must have 6 or fewer items, not 7"),
        ({"A": [[1, 2], [3]]}, "A: all rows must have equally many numbers, not 1 and 2."),
        ({"A": [[float("inf")]]}, "A.0.0 must be at most 1000, not inf"),
        ({"A": [[float("nan")]]}, "A.0.0"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
