"""A lesson as one's own: its recipe and its Python file are copied under another name, and the file opens in the editor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.formatting import settings
from workbench.problems import Problem, one_line
from workbench.tui.screens.key_screen import KeyScreen
from workbench.tui.screens.name import NameScreen

if TYPE_CHECKING:
    from workbench.recipes.copy_recipe import New
    from workbench.runs.tunings import Trial, Tuning

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


def promote(screen: KeyScreen, tuning: Tuning, best: Trial | None) -> None:
    """Ask for a name, and copy the recipe of a tuning with the settings of its best trial."""
    from workbench.recipes import copy_recipe

    copies: list[New] = []
    if best is None:
        return

    def take(name: str) -> None:
        copies.append(copy_recipe.copy(name, str(_source(tuning)), settings=best.params))

    def copied(name: str | None) -> None:
        if name and copies:
            screen.services.library.load_recipes()
            screen.services.say(
                f"{copies[0].recipe.name} is yours, with the settings of trial {best.number}: the list of recipes starts it."
            )

    text = f"A recipe of your own, with the settings of trial {best.number}: {settings(best.params)}"
    screen.app.push_screen(NameScreen("Keep the best settings", one_line(text, 400), f"{one_line(tuning.stem, 40)}-best", take), copied)


def _source(tuning: Tuning) -> Path:
    """The recipe that was started, with its comments, if it is still the same; else the tuning's own copy of it."""
    from workbench.recipes.load import load_recipe

    started = Path(tuning.plan().recipe)
    try:
        now, then = load_recipe(started, describe=False).recipe, tuning.recipe()
        if (now.project, now.config, now.train) == (then.project, then.config, then.train):
            return started
    except (Problem, OSError):
        pass
    return tuning.base


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
