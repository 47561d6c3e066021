"""What a run does before its first step, as its readers tell it: how far they are, which files they read, what they found and left out.

The caller of a reader listens (`with listening() as preparation:`); readers do not pass anything on. Where nobody listens, nothing is kept.
"""

import contextlib
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from workbench.formatting import duration
from workbench.problems import one_line

if TYPE_CHECKING:
    from workbench.events import Table

Item = TypeVar("Item")
Progress = Callable[[str, int, int], None]
"""Told what is being done ("reading pictures"), how many are done, and of how many; 0 and 0 where nobody can say."""
TAG = "data/found"
UNUSABLE = "cannot be used"
"""What a row is about that names a faulty file."""
COLUMNS = ["what", "found", "used", "left out"]
ROWS = 200
"""Most rows of the table: one line of a log holds no more than 64 KiB."""
SHORT = 2.0
"""Seconds that people wait without being told why. Before them a pace is a guess, too: the first pieces fill caches."""


@dataclass
class Preparation:
    """What the readers told while somebody listened."""

    advance: Progress = lambda what, done, total: None
    met: Callable[[str, str], None] = lambda name, sha256: None
    rows: list[list[str | float]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of each source of data, by its path or name."""
    hits: int = 0
    misses: int = 0

    @property
    def cache(self) -> str:
        """`cold` where something was fetched or computed that the next run finds; `warm` where all of that was found; `partly` for both.

        "" where nothing of the kind was needed, so that each run prepares in the same time.
        """
        return ("partly" if self.hits else "cold") if self.misses else "warm" if self.hits else ""

    def table(self) -> "Table | None":
        """What was found, used and left out, as the log holds it; None where no reader said anything."""
        from workbench.events import Table  # with msgspec, which the shell's completion does without

        if not self.rows:
            return None
        rows = self.rows[:ROWS]
        if len(self.rows) > ROWS:
            rows.append([f"and {len(self.rows) - ROWS:,} more", "", "", ""])
        return Table(tag=TAG, columns=COLUMNS, rows=rows)


_listener: ContextVar[Preparation | None] = ContextVar("preparation", default=None)


@contextlib.contextmanager
def listening(
    advance: Progress = lambda what, done, total: None, met: Callable[[str, str], None] = lambda name, sha256: None
) -> Iterator[Preparation]:
    """Collect what readers tell inside; `advance` is told how far they are, `met` each source; both may raise to stop them."""
    preparation = Preparation(advance, met)
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
        listener.met(one_line(name, 1000), sha256)


def source_file(path: Path) -> None:
    """Name a file of a person's own as a source, with its SHA-256. OSError where it cannot be read."""
    if _listener.get() is not None:
        with path.open("rb") as stream:
            source(str(path.absolute()), hashlib.file_digest(stream, "sha256").hexdigest())


def progress(what: str, done: int, total: int) -> None:
    """How far a reader, or a computation before the first step, is. May raise whatever the listener raises to stop it."""
    if (listener := _listener.get()) is not None:
        listener.advance(what, done, total)


def counted(what: str, items: Sequence[Item]) -> Iterator[Item]:
    """The items, one by one, with `progress` told before each."""
    for number, item in enumerate(items):
        progress(what, number, len(items))
        yield item
    progress(what, len(items), len(items))


def cached(hit: bool) -> None:
    """Whether something that is fetched or computed once, and kept for later runs, was there: it tells a cold preparation from a warm one.

    Files of the catalogue tell only that they were not there: they are often fetched long before.
    """
    if (listener := _listener.get()) is not None:
        listener.hits += hit
        listener.misses += not hit


class Stage(NamedTuple):
    """How far a part of a preparation is."""

    what: str
    share: float | None
    """From 0 to 1; None where nobody can say."""
    left: float | None
    """Seconds until its end at the present pace; None where that is not known yet."""

    @property
    def text(self) -> str:
        """As people read it: "reading pictures: 45 %, 2:03 left"."""
        if self.share is None:
            return self.what
        return f"{self.what}: {int(self.share * 100)} %" + (f", {duration(self.left)} left" if self.left is not None else "")


class Pace:
    """Adds the time left to what `progress` tells, from the pace since the present part began."""

    def __init__(self) -> None:
        self.began = 0.0
        """When the present part began."""
        self._what, self._done_before = "", 0

    def stage(self, what: str, done: int, total: int, now: float) -> Stage:
        """Where the part called `what` is at the time `now`, seconds."""
        if what != self._what or done < self._done_before:
            # What a cache held at the beginning took no time, so it says nothing about the pace.
            self._what, self.began, self._done_before = what, now, done
        share = min(1.0, max(0.0, done / total)) if total > 0 else None
        gained, took = done - self._done_before, now - self.began
        left = took * max(0, total - done) / gained if gained > 0 and took >= SHORT else None
        return Stage(one_line(what, 80), share, left)


class Console:
    """Prints how far a preparation is to stderr, which is a run's output: at most ten lines for each part longer than `patience`."""

    def __init__(self, patience: float = SHORT) -> None:
        self._patience = patience
        self._pace = Pace()
        self._printed = ("", -1)

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        self.print(self._pace.stage(what, done, total, now), now - self._pace.began)

    def print(self, stage: Stage, took: float) -> None:
        """Print the stage, which took so many seconds until now, where it is a tenth further than the last one printed."""
        tenth = (stage.what, int((stage.share or 0.0) * 10))
        if tenth != self._printed and took >= self._patience:
            self._printed = tenth
            print(stage.text, file=sys.stderr, flush=True)
