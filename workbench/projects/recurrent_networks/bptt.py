"""Back-propagation through time by hand, in NumPy: each term of a gradient, factor by factor, vanishing, exploding, clipping."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from workbench.events import Curve, Event, Table, Text
from workbench.training.project import Field, Project
from workbench.training.project import Matrix as MatrixField

NUDGE = 1e-6
"""Half the distance of a finite difference. Its error falls with the square of this, and rounding grows with its inverse."""
WRITTEN = 3
"""Steps that the unfolded formula writes out at either end of a longer series."""
STEEPEST = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0, "identity": 1.0}
"""The largest derivative of each activation."""
AFTER = (10, 100)
"""Steps after which it is shown what is left of a gradient."""
WEIGHTS = ("W_x", "W_s", "W_y")
"""In the order of a gradient."""

Inputs = Annotated[list[list[float]], MatrixField(1, (3, 100), -10, 10, 0.1)]
Pair = Annotated[list[list[float]], MatrixField(1, 2, -100, 100, 1)]


class Bptt(Project):
    """Follows the error of the last step back through the unfolded network, to the three weights that all steps share."""

    class Request(Project.Request):
        inputs: Inputs = [[1, 0.5, -1]]
        """The series x, a number for each step; zeros hide mistakes, as the terms that a zero multiplies are 0."""
        W_x: float = Field(1.0, ge=-3, le=3, json_schema_extra={"step": 0.1})
        """Weight of the input; a larger one lets each step's own input count for more."""
        W_s: float = Field(0.5, ge=-3, le=3, json_schema_extra={"step": 0.1})
        """Weight of what the step before hands on; the gradient is multiplied by it at every step back."""
        W_y: float = Field(2.0, ge=-3, le=3, json_schema_extra={"step": 0.1})
        """Weight of the output, y = W_y s; with a Jordan network it lies on the way back, too."""
        d: float = Field(1.0, ge=-10, le=10, json_schema_extra={"step": 0.1})
        """What the last output should be; the further it is off, the larger are all gradients."""
        activation: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh"
        """Activation of the state; its slope is the other factor of every step back."""
        network: Literal["Elman", "Jordan"] = "Elman"
        """What a step hands on: its state, as Elman's network; or its output, as Jordan's."""
        weight: Literal["W_s", "W_x", "W_y"] = "W_s"
        """The weight whose gradient is shown term by term."""
        truncate: int = Field(0, ge=0, le=100)
        """How many terms count, from the last step back: truncated back-propagation; 0, or more than there are steps, counts all."""
        clip: Literal["norm", "value"] = "norm"
        """How a long gradient is clipped: as a whole, to a length, which keeps its direction; or each number for itself."""
        threshold: float = Field(1.0, ge=0.1, le=20, json_schema_extra={"step": 0.1})
        """The largest length, or the largest absolute number; lower clips more often."""
        vector: Pair = [[3, 4]]
        """An example of two numbers, which is clipped in both ways."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The terms of one gradient, how it shrinks with the steps back, the states, both formulas, the gradients, clipping."""
        weights = request.W_x, request.W_s, request.W_y
        now = forward(request, weights)
        terms = backward(request, weights, now)
        used = terms.used(request.truncate)
        yield Table(tag="terms", columns=["i", "factors", "factor", "product", "immediate", "term"], rows=term_rows(request, terms))
        yield from fall(request, terms, used)
        steps = list(map(float, range(len(now.states))))
        for name, values in (("s", now.states), ("y", now.outputs)):
            yield Curve(tag=f"states/{name}", x=steps, y=values.tolist(), labels=("step", "value"))
        yield Text(tag="formula", text=formula(request, now, used))
        gradient = terms.gradient(request.truncate)
        differences = finite_differences(request, weights)
        rows: list[list[str | float]] = [
            [name, *digits(*values)] for name, *values in zip(WEIGHTS, gradient, differences, clipped(gradient, request), strict=True)
        ]
        lengths = [math.hypot(*vector) for vector in (gradient, differences, clipped(gradient, request))]
        yield Table(tag="gradient", columns=["weight", "by hand", "differences", "clipped"], rows=[*rows, ["length", *digits(*lengths)]])
        yield clipping(request)
        yield left(request)


# -- forward and back ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """What the forward pass of a series of N steps computes."""

    states: np.ndarray
    """(N + 1,): s₀ = 0, then the state of each step."""
    outputs: np.ndarray
    """(N + 1,): y₀ = 0, then the output of each step."""
    slopes: np.ndarray
    """(N,): the activation's derivative at each step."""
    error: float
    """(d − y_N)², as the notes have it here; their feed-forward recap has half of it."""


