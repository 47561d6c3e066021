"""A line between two classes of points, updated by one point or several at a time, in NumPy."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.datasets import points
from workbench.events import Curve, Event, Scalars, Scatter
from workbench.training.project import Batches, Field, Project, Settings, live

RECORDED = 10
"""Points between two places of the curve over points; a run of full batches has a place for each batch."""


class LinearBoundary(Project):
    """Separates two classes of points by a line."""

    datasets = ("gradient-descent",)

    class Config(Settings):
        rule: Literal["perceptron", "gradient descent"] = "gradient descent"
        """Learning rule: perceptron, whose output is a step of 0 or 1; gradient descent, whose output is a probability."""
        learning_rate: float = live(0.01, gt=0)
        """Step size of an update; higher moves the line further for each point, and may overshoot."""
        average: bool = False
        """Moves the line by the mean over a batch's points, instead of their sum; a larger batch then steps no further."""
        shuffle: bool = False
        """Draws a new order of the points for each epoch, instead of the file's."""
        margin: float = Field(0.1, ge=0)
        """Distance beyond the points, in units of the features, up to which the line is drawn."""

    def build_data(self) -> None:
        self.points, self.labels = points.read()

    def build_model(self) -> None:
        # Both as the course has them: the perceptron's line begins outside the points, the other anywhere.
        if self.config.rule == "perceptron":
            self.weights = np.random.rand(2)
            self.bias = np.random.rand() + self.points[:, 0].max()
        else:
            self.weights = np.random.normal(scale=1 / np.sqrt(2), size=2)
            self.bias = 0.0
        if self.config.average:
            self.seen = 0
            """Points that it has been updated by, each as often as it was seen."""
            self.by_examples = [(0, self.loss(self.score(self.points), self.labels))]
            """The loss on all points after so many."""

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        return Batches((self.points, self.labels), self.train.batch_size, rng if self.config.shuffle else None)

    def train_step(self, batch: Any) -> dict[str, Any]:
        points, labels = batch  # (batch, 2), (batch,)
        score = self.score(points)  # (batch,)
        # The one difference between the two: what is compared with 0 or 1. A perceptron's error is 0 where it is right; the other's is
        # minus the gradient of the log-loss along the score.
        output = score >= 0 if self.config.rule == "perceptron" else sigmoid(score)
        error = labels - output
        rate = self.config.learning_rate / (len(labels) if self.config.average else 1)
        self.weights += rate * error @ points
        self.bias += rate * float(error.sum())
        if self.config.average:
            self.seen += len(labels)
            if self.seen % RECORDED == 0:
                self.by_examples.append((self.seen, self.loss(self.score(self.points), self.labels)))
        return {"loss": self.loss(score, labels)}

    def score(self, points: np.ndarray) -> np.ndarray:
        """(number, 2) → (number,): above 0 on one side of the line, below on the other."""
        score: np.ndarray = points @ self.weights + self.bias
        return score

    def loss(self, score: np.ndarray, labels: np.ndarray) -> float:
        """The perceptron's criterion, max(0, -score) with the sign that is wrong; else the log-loss in nats. Means."""
        wrong_way = np.where(labels == 1, -score, score)
        # logaddexp(0, x) is log(1 + exp(x)) without overflow.
        return float(np.mean(np.maximum(0, wrong_way) if self.config.rule == "perceptron" else np.logaddexp(0, wrong_way)))

    def evaluate(self, split: str) -> Iterator[Event]:
        """On the points that it trains on: there are no others, as in the course."""
        if split == "test":
            return
        score = self.score(self.points)
        right = (score >= 0) == self.labels
        values = {"loss/all": self.loss(score, self.labels), "accuracy/all": right.mean(), "misclassified": (~right).sum()}
        yield Scalars(values={tag: float(value) for tag, value in values.items()})

    def sample(self, request: Any) -> Iterator[Event]:
        """The points, and the line as it is; where batches are averaged, also the loss by points seen."""
        names = ["one" if label else "zero" for label in self.labels]
        yield Scatter(tag="boundary/points", x=self.points[:, 0].tolist(), y=self.points[:, 1].tolist(), labels=names)
        low, high = self.points.min(0) - self.config.margin, self.points.max(0) + self.config.margin
        ends = crossing(self.weights, self.bias, low, high)
        yield Curve(tag="boundary/line", x=[x for x, _ in ends], y=[y for _, y in ends], labels=("first feature", "second feature"))
        if self.config.average:
            seen, losses = zip(*self.by_examples, strict=True)
            yield Curve(tag="loss by points seen", x=list(seen), y=list(losses), labels=("points seen", "log-loss on all points"))


def sigmoid(score: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-score)), without overflow where it is far below zero."""
    return 0.5 * (1 + np.tanh(0.5 * score))


def crossing(weights: np.ndarray, bias: float, low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    """Where the line weights · (x, y) + bias = 0 enters and leaves the rectangle from `low` to `high`; empty where it misses it."""
    (a, b), ends = weights, set()
    for x in (low[0], high[0]):
        if b and low[1] <= (y := -(a * x + bias) / b) <= high[1]:
            ends.add((float(x), float(y)))
    for y in (low[1], high[1]):
        if a and low[0] <= (x := -(b * y + bias) / a) <= high[0]:
            ends.add((float(x), float(y)))
    return sorted(ends) if len(ends) > 1 else []
