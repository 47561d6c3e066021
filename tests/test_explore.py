"""Exploring on the screen and from the shell: changes are answered, undone and kept; what is wrong keeps the panels; the newest wins."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lines import ended, start
from piloting import open_run, seen, settle

from workbench import paths
from workbench.recipes import trust
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.tui.app import DlwbApp
from workbench.tui.models.answering import Answering
from workbench.tui.models.exploring import Exploring, moved, step_of
from workbench.tui.screens.drawing import DrawScreen
from workbench.tui.screens.explore import ExploreScreen

OWN = """
import time
from typing import Annotated, Literal
from workbench.events import Curve, Matrix as Cells, Scalars, Text
from workbench.problems import Problem
from workbench.training.project import Field, Matrix, Project, Request

class Own(Project):
    class Request(Request):
        factor: float = Field(2.0, ge=0, le=10, json_schema_extra={"step": 0.5})
        "What the numbers are multiplied with."
        numbers: Annotated[list[list[float]], Matrix((1, 3), (1, 3), -9, 9)] = [[1, 2], [3, 4]]
        "The numbers."
        kind: Literal["times", "plus"] = "times"
        "What is done."
        words: str = "one"
        "Any words."
        drawing: str = Field("", json_schema_extra={"picture": True})
        "A picture."
        slow: bool = False
        "Whether it takes seconds."

    def sample(self, request):
        if request.words == "refuse":
            raise Problem("words must not be refuse.")
        values = [[x * request.factor if request.kind == "times" else x + request.factor for x in row] for row in request.numbers]
        yield Cells(tag="answer", values=values)
        for part in range(40 if request.slow else 0):
            time.sleep(0.1)
            yield Text(tag="part", text=str(part))
        yield Text(tag="said", text=f"{request.words} and {len(request.drawing)} characters of a picture")
        yield Scalars(values={"sum": sum(map(sum, values)), "hole": None})
"""
RECIPE = """
title: Something to explore
part: 1. Own
lesson: 1. Own
about: Numbers.
project: ./own.py
explore: {factor: 3}
watch: ["Change the factor."]
"""


@pytest.fixture
def own(home: Path) -> Path:
    """A lesson of a person's own, trusted."""
    folder = home / "recipes"
    folder.mkdir(parents=True)
    (folder / "own.py").write_text(OWN)
    (folder / "own.yaml").write_text(RECIPE)
    trust.trust(folder / "own.py")
    return folder / "own.yaml"


async def opened(pilot: Any, words: str = "something") -> ExploreScreen:
    await pilot.press("slash", *words, "enter", "enter")
    await settle(pilot, lambda: isinstance(pilot.app.screen, ExploreScreen) and bool(pilot.app.screen.exploring.events))
    await settle(pilot, lambda: "answer" in seen(pilot.app))
    return pilot.app.screen


def shown(screen: ExploreScreen) -> Any:
    """The numbers of the newest answer."""
    return screen.exploring.events["sample/answer"].values


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (120, 40)])
async def test_a_key_changes_the_answer_and_undo_takes_it_back(own: Path, size: tuple[int, int]) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert shown(screen) == [[3, 6], [9, 12]], "the recipe's factor, not the project's"
        await pilot.press("right")
        await settle(pilot, lambda: shown(screen) == [[3.5, 7], [10.5, 14]])
        assert "3.5" in seen(pilot.app)
        await pilot.press("right_square_bracket", "right_square_bracket")
        await settle(pilot, lambda: shown(screen) == [[10, 20], [30, 40]])
        assert screen.exploring.request and screen.exploring.request["factor"] == 10, "no further than its end"
        await pilot.press("u")
        await settle(pilot, lambda: shown(screen) == [[3, 6], [9, 12]])
        await pilot.press("4", "enter")
        await settle(pilot, lambda: shown(screen) == [[4, 8], [12, 16]])
        await pilot.press("backspace")
        await settle(pilot, lambda: shown(screen) == [[3, 6], [9, 12]])
        await pilot.press("ctrl+z")
        await settle(pilot, lambda: shown(screen) == [[4, 8], [12, 16]])


