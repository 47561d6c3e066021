"""The Python files that this person trusts, by the SHA-256 of their bytes. Checked before a person's own code runs."""

import hashlib
from pathlib import Path

import msgspec

from workbench import files, paths
from workbench.problems import Problem, one_line


def sha256(path: Path) -> str:
    """The hash of a file's bytes; raises Problem where it cannot be read."""
    try:
        if not path.is_file():
            raise Problem(f"{one_line(str(path))} is not a file.")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise Problem(f"{one_line(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def is_trusted(path: Path) -> bool:
    """Whether exactly these bytes were trusted, under any name."""
    return sha256(path) in _known()


def read(path: Path) -> bytes:
    """The bytes of a trusted file, so that exactly these are run or copied; Problem (cause import) for a file that is not trusted."""
    shown = one_line(str(path))
    try:
        source = path.read_bytes()
    except (OSError, ValueError) as error:
        raise Problem(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}.", cause="import") from None
    # The bytes just read are hashed, so the file cannot be exchanged between check and use.
    if hashlib.sha256(source).hexdigest() not in _known():
        raise Problem(f"{shown} is not trusted, so it was not run.", f"`dlwb trust {shown}` if you know what it does.", cause="import")
    return source


def trust(path: Path) -> str:
    """Trust the file with its present content; after a change it must be trusted again. Returns its hash."""
    digest = sha256(path)
    paths_by_hash = _known()
    paths_by_hash[digest] = str(path.absolute())
    store = paths.trusted()
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        files.write(store, msgspec.json.format(msgspec.json.encode(paths_by_hash)) + b"\n")
    except OSError as error:
        raise Problem(f"{store} cannot be written: {error.strerror}.", "Nothing was trusted.") from error
    return digest


def _known() -> dict[str, str]:
    """Hash → path of the file when it was trusted."""
    store = paths.trusted()
    try:
        return msgspec.json.decode(store.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Problem(f"{store} cannot be read: {error.strerror}.", "It lists the Python files that you trust.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Problem(
            f"{store}, the list of Python files that you trust, is damaged.", "Delete it; you will be asked about each file again."
        ) from None
