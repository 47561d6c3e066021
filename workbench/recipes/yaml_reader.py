"""Reads one small YAML file as plain data with the line of every setting. How scalars are read is defined here. `recipe.load` calls it."""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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

from workbench.problems import Problem, clean, one_line

SIZE_LIMIT = 256 * 1024
DEPTH_LIMIT = 20
NODE_LIMIT = 20_000

Key = tuple[str | int, ...]
"""The path of a value: ("config", "hidden", 0)."""


class Fault(NamedTuple):
    """One error and its place."""

    where: Key
    text: str
    line: int = 0
    """0: the line of `where`."""


class Document(NamedTuple):
    """A file's data (None where the text cannot be read to its end), the line of every key and item, and its errors."""

    value: Any
    lines: dict[Key, int]
    faults: list[Fault]


def read(path: Path) -> Document:
    """The file's data. Raises Problem where there is no readable text; errors in the text are in `faults`."""
    return parse(text_of(path))


_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def scalar(text: str) -> bool | int | float | str | None:
    """The value of an unquoted word: null, true, false, a number (also 2e-4), or text (also dates, 1:30, yes, no).

    Raises ValueError for a number that JSON cannot hold.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        # 19 digits hold every 64-bit integer; longer ones would lose digits in other programs.
        if len(text) > 19:
            raise ValueError(f"{one_line(text, 30)} is too large a number")
        return int(text)
    if _NUMBER.fullmatch(text) and not _LEADING_ZERO.fullmatch(text):
        value = float(text)
        # True for infinity and NaN.
        if value - value != 0:
            raise ValueError(f"{one_line(text, 30)} is too large a number")
        return value
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} cannot be used: a setting must be a finite number")
    return text


def flow_value(text: str) -> tuple[Any, str]:
    """The value of what a person typed after `=`: a bracketed or quoted YAML value, or one scalar; and its error, or ""."""
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'"):
        document = parse(text)
        return document.value, "; ".join(fault.text for fault in document.faults)
    try:
        value = scalar(clean(text))
    except ValueError as error:
        return None, str(error)
    return value, ""


def flow_text(value: Any) -> str:
    """A value as it is typed after `=`; `flow_value` reads the same value back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow_item, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow_item(name)}: {_flow_item(item)}" for name, item in value.items()) + "}"
    if not isinstance(value, str):
        return str(value)
    try:
        plain = isinstance(scalar(value), str) and value[:1] not in "[{\"'" and value == clean(value).strip()
    except ValueError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def _flow_item(value: Any) -> str:
    """A value inside brackets: a word that contains brackets, commas or the like is quoted."""
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_./][\w./-]*", value):
        return json.dumps(value, ensure_ascii=False)
    return flow_text(value)


def text_of(path: Path) -> str:
    """A recipe file's text; Problem where there is no such file, it is too long, or it is not UTF-8."""
    shown = one_line(str(path))
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise Problem(f"{shown} is a folder, not a recipe.", "Name a .yaml file.")
        if not stat.S_ISREG(kind):
            raise Problem(f"{shown} is not a plain file.", "A recipe is a .yaml file.")
        # The size may change after a check, so the read itself is limited. NONBLOCK: a pipe may have replaced the file, and must not block.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
            data = opened.read(SIZE_LIMIT + 1) or b""
    except FileNotFoundError:
        raise Problem(f"There is no file {shown}.") from None
    except (OSError, ValueError) as error:
        raise Problem(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(data) > SIZE_LIMIT:
        raise Problem(f"{shown} is larger than {SIZE_LIMIT // 1024} KiB.", "That is not a recipe.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Problem(f"{shown}:{line} is not UTF-8 text (byte {data[error.start]:#04x}).", "Save it as UTF-8.") from None


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse(text: str) -> Document:
    """The text's data; errors in the text never raise."""
    bad = _UNPRINTABLE.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        return Document(None, {}, [Fault((), f"has a control character (U+{ord(bad[0]):04X}), which no text has", line)])
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
        return Document(builder.root, builder.lines, builder.faults)
    except _Stop:
        pass
    except yaml.MarkedYAMLError as error:
        builder.faults.append(_syntax(error, text.splitlines()))
    except yaml.YAMLError as error:
        builder.faults.append(Fault((), f"is not YAML: {one_line(str(error))}"))
    return Document(None, builder.lines, builder.faults)


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
        try:
            return scalar(clean(event.value))
        except ValueError as error:
            self.faults.append(Fault(where, str(error), line))
            return None

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
