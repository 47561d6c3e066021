"""Shapes of arrays: what an operation makes of two small ones, which numbers go into a cell, what shares memory, and what is refused."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from workbench.events import Event, Matrix, Table, Text
from workbench.problems import Problem
from workbench.training.project import Field, Project, only
from workbench.training.project import Matrix as MatrixField

Cells = Annotated[list[list[float]], MatrixField((1, 6), (1, 6), -1000, 1000, 1)]
Kind = Literal["matrix", "vector", "number"]

TWO = ["matrix product", "add", "multiply"]
VIEWS = ["transpose", "reshape", "new axis"]
WITH_B = {"operation": TWO}
OF_VIEWS = {"operation": VIEWS}
WRITTEN = 100.0
"""What is written into the result's first cell: an array that shares its memory then holds it, too."""


class Refusal(Exception):
    """Two shapes, or a shape and a target, that do not fit: a sentence with both of them and the numbers that differ."""


class Shapes(Project):
    """Shows what NumPy's operations do with shapes."""

    class Request(Project.Request):
        operation: Literal["matrix product", "add", "multiply", "transpose", "reshape", "new axis", "sum"] = "matrix product"
        """What is done: the first three take A and B, the others A alone; add and multiply go cell by cell and broadcast."""
        A: Cells = [[1, 2, 3, 4], [5, 6, 7, 8]]
        """The first array, row by row."""
        a_is: Kind = "matrix"
        """How much of A is taken: all rows, its first row as a vector, or its first cell as a single number."""
        B: Cells = only([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]], when=WITH_B)
        """The second array, row by row."""
        b_is: Kind = only("matrix", when=WITH_B)
        """How much of B is taken: all rows, its first row as a vector, or its first cell as a single number."""
        target: str = only("4, 2", when={"operation": "reshape"}, max_length=40)
        """The shape to reshape to, as in 4, 2; one number may be -1, which is then worked out from the others."""
        axis: Literal["first", "last", "all"] = only("first", when={"operation": ["sum", "new axis"]})
        """The axis along which to sum, which then is gone, or where the new axis of length 1 goes (all: on both ends)."""
        copy_first: bool = only(False, when=OF_VIEWS)
        """Copy the result, so that it has memory of its own; else it is a view of A's memory where that can be."""
        write: bool = only(False, when=OF_VIEWS)
        """Write 100 into the result's first cell, to see whether A changes as well."""
        row: int = Field(1, ge=1, le=36)
        """Row of the result's cell whose terms are shown, counted from 1."""
        column: int = Field(1, ge=1, le=36)
        """Column of that cell, counted from 1."""

    def sample(self, request: Any) -> Iterator[Event]:
        """Both arrays, the rule or the refusal, the result, the terms behind one of its cells, and the table of shapes."""
        a = taken(request.A, request.a_is)
        arrays = {"A": a}
        if request.operation in TWO:
            arrays["B"] = taken(request.B, request.b_is)
        try:
            result, rule = applied(request, *arrays.values())
        except Refusal as refusal:
            result, rule = None, f"Refused. {refusal}"
        if result is not None:
            if request.copy_first and request.operation in VIEWS:
                result = result.copy()
            terms = terms_of(request, result, *arrays.values())
            if request.write and request.operation in VIEWS:
                result[(0,) * result.ndim] = WRITTEN
        for name, array in arrays.items():
            yield Matrix(tag=name, values=flat(array))
        yield Text(tag="rule", text=rule)
        if result is not None:
            arrays["result"] = result
            yield Matrix(tag="result", values=flat(result))
            yield Table(tag="terms", columns=terms[0], rows=terms[1])
        rows: list[list[str | float]] = []
        for name, array in arrays.items():
            shares = "–" if name == "A" else "yes" if np.shares_memory(array, a) else "no"
            rows.append([name, str(array.shape), float(array.ndim), str(array.strides), shares])
        yield Table(tag="shapes", columns=["array", "shape", "dimensions", "strides", "A's memory"], rows=rows)


def taken(rows: list[list[float]], kind: str) -> np.ndarray:
    """The array as a matrix, its first row as a vector, or its first cell as an array of no dimension."""
    matrix = np.array(rows, float)
    return np.array({"matrix": matrix, "vector": matrix[0], "number": matrix[0, 0]}[kind])


def flat(array: np.ndarray) -> list[list[float]]:
    """What a panel shows of an array of any dimensions: a vector as one row, and further axes one below the other."""
    values: list[list[float]] = array.reshape(-1, array.shape[-1] if array.ndim else 1).tolist()
    return values


