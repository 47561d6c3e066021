"""Brings a data set's files: from the mirror, from an earlier download, or by HTTPS; each is checked against the catalogue.

A file is hashed at each call (about a second per gigabyte), so a project always reads exactly the content that the catalogue pins.
"""

import errno
import hashlib
import lzma
import sys
from contextvars import ContextVar
from pathlib import Path

from workbench import files
from workbench.datasets.store.archive import unpacked
from workbench.datasets.store.catalog import DataSet, File, find, home, in_home, in_mirror
from workbench.datasets.store.download import CHUNK, Progress, download, locked
from workbench.problems import Problem

_printed: dict[str, int] = {}


def tell(name: str, done: int, total: int) -> None:
    """Print the progress of a download to stderr, which is a run's console: ten lines per file."""
    tenth = done * 10 // total
    if _printed.get(name) != tenth:
        _printed[name] = tenth
        print(f"Fetching {name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", file=sys.stderr, flush=True)


progress: ContextVar[Progress] = ContextVar("progress", default=tell)
"""The function that receives the progress of a download. The caller of a reader sets it, because readers do not pass it on."""


def fetch(name: str, variant: str = "") -> dict[str, Path]:
    """The checked files of a data set, by their names in the catalogue; for an archive, the folder with its content.

    Raises Problem (cause "data" or "disk-full") where a file cannot be fetched or does not match the catalogue.
    """
    data_set = find(name, variant)
    if not data_set.files and not data_set.package:
        others = ", ".join(data_set.variants) if isinstance(data_set, DataSet) else ""
        raise Problem(f"{data_set.title} cannot be fetched from anywhere.", f"It has the variants: {others}." if others else "", "data")
    folder = home(name, variant)
    return {key: get(f"{name} {key}", file, folder) for key, file in data_set.files.items()}


def check(name: str, path: Path, file: File, hint: str) -> None:
    """Raise Problem with the hint, unless `path` has the catalogue's length and hash."""
    try:
        size = path.stat().st_size
        if size != file.bytes:
            kind = "cut short" if size < file.bytes else "too long"
            raise Problem(f"{path} is {kind}: {size:,} bytes, where {name} has {file.bytes:,}.", hint, "data")
        with path.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}.", hint, "data") from None
    if not actual.startswith(file.sha256):
        raise Problem(f"{path} is not {name}: its SHA-256 begins {actual[:12]}, where {file.sha256[:12]} is expected.", hint, "data")


def get(name: str, file: File, folder: Path) -> Path:
    """One checked file, or the folder with its content; downloaded and unpacked to `folder`. Raises Problem like `fetch`."""
    try:
        path = _checked(name, file, folder)
        return unpacked(path, folder, file.sha256, file.unpack) if file.unpack else path
    except OSError as error:
        raise _unwritten(error, folder) from None


def _checked(name: str, file: File, folder: Path) -> Path:
    path, mirrored = in_home(file, folder), in_mirror(file)
    # Read in place: copying gigabytes from the mirror would gain nothing.
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
    """Decompress the mirror's .xz. Under its final name it is always complete and checked; never more than its length is written."""
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
    # A full quota and a file size limit need the same action as a full disk.
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Problem(f"There is no space for the data in {folder}.", "Free some space, or set DLWB_HOME to another disk.", "disk-full")
    return files.problem(str(folder), "written", error, folder, "data")
