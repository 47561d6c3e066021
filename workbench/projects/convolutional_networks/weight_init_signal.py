"""Sends noise through a stack of layers with random weights, forward and back, in NumPy: which starts keep a signal's size."""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from workbench.events import Curve, Event, Table
from workbench.training.project import Field, Project

Start = Literal["zeros", "ones", "uniform-0-1", "uniform-0.5", "uniform-rule", "normal-rule", "default", "he"]

EXAMPLES = 64
"""Rows of noise that are sent through."""
BINS = 41
"""Bars of a histogram: odd, so that one is at 0."""


class WeightInitSignal(Project):
    """Follows the size of a signal and of its gradient through layers whose weights were only just drawn."""

    class Request(Project.Request):
        initialisation: Start = "normal-rule"
        """How weights are drawn, with n inputs of a layer: -rule is ±1/√n or a deviation of 1/√n, he a deviation of √(2/n)."""
        gain: float = Field(1.0, ge=0.1, le=3, json_schema_extra={"step": 0.05})
        """Factor of all weights; a higher one makes the signal grow from layer to layer, or shrink less."""
        activation: Literal["relu", "tanh", "sigmoid", "none"] = "relu"
        """What each layer does to its sums: relu drops the negative half, tanh and sigmoid squeeze large ones."""
        layers: int = Field(10, ge=1, le=16)
        """Layers in the stack; more of them raise every factor to a higher power."""
        width: int = Field(256, ge=16, le=256, json_schema_extra={"step": 16})
        """Units of each layer, n; more units bring what is measured nearer to what is expected."""
        seed: int = Field(1, ge=0, le=100)
        """Which random numbers are drawn; another one shows how much is chance."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The root mean square of each layer's output and of the gradient there, histograms, and all starts side by side."""
        # A seed of [1, 0] is the seed 1: so the layers count from 1, or the noise would be the first weights.
        rng = np.random.default_rng([request.seed, 0])
        size = request.width
        signal = rng.normal(size=(EXAMPLES, size))
        stack, sums, outputs = [], [], [signal]
        for layer in range(1, request.layers + 1):
            stack.append(request.gain * drawn(request.initialisation, size, request.seed, layer))
            sums.append(outputs[-1] @ stack[-1].T)
            outputs.append(activated(sums[-1], request.activation))
        # Noise comes back from the end as a gradient would: how large it is there does not matter, only what is left of it.
        gradient = rng.normal(size=(EXAMPLES, size))
        gradients = [gradient]
        for weights, total, output in reversed(list(zip(stack, sums, outputs[1:], strict=True))):
            gradient = gradient * slope(total, output, request.activation) @ weights
            gradients.insert(0, gradient)

        depth = list(range(request.layers + 1))
        forward, backward = [[rms(values) for values in of] for of in (outputs, gradients)]
        factor = expected(request.initialisation, size, request.gain) if request.activation == "relu" else None
        yield from curves("signal", depth, forward, factor)
        # What comes back loses as much in each layer: with as many units before it as behind, both ways add n products.
        yield from curves("gradient", depth, backward, factor, back=True)
        first = max(rms(sums[0]), 1e-300)
        edges = np.linspace(-3 * first, 3 * first, BINS + 1)
        for layer in dict.fromkeys([1, (request.layers + 1) // 2, request.layers]):
            counts = np.histogram(sums[layer - 1], edges)[0]
            shares = counts / sums[layer - 1].size
            middles = (edges[1:] + edges[:-1]) / 2
            yield Curve(tag=f"sums/layer {layer}", x=middles.tolist(), y=shares.tolist(), labels=("sum of a unit", "share"))
        rows: list[list[str | float]] = []
        for layer in depth:
            before = forward[layer - 1] if layer else 0.0
            zeros = float(np.mean(outputs[layer] == 0))
            rows.append([str(layer), forward[layer], forward[layer] / before if before else "–", zeros, backward[layer]])
        yield Table(tag="layers", columns=["layer", "output", "× before", "zeros", "gradient"], rows=rows)
        yield starts(size, request.gain, request.layers)


# Held while only the gain, the activation or the number of layers changes: to draw them takes half of the time.
@lru_cache(32)
def drawn(start: str, size: int, seed: int, layer: int) -> np.ndarray:
    """The weights of a layer of `size` units with as many inputs, (size, size)."""
    shape, rng = (size, size), np.random.default_rng([seed, layer])
    if start in ("zeros", "ones"):
        return np.full(shape, float(start == "ones"))
    if start in ("normal-rule", "he"):
        return deviation(start, size) * rng.normal(size=shape)
    low, high = bounds(start, size)
    return rng.uniform(low, high, shape)


def bounds(start: str, size: int) -> tuple[float, float]:
    """Between which weights are drawn evenly. PyTorch's `default` is Kaiming's √(6/((1 + a²)n)) with a = √5, which is 1/√n."""
    if start == "uniform-0-1":
        return 0.0, 1.0
    half = {"uniform-0.5": 0.5, "uniform-rule": 1 / math.sqrt(size), "default": math.sqrt(6 / ((1 + 5) * size))}[start]
    return -half, half


def deviation(start: str, size: int) -> float:
    """Standard deviation of a weight."""
    if start in ("zeros", "ones"):
        return 0.0
    if start in ("normal-rule", "he"):
        return math.sqrt((2 if start == "he" else 1) / size)
    low, high = bounds(start, size)
    return (high - low) / math.sqrt(12)


def expected(start: str, size: int, gain: float) -> float | None:
    """Factor of the root mean square from one layer to the next with ReLU, for weights with mean 0: √(n · variance / 2).

    A sum of n products has n times the variance, of which ReLU keeps half (He et al. 2015). None where the mean is not 0.
    """
    if start in ("ones", "uniform-0-1"):
        return None
    return gain * deviation(start, size) * math.sqrt(size / 2)


def activated(sums: np.ndarray, activation: str) -> np.ndarray:
    """What a layer passes on of its sums."""
    if activation == "relu":
        return np.asarray(np.maximum(sums, 0))
    if activation == "sigmoid":
        # By tanh: exp(-sums) would overflow.
        return np.asarray(0.5 + 0.5 * np.tanh(sums / 2))
    return np.asarray(np.tanh(sums)) if activation == "tanh" else sums


def slope(sums: np.ndarray, outputs: np.ndarray, activation: str) -> np.ndarray:
    """The activation's derivative at these sums."""
    if activation == "relu":
        return (sums > 0).astype(float)
    if activation == "sigmoid":
        return np.asarray(outputs * (1 - outputs))
    return np.asarray(1 - outputs**2) if activation == "tanh" else np.ones_like(sums)


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def curves(panel: str, depth: list[int], measured: list[float], factor: float | None, back: bool = False) -> Iterator[Event]:
    """What is measured at each layer, and what is expected from its first value on, or from its last one back.

    As logarithms: with the same factor in each layer they are a straight line. What is 0 has none, and is left out.
    """
    lines = {"measured": measured}
    if factor is not None:
        lines["expected"] = [measured[-1] * factor ** (depth[-1] - layer) if back else measured[0] * factor**layer for layer in depth]
    for name, values in lines.items():
        points = [(float(layer), math.log10(value)) for layer, value in zip(depth, values, strict=True) if value > 0]
        x, y = [layer for layer, _ in points], [power for _, power in points]
        yield Curve(tag=f"{panel}/{name}", x=x, y=y, labels=("layer", "log10 of its size, rms"))


def starts(size: int, gain: float, layers: int) -> Table:
    """Every start: the deviation of a weight, and by ReLU the factor of one layer and of all."""
    rows: list[list[str | float]] = []
    for start in Start.__args__:  # type: ignore[attr-defined]
        factor = expected(start, size, gain)
        rows.append(
            [
                start,
                gain * deviation(start, size),
                *(["grows"] * 2 if factor is None else [f"{power:.6g}" for power in (factor, factor**layers)]),
            ]
        )
    return Table(tag="starts", columns=["start", "deviation", "a layer", f"{layers} layers"], rows=rows)
