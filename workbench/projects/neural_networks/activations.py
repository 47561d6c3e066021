"""Activation functions and their derivatives, and what is left of a gradient after many layers of them, in NumPy."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.events import Curve, Event, Scatter, Table
from workbench.training.project import Field, Project

NAMES = ("sigmoid", "tanh", "relu", "leaky relu")
LEAK = 0.01
"""Slope of leaky ReLU below 0: small enough to be nearly ReLU, and no unit's gradient is ever 0."""
REACH = 6.0
"""Sums are drawn from minus to plus this: beyond, a sigmoid's derivative is below 0.25 %."""


class Activations(Project):
    """Shows activation functions at a sum, and how their derivatives multiply over layers."""

    class Request(Project.Request):
        activation: Literal["sigmoid", "tanh", "relu", "leaky relu"] = "sigmoid"
        """The function whose derivatives are multiplied; the tables and curves show all four."""
        sum: float = Field(0.0, ge=-REACH, le=REACH, json_schema_extra={"step": 0.25})
        """A unit's weighted sum of its inputs; the further it lies from 0, the flatter are sigmoid and tanh."""
        layers: int = Field(10, ge=1, le=30)
        """Layers that a gradient passes through on its way back; each multiplies it by weight times derivative."""
        weight: float = Field(1.0, ge=0, le=5, json_schema_extra={"step": 0.25})
        """The weight on the way between two layers; raised above 1 / derivative, the gradient explodes instead of vanishing."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The functions and derivatives at the sum, their curves, and the gradient's factor over the layers."""
        at = np.array(request.sum)
        rows: list[list[str | float]] = []
        for name in NAMES:
            slope = float(derivative(name, at))
            rows.append([name, float(activated(name, at)), slope, (request.weight * slope) ** request.layers])
        columns = ["activation", "value", "derivative", f"{request.layers} layers"]
        yield Table(tag="at the sum", columns=columns, rows=rows)
        sums = np.linspace(-REACH, REACH, 97)
        for name in NAMES:
            # ReLU itself would leave the others no room.
            shown = sums <= 2 if "relu" in name else np.full(sums.shape, True)
            yield Curve(tag=f"value/{name}", x=sums[shown].tolist(), y=activated(name, sums[shown]).tolist(), labels=("sum", "value"))
        yield Scatter(tag="value/now", x=[request.sum], y=[float(activated(request.activation, at))], labels=["now"])
        for name in NAMES:
            yield Curve(tag=f"derivative/{name}", x=sums.tolist(), y=derivative(name, sums).tolist(), labels=("sum", "derivative"))
        yield Scatter(tag="derivative/now", x=[request.sum], y=[float(derivative(request.activation, at))], labels=["now"])
        depths = np.arange(31)
        for name in dict.fromkeys((request.activation, *NAMES)):
            factor = request.weight * float(derivative(name, at))
            # A factor of 0 has no logarithm: the gradient ends there, and so does the curve.
            logs = depths * np.log10(factor) if factor else np.zeros(1)
            yield Curve(tag=f"gradient/{name}", x=depths[: len(logs)].tolist(), y=logs.tolist(), labels=("layers", "log₁₀ of its factor"))
        factor = request.weight * float(derivative(request.activation, at))
        if factor:
            yield Scatter(tag="gradient/now", x=[request.layers], y=[request.layers * float(np.log10(factor))], labels=["now"])
        lost: list[list[str | float]] = []
        for layers in sorted({1, 2, 3, 5, request.layers}):
            left = factor**layers
            lost.append([str(layers), left, f"{100 * (1 - left):.6g} %" if left <= 1 else "none: it grows"])
        yield Table(tag=f"lost by {request.activation}", columns=["layers", "what is left", "lost"], rows=lost)


def activated(name: str, sums: np.ndarray) -> np.ndarray:
    """The activation of any sums, without overflow."""
    if name == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * sums)))
    if name == "tanh":
        return np.asarray(np.tanh(sums))
    return np.where(sums > 0, sums, sums * (LEAK if name == "leaky relu" else 0))


def derivative(name: str, sums: np.ndarray) -> np.ndarray:
    """Its derivative; of ReLU at 0, where there is none, what is taken in practice: the slope below 0."""
    value = activated(name, sums)
    if name == "sigmoid":
        return np.asarray(value * (1 - value))
    if name == "tanh":
        return np.asarray(1 - value**2)
    return np.where(sums > 0, 1.0, LEAK if name == "leaky relu" else 0.0)
