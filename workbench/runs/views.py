"""Views: runs that are compared, and how they are looked at, under a name. Files in dlwb's home."""

import contextlib
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workbench import files, paths
from workbench.problems import Problem, one_line
from workbench.runs.run import Run

NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,39}")
ENDING = ".json"


class Look(msgspec.Struct, kw_only=True):
    """How the curves of runs are drawn."""

    split: str = ""
    axis: Literal["step", "epoch", "second"] = "step"
    """What is along x."""
    log_x: bool = False
    log_y: bool | None = None
    """None: each chart by its values."""
    begin: Annotated[float, Meta(ge=0)] | None = None
    """The first and the last x that are shown; None: all."""
    end: float | None = None
    skip: Annotated[float, Meta(ge=0, le=0.9)] = 0.0
    """The share of the steps that is left out at the beginning."""
    smooth: Annotated[int, Meta(ge=0, le=5)] = 0
    """How far curves are smoothed, from 0."""
    color: str = ""
    """The setting that colours the runs; "": each run its own."""
    groups: str = ""
    """What makes one curve of several runs: `seed`, or a setting that they share; "": each run is a curve."""
    bands: bool = True
    """Whether a group is its mean with the area of its runs; else its mean over its runs."""


class View(msgspec.Struct, kw_only=True, frozen=True):
    """Some runs, and how they are looked at."""

    name: str
    runs: list[str]
    look: Look = msgspec.field(default_factory=Look)


def save(view: View) -> Path:
    """Write a view, in the place of one of the same name; Problem where it cannot be."""
    if not NAME.fullmatch(view.name):
        raise Problem(f"{one_line(view.name, 60) or 'Nothing'} is no name for a view.", "Use up to 40 letters, digits, and . _ + -")
    file = _file(view.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, msgspec.json.format(msgspec.json.encode(view)))
    except OSError as error:
        raise files.problem(f"The view {view.name}", "saved", error, file) from error
    return file


def list_views() -> list[View]:
    """All views that can be read, by name."""
    found = []
    for file in sorted(_folder().glob(f"*{ENDING}")):
        with contextlib.suppress(Problem):
            found += [view] if (view := find(file.stem)) else []
    return found


def find(name: str) -> View | None:
    """The view of that name; None where there is none, Problem where it is damaged."""
    file = _file(name)
    if not NAME.fullmatch(name) or not file.exists():
        return None
    try:
        view = msgspec.convert(files.read_object(file), View)
    except msgspec.ValidationError as error:
        hint = f"`dlwb compare {name} --forget` removes it."
        raise Problem(f"{file} is no view: {one_line(str(error))}.", hint) from None
    return msgspec.structs.replace(view, name=name)


def forget(name: str) -> None:
    """Remove a view; its runs stay."""
    try:
        _file(name).unlink()
    except FileNotFoundError:
        raise Problem(
            f"There is no view {one_line(name, 60)}.", f"Views: {', '.join(view.name for view in list_views()) or 'none'}."
        ) from None


def runs_of(view: View) -> tuple[list[Run], str]:
    """The runs of a view that are still there, and what has to be said of those that are not."""
    runs = [Run(paths.runs() / name) for name in dict.fromkeys(view.runs) if Path(name).name == name and name != ".."]
    there = [run for run in runs if (run.path / "recipe.yaml").exists()]
    gone = len(view.runs) - len(there)
    if len(there) < 2:
        message = (
            f"Of the {len(view.runs)} runs of the view {view.name} {len(there) or 'none'} {'is' if len(there) == 1 else 'are'} still there."
        )
        raise Problem(message, f"`dlwb restore` brings deleted ones back; `dlwb compare {view.name} --forget` removes the view.")
    return there, f"{gone} of the {len(view.runs)} runs of the view {view.name} {'is' if gone == 1 else 'are'} gone." if gone else ""


def _folder() -> Path:
    return paths.home() / "views"


def _file(name: str) -> Path:
    return _folder() / f"{name}{ENDING}"
