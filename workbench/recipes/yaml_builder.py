"""Makes plain data of YAML's events, with the line of each setting, and puts a parser's complaint into plain words, for `yaml_reader`."""

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from workbench.problems import clean, one_line
from workbench.recipes.yaml_values import Document, Fault, Key, scalar

DEPTH_LIMIT = 20
NODE_LIMIT = 20_000


def build(text: str) -> Document:
    """The data of printable text; errors in the text never raise."""
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
        return Document(builder.root, builder.lines, builder.faults, builder.spellings)
    except _Stop:
        pass
    except yaml.MarkedYAMLError as error:
        builder.faults.append(_syntax(error, text.splitlines()))
    except yaml.YAMLError as error:
        builder.faults.append(Fault((), f"is not YAML: {one_line(str(error))}"))
    return Document(None, builder.lines, builder.faults, {})


def _events(text: str) -> Iterator[Event]:
    """One event after the other, so that depth and number of values are checked before they use much memory or stack."""
    return yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class _Stop(Exception):
    """Reading further makes no sense."""


class _Builder:
    """Builds plain data from events, without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self.lines: dict[Key, int] = {}
        self.faults: list[Fault] = []
        self.spellings: dict[Key, str] = {}
        self._open: list[tuple[dict[str, Any] | list[Any], Key]] = []
        self._key: list[str | None] = []
        """For each open mapping, the key whose value comes next."""
        self._count = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        if isinstance(event, NodeEvent):
            self._node(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self._open.pop()
            self._key.pop()
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop("a second document begins here (---); a recipe is only one", _line(event))

    def _stop(self, text: str, line: int, where: Key = ()) -> None:
        self.faults.append(Fault(where, text, line))
        raise _Stop

    def _node(self, event: Any) -> None:
        line = _line(event)
        self._count += 1
        if self._count > NODE_LIMIT:
            self._stop(f"has more than {NODE_LIMIT} values", line)
        container, where = self._open[-1] if self._open else (None, ())
        if isinstance(container, dict) and self._key[-1] is None:
            self._key[-1] = self._take_key(event, container, where, line)
            return
        if isinstance(container, dict):
            name = str(self._key[-1])
            where, self._key[-1] = (*where, name), None
        elif isinstance(container, list):
            where = (*where, len(container))
            self.lines[where] = line
        value = self._value(event, where, line)
        if isinstance(container, dict):
            container[name] = value
        elif isinstance(container, list):
            container.append(value)
        else:
            self.root = value
        if isinstance(value, dict | list):
            if len(self._open) >= DEPTH_LIMIT:
                self._stop(f"is nested deeper than {DEPTH_LIMIT} levels", line, where[:3])
            self._open.append((value, where))
            self._key.append(None)

    def _take_key(self, event: Any, mapping: dict[str, Any], where: Key, line: int) -> str:
        if not isinstance(event, ScalarEvent):
            self._stop("a key must be a plain word", line, where)
        key = clean(event.value)
        path = (*where, key)
        self._refuse(event, path, line)
        if key == "<<" and not event.style:
            self.faults.append(Fault(path, "merge keys (<<) are not supported; write each setting out", line))
        elif not key:
            self.faults.append(Fault(path, "a key is missing before the colon", line))
        if key in mapping:
            self.faults.append(Fault(path, f"is set here a second time; the first is on line {self.lines[path]}", line))
        self.lines.setdefault(path, line)
        return key

    def _value(self, event: Any, where: Key, line: int) -> Any:
        self._refuse(event, where, line)
        if isinstance(event, MappingStartEvent):
            return {}
        if isinstance(event, SequenceStartEvent):
            return []
        if isinstance(event, AliasEvent):
            return None
        if event.style:
            return clean(event.value)
        text = clean(event.value)
        try:
            value = scalar(text)
        except ValueError as error:
            self.faults.append(Fault(where, str(error), line))
            return None
        if not isinstance(value, str):
            self.spellings[where] = text
        return value

    def _refuse(self, event: Any, where: Key, line: int) -> None:
        if isinstance(event, AliasEvent):
            self.faults.append(Fault(where, f"aliases (*{one_line(str(event.anchor), 30)}) are not supported; write the value out", line))
        elif event.anchor:
            self.faults.append(Fault(where, f"anchors (&{one_line(event.anchor, 30)}) are not supported; leave it out", line))
        if getattr(event, "tag", None):
            self.faults.append(Fault(where, f"tags ({one_line(event.tag, 60)}) are not supported; leave it out", line))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _syntax(error: yaml.MarkedYAMLError, lines: list[str]) -> Fault:
    """The parser's error in plain words."""
    mark = error.problem_mark or error.context_mark
    opened = error.context_mark or mark
    number = mark.line + 1 if mark else 1
    words = str(error.problem or error.context or "cannot be read").lower()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        return Fault((), "is indented with a tab; YAML wants spaces", number)
    if "mapping values are not allowed" in words:
        return Fault((), 'has one colon too many; put text that contains ": " in quotes', number)
    if "cannot start any token" in words or "alphabetic or numeric" in words:
        character = line[opened.column : opened.column + 1] if opened else ""
        where = "a tab" if character == "\t" else one_line(character)
        return Fault((), f"a value cannot begin with {where}; put it in quotes", number)
    if "end of stream" in words and "scalar" in (error.context or ""):
        return Fault((), "opens a quote that is not closed", opened.line + 1 if opened else number)
    if "," in words and ("]" in words or "}" in words):
        return Fault((), "opens a bracket that is not closed, or lacks a comma", opened.line + 1 if opened else number)
    if "':'" in words:
        return Fault((), 'is neither "key: value" nor indented under one', opened.line + 1 if opened else number)
    if "expected key" in words or "<block end>" in words or "<document start>" in words:
        return Fault((), "is not indented like the lines around it", number)
    if "nesting depth" in words:  # libyaml's own depth limit can come first, because it reads ahead
        return Fault((), f"is nested deeper than {DEPTH_LIMIT} levels", number)
    return Fault((), f"is not YAML: {one_line(words, 120)}", number)
