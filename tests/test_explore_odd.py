"""Exploring lessons that do odd things: every answer is shown or costs one sentence, and nothing hangs or is left over."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lines import until
from piloting import seen, settle
from test_explore import shell

from workbench import paths
from workbench.recipes import schema_check, trust
from workbench.recipes.find import find_recipe
from workbench.recipes.load import Loaded, load_recipe
from workbench.tui.app import DlwbApp
from workbench.tui.models import answering
from workbench.tui.models.answering import Answering
from workbench.tui.models.exploring import Exploring, cells, moved
from workbench.tui.panels.controls import ControlsPanel
from workbench.tui.screens.explore import ExploreScreen

ODD = """
import os, sys, time
from typing import Annotated, Any, Literal
from workbench.events import Curve, Matrix as Cells, Scatter, Table, Text
from workbench.training.project import Field, Matrix, Project

class Odd(Project):
    class Request(Project.Request):
        what: str = ""
        "What to do."
        count: int = 0
        "How often."
        numbers: Annotated[list[list[float]], Matrix((0, 3), (0, 3), -9, 9)] = [[1, 2], [3, 4]]
        "Numbers."
        factory: list[int] = Field(default_factory=list)
        "A list that the project makes."
        anything: Any = None
        "Whatever."
        mode: Literal["a", None] = None
        "A choice, or none."

    def sample(self, request):
        match request.what:
            case "exit":
                sys.exit(request.count)
            case "silent":
                raise KeyError
            case "uneven":
                yield Cells(tag="m", values=[[1], [2, 3], []], rows=["a", "b", "c", "d"], columns=["x"])
                yield Table(tag="t", columns=["a"], rows=[[1, 2], [], ["x"]])
                yield Table(tag="nothing", columns=[], rows=[[]])
                yield Curve(tag="c", x=[1, 2, 3], y=[1])
                yield Curve(tag="d", x=list(range(99)), y=[])
                yield Scatter(tag="s", x=[], y=[])
            case "tags":
                for number in range(request.count):
                    yield Text(tag=f"tag{number}", text="")
            case "flood":
                for number in range(request.count):
                    yield Text(tag="flood", text=str(number))
            case "long":
                yield Text(tag="long", text="x" * request.count)
            case "hang":
                yield Text(tag="pid", text=str(os.getpid()))
                while True:
                    time.sleep(0.01)
        yield Text(tag="end", text=f"the end of {request.what}")
"""


@pytest.fixture
def odd(home: Path) -> Loaded:
    folder = home / "recipes"
    folder.mkdir(parents=True)
    (folder / "odd.py").write_text(ODD)
    (folder / "odd.yaml").write_text("title: An odd lesson\nproject: ./odd.py\n")
    trust.trust(folder / "odd.py")
    return load_recipe(find_recipe("odd"))


def exploring(odd: Loaded, **values: Any) -> Exploring:
    assert odd.schema
    return Exploring(odd.schema.request, values, "odd")


async def answers(odd: Loaded, *requests: dict[str, Any]) -> list[str]:
    """The last event's text of each answer, or what is said instead, all from one process."""
    asked, said = Answering(odd), []
    try:
        await asked.start(lambda doing: None)
        for request in requests:
            events: list[dict[str, Any]] = []
            try:
                await asked.ask(lambda answer: events.append(answer["event"]), sample=request)  # noqa: B023
                said.append(events[-1]["text"])
            except answering.Problem as problem:
                said.append(str(problem))
    finally:
        await asked.close()
    return said


async def test_what_a_lesson_does_wrong_is_one_sentence_and_it_answers_again(odd: Loaded) -> None:
    said = await answers(
        odd, {"what": "exit", "count": 3}, {"what": "silent"}, {"what": "tags", "count": 101}, {"what": "tags", "count": 99}
    )
    assert said == ["SystemExit: 3.", "KeyError.", "The answer has more than 100 tags.", "the end of tags"]


async def test_an_answer_that_is_too_long_is_said_and_the_next_one_is_whole(odd: Loaded) -> None:
    said = await answers(odd, {"what": "long", "count": 65 << 20}, {"what": "again"})
    assert said == ["The answer has 65 MiB; 64 MiB can be shown.", "the end of again"]


async def test_after_garbage_no_answer_is_taken_for_another(odd: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "LONGEST", 1000)
    said = await answers(odd, {"what": "long", "count": 5000}, {"what": "again"})
    assert said == ["The process that answers has ended: the answer cannot be read. R starts it again."] * 2


def test_the_shell_prints_uneven_and_empty_events(odd: Loaded) -> None:
    done = shell("explore", "odd", "--set", "what=uneven")
    assert done.returncode == 0, done.stderr
    assert "the end of uneven" in done.stdout and "d: no points" in done.stdout and "s: no points" in done.stdout


