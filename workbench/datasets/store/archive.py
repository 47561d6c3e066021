"""Unpacks an archive for `fetch`: only plain files and folders, and no more than the catalogue allows."""

import lzma
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from workbench.datasets.store.catalog import Unpack
from workbench.preparation import cached, progress
from workbench.problems import Problem, one_line

NAME_LIMIT, PATH_LIMIT = 255, 2000
"""Bytes of a file's name on all usual file systems; of a member's whole path, below 4,096 with the folder it is unpacked in."""


def unpacked(archive: Path, folder: Path, sha256: str, limits: Unpack) -> Path:
    """The folder below `folder` with the content of a tar (compressed or not) or zip archive; unpacked once for each hash.

    Raises Problem for a link, a device, an absolute name, a name with "..", or content above the limits; OSError where the folder
    cannot be written.
    """
    target = folder / f"{archive.name.split('.')[0]}-{sha256[:12]}"
    if target.is_dir():
        return target
    cached(False)
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
    # RuntimeError and NotImplementedError: a zip's member has a password, or is packed in a way that zipfile does not know.
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError, RuntimeError) as error:
        raise Problem(f"{archive} is damaged: {one_line(str(error))}.", "", "data") from None
    return target


def _extract(archive: Path, folder: Path, limits: Unpack) -> None:
    count = total = 0
    plain_files: set[PurePosixPath] = set()
    used: set[PurePosixPath] = set()
    """The folders that members lie in."""

    def admit(name: str, size: int, is_file: bool, is_folder: bool) -> None:
        nonlocal count, total
        shown = one_line(repr(name), 120)
        count += 1
        total += size
        if count > limits.members or total > limits.bytes:
            raise _refused(archive, f"holds more than the {limits.members:,} files of {limits.bytes:,} bytes that it should")
        if not ((is_file and PurePosixPath(name).parts) or is_folder):
            raise _refused(archive, f"has a member {shown} that is neither a file nor a folder")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise _refused(archive, f"has a member {shown}, which would lie outside its folder")
        if any(len(os.fsencode(part)) > NAME_LIMIT for part in path.parts) or len(os.fsencode(name)) > PATH_LIMIT:
            raise _refused(archive, f"has a member {shown}, whose name is too long for a file")
        if is_file and path in plain_files:
            raise _refused(archive, f"has a member {shown} twice")
        inside = {path, *path.parents} if is_folder else {*path.parents}
        if (is_file and path in used) or plain_files & inside:
            raise _refused(archive, f"has a member {shown} that would be a file and a folder at once")
        used.update(inside)
        if is_file:
            plain_files.add(path)

    with archive.open("rb") as stream:
        if stream.read(2) == b"PK":
            with zipfile.ZipFile(archive) as zipped:
                members = zipped.infolist()
                for number, info in enumerate(members, 1):
                    plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
                    admit(info.filename, info.file_size, plain and not info.is_dir(), plain and info.is_dir())
                    zipped.extract(info, folder)
                    progress(f"unpacking {archive.name}", number, len(members))
            return
        stream.seek(0)
        size = archive.stat().st_size

        def filtered(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
            progress(f"unpacking {archive.name}", stream.tell(), size)
            # The standard filter lets links and inner ".." pass, and strips a leading slash.
            admit(member.name, member.size, member.isreg(), member.isdir())
            # Without its times: one beyond the calendar is an OverflowError.
            return tarfile.data_filter(member.replace(mtime=None, deep=False), path)  # type: ignore[arg-type]

        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            tar.extractall(folder, filter=filtered)


def _refused(archive: Path, what: str) -> Problem:
    return Problem(f"{archive} {what}.", "", "data")
