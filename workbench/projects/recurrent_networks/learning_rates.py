"""What a learning rate, its decay, an optimizer and a batch size do, in NumPy: descent on w², and gradients of batches of 100 points."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from workbench.datasets import points
from workbench.events import Curve, Event, Scatter, Table
from workbench.training.project import Field, Project, only

RATES = (0.01, 0.1, 0.5, 0.9, 1.0, 1.1)
"""Learning rates whose ends are shown side by side: for w² every step multiplies w by 1 − 2 · rate."""
BATCHES = {"1": 1, "32": 32, "all": None}
"""Batch sizes by name; None: all points."""
DRAWS = 100
"""Batches of each size whose gradients are shown: as many as there are points, so that those of size 1 are all that there are."""
EPOCHS = 20
SEEN = 2.2
"""The error curve is drawn at least this far; a start lies between −2 and 2."""
FAR = 5.0
"""Points of a path that diverges are left out beyond this, where the curve could no longer be seen."""
EPSILON = {"Adam": 1e-8, "AdaGrad": 1e-10}
"""As in PyTorch."""


class LearningRates(Project):
    """Descends on E = w² step by step, and on the 100 points of gradient descent in batches."""

    datasets = ("gradient-descent",)

    class Request(Project.Request):
        rate: float = Field(0.1, ge=0.01, le=1.5, json_schema_extra={"step": 0.05})
        """The learning rate on w²; 0.5 is there in one step, above that it overshoots, above 1 it diverges."""
        decay: Literal["none", "linear", "exponential"] = "none"
        """How the rate falls over the steps: not at all, by equal amounts, or by equal factors."""
        last_share: float = only(0.1, when={"decay": ["linear", "exponential"]}, ge=0.001, le=1, step=0.05)
        """Share of the rate at the end of the steps; lower takes smaller steps on the way."""
        optimizer: Literal["gradient descent", "AdaGrad", "Adam"] = "gradient descent"
        """Whose path stands on the curve: AdaGrad and Adam divide by the gradients' size so far, so their first step is the rate."""
        start: float = Field(1.0, ge=-2, le=2, json_schema_extra={"step": 0.1})
        """The weight before the first step; farther off, gradient descent steps further, the other two do not."""
        steps: int = Field(10, ge=1, le=100)
        """Steps on w²; more show whether it settles."""
        points_rate: float = Field(1.0, ge=0.01, le=20, json_schema_extra={"step": 0.5})
        """The learning rate on the points; higher learns faster, and shows more of the noise of small batches."""

    def build_data(self) -> None:
        self.points, self.labels = points.read()

    def sample(self, request: Any) -> Iterator[Event]:
        """The path on the error curve, w by optimizer, the rate, where rates end; then gradients and losses of batches."""
        rates = rates_of(request.rate, request.decay, request.last_share, request.steps)
        paths = {name: path(request.start, rates, name) for name in ("gradient descent", "AdaGrad", "Adam")}
        chosen = paths[request.optimizer]
        seen = chosen[np.abs(chosen) <= FAR]
        sides = max(SEEN, float(np.abs(seen).max(initial=0)))
        axis = np.linspace(-sides, sides, 81)
        yield Curve(tag="error/w²", x=axis.tolist(), y=(axis**2).tolist(), labels=("w", "E"))
        names = ["path"] * (len(seen) - 1) + ["end" if len(seen) == len(chosen) else "path"] * (len(seen) > 0)
        yield Scatter(tag="error/path", x=seen.tolist(), y=(seen**2).tolist(), labels=names)
        for name, weights in paths.items():
            yield Curve(tag=f"w over steps/{name}", x=list(range(len(weights))), y=weights.tolist(), labels=("step", "w"))
        for decay in ("none", "linear", "exponential"):
            curve = rates_of(request.rate, decay, request.last_share, request.steps)
            yield Curve(tag=f"learning rate/{decay}", x=list(range(len(curve))), y=curve.tolist(), labels=("step", "rate"))
        rows: list[list[str | float]] = []
        for rate in RATES:
            end = float(path(request.start, np.full(request.steps, rate), "gradient descent")[-1])
            rows.append([f"{rate:g}", float(f"{1 - 2 * rate:.6g}"), end, verdict(rate)])
        yield Table(tag="rates", columns=["rate", "factor", f"w after {request.steps}", ""], rows=rows)
        yield self.gradients()
        for name, size in BATCHES.items():
            seen_points, losses = self.descent(size, request.points_rate)
            yield Curve(tag=f"loss by batch size/{name}", x=seen_points, y=losses, labels=("points seen", "loss of all"))

    # -- the 100 points ------------------------------------------------------------------------------------------------------------------

    def gradients(self) -> Scatter:
        """Gradients of batches at the first weights, zeros: of w₁ and w₂, by batch size, each with the spread that theory gives it."""
        single = self.by_point()
        random = np.random.default_rng(0)
        drawn, names = [], []
        for name, size in BATCHES.items():
            number = len(single)
            if size == 1:
                batches = single
            elif size is None:
                batches = single.mean(axis=0, keepdims=True)
            else:
                batches = np.array([single[random.choice(number, min(size, number), replace=False)].mean(axis=0) for _ in range(DRAWS)])
            drawn.append(batches)
            names += [f"{name}, SD {spread(single, size):.3f}"] * len(batches)
        x, y = np.concatenate(drawn)[:, :2].T
        return Scatter(tag="gradients of batches", x=x.tolist(), y=y.tolist(), labels=names)

    def by_point(self) -> np.ndarray:
        """The gradient of each point's log-loss by w₁, w₂ and bias where all are zero, (points, 3)."""
        return np.asarray(self.error(np.zeros(3))[:, None] * self.inputs)

    @property
    def inputs(self) -> np.ndarray:
        """The points with a 1 for the bias, (points, 3)."""
        return np.column_stack([self.points, np.ones(len(self.points))])

    def error(self, weights: np.ndarray) -> np.ndarray:
        """Probability minus class of each point."""
        return np.asarray(0.5 * (1 + np.tanh(0.5 * self.inputs @ weights)) - self.labels)

    def descent(self, size: int | None, rate: float) -> tuple[list[float], list[float]]:
        """The log-loss of all points over the points seen, in batches of a size, each epoch in an order of its own; from zeros."""
        inputs, labels, random = self.inputs, self.labels, np.random.default_rng(0)
        weights, number, history = np.zeros(3), len(inputs), [np.zeros(3)]
        for _ in range(EPOCHS):
            order = random.permutation(number)
            for begin in range(0, number, size or number):
                batch = order[begin : begin + (size or number)]
                rows = inputs[batch]
                weights = weights - rate * (0.5 * (1 + np.tanh(0.5 * rows @ weights)) - labels[batch]) @ rows / len(batch)
                history.append(weights)
        seen = [0, *np.cumsum([min(size or number, number - begin) for begin in range(0, number, size or number)] * EPOCHS).tolist()]
        # Of single points every tenth place: the curve is the same to the eye, and 2,000 places would take most of the answer's time.
        chosen = slice(None, None, 10 if size == 1 else 1)
        scores = inputs @ np.array(history[chosen]).T
        losses = np.logaddexp(0, np.where(labels[:, None] == 1, -scores, scores)).mean(axis=0)
        return [float(place) for place in seen[chosen]], losses.tolist()