def applied(request: Any, a: np.ndarray, b: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """The result and the rule it follows. Raises Refusal where the shapes do not fit, Problem where the target is no shape."""
    if b is not None:
        return multiplied(a, b) if request.operation == "matrix product" else cell_by_cell(request.operation, a, b)
    if request.operation == "transpose":
        return a.T, f"Rows become columns: {a.shape} becomes {a.T.shape}. Only the strides are exchanged, no number moves."
    if request.operation == "reshape":
        return reshaped(a, request.target)
    if request.operation == "new axis":
        result = {"first": lambda: a[None], "last": lambda: a[..., None], "all": lambda: a[None, ..., None]}[request.axis]()
        return result, f"An axis of length 1 holds no new number: {a.shape} becomes {result.shape}."
    if not a.ndim:
        raise Refusal("A has shape (), a single number: it has no axis to sum along.")
    along = {"first": 0, "last": -1, "all": None}[request.axis]
    result = np.asarray(a.sum(axis=along))
    gone = "All axes are" if along is None else f"The {request.axis} axis, of length {a.shape[along]}, is"
    return result, f"{gone} summed and gone: {a.shape} becomes {result.shape}."


def multiplied(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, str]:
    """The matrix product, for which A's last number and B's last but one (a vector's only one) must be equal."""
    if not a.ndim or not b.ndim:
        raise Refusal(f"A has shape {a.shape} and B has shape {b.shape}: a single number has no rows and columns. Use multiply.")
    inner, other = a.shape[-1], b.shape[0]
    if inner != other:
        raise Refusal(
            f"A has shape {a.shape} and B has shape {b.shape}: each row of A has {inner} numbers and each column of B has {other}. "
            f"{inner} and {other} must be equal."
        )
    result = np.asarray(a @ b)
    return result, f"The inner numbers are equal, {inner} = {other}, and disappear: {a.shape} times {b.shape} is {result.shape}."


def cell_by_cell(operation: str, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, str]:
    """Sum or product of equal places, after broadcasting."""
    size = max(a.ndim, b.ndim)
    padded = [(1,) * (size - array.ndim) + array.shape for array in (a, b)]
    for place, (one, other) in reversed(list(enumerate(zip(*padded, strict=True)))):
        if one != other and 1 not in (one, other):
            raise Refusal(
                f"A has shape {a.shape} and B has shape {b.shape}: compared from the last axis on, they have {one} and {other} "
                f"at axis {place - size}. Two numbers must be equal, or one of them 1."
            )
    result = np.asarray(a + b if operation == "add" else a * b)
    if a.shape == b.shape:
        return result, f"Equal shapes {a.shape}: cell by cell."
    return result, f"Broadcasting repeats what has length 1 or no axis: {a.shape} with {b.shape} is {result.shape}."


def reshaped(a: np.ndarray, target: str) -> tuple[np.ndarray, str]:
    """The same numbers in the same order under another shape."""
    parts = [part.strip() for part in target.strip(" ()").split(",") if part.strip()]
    if len(parts) > 4 or not all(re.fullmatch(r"-1|[0-9]{1,4}", part) for part in parts) or parts.count("-1") > 1:
        raise Problem("target must be up to 4 whole numbers with commas, as 4, 2; one of them may be -1.", cause="data")
    shape = tuple(map(int, parts))
    known = int(np.prod([length for length in shape if length >= 0]))
    if -1 in shape:
        if not known or a.size % known:
            raise Refusal(
                f"A has shape {a.shape}, {a.size} numbers: they are no multiple of {known}, so nothing fits for the -1 in {shape}."
            )
    elif known != a.size:
        raise Refusal(f"A has shape {a.shape}, {a.size} numbers, and {shape} has place for {known}. {a.size} and {known} must be equal.")
    result = a.reshape(shape)
    return result, f"The same {a.size} numbers in the same order: {a.shape} becomes {result.shape}."


Rows = list[list[str | float]]


def terms_of(request: Any, result: np.ndarray, a: np.ndarray, b: np.ndarray | None = None) -> tuple[list[str], Rows]:
    """Heading and rows of the numbers behind the chosen cell of the result. Raises Problem where there is no such cell."""
    cells = np.arange(result.size).reshape(-1, result.shape[-1] if result.ndim else 1)
    for name, number, most in (("row", request.row, cells.shape[0]), ("column", request.column, cells.shape[1])):
        if number > most:
            raise Problem(f"{name} must be from 1 to {most}, as the result is shown with {most}, not {number}.", cause="data")
    index = np.unravel_index(cells[request.row - 1, request.column - 1], result.shape) if result.ndim else ()
    if request.operation == "matrix product":
        assert b is not None
        left = a[index[0]] if a.ndim == 2 else a
        right = b[:, index[-1]] if b.ndim == 2 else b
        rows: Rows = [[float(one), float(other), float(one * other)] for one, other in zip(left, right, strict=True)]
        return ["A's row", "B's column", "product"], rows
    if request.operation == "sum":
        summed = a if request.axis == "all" else a[:, index[0]] if a.ndim == 2 and request.axis == "first" else a[index]
        return ["summed"], [[float(number)] for number in summed.ravel()]
    if b is None:
        return ["in the result", "in A"], [
            [float(result[index]), place_of(a, cells[request.row - 1, request.column - 1], request.operation)]
        ]
    one, other = (np.broadcast_to(array, result.shape)[index] for array in (a, b))
    return ["A", "B", "result"], [[float(one), float(other), float(result[index])]]


def place_of(a: np.ndarray, number: Any, operation: str) -> str:
    """Where in A the result's cell of this number, counted row by row, comes from."""
    shape = a.shape[::-1] if operation == "transpose" else a.shape
    place = [int(part) + 1 for part in np.unravel_index(number, shape)] if a.ndim else []
    return f"cell {', '.join(map(str, place[::-1] if operation == 'transpose' else place))}" if place else "the number"
