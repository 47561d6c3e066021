"""A person's own file that a recipe names: found relative to the recipe, limited in size, read as a whole."""

import hashlib
from pathlib import Path

from workbench import preparation
from workbench.problems import Problem, one_line


def find(given: str, folder: Path) -> Path:
    """The file at a path relative to the recipe's `folder`, else to the working directory; Problem where it does not exist."""
    path = Path(given).expanduser()
    path = folder / path if (folder / path).exists() else path
    if not path.exists():
        raise Problem(f"There is no file {one_line(given)} in {one_line(str(folder.absolute()))}.", "", "data")
    if not path.is_file():
        raise Problem(f"{one_line(given)} is not a file.", "", "data")
    return path


def text(path: Path, limit: int) -> str:
    """A UTF-8 file as text, its line ends made `\\n`.

    Its digest is told to `preparation`: a resumed run has to find the same text.
    Raises Problem (cause "data") where it is longer than `limit` bytes, is not UTF-8 (with the line), or is not text.
    """
    name = one_line(path.name)
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise Problem(f"{name} cannot be read: {error.strerror}.", "", "data") from None
    if len(data) > limit:
        raise Problem(f"{name} has more than {limit / 1e6:.0f} MB.", "Give a part of it.", "data")
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Problem(f"{name} is not text: it holds zero bytes.", "", "data")
    preparation.source(str(path), hashlib.sha256(data).hexdigest())
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Problem(f"{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8.", "Save it as UTF-8.", "data") from None
