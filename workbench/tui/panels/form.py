"""A form: rows under a cursor, edited in place. The start form, live changes, a sample's request and try-it use it."""

from collections.abc import Callable, Sequence
from typing import cast

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input

from workbench.problems import clean, one_line
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models.recipe_form import LONGEST, Field, Form
from workbench.tui.panels.rows import WALK, Row, Rows, Walker

Above = Callable[[int, str], Sequence[Row]]
# Most values are shorter.
ROOM = 16
"""Cells for a value; the allowed values are beside it only where so many remain."""


class Entry(Input):
    """A line to type in. Pasted text is cleaned and becomes one line."""

    DEFAULT_CSS = """
    Entry { height: 1; border: none; padding: 0; background: $raised; color: $text-color; }
    Entry.wrong { color: $bad; }
    """

    def __init__(self, value: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(value, placeholder=placeholder, id=id, compact=True, select_on_focus=False, max_length=LONGEST)
        self.cursor_blink = False  # each blink is bytes over SSH

    def _on_paste(self, event: events.Paste) -> None:
        # Textual calls the handlers of all base classes: without this `Input` would paste a second time, its first line only.
        event.prevent_default()
        event.stop()
        text = clean(event.text)
        text = " ".join(text.split()) if "\n" in text else text.replace("\t", " ")
        start, end = sorted(self.selection)
        # The characters that the selection gives up make room for more.
        room = LONGEST - len(self.value) + end - start
        if room < len(text) and room:
            self.app.notify(f"A field takes {LONGEST:,} characters: {len(text) - room:,} of those that were pasted are left out.")
        self.replace(text[:room], start, end)


class FormPanel(Rows, can_focus=True):
    """The row under the cursor takes typing: always (with `typing`), or after `edit`. Its help and its problem show below it."""

    DEFAULT_CSS = "FormPanel > Entry { position: absolute; display: none; }"

    class Changed(Message):
        """The value of a field changed."""

    def __init__(self, form: Form, above: Above = lambda width, key: (), *, typing: bool = False, id: str | None = None) -> None:
        """`above` makes the rows above the fields, from a width and the key under the cursor."""
        super().__init__(id=id)
        self.form = form
        self.typing = typing
        self.words = ""
        """The filter: only fields with these words show."""
        self._above = above
        self.editing = ""
        """The name of the field that is open for typing; "" for none."""

    def compose(self) -> ComposeResult:
        yield Entry()

    def on_mount(self) -> None:
        self.rebuild()
        if self.typing:
            self.edit()

    @property
    def entry(self) -> Entry:
        return self.query_one(Entry)

    @property
    def field(self) -> Field | None:
        """The field under the cursor."""
        return self.form.fields.get(self.key)

    # -- what stands where -----------------------------------------------------------------------------------------------------------

    def lines(self, width: int) -> list[Strip]:
        key = self.key
        self._take(self._make(width))
        if self.key != key:
            self._take(self._make(width))  # the cursor moved to another row, so the help must move too
        return [row.strip for row in self._rows]

    @property
    def names(self) -> int:
        """Width of the column of names."""
        widest = max((cell_len(field.label) for field in self.form.fields.values()), default=0)
        return min(max(12, widest + 4), max(8, self.size.width // 2))

    def tallest(self, width: int) -> int:
        """Height with the longest help of any field, so that a dialog does not change its size at each row."""
        shown = self.form.shown(self.words)
        every = [field for _, fields in shown for field in fields]
        headings = 2 * sum(bool(heading) for heading, _ in shown)
        return len(every) + max(headings, 1) + max((len(self._below(field, True, width)) for field in every), default=0)

    def _make(self, width: int) -> list[Row]:
        rows = list(self._above(width, self.key))
        for heading, fields in self.form.shown(self.words):
            if heading:
                section = f"--set {fields[0].section}.… " if fields[0].section else ""
                rows += [Row("", strips.line(width, []))] if rows else []
                rows.append(Row("", strips.line(width, [(f" {heading}", palette.heading)], [(section, palette.faint)])))
            for field in fields:
                rows.append(Row(field.name, self._row(field, width)))
                rows += [Row("", strip) for strip in self._below(field, field.name == self.key, width)]
        return rows

    def _row(self, field: Field, width: int) -> Strip:
        under_cursor = field.name == self.key
        text = one_line(field.text, 200)
        if under_cursor and field.choices and not field.typed:
            text = f"◂ {text} ▸"
        look = palette.bad if field.problem else palette.warn if field.changed else palette.plain
        # A cut label keeps a gap to its value.
        label = strips.fit(f"  {one_line(field.label, 60)}", self.names - 1) + " "
        name = (label, palette.plain if field.changed or under_cursor else palette.dim)
        note = (f"  {field.note}" if field.note else "", palette.faint)
        return strips.line(width, [name, (text or " ", look), note], [(self._beside(field, under_cursor, width), palette.faint)])

    def _beside(self, field: Field, under_cursor: bool, width: int) -> str:
        """The text at the right of a row: the old value, or the allowed values (in a long form only under the cursor)."""
        if field.changed and self.form.before:
            return f"  {self.form.before}: {one_line(field.first, max(8, width // 3))} "
        fits = (under_cursor or self.typing) and field.expected and cell_len(field.expected) + ROOM + self.names < width
        return f"  {one_line(field.expected, 200)} " if fits else ""

    def _below(self, field: Field, under_cursor: bool, width: int) -> list[Strip]:
        """The lines below a row: its problem; under the cursor also its help."""
        expected = "" if field.expected in self._beside(field, under_cursor, width) else f"Allowed: {field.expected}. ".replace("…. ", "… ")
        facts = f"{expected}{field.facts}" if under_cursor else ""
        texts = ((field.problem, palette.bad), (field.help if under_cursor else "", palette.plain), (facts, palette.dim))
        left = self.names if width >= 60 else 4
        return [
            strips.line(width, [(" " * left, palette.plain), (line, style)])
            for text, style in texts
            if text
            for line in strips.wrap(clean(text).rstrip(), width - left - 2)
        ]

    def _follow(self) -> None:
        super()._follow()
        width, height = self.size
        # The help scrolls into view with its row, but never pushes the row itself out.
        last = self.cursor + (len(self._below(self.field, True, width)) if self.field else 0)
        if height and last >= self.top + height:
            self.top = min(self.cursor, last - height + 1)

    def _paint(self) -> None:
        super()._paint()
        # The first paint may come before `compose` has made the entry.
        if not self.is_mounted:
            return
        entry, field = self.entry, self.field
        entry.display = bool(self.editing and field)
        if entry.display and field:  # one widget for all rows: it lies over the value of the row under the cursor
            entry.set_class(bool(field.problem), "wrong")
            entry.styles.offset = (self.names, self.cursor - self.top)
            entry.styles.width = max(4, self.size.width - self.names - cell_len(self._beside(field, True, self.size.width)) - 1)

    def on_resize(self) -> None:
        # After the layout: before it `size` is still the old one.
        self.call_after_refresh(self.rebuild)

    # -- the cursor and typing -------------------------------------------------------------------------------------------------------

    def _to(self, index: int) -> None:
        if index == self.cursor:
            return
        self.commit()
        self.editing = ""
        self.cursor = index
        self.edit() if self.typing else self.rebuild()
        self.post_message(self.Moved(self, self.key))

    def go_round(self, rows: int) -> None:
        """Move the cursor; after the last row comes the first."""
        keys = [row.key for row in self._rows if row.key]
        if keys:
            self.select(keys[(keys.index(self.key) + rows) % len(keys)])

    def edit(self, text: str | None = None, *, chosen: bool = False) -> None:
        """Open the row under the cursor for typing, with `text` in place of its value; a row with only choices needs no entry."""
        field = self.field
        if field is None or not field.typed:
            self.editing = ""
            self.screen.set_focus(self if self.typing else None)
            self.rebuild()
            return
        self.editing = field.name
        entry = self.entry
        # Setting the value is not typing: no message; `commit` below takes it.
        with entry.prevent(Input.Changed):
            entry.value = field.text if text is None else text
        entry.cursor_position = len(entry.value)
        entry.display = True
        # Textual would scroll parents to show it; our rows scroll themselves.
        self.screen.set_focus(entry, scroll_visible=False)
        if chosen:
            entry.action_select_all()
        self.commit()
        self.rebuild()

    def commit(self) -> None:
        """Put the typed text into the form."""
        field = self.form.fields.get(self.editing)
        if field and self.entry.value != field.text:
            self.form.put(field.name, self.entry.value)
            self.post_message(self.Changed())

    def close(self) -> None:
        """Put the typed text into the form, and close the row for typing."""
        self.commit()
        self.editing = ""
        self.screen.set_focus(None)
        self.rebuild()

    def turn(self, by: int) -> None:
        """Take the next or the previous choice of the row under the cursor."""
        if self.field and self.field.choices:
            self.form.turn(self.key, by)
            self.rebuild()
            self.post_message(self.Changed())

    def wrong(self) -> bool:
        """Move the cursor to the first field with a problem; returns whether there is one."""
        self.commit()
        problem = next(iter(self.form.problems), None)
        if problem:
            self.select(problem)
        self.rebuild()
        return problem is not None

    def on_rows_chosen(self) -> None:
        if self.typing:
            self.edit()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.commit()
        self.rebuild()


TURN = (
    Key("left", "left", "", "Take the previous choice", "←"),
    Key("right", "right", "", "Take the next choice", "→"),
)
OPEN = (
    Key("tab", "next", "next field", "Go to the next field", "Tab"),
    Key("shift+tab", "previous", "", "Go to the previous field", "⇧Tab"),
    *WALK[:2],
    *TURN,
    Key("space", "right", "", "Take the next choice", "Space"),
)
"""The keys of a form that is always open for typing; in a line of text, left, right and space go to the text first."""


class FormKeys(Walker):
    """The actions of these keys on a screen with a form."""

    @property
    def panel(self) -> FormPanel:
        return cast(FormPanel, self.rows)

    def do_left(self) -> None:
        self.panel.turn(-1)

    def do_right(self) -> None:
        self.panel.turn(1)

    def do_next(self) -> None:
        self.panel.go_round(1)

    def do_previous(self) -> None:
        self.panel.go_round(-1)
