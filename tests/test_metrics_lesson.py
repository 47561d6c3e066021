"""Metrics from four counts: both worked examples, against scikit-learn, undefined ones, the majority, and a regression's errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exploring import asked, built

from workbench.events import Matrix, placed
from workbench.problems import Problem
from workbench.recipes.recipe import Recipe, dump_recipe
from workbench.runs.log import EventLog

NAME = "metrics"


def column(events: dict[str, Any], tag: str, place: int = 1) -> dict[str, Any]:
    return {row[0]: row[place] for row in events[tag].rows}


def test_the_medical_example() -> None:
    events = asked(NAME)
    figures = column(events, "metrics")
    expected = {"accuracy": 0.9, "precision": 0.555556, "recall, sensitivity": 0.833333, "F1": 0.666667, "F, beta 2": 0.757576}
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=5e-7)
    assert events["confusion matrix"].values == [[1000, 200], [800, 8000]]
    assert events["confusion matrix"].rows == events["confusion matrix"].columns


def test_the_spam_example() -> None:
    figures = column(asked(NAME, counts=[[100, 170], [30, 700]]), "metrics")
    expected = {"accuracy": 0.8, "precision": 0.769231, "recall, sensitivity": 0.370370, "F1": 0.5}
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=5e-7)


def test_the_figures_are_scikit_learn_s() -> None:
    from sklearn import metrics

    project, rng = built(NAME), np.random.default_rng(0)
    for _ in range(5):
        (hits, misses), (alarms, rejections) = counts = rng.integers(1, 40, (2, 2)).tolist()
        truth = [1] * (hits + misses) + [0] * (alarms + rejections)
        predicted = [1] * hits + [0] * misses + [1] * alarms + [0] * rejections
        values = rng.normal(0, 3, (2, 6)).tolist()
        events = asked(NAME, project, counts=counts, beta=0.5, values=values)
        figures, errors = column(events, "metrics"), column(events, "regression")
        assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
        assert figures["precision"] == pytest.approx(metrics.precision_score(truth, predicted))
        assert figures["recall, sensitivity"] == pytest.approx(metrics.recall_score(truth, predicted))
        assert figures["specificity"] == pytest.approx(metrics.recall_score(truth, predicted, pos_label=0))
        assert figures["F, beta 0.5"] == pytest.approx(metrics.fbeta_score(truth, predicted, beta=0.5))
        assert errors["MAE"] == pytest.approx(metrics.mean_absolute_error(*values))
        assert errors["MSE"] == pytest.approx(metrics.mean_squared_error(*values))
        assert errors["R²"] == pytest.approx(metrics.r2_score(*values))


def test_the_majority_stands_beside_every_figure() -> None:
    majority = column(asked(NAME), "metrics", 2)
    assert majority["accuracy"] == 0.88 and majority["recall, sensitivity"] == 0 and majority["precision"] == "–"
    mostly_sick = column(asked(NAME, counts=[[60, 20], [10, 10]]), "metrics", 2)
    assert mostly_sick["accuracy"] == mostly_sick["precision"] == 0.8 and mostly_sick["specificity"] == 0


def test_what_is_not_defined_is_a_dash() -> None:
    nobody = asked(NAME, counts=[[0, 1200], [0, 8800]])
    figures = column(nobody, "metrics")
    assert figures["precision"] == figures["F1"] == "–" and figures["accuracy"] == 0.88 and figures["recall, sensitivity"] == 0
    assert nobody["F over beta/F"].x == [] and "F over beta/now" not in nobody
    assert set(column(asked(NAME, counts=[[0, 0], [0, 0]]), "metrics").values()) == {"–"}
    assert column(asked(NAME, values=[[2, 2], [1, 3]]), "regression") == {"MAE": 1, "MSE": 1, "root of MSE": 1, "R²": "–"}


def test_a_row_adds_up_to_one_only_after_it_is_divided() -> None:
    shares = np.array(asked(NAME)["each row by its sum"].values)
    assert shares.sum(1) == pytest.approx([1, 1]) and shares[0, 0] == pytest.approx(0.833333, abs=5e-7)


def test_beta_moves_f_from_precision_to_recall() -> None:
    curve = asked(NAME)["F over beta/F"]
    assert curve.y[0] == pytest.approx(0.555556, abs=5e-7) and curve.y == sorted(curve.y)
    assert 0.833333 - curve.y[-1] < 0.005 and asked(NAME, beta=1)["F over beta/now"].y == pytest.approx([0.666667], abs=5e-7)


def test_a_regression_s_errors() -> None:
    events = asked(NAME)
    assert column(events, "regression") == pytest.approx({"MAE": 0.875, "MSE": 1.3125, "root of MSE": 1.3125**0.5, "R²": 1 - 5.25 / 14.75})
    assert column(events, "regression", 2)["R²"] == 0


# -- a run's counts --------------------------------------------------------------------------------------------------------------------


def logged(folder: Path, **matrices: list[list[float]]) -> str:
    """A run's directory whose log has these confusion matrices, by their split."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(dump_recipe(Recipe(title="x", project="image_classifier")))
    log = EventLog(folder)
    for step, (split, values) in enumerate(matrices.items(), 1):
        names = [f"class {place}" for place in range(len(values))]
        log.write(placed(Matrix(tag="confusion", values=values, rows=names, columns=names), step, 1.0, split.rstrip("_")))
    log.close()
    return str(folder)


