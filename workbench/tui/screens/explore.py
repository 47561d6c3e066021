"""Explore a lesson, or a run's best weights: change a value and see the answer in the panels at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.containers import Container
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from workbench.problems import Problem, one_line
from workbench.recipes import hints
from workbench.recipes.find import project_source
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import Recipe
from workbench.recipes.schema_check import Schema
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models.exploring import Exploring, allowed
from workbench.tui.panels.controls import ControlsPanel
from workbench.tui.panels.explore_board import SOURCE, ExploreBoard
from workbench.tui.panels.form import FormPanel
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import Rows, Walker
from workbench.tui.screens.try_it import TRYING, TryScreen

if TYPE_CHECKING:
    from textual.widgets import Input

    from workbench.runs.run import Run

WIDE = 72
"""With so many columns the controls stand beside the panels, else above them."""
SIDE = (30, 40)
"""Columns of the controls beside the panels: a readable slider, and a comfortable one from 110 columns on."""
# What a line over SSH carries while a key is held; a picture of 40x20 cells is about 40,000 bytes.
RATE = 14_000.0
"""Bytes a second that drawing may cost while a person keeps changing."""
AT_ONCE = 30_000.0
"""Bytes that may be sent before that rate holds: a few single changes are drawn at once, whatever they cost."""
REST = 0.35
"""Seconds without a change after which the newest answer is drawn, whatever it costs."""


class ExploreScreen(Walker, TryScreen):
    """The request's fields as controls; each change asks again, and the newest question wins."""

    HEADING = "Explore"
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Leave the typing, then the panel in focus, then the screen; the values are kept", "Esc"),
        Key("left", "left", "less", "Decrease the value, take the previous choice, or go to the cell at the left", "←"),
        Key("right", "right", "more", "Increase the value, take the next choice, or go to the cell at the right", "→"),
        Key("left_square_bracket,shift+left", "much_less", "", "Decrease by ten steps", "["),
        Key("right_square_bracket,shift+right", "much_more", "", "Increase by ten steps", "]"),
        Key("minus", "minus", "", "Decrease the value or the cell of a matrix by a step", "-"),
        Key("plus,equals_sign", "plus", "", "Increase the value or the cell of a matrix by a step", "+"),
        Key(
            "enter",
            "edit",
            "type",
            "Type a value, take the next choice, draw a picture; on a panel: full screen. A digit begins a value",
            "⏎",
        ),
        Key("u,ctrl+z", "undo", "undo", "Take the last change back"),
        Key("backspace,delete", "reset", "as in the recipe", "Set the value back to the recipe's", "⌫ Del"),
        Key("r", "reset_all", "", "Set all values back to the recipe's"),
        Key("a", "add_row", "", "Add a row below the matrix's cell"),
        Key("A", "add_column", "", "Add a column behind the matrix's cell"),
        Key("d", "drop_row", "", "Remove the row of the matrix's cell"),
        Key("D", "drop_column", "", "Remove the column of the matrix's cell"),
        Key("v", "source", "source", "Show the lesson's own Python file, at the method that answers"),
        Key("x", "export", "export", "Write the values and the panels as one HTML page"),
        Key("e", "copy", "", "Copy the lesson with its Python file, and edit the copy"),
        Key("tab", "next", "panel", "Go to the next panel, where the arrow keys then move", "Tab"),
        Key("up", "up", "", "Go to the control above; in a panel, move up", "↑"),
        Key("down", "down", "", "Go to the control below; in a panel, move down", "↓"),
        Key("pageup", "page_up", "", "Go up in large steps; beside the controls, to what to see before", "PgUp"),
        Key("pagedown", "page_down", "", "Go down in large steps; beside the controls, to what else there is to see", "PgDn"),
        Key("home", "first", "", "Go to the first control", "Home"),
        Key("end", "last", "", "Go to the last control", "End"),
        *TRYING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, source: Run | Loaded, recipe: Recipe, schema: Schema) -> None:
        super().__init__(source)
        self.recipe = recipe
        self.exploring = Exploring(schema, recipe.explore, source.stem)
        self._controls = ControlsPanel(self.exploring, id="controls")
        self._board = ExploreBoard(source_file(source, recipe))
        self._spent = 0.0
        """Bytes of drawing that the rate does not cover yet."""
        self._counted, self._counted_at, self._changed_at = 0, time.monotonic(), 0.0
        self._rested_at = 0.0
        """From when on the next drawing leaves as much time for everything else as the last one took."""
        self._waiting: Timer | None = None

    def compose_form(self) -> list[Widget]:
        below = Lines(id="hints")
        below.source = self._hints
        return [Container(Container(self._controls, below, id="left"), self._board, id="explore")]

    @property
    def rows(self) -> Rows:
        return self._controls

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.query_one("#explore").set_class(event.size.width >= WIDE, "wide")
        self._fit()

    def _fit(self) -> None:
        """Give the controls the rows that they need: above the panels up to a third, beside them up to all."""
        wide, (width, height) = self.size.width >= WIDE, self.size
        side = SIDE[width >= 110]
        needed = len(self._controls.lines(side - 2 if wide else width))
        self.query_one("#left").styles.width = side if wide else "1fr"
        self.query_one("#left").styles.height = "1fr" if wide else max(3, min(needed, height // 3))
        self._controls.styles.height = min(needed + 1, height - 4) if wide else "1fr"
        self.query_one("#hints", Lines).rebuild()
        self._controls.rebuild()

    def begun(self) -> None:
        self._ask_now()

    async def on_unmount(self) -> None:
        self.exploring.keep()
        await super().on_unmount()

    # -- asking and drawing ----------------------------------------------------------------------------------------------------------

    @on(FormPanel.Changed)
    def _ask_now(self) -> None:
        """Ask with the present values, unless one of them is wrong: the last good panels then stay."""
        self._changed_at = time.monotonic()
        self._fit()
        if self.exploring.request is not None:
            self.trouble = ""
            self.ask(sample=self.exploring.request)
        self.tell()

    def heard(self, answer: dict[str, Any]) -> None:
        if "event" in answer:
            self.exploring.take(answer["event"], answer.get("id"))
        elif not answer.get("dropped"):
            self.exploring.settle()
        self.draw()

    def reloaded(self) -> None:
        self._ask_now()

    def draw(self) -> None:
        """Draw the newest answer now, or as soon as the line is free again: no picture is sent that the next one replaces at once."""
        now = time.monotonic()
        sent = self.services.frame.sent
        self._spent = max(0.0, self._spent - RATE * (now - self._counted_at)) + (sent - self._counted)
        self._counted, self._counted_at = sent, now
        resting = now - self._changed_at >= REST
        if now >= self._rested_at and (self._spent <= AT_ONCE or resting):
            self._rested_at = now + REST
            self._board.follow(self.exploring.history())
            self.call_after_refresh(self._drawn, now)
        elif self._waiting is None:
            wait = 0.0 if resting else min(REST, max(0.05, (self._spent - AT_ONCE) / RATE)) if self._spent > AT_ONCE else 0.0
            self._waiting = self.set_timer(max(0.01, wait, self._rested_at - now), self._draw_late)

    def _drawn(self, began: float) -> None:
        self._rested_at = 2 * time.monotonic() - began
        self.tell()
        if self._waiting:
            self._waiting.stop()
            self._draw_late()

    def _draw_late(self) -> None:
        self._waiting = None
        self.draw()

    def _hints(self, width: int) -> list[Strip]:
        """What to try and what to see, below the controls, where there is room for it."""
        lines: list[Strip] = []
        # What to try first with a run begins with its start.
        first = self.recipe.try_first if isinstance(self.source, Loaded) else []
        for note in (*first, *self.recipe.watch):
            lines += [*strips.paragraph(f"· {hints.written(note)}", max(8, width - 2), palette.dim, "  "), strips.line(width, [])]
        return lines

    # -- the lines above and below -----------------------------------------------------------------------------------------------------

    def state(self) -> str:
        variant = f"{one_line(str(self.ready['variant']), 40)}  " if self.ready.get("variant") else ""
        if hidden := self._board.hidden:
            more = f"{hidden} more panel{'s' * (hidden != 1)}: Tab "
            # In a narrow terminal the name of the data leaves no room for both.
            variant = f"{variant}{more}" if self.size.width >= 110 or not variant else more
            return variant
        if not self.exploring.events and not self.trouble:
            return f"{variant}answering … "
        return f"{variant}answers at once " if isinstance(self.source, Loaded) else variant + super().state()

    def _say(self, width: int) -> list[Strip]:
        field = self._controls.field
        if self.trouble or self.note or field is None:
            return super()._say(width)
        expected = f" Allowed: {words}." if (words := allowed(field)) else ""
        was = f" In the recipe: {one_line(field.first, 60) or 'none'}." if field.changed and not field.schema.get("picture") else ""
        return strips.paragraph(one_line(f"{field.help}{expected}{was}", 500), width, palette.dim)

    @on(ControlsPanel.Drawing)
    def _draw_picture(self, event: ControlsPanel.Drawing) -> None:
        from workbench.tui.screens.drawing import DrawScreen

        def drawn(picture: str | None) -> None:
            if picture is not None and self.exploring.put(event.field, picture):
                self._controls.rebuild()
                self._ask_now()

        self.app.push_screen(DrawScreen(event.field), drawn)

    @on(Rows.Moved)
    def _moved(self) -> None:
        self.tell()

    # -- keys ------------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        if name == "copy" and not isinstance(self.source, Loaded) and not self.source.about().get("recipe"):
            return "This run does not say which recipe it was started from."
        if name == "reload" and isinstance(self.source, Loaded) and self.ready:
            return "A lesson has no weights that change; R starts its process again where that has ended."
        if name == "export" and not self.exploring.events:
            return "There is no answer yet."
        if name == "undo" and not self.exploring.changed:
            return "There is no change to take back."
        if name in ("add_row", "add_column", "drop_row", "drop_column") and self._controls.cell is None:
            return "Rows and columns belong to a matrix: go to one of its cells first."
        if name == "reset" and not (self._controls.field and self._controls.field.changed):
            return "This value is the recipe's."
        return ""

    def _act(self, steps: int) -> None:
        if self._board.focused:
            self._board.move(steps, 0)
        else:
            self._controls.across(steps)

    def do_left(self) -> None:
        self._act(-1)

    def do_right(self) -> None:
        self._act(1)

    def do_much_less(self) -> None:
        self._controls.nudge(-10)

    def do_much_more(self) -> None:
        self._controls.nudge(10)

    def do_minus(self) -> None:
        self._controls.nudge(-1)

    def do_plus(self) -> None:
        self._controls.nudge(1)

    def do_up(self) -> None:
        self._board.move(0, -1) if self._board.focused else super().do_up()

    def do_down(self) -> None:
        self._board.move(0, 1) if self._board.focused else super().do_down()

    def do_page_up(self) -> None:
        self._page(-1)

    def do_page_down(self) -> None:
        self._page(1)

    def _page(self, down: int) -> None:
        """A page of the panel in focus, of controls that do not all fit, or of what stands below them."""
        hints_below = self.query_one("#hints", Lines)
        if self._board.focused:
            self._board.move(0, down, page=True)
        elif self._controls.bottom or not hints_below.bottom:
            super().do_page_down() if down > 0 else super().do_page_up()
        else:
            hints_below.scroll_by(down * max(1, hints_below.size.height - 1))

    def do_add_row(self) -> None:
        self._controls.resize(1, 0)

    def do_add_column(self) -> None:
        self._controls.resize(0, 1)

    def do_drop_row(self) -> None:
        self._controls.resize(-1, 0)

    def do_drop_column(self) -> None:
        self._controls.resize(0, -1)

    def do_edit(self) -> None:
        if self._board.focused:
            self._board.full = not self._board.full
            self.draw()
        else:
            self._controls.begin()

    def do_undo(self) -> None:
        name = self.exploring.undo()
        self._controls.select(name)
        self._controls.rebuild()
        self._ask_now()

    def do_reset(self) -> None:
        self._controls.take_back()

    def do_reset_all(self) -> None:
        self.exploring.take_all_back()
        self._controls.rebuild()
        self._ask_now()

    def do_next(self) -> None:
        self._board.focus_next()
        self._board.follow(self.exploring.history())

    def do_source(self) -> None:
        self._board.focused = "" if self._board.focused == SOURCE else SOURCE
        self._board.follow(self.exploring.history())

    def do_export(self) -> None:
        from workbench.runs.export import formats
        from workbench.runs.export.explored import explored_page

        exploring = self.exploring
        page = explored_page(self.recipe, exploring.request or {}, exploring.form.changes, exploring.history(), self.source.stem)
        try:
            self.services.say(f"Written: {formats.written(page, formats.numbered(f'{self.source.stem}-explored', '.html'))}")
        except Problem as problem:
            self.services.say(str(problem), warning=True)

    def do_copy(self) -> None:
        from workbench.tui.screens.copying import edit_copy

        edit_copy(self, str(self.source.path if isinstance(self.source, Loaded) else self.source.about().get("recipe")))

    def do_back(self) -> None:
        if self._controls.editing:
            self._controls.close()
        elif self._board.full:
            self._board.full = False
            self._board.follow(self.exploring.history())
        elif self._board.focused:
            if not self._board.clear():
                self._board.focused = ""
            self._board.follow(self.exploring.history())
        else:
            super().do_back()

    def on_key(self, event: events.Key) -> None:
        """A digit or a dot begins a value: a 0, too, as many values are below 1."""
        field, text = self._controls.field, event.character
        if text and field and not self._controls.editing and not self._board.focused and text in "0123456789." and field.typed:
            event.stop()
            event.prevent_default()
            self._controls.begin(text)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._controls.close()


def source_file(source: Run | Loaded, recipe: Recipe) -> Path:
    """The lesson's own Python file: of a run the copy that trained it."""
    if isinstance(source, Loaded):
        return source.project_file or project_source(recipe.project)
    return source.project_copy
