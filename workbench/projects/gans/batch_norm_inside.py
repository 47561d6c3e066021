"""Batch normalisation of a batch that you edit, in NumPy: the batch's statistics in training, running averages in evaluation. Explored."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np

from workbench.events import Curve, Event, Matrix, Table
from workbench.problems import Problem
from workbench.training.project import Field, Project
from workbench.training.project import Matrix as MatrixField

STEPS = 100
"""Most training steps with the batch."""
START = (0.0, 1.0)
"""The running mean and variance before the first step, as in torch."""

Batch = Annotated[list[list[float]], MatrixField((1, 12), (1, 4), -100, 100, 0.5)]


class BatchNormInside(Project):
    """Normalises one batch, example by example a row, feature by feature a column."""

    class Request(Project.Request):
        batch: Batch = [[1], [2], [3], [4]]
        """A row for each example, a column for each feature; each column is normalised by itself, over its rows."""
        gamma: float = Field(1.0, ge=-10, le=10, json_schema_extra={"step": 0.1})
        """The learnt standard deviation γ of what comes out; at √(variance + ε) it undoes the division."""
        beta: float = Field(0.0, ge=-10, le=10, json_schema_extra={"step": 0.1})
        """The learnt mean β of what comes out; it does what the layer's own bias did, which is therefore left out."""
        epsilon: float = Field(1e-5, ge=0, le=10, json_schema_extra={"step": 0.1})
        """What is added to the variance, ε, so that a constant feature is not divided by 0; higher shrinks what comes out."""
        momentum: float = Field(0.1, ge=0, le=1, json_schema_extra={"step": 0.05})
        """Share of the new batch in the running averages; higher forgets the start sooner, and follows single batches more."""
        steps: int = Field(1, ge=0, le=STEPS)
        """Training steps with this batch so far; more bring the running averages nearer to its own statistics."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The batch before and after, its statistics, and how the running averages come to them."""
        batch = np.array(request.batch, float)
        mean, variance = statistics(batch, request.epsilon)
        running = averages(mean, variance * len(batch) / (len(batch) - 1), request.momentum)
        scale = np.sqrt(variance + request.epsilon)
        normalised = (batch - mean) / scale
        now = running[request.steps]
        moved = (batch - now[0]) / np.sqrt(now[1] + request.epsilon)
        names = [f"x{place + 1}" for place in range(batch.shape[1])]
        columns = [batch, batch - mean, normalised, request.gamma * normalised + request.beta, request.gamma * moved + request.beta]
        examples = [f"example {place + 1}" for place in range(len(batch))]
        for place, name in enumerate(names):
            values = np.column_stack([column[:, place] for column in columns])
            rows: list[list[str | float]] = [[example, *row] for example, row in zip(examples, values.tolist(), strict=True)]
            title = "normalised" if len(names) == 1 else f"normalised/{name}"
            yield Table(tag=title, columns=["", "x", "x − mean", "x̂", "training", "evaluation"], rows=rows)
        yield Table(
            tag="statistics",
            columns=["", *names],
            rows=[
                ["mean", *mean.tolist()],
                ["variance, over n", *variance.tolist()],
                ["variance, over n − 1", *(variance * len(batch) / (len(batch) - 1)).tolist()],
                ["standard deviation, with ε", *scale.tolist()],
                ["running mean", *now[0].tolist()],
                ["running variance", *now[1].tolist()],
                ["mean of x̂", *normalised.mean(0).tolist()],
                ["standard deviation of x̂", *normalised.std(0).tolist()],
            ],
        )
        # What the notes' formula would give: it divides by the variance, and promises numbers from 0 to 1.
        wrong = (batch - mean) / (variance + request.epsilon)
        yield Matrix(tag="divided by the variance", values=wrong.tolist(), rows=examples, columns=names)
        steps = [float(step) for step in range(STEPS + 1)]
        for name, values in (("mean", running[:, 0, 0]), ("variance", running[:, 1, 0])):
            yield Curve(tag=f"running averages of x1/{name}", x=steps, y=values.tolist(), labels=("steps", "x1"))
        yield Curve(tag="share of the start/left", x=steps, y=left(request.momentum).tolist(), labels=("steps", "share"))


def statistics(batch: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (over n) of each column, (features,). Problem where the batch cannot be normalised."""
    if len(batch) == 1:
        raise Problem(
            "batch has one example, and training mode wants two or more: one alone is its own mean, and torch refuses it as well.",
            "Press a to add a row.",
            "data",
        )
    variance = batch.var(0)
    if not epsilon and not variance.all():
        column = int(np.flatnonzero(variance == 0)[0]) + 1
        raise Problem(f"epsilon must be above 0 here, as the variance of column {column} of batch is 0.", "", "data")
    return batch.mean(0), variance


def left(momentum: float) -> np.ndarray:
    """What the start still weighs in the running averages after 0 to STEPS steps, (1 − momentum)^steps."""
    return np.asarray((1 - momentum) ** np.arange(STEPS + 1))


def averages(mean: np.ndarray, variance: np.ndarray, momentum: float) -> np.ndarray:
    """The running mean and variance after 0 to STEPS steps with one batch, (steps + 1, 2, features).

    `variance` is the unbiased one, over n − 1: torch normalises by the other, and keeps this one for evaluation.
    """
    running = np.empty((STEPS + 1, 2, len(mean)))
    running[0] = np.array(START)[:, None]
    for step in range(STEPS):
        running[step + 1] = (1 - momentum) * running[step] + momentum * np.stack([mean, variance])
    return running
