"""What the directories of runs and of comparisons have in common: a name, a lock, a recipe, and how one is made."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from workbench import files
from workbench.problems import Problem, one_line
from workbench.recipes import yaml_reader
from workbench.recipes.recipe import Recipe


class Directory:
    """One directory; two of one kind and one path are the same."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Directory) and type(other) is type(self) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def id(self) -> str:
        """The directory's name: its recipe, and when it was made."""
        return self.path.name

    @property
    def lock(self) -> Path:
        """Held for as long as its process lives."""
        return self.path / "lock"


@contextlib.contextmanager
def new(folder: Path, name: str, what: str) -> Iterator[Path]:
    """A new directory in a folder, for what is written within; where its name is taken it gets ~2, ~3, …

    Removed where that fails; Problem, with `what` it was to be, where the disk is the reason. What does anything to a terminal is not in
    its name.
    """
    name = "".join(letter if letter.isprintable() else "-" for letter in name)
    path, number = folder / name, 1
    try:
        while True:
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                number += 1
                path = folder / f"{name}~{number}"
        # Only now: before, a directory of that name is another one's.
        try:
            yield path
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
    except OSError as error:
        raise files.problem(f"{what} {path}", "created", error, path) from error


def read_recipe(file: Path, current: Callable[[Any], Any] = lambda value: value) -> Recipe:
    """The recipe that a directory keeps, every default filled in; `current` changes what is read. Problem where it is damaged."""
    document = yaml_reader.read(file, follow=False)
    try:
        if document.faults:
            raise msgspec.ValidationError(document.faults[0].text)
        return msgspec.convert(current(document.value), Recipe)
    except msgspec.ValidationError as error:
        raise Problem(f"{file} is damaged: {one_line(str(error))}.") from None
