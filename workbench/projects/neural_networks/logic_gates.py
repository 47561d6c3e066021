"""A perceptron, or three of them, on two inputs: the truth table, the line and the plane that its weights make, in NumPy."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from workbench.events import Curve, Event, Matrix, Scatter, Table
from workbench.training.project import Matrix as MatrixField
from workbench.training.project import Project, only

GATES = {"AND": (0, 0, 0, 1), "OR": (0, 1, 1, 1), "NAND": (1, 1, 1, 0), "NOR": (1, 0, 0, 0), "XOR": (0, 1, 1, 0)}
"""The outputs for the inputs of CORNERS, in their order."""
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
ROWS, COLUMNS = 16, 36
"""Points of the plane at which the output is computed: what a panel of 38 x 9 half cells shows one by one."""

ONE = {"network": "one unit"}
THREE = {"network": "three units"}


class LogicGates(Project):
    """Shows what one perceptron computes, and that three of them compute XOR."""

    class Request(Project.Request):
        network: Literal["one unit", "three units"] = "one unit"
        """One perceptron; or two side by side with a third on their outputs."""
        w1: float = only(2.0, when=ONE, ge=-10, le=10, step=0.5)
        """Weight of the first input; a larger one lets x1 count for more, and turns the line."""
        w2: float = only(1.0, when=ONE, ge=-10, le=10, step=0.5)
        """Weight of the second input; a larger one lets x2 count for more, and turns the line."""
        bias: float = only(-18.0, when=ONE, ge=-20, le=20, step=0.5)
        """The number added to the weighted sum; raising it makes more of the plane positive."""
        units: Annotated[list[list[float]], MatrixField(3, 3, -20, 20, 0.5)] = only([[1, 1, -0.5], [-1, -1, 1.5], [1, 1, -1.5]], when=THREE)
        """Two weights and a bias for each unit, a row each: the hidden ones, at first OR and NAND, and the output, AND."""
        activation: Literal["step", "sigmoid"] = "step"
        """What a unit makes of its score: 1 from 0 on and else 0; or the sigmoid, a probability that is one half at 0."""
        x1: float = only(7.0, when=ONE, ge=-10, le=10, step=0.1)
        """First input of the point whose score is shown."""
        x2: float = only(6.0, when=ONE, ge=-10, le=10, step=0.1)
        """Second input of that point."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The truth table, the lines, for one unit the point's score, the gates that the table agrees with, and the plane."""
        one = request.network == "one unit"
        units = [[request.w1, request.w2, request.bias]] if one else request.units
        names = ["output"] if one else ["hidden 1", "hidden 2", "output"]
        points = np.vstack([CORNERS, [request.x1, request.x2]]) if one else CORNERS
        _, at_corners = outputs(CORNERS, units, request.activation)
        rows: list[list[str | float]] = [[*corner, *results] for corner, results in zip(CORNERS.tolist(), at_corners.tolist(), strict=True)]
        yield Table(tag="truth table", columns=["x1", "x2", *names], rows=rows)
        positive = at_corners[:, -1] >= 0.5
        low, high = points.min(0) - 0.5, points.max(0) + 0.5
        marks = ["positive" if corner else "negative" for corner in positive]
        marks += ["point"] * (len(points) - len(marks))
        yield Scatter(tag="lines/points", x=points[:, 0].tolist(), y=points[:, 1].tolist(), labels=marks)
        for name, unit in zip(names, units[:2], strict=False):
            x, y = line(unit, low, high)
            yield Curve(tag=f"lines/{name}", x=x, y=y, labels=("x1", "x2"))
        if one:
            score = float(outputs(points[-1:], units, request.activation)[0][0, 0])
            yield Table(
                tag="the point", columns=["score", "step", "sigmoid"], rows=[[score, float(score >= 0), float(sigmoid(np.array(score)))]]
            )
        rows = [[name, *map(float, gate), float((positive == gate).sum())] for name, gate in GATES.items()]
        columns = ["gate", *(f"{int(a)},{int(b)}" for a, b in CORNERS), "right of 4"]
        yield Table(tag="gates", columns=columns, rows=rows)
        _, plane = outputs(grid(low, high), units, request.activation)
        # Around 0, where the classes part: a matrix with negative values is shaded from its smallest to its largest.
        yield Matrix(tag="plane", values=(plane[:, -1].reshape(ROWS, COLUMNS) - 0.5).tolist())


def outputs(points: np.ndarray, units: Any, activation: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and outputs of every unit, the output unit last: (points, units) each. Of three, the third takes the outputs."""
    weights = np.array(units, float)
    hidden = weights[:-1]
    scores = points @ hidden[:, :2].T + hidden[:, 2]
    inner = activated(scores, activation)
    score = (inner if len(hidden) else points) @ weights[-1, :2] + weights[-1, 2]
    scores = np.column_stack([scores, score])
    return scores, activated(scores, activation)


def activated(scores: np.ndarray, activation: str) -> np.ndarray:
    """The units' outputs; a score of exactly 0 counts as positive, as in the course."""
    return (scores >= 0).astype(float) if activation == "step" else sigmoid(scores)


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−score)), without overflow; the notes leave out the minus."""
    return 0.5 * (1 + np.tanh(0.5 * scores))


def grid(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The points of the plane from the highest x2 down, row by row, as a matrix shows them: (ROWS · COLUMNS, 2)."""
    across, down = np.meshgrid(np.linspace(low[0], high[0], COLUMNS), np.linspace(high[1], low[1], ROWS))
    return np.column_stack([across.ravel(), down.ravel()])


def line(unit: Any, low: np.ndarray, high: np.ndarray) -> tuple[list[float], list[float]]:
    """The ends of the line on which the unit's score is 0, inside the rectangle; empty where it misses it or has no direction."""
    (a, b, bias), ends = unit, set()
    for x in (low[0], high[0]):
        if b and low[1] <= (y := -(a * x + bias) / b) <= high[1]:
            ends.add((float(x), float(y)))
    for y in (low[1], high[1]):
        if a and low[0] <= (x := -(b * y + bias) / a) <= high[0]:
            ends.add((float(x), float(y)))
    return [x for x, _ in sorted(ends)], [y for _, y in sorted(ends)]
