"""What happened in a tuning, a line each: proposals, runs, decisions of the pruner, ends. Append only, with a CRC a line."""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from workbench import events, files
from workbench.problems import cleaned


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """One line of `events.jsonl`."""

    time: float = 0.0
    """Seconds since the Unix epoch, for people: order is by line."""


class Parent(Record, frozen=True, kw_only=True):
    """A trial of an earlier tuning that this one learns from."""

    tuning: str
    number: int
    params: dict[str, Any]
    value: float


class Asked(Record, frozen=True, kw_only=True):
    """What was proposed for a trial, and the ended trials that the proposal is made from: it follows from them, the seed and the number."""

    trial: int
    params: dict[str, Any]
    seen: list[int]
    source: str = ""
    """Where it came from, where nobody proposed it: the trial of an earlier tuning."""


class Started(Record, frozen=True, kw_only=True):
    """Which run tries it; with `seed`, which run trains it again."""

    trial: int
    run: str
    seed: int | None = None


class Judged(Record, frozen=True, kw_only=True):
    """What the pruner noted, or decided, after an evaluation."""

    trial: int
    evaluation: int
    """1 is the first one after a training step."""
    pruned: bool
    notes: dict[str, Any] = {}
    """What it keeps of a trial: its values at the rungs."""


class Ended(Record, frozen=True, kw_only=True):
    """How a trial, or with `seed` a training of the best, ended."""

    trial: int
    state: str
    seed: int | None = None
    value: float | None = None
    """Of the metric; of one that was pruned, when that was decided."""
    evaluations: int = 0
    """After how many."""
    planned: int = 0
    """Evaluations of its whole length; 0 where that is not known."""
    step: int = 0
    seconds: float = 0.0
    """Time that it trained."""
    device: str = ""
    message: str = ""
    figures: dict[str, float] = {}
    """Its figures on the test data, of a training of the best."""


class Turned(Record, frozen=True, kw_only=True):
    """A turn of the tuning itself: `started` with its number of trials, `stopped`, `ended`, `failed`."""

    state: str
    trials: int = 0
    message: str = ""
    hint: str = ""


AnyRecord = Parent | Asked | Started | Judged | Ended | Turned


def append(path: Path, record: AnyRecord) -> None:
    """Add a line. OSError where the disk has no room for it."""
    line = events.seal(msgspec.json.encode(msgspec.structs.replace(record, time=time.time())))
    file = files.open_plain(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(file).st_size
        # A death in the middle of a write leaves half a line, which must not swallow this one.
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file)  # what was proposed and reached outlives a power failure, as the runs do
    finally:
        os.close(file)


def read(path: Path) -> list[AnyRecord]:
    """Every whole line, in their order; what is torn or damaged is left out. Problem where the file cannot be read."""
    try:
        data = files.read_plain(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.problem(str(path), "read", error, path) from error
    return [record for line in data.split(b"\n") for piece in _pieces(line) if (record := _record(piece)) is not None]


def _pieces(line: bytes) -> Iterator[bytes]:
    body = events.whole(line)
    bodies = [body] if body is not None else map(events.whole, events.pieces(line))
    yield from (piece for piece in bodies if piece is not None)


def _record(body: bytes) -> AnyRecord | None:
    try:
        return msgspec.convert(cleaned(msgspec.json.decode(body + b"}")), AnyRecord)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
