"""What a person explores: the fields of the request, every change that can be taken back, and the newest answer by its tags."""

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from workbench import files, paths
from workbench.events import AnyEvent, Scalars, Table, Tagged, as_event
from workbench.problems import cleaned
from workbench.recipes import schema_check
from workbench.recipes.schema_check import Schema
from workbench.runs.history import History
from workbench.tui.models.recipe_form import LONGEST, Field, Form, written

# A held key is one change: whoever takes it back wants the value from before.
TOGETHER = 0.8
"""Seconds within which changes of one field are taken back together."""
MOST_UNDO = 500
MOST_STATE = 4 << 20
"""Largest file with a lesson's state, in bytes: a drawn picture is a few thousand."""
# Fifty presses of a key cross the slider.
SLIDER_STEPS = 50


def is_matrix(field: Field) -> bool:
    """Whether the field is edited cell by cell: a list of numbers, or of rows of numbers."""
    items = field.schema.get("items")
    row = items if isinstance(items, dict) else {}
    inner = row.get("items") if row.get("type") == "array" else row
    return field.schema.get("type") == "array" and isinstance(inner, dict) and inner.get("type") in ("number", "integer")


def cells(field: Field) -> list[list[float]]:
    """The numbers of such a field, row by row; empty while its text cannot be read, or is no rectangle of cells."""
    try:
        value = field.value()
    except ValueError:
        return []
    rows = value if isinstance(value, list) else []
    rows = rows if all(isinstance(row, list) for row in rows) else [rows]
    numbers = all(isinstance(number, int | float) for row in rows for number in row)
    return rows if numbers and len({len(row) for row in rows}) == 1 and rows[0] else []


def cell_schema(field: Field) -> Schema:
    """The schema of one of its numbers."""
    items = field.schema.get("items", {})
    inner: Schema = items.get("items", {}) if items.get("type") == "array" else items
    return inner


def allowed(field: Field) -> str:
    """What a field may be, in few words: two lines have to hold it and its help. Of a matrix its numbers, its rows and columns."""
    if not is_matrix(field):
        return _between(field.schema) or ("" if field.choices else field.expected)
    number, row = cell_schema(field), field.schema.get("items", {})
    words = _between(number) or schema_check.expected(number, field.definitions)
    sizes = [(part.get("minItems"), part.get("maxItems"), name) for part, name in ((field.schema, "rows"), (row, "columns"))]
    counts = [
        f"{least} to {most} {name}" if least != most else f"{most} {name.removesuffix('s') if most == 1 else name}"
        for least, most, name in sizes
        if most
    ]
    return ", ".join([f"each {words}", *counts])


def bounds(schema: Schema) -> tuple[float, float] | None:
    """The least and the most of a number with a slider; None for other fields."""
    if schema.get("type") not in ("number", "integer"):
        return None
    low, high = schema.get("minimum"), schema.get("maximum")
    return (low, high) if isinstance(low, int | float) and isinstance(high, int | float) and low < high else None


def _between(schema: Schema) -> str:
    """The two ends of a number that has both."""
    return schema_check.expected(schema, {}).partition(" from ")[2] if bounds(schema) else ""


def step_of(schema: Schema) -> float:
    """What one key press changes a number by: as its schema says, else a round fiftieth of its range, at least 1 for whole numbers."""
    if isinstance(step := schema.get("step") or schema.get("multipleOf"), int | float) and step > 0:
        return step
    ends = bounds(schema)
    whole = schema.get("type") == "integer"
    if ends is None:
        return 1 if whole else 0.1
    rough = ends[1] / SLIDER_STEPS - ends[0] / SLIDER_STEPS  # the whole range may be no finite number
    power = 10.0 ** math.floor(math.log10(rough))
    # One digit that a person counts in.
    nice = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
    return max(1, round(nice)) if whole else nice


def moved(value: float, schema: Schema, steps: int) -> float:
    """The number some steps on, on the grid of its steps and within its range."""
    step = step_of(schema)
    new, place = value + steps * step, value / step
    # Back onto the grid, so that 0.3 follows on 0.2 and not 0.30000000000000004; a typed value keeps its place between two.
    if math.isfinite(place) and math.isfinite(new / step) and abs(place - round(place)) < 1e-6:
        new = round(new / step) * step
    low, high = schema.get("minimum", new), schema.get("maximum", new)
    new = max(low, min(high, new))
    return int(new) if schema.get("type") == "integer" or float(new).is_integer() else float(f"{new:.12g}")


