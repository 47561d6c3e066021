"""The project's sample predictions: exact counts and AUC, a threshold over the different scores, ties, and one's own predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exploring import asked, built

from workbench.problems import Problem
from workbench.projects.convolutional_networks.skin_scores import by_order
from workbench.torchkit import metrics
from workbench.torchkit.against_the_rest import areas, auc, cumulated


def figures(answer: dict[str, Any], column: str = "here") -> dict[str, Any]:
    table = answer["figures"]
    return {row[0]: row[table.columns.index(column)] for row in table.rows}


def test_at_a_half_no_melanoma_is_found(mirror: Path) -> None:
    answer = asked("skin-scores")
    assert answer["counts"].values == [[0, 117], [0, 483]]
    for column in ("at 0.5", "here"):
        values = figures(answer, column)
        assert values["accuracy"] == 0.805 and values["sensitivity"] == values["recall"] == 0 and values["specificity"] == 1
        assert values["precision"] == "–" and values["of the scores"] == "0 of 22"
    assert figures(answer)["positive from"] == "none"


def test_at_a_half_two_of_the_keratoses_are_found(mirror: Path) -> None:
    answer = asked("skin-scores", task="seborrheic keratosis", threshold=2 / 61)
    assert answer["counts"].values == [[2, 88], [0, 510]]
    assert figures(answer) == {**figures(answer, "at 0.5"), "positive from": "1"} and figures(answer)["precision"] == 1


def test_the_ranking_is_exact(mirror: Path) -> None:
    columns = list(zip(*asked("skin-scores")["ranking"].rows, strict=True))
    assert columns[1] == pytest.approx([0.525986, 0.606111, 0.566049], abs=5e-7)
    # Ties broken by the order of the file, which has its melanomas first.
    assert (columns[2][0], columns[3][0]) == pytest.approx((0.976, 0.076), abs=5e-4)
    assert columns[4] == (0.874, 0.965, 0.911)


def test_the_threshold_goes_over_the_different_scores(mirror: Path) -> None:
    project = built("skin-scores")
    truth, scores = project.truth[:, 0], project.scores[:, 0]
    assert (scores == 0).sum() == 579 and scores.max() == 1.1e-14
    different = np.unique(scores)[::-1]
    seen = []
    for place in range(23):
        answer = asked("skin-scores", project, threshold=place / 22)
        called = scores >= different[place - 1] if place else np.zeros(600, bool)
        table = [[int((truth & called).sum()), int((truth & ~called).sum())], [int((~truth & called).sum()), int((~truth & ~called).sum())]]
        assert answer["counts"].values == table
        seen.append(table)
    assert len({str(table) for table in seen}) == 23 and seen[-1] == [[117, 0], [483, 0]]


@pytest.mark.parametrize(("miss", "place"), [(1, "3 of 22"), (2, "17 of 22"), (10, "22 of 22")])
def test_the_cheapest_threshold_falls_with_the_cost_of_a_miss(mirror: Path, miss: float, place: str) -> None:
    answer = asked("skin-scores", miss=miss, threshold=1)
    values = figures(answer, "cheapest")
    assert values["of the scores"] == place
    costs = [figures(asked("skin-scores", miss=miss, threshold=share / 22))["cost"] for share in range(23)]
    assert values["cost"] == min(costs) and figures(answer)["cost"] == 483


def test_the_curves_run_through_all_thresholds(mirror: Path) -> None:
    answer = asked("skin-scores", threshold=0.5)
    curve = answer["ROC/all thresholds"]
    assert len(curve.x) == len(curve.at) == 23 and (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert all(np.isfinite(curve.at)) and np.trapezoid(curve.y, curve.x) == pytest.approx(0.525986, abs=5e-7)
    here, values = answer["ROC/here"], figures(answer)
    assert here.y[0] == values["sensitivity"] and here.x[-1] == pytest.approx(1 - values["specificity"])
    assert answer["precision/here"].y[0] == values["precision"] and answer["sensitivity/here"].y[0] == values["specificity"]
    assert "precision/here" not in asked("skin-scores")


def test_auc_counts_ties_half_as_scikit_learn_does(mirror: Path) -> None:
    project, random = built("skin-scores"), np.random.default_rng(0)
    cases = [(project.truth[:, task], project.scores[:, task]) for task in (0, 1)]
    cases += [(random.random(50) > 0.5, random.integers(0, 5, 50) / 4) for _ in range(5)]
    for positive, scores in cases:
        assert auc(positive, scores) == pytest.approx(metrics.auc(positive, scores), abs=1e-12)
        false, true, thresholds = metrics.roc(positive, scores)
        values, tp, fp = cumulated(positive, scores)
        assert values.tolist() == thresholds.tolist()
        assert tp / tp[-1] == pytest.approx(true) and fp / fp[-1] == pytest.approx(false)
    # What a computation in half precision makes of them.
    truth, scores = cases[0]
    assert auc(truth, scores.astype(np.float16)) == 0.5


def test_a_score_that_is_no_number_ranks_nothing() -> None:
    assert np.isnan(areas(np.array([[True, False], [False, True]]), np.array([[0.1, np.nan], [0.2, 0.3]]))).tolist() == [False, True, True]


def test_ties_by_order() -> None:
    assert by_order(np.array([1.0, 0.0, 1.0]), 1).tolist() == [2, 0, 1]
    assert by_order(np.array([1.0, 0.0, 1.0]), -1).tolist() == [1, 0, 2]


def test_own_predictions_are_scored_in_the_order_of_the_truth(mirror: Path, tmp_path: Path) -> None:
    truth = (mirror / "skin_lesions/dermatologist_ai_ground_truth.csv").read_text().splitlines()
    (tmp_path / "perfect.csv").write_text("\n".join([truth[0], *reversed(truth[1:])]))
    answer = asked("skin-scores", file=str(tmp_path / "perfect.csv"), threshold=0.5)
    assert [row[1] for row in answer["ranking"].rows] == [1, 1, 1]
    assert answer["counts"].values == [[117, 0], [0, 483]] and figures(answer)["of the scores"] == "1 of 2"


@pytest.mark.parametrize(
    ("fields", "text", "says"),
    [
        ({"threshold": 1.01}, "", "threshold"),
        ({"threshold": float("nan")}, "", "threshold"),
        ({"miss": 0}, "", "miss"),
        ({"task": "nevus"}, "", "task"),
        ({"file": "no.csv"}, "", "There is no file no.csv"),
        ({"file": "{own}"}, "Id,task_1,task_2\nISIC_0012086,0.1,inf\n", "line 2"),
        ({"file": "{own}"}, "Id,task_1,task_2\nISIC_0012086,0.1,0.2\n", "own.csv has no line for"),
        ({"file": "{own}"}, "\x1b[31mId,p\n", "the first line is not Id,task_1,task_2"),
    ],
)
def test_what_cannot_be_is_one_sentence(mirror: Path, tmp_path: Path, fields: dict[str, Any], text: str, says: str) -> None:
    (tmp_path / "own.csv").write_text(text)
    values = {name: value.format(own=tmp_path / "own.csv") if name == "file" else value for name, value in fields.items()}
    with pytest.raises(Problem) as raised:
        asked("skin-scores", **values)
    assert says in str(raised.value) and raised.value.cause == "data" and "\x1b" not in str(raised.value)
