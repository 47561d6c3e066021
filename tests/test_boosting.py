"""Boosted trees: leaves by hand, resumed bit for bit, the course's split, 20 splits by the run's own rules, least squares, one encoder."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exploring import asked
from exploring import built as explored
from exporting import sealed, trained
from killing import become_whole, bits
from stepping import measured, scalars, train

from workbench.datasets import housing
from workbench.encoding import booster
from workbench.encoding.kinds import RowOfNumbers, Tensor
from workbench.events import Scalars, Scatter, Table
from workbench.problems import Problem
from workbench.projects.deployment.boosting import Boosting
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.history import History
from workbench.runs.log import EventLog, Tail
from workbench.serving.session import Session
from workbench.torchkit.boosted import Boosted, BoostingSettings
from workbench.training.loop import Loop

PLAIN = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_depth": 1,
    "gamma": 0,
    "min_child_weight": 0,
    "eta": 1,
    "base_score": 5.0,
}


def built(stem: str = "boston-xgboost", seed: int = 1, **config: Any) -> Boosting:
    recipe = load_recipe(find_recipe(stem)).recipe
    settings = Boosting.Config(**{"splits": 0, **recipe.config, **config})
    project = Boosting(settings, recipe.train, Compute(device="cpu", threads=1), seed)
    project.build()
    return project


def fitted(project: Boosting, folder: Path, **changes: Any) -> dict[str, Any]:
    """Its run through the real loop: every value of each metric."""
    (folder / "checkpoints").mkdir(parents=True)
    project.train = Train(**{"epochs": 200, "log_every": 1, "evaluate_every": 1, "keep_best": "valid/rmse", "patience": 10, **changes})
    log = EventLog(folder)
    try:
        Loop(project, Recipe(title="x", project="boosting", train=project.train), log, Checkpoints(folder / "checkpoints")).fit()
    finally:
        log.close()
    history = History()
    history.fold(Tail(folder / "events.jsonl").read())
    return {tag: list(series.values) for tag, series in history.series.items()}


# -- rounds ---------------------------------------------------------------------------------------------------------------------------


def of_four(prices: list[float], **parameters: Any) -> tuple[Boosted, np.ndarray]:
    inputs = np.array([[0], [0], [1], [1]], np.float32)
    matrices = {"train": booster.matrix(inputs, Tensor(shape=[1]))}
    return Boosted({**PLAIN, **parameters}, matrices, "train", 1), np.array(prices)


def test_a_leaf_is_minus_the_gradient_by_the_curvature() -> None:
    boosted, prices = of_four([0, 2, 10, 10])
    assert boosted.answers("train").tolist() == [5, 5, 5, 5]
    boosted.update(boosted.answers("train") - prices, np.ones(4), np.arange(4))
    # Errors 5 + 3 and -5 - 5, two examples each, and 1 in the denominator, XGBoost's default regularisation (lambda).
    assert boosted.answers("train") == pytest.approx([5 - 8 / 3, 5 - 8 / 3, 5 + 10 / 3, 5 + 10 / 3], rel=1e-6)
    assert boosted.gains() == [("f0", pytest.approx(8**2 / 3 + 10**2 / 3 - 2**2 / 5, rel=1e-6), 1)]
    assert boosted.tree(1, 3, {"f0": (10.0, 2.0)}).splitlines() == ["f0 < 12?", "├ yes -2.667", "└ no +3.333"]
    assert boosted.tree(2, 3) == "" and boosted.tree(1, 0).startswith("…")


def test_examples_that_are_not_drawn_change_nothing() -> None:
    answers = []
    for last in (10.0, 1000.0):
        boosted, prices = of_four([0, 2, 10, last])
        boosted.update(boosted.answers("train") - prices, np.ones(4), np.array([0, 1, 2]))
        answers.append(boosted.answers("train").tolist())
    assert answers[0] == answers[1] == pytest.approx([5 - 8 / 3, 5 - 8 / 3, 7.5, 7.5], rel=1e-6)


def test_a_draw_is_the_share_of_subsample_and_by_the_generator_alone() -> None:
    settings = BoostingSettings(subsample=0.8)
    drawn = [settings.drawn(10_000, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert len(drawn[0]) == pytest.approx(8000, abs=160)  # four standard deviations
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    assert np.array_equal(BoostingSettings(subsample=1).drawn(5, np.random.default_rng(0)), range(5))


def test_without_a_draw_the_trees_are_those_of_xgboost_s_own_objective(mirror: Any) -> None:
    project = built(subsample=1)
    theirs = booster.xgboost().Booster(project.boosted.parameters, [project.matrices["train"]])
    data = booster.matrix(project.inputs["train"], project.coding.encoder, project.names)
    data.set_label(project.prices["train"])
    for number in range(30):
        theirs.update(data, number)
    train(project, 30)
    assert project.boosted.answers("test") == pytest.approx(theirs.predict(project.matrices["test"]), abs=1e-3)


# -- resuming -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["boston-xgboost", "boston-linear"])
@pytest.mark.parametrize("at", [0, 1, 17, 39])
def test_a_resumed_run_goes_on_bit_for_bit(mirror: Any, stem: str, at: int) -> None:
    whole = built(stem)
    expected = train(whole, 40)
    begun = built(stem)
    before = train(begun, at)
    resumed = built(stem)
    resumed.load_state(resumed.decode_state(begun.encode_state(begun.state())))
    # XGBoost's random state belongs to the process, which is another one after a resume.
    train(built(stem, seed=5), 3)
    after = train(resumed, 40, skip=at)
    assert before + after == expected
    assert bits(resumed.state()) == bits(whole.state())
    for split in ("valid", "test"):
        assert resumed.boosted.answers(split).tobytes() == whole.boosted.answers(split).tobytes()


def test_rounds_depend_on_the_seed(mirror: Any) -> None:
    one, other = built(seed=1), built(seed=2)
    assert train(one, 5) != train(other, 5)


def test_eta_changes_from_the_next_round_on_and_survives_a_resume(mirror: Any) -> None:
    project, same = built(), built()
    train(project, 3), train(same, 3)
    project.config = project.config.model_copy(update={"eta": 0.01})
    project.changed(project.config)
    resumed = built()
    resumed.config = project.config
    resumed.changed(project.config)
    resumed.load_state(project.state())
    slow, fast, again = (train(of, 4, skip=3)[-1]["rmse"] for of in (project, same, resumed))
    assert slow == again and slow > fast


# -- the lesson -----------------------------------------------------------------------------------------------------------------------


def test_the_split_is_the_course_s_167_112_227_without_overlap(mirror: Any) -> None:
    project = built()
    assert {name: len(rows) for name, rows in project.parts.items()} == {"test": 167, "valid": 112, "train": 227}
    assert sorted(np.concatenate(list(project.parts.values()))) == list(range(506))
    assert project.inputs["train"].mean(0) == pytest.approx(np.zeros(13), abs=1e-5)
    assert not np.array_equal(project.parts["test"], built(split=1).parts["test"])


def test_the_run_learns_stops_and_answers_from_its_best_round_as_on_the_other_splits(mirror: Any, tmp_path: Path) -> None:
    project = built(splits=2)
    values = fitted(project, tmp_path / "run")
    valid = values["valid/rmse"]
    best = int(np.argmin(valid))
    assert len(valid) - 1 == best + 10 < 200, "ten rounds without a better one"
    assert project.boosted.rounds == best, "value 0 was measured before the first round"
    assert values["test/rmse"] == [pytest.approx(project.figures("test")["rmse"])]
    assert values["train/rmse"][-1] < values["train/rmse"][0] / 3
    assert values["test/rmse"][0] < 0.6 * project.prices["test"].std()
    # Split 0 among the splits is this very run.
    rounds, error, test = Boosting(project.config, project.train, project.compute, 1), min(valid), values["test/rmse"][0]
    rounds.build()
    assert rounds.stopped() == (best, pytest.approx(error), pytest.approx(test))
    other = built(split=1)
    other.train = project.train
    _, error_1, test_1 = other.stopped()
    assert values["test/median/valid"] == [pytest.approx((error + error_1) / 2)]
    assert values["test/median/test"] == [pytest.approx((test + test_1) / 2)]


def test_nothing_is_learnt_from_shuffled_prices(mirror: Any) -> None:
    project = built()
    np.random.default_rng(0).shuffle(project.prices["train"])
    train(project, 30)
    assert scalars(project, "test")["r2"] < 0.05
    assert project.figures("train")["r2"] > 0.5, "the trees did fit the noise"


def test_linear_ends_at_least_squares(mirror: Any) -> None:
    project = built("boston-linear")
    train(project, 100)
    (inputs, prices), asked_of = ((project.inputs[split].astype(float), project.prices[split]) for split in ("train", "test"))
    with_one = np.column_stack([inputs, np.ones(len(inputs))])
    solution = np.linalg.lstsq(with_one, prices, rcond=None)[0]
    answers = asked_of[0] @ solution[:-1] + solution[-1]
    assert project.boosted.answers("test") == pytest.approx(answers, abs=0.01)
    table = asked("boston-linear", project)["coefficients"]
    assert dict(table.rows) == pytest.approx(dict(zip(project.names, solution, strict=False)), abs=0.01)
    compared = next(event for event in measured(project, "test") if isinstance(event, Table))
    figures = dict(compared.rows)
    assert figures["this: linear"] == pytest.approx(figures["least squares"], rel=1e-3)


def test_the_course_s_columns_or_fewer(mirror: Any) -> None:
    project = built(leave_out=["B", "CHAS"])
    assert project.names == [name for name in housing.BOSTON if name not in ("B", "CHAS")]
    places = [place for place, name in enumerate(housing.BOSTON) if name not in ("B", "CHAS")]
    assert np.array_equal(project.inputs["test"], built().inputs["test"][:, places])
    train(project, 5)
    assert "B" not in [name for name, *_ in project.boosted.gains()]


@pytest.mark.parametrize(
    ("config", "says"),
    [({"leave_out": ["Rm"]}, "no column 'Rm'"), ({"leave_out": housing.BOSTON}, "leaves no column"), ({"data": "x"}, "data")],
)
def test_wrong_settings_are_one_sentence(mirror: Any, config: dict[str, Any], says: str) -> None:
    with pytest.raises((Problem, ValueError), match=says):
        built(**config)


@pytest.mark.parametrize(("name", "value"), [("eta", 0), ("eta", 1.5), ("max_depth", 0), ("subsample", 0), ("gamma", -1), ("split", -1)])
def test_settings_have_ranges(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Boosting.Config(**{name: value})


def test_what_is_measured_and_shown(mirror: Any) -> None:
    project = explored("boston-xgboost", splits=0)
    train(project, 20)
    scores, prices, residuals, compared = measured(project, "test")
    assert isinstance(scores, Scalars) and isinstance(compared, Table)
    assert isinstance(prices, Scatter) and isinstance(residuals, Scatter)
    truth, answers = np.array(prices.x), np.array(prices.y)
    assert scores.values["rmse"] == pytest.approx(np.sqrt(np.mean((truth - answers) ** 2)))
    assert scores.values["r2"] == pytest.approx(1 - np.sum((truth - answers) ** 2) / np.sum((truth - truth.mean()) ** 2))
    assert residuals.y == pytest.approx(truth - answers)
    assert [row[0] for row in compared.rows] == ["this: trees", "random forest", "least squares", "the mean"]
    shown = asked("boston-xgboost", project, column=13, tree=1, levels=2)
    assert shown["price"].labels == ("LSTAT", "price, 1,000 dollars") and len(set(shown["price"].y)) < 30, "steps"
    gains = [row[1] for row in shown["gain"].rows]
    assert gains == sorted(gains, reverse=True) and {shown["gain"].rows[0][0], shown["gain"].rows[1][0]} == {"LSTAT", "RM"}
    assert shown["tree"].text.startswith(("LSTAT < ", "RM < ")) and "…" in shown["tree"].text
    assert asked("boston-xgboost", project, tree=21)["tree"].text == "There are 20 trees so far."
    with pytest.raises(Problem, match="column: 13 is no column; there are 12"):
        asked("boston-xgboost", explored("boston-xgboost", leave_out=["B"]), column=13)


def test_the_drawn_tree_gives_the_first_round_s_answers(mirror: Any) -> None:
    """Walked by the words on the screen, in the columns' own units."""
    project = built(eta=1)
    train(project, 1)
    scales = dict(zip(project.names, zip(project.mean, project.scale, strict=True), strict=True))
    lines = project.boosted.tree(1, 20, scales).splitlines()
    rows, answers = project.features[project.parts["test"]], project.boosted.answers("test")
    base = project.prices["train"].mean()
    agreed = [
        abs(walked(lines, dict(zip(project.names, row, strict=True))) + base - answer) < 0.05
        for row, answer in zip(rows, answers, strict=True)
    ]
    # A value that lies on a threshold may fall on the other side of four digits.
    assert np.mean(agreed) > 0.95


