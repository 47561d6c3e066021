"""The list of recipes by part, with a pane about the one under the cursor. Shown first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.strip import Strip

from workbench.tui import keys, listing
from workbench.tui.keys import Key
from workbench.tui.panels.detail import recipe_lines
from workbench.tui.panels.rows import Row
from workbench.tui.screens.list import MOVING, ListScreen

if TYPE_CHECKING:
    from workbench.tui.library import Shelved


FIRST = "digits-mlp"
"""The recipe that a newcomer starts: it needs no download and learns in seconds."""


class RecipesScreen(ListScreen):
    """Enter starts."""

    NAME = "recipes"
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "start", "Start the recipe on the best device", "⏎"),
        Key("f", "form", "settings", "Look at its settings, change them, choose the device; then start"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def on_mount(self) -> None:
        super().on_mount()
        self.rows.first = next((str(each.path) for each in self.library.shelf if each.path.stem == FIRST), "")

    @property
    def chosen(self) -> "Shelved | None":
        """The recipe under the cursor."""
        key = self.rows.key
        return next((each for each in self.library.shelf if str(each.path) == key), None)

    def make_rows(self, width: int) -> Sequence[Row]:
        return listing.recipe_rows(self.library, width, self.words)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        chosen = self.chosen
        return recipe_lines(chosen, self.library, width) if chosen else []

    def refusal(self, name: str) -> str:
        if name in ("open", "form"):
            if not self.chosen:
                return "There is no recipe here to start."
            return "" if self.chosen.loaded else "This recipe has mistakes; the pane lists them."
        return ""

    def do_open(self) -> None:
        if self.chosen and self.chosen.loaded:
            self.app.start(self.chosen.loaded)

    def do_form(self) -> None:
        if self.chosen and self.chosen.loaded:
            self.app.open_form(self.chosen.loaded)