def rates_of(rate: float, decay: str, last_share: float, steps: int) -> np.ndarray:
    """The rate of each step: it begins as `rate`, and `last_share` of it would be the one after the last step."""
    done = np.arange(steps) / steps
    share = {"none": np.ones(steps), "linear": 1 - (1 - last_share) * done, "exponential": last_share**done}[decay]
    return np.asarray(rate * share)


def path(start: float, rates: Sequence[float] | np.ndarray, optimizer: str) -> np.ndarray:
    """w before the first step and after each, on E = w² whose gradient is 2w, (steps + 1,)."""
    weights, step = [float(start)], STEPS[optimizer]()
    for rate in rates:
        weights.append(weights[-1] - float(rate) * step(2 * weights[-1]))
    return np.array(weights)


Direction = Callable[[float], float]
"""A gradient → what the learning rate multiplies."""


def plain() -> Direction:
    """Gradient descent follows the gradient itself."""
    return lambda gradient: gradient


def adagrad() -> Direction:
    """Duchi, Hazan and Singer 2011: divided by the root of the sum of all squares so far."""
    squares = 0.0

    def direction(gradient: float) -> float:
        nonlocal squares
        squares += gradient**2
        return gradient / (math.sqrt(squares) + EPSILON["AdaGrad"])

    return direction


def adam(first: float = 0.9, second: float = 0.999) -> Direction:
    """Kingma and Ba 2015: a running mean of gradients, divided by the root of a running mean of squares, both corrected for their zeros."""
    mean = square = 0.0
    step = 0

    def direction(gradient: float) -> float:
        nonlocal mean, square, step
        step += 1
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * gradient**2
        return mean / (1 - first**step) / (math.sqrt(square / (1 - second**step)) + EPSILON["Adam"])

    return direction


STEPS: dict[str, Callable[[], Direction]] = {"gradient descent": plain, "AdaGrad": adagrad, "Adam": adam}
"""By the optimizer, what begins a descent without a history."""


def verdict(rate: float) -> str:
    """What becomes of gradient descent on w² at a constant rate."""
    factor = abs(1 - 2 * rate)
    if factor < 1e-12:
        return "there in one step"
    return "converges" if factor < 1 - 1e-12 else "diverges" if factor > 1 + 1e-12 else "jumps for ever"


def spread(single: np.ndarray, size: int | None) -> float:
    """Standard deviation of the gradient of w₁ and w₂ of a batch drawn without replacement: σ / √b · √((N − b) / (N − 1))."""
    number = len(single)
    size = number if size is None else min(size, number)
    variance = float(((single[:, :2] - single[:, :2].mean(axis=0)) ** 2).sum(axis=1).mean())
    return math.sqrt(variance / size * (number - size) / max(1, number - 1))
