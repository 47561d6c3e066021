"""Runs as they were looked at last, in the home's cache: a list reads a run again only when one of its files has changed, or it lives.

Only ended runs without damage are kept; whatever else there is to say about one is found out anew each time.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench import __version__, files, paths
from workbench.files import Stamp, stamp
from workbench.problems import Problem, clean
from workbench.recipes.recipe import Recipe
from workbench.runs import lock, notes
from workbench.runs.notes import Notes
from workbench.runs.run import Run
from workbench.runs.state import ENDED, State, state_of
from workbench.runs.summary import Summary, summary_of

NAMES = ("events.jsonl", "recipe.yaml", "exit.json", "lock", "notes.json", "slurm.json")
"""The files of a run that a list depends on."""
MOST_BYTES = 64 << 20


class Look(NamedTuple):
    """What a list shows of a run."""

    run: Run
    state: State
    summary: Summary
    recipe: Recipe | None
    """None where it is damaged; `problem` then says so."""
    notes: Notes
    problem: str = ""


class _Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    stamps: tuple[Stamp, ...]
    """Of NAMES."""
    state: State
    summary: Summary
    notes: Notes
    recipe: int
    """Its place in `recipes`: many runs have the same."""


class _Kept(msgspec.Struct, array_like=True):
    made_by: list[Stamp | str]
    recipes: list[Recipe]
    entries: dict[str, _Entry]


def look_at(runs: list[Run]) -> list[Look]:
    """State, summary, recipe and notes of all runs; from the index where that is still true. Writes down what is new."""
    began, made_by = time.time_ns(), _made_by()
    kept = files.read_packed(_file(), _Kept, MOST_BYTES)
    if kept is None or kept.made_by != made_by or any(not 0 <= entry.recipe < len(kept.recipes) for entry in kept.entries.values()):
        kept = _Kept(made_by, [], {})
    new = _Kept(made_by, [], {})
    places: dict[int | bytes, int] = {}
    """Of each recipe in `new`, by its place in `kept` or by its bytes."""
    looks, fresh = [], False
    for run in runs:
        before = _stamps(run)
        entry = kept.entries.get(run.id)
        # Asked each time: that a lock is taken or let go changes no file.
        if entry and entry.stamps == before and not lock.is_held(run.lock):
            look = Look(run, entry.state, entry.summary, kept.recipes[entry.recipe], entry.notes)
            key: int | bytes = entry.recipe
        else:
            look = _look_anew(run)
            if not _is_kept(look, before, began) or _stamps(run) != before:
                looks.append(look)
                continue
            key, fresh = msgspec.msgpack.encode(look.recipe), True
        looks.append(look)
        assert look.recipe
        if key not in places:
            places[key] = len(new.recipes)
            new.recipes.append(look.recipe)
        new.entries[run.id] = _Entry(before, look.state, look.summary, look.notes, places[key])
    if fresh and all(part.settled(began) for part in made_by if isinstance(part, Stamp)):
        files.write_packed(_file(), new, MOST_BYTES)
    return looks


def _look_anew(run: Run) -> Look:
    state, summary, recipe, problem = state_of(run), Summary(size=0), None, ""
    try:
        summary = summary_of(run)
        recipe = run.recipe()
    except Problem as error:
        problem = clean(error.message)
    return Look(run, state, summary, recipe, notes.read(run), problem)


def _is_kept(look: Look, before: tuple[Stamp, ...], began: int) -> bool:
    """Whether the look stays true for as long as no file changes: it then shows no time that passes, and names no other host."""
    ended = look.state.state in ENDED and not look.state.alive and not look.state.host
    return ended and look.recipe is not None and not look.problem and all(part.settled(began) for part in before)


def _stamps(run: Run) -> tuple[Stamp, ...]:
    folder = os.fspath(run.path)
    return tuple([stamp(f"{folder}/{name}") for name in NAMES])


def _file() -> Path:
    return paths.cache_folder() / "runs.index"


def _made_by() -> list[Stamp | str]:
    """What every look depends on: this code, and for the runs of which nobody wrote an end, this start of this machine."""
    code = [path for room in ("runs", "recipes") for path in sorted(Path(__file__).parents[1].joinpath(room).glob("*.py"))]
    return [__version__, os.fspath(paths.runs()), lock.host(), lock.boot_id(), *map(stamp, code)]
