"""Rows: a list with a cursor and with headings between the rows. The lists of recipes, runs and data sets use it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip

from workbench.tui.drawing import palette
from workbench.tui.keys import Key
from workbench.tui.panels.lines import Lines


class Row(NamedTuple):
    """One line of the list; a line without a key is a heading."""

    key: str
    strip: Strip


class Rows(Lines):
    """A list with a cursor; the cursor stays on its key when rows appear, disappear and move."""

    class Moved(Message):
        """The cursor moved to another row."""

        def __init__(self, rows: "Rows", key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

    class Chosen(Message):
        """A click on the row that already has the cursor."""

        def __init__(self, rows: "Rows", key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

    class Headed(Message):
        """A click on the first row, a heading, at this cell."""

        def __init__(self, x: int) -> None:
            super().__init__()
            self.x = x

    def __init__(self, *, name: str | None = None, id: str | None = None) -> None:
        super().__init__(name=name, id=id)
        self._rows: list[Row] = []
        self.cursor = -1
        self.make: Callable[[int], Sequence[Row]] | None = None
        """Makes the rows for a width; set by the screen."""
        self.first = ""
        """The key of the row that has the cursor at first, if there is such a row."""
        self.reveal: Callable[[str], None] | None = None
        """Makes a row that is folded away stand in the list; set by a screen that folds."""

    def lines(self, width: int) -> list[Strip]:
        if self.make:
            self._take(self.make(width))
        return [row.strip for row in self._rows]

    @property
    def key(self) -> str:
        """The key of the row under the cursor; "" in an empty list."""
        return self._rows[self.cursor].key if 0 <= self.cursor < len(self._rows) else ""

    def _take(self, rows: Sequence[Row]) -> None:
        before, place = self.key, self.cursor
        self._rows = list(rows)
        keys = [row.key for row in rows]
        wanted = before or self.first
        if wanted and wanted in keys:
            self.cursor = keys.index(wanted)
        else:
            # The row is gone: the cursor stays at its height instead of jumping to the top.
            self.cursor = self._nearest(max(0, place))
        self._follow()
        if self.key != before:
            self.post_message(self.Moved(self, self.key))

    def move(self, rows: int) -> None:
        """Move the cursor by so many rows, not counting headings."""
        choices = [index for index, row in enumerate(self._rows) if row.key]
        if not choices:
            return
        place = choices.index(self.cursor) if self.cursor in choices else 0
        self._to(choices[max(0, min(len(choices) - 1, place + rows))])

    def select(self, key: str) -> None:
        """Move the cursor to the row with this key, if there is one."""
        if key and self.reveal and not any(row.key == key for row in self._rows):
            self.reveal(key)
        for index, row in enumerate(self._rows):
            if key and row.key == key:
                self._to(index)

    def row(self, index: int, width: int) -> Strip:
        strip = super().row(index, width)
        if index != self.cursor:
            return strip
        first = strip.text[:1].strip()  # a row's own mark (◆) stays under the cursor
        mark = Segment(first or "▌", palette.accent + palette.chosen)
        rest = strip.adjust_cell_length(width, palette.plain).crop(1)
        return Strip([mark, *(Segment(text, (style or palette.plain) + palette.chosen) for text, style, _ in rest)], width)

    def settle(self) -> None:
        super().settle()
        self._follow()

    def _nearest(self, place: int) -> int:
        choices = [index for index, row in enumerate(self._rows) if row.key]
        return min(choices, key=lambda index: abs(index - place), default=-1)

    def _to(self, index: int) -> None:
        if index != self.cursor:
            self.cursor = index
            self._follow()
            self._paint()
            self.post_message(self.Moved(self, self.key))

    def _follow(self) -> None:
        height = self.size.height
        if self.cursor < 0 or not height:
            return
        # A row's heading scrolls into view with it.
        above = self.cursor - 1 if self.cursor and not self._rows[self.cursor - 1].key else self.cursor
        if above < self.top:
            self.top = above if above > 1 else 0
        elif self.cursor >= self.top + height:
            self.top = self.cursor - height + 1

    def on_click(self, event: events.Click) -> None:
        index = self.top + event.y
        if index < len(self._rows) and self._rows[index].key:
            if index == self.cursor:
                self.post_message(self.Chosen(self, self.key))
            else:
                self._to(index)
        elif not index and self._rows and (place := event.get_content_offset(self)):
            self.post_message(self.Headed(place.x))


WALK = (
    Key("up", "up", "", "Go one row up", "↑"),
    Key("down", "down", "", "Go one row down", "↓"),
    Key("pageup", "page_up", "", "Go one page up", "PgUp"),
    Key("pagedown", "page_down", "", "Go one page down", "PgDn"),
    Key("home", "first", "", "Go to the first row", "Home"),
    Key("end", "last", "", "Go to the last row", "End"),
)


class Walker:
    """The actions of these keys on a screen with rows."""

    @property
    def rows(self) -> Rows:
        return cast(Rows, cast(Any, self).query_one(Rows))

    def do_up(self) -> None:
        self.rows.move(-1)

    def do_down(self) -> None:
        self.rows.move(1)

    def do_page_up(self) -> None:
        # Two rows of the page before stay in sight.
        self.rows.move(-max(1, self.rows.size.height - 2))

    def do_page_down(self) -> None:
        self.rows.move(max(1, self.rows.size.height - 2))

    def do_first(self) -> None:
        self.rows.move(-(10**9))

    def do_last(self) -> None:
        self.rows.move(10**9)