def test_a_run_s_binary_matrix_is_taken_as_it_is(tmp_path: Path) -> None:
    run = logged(tmp_path / "run", valid=[[1, 2], [3, 4]], test=[[8000, 800], [200, 1000]])
    events = asked(NAME, source="run", run=run)
    assert events["confusion matrix"].values == [[1000, 200], [800, 8000]]
    assert events["confusion matrix"].rows == ["class 1", "class 0"]
    assert column(events, "metrics")["F, beta 2"] == pytest.approx(0.757576, abs=5e-7)
    assert events["run"].text.startswith("run: 10,000 test examples of 2 classes, at step 2. Class 2 (class 1) is positive.")
    other = asked(NAME, source="run", run=run, positive=1)["confusion matrix"]
    assert other.values == [[8000, 800], [200, 1000]] and other.rows == ["class 0", "class 1"]


def test_one_class_of_many_is_counted_against_the_rest(tmp_path: Path) -> None:
    """The cheat would be the accuracy of all classes: a mistake between two others is no mistake here."""
    from sklearn import metrics

    rng = np.random.default_rng(0)
    counts = rng.integers(0, 30, (4, 4))
    truth, answers = (np.repeat(axis, counts.ravel()) for axis in np.indices((4, 4)).reshape(2, -1))
    run = logged(tmp_path / "run", valid=counts.astype(float).tolist())
    project = built(NAME)
    for place in range(4):
        events = asked(NAME, project, source="run", run=run, positive=place + 1)
        figures = column(events, "metrics")
        assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(truth == place, answers == place))
        assert figures["precision"] == pytest.approx(metrics.precision_score(truth == place, answers == place))
        assert figures["recall, sensitivity"] == pytest.approx(metrics.recall_score(truth == place, answers == place))
        assert events["confusion matrix"].rows == [f"class {place}", "the rest"]
    assert asked(NAME, project, source="run", run=run)["confusion matrix"].rows[0] == "class 0"


def test_the_newest_matrix_counts_and_a_large_one_is_read_from_its_file(tmp_path: Path) -> None:
    large = np.diag(np.full(400, 3.0))
    run = logged(tmp_path / "run", valid=[[9, 9], [9, 9]], valid_=large.tolist())
    assert list((tmp_path / "run" / "artifacts").iterdir())
    events = asked(NAME, source="run", run=run, positive=400)
    assert events["confusion matrix"].values == [[3, 0], [0, 1197]]
    next((tmp_path / "run" / "artifacts").iterdir()).write_bytes(b"no numbers")
    with pytest.raises(Problem, match="The confusion matrix of run is damaged"):
        asked(NAME, source="run", run=run)


@pytest.mark.parametrize("values", [[[1, 2], [3]], [[1.0]], [[1, -2], [3, 4]], [[1, float("nan")], [3, 4]]])
def test_a_matrix_that_is_no_square_of_counts_is_refused(tmp_path: Path, values: list[list[float]]) -> None:
    with pytest.raises(Problem, match="The confusion matrix of run is damaged"):
        asked(NAME, source="run", run=logged(tmp_path / "run", test=values))


def test_a_run_without_a_matrix_and_a_class_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="empty has no confusion matrix"):
        asked(NAME, source="run", run=logged(tmp_path / "empty"))
    with pytest.raises(Problem, match="positive is 3, but the run has 2 classes"):
        asked(NAME, source="run", run=logged(tmp_path / "two", test=[[1, 2], [3, 4]]), positive=3)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"source": "run"}, "run names no run yet"),
        ({"source": "run", "run": "digits-mlp"}, "There is no run digits-mlp"),
        ({"counts": [[1, -1], [1, 1]]}, "counts.0.1 must be at least 0, not -1"),
        ({"counts": [[1.5, 1], [1, 1]]}, "counts.0.0: Input should be a valid integer"),
        ({"counts": [[1, 1]]}, "counts must have 2 items, not 1"),
        ({"beta": -1}, "beta must be at least 0, not -1"),
        ({"values": [[1], [2]]}, "values.0 must have 2 or more items, not 1"),
        ({"values": [[1, float("inf")], [2, 3]]}, "values.0.1 must be at most 1000, not inf"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(sentence) and raised.value.cause == "data"
