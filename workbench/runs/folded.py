"""A long log's folded history, kept in the cache: later only what is new of the log is read. Checked against the log, which is the truth.

The index of a log is used only where it is proven to belong to the log's very bytes: by the log's stamp, which any change of the file
changes; else, as of a log that has grown or was copied, by the SHA-256 of all bytes that it covers. Anything else reads the log again.
"""

import contextlib
import os
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from workbench import files, paths
from workbench.events import Answer, AnyEvent, Mark, Status, Tagged
from workbench.files import Stamp, stamp
from workbench.runs.history import History, Samples, Series
from workbench.runs.log import Tail
from workbench.runs.rows import Row
from workbench.runs.spans import Spans

LEAST = 1 << 20
"""Bytes of log that are worth an index: fewer are read in the time of a frame or two."""
MOST = 1 << 30
"""Most bytes of all indexes together, and of one; those that were used longest ago go first."""
PIECE = 1 << 20
"""Bytes that are hashed at a time."""
SOURCES = ("events.py", "problems.py", "runs/folded.py", "runs/history.py", "runs/log.py", "runs/rows.py", "runs/spans.py")
"""The code that a history depends on."""
PLACE = ("_offset", "_rest", "_taken", "_types", "damaged", "unknown")
"""Where a Tail stands: what it has read, what it keeps of a last line, and its counts."""
NUMBERS = tuple(name for name in vars(History()) if name not in ("_spans", "answers", "marks", "samples", "series", "status", "statuses"))
"""What a History holds besides events and series: numbers, words and flags."""

