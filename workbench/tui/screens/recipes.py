"""The list of recipes by part of the course, with a pane about the recipe under the cursor. It is the first screen."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.strip import Strip
from textual.timer import Timer

from workbench import paths
from workbench.problems import Problem, one_line
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.models.outline import Folding, Lesson, outline, row_keys
from workbench.tui.panels import recipe_rows
from workbench.tui.panels.detail import recipe_lines
from workbench.tui.panels.rows import Row
from workbench.tui.screens.list import MOVING, ListScreen

if TYPE_CHECKING:
    from workbench.recipes.course import ReadAbout
    from workbench.tui.models.library import Shelved


FIRST = "digits-mlp"
"""The recipe under the cursor at first: it needs no download and learns in seconds."""
AHEAD = 0.5
"""Seconds until the newest log is read: the imports of `warm_up` are done by then."""
RESTED = 1.0
"""Seconds after which the place of the cursor is remembered: a terminal may be closed at any time."""


class RecipesScreen(ListScreen):
    """The list; Enter starts a recipe."""

    NAME = "recipes"
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "start", "Start the recipe on the best device", "⏎"),
        Key("f", "form", "settings", "Show and change the settings and the device before the start"),
        Key("i", "page", "page", "Read the lesson's page: what it teaches, what to try, watch and read next, figures, data, runs"),
        Key("e", "edit", "edit", "Edit your own recipe in $EDITOR and check it; of a shipped recipe, edit a copy"),
        Key("c", "copy", "copy", "Copy the recipe under another name, to edit the copy"),
        Key("left", "fold", "", "Fold the lesson; the list remembers it", "←"),
        Key("right", "unfold", "", "Unfold the lesson", "→"),
        Key("space", "turn", "", "Fold or unfold the lesson under the cursor", "Space"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self._ahead: Iterator[None] | None = None
        self._folding = Folding()
        self._saving: Timer | None = None

    def on_mount(self) -> None:
        # Textual calls the base's on_mount by itself.
        self.rows.reveal = self._reveal

    def on_unmount(self) -> None:
        self._folding.save()

    def on_screen_suspend(self) -> None:
        self._folding.save()

    def rested(self) -> None:
        self._folding.cursor = self.rows.key or self._folding.cursor
        if self._saving:
            self._saving.stop()
        self._saving = self.set_timer(RESTED, self._folding.save)

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
        parts = outline(self.library)
        known = {key for part in parts for lesson in part.lessons for key in (lesson.key, *row_keys(lesson.items))}
        # The first recipe of a course that a teacher handed out is meant for newcomers, too.
        handed_out = next((shelved.key for shelved in self.library.shelf if shelved.course), "")
        newcomer = handed_out or next((shelved.key for shelved in self.library.shelf if shelved.path.stem == FIRST), "")
        first = self._folding.cursor if self._folding.cursor in known else newcomer
        self._folding.begin(parts, first)
        return first

    @property
    def chosen(self) -> "Shelved | None":
        """The recipe under the cursor."""
        key = self.rows.key
        return next((shelved for shelved in self.library.shelf if shelved.key == key), None)

    @property
    def topic(self) -> "ReadAbout | None":
        """What is only read about, under the cursor."""
        key = self.rows.key
        return next((entry for entry in self.library.read_about if entry.key == key), None)

    def _lesson(self, key: str) -> Lesson | None:
        """The lesson whose heading, or one of whose rows, this is; None where it has no heading."""
        lessons = (lesson for part in outline(self.library) for lesson in part.lessons if lesson.is_headed)
        return next((lesson for lesson in lessons if key in (lesson.key, *row_keys(lesson.items))), None)

    @property
    def heading(self) -> Lesson | None:
        """The lesson whose heading is under the cursor."""
        lesson = self._lesson(self.rows.key)
        return lesson if lesson and lesson.key == self.rows.key else None

    def make_rows(self, width: int) -> Sequence[Row]:
        return recipe_rows.recipe_rows(self.library, width, self._folding, self.words)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        chosen = self.chosen
        if chosen:
            return recipe_lines(chosen, self.library, width)
        from workbench.tui.panels import lesson as pages
        from workbench.tui.screens.lesson import sections_of

        if self.topic:
            return pages.page_lines(sections_of(self.topic, self.library), width)
        return pages.lesson_lines(self.heading, recipe_rows.standings(self.library), width) if self.heading else []

    def refusal(self, name: str) -> str:
        if name in ("edit", "copy"):
            if not self.chosen:
                return f"There is no recipe here to {name}."
            return "A copy needs a recipe without mistakes." if name == "copy" and not self.chosen.loaded else ""
        if name in ("fold", "unfold", "turn"):
            if self.words:
                return "The filter shows every match; Esc clears it."
            return "" if self._lesson(self.rows.key) else "This row belongs to no lesson that can be folded."
        if name == "page" and not (self.topic or self.chosen):
            return "The cursor is on no recipe."
        if name == "open" and (self.topic or self.heading):
            return ""
        if name in ("open", "form", "page") and not self.topic:
            if not self.chosen:
                return "There is no recipe here to start."
            return "" if self.chosen.loaded else "This recipe has mistakes; the pane lists them."
        return ""

    def do_open(self) -> None:
        if self.topic:
            self.do_page()
        elif self.heading:
            self.do_turn()
        elif self.chosen and self.chosen.loaded:
            self.services.start(self.chosen.loaded)

    def do_page(self) -> None:
        from workbench.tui.screens.lesson import LessonScreen

        if item := self.topic or self.chosen:
            self.app.push_screen(LessonScreen(item, self.do_open))

    def _reveal(self, key: str) -> None:
        """Unfold the lesson of a row that is to have the cursor."""
        lesson = self._lesson(key)
        if lesson and lesson.key != key and self._folding.is_folded(lesson):
            self._fold(lesson, False)

    def _fold(self, lesson: Lesson, folded: bool) -> None:
        if folded:
            self.rows.select(lesson.key)
        self._folding.fold(lesson, folded)
        self.fill()

    def do_fold(self) -> None:
        if lesson := self._lesson(self.rows.key):
            self._fold(lesson, True)

    def do_unfold(self) -> None:
        if lesson := self.heading:
            if self._folding.is_folded(lesson):
                self._fold(lesson, False)
            else:
                self.do_down()

    def do_turn(self) -> None:
        if lesson := self._lesson(self.rows.key):
            self._fold(lesson, not self._folding.is_folded(lesson))

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
