"""Files: opened safely, read bounded, written atomically and stamped; and what a person can do about an error of the system."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import msgspec

from workbench import paths
from workbench.problems import Problem, cleaned, one_line

T = TypeVar("T")
READ_LIMIT = 1 << 20
"""Most bytes that are read of one of dlwb's own small files."""
LONGEST = 64 << 20
"""Most bytes that are read of any other at once: no picture and no source is that long."""
NOT_PLAIN = "Is not a plain file"
_SAFE = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""A pipe must not block, a terminal must not become ours, and no child inherits the file."""
_ODD = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR)
"""How open(2) refuses a link, a socket or a pipe that nobody reads, a device that is not there, and a folder."""


def open_plain(path: Path, flags: int = os.O_RDONLY, *, follow: bool = False) -> int:
    """A descriptor of a plain file. The one way to open a file of a run, which another person may have made.

    OSError (EINVAL) for anything else: a pipe would block, a device never ends, and a link may lead to a file that is not the run's.
    With `follow` a link to a plain file is one too: for the files that a person named.
    """
    try:
        file = os.open(path, flags | _SAFE | (0 if follow else os.O_NOFOLLOW), 0o644)
    except OSError as error:
        if error.errno not in _ODD or (follow and error.errno == errno.ELOOP):  # a link that leads to itself
            raise
        raise _not_plain(path) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _not_plain(path)
    return file


def _not_plain(path: Path) -> OSError:
    return OSError(errno.EINVAL, NOT_PLAIN, str(path))


def read_plain(path: Path, limit: int = LONGEST, *, follow: bool = False) -> bytes:
    """The first `limit` bytes of a plain file; OSError as `open_plain`."""
    with os.fdopen(open_plain(path, follow=follow), "rb") as file:
        # Not read(limit): that would set aside as many bytes before it reads the first.
        return file.read(min(limit, os.fstat(file.fileno()).st_size))


def pieces(file: int, offset: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The content of an open file from `offset` in pieces of at most `size` bytes, each with the place of its end; holes are passed over.

    A hole has no blocks on the disk: read as zeros, one of a terabyte would take minutes. One zero byte stands for it.
    """
    while True:
        try:
            start = os.lseek(file, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data behind this place
                return
            start = offset  # this file system knows no holes
        data = os.pread(file, size, start)
        if not data:
            return
        skipped, offset = b"\0" * (start > offset), start + len(data)
        yield offset, skipped + data


def write(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace the content of `path` by `data`; on any error the old file stays and no temporary file is left.

    OSError names `path`, not the temporary file.
    """
    try:
        with beside(path) as part:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb") as file:
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))  # what was closed to others stays so
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            # rename(2) is atomic: a reader sees the old or the new file, never a part.
            part.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    if sync:
        # Without a sync of the folder, the rename may be lost in a power failure.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A free temporary name beside `path`, hidden and not too long; what has it in the end is removed."""
    short = os.fsdecode(os.fsencode(path.name)[:200])  # a name may have 255 bytes
    # Of the thread, which is the process's own number in its first one: two may write the same file at once.
    part = path.with_name(f".{short}.{threading.get_native_id()}.part")
    part.unlink(missing_ok=True)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def problem(what: str, done: str, error: OSError, path: Path | None = None, cause: str = "error") -> Problem:
    """The sentence for an error of the system: what could not be `done` (read, written), why, and what helps against that very error."""
    path = path or Path(os.fsdecode(error.filename or what))
    message = f"{what} cannot be {done}: {one_line(error.strerror or str(error))}."
    if error.strerror == NOT_PLAIN:
        # Of the many files of a run only one is meant.
        message = f"{one_line(os.fsdecode(error.filename), 200)} is not a plain file."
    return Problem(message, advice(error, path), "disk-full" if error.errno in _FULL else cause)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ADVICE = {
    errno.ENOSPC: "Free some space: `dlwb clean` shows what takes it{elsewhere}.",
    errno.EDQUOT: "Your quota is used up. Free some space: `dlwb clean` shows what takes it{elsewhere}.",
    errno.EFBIG: "No file may be that long here: look at `ulimit -f`{elsewhere}.",
    errno.EROFS: "That disk can only be read: mount it for writing{elsewhere}.",
    errno.EACCES: "You have no permission: `ls -ld {shown}` shows whose it is{elsewhere}.",
    errno.EPERM: "You have no permission: `ls -ld {shown}` shows whose it is{elsewhere}.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A part of this path is a file, where a folder has to be{elsewhere}.",
    errno.EISDIR: "It is a folder: name a file in it.",
    errno.ENOENT: "A part of this path does not exist: is its disk mounted{elsewhere}?",
    errno.EINVAL: "It is a link, a folder, a pipe or a device: remove it, or put a plain file there.",
    errno.EIO: "The disk fails: `dmesg` may say more.",
    errno.ESTALE: "The network disk has lost it: try again.",
    errno.EMFILE: "Too many files are open: `ulimit -n` raises how many may be.",
    errno.ENFILE: "Too many files are open on this machine: try again.",
}
"""What helps against which error; an error that is not here gets no advice rather than one that does not help."""


def advice(error: OSError, path: Path) -> str:
    """What a person can do about an error of the system; "" where nothing is known."""
    try:
        at_home = path.absolute().is_relative_to(paths.home())
    except (OSError, ValueError):  # a working directory that is gone
        at_home = False
    elsewhere = ", or set DLWB_HOME to a folder of yours elsewhere" if at_home else ""
    return _ADVICE.get(error.errno or 0, "").format(shown=one_line(str(path), 200), elsewhere=elsewhere)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file, with every text cleaned; {} where the file is missing or holds anything else."""
    try:
        value = cleaned(msgspec.json.decode(read_plain(path, READ_LIMIT)))
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


_CACHE_FAILURES = (OSError, ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError)


def read_packed(path: Path, kind: type[T], limit: int) -> T | None:
    """The value in a cache file of at most `limit` bytes, or None where there is none, or a bit of it is damaged."""
    try:
        data = read_plain(path, limit)
        return msgspec.msgpack.decode(data[4:], type=kind) if data[:4] == crc32(data[4:]).to_bytes(4) else None
    except _CACHE_FAILURES:
        return None


def write_packed(path: Path, value: Any, limit: int) -> None:
    """Write a cache file. That it cannot be written does no harm, nor do two programs that write at once."""
    try:
        data = msgspec.msgpack.encode(value)
        if len(data) < limit:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, crc32(data).to_bytes(4) + data, sync=False)
    except _CACHE_FAILURES:
        pass  # it is only a cache


def taken(path: Path) -> int:
    """Disk space of a file, or of a folder with its content, in bytes. Links are not followed; what cannot be read counts as 0."""
    total, places = 0, [os.fspath(path)]
    # No recursion: folders may lie deeper in each other than Python may call itself.
    while places:
        place = places.pop()
        with contextlib.suppress(OSError):
            status = os.lstat(place)
            folder = stat.S_ISDIR(status.st_mode)
            # st_blocks counts units of 512 bytes, whatever the block size of the file system (stat(2)). A file of two names, as the
            # checkpoint that a fork shares with its parent, counts half in each place.
            total += status.st_blocks * 512 // (1 if folder else status.st_nlink or 1)
            if folder:
                places += [entry.path for entry in os.scandir(place)]
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


def stamp(path: Path | str) -> Stamp:
    """The stamp of the file that the path leads to now."""
    try:
        status = os.stat(path)  # noqa: PTH116 - lists ask for thousands
    except (OSError, ValueError):
        return Stamp()
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
