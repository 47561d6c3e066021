"""What a classifier measures and shows of its answers: confusion matrix, accuracy by class, examples of each cell, captions, ROC."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from workbench.events import Curve, Event, Matrix, Table
from workbench.torchkit.metrics import auc, precision_recall, roc_curve
from workbench.training.figures import as_array


class Predictions:
    """The probabilities that a classifier gives the examples of a split, beside their labels; arrays, or tensors on any device."""

    def __init__(self, labels: Any, probabilities: Any, classes: Sequence[str]) -> None:
        """`labels` (number,) are indices into `classes`; `probabilities` (number, classes), or (number,) of the second of two classes."""
        self.labels, self.probabilities = as_array(labels), as_array(probabilities)
        if self.probabilities.ndim == 1:
            self.probabilities = np.stack([1 - self.probabilities, self.probabilities], 1)
        self.classes = list(classes)
        self.answers: np.ndarray = self.probabilities.argmax(1)
        """The likeliest class of each example, (number,)."""
        self.confidence: np.ndarray = self.probabilities.max(1)
        """Its probability, (number,)."""

    @property
    def accuracy(self) -> float:
        """Share of the examples whose likeliest class is the right one, in single precision as all tensors are."""
        return float(np.mean(self.answers == self.labels, dtype=np.float32))

    @property
    def majority(self) -> float:
        """Accuracy of always answering the most frequent class: the baseline, without which an accuracy means little in unequal classes."""
        return float(np.bincount(self.labels).max() / len(self.labels))

    @cached_property
    def confusion(self) -> Matrix:
        """How often each class (a row) was taken for each (a column)."""
        number = len(self.classes)
        # Row and column as one number: a single bincount then fills the whole matrix.
        counts = np.bincount(self.labels * number + self.answers, minlength=number**2).astype(float)
        return Matrix(tag="confusion", values=counts.reshape(number, number).tolist(), rows=self.classes, columns=self.classes)

    def by_class(self) -> Table:
        """Of each class: how many examples there are, and how many are classified correctly; NaN for a class without examples."""
        rows: list[list[str | float]] = []
        for index, (name, counts) in enumerate(zip(self.classes, self.confusion.values, strict=True)):
            total = sum(counts)
            rows.append([name, total, counts[index], counts[index] / total if total else math.nan])
        return Table(tag="classes", columns=["class", "examples", "right", "accuracy"], rows=rows)

    def tables(self) -> Iterator[Event]:
        """The confusion matrix, then the accuracy by class."""
        yield self.confusion
        yield self.by_class()

    # -- two classes, of which the second is called positive ----------------------------------------------------------------

    @property
    def positive(self) -> np.ndarray:
        """Which examples are of the positive class, (number,) bool."""
        positive: np.ndarray = self.labels == 1
        return positive

    def binary_scores(self) -> dict[str, float]:
        """Area under the ROC, precision and recall of the positive class."""
        precision, recall = precision_recall(self.positive, self.answers == 1)
        return {"auc": auc(self.positive, self.probabilities[:, 1]), "precision": precision, "recall": recall}

    def roc(self) -> Curve:
        """The ROC over all thresholds of the positive class's probability."""
        return roc_curve(self.positive, self.probabilities[:, 1])

    # -- examples of the confusion matrix's cells ---------------------------------------------------------------------------

    def examples(self, each: int = 3, most: int = 300) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Indices of examples to show for the cells of the confusion matrix, and the (row, column) of each, sorted by cell.

        Of the mistakes the most confident come first, as they say most about what was learned, and of the right answers the least
        confident. At most `each` for a cell and `most` in all: the first of every cell before the second of any.
        """
        # Rising: confident mistakes stand at -1, then unsure mistakes, unsure right answers, and at 1 the confident ones.
        order = np.argsort(np.where(self.labels == self.answers, self.confidence, -self.confidence), kind="stable")
        cells = self._cells(order)
        rank = _rank_in_cell(cells)
        chosen = np.flatnonzero(rank < each)
        # lexsort sorts by its last key first, here by rank: `most` cuts off the second examples before the first ones.
        chosen = chosen[np.lexsort((cells[chosen, 1], cells[chosen, 0], rank[chosen]))][:most]
        # Back in the order of the cells.
        chosen = chosen[np.lexsort((chosen, cells[chosen, 1], cells[chosen, 0]))]
        return order[chosen], _pairs(cells[chosen])

    def first_of_cells(self, order: np.ndarray, each: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The first `each` examples of every cell in a given order of all (number,), which they keep; and the (row, column) of each."""
        cells = self._cells(order)
        chosen = np.flatnonzero(_rank_in_cell(cells) < each)
        return order[chosen], _pairs(cells[chosen])

    def captions(self, chosen: Any = slice(None), *, truth: bool = True) -> list[str]:
        """`7 99%` for a right answer; `7→1 93%, 7 4%` for a 7 taken for a 1, with both probabilities; without `truth` only the answer's."""
        texts = []
        for label, shares in zip(self.labels[chosen].tolist(), self.probabilities[chosen].tolist(), strict=True):
            answer, name = int(np.argmax(shares)), self.classes[label]
            text = f"{name if label == answer else f'{name}→{self.classes[answer]}'} {shares[answer]:.0%}"
            texts.append(f"{text}, {name} {shares[label]:.0%}" if truth and label != answer else text)
        return texts

    def _cells(self, order: np.ndarray) -> np.ndarray:
        """(number, 2): the row and the column of each example, in this order."""
        return np.stack([self.labels[order], self.answers[order]], 1)


def _rank_in_cell(cells: np.ndarray) -> np.ndarray:
    """Of each row of (number, 2) how many equal rows stand before it, (number,)."""
    by_cell = np.lexsort((cells[:, 1], cells[:, 0]))  # stable: equal rows keep their order
    starts = np.append(True, (np.diff(cells[by_cell], axis=0) != 0).any(1))[: len(cells)]
    # Sorted by cell, the rank is the distance from where the cell begins.
    places = np.arange(len(cells))
    rank = np.empty(len(cells), int)
    rank[by_cell] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return rank


def _pairs(cells: np.ndarray) -> list[tuple[int, int]]:
    return [(int(row), int(column)) for row, column in cells]
