"""What a run does before its first step, as its readers tell it: how far they are, which files they read, what they found and left out.

The caller of a reader listens (`with listening() as preparation:`); readers do not pass anything on. Where nobody listens, nothing is kept.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from workbench.events import Table
from workbench.problems import one_line

Progress = Callable[[str, int, int], None]
"""Told what is being done ("reading pictures"), how many are done, and of how many."""
TAG = "data/found"
UNUSABLE = "cannot be used"
"""What a row is about that names a faulty file."""
COLUMNS = ["what", "found", "used", "left out"]
ROWS = 200
"""Most rows of the table: one line of a log holds no more than 64 KiB."""


@dataclass
class Preparation:
    """What the readers told while somebody listened."""

    advance: Progress = lambda what, done, total: None
    rows: list[list[str | float]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of each source of data, by its path or name."""

    def table(self) -> Table | None:
        """What was found, used and left out, as the log holds it; None where no reader said anything."""
        if not self.rows:
            return None
        rows = self.rows[:ROWS]
        if len(self.rows) > ROWS:
            rows.append([f"and {len(self.rows) - ROWS:,} more", "", "", ""])
        return Table(tag=TAG, columns=COLUMNS, rows=rows)


_listener: ContextVar[Preparation | None] = ContextVar("preparation", default=None)


@contextlib.contextmanager
def listening(advance: Progress = lambda what, done, total: None) -> Iterator[Preparation]:
    """Collect what readers tell inside; `advance` is told how far they are, and may raise to stop them."""
    preparation = Preparation(advance)
    token = _listener.set(preparation)
    try:
        yield preparation
    finally:
        _listener.reset(token)


def found(what: str, number: str, used: str, left_out: str = "") -> None:
    """A row of the table: `found("column cabin", "891 fields", "", "named in leave_out")`. Foreign text is cleaned here."""
    if (listener := _listener.get()) is not None:
        row: list[str | float] = [one_line(what, 80), one_line(number, 120), one_line(used, 160), one_line(left_out, 200)]
        # Whoever builds twice, or reads one file for two parts, says the same twice.
        if row not in listener.rows:
            listener.rows.append(row)


def source(name: str, sha256: str) -> None:
    """A file, or a folder by the digest of its files' digests, that the data was read from: a resumed run has to find the same."""
    if (listener := _listener.get()) is not None:
        listener.sources[one_line(name, 1000)] = sha256


def progress(what: str, done: int, total: int) -> None:
    """How far a reader, or a computation before the first step, is. May raise whatever the listener raises to stop it."""
    if (listener := _listener.get()) is not None:
        listener.advance(what, done, total)
