"""Tensors: the course's 0.3171 and the order it depends on, strides, the refused product, and shared memory."""

from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked

from workbench.events import Matrix, Table, Text
from workbench.problems import Problem
from workbench.projects.neural_networks import tensors


def test_the_network_of_seed_7_gives_the_course_s_output() -> None:
    shown = asked("tensors")
    assert shown[""].values["output"] == pytest.approx(0.317083, abs=1e-6)
    assert round(shown[""].values["output"], 4) == 0.3171
    # As the notebook writes it, with the global generator.
    torch.manual_seed(7)
    features, w1, w2 = torch.randn((1, 3)), torch.randn(3, 2), torch.randn(2, 1)
    b1, b2 = torch.randn((1, 2)), torch.randn((1, 1))
    output = torch.sigmoid(torch.sigmoid(features @ w1 + b1) @ w2 + b2)
    assert shown[""].values["output"] == output.item()
    assert shown["forward"].rows[-1] == ["output = sigmoid", round(output.item(), 6), "", ""]
    assert shown["W1"].values == w1.tolist()


def test_another_order_of_drawing_gives_another_number() -> None:
    random = torch.Generator().manual_seed(7)
    other = {name: torch.randn(shape, generator=random) for name, shape in
             (("W1", (3, 2)), ("W2", (2, 1)), ("B1", (1, 2)), ("B2", (1, 1)), ("features", (1, 3)))}  # fmt: skip
    *_, (_, output) = tensors.steps(other)
    assert abs(output.item() - 0.3171) > 0.01


@pytest.mark.parametrize(("field", "value"), [("seed", 8), ("hidden", 3)])
def test_the_output_is_computed_and_not_remembered(field: str, value: int) -> None:
    shown = asked("tensors", **{field: value})
    parts = tensors.network(**{"seed": 7, "hidden": 2, field: value})
    hidden = 1 / (1 + np.exp(-(parts["features"].numpy() @ parts["W1"].numpy() + parts["B1"].numpy())))
    output = 1 / (1 + np.exp(-(hidden @ parts["W2"].numpy() + parts["B2"].numpy())))
    assert shown[""].values["output"] == pytest.approx(output.item(), abs=1e-6) != pytest.approx(0.3171, abs=1e-3)
    assert len(shown["W1"].values[0]) == (value if field == "hidden" else 2)


def test_every_tensor_is_told_with_shape_and_stride() -> None:
    table = asked("tensors")["tensors"]
    assert isinstance(table, Table)
    assert table.rows[:3] == [
        ["features", "(1, 3)", "float32", "(3, 1)"],
        ["W1", "(3, 2)", "float32", "(2, 1)"],
        ["W2", "(2, 1)", "float32", "(1, 1)"],
    ]


@pytest.mark.parametrize(
    ("operation", "shape", "shares"),
    [
        ("a @ b.T", "(1, 1)", False),
        ("a * b", "(1, 5)", False),
        ("a.T @ b", "(5, 5)", False),
        ("a + 1", "(1, 5)", False),
        ("a.view(5, 1)", "(5, 1)", True),
        ("a.T", "(5, 1)", True),
        ("a.clone()", "(1, 5)", False),
    ],
)
def test_an_operation_tells_its_shape_and_whether_it_copies(operation: str, shape: str, shares: bool) -> None:
    shown = asked("tensors", operation=operation)
    assert isinstance(shown["operation"], Text) and f"is {shape}, stride" in shown["operation"].text
    assert ("shares the memory of a" in shown["operation"].text) == shares
    matrix = shown["result"]
    assert isinstance(matrix, Matrix) and str((len(matrix.values), len(matrix.values[0]))) == shape


def test_a_product_of_two_rows_is_refused_in_pytorch_s_words() -> None:
    shown = asked("tensors", operation="a @ b")
    assert "result" not in shown
    assert "refused" in shown["operation"].text and "(1x5 and 1x5)" in shown["operation"].text


def test_from_numpy_shares_memory_and_tensor_copies() -> None:
    table = asked("tensors", factor=3)["memory"]
    assert [row[1:] for row in table.rows] == [["3 6 9", "3 6 9", "yes"], ["3 6 9", "1 2 3", "no"]]


@pytest.mark.parametrize("fields", [{"seed": -1}, {"hidden": 6}, {"operation": "a / b"}, {"factor": float("nan")}])
def test_what_cannot_be_drawn_is_refused_in_a_sentence(fields: dict[str, Any]) -> None:
    with pytest.raises(Problem, match=next(iter(fields))):
        asked("tensors", **fields)
