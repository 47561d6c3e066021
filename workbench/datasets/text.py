"""Text for character models: Anna Karenina, the Python standard library's own source, or a person's own file."""

import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem

LIMIT = 50_000_000
"""Most bytes of a text: 400 MB once each character is a code."""
PYTHON_LIMIT = 3_000_000
"""Characters of Python's source: half as much again as the novel has, which a small network reads in minutes."""
NAMES = ("anna", "python")


@dataclass(frozen=True)
class Characters:
    """A text as `codes` (characters,), int64 indices into `symbols`, its different characters in their order."""

    codes: np.ndarray
    symbols: str
    variant: str
    """What figures on it are called; "" for the course's own text."""

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """The first 90 % for training, the last 10 % for validation, as in the course."""
        first = int(len(self.codes) * 0.9)
        return self.codes[:first], self.codes[first:]


def read(name: str, folder: Path) -> Characters:
    """`anna`, `python`, or the path of a text file, from the recipe's `folder`; Problem (cause "data") where it can't be used."""
    if name == "anna":
        (path,) = fetch("anna").values()
        data = characters(own_file.text(path, LIMIT), "")
    elif name == "python":
        data = characters(python_source(), f"Python {platform.python_version()}'s source")
    else:
        path = own_file.find(name, folder)
        data = characters(own_file.text(path, LIMIT), path.name)
    used = f"{len(data.codes):,} characters, {len(data.symbols):,} different ones"
    preparation.found(data.variant or name, f"{len(data.codes):,} characters", used)
    return data


def characters(text: str, variant: str) -> Characters:
    """Every different character of the text is a symbol."""
    points, codes = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32), return_inverse=True)
    return Characters(codes.astype(np.int64), "".join(map(chr, points)), variant)


def python_source() -> str:
    """The running Python's library modules that are all ASCII, in alphabetical order, as many as fit into 3 MB."""
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        # Not what a distribution, or this machine's build, has put beside them.
        if path.stem in sys.stdlib_module_names:
            data = path.read_bytes()
            if data.isascii() and sum(map(len, texts)) + len(data) <= PYTHON_LIMIT:
                texts.append(data.decode())
    if not texts:
        raise Problem("This Python's standard library has no source files.", "Give a text file: --set config.data=./my.txt", "data")
    return "\n".join(texts).replace("\r\n", "\n")
