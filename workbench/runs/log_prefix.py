"""The beginning of a log up to a checkpoint, as its lines: what a fork has of its parent. Rewinds on the way are taken out of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from workbench import events, files
from workbench.runs.log import SLICE


class _Record(msgspec.Struct, gc=False):
    """What of a record decides whether it belongs to the beginning."""

    type: str = ""
    step: int = 0
    epoch: float = 0.0
    state: str = ""
    attempt: int = 1
    from_step: int = 0
    tag: str = ""
    file: str = ""
    values: dict[str, Any] = {}

    @property
    def tests(self) -> bool:
        """Whether it is of the test at the end, which came after every checkpoint."""
        return self.tag.startswith("test/") or any(tag.startswith("test/") for tag in self.values)


class Prefix(NamedTuple):
    """The beginning of a log."""

    lines: bytes
    """The version, and every record as it was written."""
    artifacts: list[str]
    """The files that they name, below the run's directory."""
    attempt: int
    """The newest attempt among them."""
    epoch: float
    """At its last step."""


def prefix(log: Path, step: int) -> Prefix:
    """What a log says up to a step, as its history folds: after each rewind only what was before it. Problem where it cannot be read."""
    kept: list[tuple[_Record, bytes]] = []
    attempt = 0
    try:
        for record, line in _records(log):
            if record.type == "status" and record.state == "running" and record.attempt > attempt:
                attempt = record.attempt
                if attempt > 1:
                    kept = [pair for pair in kept if _until(pair[0], record.from_step)]
            kept.append((record, line))
    except OSError as error:
        raise files.problem(f"The log {log}", "read", error, log) from error
    kept = [pair for pair in kept if _until(pair[0], step)]
    # A name that leads anywhere else is none, see `Filed`.
    artifacts = dict.fromkeys(record.file for record, _ in kept if record.file and events.Filed(file=record.file).file)
    last = max((record.attempt for record, _ in kept if record.type == "status"), default=1)
    epoch = next((record.epoch for record, _ in reversed(kept) if record.step == step), 0.0)
    return Prefix(events.version_line() + b"".join(line for _, line in kept), list(artifacts), last, epoch)


def _until(record: _Record, step: int) -> bool:
    return record.step <= step and not record.tests


def _records(log: Path) -> Iterator[tuple[_Record, bytes]]:
    """Every whole record of a log with its line; what is damaged is passed over, as `Tail` does."""
    decoder = msgspec.json.Decoder(_Record)
    for line in _lines(log):
        body = events.whole(line)
        for whole in [body] if body is not None else [events.whole(piece) for piece in events.pieces(line)]:
            if whole is None:
                continue
            try:
                record = decoder.decode(whole + b"}")
            except (msgspec.DecodeError, RecursionError):
                continue  # of a shape that this dlwb does not know: nobody can tell where it belongs
            if record.type:
                yield record, events.seal(whole + b"}")


def _lines(log: Path) -> Iterator[bytes]:
    file, rest = files.open_plain(log), b""
    try:
        for _, data in files.pieces(file, 0, SLICE):
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            rest = rest[-2 * events.LINE_LIMIT :]  # no line is longer
    finally:
        os.close(file)
    yield rest  # whole, where only its newline has not come yet
