"""Learns XOR with a layer of hidden units by full-batch gradient descent, in NumPy; some random starts never learn it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.events import Curve, Event, Matrix, Scalars, Scatter, Table
from workbench.problems import Problem
from workbench.training.project import Batches, Field, Project, Settings, live

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
TARGETS = np.array([[0], [1], [1], [0]], float)
LOW, HIGH = -0.5, 1.5
"""The plane that is shown, along both inputs."""
ROWS, COLUMNS = 16, 36
"""Points of the plane at which the probability is computed: what a panel of 38 x 9 half cells shows one by one."""
ENOUGH = 5000
"""Steps of each random start in the table: of the starts that ever learn XOR at rate 1, nearly all have by then."""

Weights = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""W1 (…, 2, hidden), b1 (…, 1, hidden), W2 (…, hidden, 1), b2 (…, 1, 1); axes before these are independent networks."""


class Xor(Project):
    """Learns XOR of two inputs: no line separates its classes, two hidden units can."""

    class Config(Settings):
        hidden: int = Field(2, ge=1, le=8)
        """Sigmoid units in the hidden layer: one fails, two are enough, and more find a solution from more starts."""
        learning_rate: float = live(1.0, gt=0)
        """Step size of gradient descent; higher learns faster, and may overshoot."""
        start: float = Field(1.0, ge=0, le=10)
        """Standard deviation of the normal distribution that all weights and biases start from; at 0 all units stay equal."""

    class Request(Project.Request):
        x1: float = Field(1.0, ge=LOW, le=HIGH, json_schema_extra={"step": 0.05})
        """First input of the point that is asked; between 0 and 1 there is no right answer, only the network's."""
        x2: float = Field(0.0, ge=LOW, le=HIGH, json_schema_extra={"step": 0.05})
        """Second input of that point."""
        off: int = Field(0, ge=0, le=8)
        """Hidden unit that is switched off, its output set to 0, to see what it does; 0 switches none off."""
        starts: int = Field(0, ge=0, le=50)
        """Networks of this size to train from other random starts, 5,000 steps each, to see how many learn XOR; more take longer."""

    def build_data(self) -> None:
        self.inputs, self.targets = INPUTS, TARGETS

    def build_model(self) -> None:
        self.W1, self.b1, self.W2, self.b2 = drawn(np.random.default_rng(self.seed), self.config.hidden, self.config.start)

    @property
    def weights(self) -> Weights:
        """All weights; a checkpoint holds each as an array of its own."""
        return self.W1, self.b1, self.W2, self.b2

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        # All four points in every step: full-batch gradient descent.
        return Batches((self.inputs, self.targets), len(self.inputs), None)

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, targets = batch  # (4, 2), (4, 1)
        (self.W1, self.b1, self.W2, self.b2), probability = stepped(self.weights, inputs, targets, self.config.learning_rate)
        return {"loss": float(log_loss(probability, targets))}

    def evaluate(self, split: str) -> Iterator[Event]:
        """On the four points that it trains on: there are no others."""
        if split == "test":
            return
        _, probability = forward(self.weights, self.inputs)
        values = {"loss/all": log_loss(probability, self.targets), "accuracy/all": np.mean((probability >= 0.5) == self.targets)}
        yield Scalars(values={tag: float(value) for tag, value in values.items()})

    def sample(self, request: Any) -> Iterator[Event]:
        """The hidden units' lines, the plane of probabilities, the weights, the answers; and where asked, other random starts."""
        first, first_bias, second, second_bias = weights = self.weights
        if request.off > self.config.hidden:
            raise Problem(f"off must be from 0 to {self.config.hidden}, the hidden units there are, not {request.off}.", cause="data")
        if request.off:
            second = second.copy()
            second[request.off - 1] = 0
            weights = first, first_bias, second, second_bias
        points = np.vstack([self.inputs, [request.x1, request.x2]])
        _, probability = forward(weights, points)
        labels = [*("positive" if target else "negative" for target in self.targets[:, 0]), "asked"]
        yield Scatter(tag="hidden lines/points", x=points[:, 0].tolist(), y=points[:, 1].tolist(), labels=labels)
        for unit in range(self.config.hidden):
            if unit + 1 != request.off:
                x, y = line(first[:, unit], float(first_bias[0, unit]))
                yield Curve(tag=f"hidden lines/unit {unit + 1}", x=x, y=y, labels=("x1", "x2"))
        across, down = np.meshgrid(np.linspace(LOW, HIGH, COLUMNS), np.linspace(HIGH, LOW, ROWS))
        _, plane = forward(weights, np.column_stack([across.ravel(), down.ravel()]))
        # Around 0, where the classes part: a matrix with negative values is shaded from its smallest to its largest.
        yield Matrix(tag="region", values=(plane.reshape(ROWS, COLUMNS) - 0.5).tolist())
        names = [f"unit {unit + 1}" for unit in range(self.config.hidden)]
        table = np.vstack([first, first_bias, second.T])
        yield Matrix(tag="weights", values=table.tolist(), rows=["from x1", "from x2", "bias", "to output"], columns=names)
        targets: list[str | float] = [*self.targets[:, 0].tolist(), "–"]
        rows = [
            [*point, target, answer] for point, target, answer in zip(points.tolist(), targets, probability[:, 0].tolist(), strict=True)
        ]
        yield Table(tag="answers", columns=["x1", "x2", "target", "output"], rows=rows)
        if request.starts:
            yield self.other_starts(request.starts)

    def other_starts(self, number: int) -> Table:
        """How many of so many random starts, of seeds 1, 2, …, get 4, 3 and fewer points right, with their mean log-loss."""
        weights = started(range(1, number + 1), self.config.hidden, self.config.start)
        right, losses = outcome(trained(weights, self.config.learning_rate, ENOUGH))
        rows: list[list[str | float]] = []
        for points in range(4, -1, -1):
            chosen = right == points
            if chosen.any() or points == 4:
                mean = float(losses[chosen].mean()) if chosen.any() else "–"
                rows.append([f"{points} of 4", float(chosen.sum()), f"{100 * chosen.mean():.0f} %", mean])
        return Table(tag="random starts", columns=["right", "starts", "share", "loss"], rows=rows)


