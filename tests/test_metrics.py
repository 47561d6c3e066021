"""ROC, area, precision and recall: against their definitions and the course's own pair of files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.datasets import skin_lesions
from workbench.problems import Problem
from workbench.torchkit.metrics import auc, precision_recall, roc, roc_curve


def test_the_course_s_sample_predictions(mirror: Any) -> None:
    truth, scores = skin_lesions.read()
    assert truth.shape == scores.shape == (600, 2)
    assert truth.sum(0).tolist() == [117, 90]
    areas = [auc(truth[:, task], scores[:, task]) for task in (0, 1)]
    assert [round(area, 5) for area in (*areas, sum(areas) / 2)] == [0.52599, 0.60611, 0.56605]


def drawn(number: int = 200, levels: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Examples whose scores are often equal."""
    rng = np.random.default_rng(5)
    positive = rng.random(number) < 0.3
    return positive, np.round((rng.random(number) + positive * 0.4) * levels) / levels


def test_the_area_is_how_often_a_positive_has_the_higher_score() -> None:
    positive, scores = drawn()
    apart = scores[positive][:, None] - scores[~positive][None]
    assert auc(positive, scores) == pytest.approx(((apart > 0) + 0.5 * (apart == 0)).mean())
    assert auc(positive, positive.astype(float)) == 1
    assert auc(positive, -positive.astype(float)) == 0
    assert auc(positive, np.zeros(len(positive))) == 0.5


def test_each_score_is_a_point_and_the_area_is_the_sum_of_all_trapezoids() -> None:
    """Equal bit for bit: a log must not change with the library that counts."""
    positive, scores = drawn()
    false, true, thresholds = roc(positive, scores)
    assert thresholds.tolist() == [math.inf, *sorted(set(scores.tolist()), reverse=True)]
    assert true.tolist() == [(scores[positive] >= threshold).sum() / positive.sum() for threshold in thresholds]
    assert false.tolist() == [(scores[~positive] >= threshold).sum() / (~positive).sum() for threshold in thresholds]
    assert auc(positive, scores) == float(np.trapezoid(true, false))
    assert auc(positive, scores.astype(np.float32)) == auc(positive, scores)


def test_precision_and_recall_agree_with_scikit_learn() -> None:
    from sklearn.metrics import precision_score, recall_score

    positive, scores = drawn()
    called = scores > 0.5
    assert precision_recall(positive, called) == (precision_score(positive, called), recall_score(positive, called))


def test_a_diverged_network_has_no_curve_and_no_area() -> None:
    positive, scores = drawn()
    scores[7] = math.nan
    curve = roc_curve(positive, scores)
    assert math.isnan(auc(positive, scores)) and curve.x == curve.y == curve.at == []


def test_the_counts_at_a_threshold_follow_from_the_curve() -> None:
    positive, scores = drawn()
    curve = roc_curve(positive, scores)
    negatives, positives = curve.totals
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert all(map(math.isfinite, curve.at)) and curve.at == sorted(curve.at, reverse=True)
    for false, true, threshold in zip(curve.x, curve.y, curve.at, strict=True):
        assert false * negatives == pytest.approx((scores[~positive] >= threshold).sum())
        assert true * positives == pytest.approx((scores[positive] >= threshold).sum())


def test_where_a_class_is_absent_there_is_no_figure() -> None:
    nobody = np.zeros(4, bool)
    assert math.isnan(auc(nobody, np.arange(4.0))) and math.isnan(auc(~nobody, np.arange(4.0)))
    precision, recall = precision_recall(nobody, nobody)
    assert math.isnan(precision) and math.isnan(recall)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Id,task_1\na,1\n", "first line"),
        ("Id,task_1,task_2\na,1\n", "line 2"),
        ("Id,task_1,task_2\na,1,0\nb,x,0\n", "line 3"),
        ("Id,task_1,task_2\na,1,0\na,1,0\n", "line 3"),
        ("Id,task_1,task_2\na,1,nan\n", "line 2"),
        ("Id,task_1,task_2\n", "no lesion"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "predictions.csv"
    file.write_text(text)
    with pytest.raises(Problem, match=says):
        skin_lesions.parse(file)


def test_a_lesion_without_a_prediction_is_named() -> None:
    with pytest.raises(Problem, match="no line for b"):
        skin_lesions.pair({"a": [1, 0], "b": [0, 0]}, {"a": [0.5, 0.1]})
