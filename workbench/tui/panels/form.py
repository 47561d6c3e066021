"""A form: rows under a cursor, edited in place. The start form, live changes, a sample's request and try-it are made of it."""

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
ROOM = 16
"""Cells that a value is left before what it may be stands beside it."""


class Entry(Input):
    """A line to type in. What is pasted is cleaned, and comes as one line."""

    DEFAULT_CSS = """
    Entry { height: 1; border: none; padding: 0; background: $raised; color: $text-color; }
    Entry.wrong { color: $bad; }
    """

    def __init__(self, value: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(value, placeholder=placeholder, id=id, compact=True, select_on_focus=False, max_length=LONGEST)
        self.cursor_blink = False  # each blink is bytes over SSH

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        text = clean(event.text)
        text = " ".join(text.split()) if "\n" in text else text.replace("\t", " ")
        start, end = sorted(self.selection)
        self.replace(text[: LONGEST - len(self.value) + end - start], start, end)


class FormPanel(Rows, can_focus=True):
    """The row under the cursor is open for typing: always (`typing`), or from `edit` on. What it is and what is wrong stand under it."""

    DEFAULT_CSS = "FormPanel > Entry { position: absolute; display: none; }"

    class Changed(Message):
        """Another value stands in a field."""

    def __init__(self, form: Form, above: Above = lambda width, key: (), *, typing: bool = False, id: str | None = None) -> None:
        """`above` makes rows that stand above the fields, for a width and the key under the cursor."""
        super().__init__(id=id)
        self.form = form
        self.typing = typing
        self.words = ""
        """Only fields with these words are shown."""
        self._above = above
        self.editing = ""
        """The field that is open for typing."""

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
        """The one under the cursor."""
        return self.form.fields.get(self.key)

    # -- what stands where -----------------------------------------------------------------------------------------------------------

    def lines(self, width: int) -> list[Strip]:
        key = self.key
        self._take(self._make(width))
        if self.key != key:
            self._take(self._make(width))  # the help stands under another row
        return [row.strip for row in self._rows]

    @property
    def names(self) -> int:
        """Cells of the column of names."""
        widest = max((cell_len(field.label) for field in self.form.fields.values()), default=0)
        return min(max(12, widest + 4), max(8, self.size.width // 2))

    def tallest(self, width: int) -> int:
        """Rows that it takes with the longest help, and one problem more than there is."""
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
        name = (strips.fit(f"  {one_line(field.label, 60)}", self.names), palette.plain if field.changed or under_cursor else palette.dim)
        note = (f"  {field.note}" if field.note else "", palette.faint)
        return strips.line(width, [name, (text or " ", look), note], [(self._beside(field, under_cursor, width), palette.faint)])

    def _beside(self, field: Field, under_cursor: bool, width: int) -> str:
        """What stands at the right of a row: the value before, or what it may be (of many fields only under the cursor)."""
        if field.changed and self.form.before:
            return f"  {self.form.before}: {one_line(field.first, max(8, width // 3))} "
        fits = (under_cursor or self.typing) and field.expected and cell_len(field.expected) + ROOM + self.names < width
        return f"  {one_line(field.expected, 200)} " if fits else ""

    def _below(self, field: Field, under_cursor: bool, width: int) -> list[Strip]:
        """What stands under a row: what is wrong with it; under the cursor also what it is."""
        expected = "" if field.expected in self._beside(field, under_cursor, width) else f"It is {field.expected}. ".replace("…. ", "… ")
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
        last = self.cursor + (len(self._below(self.field, True, width)) if self.field else 0)
        if height and last >= self.top + height:
            self.top = min(self.cursor, last - height + 1)

    def _paint(self) -> None:
        super()._paint()
        if not self.is_mounted:
            return
        entry, field = self.entry, self.field
        entry.display = bool(self.editing and field)
        if entry.display and field:  # over the value of its row
            entry.set_class(bool(field.problem), "wrong")
            entry.styles.offset = (self.names, self.cursor - self.top)
            entry.styles.width = max(4, self.size.width - self.names - cell_len(self._beside(field, True, self.size.width)) - 1)

    def on_resize(self) -> None:
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
        """Move the cursor; from the last row to the first and back."""
        keys = [row.key for row in self._rows if row.key]
        if keys:
            self.select(keys[(keys.index(self.key) + rows) % len(keys)])

    def edit(self, text: str | None = None, *, chosen: bool = False) -> None:
        """Open the row under the cursor for typing, with this text in place of its own; a row of choices takes keys itself."""
        field = self.field
        if field is None or not field.typed:
            self.editing = ""
            self.screen.set_focus(self if self.typing else None)
            self.rebuild()
            return
        self.editing = field.name
        entry = self.entry
        with entry.prevent(Input.Changed):
            entry.value = field.text if text is None else text
        entry.cursor_position = len(entry.value)
        entry.display = True
        self.screen.set_focus(entry, scroll_visible=False)
        if chosen:
            entry.action_select_all()
        self.commit()
        self.rebuild()

    def commit(self) -> None:
        """Take what is being typed."""
        field = self.form.fields.get(self.editing)
        if field and self.entry.value != field.text:
            self.form.put(field.name, self.entry.value)
            self.post_message(self.Changed())

    def close(self) -> None:
        """Take what is being typed, and type no more."""
        self.commit()
        self.editing = ""
        self.screen.set_focus(None)
        self.rebuild()

    def turn(self, by: int) -> None:
        """The next or the previous choice of the row under the cursor."""
        if self.field and self.field.choices:
            self.form.turn(self.key, by)
            self.rebuild()
            self.post_message(self.Changed())

    def wrong(self) -> bool:
        """Put the cursor on the first field with a problem, where there is one."""
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
    Key("left", "left", "", "The previous choice", "←"),
    Key("right", "right", "", "The next choice", "→"),
)
OPEN = (
    Key("tab", "next", "next field", "The next field", "Tab"),
    Key("shift+tab", "previous", "", "The field before", "⇧Tab"),
    *WALK[:2],
    *TURN,
    Key("space", "right", "", "The next choice", "Space"),
)
"""For a form that is always open for typing: a line that is typed in takes left, right and space first."""


class FormKeys(Walker):
    """What these keys do on a screen over a form."""

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