def walked(lines: list[str], row: dict[str, float]) -> float:
    question = lines[0]
    if not question.endswith("?"):
        return float(question)
    name, threshold = question.rstrip("?").split(" < ")
    corner = next(place for place, line in enumerate(lines) if line.startswith("└"))
    part = lines[1:corner] if row[name] < float(threshold) else lines[corner:]
    return walked([part[0].split(" ", 2)[2], *(line[2:] for line in part[1:])], row)


# -- asked and served -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["boston-xgboost", "boston-linear"])
def test_predict_and_a_served_booster_give_the_answers_of_the_split(mirror: Any, stem: str) -> None:
    project = built(stem)
    train(project, 10)
    serving = project.serving()
    assert serving.kind == "xgboost" and serving.coding is project.coding
    examples = serving.examples(20)
    answers = project.boosted.answers("test")[:20].tolist()
    assert [project.predict(example)["answer"] for example in examples] == answers
    served = booster.load(bytes(serving.graph.save_raw("ubj")))
    batch = project.coding.batch([project.coding.encode(example) for example in examples])
    assert np.array_equal(batch, project.inputs["test"][:20])
    assert booster.outputs(served, batch, project.coding.encoder).tolist() == answers
    assert project.predict({"row": {}} if not examples else examples[0])["unit"] == "1,000 dollars"
    (field, *_), row = project.form()["fields"], {"RM": 9.0}
    assert field["name"] == "CRIM" and project.predict({"row": row})["answer"] > project.predict({"row": {"RM": 4.0}})["answer"]


