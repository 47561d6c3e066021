"""The one exception for errors that a person can fix, and the cleaning of foreign text. Every module may import this one."""

import re
from collections.abc import Iterable
from typing import Any


class Problem(Exception):
    """An error that a person can fix: one sentence that says what is wrong and where, and a hint how to fix it.

    `cause` is a short machine-readable word for the way a run ended (see `workbench.events.CAUSES`).
    """

    def __init__(self, message: str, hint: str = "", cause: str = "error") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def missing(what: str, package: str, extra: str) -> Problem:
    """That a package of an extra is not installed, with the command that installs it."""
    return Problem(f"{what} needs {package}, which is not installed.", f"Install it: pip install 'dlwb[{extra}]'", "import")


# An escape sequence with its body: CSI; control strings (OSC, DCS, SOS, PM, APC, up to BEL, ST or the end of the line); sequences of two or
# three characters; and their C1 forms. ECMA-48, sections 5.4 and 5.6. No body crosses a newline, so text may be cleaned line by line.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Makes foreign text safe to show: removes escape sequences with their bodies and control characters, makes bidi controls visible.

    Newlines and tabs stay; a carriage return (alone or before a newline) becomes a newline; lone surrogates become question marks.
    """
    if text.isprintable():  # neither a control nor a format character
        return text
    text = text.replace("\r\n", "\n")
    text = _SEQUENCES.sub("", text).replace("\r", "\n")
    text = _CONTROLS.sub("", text)
    text = _BIDI.sub(lambda control: f"<U+{ord(control[0]):04X}>", text)
    return text.encode("utf-8", "replace").decode("utf-8")


def cleaned(value: Any) -> Any:
    """Plain data with every text in it, also keys, made safe to show."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value


def one_line(text: str, limit: int = 300) -> str:
    """The cleaned text on one line, cut to `limit` characters with an ellipsis."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` with the most similar known word, or "" where none is similar."""
    import difflib  # slow to import, and needed only for errors

    choices = [choice for choice in known if isinstance(choice, str)]
    matches = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    matches = matches or [choice for choice in choices if word.lower() == choice.lower()]
    return f"; did you mean {one_line(matches[0], 60)}?" if matches else ""


def first_fault(error: Any) -> str:
    """The first thing that pydantic's ValidationError names, with its place: "learning_rate: Input should be greater than 0"."""
    fault = error.errors()[0]
    # What a validator of ours says needs no word before it.
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}"
