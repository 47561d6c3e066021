"""What a result and an exact resume depend on: the hash of a project, the workbench's files that it imports, and the loop that runs it.

A file counts when the project or the training loop reaches it by imports, those inside functions too, and it lies where the numbers are
made: projects, torchkit, training, the readers in datasets, encoding, or a file of a person's own. What only serves screens, lists, logs,
files and processes (paths, problems, events, history, checkpoint, lock, the store of data sets) does not count: a word in a message makes
no result stale. Of an import from such a file only the name counts. What is imported by a text (importlib) is not seen.

Each file counts as `canonical_source` reads it, and an import as the content of the file that defines the name, never as a module's path:
so a renamed or moved module, a re-sorted import, a comment and a docstring change nothing.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from workbench import paths
from workbench.problems import Problem, one_line
from workbench.recipes import canonical_source
from workbench.recipes.canonical_source import PACKAGE, Ref, Source, digest, is_ours

ROOMS = {"projects", "torchkit", "training", "datasets", "encoding"}
STORE = "store"
"""Of datasets/, what moves files and reads none; their content has hashes of its own in the catalogue."""
LOOP = "training/loop.py"


class Closure(NamedTuple):
    """The code that a run is trained with."""

    hash: str
    files: dict[str, str]
    """The hash of each file by itself, by where it lies in the package: says which of them changed."""


def closure(source: Path, package: Path | None = None) -> Closure:
    """Of a project's file, with the workbench in `package` (else this one). Problem where the file cannot be read."""
    tree = _tree(package or paths.projects().parent)
    return tree.closure(source.resolve())


def closure_hash(source: Path, package: Path | None = None) -> str:
    """Its hash alone."""
    return closure(source, package).hash


def same_alone(one: Path, other: Path) -> bool:
    """Whether two files are the same code by themselves, whatever the files that they import hold and are called."""
    return _read(one)[1].alone == _read(other)[1].alone


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of the files whose code is new, and of those that are gone with nothing in their place; a file under a new name is neither."""
    new = [name for name, content in now.items() if content not in before.values()]
    gone = [name for name, content in before.items() if content not in now.values()]
    return sorted({*new, *(name for name in gone if len(gone) > len(new))})


_Stamp = tuple[int, int]
_files: dict[tuple[Path, str, bool], tuple[_Stamp, Source]] = {}
"""What was read, by the file's time and size then."""
_trees: dict[Path, "_Tree"] = {}


def _tree(package: Path) -> "_Tree":
    """What is known of a package, as long as none of its files is another one."""
    package = package.resolve()
    if package not in _trees or not _trees[package].holds():
        _trees[package] = _Tree(package)
    return _trees[package]


def _stamp(path: Path) -> _Stamp:
    found = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much, and this is asked thousands of times
    return found.st_mtime_ns, found.st_size