_FAILURES = (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What a damaged index, or one that cannot be written, may raise: then the log is read."""


class _Column(msgspec.Struct, array_like=True, frozen=True):
    """One series: places of its arrays among the index's arrays. Series that are logged together share steps and epochs."""

    tag: str
    version: int
    steps: int
    values: int
    epochs: int
    low: float
    high: float


class _Head(msgspec.Struct, array_like=True):
    made_by: str
    log: Stamp | None
    """None where a change of the log in the next moment would not have shown in it."""
    place: dict[str, Any]
    hash: bytes
    numbers: dict[str, Any]
    marks: list[Mark]
    answers: list[Answer]
    statuses: list[Status]
    spans: Spans
    samples: dict[str, list[Tagged]]
    series: list[_Column]
    arrays: list[int]
    """Number of doubles in each."""
    pace: list[tuple[float, int]]
    stepped: float


class Reading:
    """A log that is folded into a history: from its index on, where it has one. `slices` reads, `keep` writes the index."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.history, self.tail = History(), Tail(log)
        self.pace: Sequence[tuple[float, int]] = ()
        """(clock, step) of its newest steps, and the wall time of the last: a screen's rate goes on from there."""
        self.stepped = 0.0
        self.fresh = False
        """Whether its index holds for the whole log as it was when this began: there is nothing to write."""
        self._before = stamp(log)
        self._digest = sha256()
        self._hashed = 0
        self._indexed, self._expected = 0, b""
        """How many bytes the index covers, and their hash."""
        self._exchanged = False
        with contextlib.suppress(*_FAILURES):
            self._restore()

    def slices(self, budget: float | None = None) -> Iterator[Iterable[AnyEvent | Row]]:
        """Fold what is new, for about `budget` seconds; yields the events of each slice. Problem where the log cannot be read."""
        for events in self.tail.rows(budget):
            self.history.fold(events)
            yield events
        if _offset(self.tail) > self._indexed:
            # As soon as it is read: what changes in the file later must not pass for what was folded.
            with contextlib.suppress(OSError):
                self._hash(_offset(self.tail))

    def keep(self) -> bool:
        """Write the index of a log that is read to its end; whether that was done. That it cannot be written does no harm."""
        covered = _offset(self.tail)
        if covered < LEAST or covered != self._hashed or not self.tail.caught_up:
            return False
        with contextlib.suppress(*_FAILURES):
            now = stamp(self.log)
            # Of a log that was at rest all the time its stamp is a proof; else only the hash is.
            resting = now == self._before and now.size == covered and now.settled(time.time_ns())
            _write(self, now if resting else None, self._digest.digest())
            return True
        return False

    def _restore(self) -> None:
        head, pieces = _read(_file(self.log))
        covered = head.place["_offset"]
        self._indexed, self._expected, self.fresh = covered, head.hash, head.log == self._before
        if not self.fresh:
            self._hash(covered)
        if self._exchanged:
            self._digest, self._hashed, self._indexed, self._exchanged = sha256(), 0, 0, False
            return
        history, tail = _history(head, pieces), Tail(self.log)
        for name in PLACE:
            setattr(tail, name, head.place[name])
        self.history, self.tail, self.pace, self.stepped = history, tail, head.pace, head.stepped
        with contextlib.suppress(OSError):
            os.utime(_file(self.log))  # it was used now: see `_prune`

    def _hash(self, end: int) -> None:
        """Hash the log up to `end`; on the way, what the index covers is compared with the index."""
        file = files.open_plain(self.log)
        try:
            while self._hashed < end and not self._exchanged:
                upto = self._indexed if self._hashed < self._indexed else end
                data = os.pread(file, min(PIECE, upto - self._hashed), self._hashed)
                self._digest.update(data)
                self._hashed += len(data)
                # A log that is shorter than what was read of it was exchanged.
                self._exchanged = not data or (self._hashed == self._indexed and self._digest.digest() != self._expected)
        finally:
            os.close(file)


def history_of(log: Path) -> History:
    """What a whole log amounts to; Problem where it cannot be read. Leaves an index of a long one."""
    reading = Reading(log)
    for _ in reading.slices():
        pass
    if not reading.fresh:
        reading.keep()
    return reading.history


def _offset(tail: Tail) -> int:
    return int(vars(tail)["_offset"])


def _write(reading: Reading, log: Stamp | None, digest: bytes) -> None:
    history, tail = reading.history, reading.tail
    arrays: dict[bytes, int] = {}
    head = _Head(
        made_by=_made_by(),
        log=log,
        place={name: getattr(tail, name) for name in PLACE},
        hash=digest,
        numbers={name: getattr(history, name) for name in NUMBERS},
        marks=history.marks,
        answers=history.answers,
        statuses=history.statuses,
        spans=vars(history)["_spans"],
        samples={tag: samples.events for tag, samples in history.samples.items()},
        series=[_column(tag, series, arrays) for tag, series in history.series.items()],
        arrays=[],
        pace=list(reading.pace),
        stepped=reading.stepped,
    )
    head.arrays = [len(data) // 8 for data in arrays]
    packed = msgspec.msgpack.encode(head)
    content = b"".join([len(packed).to_bytes(8), packed, *arrays])
    if len(content) > MOST // 4:
        return
    file = _file(reading.log)
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write(file, crc32(content).to_bytes(4) + content, sync=False)
    _prune(file.parent)


def _read(file: Path) -> tuple[_Head, list[memoryview]]:
    """An index; ValueError where it is damaged, or another version's."""
    data = memoryview(files.read_plain(file, MOST))
    if data[:4] != crc32(data[4:]).to_bytes(4):
        raise ValueError("is damaged")
    end = 12 + int.from_bytes(data[4:12])
    head = msgspec.msgpack.decode(data[12:end], type=_Head)
    if head.made_by != _made_by():
        raise ValueError("is another version's")
    pieces = []
    for length in head.arrays:
        pieces.append(data[end : end + 8 * length])
        end += 8 * length
    return head, pieces


def _column(tag: str, series: Series, arrays: dict[bytes, int]) -> _Column:
    extremes = series.extremes() or (float("inf"), float("-inf"))
    places = [arrays.setdefault(one.tobytes(), len(arrays)) for one in (series.steps, series.values, series.epochs)]
    return _Column(tag, series.version, places[0], places[1], places[2], *extremes)


def _history(head: _Head, pieces: Sequence[memoryview]) -> History:
    history = History()
    for name in NUMBERS:
        setattr(history, name, head.numbers[name])
    vars(history)["_spans"] = head.spans
    history.marks, history.answers, history.statuses = head.marks, head.answers, head.statuses
    history.status = head.statuses[-1] if head.statuses else history.status
    for tag, events in head.samples.items():
        history.samples[tag] = Samples()
        history.samples[tag].events = events
    for column in head.series:
        series = history.series[column.tag] = Series(column.version)
        for numbers, place in ((series.steps, column.steps), (series.values, column.values), (series.epochs, column.epochs)):
            numbers.frombytes(pieces[place])
        series.restore_extremes(column.low, column.high)
    return history


@cache
def _made_by() -> str:
    """What a history depends on besides the log: this code, and the order of bytes of this machine."""
    root = Path(__file__).parents[1]
    code = b"".join((root / name).read_bytes() for name in SOURCES)
    return f"{sha256(code).hexdigest()} {array('d', [1.0]).tobytes().hex()}"


def folder() -> Path:
    """Where the indexes lie; it can be deleted at any time."""
    return paths.cache_folder() / "folded"


def _file(log: Path) -> Path:
    return folder() / sha256(os.fsencode(log.absolute())).hexdigest()[:32]


def _prune(place: Path) -> None:
    """Remove the indexes that were used longest ago, where all together are too large."""
    with os.scandir(place) as entries:
        known = sorted(((status.st_mtime, status.st_size, entry.path) for entry in entries if (status := entry.stat())), reverse=True)
    total = 0
    for _, size, path in known:
        total += size
        if total > MOST:
            Path(path).unlink(missing_ok=True)