async def test_a_matrix_is_edited_cell_by_cell(own: Path) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("down", "down", "right", "plus")
        await settle(pilot, lambda: shown(screen) == [[3, 9], [9, 12]])
        await pilot.press("7", "enter")
        await settle(pilot, lambda: shown(screen) == [[3, 21], [9, 12]])
        await pilot.press("a", "minus")
        await settle(pilot, lambda: shown(screen) == [[3, 21], [0, -3], [9, 12]])
        await pilot.press("A", "D", "d")
        await settle(pilot, lambda: shown(screen) == [[3, 21], [9, 12]])
        # A fourth row is more than its schema allows: said, and the last good panels stay.
        await pilot.press("a", "a")
        await settle(pilot, lambda: "must have 3 or fewer items, not 4" in seen(pilot.app))
        assert len(shown(screen)) == 3
        await pilot.press("d")
        await settle(pilot, lambda: "must have" not in seen(pilot.app))


async def test_what_is_wrong_is_said_and_the_panels_stay(own: Path) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("1", "1", "enter")
        await settle(pilot, lambda: "must be at most 10, not 11" in seen(pilot.app))
        assert shown(screen) == [[1, 2], [3, 4]], "11 began with 1"
        await pilot.press("backspace", "end", "up", "up")
        assert screen.rows.key == "words"
        await pilot.press("enter", "ctrl+u", *"refuse", "enter")
        await settle(pilot, lambda: "words must not be refuse." in seen(pilot.app))
        assert screen.exploring.events["sample/said"].text.startswith("refus"), "the panels of the last good answer stay"


async def test_the_values_are_kept_for_the_next_time(own: Path) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("right", "escape")
        await settle(pilot, lambda: not isinstance(pilot.app.screen, ExploreScreen))
        await settle(pilot, lambda: paths.explored("own").is_file())
        await settle(pilot, lambda: screen.answering._process.returncode is not None, 10)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ExploreScreen) and bool(pilot.app.screen.exploring.events))
        assert shown(pilot.app.screen) == [[3.5, 7], [10.5, 14]]
        await pilot.press("0", "full_stop", "5", "enter")
        await settle(pilot, lambda: shown(pilot.app.screen) == [[0.5, 1], [1.5, 2]])
        await pilot.press("r")
        await settle(pilot, lambda: shown(pilot.app.screen) == [[3, 6], [9, 12]])


async def test_a_picture_is_drawn(own: Path) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("end", "up", "enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, DrawScreen))
        await pilot.press("space", "down", "down", "enter")
        await settle(pilot, lambda: pilot.app.screen is screen)
        await settle(pilot, lambda: "and 0 characters" not in screen.exploring.events["sample/said"].text)
        assert len(screen.exploring.form.fields["drawing"].text) > 100


async def test_the_newest_question_wins_over_a_long_answer(own: Path) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("end", "right")
        await settle(pilot, lambda: "sample/part" in screen.exploring.events)
        began = time.monotonic()
        await pilot.press("right")
        await settle(pilot, lambda: "sample/part" not in screen.exploring.events)
        # The long answer takes four seconds.
        assert time.monotonic() - began < 3


async def test_a_run_is_explored_from_its_best_weights(tmp_path: Path) -> None:
    run = start(tmp_path)
    ended(run)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, run.stem)
        await pilot.press("T")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ExploreScreen) and bool(pilot.app.screen.exploring.events))
        await settle(pilot, lambda: "weights of step 100" in seen(pilot.app))
        said = pilot.app.screen.exploring.events
        before = next(iter(said.values()))
        await pilot.press("right")
        await settle(pilot, lambda: next(iter(said.values())) is not before)


async def test_what_is_explored_gets_out_as_a_page(own: Path) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("right")
        await settle(pilot, lambda: shown(screen) == [[3.5, 7], [10.5, 14]])
        await pilot.press("v")
        await settle(pilot, lambda: "def sample(self, request):" in seen(pilot.app))
        await pilot.press("escape", "x", "x")
        folder = paths.home() / "exports"
        await settle(pilot, lambda: len(list(folder.glob("own-explored-*.html"))) == 2)
    page = (folder / "own-explored-1.html").read_text()
    assert "10.5" in page and "factor" in page and "changed" in page and "Change the factor." in page and "<script" not in page


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True, check=False)


