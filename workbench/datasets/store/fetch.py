"""Brings a data set's files: from the mirror, from an earlier download, or by HTTPS; each is checked against the catalogue.

A file is hashed at each call (about a second per gigabyte), so a project always reads exactly the content that the catalogue pins.
"""

import errno
import hashlib
import lzma
from pathlib import Path

from workbench import files, preparation
from workbench.datasets.store.archive import unpacked
from workbench.datasets.store.catalog import DataSet, File, find, home, in_home, in_mirror
from workbench.datasets.store.download import CHUNK, download, locked
from workbench.problems import Problem


def fetch(name: str, variant: str = "") -> dict[str, Path]:
    """The checked files of a data set, by their names in the catalogue; for an archive, the folder with its content.

    Raises Problem (cause "data" or "disk-full") where a file cannot be fetched or does not match the catalogue.
    """
    data_set = find(name, variant)
    if not data_set.files and not data_set.package:
        others = ", ".join(data_set.variants) if isinstance(data_set, DataSet) else ""
        raise Problem(f"{data_set.title} cannot be fetched from anywhere.", f"It has the variants: {others}." if others else "", "data")
    folder = home(name, variant)
    return {key: get(f"{f'{name}:{variant}' if variant else name} {key}", file, folder) for key, file in data_set.files.items()}


def check(name: str, path: Path, file: File, hint: str) -> None:
    """Raise Problem with the hint, unless `path` has the catalogue's length and hash."""
    try:
        size = path.stat().st_size
        if size != file.bytes:
            kind = "cut short" if size < file.bytes else "too long"
            raise Problem(f"{path} is {kind}: {size:,} bytes, where {name} has {file.bytes:,}.", hint, "data")
        actual = _digest(name, path, file.bytes)
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}.", hint, "data") from None
    if not actual.startswith(file.sha256):
        raise Problem(f"{path} is not {name}: its SHA-256 begins {actual[:12]}, where {file.sha256[:12]} is expected.", hint, "data")


def _digest(name: str, path: Path, size: int) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
            done += len(chunk)
            preparation.progress(f"checking {name}", done, size)
    return digest.hexdigest()


def get(name: str, file: File, folder: Path) -> Path:
    """One checked file, or the folder with its content; downloaded and unpacked to `folder`. Raises Problem like `fetch`."""
    try:
        path = _checked(name, file, folder)
        # The catalogue's hash: an unpacked folder is named after its archive's.
        preparation.source(name, file.sha256)
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
        preparation.cached(False)
        if not mirrored and not file.url:
            raise Problem(f"{name} cannot be downloaded from anywhere.", f"Set DLWB_MIRROR to a folder with {file.mirror}.", "data")
        if mirrored:
            _unxz(name, file, mirrored, path)
        else:
            download(name, file, path)
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
                    preparation.progress(f"unpacking {name}", out.tell(), file.bytes)
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
