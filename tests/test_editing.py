"""Recipes edited from the list, in a real editor's place on a real pseudo terminal: what is shipped stays, what is mended is seen."""

import json
import stat
from pathlib import Path

import made_runs
import pytest
from test_pty import Screen

from workbench import paths
from workbench.problems import Problem
from workbench.recipes.find import project_source
from workbench.recipes.load import load_recipe
from workbench.tui import editor
from workbench.tui.app import DlwbApp
from workbench.tui.screens.name import NameScreen

SHIPPED = paths.shipped("recipes") / "2-neural-networks" / "bike-sharing.yaml"


def script(folder: Path, text: str) -> str:
    """An "editor" that does this to the file that it is given."""
    path = folder / "my editor"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"'{path}' --wait"


def test_a_shipped_recipe_is_copied_edited_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", script(tmp_path, 'echo IN THE EDITOR; sed -i "s/learning_rate/learning_rat/" "$2"'))
    before = SHIPPED.read_bytes()
    terminal = Screen()
    try:
        terminal.wait("Handwritten digits")
        terminal.type("/")
        terminal.wait("words")
        terminal.type("gradients by hand\r")
        terminal.wait_gone("Handwritten digits")
        terminal.type("e")
        terminal.wait("is part of dlwb and does not change")
        terminal.type("\r")
        terminal.wait("✗ my-bike-sharing.yaml")
        terminal.wait("learning_rate?")  # one word: how the pane wraps depends on the path
        assert b"IN THE EDITOR" in terminal.bytes
        mine = paths.home() / "recipes" / "my-bike-sharing.yaml"
        assert "learning_rat:" in mine.read_text() and SHIPPED.read_bytes() == before
        (tmp_path / "my editor").write_text('#!/bin/sh\nsed -i "s/learning_rat:/learning_rate:/" "$2"\n')
        terminal.type("e")
        terminal.wait("no mistakes")
        terminal.wait_gone("✗ my-bike-sharing.yaml")
        assert load_recipe(mine).recipe.title == "my-bike-sharing"
        (tmp_path / "my editor").write_text("#!/bin/sh\nexit 3\n")
        terminal.type("e")
        terminal.wait(" ended")  # one word: how the sentence wraps depends on the path
        terminal.type("q")
        while terminal.program.poll() is None:
            terminal.read(0.1)
    finally:
        terminal.program.kill()


def test_the_lesson_of_a_run_is_copied_with_its_recipe_and_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", script(tmp_path, 'echo "# mine" >> "$2"'))
    run = made_runs.make_run("bike-sharing")
    made_runs.finish(run, 100)
    (run.path / "run.json").write_text(json.dumps({"recipe": str(SHIPPED)}))
    lesson = project_source(load_recipe(SHIPPED).recipe.project)
    before = lesson.read_text()
    terminal = Screen()
    try:
        terminal.wait("Handwritten digits")
        terminal.type("2")
        terminal.wait("finished")
        terminal.type("\r")
        terminal.wait("smoothed 1 %")
        terminal.type("e")
        terminal.wait("become your own")
        terminal.type("\r")
        terminal.wait(" yours:")  # one word: how the sentence wraps depends on the width
        copy = paths.home() / "recipes" / "my_bike_sharing.py"
        assert copy.read_text() == before + "# mine\n" and lesson.read_text() == before
        assert load_recipe(copy.with_name("my-bike-sharing.yaml")).project_file == copy
        terminal.type("e")
        terminal.wait("become your own")
        terminal.type("\r")
        terminal.wait("already")
    finally:
        terminal.program.kill()


async def test_a_copy_says_why_a_name_is_refused(tmp_path: Path) -> None:
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)
        await pilot.press("c")
        await pilot.pause(0.2)
        assert isinstance(pilot.app.screen, NameScreen)
        for _ in range(40):
            await pilot.press("backspace")
        await pilot.press(*"digits-mlp".replace("-", "_").replace("_", "-"), "enter")
        await pilot.pause(0.2)
        shown = "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
        assert "There is a recipe digits-mlp already" in shown
        await pilot.press("escape")
        await pilot.pause(0.2)
        assert not (paths.home() / "recipes").exists()


def test_which_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem, match=r"No editor is set.*\. Set one .*export EDITOR=nano"):
        editor.command()
    (tmp_path / "vi").touch(mode=0o755)
    assert editor.command() == [str(tmp_path / "vi")]
    monkeypatch.setenv("EDITOR", "emacs -nw")
    with pytest.raises(Problem, match=r"\$EDITOR names emacs, which is not installed"):
        editor.command()
    monkeypatch.setenv("VISUAL", "vi -u 'NONE")
    with pytest.raises(Problem, match=r"\$VISUAL cannot be read"):
        editor.command()
    monkeypatch.setenv("VISUAL", "vi -u NONE")
    assert editor.command() == ["vi", "-u", "NONE"]
