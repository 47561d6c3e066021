"""Fields: settings or a request, one line each, edited in place as their JSON schema says. Forms are made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip

from workbench.problems import clean, one_line
from workbench.recipes import schema_check, yaml_reader
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines

Schema = dict[str, Any]
LONGEST = 2000
"""Characters that a value may have."""


@dataclass(slots=True)
class Field:
    """One line of a form."""

    name: str
    schema: Schema
    """Its own, references resolved."""
    start: Any
    """The value that it had when the form was opened."""
    text: str
    problem: str = ""

    @property
    def choices(self) -> list[str]:
        """What it may be, where that can be listed."""
        if self.schema.get("type") == "boolean":
            return ["true", "false"]
        return [written(each) for each in self.schema.get("enum", ())]

    @property
    def kind(self) -> str:
        """What it may be, in a word or two: `0 to 10`, `at least 1`, `true or false`, `text`."""
        if self.choices:
            return " | ".join(self.choices)
        number = next((each for each in self.branches if each.get("type") in ("integer", "number")), None)
        if number is None:
            return "" if self.is_text else "list" if self.schema.get("type") == "array" else ""
        low, high = number.get("minimum"), number.get("maximum")
        above, below = number.get("exclusiveMinimum"), number.get("exclusiveMaximum")
        word = "whole, " if number["type"] == "integer" else ""
        if low is not None and high is not None:
            return f"{word}{low:g} to {high:g}"
        ends = [("at least", low), ("above", above), ("at most", high), ("below", below)]
        return word + ", ".join(f"{sign} {end:g}" for sign, end in ends if end is not None) or "number"

    @property
    def branches(self) -> list[Schema]:
        """The kinds of value that it may have."""
        return self.schema.get("anyOf") or self.schema.get("oneOf") or [self.schema]

    @property
    def is_text(self) -> bool:
        """Whether what is typed is the value as it stands."""
        return any(each.get("type") == "string" and "enum" not in each for each in self.branches)

    @property
    def help(self) -> str:
        return one_line(str(self.schema.get("description", "")), 400)

    def value(self) -> Any:
        """What is typed, as data; ValueError with a sentence where it is none."""
        if self.is_text and not (not self.text and self.start is None):
            return self.text
        if not self.text.strip():
            if any(each.get("type") == "null" for each in self.branches):
                return None
            raise ValueError("must not be empty")
        value, wrong = yaml_reader.flow_value(self.text)
        if wrong:
            raise ValueError(wrong)
        return value


def written(value: Any) -> str:
    """A value as one would type it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(written(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(each)}" for key, each in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else clean(str(value))


def fields(schema: Schema, values: Mapping[str, Any]) -> list[Field]:
    """A field for each property of an object's schema, with these values, or else its default."""
    made = []
    for name, each in schema.get("properties", {}).items():
        own = schema_check.resolved(each, schema.get("$defs", {}))
        own = {**own, **{word: each[word] for word in ("description", "default") if word in each}}
        start = values.get(name, own.get("default"))
        made.append(Field(name, own, start, written(start)))
    return made


def collect(made: Sequence[Field], schema: Schema, owner: str) -> dict[str, Any] | None:
    """The form's values, checked; None where there are problems, each of which then stands in its field."""
    data: dict[str, Any] = {}
    for field in made:
        field.problem = ""
        try:
            data[field.name] = field.value()
        except ValueError as error:
            field.problem = str(error)
    checked, faults = schema_check.complete(data, schema, owner)
    by_name = {field.name: field for field in made}
    for fault in faults:
        found = by_name.get(str(fault.where[0])) if fault.where else None
        if found and not found.problem:
            found.problem = fault.text
    return None if faults or any(field.problem for field in made) else checked


class Fields(Lines, can_focus=True):
    """The lines of a form under a cursor: arrows go up and down, typing changes the value, and where there are choices ← → do."""

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(self, made: Sequence[Field], *, name: str | None = None, id: str | None = None) -> None:
        super().__init__(name=name, id=id)
        self.fields = list(made)
        self.cursor = 0
        self._caret = len(self.fields[0].text) if self.fields else 0

    @property
    def field(self) -> Field | None:
        """The one under the cursor."""
        return self.fields[self.cursor] if self.fields else None

    def go(self, to: int) -> None:
        """Put the cursor on a field."""
        self.cursor = max(0, min(len(self.fields) - 1, to))
        self._caret = len(self.fields[self.cursor].text)
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        names = max((cell_len(field.name) for field in self.fields), default=0) + 2
        names = min(names, max(8, width // 2))
        return [line for place, field in enumerate(self.fields) for line in self._field(field, place == self.cursor, names, width)]

    def _field(self, field: Field, here: bool, names: int, width: int) -> list[Strip]:
        changed = field.text != written(field.start)
        ground: Style = palette.chosen if here else Style()
        name = [
            ("▌" if here else " ", palette.accent + ground),
            (strips.fit(field.name, names), (palette.bold if here else palette.dim) + ground),
        ]
        look = (palette.bad if field.problem else palette.accent if changed else palette.plain) + ground
        kind = f" {field.kind} " if field.kind and width - names - cell_len(field.kind) > 24 else ""
        room = width - 1 - names - cell_len(kind)
        value: list[strips.Part] = self._edited(field, room, look) if here else [(strips.fit(field.text, room), look)]
        lines = [strips.line(width, [*name, *value], [(kind, palette.faint + ground)])]
        for text, style in ((field.problem, palette.bad), (field.help if here else "", palette.dim)):
            if text:
                lines += [strips.line(width, [("  ", palette.plain), (each, style)]) for each in strips.wrap(text, width - 3)]
        return lines

    def _edited(self, field: Field, room: int, look: Style) -> list[strips.Part]:
        """The value with its caret, scrolled so that the caret is seen; a choice between its arrows."""
        if field.choices:
            text = f"◂ {field.text} ▸"
            return [(strips.fit(text, room), look)]
        first = 0
        while cell_len(field.text[first : self._caret]) > room - 2:
            first += 1
        before, at, after = field.text[first : self._caret], field.text[self._caret : self._caret + 1], field.text[self._caret + 1 :]
        rest = max(0, room - cell_len(before) - max(1, cell_len(at)))
        return [(before, look), (at or " ", look + Style(reverse=True)), (strips.fit(after, rest), look)]

    # -- keys ------------------------------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        field = self.field
        if field is None:
            return
        moves = {"up": -1, "down": 1, "tab": 1, "shift+tab": -1}
        if event.key in moves:
            self.go((self.cursor + moves[event.key]) % len(self.fields) if "tab" in event.key else self.cursor + moves[event.key])
        elif event.key == "enter":
            self.post_message(self.Submitted())
        elif field.choices:
            if event.key not in ("left", "right", "space"):
                return
            step = -1 if event.key == "left" else 1
            place = field.choices.index(field.text) if field.text in field.choices else -1
            self._put(field, field.choices[(place + step) % len(field.choices)])
        elif event.key in ("left", "right", "home", "end"):
            ends = {"left": self._caret - 1, "right": self._caret + 1, "home": 0, "end": len(field.text)}
            self._caret = max(0, min(len(field.text), ends[event.key]))
            self.rebuild()
        elif event.key in ("backspace", "delete"):
            start = self._caret - (event.key == "backspace")
            if start >= 0:
                self._put(field, field.text[:start] + field.text[start + 1 :], start)
        elif event.key in ("ctrl+u", "ctrl+w"):
            keep = 0 if event.key == "ctrl+u" else len(field.text[: self._caret].rstrip().rpartition(" ")[0])
            self._put(field, field.text[:keep] + field.text[self._caret :], keep)
        elif event.is_printable and event.character:
            self._insert(field, event.character)
        else:
            return
        event.stop()
        event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        if self.field and not self.field.choices:
            self._insert(self.field, clean(event.text).replace("\n", " ").replace("\t", " "))

    def _insert(self, field: Field, text: str) -> None:
        room = max(0, LONGEST - len(field.text))
        self._put(field, field.text[: self._caret] + text[:room] + field.text[self._caret :], self._caret + len(text[:room]))

    def _put(self, field: Field, text: str, caret: int | None = None) -> None:
        field.text, field.problem = text, ""
        self._caret = len(text) if caret is None else caret
        self.rebuild()

    def on_click(self, event: events.Click) -> None:
        self.focus()
        row = self.top + event.y
        for place, field in enumerate(self.fields):
            tall = len(self._field(field, place == self.cursor, 8, self.size.width))
            if row < tall:
                self.go(place)
                return
            row -= tall
