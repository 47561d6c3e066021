"""Likelihood and cross-entropy by hand, in NumPy: two models' probabilities, and the softmax of a row of scores."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np

from workbench.events import Curve, Event, Scatter, Table
from workbench.problems import Problem
from workbench.training.project import Field, Project
from workbench.training.project import Matrix as MatrixField

AROUND = 6.0
"""How far to both sides the label's score is varied for the curve: beyond, its probability is within 0.3 % of 0 or 1."""


class Likelihood(Project):
    """Compares models by the likelihood of the labels, and turns scores into probabilities, a loss and its gradient."""

    class Request(Project.Request):
        models: Annotated[list[list[float]], MatrixField(2, (1, 6), 0, 1, 0.1)] = [[0.6, 0.2, 0.1, 0.7], [0.7, 0.9, 0.8, 0.6]]
        """The probability that two models, a row each, give to each point's true label; higher is more likely."""
        scores: Annotated[list[list[float]], MatrixField(1, (2, 6), -1000, 1000, 0.5)] = [[2, 1, 0]]
        """One point's scores, a class each; raising one raises its class's probability and lowers the others'."""
        label: int = Field(1, ge=1, le=6)
        """The point's true class, counted from 1; the loss is −log of the probability it gets."""

    def sample(self, request: Any) -> Iterator[Event]:
        """Both models' likelihoods, then the softmax, the loss and the gradient, and the probabilities over the label's score."""
        scores = np.array(request.scores[0], float)
        if request.label > len(scores):
            raise Problem(f"label must be from 1 to {len(scores)}, the classes that have a score, not {request.label}.", cause="data")
        names = ["first", "second"]
        rows: list[list[str | float]] = []
        for name, given in zip(names, np.array(request.models, float), strict=True):
            losses = negative_log(given)
            rows.append([name, float(np.prod(given)), float(losses.sum()), float(losses.mean())])
        yield Table(tag="models", columns=["model", "product", "sum of −ln p", "mean"], rows=rows)
        rows = []
        for place, given in enumerate(np.array(request.models, float).T):
            rows.append(
                [str(place + 1), *[cell for p, loss in zip(given, negative_log(given), strict=True) for cell in (float(p), float(loss))]]
            )
        yield Table(tag="points", columns=["point", "first p", "−ln p", "second p", "−ln p"], rows=rows)

        logs = log_softmax(scores)
        target = one_hot(request.label, len(scores))
        columns = ["class", "score", "p", "one-hot y", "p − y"]
        rows = [
            [str(place + 1), float(score), float(p), float(y), float(p - y)]
            for place, (score, p, y) in enumerate(zip(scores, np.exp(logs), target, strict=True))
        ]
        yield Table(tag="softmax", columns=columns, rows=rows)
        rows = [["cross-entropy", "−sum of y ln p", cross_entropy(logs, target)], ["binary", *binary_row(scores, target)]]
        yield Table(tag="loss", columns=["loss", "formula", "value"], rows=rows)

        centre = float(scores[request.label - 1])
        varied = np.linspace(centre - AROUND, centre + AROUND, 49)
        moved = np.repeat(scores[None], len(varied), axis=0)
        moved[:, request.label - 1] = varied
        probabilities = np.exp(log_softmax(moved))
        for place in range(len(scores)):
            axes = (f"score of class {request.label}", "probability")
            yield Curve(tag=f"probabilities/class {place + 1}", x=varied.tolist(), y=probabilities[:, place].tolist(), labels=axes)
        yield Scatter(tag="probabilities/now", x=[centre], y=[float(np.exp(logs[request.label - 1]))], labels=["now"])


def negative_log(probabilities: np.ndarray) -> np.ndarray:
    """−ln p; infinite where a model gives the probability 0 to what is true."""
    with np.errstate(divide="ignore"):
        # Adding 0 turns −0, the loss of certainty, into 0.
        return np.asarray(-np.log(probabilities) + 0.0)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """ln of the softmax over the last axis: score − ln(sum of exp(scores)).

    Only differences of scores count, so the largest is subtracted first: no exponential is above 1, and scores of 1,000 do not overflow.
    """
    below = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(axis=-1, keepdims=True)))


def one_hot(label: int, classes: int) -> np.ndarray:
    """1 at the label's place, counted from 1, and 0 elsewhere."""
    return np.asarray(np.eye(classes)[label - 1])


def cross_entropy(logs: np.ndarray, target: np.ndarray) -> float:
    """−sum of y ln p over the classes, in nats."""
    return float(-(logs @ target)) + 0.0


def binary_row(scores: np.ndarray, target: np.ndarray) -> list[str | float]:
    """Formula and value of the binary cross-entropy, from one sigmoid of the difference of two scores; for more classes there is none."""
    if len(scores) != 2:
        return ["only for two classes", "–"]
    return ["−y ln σ − (1−y) ln(1−σ)", binary_cross_entropy(float(scores[0] - scores[1]), float(target[0]))]


def binary_cross_entropy(score: float, target: float) -> float:
    """−y ln σ(score) − (1 − y) ln(1 − σ(score)) as ln(1 + exp(score)) − y·score, without overflow."""
    return float(np.logaddexp(0, score)) - target * score
