"""Metrics of a classifier from its four counts, beside those of the majority class, and of a regression from its errors, in NumPy."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from workbench.events import Curve, Event, Matrix, Scatter, Table, Text, split_tag
from workbench.problems import Problem, one_line
from workbench.training.project import Field, Project, only
from workbench.training.project import Matrix as MatrixField
from workbench.training.trained import last_confusion, run_folder

CLASSES = ["sick", "healthy"]
DASH = "–"
"""What stands for a figure that is not defined."""


class MetricsLesson(Project):
    """Computes accuracy, precision, recall and F from a confusion matrix, and the errors of a regression."""

    class Request(Project.Request):
        source: Literal["own counts", "run"] = "own counts"
        """Where the four counts come from: your own numbers, or the last confusion matrix of a classifier's run."""
        run: str = only("", when={"source": "run"}, max_length=1000)
        """The run, its test where it has one: its id, its recipe's name for the newest, `last`, or its folder."""
        positive: int = only(0, when={"source": "run"}, ge=0, le=1000, step=1)
        """Which class counts as positive, from 1, against all others; 0 takes the second of two classes, and else the first."""
        counts: Annotated[list[list[int]], MatrixField(2, 2, 0, 1_000_000, 10)] = only(
            [[1000, 200], [800, 8000]], when={"source": "own counts"}
        )
        """The confusion matrix: the sick in the first row, the healthy in the second; a column for each prediction."""
        beta: float = Field(2.0, ge=0, le=10, json_schema_extra={"step": 0.1})
        """How many times as much recall counts as precision in F: 0 is precision alone, 1 both alike, large values recall."""
        values: Annotated[list[list[float]], MatrixField(2, (2, 6), -1000, 1000, 0.5)] = [[3, 5, 2, 7], [2.5, 5, 4, 8]]
        """A regression: the true values in the first row, the predicted ones below."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The matrix and its rows as shares, the metrics beside the majority's, F over beta, and the regression's errors."""
        if request.source == "run":
            (hits, misses, alarms, rejections), names, about = counts_of_run(request.run, request.positive)
            yield Text(tag="run", text=about)
        else:
            ((hits, misses), (alarms, rejections)), names = request.counts, CLASSES
        yield Matrix(tag="confusion matrix", values=[[hits, misses], [alarms, rejections]], rows=names, columns=names)
        shares = [[share(hits, hits + misses), share(misses, hits + misses)]]
        shares.append([share(alarms, alarms + rejections), share(rejections, alarms + rejections)])
        yield Matrix(tag="each row by its sum", values=shares, rows=names, columns=names)

        precision, recall = share(hits, hits + alarms), share(hits, hits + misses)
        # Always predicting the larger class: its hits and misses are the whole rows.
        positive_are_more = hits + misses > alarms + rejections
        found, alarmed = (hits + misses, alarms + rejections) if positive_are_more else (0, 0)
        figures = metrics(hits, misses, alarms, rejections, request.beta)
        of_majority = metrics(found, hits + misses - found, alarmed, alarms + rejections - alarmed, request.beta)
        rows: list[list[str | float]] = [[name, shown(value), shown(of_majority[name])] for name, value in figures.items()]
        yield Table(tag="metrics", columns=["metric", "value", "majority"], rows=rows)

        betas = np.linspace(0, 10, 101)
        scores = [f_score(precision, recall, beta) for beta in betas]
        drawn = [(float(beta), score) for beta, score in zip(betas, scores, strict=True) if np.isfinite(score)]
        yield Curve(tag="F over beta/F", x=[beta for beta, _ in drawn], y=[score for _, score in drawn], labels=("beta", "F"))
        now = f_score(precision, recall, request.beta)
        if np.isfinite(now):
            yield Scatter(tag="F over beta/now", x=[request.beta], y=[now], labels=["now"])

        truth, predicted = np.array(request.values, float)
        rows = [[name, shown(value), shown(of_mean)] for name, value, of_mean in regression_rows(truth, predicted)]
        yield Table(tag="regression", columns=["metric", "value", "mean"], rows=rows)


class Counts(NamedTuple):
    """True positives, false negatives, false positives and true negatives."""

    hits: int
    misses: int
    alarms: int
    rejections: int


def counts_of_run(run: str, positive: int) -> tuple[Counts, list[str], str]:
    """The counts of one class (from 1; 0 chooses) against the others in a run's last confusion matrix, both names, and whose they are."""
    folder = run_folder(run)
    matrix = last_confusion(folder)
    number, two = len(matrix.rows), len(matrix.rows) == 2
    if positive > number:
        raise Problem(f"positive is {positive}, but the run has {number} classes.", "0 chooses one.", "data")
    place = positive - 1 if positive else 1 if two else 0
    counts = against_the_rest(np.array(matrix.values), place)
    names = [matrix.rows[place], matrix.rows[1 - place] if two else "the rest"]
    what = f"{one_line(folder.name, 60)}: {sum(counts):,} {split_tag(matrix.tag)[0]} examples of {number} classes, at step {matrix.step:,}."
    return counts, names, f"{what} Class {place + 1} ({names[0]}) is positive."


def against_the_rest(confusion: np.ndarray, place: int) -> Counts:
    """The four counts of one class of a confusion matrix (truth, prediction): a mistake between two other classes is a true negative."""
    hits, row, column = confusion[place, place], confusion[place].sum(), confusion[:, place].sum()
    return Counts(*map(int, (hits, row - hits, column - hits, confusion.sum() - row - column + hits)))


def share(part: float, whole: float) -> float:
    """part / whole; not a number where there is nothing to divide by."""
    return part / whole if whole else float("nan")


def shown(value: float) -> str | float:
    """The figure, or a dash where it is not defined."""
    return value if np.isfinite(value) else DASH


def metrics(hits: int, misses: int, alarms: int, rejections: int, beta: float) -> dict[str, float]:
    """The metrics of true positives, false negatives, false positives and true negatives; not a number where one is not defined."""
    precision, recall = share(hits, hits + alarms), share(hits, hits + misses)
    return {
        "accuracy": share(hits + rejections, hits + misses + alarms + rejections),
        "precision": precision,
        "recall, sensitivity": recall,
        "specificity": share(rejections, alarms + rejections),
        "false positive rate": share(alarms, alarms + rejections),
        "F1": f_score(precision, recall, 1),
        f"F, beta {beta:g}": f_score(precision, recall, beta),
    }


def f_score(precision: float, recall: float, beta: float) -> float:
    """(1 + β²) · precision · recall / (β² · precision + recall) (van Rijsbergen 1979); not a number where one of both is not defined."""
    return share((1 + beta**2) * precision * recall, beta**2 * precision + recall)


def regression_rows(truth: np.ndarray, predicted: np.ndarray) -> list[tuple[str, float, float]]:
    """Mean absolute error, mean squared error, its root and R², each with the figure of always predicting the true values' mean."""
    error, spread = predicted - truth, truth - truth.mean()
    squared, variance = float(np.mean(error**2)), float(np.mean(spread**2))
    return [
        ("MAE", float(np.mean(np.abs(error))), float(np.mean(np.abs(spread)))),
        ("MSE", squared, variance),
        ("root of MSE", squared**0.5, variance**0.5),
        ("R²", 1 - share(squared, variance), 1 - share(variance, variance)),
    ]
