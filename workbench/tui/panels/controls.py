"""The controls of what is explored: a slider for a number, cells for a matrix, choices, a text, a drawn picture; one row under a cursor."""

from rich.cells import cell_len
from rich.style import Style
from textual import events, on
from textual.message import Message
from textual.strip import Strip

from workbench.problems import one_line
from workbench.tui.drawing import palette, strips
from workbench.tui.models.exploring import Exploring, bounds, cell_schema, cells, is_matrix
from workbench.tui.models.recipe_form import Field, written
from workbench.tui.panels.form import FormPanel
from workbench.tui.panels.rows import Row

VALUE = 7
"""Cells for the number beside its slider, and most for a cell of a matrix."""
LEAST = 6
"""Fewest cells of a slider that says anything."""
CURSOR = Style(reverse=True, bold=True)
"""Of the cell under the cursor: reversed, since its row has a background of its own."""
CELL = "#"
"""Between a field's name and the number of a matrix's row, in the key of that row. No name of a field has it."""


class ControlsPanel(FormPanel):
    """A form in which keys move values; `Changed` says that one moved, `Drawing` that a person wants to draw a picture."""

    class Drawing(Message):
        """A person wants to draw the picture of this field."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.field = name

    def __init__(self, exploring: Exploring, *, id: str | None = None) -> None:
        super().__init__(exploring.form, id=id)
        self.exploring = exploring
        self.column = 0
        """The column of the cell under the cursor, on a row of a matrix."""

    # -- what stands where -----------------------------------------------------------------------------------------------------------

    @property
    def field(self) -> Field | None:
        return self.form.fields.get(self.key.partition(CELL)[0])

    @property
    def cell(self) -> tuple[int, int] | None:
        """Row and column of the cell under the cursor; None on other rows."""
        name, sign, row = self.key.partition(CELL)
        field = self.form.fields.get(name)
        if not sign or field is None:
            return None
        width = len((cells(field) or [[]])[0])
        return int(row), max(0, min(self.column, width - 1))

    def _make(self, width: int) -> list[Row]:
        rows: list[Row] = []
        for _, fields in self.form.shown():
            for field in fields:
                under_cursor = field.name == self.key.partition(CELL)[0]
                if is_matrix(field) and (values := cells(field)):
                    note = f"{len(values)}x{len(values[0])}" if len(values) > 1 else f"{len(values[0])} number{'s' * (len(values[0]) != 1)}"
                    look = palette.warn if field.changed else palette.dim
                    rows.append(Row(field.name, strips.line(width, [(f"  {self._label(field)} ", palette.plain), (note, look)])))
                    rows += [Row(f"{field.name}{CELL}{row}", self._cells(field, values, row, width)) for row in range(len(values))]
                else:
                    rows.append(Row(field.name, self._row(field, width)))
                rows += [Row("", strip) for strip in self._below(field, under_cursor, width)]
        return rows

    @property
    def names(self) -> int:
        """No wider than the longest name: a slider needs the room."""
        widest = max((cell_len(self._label(field)) for _, fields in self.form.shown() for field in fields), default=0)
        return min(widest + 3, max(8, self.size.width // 2))

    def _label(self, field: Field) -> str:
        return one_line(field.label.replace("_", " "), 40)

    def _row(self, field: Field, width: int) -> Strip:
        look = palette.bad if field.problem else palette.warn if field.changed else palette.plain
        label = (strips.fit(f"  {self._label(field)}", self.names - 1) + " ", palette.plain if field.name == self.key else palette.dim)
        room = width - self.names - VALUE - 2
        ends = bounds(field.schema)
        if ends and room >= LEAST and not field.problem:
            value = float(str(field.text or 0))
            place = round((value - ends[0]) / (ends[1] - ends[0]) * (room - 1))
            left, right = max(0, min(room - 1, place)), room - 1 - max(0, min(room - 1, place))
            # A longer one would touch its slider; the whole number shows when it is typed over.
            number = field.text if len(field.text) <= VALUE else f"{value:.4g}"
            slider = [("━" * left, palette.accent), ("●", look), ("─" * right, palette.faint)]
            return strips.line(width, [label, *slider, (strips.fit(number, VALUE + 1, "right"), look)])
        return strips.line(width, [label, (self._text(field, width - self.names), look)])

    def _text(self, field: Field, room: int) -> str:
        if field.schema.get("picture"):
            return "⏎ draws another" if field.text else "⏎ draws one"
        text = one_line(field.text, 200)
        choice = f"◂ {text} ▸" if field.choices and not field.typed else text
        # A whole value without its arrows says more than one that is cut.
        return (choice if cell_len(choice) <= room else text) or "·"

    def _cells(self, field: Field, values: list[list[float]], row: int, width: int) -> Strip:
        size = self._cell_width(values)
        chosen = self.cell if self.key == f"{field.name}{CELL}{row}" else None
        look = palette.warn if field.changed else palette.plain
        parts: list[strips.Part] = [("  ", palette.plain)]
        for column, value in enumerate(values[row]):
            under_cursor = chosen == (row, column)
            parts.append((strips.fit(shown(value), size, "right"), palette.accent + CURSOR if under_cursor else look))
            parts.append((" ", palette.plain))
        return strips.line(width, parts)

    def _cell_width(self, values: list[list[float]]) -> int:
        return min(VALUE, max((cell_len(shown(value)) for row in values for value in row), default=1))

    def _beside(self, field: Field, under_cursor: bool, width: int) -> str:
        return ""

    def _below(self, field: Field, under_cursor: bool, width: int) -> list[Strip]:
        """A problem always; the help of the field under the cursor stands at the foot of the screen."""
        return strips.paragraph(field.problem, width - 2, palette.bad, margin=2) if field.problem else []

    def _paint(self) -> None:
        super()._paint()
        if not self.is_mounted or not self.editing:
            return
        field, cell = self.field, self.cell
        if field and cell and self.editing == self.key:
            size = self._cell_width(cells(field))
            self.entry.display = True
            self.entry.styles.offset = (2 + cell[1] * (size + 1), self.cursor - self.top)
            self.entry.styles.width = VALUE

    # -- changes -------------------------------------------------------------------------------------------------------------------------

    def nudge(self, steps: int) -> None:
        """Move the value under the cursor."""
        if self.field and self.exploring.nudge(self.field.name, steps, self.cell):
            self._changed()

    def across(self, by: int) -> None:
        """Left and right: another cell of a matrix's row, else the value moves."""
        cell = self.cell
        if cell is None:
            self.nudge(by)
        else:
            self.column = max(0, min(len(cells(self.field)[0]) - 1 if self.field else 0, cell[1] + by))
            self.rebuild()

    def resize(self, rows: int, columns: int) -> None:
        """Add or remove a row or a column of the matrix under the cursor."""
        row, column = self.cell or (0, 0)
        if self.field and self.exploring.resize(self.field.name, rows, columns, (row, column)):
            name = self.field.name
            # On to what was added; where the last row is gone, to the one before.
            self.column = max(0, column + columns) if columns > 0 else min(column, len(cells(self.field)[0]) - 1)
            self.rebuild()
            self.select(f"{name}{CELL}{min(row + max(rows, 0), len(cells(self.field)) - 1)}")
            self._changed()

    def take_back(self) -> None:
        """Put the field under the cursor back to the recipe's value."""
        if self.field and self.exploring.put(self.field.name, self.field.first, alone=True):
            self._changed()

    def _changed(self) -> None:
        self.rebuild()
        self.post_message(self.Changed())

    def begin(self, text: str | None = None) -> None:
        """Enter, or a first character that is typed: the next choice, a drawing, or typing into the field or the cell."""
        field = self.field
        if field is None:
            return
        if field.schema.get("picture") and text is None:
            self.post_message(self.Drawing(field.name))
        elif field.choices and not field.typed:
            self.nudge(1)
        elif self.cell is not None:
            rows = cells(field)
            self.editing = self.key
            entry = self.entry
            with entry.prevent(entry.Changed):
                entry.value = shown(rows[self.cell[0]][self.cell[1]]) if text is None else text
            entry.cursor_position = len(entry.value)
            entry.display = True
            self.screen.set_focus(entry, scroll_visible=False)
            if text is None:
                entry.action_select_all()
            self.commit()
            self.rebuild()
        else:
            self.edit(text, chosen=text is None)

    def commit(self) -> None:
        cell, field = self.cell, self.field
        if CELL in self.editing:
            low, high = bounds(cell_schema(field)) or (float("-inf"), float("inf")) if field else (0, 0)
            try:
                value = float(self.entry.value)
            except ValueError:
                return  # "-" on the way to "-1"
            if field and cell and low <= value <= high and self.exploring.set_cell(field.name, cell, value):
                self.post_message(self.Changed())
            self.entry.set_class(not low <= value <= high, "wrong")
        elif (field := self.form.fields.get(self.editing)) and self.exploring.put(field.name, self.entry.value):
            self.post_message(self.Changed())

    @on(events.Click)
    def _clicked(self, event: events.Click) -> None:
        """A click on a slider sets it; a click on a cell of a matrix chooses it."""
        index = self.top + event.y
        if index >= len(self._rows) or not self._rows[index].key:
            return
        name, sign, _ = self._rows[index].key.partition(CELL)
        field = self.form.fields[name]
        if sign:
            self.column = max(0, min(len(cells(field)[0]) - 1, (event.x - 2) // (self._cell_width(cells(field)) + 1)))
            self.rebuild()
        elif ends := bounds(field.schema):
            room = self.size.width - self.names - VALUE - 2
            place = event.x - self.names
            if 0 <= place < room:
                value = ends[0] + (ends[1] - ends[0]) * place / max(1, room - 1)
                whole = field.schema.get("type") == "integer"
                if self.exploring.put(name, written(round(value) if whole else float(f"{value:.3g}"))):
                    self._changed()

    def on_rows_chosen(self) -> None:
        field = self.field
        if field and (field.choices or field.schema.get("picture")):
            self.begin()


def shown(value: float) -> str:
    """A number of a matrix in few characters."""
    return f"{value:.4g}"
