"""Downloads one file by HTTPS, for `fetch`: whole and right under its name, or not at all. What was cut off goes on where it was."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from workbench.datasets.store.catalog import File
from workbench.problems import Problem

Progress = Callable[[str, int, int], None]
"""Told a file's name, the bytes that are here, and all its bytes. What it raises ends the download; what came stays, to go on from."""

CHUNK = 1 << 18
_PATIENCE = 30.0
"""Seconds that a server may be silent, and over which its pace is taken."""
_SLOWEST = 1000.0
"""Bytes a second: below it, a server counts as stalled."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make the file in it, if it is not there: a second process that wants it waits for the first.

    The folder is made for it; where nothing came into it, it goes again.
    """
    name = path.with_name(f".{path.name}.lock")
    with _lock(name):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if [*path.parent.iterdir()] == [name]:
                    name.unlink()
                    path.parent.rmdir()


def _lock(name: Path) -> IO[str]:
    """The file, open and locked, and still there under its name: who had it before may have taken it away."""
    while True:
        name.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = name.open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock.fileno()), name.stat()):
                return lock
            lock.close()


def download(name: str, file: File, path: Path, progress: Progress) -> None:
    """Bring `file.url` under `path`, by as many requests as it takes while each brings it further.

    Raises Problem where the server has something else, or stops; then what came stays beside as .part. OSError where it cannot be written.
    """
    with locked(path):
        if path.exists():
            return
        part = _Part(name, file, path, progress)
        if shutil.disk_usage(path.parent).free < file.bytes - part.size():
            raise OSError(errno.ENOSPC, "No space left on device")
        furthest = part.size()
        while True:
            try:
                part.request()
                break
            except _Interrupted as error:
                came = part.size()
                if came < furthest + CHUNK:
                    if not came:
                        part.drop()
                    kept = f" {came:,} of its {file.bytes:,} bytes are here: it goes on from there." if came else ""
                    raise Problem(f"{name} could not be fetched from {part.host}: {error}.", _offline(file) + kept, "data") from None
                furthest = came
            except (Problem, OSError):
                part.drop()  # no use to go on from, or no room for it
                raise
        part.path.replace(path)
        part.drop()


def length(url: str) -> int:
    """The bytes that a server says a file has; Problem where it does not say, or cannot be reached."""
    host = urlsplit(url).hostname
    try:
        with _open(url, {}) as response:
            return int(response.headers["Content-Length"] or 0)
    except urllib.error.HTTPError as error:
        raise Problem(f"{host} answered {error.code} ({url}).", "", "data") from None
    except (_Interrupted, ValueError) as error:
        raise Problem(f"{host} cannot be asked for {url}: {error}.", "Try again later.", "data") from None


class _Part:
    """What has come of a file so far, and the server's mark for the version that it is a part of."""

    def __init__(self, name: str, file: File, path: Path, progress: Progress) -> None:
        self.name, self.file, self.progress = name, file, progress
        self.host = urlsplit(file.url).hostname
        self.path = path.with_name(f".{path.name}.part")
        self.version = path.with_name(f".{path.name}.version")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)

    def request(self) -> None:
        """Ask for what is missing; the file is whole and right when this returns."""
        digest = hashlib.sha256()
        with self.path.open("a+b") as out:
            out.seek(0)
            while chunk := out.read(CHUNK):
                digest.update(chunk)
            resumed = out.tell() > 0
            if out.tell() < self.file.bytes:
                resumed, digest = self._stream(out, digest)
        right = digest.hexdigest().startswith(self.file.sha256) and self.size() == self.file.bytes
        if right:
            return
        if resumed:
            # Parts of two versions, or a part that was changed here: begin anew, which cannot be resumed.
            self.drop()
            return self.request()
        raise Problem(
            f"{self.host} sent something else than {self.name}: its SHA-256 begins {digest.hexdigest()[:12]}, "
            f"where {self.file.sha256[:12]} is right.",
            "",
            "data",
        )

    def _stream(self, out: IO[bytes], digest: Any) -> tuple[bool, Any]:
        here = out.tell()
        headers = {"Range": f"bytes={here}-"} if here else {}
        if here and (version := self._version()):
            headers["If-Range"] = version
        try:
            with _open(self.file.url, headers) as response:
                resumed = response.status == 206 and (response.headers["Content-Range"] or "").startswith(f"bytes {here}-")
                if not resumed:
                    if response.status != 200:
                        raise _Interrupted(f"it answered {response.status} with another part than was asked for")
                    here, digest = 0, hashlib.sha256()
                    out.truncate(0)
                    self._remember(response.headers)
                for chunk in _chunks(response, self.file.bytes - here):
                    here += len(chunk)
                    if here > self.file.bytes:
                        raise Problem(
                            f"{self.host} sends more than the {self.file.bytes:,} bytes of {self.name}; it was cut off.", "", "data"
                        )
                    digest.update(chunk)
                    out.write(chunk)
                    self.progress(self.name, here, self.file.bytes)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # it has no such part
                out.truncate(0)
                return True, digest
            raise _Interrupted(f"it answered {error.code} ({self.file.url})") from None
        if here < self.file.bytes:
            raise _Interrupted(f"it sent {here:,} of the {self.file.bytes:,} bytes")
        return resumed, digest

    def _version(self) -> str:
        try:
            known = self.version.read_text()
        except (OSError, UnicodeDecodeError):
            return ""
        return known if re.fullmatch(r"[ -~]{1,200}", known) else ""

    def _remember(self, headers: Any) -> None:
        """Keep the strong ETag, or else the date, by which If-Range may ask for the rest of the same version (RFC 9110, 13.1.5)."""
        tag = headers["ETag"] or ""
        self.version.write_text(tag if tag.startswith('"') else headers["Last-Modified"] or "")


class _Interrupted(Exception):
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


def _open(url: str, headers: dict[str, str]) -> Any:
    _trusted(url)
    opener = urllib.request.build_opener(_OnlyHttps, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    opener.addheaders = [("User-Agent", "dlwb")]
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=_PATIENCE)
    except urllib.error.HTTPError:
        raise
    except (OSError, HTTPException) as error:
        raise _Interrupted(_reason(error)) from None


def _chunks(response: Any, wanted: int) -> Iterator[bytes]:
    """What the server sends, as it comes, until its end; after `wanted` bytes its silence is an end too."""
    since, came, lately = time.monotonic(), 0, 0
    while True:
        try:
            chunk: bytes = response.read1(CHUNK)
        except (OSError, HTTPException) as error:
            if came == wanted:
                return
            raise _Interrupted(_reason(error)) from None
        if not chunk:
            return
        came, lately = came + len(chunk), lately + len(chunk)
        yield chunk
        now = time.monotonic()
        if now - since > _PATIENCE:
            if lately < _SLOWEST * (now - since):
                raise _Interrupted(f"it sent {lately:,} bytes in {now - since:.0f} seconds")
            since, lately = now, 0


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"it was silent for {_PATIENCE:.0f} seconds"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__).rstrip(".")


def _offline(file: File) -> str:
    elsewhere = f", or set DLWB_MIRROR to a folder with {file.mirror}" if file.mirror else ""
    return f"Try again later{elsewhere}."
