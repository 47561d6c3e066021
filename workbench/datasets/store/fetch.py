"""Gets a data set's files: from the mirror, from what was downloaded before, or by HTTPS; each checked against the catalogue.

A file is hashed each time it is asked for (about a second per gigabyte), so what a project reads is always what the catalogue pins.
"""

import errno
import hashlib
import lzma
import sys
from contextvars import ContextVar
from pathlib import Path

from workbench.datasets.store.archive import unpacked
from workbench.datasets.store.catalog import DataSet, File, find, home, in_home, in_mirror
from workbench.datasets.store.download import CHUNK, Progress, download, locked
from workbench.problems import Problem

_printed: dict[str, int] = {}


def tell(name: str, done: int, total: int) -> None:
    """Say on stderr, which is a run's console, how far a download is: ten lines a file."""
    tenth = done * 10 // total
    if _printed.get(name) != tenth:
        _printed[name] = tenth
        print(f"Fetching {name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", file=sys.stderr, flush=True)


progress: ContextVar[Progress] = ContextVar("progress", default=tell)
"""Who is told how far a download is: set by whoever has a reader of a data set called, as the readers know nothing of it."""


def fetch(name: str, variant: str = "") -> dict[str, Path]:
    """The checked files of a data set, by their names in the catalogue; of an archive, the folder with what was in it.

    Raises Problem (cause "data", or "disk-full") where a file can't be had or isn't what the catalogue says.
    """
    found = find(name, variant)
    if not found.files and not found.package:
        others = ", ".join(found.variants) if isinstance(found, DataSet) else ""
        raise Problem(f"{found.title} cannot be fetched from anywhere.", f"It has the variants: {others}." if others else "", "data")
    folder = home(name, variant)
    return {key: get(f"{name} {key}", file, folder) for key, file in found.files.items()}


def check(name: str, path: Path, file: File, hint: str) -> None:
    """Problem, with the hint, unless `path` has the catalogue's length and hash."""
    try:
        size = path.stat().st_size
        if size != file.bytes:
            kind = "cut short" if size < file.bytes else "too long"
            raise Problem(f"{path} is {kind}: {size:,} bytes, where {name} has {file.bytes:,}.", hint, "data")
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}.", hint, "data") from None
    if not found.startswith(file.sha256):
        raise Problem(f"{path} is not {name}: its SHA-256 begins {found[:12]}, where {file.sha256[:12]} is right.", hint, "data")


def get(name: str, file: File, folder: Path) -> Path:
    """One checked file, or what was in it; it is downloaded to `folder`, or unpacked there. Raises Problem as `fetch`."""
    try:
        path = _found(name, file, folder)
        return unpacked(path, folder, file.sha256, file.unpack) if file.unpack else path
    except OSError as error:
        raise _unwritten(error, folder) from None


def _found(name: str, file: File, folder: Path) -> Path:
    path, mirrored = in_home(file, folder), in_mirror(file)
    if mirrored and not file.mirror.endswith(".xz"):
        check(name, mirrored, file, "Put the right file there, or unset DLWB_MIRROR.")
        return mirrored
    if not path.exists():
        if not mirrored and not file.url:
            raise Problem(f"{name} cannot be downloaded from anywhere.", f"Set DLWB_MIRROR to a folder with {file.mirror}.", "data")
        if mirrored:
            _unxz(name, file, mirrored, path)
        else:
            download(name, file, path, progress.get())
    check(name, path, file, "Delete it, and it is fetched again.")
    return path


def _unxz(name: str, file: File, packed: Path, path: Path) -> None:
    """Unpack the mirror's .xz under its final name, whole and right, or not at all; never more of it than is right."""
    with locked(path):
        part = path.with_name(f".{path.name}.unpacked")
        try:
            with lzma.open(packed) as stream, part.open("wb") as out:
                while out.tell() <= file.bytes and (chunk := stream.read(CHUNK)):
                    out.write(chunk)
            check(name, part, file, f"It was unpacked from {packed}: put the right file there, or unset DLWB_MIRROR.")
            part.replace(path)
        except (lzma.LZMAError, EOFError) as error:
            raise Problem(f"{packed} is damaged: {error}.", "Put the right file there, or unset DLWB_MIRROR.", "data") from None
        finally:
            part.unlink(missing_ok=True)


def _unwritten(error: OSError, folder: Path) -> Problem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Problem(f"There is no room for the data in {folder}.", "Free some, or set DLWB_HOME elsewhere.", "disk-full")
    return Problem(f"{folder} cannot be written: {error.strerror}.", "Set DLWB_HOME to a folder of yours.", "data")