def drawn(rng: np.random.Generator, hidden: int, scale: float) -> Weights:
    """A random start: all weights and biases from normal(0, scale)."""
    first, first_bias, second = rng.normal(0, scale, (2, hidden)), rng.normal(0, scale, (1, hidden)), rng.normal(0, scale, (hidden, 1))
    return first, first_bias, second, rng.normal(0, scale, (1, 1))


def started(seeds: Any, hidden: int, scale: float) -> Weights:
    """A start for each seed, stacked along a first axis."""
    first, first_bias, second, second_bias = zip(*(drawn(np.random.default_rng(seed), hidden, scale) for seed in seeds), strict=True)
    return np.stack(first), np.stack(first_bias), np.stack(second), np.stack(second_bias)


def forward(weights: Weights, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden units' outputs (…, points, hidden) and the probabilities (…, points, 1)."""
    first, first_bias, second, second_bias = weights
    hidden = sigmoid(inputs @ first + first_bias)
    return hidden, sigmoid(hidden @ second + second_bias)


def stepped(weights: Weights, inputs: np.ndarray, targets: np.ndarray, rate: float) -> tuple[Weights, np.ndarray]:
    """One step of gradient descent on the mean log-loss: the new weights, and the probabilities before the step."""
    first, first_bias, second, second_bias = weights
    hidden, probability = forward(weights, inputs)
    # The log-loss by the output's score: the sigmoid's derivative cancels, and what is left is the error.
    output = (probability - targets) / len(inputs)
    back = output @ second.swapaxes(-1, -2) * hidden * (1 - hidden)
    moved = (
        first - rate * inputs.T @ back,
        first_bias - rate * back.sum(-2, keepdims=True),
        second - rate * hidden.swapaxes(-1, -2) @ output,
        second_bias - rate * output.sum(-2, keepdims=True),
    )
    return moved, probability


def trained(weights: Weights, rate: float, steps: int) -> Weights:
    """Weights after so many steps on XOR; independent networks along the first axis learn side by side."""
    for _ in range(steps):
        weights, _ = stepped(weights, INPUTS, TARGETS, rate)
    return weights


def outcome(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """How many of the four points each network gets right, and its mean log-loss."""
    _, probability = forward(weights, INPUTS)
    return ((probability >= 0.5) == TARGETS).sum((-2, -1)), log_loss(probability, TARGETS)


def log_loss(probability: np.ndarray, targets: np.ndarray) -> Any:
    """The mean over the points of −log of the probability given to the true class, in nats."""
    # A sigmoid rounds to exactly 0 or 1 beyond scores of 37; the smallest number keeps the logarithm finite.
    given = np.maximum(np.where(targets == 1, probability, 1 - probability), np.finfo(float).tiny)
    return -np.log(given).mean((-2, -1))


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−score)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * scores))


def line(weights: np.ndarray, bias: float) -> tuple[list[float], list[float]]:
    """The ends of the line on which a unit's score is 0, inside the plane that is shown; empty where it misses it."""
    (a, b), ends = weights.tolist(), set()
    for along in (LOW, HIGH):
        if b and LOW <= (y := -(a * along + bias) / b) <= HIGH:
            ends.add((along, y))
        if a and LOW <= (x := -(b * along + bias) / a) <= HIGH:
            ends.add((x, along))
    return [x for x, _ in sorted(ends)], [y for _, y in sorted(ends)]
