"""Which recipes and projects there are, and the file of one by its name: their files are the registry."""

import os
import re
from functools import cache
from pathlib import Path

from workbench import files, paths
from workbench.problems import Problem, nearest, one_line

COURSE = "course.yaml"
"""A file of this name orders the recipes of its folder, and is none."""
_RELATIVE = re.compile(rb"""[:\[,-] *["']?\.{1,2}/""")
"""A setting that is a path from the recipe's folder, or text that looks like one."""


def near_file(file: Path) -> str:
    """`; did you mean …?` with a file that is there, or ""."""
    try:
        return nearest(file.name, sorted(other.name for other in file.parent.iterdir() if other.suffix == file.suffix))
    except OSError:
        return ""


@cache
def _sources(folder: Path) -> dict[str, Path]:
    """The shipped projects by name, in folders by course part."""
    return {file.stem: file for file in sorted(folder.rglob("*.py")) if not file.stem.startswith("_")}


def shipped_projects() -> list[str]:
    """The names of the shipped projects: their files are the registry."""
    return sorted(_sources(paths.projects()))


def project_source(name: str) -> Path:
    """A shipped project's file, in whatever folder below projects/; where there is none of that name, a path that leads nowhere."""
    return _sources(paths.projects()).get(name, paths.projects() / f"{name}.py")


def shown_path(path: Path) -> str:
    """A path as reports name it: from the working directory where it lies below it."""
    try:
        return one_line(str(path.absolute().relative_to(Path.cwd())), 200)
    except (ValueError, OSError):
        return one_line(str(path), 200)


def shipped_and_own() -> list[Path]:
    """Every recipe in the shipped, the home's and the working directory's folders, by folder and name; each copy of one once."""
    recipes: dict[str, list[Path]] = {}
    for folder in paths.recipe_folders():
        for place, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.endswith(".yaml") and not name.startswith(".") and name != COURSE:
                    file, same_name = Path(place, name), recipes.setdefault(name, [])
                    # A second checkout as working directory has the shipped recipes again; one that was edited is another recipe.
                    if not any(_same(file, other) for other in same_name):
                        same_name.append(file)
    return [file for same_name in recipes.values() for file in same_name]


def _same(one: Path, other: Path) -> bool:
    """Whether two recipes are copies; where they name a file beside them, that may be another one."""
    try:
        text = files.read_plain(one, follow=True)
        return not _RELATIVE.search(text) and text == files.read_plain(other, follow=True)
    except (OSError, ValueError):
        return False


def course_order(heading: str) -> tuple[int, str]:
    """Sorts parts, and the lessons of one: "2. Gradient descent" by its number, what has none after them."""
    number = heading.partition(".")[0]
    return (int(number), "") if number.isdecimal() else (99, heading)


def find_recipe(name_or_path: str) -> Path:
    """The recipe file of that name (`mnist-mlp`) or path; Problem with the nearest names where there is none."""
    path = Path(name_or_path).expanduser()
    if path.suffix in (".yaml", ".yml") and os.path.exists(path):  # noqa: PTH110 - Path.exists raises in a folder that is closed to us
        return path
    if "/" in name_or_path:
        raise Problem(f"There is no file {shown_path(path)}{near_file(path)}", "`dlwb list` shows the recipes there are.")
    recipes = shipped_and_own()
    stem = name_or_path.removesuffix(".yaml")
    matches = [recipe for recipe in recipes if recipe.stem == stem]
    if len(matches) > 1:
        # From the working directory, the last folder: most likely the one that is meant.
        raise Problem(
            f"{one_line(stem)} may be any of {', '.join(shown_path(recipe) for recipe in matches)}.",
            f"Give one of these paths in place of the name: {shown_path(matches[-1])}",
        )
    if not matches:
        near = nearest(stem, [recipe.stem for recipe in recipes])
        raise Problem(f"There is no recipe {one_line(stem)}{near or '.'}", "`dlwb list` shows the recipes there are.")
    return matches[0]
