"""Gets a data set's files: from the mirror, from what was downloaded before, or by HTTPS; each checked against the catalogue.

A file is hashed each time it is asked for (about a second per gigabyte), so what a project reads is always what the catalogue pins.
"""

import errno
import fcntl
import hashlib
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from workbench import paths
from workbench.datasets.archive import unpacked
from workbench.datasets.catalog import DataSet, File, find
from workbench.problems import Problem

Progress = Callable[[str, int, int], None]
"""Told a file's name, the bytes that are here, and all its bytes."""

_CHUNK = 1 << 18
_PATIENCE = 30.0
"""Seconds that a server may be silent."""


def tell(name: str, done: int, total: int) -> None:
    """Say on stderr, which is the run's console, how far a download is: ten lines a file."""
    if done == total or done * 10 // total != max(done - _CHUNK, 0) * 10 // total:
        print(f"Fetching {name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", file=sys.stderr, flush=True)


def fetch(name: str, variant: str = "", progress: Progress = tell) -> dict[str, Path]:
    """The checked files of a data set, by their names in the catalogue; of an archive, the folder with what was in it.

    Raises Problem (cause "data", or "disk-full") where a file can't be had or isn't what the catalogue says.
    """
    found = find(name, variant)
    if not found.files and not found.package:
        others = ", ".join(found.variants) if isinstance(found, DataSet) else ""
        raise Problem(f"{found.title} cannot be fetched from anywhere.", f"It has the variants: {others}." if others else "", "data")
    folder = paths.data() / (f"{name}-{variant}" if variant else name)
    return {key: _get(f"{name} {key}", file, folder, progress) for key, file in found.files.items()}


def _get(name: str, file: File, folder: Path, progress: Progress) -> Path:
    try:
        path = _from_mirror(name, file) or _from_home(name, file, folder, progress)
        return unpacked(path, folder, file.sha256, file.unpack) if file.unpack else path
    except OSError as error:
        raise _unwritten(error, folder) from None


def _from_mirror(name: str, file: File) -> Path | None:
    mirror = paths.mirror()
    if mirror is None or not file.mirror or not (mirror / file.mirror).is_file():
        return None
    path = mirror / file.mirror
    _check(name, path, file, "Put the right file there, or unset DLWB_MIRROR.")
    return path


def _from_home(name: str, file: File, folder: Path, progress: Progress) -> Path:
    path = folder / Path(file.mirror or urlsplit(file.url).path).name
    if not path.exists():
        if not file.url:
            raise Problem(f"{name} cannot be downloaded from anywhere.", f"Set DLWB_MIRROR to a folder with {file.mirror}.", "data")
        folder.mkdir(parents=True, exist_ok=True)
        _download(name, file, path, progress)
    _check(name, path, file, "Delete it, and it is fetched again.")
    return path


def _check(name: str, path: Path, file: File, hint: str) -> None:
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


def _download(name: str, file: File, path: Path, progress: Progress) -> None:
    """Bring the file under its final name, whole and right, or not at all. A second process that wants it waits for the first."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        if shutil.disk_usage(path.parent).free < file.bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as out:
                _stream(name, file, out, progress)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _stream(name: str, file: File, out: IO[bytes], progress: Progress) -> None:
    host = urlsplit(file.url).hostname
    again = "Try again later."
    digest = hashlib.sha256()
    done = 0
    try:
        with _open(file.url) as response:
            while chunk := _read(response):
                done += len(chunk)
                if done > file.bytes:
                    raise Problem(f"{host} sends more than the {file.bytes:,} bytes of {name}; it was cut off.", "", "data")
                digest.update(chunk)
                out.write(chunk)
                progress(name, done, file.bytes)
    except urllib.error.HTTPError as error:
        raise Problem(f"{host} answered {error.code} when asked for {name} ({file.url}).", again, "data") from None
    except _Network as error:
        raise Problem(f"{name} could not be fetched from {host}: {error}.", _offline(file), "data") from None
    if done < file.bytes:
        raise Problem(f"{host} sent {done:,} of the {file.bytes:,} bytes of {name}.", again, "data")
    if not digest.hexdigest().startswith(file.sha256):
        raise Problem(
            f"{host} sent something else than {name}: its SHA-256 begins {digest.hexdigest()[:12]}, where {file.sha256[:12]} is right.",
            "",
            "data",
        )


class _Network(Exception):
    """Reaching the server, or reading from it, failed: told apart from failing to write what came."""


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to another place that may be trusted as much."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _trusted(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _trusted(url: str) -> None:
    """Plain HTTP only to this machine, for tests of downloading itself."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname == "127.0.0.1"):
        raise Problem(f"{url} is not fetched: only https addresses are.", "", "data")


def _open(url: str) -> Any:
    _trusted(url)
    opener = urllib.request.build_opener(_OnlyHttps, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    opener.addheaders = [("User-Agent", "dlwb")]
    try:
        return opener.open(url, timeout=_PATIENCE)
    except urllib.error.HTTPError:
        raise
    except (OSError, HTTPException) as error:
        raise _Network(_reason(error)) from None


def _read(response: Any) -> bytes:
    try:
        chunk: bytes = response.read(_CHUNK)
        return chunk
    except (OSError, HTTPException) as error:
        raise _Network(_reason(error)) from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__).rstrip(".")


def _offline(file: File) -> str:
    elsewhere = f", or set DLWB_MIRROR to a folder with {file.mirror}" if file.mirror else ""
    return f"Check the network{elsewhere}."


def _unwritten(error: OSError, folder: Path) -> Problem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Problem(f"There is no room for the data in {folder}.", "Free some, or set DLWB_HOME elsewhere.", "disk-full")
    return Problem(f"{folder} cannot be written: {error.strerror}.", "Set DLWB_HOME to a folder of yours.", "data")