@pytest.mark.parametrize("inputs", [None, {}, {"row": {}}, {"row": {"RM": True}}, {"row": {"RM": float("nan")}}, {"row": {"x": 1}}])
def test_what_is_no_district_is_refused(mirror: Any, inputs: Any) -> None:
    with pytest.raises(Problem):
        built().predict(inputs)


def test_an_exported_booster_answers_test_inputs_as_the_run_does(mirror: Any, home: Path, tmp_path: Path) -> None:
    project, run = trained("boston-xgboost", 1, "config.splits=0")
    train(project, 20, skip=1)
    made = sealed(project, run, tmp_path / "boston" / "1")
    assert made.parity.difference == 0 and made.parity.inputs == 167
    session = Session(made.folder)
    examples = made.folder.examples()
    assert len(examples) == 16 and session.answers([example["input"] for example in examples]) == [
        example["answer"] for example in examples
    ]
    # Encoded numbers of another width are named, as the course's failed job does.
    (refused,) = session.answers([[0.0] * 14])
    assert "14 numbers; this model takes 13" in str(refused)


def test_a_booster_that_answers_otherwise_is_not_sealed(mirror: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, run = trained("boston-xgboost", 1, "config.splits=0")
    other = built(seed=2)
    train(other, 30)
    monkeypatch.setattr(booster, "load", lambda data: other.boosted.booster)
    with pytest.raises(Problem, match="differ by"):
        sealed(project, run, tmp_path / "boston" / "1")
    assert not list(tmp_path.glob("boston/*"))


def test_a_file_that_is_no_booster_is_refused() -> None:
    with pytest.raises(Problem, match="no booster"):
        booster.load(b"no booster")


def test_without_xgboost_the_sentence_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(Problem, match="needs xgboost") as raised:
        booster.matrix(np.zeros((1, 1)), RowOfNumbers(columns=[]))
    assert "pip install 'dlwb[boost]'" in raised.value.hint


def test_no_torch_is_imported() -> None:
    code = "import sys, workbench.projects.deployment.boosting, workbench.torchkit.classification; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("nothing_is_left")
def test_killed_it_becomes_the_run_that_was_never_killed(mirror: Any) -> None:
    """By SIGKILL, and resumed in another process, whose random state is another one."""
    settings = ["train.epochs=300", "train.patience=0", "train.log_every=1", "train.checkpoint_every=9", "config.splits=0"]
    become_whole("boston-xgboost", settings, ("saving",))
