"""The source beside a run: which method is marked, how the view follows it, what foreign text and large files look like."""

from pathlib import Path

import pytest
from made_runs import finish, make_run
from piloting import open_run, seen, settle

from workbench.events import Scalars, Table, Text
from workbench.recipes.find import project_source
from workbench.runs.history import History
from workbench.runs.state import State
from workbench.tui.app import DlwbApp
from workbench.tui.drawing import palette
from workbench.tui.panels.source import LONGEST, SourcePanel, coloured, method_of, methods, text_of

SOURCE = '''"""A lesson."""


class Network:
    def forward(self, x):
        return x

    def sample(self):
        return 1


class Lesson:
    """It learns."""

    def build_data(self):
        self.data = 1  # a comment

    @classmethod
    def train_step(cls, batch):
        text = """over
two lines"""
        return {"loss": 0.5}

    def evaluate(self, split):
        yield split
'''


def test_methods_are_those_of_the_lesson_s_class() -> None:
    places = methods(SOURCE)
    lines = SOURCE.split("\n")
    assert lines[places["train_step"].start] == "    @classmethod"
    assert lines[places["train_step"].end - 1].strip() == 'return {"loss": 0.5}'
    assert lines[places["sample"].start] == "    def sample(self):"
    assert methods("def broken(:\n") == {} == methods("(" * 5000)
    shipped = project_source("image_classifier").read_text()
    assert {"build_model", "train_step"} <= methods(shipped).keys()


def test_colours_lose_no_character() -> None:
    for text in (SOURCE, project_source("image_classifier").read_text(), "", "\n\n", "'unended\n", "x = $ ?\n\ty"):
        assert "\n".join("".join(piece for piece, _ in line) for line in coloured(text)) == text
    names = {piece.strip(): name for line in coloured(SOURCE) for piece, name in line if piece.strip()}
    assert names["def"] == "accent" and names["train_step"] == "bold" and names["0.5"] == "violet" and names["# a comment"] == "dim"
    assert names["two lines"] == "good"


def test_foreign_text_is_cleaned_and_a_large_file_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_bytes(b"x = '\x1b[31mred\x1b]0;title\x07'\n\ty = 1\r\n" + b"z" * 10_000 + b"\n\xff")
    assert text_of(file).split("\n")[:2] == ["x = 'red'", "    y = 1"] and max(map(len, text_of(file).split("\n"))) <= 400
    file.write_text("x = 1\n" * LONGEST)
    assert text_of(file).endswith("… the rest is not shown") and len(text_of(file)) < LONGEST + 100
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(OSError):
        text_of(file)


def test_which_method_runs() -> None:
    history = History()
    history.fold([Scalars({"train/loss": 1.0}, step=9), Scalars({"valid/loss": 1.0}, step=9)])
    assert [method_of(State(state=state), history) for state in ("starting", "running", "paused")] == [
        "build_data",
        "train_step",
        "evaluate",
    ]
    history.fold([Text(tag="sample/text", text="x", step=9)])
    assert method_of(State(state="paused"), history) == "sample"
    history.fold([Scalars({"train/loss": 1.0}, step=10)])
    assert method_of(State(state="paused"), history) == "train_step"
    history.fold([Text(tag="sample/text", text="x", step=10, clock=2), Table(tag="step/numbers", columns=[], rows=[], step=10, clock=1)])
    assert method_of(State(state="paused"), history) == "train_step"
    history.fold([Scalars({"test/loss": 1.0}, step=11)])
    assert method_of(State(state="finished"), history) == "evaluate"


async def test_the_panel_marks_the_method_and_goes_with_it_unless_a_person_reads_elsewhere() -> None:
    run = make_run()
    run.project_copy.write_text(project_source("image_classifier").read_text())
    finish(run, 1000)
    places = methods(run.project_copy.read_text())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "finished")
        while screen.board.focused != "source":
            await pilot.press("tab")
        panel = screen.board.panel("source")
        assert isinstance(panel, SourcePanel)
        await settle(pilot, lambda: "def " in seen(pilot.app))
        panel.follow("train_step")
        assert panel.top == places["train_step"].start - 2
        place = places["train_step"]
        marked = [number for number, strip in enumerate(panel._lines) if "▎" in strip.text]
        assert marked == list(range(place.start, place.end))
        # Colours come a moment later.
        await settle(
            pilot,
            lambda: any(segment.style.color == palette.accent.color and "def" in segment.text for segment in panel._lines[place.start]),
        )
        panel.follow("build_data")
        assert panel.top == places["build_data"].start - 2
        await pilot.press("pagedown", "pagedown", "pagedown", "down")
        top = panel.top
        assert top > places["build_data"].start
        panel.follow("train_step")
        if not top <= place.start < top + panel.size.height:
            assert panel.top == top
        await pilot.press("enter")
        await settle(pilot, lambda: panel.size.height > 30)
