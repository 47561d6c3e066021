"""The map of the course: what became of each recipe, what is only read about, a teacher's course, a class's results."""

import csv
import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from made_runs import alive, ended, finish, make_run, train

from workbench import paths
from workbench.cli import course as shell
from workbench.cli import look
from workbench.events import Mark, Scalars, Status
from workbench.problems import Problem
from workbench.recipes import copy_recipe, course, yaml_reader
from workbench.recipes.course import Course, ReadAbout
from workbench.recipes.find import find_recipe, shipped_and_own
from workbench.recipes.load import Loaded, RecipeProblem, load_recipe
from workbench.recipes.recipe import Bar
from workbench.runs import handed_in, index, measured, standing
from workbench.runs.log import EventLog
from workbench.runs.run import Run, list_runs

COURSE = """\
title: Autumn, class 7
order: [regression, digits-mlp]
bars: {digits-mlp: [{metric: test/accuracy, at_least: 0.99}]}
due: by 5 December
"""


@pytest.fixture
def digits() -> Loaded:
    return load_recipe(find_recipe("digits-mlp"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A teacher's folder with a course of two shipped recipes."""
    place = tmp_path / "class"
    place.mkdir()
    (place / "course.yaml").write_text(COURSE)
    return place


def became(loaded: Loaded, explored: set[str] | None = None) -> standing.Standing:
    return standing.standing(loaded, index.look_at(list_runs()), explored or set())


def of_digits(digits: Loaded, accuracy: float, second: int = 1, **changes: Any) -> Run:
    """A finished run of the recipe, as the worker leaves it."""
    run = make_run(made=msgspec.structs.replace(digits.recipe, **changes), stamp=f"2026-11-23_00000{second}")
    (run.path / "run.json").write_text(json.dumps({"code": measured.code_of(digits)}))
    finish(run, 100, accuracy=accuracy)
    return run


# -- what became of a recipe -------------------------------------------------------------------------------------------------------


def test_a_recipe_is_not_yet_running_missed_and_passed(digits: Loaded) -> None:
    assert became(digits) == standing.Standing("not yet")
    missed = of_digits(digits, 0.9)
    state = became(digits)
    assert (state.state, state.done) == ("missed", False) and state.best and state.best.value == 0.9
    held = alive(missed)
    assert became(digits).state == "running"
    held.release()
    of_digits(digits, 0.98, 2)
    state = became(digits)
    assert (state.state, state.done) == ("passed", True) and standing.words(state) == "passed ✓ test accuracy 0.9800"


def test_all_bars_must_be_passed_by_one_run(digits: Loaded) -> None:
    both = [Bar(metric="test/accuracy", at_least=0.97), Bar(metric="test/loss", at_most=0.1)]  # finish() says 0.21
    of_digits(digits, 0.99)
    strict = msgspec.structs.replace(digits, recipe=msgspec.structs.replace(digits.recipe, bar=both))
    assert became(strict).state == "missed" and became(digits).state == "passed"


def test_a_run_that_was_stopped_misses_nothing(digits: Loaded) -> None:
    run = make_run(made=digits.recipe)
    log = train(run, 100)
    log.write(Scalars({"test/accuracy": 0.2}, step=100))
    log.close()
    ended(run, "stopped", "person")
    assert became(digits).state == "not yet"


def test_stand_in_data_and_demos_are_not_judged(digits: Loaded) -> None:
    stand_in, demo = make_run(made=digits.recipe), make_run(made=digits.recipe, stamp="2026-11-23_000001")
    for run, about in ((stand_in, {"variant": "other digits"}), (demo, {"demo": "made data"})):
        log = EventLog(run.path)
        log.write(Status(state="running", steps=1, device="cpu", from_step=-1, **about))
        log.write(Scalars({"test/accuracy": 1.0}, step=1))
        log.write(Status(state="finished", cause="steps", step=1))
        log.close()
        ended(run, "finished", "steps")
    state = became(digits)
    assert (state.state, state.done) == ("trained", False) and state.best and state.best.variant == "other digits"
    assert standing.standing(digits, index.look_at([demo])).state == "not yet"


def test_what_has_no_bar_counts_when_it_was_trained_or_explored(digits: Loaded) -> None:
    no_bar = msgspec.structs.replace(digits, recipe=msgspec.structs.replace(digits.recipe, bar=[]))
    paths.explored("digits-mlp").parent.mkdir(parents=True)
    paths.explored("digits-mlp").write_text("{}")
    assert standing.explored() == {"digits-mlp"}
    assert became(no_bar, standing.explored()) == standing.Standing("explored", None, False)
    assert no_bar.schema
    only_explored = msgspec.structs.replace(no_bar, schema=msgspec.structs.replace(no_bar.schema, trains=False))
    assert became(only_explored, standing.explored()).done and not became(only_explored).done
    of_digits(digits, 0.5)
    assert became(no_bar).state == "trained" and became(no_bar).done


# -- the map -----------------------------------------------------------------------------------------------------------------------


def test_every_mention_says_what_it_is_why_it_has_no_recipe_and_where_to_read() -> None:
    topics = course.read_about()
    keys = [topic.key for topic in topics]
    names = {path.stem for path in shipped_and_own()}
    assert len(set(keys)) == len(keys) and not names & set(keys)
    assert {"flappy-bird", "deep-traffic", "augmented-cyclegan", "alphago", "wavenet", "stackgan", "fast-style-transfer"} <= set(keys)
    for topic in topics:
        assert topic.part[0] in "1234567" and topic.lesson and topic.why.endswith(".") and topic.about.endswith("."), topic.key
        assert set(topic.next) <= names | set(keys), topic.key


def test_every_shipped_recipe_says_what_to_try_and_what_to_read_next() -> None:
    for path in shipped_and_own():
        loaded = load_recipe(path, describe=False)
        assert not course.unknown_next(loaded), path
        assert path.stem not in loaded.recipe.next


def test_an_unknown_name_under_next_is_named_with_its_line_and_the_nearest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = copy_recipe.copy("mine", "digits-mlp").recipe
    mine.write_text(mine.read_text().replace("next: [mnist-mlp-fast, perceptron]", "next: [mnist-mlp-fats, flappy-bird]"))
    with pytest.raises(typer.Exit):
        look.check(["mine"])
    said = capsys.readouterr().err
    line = next(number for number, text in enumerate(mine.read_text().splitlines(), 1) if text.startswith("next:"))
    assert f"mine.yaml:{line} next.0: there is no recipe mnist-mlp-fats; did you mean mnist-mlp-fast?" in said and "flappy" not in said


def test_lessons_go_by_what_stands_before_the_comma() -> None:
    assert course.lesson_name("1. MNIST, with validation") == "1. MNIST" == course.lesson_name("1. MNIST")


def test_the_map_holds_every_recipe_and_every_mention_once(digits: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    of_digits(digits, 0.98)
    shell.course(as_json=True)
    parts = json.loads(capsys.readouterr().out)
    recipes = {recipe["name"]: recipe for part in parts for lesson in part["lessons"] for recipe in lesson["recipes"]}
    topics = [topic["key"] for part in parts for lesson in part["lessons"] for topic in lesson["read_about"]]
    assert set(recipes) == {path.stem for path in shipped_and_own()} and topics and set(topics) == {t.key for t in course.read_about()}
    assert recipes["digits-mlp"]["state"] == "passed" and recipes["digits-mlp"]["figure"]["value"] == 0.98
    third = next(part for part in parts if part["part"] == "3. Convolutional networks")
    assert third["done"] == 1 and third["of"] == sum(len(lesson["recipes"]) for lesson in third["lessons"])
    shell.course()
    printed = capsys.readouterr().out
    assert "passed ✓ test accuracy 0.9800" in printed and "flappy-bird" in printed and f"1 of {third['of']} ✓" in printed


def test_show_prints_the_page_and_a_recipe_that_reads_the_same(
    digits: Loaded, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_digits(digits, 0.98)
    look.show("digits-mlp")
    printed = capsys.readouterr().out
    assert "# Try first" in printed and "# Read next" in printed and "yours 0.9800 ✓ · to pass ≥ 0.97" in printed and "licence" in printed
    file = tmp_path / "again.yaml"
    file.write_text(printed)
    assert load_recipe(file).recipe == digits.recipe
    look.show("flappy-bird")
    assert "Why it has no recipe" in capsys.readouterr().out


def test_a_start_whose_map_is_kept_reads_no_yaml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.recipes.course.time.time_ns", lambda now=time.time_ns: now() + 10 * 10**9)  # every file is old
    topics, handed_out = course.read_about(), course.course_of(folder)
    with monkeypatch.context() as without_yaml:
        without_yaml.setattr(yaml_reader, "read", None)
        assert course.read_about() == topics and course.course_of(folder) == handed_out
    assert isinstance(topics[0], ReadAbout) and isinstance(handed_out, Course)
    (folder / "course.yaml").write_text(COURSE.replace("class 7", "class 8"))
    changed = course.course_of(folder)
    assert changed and changed.title == "Autumn, class 8"


# -- a teacher's course ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("order: [digits-mlp]\n", "title"),
        ("title: x\norder: digits-mlp\n", ":2 order: must be a list"),
        ("title: x\norder: [a]\ndeu: tomorrow\n", "did you mean due?"),
        ("title: x\norder: [digits-mlp]\nbars: {digit-mlp: [{metric: test/loss, at_most: 1}]}\n", "did you mean digits-mlp?"),
        ("title: x\norder: [a]\nbars: {a: [{metric: test/loss}]}\n", "needs at_least or at_most"),
        ("title: x\norder: [a, b, a]\n", "order.2: a is named twice"),
        ("[1]\n", "must be a section of settings"),
        ("title: [\n", "course.yaml:"),
        ("", "must be a section of settings, not nothing"),
    ],
)
def test_a_mistake_in_a_course_is_named_with_its_line(folder: Path, text: str, says: str) -> None:
    (folder / "course.yaml").write_text(text)
    with pytest.raises(RecipeProblem) as caught:
        course.course_of(folder)
    assert says in str(caught.value)


def test_a_folder_s_own_recipe_stands_before_the_shipped_one_of_the_same_name(folder: Path) -> None:
    handed_out = course.course_of(folder)
    assert handed_out
    assert course.recipes_of(folder, handed_out)["digits-mlp"] == find_recipe("digits-mlp")
    shutil.copy(find_recipe("digits-mlp"), folder)
    assert course.recipes_of(folder, handed_out)["digits-mlp"] == folder / "digits-mlp.yaml"


def test_a_course_is_judged_by_its_own_bars(folder: Path, digits: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    of_digits(digits, 0.98)
    shell.course(str(folder), as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert [(recipe["name"], recipe["state"]) for recipe in printed["recipes"]] == [("regression", "not yet"), ("digits-mlp", "missed")]
    assert (printed["title"], printed["due"], printed["done"], printed["of"]) == ("Autumn, class 7", "by 5 December", 0, 2)
    (folder / "course.yaml").write_text(COURSE.replace("0.99", "0.975").replace("[regression,", "[regresion,"))
    with pytest.raises(typer.Exit):
        shell.course(str(folder))
    text = capsys.readouterr()
    assert "passed ✓ test accuracy 0.9800" in text.out and "1 of 2 ✓" in text.out and "≥ 0.975" in text.out
    assert "there is no recipe regresion; did you mean regression?" in text.err
    with pytest.raises(Problem, match="has no course"):
        shell.course(str(folder.parent))


def test_no_list_takes_a_course_for_a_recipe(home: Path) -> None:
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "course.yaml").write_text(COURSE)
    assert "course" not in {path.stem for path in shipped_and_own()}
    with pytest.raises(Problem, match="orders a folder"):
        copy_recipe.copy("course", "digits-mlp")


# -- a class's results -------------------------------------------------------------------------------------------------------------


def handed(file: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What a student writes, with `dlwb runs --json`; the runs are gone then, as they are on another machine."""
    capsys.readouterr()
    look.runs_(as_json=True)
    file.write_text(capsys.readouterr().out)
    shutil.rmtree(paths.runs())
    return file


def collected(folder: Path, files: list[Path], capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], str]:
    shell.course(str(folder), [str(file) for file in files], collect=True, as_json=True)
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_a_class_s_results_are_one_table(folder: Path, tmp_path: Path, digits: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    of_digits(digits, 0.993, seed=7)
    of_digits(digits, 0.9, 2)
    anna = handed(tmp_path / "anna.json", capsys)
    run = of_digits(digits, 0.98, config={**digits.recipe.config, "dropout": 0.1})
    (run.path / "run.json").write_text(json.dumps({"code": "other"}))
    ben = handed(tmp_path / "ben.json", capsys)
    rows, said = collected(folder, [anna, ben], capsys)
    assert not said
    nothing = {"recipe": "regression", "passed": "nothing handed in", "figure": None}
    by_name = {(row["student"], row["recipe"]): row for row in rows}
    assert len(rows) == 4 and all(nothing.items() <= by_name[name, "regression"].items() for name in ("anna", "ben"))
    first, second = by_name["anna", "digits-mlp"], by_name["ben", "digits-mlp"]
    wanted = {"figure": 0.993, "bar": "≥ 0.99", "passed": "yes", "seed": 7, "changed": "", "metric": "test/accuracy"}
    assert wanted.items() <= first.items() and first["device"].startswith("cpu") and first["date"]
    assert {"figure": 0.98, "passed": "no", "seed": 1, "changed": "config.dropout, code"}.items() <= second.items()


def test_a_live_change_is_a_changed_setting(folder: Path, tmp_path: Path, digits: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(made=digits.recipe)
    (run.path / "run.json").write_text(json.dumps({"code": measured.code_of(digits)}))
    run.control.write_text(json.dumps({"id": "a", "verb": "set", "request": {"config.learning_rate": 0.1}}) + "\n")
    log = EventLog(run.path)
    log.write(Status(state="running", steps=100, device="cpu", from_step=-1))
    log.write(Mark(text="changed", settings={"config.learning_rate": 0.1}, command="a", step=1))
    log.write(Scalars({"test/accuracy": 0.993}, step=100))
    log.write(Status(state="finished", cause="steps", step=100))
    log.close()
    ended(run, "finished", "steps")
    [row] = [row for row in collected(folder, [handed(tmp_path / "eve.json", capsys)], capsys)[0] if row["recipe"] == "digits-mlp"]
    assert (row["figure"], row["passed"], row["changed"]) == (0.993, "yes", "config.learning_rate")


FOREIGN = {
    "empty.json": "",
    "cut.json": '[{"id": "2026',
    "list.json": "[1, 2]",
    "object.json": '{"id": 1}',
    "deep.json": "[" * 100_000,
    "binary.json": "\x00\x1b]52;c;aGk=\x07",
    "old.json": '[{"id": "x", "state": {"state": "finished"}, "summary": {"size": 1}}]',
}


def test_a_damaged_file_costs_a_sentence_and_no_other_student(
    folder: Path, tmp_path: Path, digits: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    of_digits(digits, 0.993)
    files = [handed(tmp_path / "anna.json", capsys), tmp_path / "nobody.json", tmp_path]
    for name, text in FOREIGN.items():
        (tmp_path / name).write_text(text)
        files.append(tmp_path / name)
    rows, said = collected(folder, files, capsys)
    assert {row["student"] for row in rows} == {"anna"} and len(said.splitlines()) == len(files) - 1
    assert all(any(name in line for line in said.splitlines()) for name in [*FOREIGN, "nobody.json"])
    assert "\x1b" not in said and "Traceback" not in said
    with pytest.raises(typer.Exit):
        shell.course(str(folder), [str(tmp_path / "cut.json")], collect=True)


def test_foreign_text_is_clean_in_the_table_and_no_formula_in_csv(
    folder: Path, tmp_path: Path, digits: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    of_digits(digits, 0.993)
    runs = json.loads(handed(tmp_path / "x.json", capsys).read_text())
    runs[0]["summary"]["device"] = "=cmd|' /C calc'!A0\x1b[2J"
    runs[0]["recipe"]["config"]["\x1b]52;c;aGk=\x07evil"] = 1
    evil = tmp_path / "=1+1.json"
    evil.write_text(json.dumps(runs))
    [run] = handed_in.read(evil)
    assert run.recipe and "evil" in run.recipe.config and run.summary.device == "=cmd|' /C calc'!A0"
    shell.course(str(folder), [str(evil)], collect=True, as_csv=True)
    text = capsys.readouterr().out
    row = list(csv.DictReader(io.StringIO(text)))[1]
    assert row["student"] == "'=1+1" and row["device"].startswith("'=cmd") and row["figure"] == "0.993" and row["changed"] == "config.evil"
    assert "\x1b" not in text and "\x07" not in text
    shell.course(str(folder), [str(evil)], collect=True)
    assert "0.9930" in capsys.readouterr().out


def test_students_with_the_same_file_name_are_told_apart() -> None:
    assert handed_in.names([Path("a/results.json"), Path("b/results.json"), Path("c/eve.json")]) == ["a/results", "b/results", "eve"]