def test_the_process_ends_when_whoever_asked_was_killed(odd: Loaded) -> None:
    words = [sys.executable, "-m", "workbench.training.answer", str(odd.path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps({"id": 1, "sample": {"what": "hang"}}).encode() + b"\n")
        process.stdin.flush()
        while b"event" not in process.stdout.readline():
            pass
        # As the kernel does for one that was killed.
        process.stdin.close()
        time.sleep(0.2)
        assert process.poll() is None, "its answers are still read"
        process.stdout.close()
        assert process.wait(20) == 1


def test_cells_are_a_rectangle_or_a_typed_text(odd: Loaded) -> None:
    state = exploring(odd)
    panel = ControlsPanel(state)
    for text in ("[[]]", "[[], []]", "[[1, 2], [3]]", "[[1, [2]], [3, 4]]", "[]", "[", "[[1e308, -1e308]]", "[[9999999999999999999]]"):
        state.put("numbers", text, alone=True)
        for row in range(len(cells(state.form.fields["numbers"]))):
            for cell in [(row, column) for column in range(len(cells(state.form.fields["numbers"])[0]))]:
                for change in (lambda cell: state.nudge("numbers", 1, cell), lambda cell: state.resize("numbers", 1, -1, cell)):
                    change(cell)
                    panel._make(40)
                    state.put("numbers", text, alone=True)
        panel._make(12)
        state.form.take_back("numbers")
    assert state.request


def test_sliders_of_extreme_ranges_move() -> None:
    huge = {"type": "number", "minimum": -1e308, "maximum": 1e308}
    assert moved(0, huge, 1) > 0 and moved(1e308, huge, 10) == 1e308
    tiny = {"type": "number", "minimum": -1e-300, "maximum": 1e-300}
    assert moved(1e18, tiny, 1) == 1e-300 and moved(0, tiny, 1) > 0


def test_a_field_that_the_project_fills_itself_may_stay_empty(odd: Loaded) -> None:
    state = exploring(odd)
    assert not state.form.problems and state.request is not None and "factory" not in state.request
    state.put("factory", "[1, x]")
    assert state.request is None and state.form.problems
    assert exploring(odd, anything=3).request == {**state.form.values, "anything": 3} if state.form.values else True


def test_nothing_among_the_choices_is_no_error() -> None:
    schema = {"properties": {"mode": {"enum": ["a", None]}}}
    assert schema_check.complete({"mode": None}, schema, "x")[1] == []
    assert "must be a or nothing, not 'b'" in schema_check.complete({"mode": "b"}, schema, "x", {("other",): "1"})[1][0].text


def test_a_hostile_state_is_cleaned_and_written_again(odd: Loaded) -> None:
    file = paths.explored("odd")
    file.parent.mkdir(parents=True)
    file.write_text('{"changes": {"what": "\\ud800 \\u001b[2J words", "count": "0x10", "numbers": "[[1]]"}}')
    state = exploring(odd)
    assert state.request and state.request["what"] == "?  words" and state.request["numbers"] == [[1]] and state.request["count"] == 0
    state.keep()
    assert json.loads(file.read_text())["changes"]["what"] == "?  words"


async def test_keys_are_heard_among_ten_thousand_events(odd: Loaded) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = ExploreScreen(odd, odd.recipe, odd.schema.request if odd.schema else {})
        await pilot.app.push_screen(screen)
        await settle(pilot, lambda: "sample/end" in screen.exploring.events)
        screen.exploring.put("what", "flood", alone=True)
        screen.exploring.put("count", "10000", alone=True)
        screen._ask_now()
        await settle(pilot, lambda: "sample/flood" in screen.exploring.events)
        screen.exploring.put("what", "", alone=True)
        began = time.monotonic()
        screen._ask_now()
        await settle(pilot, lambda: screen.exploring.events.get("sample/end", None) and "sample/flood" not in screen.exploring.events)
        assert time.monotonic() - began < 5
        assert "the end of" in seen(pilot.app)


async def test_quitting_while_it_answers_leaves_no_process(odd: Loaded) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = ExploreScreen(odd, odd.recipe, odd.schema.request if odd.schema else {})
        screen.exploring.put("what", "hang")
        await pilot.app.push_screen(screen)
        await settle(pilot, lambda: "sample/pid" in screen.exploring.events)
        pid = int(screen.exploring.events["sample/pid"].text)  # type: ignore[union-attr]
        os.kill(pid, 0)
    until(lambda: not Path(f"/proc/{pid}").exists(), 10)


async def test_a_killed_process_is_said_and_started_again(odd: Loaded) -> None:
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        screen = ExploreScreen(odd, odd.recipe, odd.schema.request if odd.schema else {})
        screen.exploring.put("what", "hang")
        await pilot.app.push_screen(screen)
        await settle(pilot, lambda: "sample/pid" in screen.exploring.events)
        os.kill(int(screen.exploring.events["sample/pid"].text), signal.SIGKILL)  # type: ignore[union-attr]
        await settle(pilot, lambda: "has ended: SIGKILL" in seen(pilot.app))
        screen.exploring.put("what", "", alone=True)
        await pilot.press("R")
        await settle(pilot, lambda: "sample/end" in screen.exploring.events)
        await pilot.resize_terminal(20, 5)
        await pilot.press("tab", "enter", "down")
        await pilot.resize_terminal(120, 40)
        await settle(pilot, lambda: "the end of" in seen(pilot.app))
        await asyncio.sleep(0)
