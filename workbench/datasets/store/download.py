"""Downloads one file by HTTPS, for `fetch`. Under its final name it is always complete and checked; an interrupted download resumes."""

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
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from workbench.datasets.store.catalog import File
from workbench.preparation import progress
from workbench.problems import Problem

CHUNK = 1 << 18
_PATIENCE = 30.0
"""Seconds that a server may be silent; its speed is measured over the same time."""
_SLOWEST = 1000.0
"""Bytes per second; a slower server counts as stalled."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock under which `path` is created, so that a second process that needs the file waits for the first.

    The folder is created for it, and removed again if it stays empty.
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
    """The open and locked lock file. It must still exist under its name: the previous holder may have deleted it."""
    while True:
        name.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = name.open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock.fileno()), name.stat()):
                return lock
            lock.close()


def download(name: str, file: File, path: Path) -> None:
    """Download `file.url` to `path`, with further requests as long as each one makes progress.

    An exception from whoever listens to the preparation ends the download, which can resume later.

    Raises Problem where the server sends other content, or stops; the received bytes then stay in a .part file beside it. OSError where
    the file cannot be written.
    """
    with locked(path):
        if path.exists():
            return
        part = _Part(name, file, path)
        # Checked first, so that a download of an hour does not fail at its end.
        if shutil.disk_usage(path.parent).free < file.bytes - part.size():
            raise OSError(errno.ENOSPC, "No space left on device")
        furthest = part.size()
        while True:
            try:
                part.request()
                break
            except _Interrupted as error:
                received = part.size()
                # At least one new chunk counts as progress; with less, a stalling server would be asked without end.
                if received < furthest + CHUNK:
                    if not received:
                        part.drop()
                    note = (
                        f" {received:,} of its {file.bytes:,} bytes are already here: the next try resumes from there." if received else ""
                    )
                    raise Problem(f"{name} could not be fetched from {part.host}: {error}.", _offline(file) + note, "data") from None
                furthest = received
            except (Problem, OSError):
                part.drop()  # wrong content, or a full disk: resuming would not help
                raise
        part.path.replace(path)
        part.drop()


def length(url: str) -> int:
    """The length of a file in bytes, as the server states it; Problem where it cannot be reached. 0 where it states none."""
    host = urlsplit(url).hostname
    try:
        with _open(url, {}) as response:
            return int(response.headers["Content-Length"] or 0)
    except urllib.error.HTTPError as error:
        raise Problem(f"{host} answered {error.code} ({url}).", "", "data") from None
    except (_Interrupted, ValueError) as error:
        raise Problem(f"{host} cannot be asked for {url}: {error}.", "Try again later.", "data") from None


class _Part:
    """The part of a file received so far, and the server's ETag or date of the version that it belongs to."""

    def __init__(self, name: str, file: File, path: Path) -> None:
        self.name, self.file = name, file
        self.host = urlsplit(file.url).hostname
        self.path = path.with_name(f".{path.name}.part")
        self.version = path.with_name(f".{path.name}.version")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)

    def request(self) -> None:
        """Request the missing part; when this returns, the file is complete and correct."""
        digest = hashlib.sha256()
        with self.path.open("a+b") as out:
            out.seek(0)
            # The hash covers the part already on disk, because hashlib cannot save its state.
            while chunk := out.read(CHUNK):
                digest.update(chunk)
            resumed = out.tell() > 0
            if out.tell() < self.file.bytes:
                resumed, digest = self._stream(out, digest)
        right = digest.hexdigest().startswith(self.file.sha256) and self.size() == self.file.bytes
        if right:
            return
        if resumed:
            # Parts of two versions, or a part that was changed on disk: start again from the first byte, which happens at most once.
            self.drop()
            return self.request()
        raise Problem(
            f"{self.host} sent other content than {self.name}: its SHA-256 begins {digest.hexdigest()[:12]}, "
            f"where {self.file.sha256[:12]} is expected.",
            "",
            "data",
        )

    def _stream(self, out: IO[bytes], digest: Any) -> tuple[bool, Any]:
        received = out.tell()
        headers = {"Range": f"bytes={received}-"} if received else {}
        if received and (version := self._version()):
            headers["If-Range"] = version
        try:
            with _open(self.file.url, headers) as response:
                resumed = response.status == 206 and (response.headers["Content-Range"] or "").startswith(f"bytes {received}-")
                if not resumed:
                    if response.status != 200:
                        raise _Interrupted(f"it answered {response.status} with another part than was asked for")
                    received, digest = 0, hashlib.sha256()
                    out.truncate(0)
                    self._remember(response.headers)
                for chunk in _chunks(response, self.file.bytes - received):
                    received += len(chunk)
                    if received > self.file.bytes:
                        raise Problem(
                            f"{self.host} sends more than the {self.file.bytes:,} bytes of {self.name}; the download was stopped.",
                            "",
                            "data",
                        )
                    digest.update(chunk)
                    out.write(chunk)
                    progress(f"fetching {self.name}", received, self.file.bytes)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # range not satisfiable: the server's file is shorter
                out.truncate(0)
                return True, digest
            raise _Interrupted(f"it answered {error.code} ({self.file.url})") from None
        if received < self.file.bytes:
            raise _Interrupted(f"it sent {received:,} of the {self.file.bytes:,} bytes")
        return resumed, digest

    def _version(self) -> str:
        try:
            mark = self.version.read_text()
        except (OSError, UnicodeDecodeError):
            return ""
        return mark if re.fullmatch(r"[ -~]{1,200}", mark) else ""

    def _remember(self, headers: Any) -> None:
        """Save the strong ETag, else the date, with which If-Range asks for the rest of the same version (RFC 9110, 13.1.5)."""
        tag = headers["ETag"] or ""
        self.version.write_text(tag if tag.startswith('"') else headers["Last-Modified"] or "")


class _Interrupted(Exception):
    """Reaching the server, or reading from it, failed. Distinct from OSError, which means that writing failed."""


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to another https address."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _trusted(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _trusted(url: str) -> None:
    """Problem unless the address is https; plain HTTP is allowed only to this machine, for tests."""
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
    """The chunks that the server sends, until its end. After `wanted` bytes, an error or silence also counts as the end."""
    since, received, recent = time.monotonic(), 0, 0
    while True:
        try:
            chunk: bytes = response.read1(CHUNK)
        except (OSError, HTTPException) as error:
            if received == wanted:
                return
            raise _Interrupted(_reason(error)) from None
        if not chunk:
            return
        received, recent = received + len(chunk), recent + len(chunk)
        yield chunk
        now = time.monotonic()
        if now - since > _PATIENCE:
            if recent < _SLOWEST * (now - since):
                raise _Interrupted(f"it sent {recent:,} bytes in {now - since:.0f} seconds")
            since, recent = now, 0


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"it was silent for {_PATIENCE:.0f} seconds"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__).rstrip(".")


def _offline(file: File) -> str:
    elsewhere = f", or set DLWB_MIRROR to a folder with {file.mirror}" if file.mirror else ""
    return f"Try again later{elsewhere}."
