"""Commands to a live run, a JSON line each in control.jsonl: append() on the person's side, Inbox in the worker."""

import errno
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from workbench import files
from workbench.problems import Problem

LINE_LIMIT = 4096
"""Longest line in bytes: shorter appends are never torn or mixed."""
READ_LIMIT = 1 << 20
"""Bytes read at a time, whatever somebody has filled the file with."""
PASSIVE = {
    "stop": "be stopped",
    "pause": "be paused",
    "resume": "be resumed",
    "step": "make a single step",
    "sample": "show a sample",
    "set": "be changed",
    "checkpoint": "save a checkpoint",
    "kill": "be killed",
    "hold": "be held",
    "release": "be released",
    "first": "be moved to the front of the queue",
}
"""What a run that obeys does, by verb."""
ENDING = ("stop", "kill")
"""The verbs that end a run."""
QUEUEING = ("hold", "release", "first")
"""The verbs for a run that waits for a device: its supervisor obeys them, the run itself never sees them."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked of a run."""

    id: str
    verb: str
    time: float = 0.0
    request: dict[str, Any] = {}
    """sample: the project's Request. set: the new values, `config.learning_rate` and the like. step: how many `steps`."""


def append(path: Path, verb: str, request: dict[str, Any] | None = None) -> str:
    """Add a command; returns its id, which its Answer will name. OSError where the disk has no room for it."""
    identity = uuid.uuid4().hex[:12]
    line = json.dumps({"id": identity, "verb": verb, "time": time.time(), "request": request or {}}).encode() + b"\n"
    if len(line) > LINE_LIMIT:
        raise Problem(f"What you typed is too long: {len(line)} bytes, and a command may have {LINE_LIMIT}.", "Shorten it.")
    file = files.open_plain(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # after one that a full disk cut short
        # In one write: with O_APPEND the lines of two people who ask at once never mix.
        if os.write(file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(file)
    return identity


class Inbox:
    """Reads the commands that arrive after `offset` bytes, each once, whatever its line looks like: those of QUEUEING, or all others."""

    def __init__(self, path: Path, offset: int = 0, *, queueing: bool = False) -> None:
        self.path = path
        self.offset = offset
        """Bytes that are read."""
        self.queueing = queueing
        self._seen: set[str] = set()

    def poll(self) -> list[Command]:
        """The new ones, in their order; a line that is no command is passed over, an unfinished one waits."""
        size = size_of(self.path)
        self.offset = min(self.offset, size)  # somebody may have made it anew
        if size == self.offset:
            return []
        data = part(self.path, self.offset)
        # A line as long as all that is read is no command. It is passed over, else nothing behind it would ever be read.
        end = data.rfind(b"\n") + 1 or (len(data) if len(data) == READ_LIMIT else 0)
        self.offset += end
        new = [command for command in commands(data[:end]) if command.id not in self._seen and not self._seen.add(command.id)]  # type: ignore[func-returns-value]
        return [command for command in new if (command.verb in QUEUEING) == self.queueing]


def size_of(path: Path) -> int:
    """Bytes of the file; 0 where there is none."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def part(path: Path, start: int, size: int = READ_LIMIT) -> bytes:
    """At most `size` bytes from `start`; none where nobody has asked for anything yet: a disk that fails is no reason to stop training."""
    try:
        file = files.open_plain(path)
    except OSError:
        return b""
    try:
        return os.pread(file, size, start)
    except OSError:
        return b""
    finally:
        os.close(file)


def commands(data: bytes) -> list[Command]:
    """The commands in whole lines."""
    decoded = []
    for line in data.splitlines():
        try:
            decoded.append(msgspec.json.decode(line, type=Command))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return decoded