@dataclass(frozen=True)
class Terms:
    """The terms of the three gradients of the last error, from the last step back: place k of each array has k state-to-state factors."""

    factors: np.ndarray
    """(N − 1,): ∂s_N/∂s_N-1, ∂s_N-1/∂s_N-2 …"""
    products: np.ndarray
    """(N,): ∂s_N/∂s_N = 1, ∂s_N/∂s_N-1 …, each the one before times a factor."""
    heads: dict[str, float]
    """What all terms of a weight begin with: ∂E/∂s_N, for W_y ∂E/∂y_N."""
    immediate: dict[str, np.ndarray]
    """(N,) by weight: ∂s_i/∂W with the state before held fixed. Its total would count the ways through earlier states twice."""

    def terms(self, weight: str) -> np.ndarray:
        """(N,) terms, or one where the weight is not on the way from step to step."""
        immediate = self.immediate[weight]
        products: np.ndarray = self.heads[weight] * self.products[: len(immediate)] * immediate
        return products

    def used(self, truncate: int) -> int:
        """How many terms count."""
        return min(truncate, len(self.products)) if truncate else len(self.products)

    def gradient(self, truncate: int = 0) -> list[float]:
        """∂E/∂W of W_x, W_s, W_y."""
        return [float(self.terms(weight)[: self.used(truncate)].sum()) for weight in WEIGHTS]


def activated(kind: str, total: float) -> float:
    """The state of a step."""
    if kind == "tanh":
        return math.tanh(total)
    if kind == "sigmoid":
        return 0.5 * (1 + math.tanh(0.5 * total))  # without overflow far below zero
    return max(0.0, total) if kind == "relu" else total


def slope(kind: str, state: float) -> float:
    """The activation's derivative, by its own output; ReLU's at 0 is taken as 0."""
    if kind == "tanh":
        return 1 - state**2
    if kind == "sigmoid":
        return state * (1 - state)
    return float(state > 0) if kind == "relu" else 1.0


def forward(request: Any, weights: Sequence[float]) -> Pass:
    """s_t = φ(W_x x_t + W_s h_t-1) and y_t = W_y s_t, where a step hands on h = s (Elman) or h = y (Jordan)."""
    from_input, from_before, to_output = weights
    states, outputs = [0.0], [0.0]
    for x in request.inputs[0]:
        before = states[-1] if request.network == "Elman" else outputs[-1]
        states.append(activated(request.activation, from_input * x + from_before * before))
        outputs.append(to_output * states[-1])
    slopes = [slope(request.activation, state) for state in states[1:]]
    return Pass(np.array(states), np.array(outputs), np.array(slopes), (request.d - outputs[-1]) ** 2)


def backward(request: Any, weights: Sequence[float], now: Pass) -> Terms:
    """∂E/∂W = Σ over i of ∂E/∂y_N · ∂y_N/∂s_N · ∂s_N/∂s_i · ∂s_i/∂W, the last factor immediate."""
    _, from_before, to_output = weights
    jordan = request.network == "Jordan"
    slopes = now.slopes[::-1]  # from the last step back
    factors = slopes[:-1] * from_before * (to_output if jordan else 1.0)
    products = np.concatenate([[1.0], np.cumprod(factors)])
    handed_on = (now.outputs if jordan else now.states)[-2::-1]
    states = now.states[:0:-1]
    to_error = -2 * (request.d - now.outputs[-1])
    # Elman's network hands on its state alone: W_y acts once, at the last step. Jordan's hands on W_y s.
    immediate = {"W_x": slopes * np.array(request.inputs[0])[::-1], "W_s": slopes * handed_on, "W_y": states if jordan else states[:1]}
    return Terms(factors, products, {"W_x": to_error * to_output, "W_s": to_error * to_output, "W_y": to_error}, immediate)


def finite_differences(request: Any, weights: Sequence[float]) -> list[float]:
    """The same three gradients, all terms, by central differences of the error: two forward passes each. Only a check."""
    moves = NUDGE * np.eye(len(weights))
    lower, upper = ([forward(request, (np.array(weights) + sign * move).tolist()).error for move in moves] for sign in (-1, 1))
    return [(above - below) / (2 * NUDGE) for below, above in zip(lower, upper, strict=True)]


def clip(vector: list[float], kind: str, threshold: float) -> list[float]:
    """A vector, by norm scaled down to a length (Pascanu, Mikolov and Bengio, arXiv 1211.5063), or by value each number cut (the notes)."""
    if kind == "value":
        return [max(-threshold, min(threshold, value)) for value in vector]
    length = math.hypot(*vector)  # without the overflow of a square
    return [value / length * threshold for value in vector] if length > threshold else vector


def clipped(gradient: list[float], request: Any) -> list[float]:
    """A gradient as the request clips it."""
    return clip(gradient, request.clip, request.threshold)


# -- what is shown ------------------------------------------------------------------------------------------------------------------------


