"""What a small YAML file gives: data with the line of each setting, what is wrong with it, and the meaning of one unquoted word."""

import re
from typing import Any, NamedTuple

from workbench.problems import one_line

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
    spellings: dict[Key, str]
    """The words that were read as numbers, true, false or nothing: a setting that wants text takes them as they are spelled."""


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
        if len(text) > 19:
            raise ValueError(f"{one_line(text, 30)} is too large a number")
        return int(text)
    if _NUMBER.fullmatch(text) and not _LEADING_ZERO.fullmatch(text):
        value = float(text)
        if value - value != 0:
            raise ValueError(f"{one_line(text, 30)} is too large a number")
        return value
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} cannot be used: a setting must be a finite number")
    return text