def _read(path: Path, package: str = "", *, outline: bool = False) -> tuple[_Stamp, Source]:
    try:
        stamp = _stamp(path)
        known = _files.get((path, package, outline))
        if known is None or known[0] != stamp:
            known = _files[path, package, outline] = stamp, canonical_source.read(path.read_bytes(), package, outline=outline)
        return known
    except (OSError, ValueError) as error:
        raise Problem(f"{one_line(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


class _Tree:
    """The package's files at one moment, and what was computed of them."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.stamps: dict[Path, _Stamp] = {}
        self._sources: dict[Path, Source] = {}
        self._modules: dict[str, Path | None] = {}
        self._is_module: dict[str, bool] = {}
        self._counts: dict[Path, bool] = {}
        self._resolved: dict[str, tuple[Path | None, str]] = {}
        self._linked: dict[Path, str] = {}
        self._near: dict[Path, set[Path]] = {}

    def holds(self) -> bool:
        """Whether every file that was read is still as it was."""
        try:
            return all(_stamp(path) == stamp for path, stamp in self.stamps.items())
        except OSError:
            return False

    def source(self, path: Path) -> Source:
        if path not in self._sources:
            inside = path.parent.relative_to(self.package).parts if path.is_relative_to(self.package) else None
            package = "" if inside is None else ".".join((PACKAGE, *inside))
            self.stamps[path], self._sources[path] = _read(path, package, outline=not self.counts(path))
        return self._sources[path]

    def module(self, dotted: str) -> Path | None:
        """The file of a module, or None."""
        if dotted not in self._modules:
            place = self.package.joinpath(*dotted.split(".")[1:])
            files = [place / "__init__.py"] if place == self.package else [place.with_name(f"{place.name}.py"), place / "__init__.py"]
            self._modules[dotted] = next((file for file in files if file.is_file()), None)
        return self._modules[dotted]

    def is_module(self, dotted: str) -> bool:
        """Whether a file or a folder has this name."""
        if dotted not in self._is_module:
            self._is_module[dotted] = bool(self.module(dotted)) or self.package.joinpath(*dotted.split(".")[1:]).is_dir()
        return self._is_module[dotted]

    def resolve(self, dotted: str) -> tuple[Path | None, str]:
        """The file that defines what this name stands for, through every file that only passes it on, and its name there."""
        if dotted not in self._resolved:
            self._resolved[dotted] = (None, dotted.rpartition(".")[2])  # of imports that only lead to each other
            self._resolved[dotted] = self._follow(dotted)
        return self._resolved[dotted]

    def _follow(self, dotted: str) -> tuple[Path | None, str]:
        names = dotted.split(".")
        file, end, depth = self.module(names[0]), 1, 2
        # A folder may do without an __init__.py.
        while depth <= len(names) and self.is_module(".".join(names[:depth])):
            if here := self.module(".".join(names[:depth])):
                file, end = here, depth
            depth += 1
        rest = names[end:]
        if file is None:
            return None, names[-1]
        if not rest:
            return file, ""
        source = self.source(file)
        onward = source.bindings.get(rest[0])
        for star in source.stars if onward is None and rest[0] not in source.names else ():
            there = self.module(star) if is_ours(star) else None
            if there and rest[0] in self.source(there).names:
                onward = f"{star}.{rest[0]}"
        if onward is None:
            return file, ".".join(rest)
        onward = ".".join([onward, *rest[1:]])
        return self.resolve(onward) if is_ours(onward) else (None, onward)

    def counts(self, path: Path) -> bool:
        """Whether what this file holds can change what is trained or measured: see the module's docstring."""
        if path not in self._counts:
            self._counts[path] = self._may_change_numbers(path)
        return self._counts[path]

    def _may_change_numbers(self, path: Path) -> bool:
        if not path.is_relative_to(self.package):
            return True
        room, *inside = path.relative_to(self.package).with_suffix("").parts
        return bool(inside) and room in ROOMS and not (room == "datasets" and inside[0] == STORE)

    def near(self, path: Path) -> set[Path]:
        """The files that count and that this one imports itself."""
        if path not in self._near:
            self._near[path] = {file for file in self._imported(self.source(path)) if self.counts(file) and not self.source(file).is_door}
        return self._near[path]

    def _imported(self, source: Source) -> Iterator[Path]:
        for dotted in {*source.imports, *(piece.dotted for piece in source.pieces if isinstance(piece, Ref) and not piece.typing)}:
            defined = self.resolve(dotted)[0]
            names = dotted.split(".")
            if defined:
                yield defined
                names = [PACKAGE, *defined.relative_to(self.package).with_suffix("").parts]
            # Importing a module also runs the packages that it lies in.
            yield from filter(None, (self.module(".".join(names[:end])) for end in range(1, len(names) + 1)))

    def linked(self, path: Path) -> str:
        """The hash of a file in which every use of another one names that one's content."""
        if path not in self._linked:
            self._linked[path] = digest(self._text(piece) if isinstance(piece, Ref) else piece for piece in self.source(path).pieces)
        return self._linked[path]

    def _text(self, ref: Ref) -> str:
        file, name = self.resolve(ref.dotted)
        matters = file is not None and self.counts(file) and not ref.typing
        return f"(of {self.source(file).alone if file and matters else ''} {name})"

    def reached(self, path: Path) -> set[Path]:
        found: set[Path] = set()
        waiting = [path]
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting += self.near(file)
        return found

    def closure(self, source: Path) -> Closure:
        files = self.reached(source) | self.reached(self.package / LOOP)
        whole = digest([self.linked(source), *sorted(self.linked(file) for file in files)])
        return Closure(whole, {self._shown(file): self.source(file).alone for file in sorted(files)})

    def _shown(self, file: Path) -> str:
        return file.relative_to(self.package).as_posix() if file.is_relative_to(self.package) else one_line(file.name, 80)
