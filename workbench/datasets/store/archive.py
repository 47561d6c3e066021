"""Unpacks an archive for `fetch`: only plain files and folders, and no more than the catalogue allows."""

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from workbench.datasets.store.catalog import Unpack
from workbench.problems import Problem


def unpacked(archive: Path, folder: Path, sha256: str, limits: Unpack) -> Path:
    """The folder below `folder` with the content of a tar (compressed or not) or zip archive; unpacked once for each hash.

    Raises Problem for a link, a device, an absolute name, a name with "..", or content above the limits; OSError where the folder
    cannot be written.
    """
    target = folder / f"{archive.name.split('.')[0]}-{sha256[:12]}"
    if target.is_dir():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Renamed after the last file, so a folder with the final name is always complete.
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as name:
            inside = Path(name) / "all"
            inside.mkdir()
            _extract(archive, inside, limits)
            try:
                inside.replace(target)
            except OSError:
                if not target.is_dir():
                    raise
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise Problem(f"{archive} is damaged: {error}.", "", "data") from None
    return target


def _extract(archive: Path, folder: Path, limits: Unpack) -> None:
    count = total = 0
    for name, size, source in _members(archive):
        count += 1
        total += size
        if count > limits.members or total > limits.bytes:
            raise Problem(
                f"{archive} holds more than the {limits.members:,} files of {limits.bytes:,} bytes that it should.",
                "",
                "data",
            )
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise Problem(f"{archive} has a member {name!r}, which would lie outside its folder.", "", "data")
        target = folder / path
        if source is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise Problem(f"{archive} has a member {name!r} twice.", "", "data")
        with source, target.open("xb") as out:
            shutil.copyfileobj(source, out)


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Name, size and stream of each member; None as the stream of a folder. Raises Problem for other kinds of members."""
    with archive.open("rb") as stream:
        zip_magic = stream.read(2) == b"PK"
    if zip_magic:
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _no_file(archive, info.filename)
                yield info.filename, info.file_size, None if info.is_dir() else zipped.open(info)
        return
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise _no_file(archive, member.name)
            yield member.name, member.size, tar.extractfile(member) if member.isreg() else None


def _no_file(archive: Path, name: str) -> Problem:
    return Problem(f"{archive} has a member {name!r} that is neither a file nor a folder.", "", "data")
