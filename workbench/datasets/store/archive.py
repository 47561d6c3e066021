"""Unpacks an archive for `fetch`: only plain files and folders, and no more than the catalogue allows."""

import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from workbench.datasets.store.catalog import Unpack
from workbench.preparation import cached, progress
from workbench.problems import Problem


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
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise Problem(f"{archive} is damaged: {error}.", "", "data") from None
    return target


def _extract(archive: Path, folder: Path, limits: Unpack) -> None:
    count = total = 0

    def admit(name: str, size: int, is_file: bool, is_folder: bool) -> None:
        nonlocal count, total
        count += 1
        total += size
        if count > limits.members or total > limits.bytes:
            raise _refused(archive, f"holds more than the {limits.members:,} files of {limits.bytes:,} bytes that it should")
        if not (is_file or is_folder):
            raise _refused(archive, f"has a member {name!r} that is neither a file nor a folder")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise _refused(archive, f"has a member {name!r}, which would lie outside its folder")
        if is_file and (folder / path).exists():
            raise _refused(archive, f"has a member {name!r} twice")

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