def digits(*values: float) -> list[str | float]:
    """Seven significant digits, as a table rounds to four decimals; -0 as 0."""
    return [f"{value + 0.0:.7g}" for value in values]


def term_rows(request: Any, terms: Terms) -> list[list[str | float]]:
    """A row for each step i from the last back, as far as the gradient is not truncated, and the sum."""
    last = len(terms.products)
    values = terms.terms(request.weight)[: terms.used(request.truncate)]
    rows: list[list[str | float]] = []
    for place, value in enumerate(values):
        factor = digits(terms.factors[place - 1]) if place else [""]
        immediate = terms.immediate[request.weight][place]
        rows.append([str(last - place), str(place), *factor, *digits(terms.products[place], immediate, value)])
    return [*rows, ["sum", "", "", "", "", *digits(values.sum())]]


def fall(request: Any, terms: Terms, used: int) -> Iterator[Curve]:
    """|∂E/∂s_i| over the steps back, in powers of ten; what truncation leaves out apart; and the most that the factors allow."""
    axes = ("steps back", "log10 |∂E/∂s|")
    sizes = np.abs(terms.heads["W_s"] * terms.products)
    steps = np.arange(len(sizes))
    most = abs(terms.heads["W_s"]) * steepest(request) ** steps
    # A ReLU that is off passes nothing on, and 0 has no logarithm.
    parts = {"by step": (sizes > 0) & (steps < used), "left out": (sizes > 0) & (steps >= used), "at most": most > 0}
    for name, shown in parts.items():
        if shown.any():
            values = np.log10((most if name == "at most" else sizes)[shown])
            yield Curve(tag=f"gradient back/{name}", x=steps[shown].tolist(), y=values.tolist(), labels=axes)


def steepest(request: Any) -> float:
    """The largest factor that a step back can have: where the activation is steepest."""
    return float(STEEPEST[request.activation] * abs(request.W_s * (request.W_y if request.network == "Jordan" else 1)))


def left(request: Any) -> Table:
    """What is left of a gradient after ten and a hundred steps with the same factor."""
    known = {"this network, at most": steepest(request), "0.9": 0.9, "1.1": 1.1, "sigmoid, W_s 1, at most": 0.25}
    rows: list[list[str | float]] = [[name, *digits(factor, *(factor**steps for steps in AFTER))] for name, factor in known.items()]
    return Table(tag="products", columns=["factor of", "1 step", *(f"{steps} steps" for steps in AFTER)], rows=rows)


def clipping(request: Any) -> Table:
    """The example vector, clipped in both ways."""
    vector = request.vector[0]
    ways = {"as it is": vector, **{f"by {kind}": clip(vector, kind, request.threshold) for kind in ("norm", "value")}}
    rows: list[list[str | float]] = [[name, *digits(*values, math.hypot(*values))] for name, values in ways.items()]
    return Table(tag="clipping", columns=["vector", "first", "second", "length"], rows=rows)


def formula(request: Any, now: Pass, used: int) -> str:
    """The folded network, the same unfolded with its numbers, and the sum that makes the gradient."""
    name = {"tanh": "tanh", "sigmoid": "σ", "relu": "ReLU", "identity": ""}[request.activation]
    handed_on, values = ("s", now.states) if request.network == "Elman" else ("y", now.outputs)
    last = len(request.inputs[0])
    lines = [
        f"folded    s(t) = {name}(W_x x(t) + W_s {handed_on}(t−1))",
        "          y(t) = W_y s(t)",
        f"          E = (d − y({last}))²",
        "",
    ]
    for step, x in enumerate(request.inputs[0], 1):
        if WRITTEN < step <= last - WRITTEN:
            if step == WRITTEN + 1:
                lines.append("          …")
            continue
        head = "unfolded  " if step == 1 else " " * 10
        total = f"{request.W_x:g}·{signed(x)} + {request.W_s:g}·{signed(values[step - 1])}"
        lines.append(f"{head}s{step} = {name}({total}) = {now.states[step]:.6g}")
    lines.append(f"          y{last} = {request.W_y:g}·{signed(now.states[-1])} = {now.outputs[-1]:.7g}, E = {now.error:.7g}")
    first = 1 if request.weight != "W_y" or request.network == "Jordan" else last
    begin = max(first, last - used + 1)
    middle = f"∂y{last}/∂y(i) · ∂y(i)" if request.weight == "W_y" else f"∂y{last}/∂s{last} · ∂s{last}/∂s(i) · ∂s(i)"
    lines += ["", f"gradient  ∂E/∂{request.weight} = Σ ∂E/∂y{last} · {middle}/∂{request.weight}", f"          over i = {begin} … {last}"]
    return "\n".join(lines)


def signed(value: float) -> str:
    """A number as a factor: a negative one in brackets."""
    return f"({value:.6g})" if value < 0 else f"{value:.6g}"
