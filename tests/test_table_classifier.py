"""Tables with a class: strict reading with row and column named, the tumours learnt, and events that all tell of the same answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.datasets import table
from workbench.events import Curve, Event, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.projects.neural_networks.table_classifier import EXAMPLES, TableClassifier
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit.metrics import auc
from workbench.training.loop import Loop


def made(folder: Path = Path(), **config: Any) -> TableClassifier:
    settings = TableClassifier.Config(**{"dropout": 0.0, "learning_rate": 0.003, **config})
    return TableClassifier(settings, Train(batch_size=32), Compute(device="cpu", threads=1), 1, folder)


def built(folder: Path = Path(), **config: Any) -> TableClassifier:
    project = made(folder, **config)
    project.build()
    return project


def train(project: TableClassifier, epochs: int) -> None:
    for epoch in range(epochs):
        for batch in project.batches(epoch, np.random.default_rng([1, epoch])):
            project.train_step(batch)


def events(project: TableClassifier, split: str = "valid") -> list[Event]:
    with project.evaluating():
        return list(project.evaluate(split))


def scalars(project: TableClassifier, split: str = "valid") -> dict[str, float]:
    return next(event.values for event in events(project, split) if isinstance(event, Scalars))


def test_the_tumours_are_split_in_three_with_the_same_share_of_malignant_ones() -> None:
    data = table.read("breast-cancer", table.Columns(), "", Path())
    assert data.classes == ["benign", "malignant"] and len(data.names) == 30
    parts = (data.train, data.valid, data.test)
    assert [len(part.labels) for part in parts] == [284, 143, 142]
    assert [int(part.labels.sum()) for part in parts] == [106, 53, 53]
    assert len({row.tobytes() for part in parts for row in part.raw}) == 569
    assert np.abs(data.train.features.mean(0)).max() < 1e-5 and np.abs(data.train.features.std(0) - 1).max() < 1e-4
    again = table.read("breast-cancer", table.Columns(), "", Path())
    assert np.array_equal(again.test.raw, data.test.raw)


def test_it_learns_and_nothing_from_shuffled_classes() -> None:
    learnt, misled = built(), built()
    features, labels = misled.splits["train"]
    misled.splits["train"] = (features, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))])
    for project in (learnt, misled):
        train(project, 20)
    assert scalars(learnt)["accuracy"] > 0.93 and scalars(learnt)["auc"] > 0.98 and scalars(learnt)["recall"] > 0.85
    assert scalars(misled)["auc"] < 0.8 and scalars(misled)["loss"] > 0.6


def test_all_events_tell_of_the_same_answers() -> None:
    project = built()
    train(project, 4)
    for split, number in (("valid", 143), ("test", 142)):
        values, matrix, examples, roc = events(project, split)
        assert isinstance(values, Scalars) and isinstance(matrix, Matrix) and isinstance(examples, Table) and isinstance(roc, Curve)
        (negative, false), (missed, hit) = matrix.values
        assert negative + false + missed + hit == number and matrix.rows == ["benign", "malignant"]
        assert values.values["accuracy"] == pytest.approx((negative + hit) / number)
        assert values.values["accuracy/majority"] == (negative + false) / number
        assert values.values["precision"] == pytest.approx(hit / (hit + false))
        assert values.values["recall"] == pytest.approx(hit / (hit + missed))
        assert roc.totals == (negative + false, missed + hit)
        assert values.values["auc"] == pytest.approx(np.trapezoid(roc.y, roc.x))
        # At one half the ROC's point is the matrix: the first threshold below it is the last one that is called positive.
        place = max(index for index, at in enumerate(roc.at) if at > 0.5)
        assert (roc.x[place] * roc.totals[0], roc.y[place] * roc.totals[1]) == pytest.approx((false, hit))


def test_examples_belong_to_their_cells_surest_mistakes_first() -> None:
    project = built()
    train(project, 2)
    _, matrix, examples, _ = events(project)
    assert isinstance(matrix, Matrix) and isinstance(examples, Table) and examples.tag == "confusion/examples"
    wrong = [row for row, cell in zip(examples.rows, examples.cells, strict=True) if cell[0] != cell[1]]
    assert wrong == examples.rows[: len(wrong)] and [row[2] for row in wrong] == sorted((row[2] for row in wrong), reverse=True)
    for truth in (0, 1):
        for taken in (0, 1):
            assert examples.cells.count((truth, taken)) == min(EXAMPLES, matrix.values[truth][taken])
    for row, (truth, taken) in zip(examples.rows, examples.cells, strict=True):
        assert row[:2] == [matrix.rows[truth], matrix.rows[taken]] and 0.5 <= float(row[2]) <= 1
        (found,) = np.flatnonzero((np.abs(project.data.valid.raw[:, project.telling] - row[3:]) <= 1e-3 * np.abs(row[3:])).all(1))
        assert project.data.valid.labels[found] == truth
    assert examples.columns[:3] == ["truth", "taken for", "probability"] and len(set(examples.columns)) == 7


def test_a_tumour_is_asked_about_by_its_measurements() -> None:
    project = built()
    train(project, 20)
    for index in (0, 50, 100, 140):
        row = dict(zip(project.data.names, project.data.valid.raw[index].tolist(), strict=True))
        with project.evaluating():
            answer = project.predict({"row": row})
            chances = project.network(project.splits["valid"][0][index : index + 1]).softmax(1)[0].tolist()
        assert list(answer["probabilities"].values()) == pytest.approx(chances, abs=1e-5)
        assert answer["answer"] == project.data.classes[int(np.argmax(chances))]
    with project.evaluating():
        bigger, smaller = (project.predict({"row": {"worst radius": size}})["probabilities"]["malignant"] for size in (30, 8))
    assert bigger > smaller


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "no row"),
        ([], "no row"),
        ({"row": {}}, "no row"),
        ({"row": {"radius": 1}}, "no measurement 'radius'"),
        ({"row": {"mean radius": "big"}}, "mean radius is not a number"),
        ({"row": {"mean radius": float("nan")}}, "mean radius is not a number"),
        ({"row": {"mean radius": True}}, "mean radius is not a number"),
    ],
)
def test_what_is_no_row_is_refused(inputs: Any, says: str) -> None:
    project = built()
    with project.evaluating(), pytest.raises(Problem, match=says):
        project.predict(inputs)


def own(folder: Path, separator: str = ",", kinds: int = 2) -> Path:
    """A table in which only the colour and the size tell the kind."""
    rng = np.random.default_rng(3)
    lines = [separator.join(("size", "colour", "noise", "note", "kind"))]
    for number in range(300):
        kind = number % kinds
        colour = ("red", "green", "blue")[(kind + (rng.random() < 0.1)) % 3]
        lines.append(separator.join((f"{kind + rng.normal() / 4:.3f}", colour, f"{rng.normal():.3f}", f"note {number}", f"kind {kind}")))
    (folder / "table.csv").write_text("\n".join(lines) + "\n\n")
    return folder


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_an_own_table_is_learnt(tmp_path: Path, separator: str) -> None:
    project = built(own(tmp_path, separator), data="./table.csv", target="kind", leave_out=["note"])
    assert project.variant == "table.csv"
    assert project.data.names == ["size", "colour = blue", "colour = green", "colour = red", "noise"]
    assert project.data.classes == ["kind 0", "kind 1"]
    train(project, 30)
    assert scalars(project, "test")["accuracy"] > 0.93
    first = built(tmp_path, data="./table.csv", target="kind", leave_out=["note"], positive="kind 0")
    assert first.data.classes == ["kind 1", "kind 0"]


def test_more_than_two_classes_have_a_table_in_place_of_a_roc(tmp_path: Path) -> None:
    project = built(own(tmp_path, kinds=3), data="./table.csv", target="kind", leave_out=["note"])
    train(project, 20)
    values, matrix, examples, classes = events(project, "test")
    assert (
        isinstance(values, Scalars) and set(values.values) == {"loss", "accuracy", "accuracy/majority"} and values.values["accuracy"] > 0.85
    )
    assert isinstance(matrix, Matrix) and len(matrix.values) == 3 and isinstance(examples, Table)
    assert isinstance(classes, Table) and classes.tag == "classes" and len(classes.rows) == 3


def test_the_students_of_the_course(mirror: Path) -> None:
    settings = {"data": "student-admissions", "target": "admit", "words": ["rank"], "hidden": [], "learning_rate": 0.01}
    learnt, misled = built(**settings), built(**settings)
    data = learnt.data
    assert data.names == ["gre", "gpa", "rank = 1", "rank = 2", "rank = 3", "rank = 4"] and data.variant == ""
    raw = np.concatenate([part.raw for part in (data.train, data.valid, data.test)])
    assert raw[:, 2:].sum(0).tolist() == [61, 151, 121, 67] and len(learnt.network) == 1
    assert np.concatenate([part.labels for part in (data.train, data.valid, data.test)]).mean() == pytest.approx(0.3175)
    features, labels = misled.splits["train"]
    misled.splits["train"] = (features, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))])
    for project in (learnt, misled):
        train(project, 60)
    # Little can be told from these numbers; logistic regression has 0.70 in cross-validation, always saying no 0.6825.
    assert scalars(learnt)["auc"] > 0.6 > scalars(misled)["auc"]
    assert scalars(learnt)["loss"] < scalars(misled)["loss"]


GOOD = ["size,colour,kind", *(f"{number},red,{number % 2}" for number in range(20))]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({3: "7,,1"}, "line 4: colour is missing"),
        ({3: "NA,red,1"}, "line 4: size is missing"),
        ({3: "7,red"}, "line 4: 2 fields, where the first line names 3"),
        ({5: "many,red,1"}, "line 6: size is 'many', not a number like most of the column"),
        ({5: "inf,red,1"}, "line 6: size is 'inf', not a number like most of the column"),
        ({0: "size,size,kind"}, "two columns 'size'"),
        ({0: "size;colour;kind"}, "line 2: 1 field, where the first line names 3"),
        ({0: "size,colour,sort"}, "no column 'kind'"),
        ({5: '"7,red,1'}, "line 6: a quote that opens here is not closed"),
        ({5: "7,red,3"}, "class '3' has 1 row"),
        (dict.fromkeys(range(1, 21), "7,red,1"), "has 1 different value"),
        (
            {number: f"{number},word {number}-{number},{number % 2}" for number in range(1, 80)},
            "colour has 79 different words, more than 50",
        ),
        ({number: f"{number},red,{number}" for number in range(1, 80)}, "has 79 different values"),
        ({number: f"{number}.5e306,red,{number % 2}" for number in range(1, 21)}, "size has numbers too large"),
    ],
)
def test_a_wrong_table_is_refused_with_line_and_column(tmp_path: Path, change: dict[int, str], says: str) -> None:
    lines = dict(enumerate(GOOD)) | change
    (tmp_path / "table.csv").write_text("\n".join(lines[number] for number in sorted(lines)))
    with pytest.raises(Problem, match=says) as raised:
        made(tmp_path, data="./table.csv", target="kind").build()
    assert raised.value.cause == "data"


def test_a_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(Problem, match="no class 'maligant'"):
        built(positive="maligant")


def test_a_constant_column_is_harmless(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("\n".join(GOOD))
    project = built(tmp_path, data="./table.csv", target="kind")
    assert np.isfinite(project.data.test.features).all() and not project.data.test.features[:, 1].any()


def test_the_area_of_a_perfect_part_is_one() -> None:
    project = built()
    train(project, 40)
    truth = project.data.train.labels == 1
    with project.evaluating():
        chances = project.network(project.splits["train"][0]).softmax(1)[:, 1].double().numpy()
    assert auc(truth, chances) > 0.999


def test_a_resumed_run_has_the_same_weights(tmp_path: Path) -> None:
    """Among its measurements are NumPy's numbers, and they are part of the checkpoint."""

    def attempt(name: str, steps: int) -> TableClassifier:
        project = built(dropout=0.3)
        (tmp_path / name / "checkpoints").mkdir(parents=True, exist_ok=True)
        log = EventLog(tmp_path / name)
        train = Train(steps=steps, batch_size=32, log_every=3, evaluate_every=5, keep_best="valid/loss")
        recipe = Recipe(title="x", project="table_classifier", train=train)
        Loop(project, recipe, log, Checkpoints(tmp_path / name / "checkpoints")).fit()
        log.close()
        return project

    straight = attempt("straight", 30)
    attempt("cut", 13)
    resumed = attempt("cut", 30)
    for mine, theirs in zip(resumed.network.parameters(), straight.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
