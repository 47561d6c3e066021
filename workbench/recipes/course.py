"""The map of the course: which recipes are one lesson, what is only read about, and a teacher's own course as a folder of recipes."""

import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from workbench import __version__, files, paths
from workbench.files import Stamp, stamp
from workbench.problems import Problem, nearest, one_line
from workbench.recipes import schema_check, yaml_reader
from workbench.recipes.find import COURSE as COURSE
from workbench.recipes.find import shipped_and_own, shown_path
from workbench.recipes.load import Loaded, RecipeProblem, report
from workbench.recipes.recipe import Bar
from workbench.recipes.yaml_values import Fault

MOST_BYTES = 4 << 20


class ReadAbout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the course only mentions: a page of the map that starts nothing."""

    key: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    """Its name, as a recipe has one."""
    title: Annotated[str, Meta(min_length=1)]
    part: Annotated[str, Meta(min_length=1)]
    lesson: str = ""
    about: Annotated[str, Meta(min_length=1)]
    """What it is."""
    why: Annotated[str, Meta(min_length=1)]
    """Why it has no recipe."""
    source: Annotated[str, Meta(min_length=1)]
    """Where to read about it, as text."""
    next: list[str] = []
    """Names of recipes that come nearest."""


class Course(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A course that a teacher hands out: `course.yaml` in a folder of recipes."""

    title: Annotated[str, Meta(min_length=1, description="the heading of its part in the list of recipes")]
    order: Annotated[list[str], Meta(min_length=1, description="names of recipes: of this folder, or of dlwb")]
    bars: Annotated[dict[str, list[Bar]], Meta(description="bars by name of the recipe, in place of the recipe's own")] = {}
    due: Annotated[str, Meta(description="when it is to be handed in, in words")] = ""


class _Mentions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    read_about: list[ReadAbout]


class _Kept(msgspec.Struct, array_like=True):
    made_by: list[Stamp | str]
    read_about: dict[str, tuple[Stamp, list[ReadAbout]]] = {}
    courses: dict[str, tuple[Stamp, Course]] = {}


def lesson_name(lesson: str) -> str:
    """What the recipes of one lesson have in common: the text before the first comma. What follows it tells them apart."""
    return one_line(lesson.partition(",")[0].strip())


def read_about() -> list[ReadAbout]:
    """What the course only mentions, in its order. Problem where the file is damaged."""
    path = paths.shipped("data") / "read_about.yaml"
    return _kept(path, "read_about", _read_about)  # type: ignore[no-any-return]


def course_of(folder: Path) -> Course | None:
    """The folder's course; None where it has none. RecipeProblem with everything that is wrong with the file."""
    path = folder / COURSE
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises in a folder that is closed to us
        return None
    return _kept(path, "courses", _course)  # type: ignore[no-any-return]


def _kept(path: Path, kind: str, read: Any) -> Any:
    """What `read` makes of a file, from the cache while the file is the same: importing a YAML reader would delay the first list."""
    began, before = time.time_ns(), stamp(path)
    made_by: list[Stamp | str] = [__version__, stamp(__file__), stamp(Path(__file__).with_name("recipe.py"))]
    file = paths.cache_folder() / "course.index"
    kept = files.read_packed(file, _Kept, MOST_BYTES)
    if kept is None or kept.made_by != made_by:
        kept = _Kept(made_by)
    entries = getattr(kept, kind)
    if str(path) in entries and entries[str(path)][0] == before:
        return entries[str(path)][1]
    value = read(path)
    if before.settled(began):
        setattr(kept, kind, {**entries, str(path): (before, value)})
        files.write_packed(file, kept, MOST_BYTES)
    return value


def _read_about(path: Path) -> list[ReadAbout]:
    mentions: _Mentions = _checked(path, _Mentions, "an entry")
    return mentions.read_about


def _course(path: Path) -> Course:
    course: Course = _checked(path, Course, "a course")
    document = yaml_reader.read(path)
    faults = [
        Fault(("bars", name), f"is not in the order{nearest(name, course.order)}") for name in course.bars if name not in course.order
    ]
    faults += [
        Fault(("bars", name, place), "needs at_least or at_most")
        for name, bars in course.bars.items()
        for place, bar in enumerate(bars)
        if bar.at_least is None and bar.at_most is None
    ]
    faults += [
        Fault(("order", place), f"{one_line(name)} is named twice")
        for place, name in enumerate(course.order)
        if name in course.order[:place]
    ]
    if faults:
        raise RecipeProblem(report(shown_path(path), faults, document.lines, set()))
    return course


@cache
def _schema(kind: Any) -> dict[str, Any]:
    return msgspec.json.schema(kind)


def _checked(path: Path, kind: Any, owner: str) -> Any:
    """A YAML file as that type; RecipeProblem with a line for everything that is wrong."""
    data, lines, faults, spellings = yaml_reader.read(path)
    if not faults:
        data, faults = schema_check.complete(data, _schema(kind), owner, spellings)
    if faults:
        raise RecipeProblem(report(shown_path(path), faults, lines, set()))
    return msgspec.convert(data, kind)


def courses() -> list[tuple[Path, Course | RecipeProblem]]:
    """The courses of a person's own folders of recipes (of the home, of the working directory), each with its folder."""
    found: list[tuple[Path, Course | RecipeProblem]] = []
    for folder in paths.recipe_folders():
        if folder != paths.shipped("recipes"):
            try:
                if course := course_of(folder):
                    found.append((folder, course))
            except RecipeProblem as problem:
                found.append((folder, problem))
            except Problem as problem:
                found.append((folder, RecipeProblem([str(problem)])))
    return found


def recipes_of(folder: Path, course: Course, known: Iterable[Path] | None = None) -> dict[str, Path | None]:
    """The file of each recipe of a course by name: in its folder, else of dlwb; None where there is none."""
    own = {path.stem: path for path in sorted(folder.rglob("*.yaml"), reverse=True) if path.name != COURSE}
    shipped = {path.stem: path for path in (shipped_and_own() if known is None else known)}
    return {name: own.get(name) or shipped.get(name) for name in course.order}


def missing(name: str, folder: Path, names: Iterable[str]) -> str:
    """The sentence for a recipe that a course names and that is nowhere."""
    return f"{shown_path(folder / COURSE)} order: there is no recipe {one_line(name)}{nearest(name, list(names)) or '.'}"


def with_bars(loaded: Loaded, bars: list[Bar] | None) -> Loaded:
    """The recipe with these bars in place of its own; None leaves it as it is."""
    return loaded if bars is None else msgspec.structs.replace(loaded, recipe=msgspec.structs.replace(loaded.recipe, bar=bars))


def unknown_next(loaded: Loaded) -> list[str]:
    """A line for every name under the recipe's `next` that is neither a recipe nor a key of what is read about."""
    if not loaded.recipe.next:
        return []
    known = {path.stem for path in (*shipped_and_own(), *loaded.path.parent.glob("*.yaml"))} | {entry.key for entry in read_about()}
    wrong = [
        Fault(("next", place), f"there is no recipe {one_line(name)}{nearest(name, sorted(known))}")
        for place, name in enumerate(loaded.recipe.next)
        if name not in known
    ]
    return report(shown_path(loaded.path), wrong, yaml_reader.read(loaded.path).lines, set()) if wrong else []
