"""Recipes as they were read last, in the home's cache: a file is read again when it, or what its reading depends on, has changed.

Only recipes without a mistake and with checked settings are kept; whatever else there is to say about one is found out anew each time.
"""

import time
from pathlib import Path

import msgspec

from workbench import __version__, files, paths
from workbench.files import Stamp, stamp
from workbench.recipes import project_schemas as schemas
from workbench.recipes.find import find_recipe, project_source
from workbench.recipes.load import OWN, Loaded
from workbench.recipes.project_schemas import ProjectSchema
from workbench.recipes.recipe import Recipe

MOST_BYTES = 16 << 20
MOST_RECIPES = 2000


class _Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    stamp: Stamp
    project_stamp: Stamp
    project_file: str
    """A person's own Python file; "" for a shipped project."""
    schema: int
    """Its place in `schemas`: recipes of one project share it."""
    recipe: Recipe
    named: dict[str, Stamp]
    """The recipes that its variants name."""


class _Kept(msgspec.Struct, array_like=True):
    made_by: list[Stamp | str]
    schemas: list[ProjectSchema]
    entries: dict[str, _Entry]


def _file() -> Path:
    return paths.cache_folder() / "recipes.index"


class Index:
    """Reads recipes, from what is kept where that is still true; `keep` writes what is new."""

    def __init__(self) -> None:
        self._began = time.time_ns()
        self._made_by = _made_by()
        self._stamps: dict[Path, Stamp] = {}
        kept = _read()
        if kept is None or kept.made_by != self._made_by:
            kept = _Kept(self._made_by, [], {})
        self._kept = kept
        self._fresh: dict[str, tuple[_Entry, ProjectSchema]] = {}
        self._seen: set[str] = set()

    def load(self, path: Path) -> Loaded:
        """What `load_recipe` returns, or raises, without starting a process."""
        name, before = str(path), stamp(path)
        self._seen.add(name)
        entry = self._kept.entries.get(name)
        if entry and entry.stamp == before:
            file = Path(entry.project_file) if entry.project_file else None
            same = all(stamp(Path(other)) == was for other, was in entry.named.items())
            if same and entry.project_stamp == self._project(file, entry.recipe):
                return Loaded(recipe=entry.recipe, path=path, project_file=file, schema=self._kept.schemas[entry.schema])
        return self._read_anew(path, before)

    def _read_anew(self, path: Path, before: Stamp) -> Loaded:
        from workbench.recipes.load import load_recipe

        self._kept.entries.pop(str(path), None)
        loaded = load_recipe(path, describe=False)
        # Whether a person's own files are where the settings say is looked up each time.
        own = any(isinstance(value, str) and OWN.match(value) for value in loaded.recipe.config.values())
        named = {str(other): stamp(other) for other in _named(loaded)}
        if loaded.schema and not loaded.unchecked and not own:
            project = stamp(_source(loaded.project_file, loaded.recipe))
            if stamp(path) == before and all(part.settled(self._began) for part in (before, project, *named.values())):
                entry = _Entry(before, project, str(loaded.project_file or ""), -1, loaded.recipe, named)
                self._fresh[str(path)] = entry, loaded.schema
        return loaded

    def _project(self, file: Path | None, recipe: Recipe) -> Stamp:
        """The stamp of a project's source; recipes share projects, so it is asked for once."""
        source = _source(file, recipe)
        if source not in self._stamps:
            self._stamps[source] = stamp(source)
        return self._stamps[source]

    def keep(self) -> None:
        """Write down what was read anew. That it cannot be written does no harm, nor do two programs that write at once."""
        if not self._fresh or not all(part.settled(self._began) for part in self._made_by if isinstance(part, Stamp)):
            return
        entries = {name: (entry, self._kept.schemas[entry.schema]) for name, entry in self._kept.entries.items()} | self._fresh
        # What this program saw goes first, else the recipes of another working directory would push it out.
        names = sorted(entries, key=lambda name: name not in self._seen)[:MOST_RECIPES]
        kept = _Kept(self._made_by, [], {})
        places: dict[bytes, int] = {}
        for name in names:
            entry, schema = entries[name]
            packed = msgspec.msgpack.encode(schema)
            if packed not in places:
                places[packed] = len(kept.schemas)
                kept.schemas.append(schema)
            kept.entries[name] = msgspec.structs.replace(entry, schema=places[packed])
        files.write_packed(_file(), kept, MOST_BYTES)


def _named(loaded: Loaded) -> list[Path]:
    """The files of the recipes that its variants name."""
    variants = loaded.recipe.compare.variants.values() if loaded.recipe.compare else ()
    return [find_recipe(str(paths.rooted(settings["recipe"], loaded.path.parent))) for settings in variants if "recipe" in settings]


def _source(file: Path | None, recipe: Recipe) -> Path:
    return file or project_source(recipe.project)


def _made_by() -> list[Stamp | str]:
    """What the reading of every recipe depends on: this code, the shipped projects' schemas, and which files are trusted."""
    code = sorted(Path(__file__).parent.glob("*.py"))
    return [__version__, *map(stamp, code), stamp(schemas.shipped_file()), stamp(paths.trusted())]


def _read() -> _Kept | None:
    kept = files.read_packed(_file(), _Kept, MOST_BYTES)
    return kept if kept and all(0 <= entry.schema < len(kept.schemas) for entry in kept.entries.values()) else None
