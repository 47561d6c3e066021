"""What classifiers measure and show of their answers, against counts by hand and against a plain loop."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from workbench.events import Matrix, Table
from workbench.torchkit.classification import Predictions

CLASSES = ["a", "b", "c"]


def drawn(number: int, classes: int = 3, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), number).astype(np.float32)
    return Predictions(rng.integers(classes, size=number), probabilities, [chr(97 + place) for place in range(classes)])


def test_confusion_has_the_truth_in_rows() -> None:
    predictions = Predictions(torch.tensor([0, 0, 1]), torch.eye(3)[[0, 2, 1]], CLASSES)
    matrix, table = predictions.tables()
    assert isinstance(matrix, Matrix) and isinstance(table, Table)
    assert (matrix.tag, table.tag) == ("confusion", "classes")
    assert matrix.values == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert matrix.rows == matrix.columns == CLASSES
    assert table.rows[:2] == [["a", 2, 1, 0.5], ["b", 1, 1, 1]]
    assert math.isnan(float(table.rows[2][3]))
    assert predictions.accuracy == float(np.float32(2) / np.float32(3)) == float((torch.tensor([1.0, 0.0, 1.0])).mean())
    assert predictions.majority == 2 / 3


def test_captions_say_the_answer_and_of_a_mistake_the_truth() -> None:
    predictions = Predictions(np.array([0, 0]), np.array([[0.9, 0.1, 0.0], [0.04, 0.93, 0.03]]), CLASSES)
    assert predictions.captions() == ["a 90%", "a→b 93%, a 4%"]
    assert predictions.captions(truth=False) == ["a 90%", "a→b 93%"]
    assert predictions.captions([1]) == ["a→b 93%, a 4%"]


@pytest.mark.parametrize("most", [300, 12, 5])
def test_each_cell_shows_its_confident_mistakes_and_its_doubtful_right_answers(most: int) -> None:
    predictions = drawn(200)
    chosen, cells = predictions.examples(each=3, most=most)
    by_cell: dict[tuple[int, int], list[int]] = {}
    for index in range(200):
        by_cell.setdefault((int(predictions.labels[index]), int(predictions.answers[index])), []).append(index)
    for (row, column), indices in by_cell.items():
        indices.sort(key=lambda index: float(predictions.confidence[index]) * (1 if row == column else -1))
    # The first of every cell, then the second of every cell, …
    turns = [(cell, by_cell[cell][rank]) for rank in range(3) for cell in sorted(by_cell) if rank < len(by_cell[cell])][:most]
    assert Counter(zip(cells, chosen.tolist(), strict=True)) == Counter(turns)
    assert cells == sorted(cells)
    for cell in set(cells):
        shown = [index for index, place in zip(chosen.tolist(), cells, strict=True) if place == cell]
        assert shown == by_cell[cell][: len(shown)]


def test_the_first_of_each_cell_keep_the_order_that_is_given() -> None:
    predictions = drawn(100)
    order = np.random.default_rng(1).permutation(100)
    seen: list[tuple[int, int]] = []
    expected = []
    for index in order:
        cell = (int(predictions.labels[index]), int(predictions.answers[index]))
        if seen.count(cell) < 4:
            seen.append(cell)
            expected.append(int(index))
    chosen, cells = predictions.first_of_cells(order, 4)
    assert (chosen.tolist(), cells) == (expected, seen)


def test_one_probability_is_that_of_the_second_of_two_classes() -> None:
    labels, positive = np.array([0, 0, 1, 1]), np.array([0.2, 0.6, 0.5, 0.9])
    one, two = Predictions(labels, positive, ["no", "yes"]), Predictions(labels, np.stack([1 - positive, positive], 1), ["no", "yes"])
    for predictions in (one, two):
        assert predictions.answers.tolist() == [0, 1, 0, 1]  # 0.5 is not more than a half
        assert predictions.binary_scores() == {"auc": 0.75, "precision": 0.5, "recall": 0.5}
        curve = predictions.roc()
        assert (curve.tag, curve.totals) == ("roc", (2, 2))
        assert curve.x[-1] == curve.y[-1] == 1