def test_the_shell_asks_once(own: Path) -> None:
    done = shell("explore", "own", "--set", "factor=2", "--set", "kind=plus", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["events"][0]["values"] == [[3, 4], [5, 6]] and answer["request"] == {"factor": 2, "kind": "plus"}
    assert answer["events"][-1]["values"] == {"sample/sum": 18}
    text = shell("explore", "own").stdout
    assert "answer" in text and "sum" in text and "30" in text
    for words, says in (
        (("factor=11",), "factor must be at most 10"),
        (("factr=1",), "factr not a setting of this request"),
        (("words=refuse",), "words must not be refuse"),
        (("numbers=[[1], [2, 3]]",), "all rows must have equally many numbers"),
        (("config.x=1",), "config.x"),
    ):
        refused = shell("explore", "own", *(part for word in words for part in ("--set", word)))
        assert refused.returncode == 1 and says in refused.stderr and "Traceback" not in refused.stderr, refused.stderr


def test_a_lesson_to_explore_is_not_trained(own: Path) -> None:
    done = shell("run", "own")
    assert done.returncode == 1 and "`dlwb explore own` answers" in done.stderr
    own.write_text(RECIPE.replace("explore: {factor: 3}", "explore: {factor: 30}\ntrain: {epochs: 1}"))
    wrong = shell("check", str(own))
    assert "own.yaml:7 explore.factor: must be at most 10, not 30" in wrong.stdout + wrong.stderr
    assert "own.yaml:8 train: own.py is only explored" in wrong.stdout + wrong.stderr


def test_a_lesson_that_nobody_trusted_does_not_answer(own: Path) -> None:
    own.with_name("own.py").write_text(OWN + "\n# changed\n")
    done = shell("explore", "own")
    assert done.returncode == 1 and "trust" in done.stderr


async def test_an_unfinished_answer_is_left_for_a_newer_question(own: Path) -> None:
    answering = Answering(load_recipe(find_recipe("own")))
    try:
        await answering.start(lambda doing: None)

        def first(answer: dict[str, Any]) -> None:
            if answer["event"].get("tag") == "sample/part":
                answering.hurry()

        answer = await answering.ask(first, sample={"slow": True})
        assert answer["dropped"]
        # What hurried the answer before does not cut the next one short.
        events: list[Any] = []
        whole = await answering.ask(events.append, sample={"factor": 1})
        assert "dropped" not in whole and [event["event"]["type"] for event in events] == ["matrix", "text", "scalars"]
    finally:
        await answering.close()


def test_numbers_move_on_the_grid_of_their_steps() -> None:
    number = {"type": "number", "minimum": 0, "maximum": 1}
    assert (
        step_of(number) == 0.02
        and step_of({**number, "maximum": 200}) == 5
        and step_of({"type": "integer", "minimum": 1, "maximum": 9}) == 1
    )
    assert moved(0.1, {**number, "step": 0.1}, 2) == 0.3
    assert moved(0.123, number, 1) == pytest.approx(0.143) and moved(0.99, number, 5) == 1 and moved(0, number, -1) == 0
    assert moved(3, {"type": "integer", "minimum": 1, "maximum": 9}, 10) == 9


def test_a_damaged_state_begins_as_the_recipe_has_it(own: Path) -> None:
    loaded = load_recipe(find_recipe("own"))
    assert loaded.schema
    file = paths.explored("own")
    file.parent.mkdir(parents=True)
    for text in ("", "[", '{"changes": 3}', '{"changes": {"factor": 3, "gone": "1"}}', '{"changes": {"factor": "50"}}', "[" * 9000):
        file.write_text(text)
        assert Exploring(loaded.schema.request, loaded.recipe.explore, "own").request == {
            "factor": 3, "numbers": [[1, 2], [3, 4]], "kind": "times", "words": "one", "drawing": "", "slow": False
        }  # fmt: skip
