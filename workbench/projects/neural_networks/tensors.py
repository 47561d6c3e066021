"""Tensors of PyTorch: shapes, strides and memory, and the course's network of nine numbers, drawn from seed 7. Explored, not trained."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from workbench.events import Event, Matrix, Scalars, Table, Text
from workbench.problems import one_line
from workbench.training.project import Field, Project

Operation = Literal["a @ b", "a @ b.T", "a * b", "a.T @ b", "a + 1", "a.view(5, 1)", "a.T", "a.clone()"]


class Tensors(Project):
    """Draws tensors, multiplies them, and tells which share memory."""

    class Request(Project.Request):
        """What to draw and to multiply."""

        seed: int = Field(7, ge=0, le=100)
        """Seed of all random numbers; another one draws other tensors, and the same one the same again."""
        hidden: int = Field(2, ge=1, le=5)
        """Hidden units of the network; more make W1 wider and W2 longer, and draw more numbers."""
        operation: Operation = "a @ b"
        """What is done with two rows of five, a and b, each (1, 5): a matrix product needs equal inner sizes."""
        factor: float = Field(2.0, ge=-4, le=4, json_schema_extra={"step": 0.5})
        """What the tensor from_numpy is multiplied by in place; whatever shares its memory changes with it."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The network's output and how it comes about, every tensor's shape and stride, an operation or its refusal, and shared memory."""
        parts = network(request.seed, request.hidden)
        *_, (_, output) = steps(parts)
        rows: list[list[str | float]] = [[name, *(round(number, 6) for number in part.flatten().tolist())] for name, part in steps(parts)]
        widest = max(map(len, rows))
        columns = ["step", *(str(place) for place in range(1, widest))]
        yield Table(tag="forward", columns=columns, rows=[row + [""] * (widest - len(row)) for row in rows])
        yield Matrix(tag="W1", values=parts["W1"].tolist(), rows=[f"input {row + 1}" for row in range(3)], columns=units(request.hidden))
        yield Table(tag="tensors", columns=["tensor", "shape", "dtype", "stride"], rows=[described(*part) for part in parts.items()])
        yield from operated(request.operation, request.seed)
        yield memory(request.factor)
        yield Scalars(values={"output": output.item()})


def network(seed: int, hidden: int = 2) -> dict[str, torch.Tensor]:
    """Features (1, 3), W1 (3, hidden), W2 (hidden, 1), B1 (1, hidden), B2 (1, 1): normal, drawn in the course's order."""
    random = torch.Generator().manual_seed(seed)
    shapes = {"features": (1, 3), "W1": (3, hidden), "W2": (hidden, 1), "B1": (1, hidden), "B2": (1, 1)}
    return {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}


def steps(parts: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """What a forward pass computes, one after the other; the last is the output (1, 1)."""
    score = parts["features"] @ parts["W1"] + parts["B1"]
    hidden = torch.sigmoid(score)
    last = hidden @ parts["W2"] + parts["B2"]
    yield "features", parts["features"]
    yield "x W1 + B1", score
    yield "h = sigmoid", hidden
    yield "h W2 + B2", last
    yield "output = sigmoid", torch.sigmoid(last)


def units(number: int) -> list[str]:
    """The names of hidden units."""
    return [f"unit {place + 1}" for place in range(number)]


def described(name: str, tensor: torch.Tensor) -> list[str | float]:
    """A tensor's row in a table: its shape, type, and how many numbers lie between neighbours along each axis."""
    return [name, shown(tensor.shape), str(tensor.dtype).removeprefix("torch."), shown(tensor.stride())]


def shown(sizes: Any) -> str:
    """A shape as PyTorch's users write it: (1, 5), and () for a single number."""
    return str(tuple(sizes))


OPERATIONS: dict[Operation, Any] = {
    "a @ b": lambda a, b: a @ b,
    "a @ b.T": lambda a, b: a @ b.T,
    "a * b": lambda a, b: a * b,
    "a.T @ b": lambda a, b: a.T @ b,
    "a + 1": lambda a, b: a + 1,
    "a.view(5, 1)": lambda a, b: a.view(5, 1),
    "a.T": lambda a, b: a.T,
    "a.clone()": lambda a, b: a.clone(),
}


def operated(operation: Operation, seed: int) -> Iterator[Event]:
    """The result of an operation on two rows of five and whether it shares the memory of a; PyTorch's own words where it refuses."""
    random = torch.Generator().manual_seed(seed)
    a, b = torch.randn((1, 5), generator=random), torch.randn((1, 5), generator=random)
    try:
        result = OPERATIONS[operation](a, b)
    except RuntimeError as error:
        text = f"{operation} is refused: a is (1, 5) and b is (1, 5), the 5 columns of a need 5 rows of b, and b has 1."
        yield Text(tag="operation", text=f"{text}\n{one_line(str(error), 200)}")
        return
    share = "shares the memory of a" if result.untyped_storage().data_ptr() == a.untyped_storage().data_ptr() else "has memory of its own"
    yield Text(tag="operation", text=f"{operation} is {shown(result.shape)}, stride {shown(result.stride())}; it {share}.")
    yield Matrix(tag="result", values=[[float(number) for number in row] for row in result.tolist()])


def memory(factor: float) -> Table:
    """A tensor made from an array in each of two ways: both after the tensor is multiplied in place, and whether they share memory."""
    rows: list[list[str | float]] = []
    for name, made in (("torch.from_numpy(array)", torch.from_numpy), ("torch.tensor(array)", torch.tensor)):
        array = np.array([1.0, 2.0, 3.0])
        tensor = made(array)
        tensor.mul_(factor)
        share = "yes" if np.shares_memory(array, tensor.numpy()) else "no"
        numbers = [" ".join(f"{number:g}" for number in values) for values in (tensor.tolist(), array)]
        rows.append([name, *numbers, share])
    return Table(tag="memory", columns=["made from (1 2 3)", "tensor after mul_", "array after", "one memory"], rows=rows)
