"""The Python files that this person trusts, by the SHA-256 of their bytes. Checked before a person's own code runs."""

import hashlib
from pathlib import Path

import msgspec

from workbench import files, paths
from workbench.problems import Problem, one_line

LONGEST = 4 << 20
"""Most bytes of a Python file."""


def sha256(path: Path) -> str:
    """The hash of a file's bytes; raises Problem where it cannot be read."""
    return hashlib.sha256(_bytes(path)).hexdigest()


def _bytes(path: Path) -> bytes:
    shown = one_line(str(path))
    try:
        source = files.read_plain(path, LONGEST + 1, follow=True)
    except ValueError as error:  # a zero byte in its name
        raise Problem(f"{shown} cannot be read: {error}.", cause="import") from None
    except OSError as error:
        raise files.problem(shown, "read", error, path, "import") from None
    if len(source) > LONGEST:
        raise Problem(f"{shown} is larger than {LONGEST >> 20} MiB.", "That is not a Python file.", "import")
    return source


def is_trusted(path: Path) -> bool:
    """Whether exactly these bytes were trusted, under any name."""
    return sha256(path) in _known()


def read(path: Path) -> bytes:
    """The bytes of a trusted file, so that exactly these are run or copied; Problem (cause import) for a file that is not trusted."""
    shown = one_line(str(path))
    source = _bytes(path)
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
        problem = files.problem(str(store), "written", error, store)
        raise Problem(f"{problem.message} Nothing was trusted.", problem.hint) from error
    return digest


def _known() -> dict[str, str]:
    """Hash → path of the file when it was trusted."""
    store = paths.trusted()
    try:
        return msgspec.json.decode(files.read_plain(store, follow=True), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise files.problem(f"{store}, the list of Python files that you trust,", "read", error, store) from error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Problem(
            f"{store}, the list of Python files that you trust, is damaged.", "Delete it; you will be asked about each file again."
        ) from None
