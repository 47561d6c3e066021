"""A lesson as one's own: its recipe and its Python file are copied under another name, and the file opens in the editor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.problems import Problem, one_line
from workbench.tui.screens.key_screen import KeyScreen
from workbench.tui.screens.name import NameScreen

if TYPE_CHECKING:
    from workbench.recipes.copy_recipe import New

TEXT = "The lesson's Python file and its recipe become your own. You edit the copy; the lesson, and whatever ran of it, stays as it is."


def edit_copy(screen: KeyScreen, recipe: str) -> None:
    """Ask for a name, copy the recipe at this path with its Python file, and open the file in the editor."""
    from workbench.recipes import copy_recipe

    copies: list[New] = []

    def take(name: str) -> None:
        copies.append(copy_recipe.copy(name, recipe, project=True))

    def copied(name: str | None) -> None:
        if name and copies:
            _edit(screen, copies[0])

    stem = Path(recipe).stem
    screen.app.push_screen(NameScreen(f"Copy {one_line(stem, 40)} and its Python file", TEXT, f"my-{stem}", take), copied)


def _edit(screen: KeyScreen, new: New) -> None:
    """Open the copied Python file, then say what became of it."""
    from workbench.tui.editor import edit

    assert new.project
    services = screen.services
    try:
        edit(screen.app, services.frame, new.project)
    except Problem as problem:
        services.say(str(problem), warning=True)
    services.library.load_recipes()
    services.say(f"{new.project.name} and {new.recipe.name} are yours: the list of recipes starts them.")
