"""Locks that free themselves on any death: OFD locks, asked about without being taken. Who holds one stands in the file as JSON."""

import fcntl
import json
import os
import platform
import struct
from functools import cache
from pathlib import Path
from typing import Any

from workbench import files

_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid; l_pid must be 0 for OFD locks (fcntl(2))


class Lock:
    """A held lock. It is free again when every process that inherited its file has closed it or died."""

    def __init__(self, file: int) -> None:
        self.file = file
        # A forked child, as a loader of data, shares the open file: the lock would be held for as long as it lives.
        os.register_at_fork(after_in_child=self._forget)

    @classmethod
    def take(cls, path: Path, *, wait: bool = False) -> "Lock | None":
        """Take the lock, or return None when somebody holds it.

        With `wait`, block until it is free; a signal handler that raises ends the wait.
        """
        file = files.open_plain(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.fcntl(
                file,
                fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK,
                struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0),
            )
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        return cls(file)

    def write(self, content: dict[str, Any]) -> None:
        """Replace what the file says about the holder; one write, so that readers see the old or the new."""
        data = json.dumps(content).encode()
        # At least 1,024 bytes: so nothing of a longer content before is left behind this one.
        os.pwrite(self.file, data + b" " * max(0, 1023 - len(data)) + b"\n", 0)

    def release(self) -> None:
        """Close this process's share."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def _forget(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock, without taking it."""
    try:
        file = files.open_plain(path)  # for reading: the disk may be read-only
    except OSError:
        return False
    try:
        # Asked, not tried: holding it for a moment would make the start of a run fail.
        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(file)


def content(path: Path) -> dict[str, Any]:
    """What the file says about its holder, the last one if it is free; {} where it says nothing."""
    return files.read_object(path)


def start_ticks(pid: int) -> int:
    """When a process began, in clock ticks since boot (proc_pid_stat(5)); 0 if there is none. With the pid it names it for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    # Field 22; the split begins with field 3, behind the program's name, which may itself hold brackets and spaces.
    return int(stat.rpartition(b") ")[2].split()[19])


def send(pid: int, ticks: int, signal_number: int) -> bool:
    """Send a signal to the process of that pid and start, through a pidfd, so that a reused pid is never hit. False if it is gone."""
    import signal

    try:
        handle = os.pidfd_open(pid)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        # Compared after the pidfd is open: from then on it means this process and no later one.
        if start_ticks(pid) != ticks:
            return False
        signal.pidfd_send_signal(handle, signal_number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


@cache
def host() -> str:
    """This machine's name."""
    return platform.node()


@cache
def boot_id() -> str:
    """Names this start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
