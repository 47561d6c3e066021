"""What the process above a run, or a script of one's own, writes besides the log: output.log of bounded size, and how it ended."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from workbench import files
from workbench.problems import one_line
from workbench.runs import lock

OUTPUT_LIMIT = 4 << 20
"""Most bytes of output.log; then it is renamed to output.log.1, which replaces the previous one."""
EXIT_ROOM = 4096
"""Bytes reserved for exit.json at the start, so that the ending can be written even on a full disk."""


class Output:
    """output.log, open for appending. A full disk loses output, and does nothing worse."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._open()
        self._size = os.fstat(self._file).st_size

    def write(self, data: bytes) -> None:
        """Append what was printed."""
        if self._size + len(data) > OUTPUT_LIMIT:
            os.close(self._file)
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            self._file, self._size = self._open(), 0
        with contextlib.suppress(OSError):  # a full disk must not block the worker's pipe
            self._size += os.write(self._file, data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        try:
            return files.open_plain(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        except OSError:  # a full disk: the output is lost, but not the ending
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def write_exit(folder: Path, attempt: int, report: dict[str, Any]) -> None:
    """Write how an attempt ended into exit.json, in the space reserved for it."""
    words = {key: one_line(str(report.get(key, "")), 1000) for key in ("message", "hint")}
    stamp = {"attempt": attempt, "time": time.time(), "host": lock.host(), "boot": lock.boot_id()}
    data = json.dumps({**report, **stamp, **words}).encode()
    file = files.open_plain(folder / "exit.json", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        os.pwrite(file, data + b" " * max(0, EXIT_ROOM - 1 - len(data)) + b"\n", 0)
        os.fsync(file)
    os.close(file)


def process(pid: int) -> dict[str, int]:
    """A process as the lock names it: a pid alone may be another's by now."""
    return {"pid": pid, "ticks": lock.start_ticks(pid)}


def keep_room(file: Path) -> None:
    """Fill the file with blanks, so that its blocks are allocated for exit.json."""
    handle = files.open_plain(file, os.O_WRONLY | os.O_CREAT)
    try:
        os.pwrite(handle, b" " * (EXIT_ROOM - 1) + b"\n", 0)
        os.ftruncate(handle, EXIT_ROOM)
        os.fsync(handle)
    finally:
        os.close(handle)
