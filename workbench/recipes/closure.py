"""The code that a result and an exact resume depend on: a hash of a project, the workbench files it imports, and the training loop.

A file counts if the project or the training loop reaches it through imports (also imports inside functions), and if it can change the
numbers: projects, torchkit, training, the readers in datasets, encoding, and a person's own files. Files that only serve screens, lists,
logs, files and processes (paths, problems, events, history, checkpoint, lock, datasets/store) do not count, so a new message there makes
no result stale. Of an import from such a file only the name counts. Imports by a string (importlib) are not followed.

Each file counts in the form that `canonical_source` gives it. An import counts as the content of the file that defines the name, never as
a module's path. So a renamed or moved module, a re-sorted import, a comment or a docstring changes nothing.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from workbench import files, paths
from workbench.problems import Problem, one_line
from workbench.recipes import canonical_source
from workbench.recipes.canonical_source import PACKAGE, Ref, Source, digest, is_ours

ROOMS = {"projects", "torchkit", "training", "datasets", "encoding"}
STORE = "store"
"""The part of datasets/ that only moves files; the catalogue pins their content by hashes of its own."""
LOOP = "training/loop.py"


class Closure(NamedTuple):
    """The code that a run is trained with."""

    hash: str
    files: dict[str, str]
    """The hash of each file without its imports, by its path in the package; it tells which file has changed."""


def closure(source: Path, package: Path | None = None) -> Closure:
    """The closure of a project's file, with the workbench in `package` (default: this one). Problem where a file cannot be read."""
    tree = _tree(package or paths.projects().parent)
    return tree.closure(source.resolve())


def closure_hash(source: Path, package: Path | None = None) -> str:
    """Only the hash of the closure."""
    return closure(source, package).hash


def same_alone(one: Path, other: Path) -> bool:
    """Whether two files contain the same code, regardless of the names and contents of the files that they import."""
    return _read(one)[1].alone == _read(other)[1].alone


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of files with new code, and of files that are gone without a replacement. A renamed file is neither."""
    new = [name for name, content in now.items() if content not in before.values()]
    lost = [name for name, content in before.items() if content not in now.values()]
    return sorted({*new, *(name for name in lost if len(lost) > len(new))})


_Stamp = tuple[int, int]
_files: dict[tuple[Path, str, bool], tuple[_Stamp, Source]] = {}
"""Cache of parsed files, each with its modification time and size."""
_trees: dict[Path, "_Tree"] = {}


def _tree(package: Path) -> "_Tree":
    """The cached analysis of a package, as long as none of its files has changed."""
    package = package.resolve()
    if package not in _trees or not _trees[package].holds():
        _trees[package] = _Tree(package)
    return _trees[package]


def _stamp(path: Path) -> _Stamp:
    status = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much, and this is asked thousands of times
    return status.st_mtime_ns, status.st_size


def _read(path: Path, package: str = "", *, outline: bool = False) -> tuple[_Stamp, Source]:
    try:
        stamp = _stamp(path)
        cached = _files.get((path, package, outline))
        if cached is None or cached[0] != stamp:
            cached = _files[path, package, outline] = (
                stamp,
                canonical_source.read(files.read_plain(path, follow=True), package, outline=outline),
            )
        return cached
    except (OSError, ValueError) as error:
        raise Problem(f"{one_line(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


class _Tree:
    """The package's files at one moment, and caches of what was computed from them."""

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
        """Whether no file that was read has changed."""
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
        """The file that defines a name, and the name there; files that only re-export it are followed."""
        if dotted not in self._resolved:
            self._resolved[dotted] = (None, dotted.rpartition(".")[2])  # so that circular imports end
            self._resolved[dotted] = self._follow(dotted)
        return self._resolved[dotted]

    def _follow(self, dotted: str) -> tuple[Path | None, str]:
        names = dotted.split(".")
        file, end, depth = self.module(names[0]), 1, 2
        # A folder is a package also without an __init__.py.
        while depth <= len(names) and self.is_module(".".join(names[:depth])):
            if module := self.module(".".join(names[:depth])):
                file, end = module, depth
            depth += 1
        rest = names[end:]
        if file is None:
            return None, names[-1]
        if not rest:
            return file, ""
        source = self.source(file)
        onward = source.bindings.get(rest[0])
        for star in source.stars if onward is None and rest[0] not in source.names else ():
            origin = self.module(star) if is_ours(star) else None
            if origin and rest[0] in self.source(origin).names:
                onward = f"{star}.{rest[0]}"
        if onward is None:
            return file, ".".join(rest)
        onward = ".".join([onward, *rest[1:]])
        return self.resolve(onward) if is_ours(onward) else (None, onward)

    def counts(self, path: Path) -> bool:
        """Whether this file can change what is trained or measured; see the module's docstring."""
        if path not in self._counts:
            self._counts[path] = self._may_change_numbers(path)
        return self._counts[path]

    def _may_change_numbers(self, path: Path) -> bool:
        if not path.is_relative_to(self.package):
            return True
        room, *inside = path.relative_to(self.package).with_suffix("").parts
        return bool(inside) and room in ROOMS and not (room == "datasets" and inside[0] == STORE)

    def near(self, path: Path) -> set[Path]:
        """The files that count and that this file imports directly."""
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
            # Importing a module also runs the __init__.py of each package above it.
            yield from filter(None, (self.module(".".join(names[:end])) for end in range(1, len(names) + 1)))

    def linked(self, path: Path) -> str:
        """The hash of a file in which each use of another file is replaced by that file's content."""
        if path not in self._linked:
            self._linked[path] = digest(self._text(piece) if isinstance(piece, Ref) else piece for piece in self.source(path).pieces)
        return self._linked[path]

    def _text(self, ref: Ref) -> str:
        file, name = self.resolve(ref.dotted)
        matters = file is not None and self.counts(file) and not ref.typing
        return f"(of {self.source(file).alone if file and matters else ''} {name})"

    def reached(self, path: Path) -> set[Path]:
        reached: set[Path] = set()
        waiting = [path]
        while waiting:
            file = waiting.pop()
            if file not in reached:
                reached.add(file)
                waiting += self.near(file)
        return reached

    def closure(self, source: Path) -> Closure:
        files = self.reached(source) | self.reached(self.package / LOOP)
        # Sorted by hash, so that the hash does not depend on file names.
        combined = digest([self.linked(source), *sorted(self.linked(file) for file in files)])
        return Closure(combined, {self._shown(file): self.source(file).alone for file in sorted(files)})

    def _shown(self, file: Path) -> str:
        return file.relative_to(self.package).as_posix() if file.is_relative_to(self.package) else one_line(file.name, 80)
