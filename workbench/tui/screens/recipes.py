"""The list of recipes by part of the course, with a pane about the recipe under the cursor. It is the first screen."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.strip import Strip

from workbench import paths
from workbench.problems import Problem, one_line
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.panels import recipe_rows
from workbench.tui.panels.detail import recipe_lines
from workbench.tui.panels.rows import Row
from workbench.tui.screens.list import MOVING, ListScreen

if TYPE_CHECKING:
    from workbench.tui.models.library import Shelved


FIRST = "digits-mlp"
"""The recipe under the cursor at first: it needs no download and learns in seconds."""
AHEAD = 0.5
"""Seconds until the newest log is read: the imports of `warm_up` are done by then."""


class RecipesScreen(ListScreen):
    """The list; Enter starts a recipe."""

    NAME = "recipes"
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "start", "Start the recipe on the best device", "⏎"),
        Key("f", "form", "settings", "Show and change the settings and the device before the start"),
        Key("e", "edit", "edit", "Edit your own recipe in $EDITOR and check it; of a shipped recipe, edit a copy"),
        Key("c", "copy", "copy", "Copy the recipe under another name, to edit the copy"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self._ahead: Iterator[None] | None = None

    def idle(self) -> None:
        """Read the log of the newest run ahead: people most often open that run first."""
        super().idle()
        self._ahead = self.library.newest_ahead()
        self.set_timer(AHEAD, self._read_ahead)

    def _read_ahead(self) -> None:
        if self.is_active and self._ahead and next(self._ahead, self) is None:
            # 2 ms between two slices leave the event loop free for keys.
            self.set_timer(0.002, self._read_ahead)

    def first(self) -> str:
        return next((str(shelved.path) for shelved in self.library.shelf if shelved.path.stem == FIRST), "")

    @property
    def chosen(self) -> "Shelved | None":
        """The recipe under the cursor."""
        key = self.rows.key
        return next((shelved for shelved in self.library.shelf if str(shelved.path) == key), None)

    def make_rows(self, width: int) -> Sequence[Row]:
        return recipe_rows.recipe_rows(self.library, width, self.words)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        chosen = self.chosen
        return recipe_lines(chosen, self.library, width) if chosen else []

    def refusal(self, name: str) -> str:
        if name in ("edit", "copy"):
            if not self.chosen:
                return f"There is no recipe here to {name}."
            return "A copy needs a recipe without mistakes." if name == "copy" and not self.chosen.loaded else ""
        if name in ("open", "form"):
            if not self.chosen:
                return "There is no recipe here to start."
            return "" if self.chosen.loaded else "This recipe has mistakes; the pane lists them."
        return ""

    def do_open(self) -> None:
        if self.chosen and self.chosen.loaded:
            self.services.start(self.chosen.loaded)

    def do_form(self) -> None:
        if self.chosen and self.chosen.loaded:
            self.services.open_form(self.chosen.loaded)

    def do_copy(self) -> None:
        self._copy("The copy is your own and you can edit it. It keeps the comments.")

    def do_edit(self) -> None:
        if self.chosen and self.chosen.path.is_relative_to(paths.shipped("recipes")):
            self._copy("This recipe is part of dlwb and does not change; you edit a copy.", then_edit=True)
        elif self.chosen:
            self._edit(self.chosen.path)

    def _copy(self, text: str, then_edit: bool = False) -> None:
        from workbench.recipes import copy_recipe
        from workbench.tui.screens.name import NameScreen

        stem = self.chosen.path.stem if self.chosen else ""
        copies: list[Path] = []

        def take(name: str) -> None:
            copies.append(copy_recipe.copy(name, str(self.chosen.path) if self.chosen else "").recipe)

        def copied(name: str | None) -> None:
            if name and copies:
                self._look_again(copies[0])
                self.notify(f"Copied to {copies[0]}", markup=False, timeout=4)
                if then_edit:
                    self._edit(copies[0])

        self.app.push_screen(NameScreen(f"Copy {one_line(stem, 40)}", text, f"my-{stem}", take), copied)

    def _edit(self, path: Path) -> None:
        from workbench.tui.editor import edit

        try:
            edit(self.app, self.services.frame, path)
        except Problem as problem:
            self.services.say(str(problem), warning=True)
        self._look_again(path)
        chosen = self.chosen
        if chosen and chosen.path == path:
            wrong = len(chosen.problems)
            text = f"{wrong} mistake{'s' * (wrong != 1)}; the pane lists {'them' if wrong > 1 else 'it'}" if wrong else "no mistakes"
            self.services.say(f"{path.name}: {text}.", warning=bool(wrong))

    def _look_again(self, path: Path) -> None:
        """Read the recipes again, and move the cursor to this one."""
        if self.words:
            self.do_back()
        self.library.load_recipes()
        self.fill()
        self.rows.select(str(path))
        self.pane.rebuild()