class Exploring:
    """The state of one explore screen; it knows neither the widgets nor the process that answers."""

    def __init__(self, schema: Schema, values: Mapping[str, Any], stem: str) -> None:
        self.form = ExploreForm(schema, values, "this request", "recipe")
        self.stem = stem
        self.events: dict[str, AnyEvent] = {}
        """The newest event of each tag; those of the answer before stay until the whole answer is there."""
        self._answer: object = None
        self._fresh: set[str] = set()
        self._undo: list[tuple[str, float, dict[str, str]]] = []
        self._load()

    # -- changes -----------------------------------------------------------------------------------------------------------------------

    @property
    def request(self) -> dict[str, Any] | None:
        """The request as data; None while a field is wrong."""
        return self.form.values

    def put(self, name: str, text: str, *, alone: bool = False) -> bool:
        """Change a field, `alone` as a change of its own, else together with what came just before; returns whether it differs."""
        field = self.form.fields[name]
        if text == field.text:
            return False
        texts = {other.name: other.text for other in self.form.fields.values()}
        now = time.monotonic()
        together = not alone and bool(self._undo) and self._undo[-1][0] == name and now - self._undo[-1][1] < TOGETHER
        texts = self._undo.pop()[2] if together else texts
        self._undo = [*self._undo, (name, 0.0 if alone else now, texts)][-MOST_UNDO:]
        self.form.put(name, text)
        return True

    def nudge(self, name: str, steps: int, cell: tuple[int, int] | None = None) -> bool:
        """Move a number, or a matrix's cell, by some steps; take another choice. Returns whether anything changed."""
        field = self.form.fields[name]
        if cell is not None:
            rows = cells(field)
            return bool(rows) and self.set_cell(name, cell, moved(rows[cell[0]][cell[1]], cell_schema(field), steps))
        if field.choices and not field.typed:
            place = field.choices.index(field.text) + (1 if steps > 0 else -1) if field.text in field.choices else 0
            return self.put(name, field.choices[place % len(field.choices)])
        if field.schema.get("type") in ("number", "integer"):
            try:
                value = field.value()
            except ValueError:
                return False
            return isinstance(value, int | float) and self.put(name, written(moved(value, field.schema, steps)))
        return False

    def set_cell(self, name: str, cell: tuple[int, int], value: float) -> bool:
        """Put a number into a matrix."""
        field = self.form.fields[name]
        rows = [list(row) for row in cells(field)]
        rows[cell[0]][cell[1]] = value
        return self._put_rows(field, rows)

    def resize(self, name: str, rows: int, columns: int, at: tuple[int, int]) -> bool:
        """Add (1) or remove (-1) a row and a column of a matrix at a cell; whatever its schema does not allow is a problem of the field."""
        field = self.form.fields[name]
        values = [list(row) for row in cells(field)]
        if not values:
            return False
        if rows > 0:
            values.insert(at[0] + 1, [0.0] * len(values[0]))
        elif rows < 0 and len(values) > 1:
            del values[at[0]]
        for row in values:
            if columns > 0:
                row.insert(at[1] + 1, 0.0)
            elif columns < 0 and len(row) > 1:
                del row[at[1]]
        return self._put_rows(field, values)

    def _put_rows(self, field: Field, rows: list[list[float]]) -> bool:
        numbers = [[int(number) if float(number).is_integer() else number for number in row] for row in rows]
        nested = field.schema.get("items", {}).get("type") == "array"
        return self.put(field.name, written(numbers if nested else numbers[0]))

    @property
    def changed(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._undo)

    def take_all_back(self) -> None:
        """Put all values back to the recipe's, as one change."""
        texts = {field.name: field.text for field in self.form.fields.values()}
        self._undo = [*self._undo, ("", 0.0, texts)][-MOST_UNDO:]
        for field in self.form.fields.values():
            field.text = field.first
        self.form.check()

    def undo(self) -> str:
        """Take the last change back; returns the name of its field, "" where there is none."""
        if not self._undo:
            return ""
        name, _, texts = self._undo.pop()
        for field in self.form.fields.values():
            field.text = texts.get(field.name, field.text)
        self.form.check()
        return name

    # -- answers -------------------------------------------------------------------------------------------------------------------------

    def take(self, data: Any, answer: object) -> None:
        """Take in an event of an answer that comes; `answer` tells it from others: what an unfinished one brought is not the next one's."""
        if answer != self._answer:
            self._answer, self._fresh = answer, set()
        event = as_event(data)
        if isinstance(event, Scalars):
            # Without a log there is no curve over steps: the numbers stand in a table.
            rows: list[list[str | float]] = [[tag.partition("/")[2], value] for tag, value in event.values.items()]
            event = Table(tag="sample/numbers", columns=["number", "value"], rows=rows)
        if isinstance(event, Tagged):
            self._fresh.add(event.tag)
            # The same object where nothing differs: a panel then draws nothing.
            if self.events.get(event.tag) != event:
                self.events[event.tag] = event

    def settle(self) -> None:
        """The answer is whole: what it no longer has is gone."""
        order = {tag: event for tag, event in self.events.items() if tag in self._fresh}
        self.events, self._fresh = order, set()

    def history(self) -> History:
        """The newest answer, as the panels read it."""
        history = History()
        history.fold(self.events.values())
        return history

    # -- kept for the next time ------------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        try:
            state = cleaned(json.loads(files.read_plain(paths.explored(self.stem), MOST_STATE)))
            changes = state["changes"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return  # a first visit, or a damaged file: it begins as the recipe has it
        for name, text in changes.items() if isinstance(changes, dict) else ():
            if name in self.form.fields and isinstance(text, str):
                field = self.form.fields[name]
                self.form.put(name, text)
                if field.problem:  # the lesson has changed since
                    self.form.take_back(name)

    def keep(self) -> None:
        """Write down the changes. That it cannot be written does no harm but the loss of them."""
        file = paths.explored(self.stem)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            files.write(file, msgspec.json.encode({"changes": self.form.changes}), sync=False)
        except OSError:
            pass


class ExploreForm(Form):
    """The fields of a request; a drawn picture is longer than any typed value."""

    def put(self, name: str, text: str) -> None:
        field = self.fields[name]
        field.text = text if field.schema.get("picture") else text[:LONGEST]
        self.check()
