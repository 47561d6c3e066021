"""Small files: written atomically (to a temporary file, synced, renamed), read safely whatever they contain, and stamped."""

import errno
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from workbench.problems import cleaned

READ_LIMIT = 1 << 20
"""Most bytes that are read of one of dlwb's own files."""


def write(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace the content of `path` by `data`; on any error the old file stays and no temporary file is left."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        # rename(2) is atomic: a reader sees the old or the new file, never a part.
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if sync:
        # Without a sync of the folder, the rename may be lost in a power failure.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file, with every text cleaned; {} where the file is missing or holds anything else."""
    try:
        value = cleaned(msgspec.json.decode(read_plain(path, READ_LIMIT)))
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_plain(path: Path, limit: int = -1) -> bytes:
    """The first `limit` bytes of a plain file.

    OSError for anything else: reading a pipe would block, and a link may lead to a file that its maker may not read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Not a plain file", str(path))
        return opened.read(limit)


def taken(path: Path) -> int:
    """Disk space of a file, or of a folder with its content, in bytes. Links are not followed; what cannot be read counts as 0."""
    try:
        # st_blocks counts units of 512 bytes, whatever the block size of the file system (stat(2)).
        total = os.lstat(path).st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            total += sum(taken(Path(entry.path)) for entry in os.scandir(path))
    except OSError:
        return 0
    return total


UNSETTLED = 2 * 10**9
"""Nanoseconds in which a file may be written again and keep its times: the coarsest clocks of file systems tick so slowly."""


class Stamp(NamedTuple):
    """What tells a file from the same path's file before; all 0 where there is none."""

    mtime: int = 0
    ctime: int = 0
    """Nanoseconds, like `mtime`. Unlike that one nobody can set it back."""
    size: int = 0
    inode: int = 0

    def settled(self, now: int) -> bool:
        """Whether a change after `now` (nanoseconds, `time.time_ns`) is sure to be seen."""
        return self == Stamp() or max(self.mtime, self.ctime) < now - UNSETTLED


def stamp(path: Path) -> Stamp:
    """The stamp of the file that the path leads to now."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return Stamp()
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
