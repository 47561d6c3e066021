"""One LSTM, peephole LSTM or GRU cell of one unit by hand, in NumPy: what its gates let through, step by step."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from workbench.events import Curve, Event, Matrix, Table
from workbench.problems import Problem
from workbench.torchkit import gates
from workbench.training.project import Field, Project, only
from workbench.training.project import Matrix as MatrixField

LONGEST = 12
"""Inputs of a sequence, at most: with more, the columns of the gates have no room for their numbers."""
LSTM, GRU = {"cell": ["LSTM", "peephole"]}, {"cell": "GRU"}

Inputs = Annotated[list[list[float]], MatrixField(1, (1, LONGEST), -10, 10, 0.5)]
Three = Annotated[list[list[float]], MatrixField(1, 3, -10, 10, 0.5)]
Two = Annotated[list[list[float]], MatrixField(1, 2, -10, 10, 0.5)]


class Gates(Project):
    """Follows a sequence through one cell of one unit."""

    class Request(Project.Request):
        cell: Literal["LSTM", "peephole", "GRU"] = "LSTM"
        """Kind of cell: the LSTM has a long- and a short-term memory; with peepholes gates see the long one; the GRU has one memory."""
        x: Inputs = [[1, 0, -1]]
        """The inputs (the notes: events), one a step; a larger one drives the gates nearer to 0 or 1."""
        forget: Three = only([[1, 1, 0]], when=LSTM)
        """Forget gate: weights of the input and of the short-term memory, and bias; a high bias keeps the long-term memory."""
        learn: Three = only([[1, 1, 0]], when=LSTM)
        """Learn gate's factor i: weights of the input and of the short-term memory, and bias; low lets nothing new in."""
        use: Three = only([[1, 1, 0]], when=LSTM)
        """Use gate: weights of the input and of the short-term memory, and bias; low keeps the long-term memory to itself."""
        update: Three = only([[1, 1, 0]], when=GRU)
        """Update gate: weights of the input and of the memory, and bias; high keeps the memory, low takes the new value."""
        reset: Three = only([[1, 1, 0]], when=GRU)
        """Reset gate: weights of the input and of the memory, and bias; low makes the new value from the input alone."""
        new: Three = [[1, 1, 0]]
        """The new value: weights of the input and of the memory, and bias; the learn gate, or 1 − update, decides how much enters."""
        peepholes: Literal["forget", "all"] = only("forget", when={"cell": "peephole"})
        """Which gates see the long-term memory, with a weight of 1: forget alone, as in the notes; all, and use then sees the new one."""
        start: Two = [[0, 0]]
        """Long- and short-term memory before the first input; of a GRU only the second counts."""
        step: int = Field(1, ge=1, le=LONGEST)
        """The step whose numbers the table shows."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The gates over the steps, both memories, what the long one is made of, and one step with every formula."""
        x = np.array(request.x, float)[..., None]  # (1, steps, 1)
        steps = x.shape[1]
        if request.step > steps:
            raise Problem(f"step must be at most {steps}, the number of inputs in x, not {request.step}.", cause="data")
        (long, short), is_gru = request.start[0], request.cell == "GRU"
        cell = cell_of(request)
        every = gates.gru(cell, x, short) if is_gru else gates.lstm(cell, x, short, long)
        values = {name: one[0, :, 0] for name, one in every.items()}
        signs = {"update": "update z", "reset": "reset r"} if is_gru else {"forget": "forget f", "learn": "learn i", "use": "use o"}
        heads = [f"x {value:g}" for value in request.x[0]]
        yield Matrix(tag="gates", values=[values[name].tolist() for name in signs], rows=list(signs.values()), columns=heads)
        places = [float(place) for place in range(1, steps + 1)]
        for name in ("working",) if is_gru else ("long", "short"):
            yield Curve(tag=f"memory/{name}", x=places, y=values[name].tolist(), labels=("step", ""))
        before = np.concatenate([[short if is_gru else long], values["working" if is_gru else "long"][:-1]])
        kept = values["update" if is_gru else "forget"] * before
        let_in = (1 - values["update"] if is_gru else values["learn"]) * values["new"]
        for name, part in {"kept": kept, "learned": let_in}.items():
            yield Curve(tag=f"what is remembered/{name}", x=places, y=part.tolist(), labels=("step", ""))
        place = request.step - 1
        now = {name: float(one[place]) for name, one in values.items()}
        now |= {"before": float(before[place]), "kept": float(kept[place]), "learned": float(let_in[place])}
        rows: list[list[str | float]] = [[*names, f"{now[value]:.6f}"] for *names, value in (GRU_ROWS if is_gru else lstm_rows(request))]
        yield Table(tag=f"step {request.step}", columns=["the notes", "PyTorch", "formula", "value"], rows=rows)


def cell_of(request: Any) -> gates.Weights:
    """The cell's weights in PyTorch's order of gates; it has one bias for each gate, where PyTorch has two."""
    names = ("reset", "update", "new") if request.cell == "GRU" else ("learn", "forget", "new", "use")
    inputs, state, bias = np.array([getattr(request, name)[0] for name in names], float).T
    seeing = ("forget", "learn", "use") if request.peepholes == "all" else ("forget",)
    peepholes = {name: np.ones(1) for name in seeing if request.cell == "peephole"}
    return gates.Weights(inputs[:, None], state[:, None], bias, np.zeros_like(bias), peepholes)


Names = tuple[str, str, str, str]
"""The notes' name, PyTorch's, the formula, and the key of the value."""


def lstm_rows(request: Any) -> list[Names]:
    """Every number of a step of an LSTM."""
    seen = request.cell == "peephole"
    before, after = " + LTM" * seen, " + LTM'" * (seen and request.peepholes == "all")
    return [
        ("forget: factor f", "f", f"σ(w x + u STM{before} + b)", "forget"),
        ("forget: what is kept", "f c", "f LTM", "kept"),
        ("learn: factor i", "i", f"σ(w x + u STM{before * bool(after)} + b)", "learn"),
        ("learn: new N", "g", "tanh(w x + u STM + b)", "new"),
        ("learn: what is let in", "i g", "N i", "learned"),
        ("remember: LTM'", "c", "f LTM + N i", "long"),
        ("use: factor", "o", f"σ(w x + u STM{after} + b)", "use"),
        ("use: STM', the output", "h", "o tanh(LTM')", "short"),
    ]


GRU_ROWS: list[Names] = [
    ("forget: factor", "z", "σ(w x + u h + b)", "update"),
    ("forget: what is kept", "z h", "z h", "kept"),
    ("–", "r", "σ(w x + u h + b)", "reset"),
    ("learn: new", "n", "tanh(w x + b + r u h)", "new"),
    ("learn: what is let in", "(1−z) n", "(1 − z) n", "learned"),
    ("remember: the output", "h'", "z h + (1 − z) n", "working"),
]
"""Every number of a step of a GRU, whose one memory is also its output."""
