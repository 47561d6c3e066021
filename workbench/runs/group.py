"""Groups of runs that one process starts, comparisons and tunings: what lies where in the folder of one, and how one is found."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.directory import Directory
from workbench.runs.run import LEAST, list_runs
from workbench.runs.state import whole


class Group(Directory):
    """One directory of a group: its lock is held for as long as its process lives."""

    @property
    def stem(self) -> str:
        """The recipe's file name without its ending."""
        return self.id.rsplit("_", 2)[0]

    @property
    def stamp(self) -> str:
        """When it was started: 2026-11-29_163000."""
        return self.id.removeprefix(f"{self.stem}_").partition("~")[0]

    @property
    def started(self) -> float:
        """The same, in seconds; 0 where its name says nothing of it."""
        try:
            return time.mktime(time.strptime(self.stamp, "%Y-%m-%d_%H%M%S"))
        except (ValueError, OverflowError):
            return 0.0

    def runs(self) -> list[str]:
        """The ids of its runs. Problem where its files are damaged."""
        raise NotImplementedError

    def signal(self, number: int) -> bool:
        """Send a signal to its process; False where it is gone."""
        process = lock.content(self.lock).get("process")
        pid, ticks = (whole(process.get(name)) for name in ("pid", "ticks")) if isinstance(process, dict) else (0, 0)
        return pid > 0 and ticks > 0 and lock.send(pid, ticks, number)


AnyGroup = TypeVar("AnyGroup", bound=Group)


def listed(folder: Path, kind: Callable[[Path], AnyGroup], plan: str, has_run: Callable[[AnyGroup], bool]) -> list[AnyGroup]:
    """All groups of a folder that live or have a run, newest first; `plan` is the file without which a directory is none."""
    try:
        names = [name for name in os.listdir(folder) if name.isprintable() and not name.startswith(".")]
    except OSError:
        return []
    every = [kind(folder / name) for name in names]
    # The folder is small and stays when its runs are deleted; it is of use again when they are restored.
    every = [one for one in every if (one.path / plan).exists() and (lock.is_held(one.lock) or _readable(one, has_run))]
    return sorted(every, key=lambda one: (one.stamp, one.id), reverse=True)


def _readable(group: AnyGroup, has_run: Callable[[AnyGroup], bool]) -> bool:
    try:
        return has_run(group)
    except Problem:
        return False


def find(every: Iterable[AnyGroup], reference: str, ends: str = "") -> AnyGroup | None:
    """The group of that id, of a part of one that is unique, or a recipe's newest one; None where a run is meant.

    `ends`: the verb that ends something; a part of an id is then at least `LEAST` characters long.
    """
    every = list(every)
    if exact := [one for one in every if one.id == reference]:
        return exact[0]
    runs = list_runs() if every else []
    for one in every:
        if one.stem == reference:
            # A later run of the same recipe, on its own, is what its name means.
            newest = next((run.id for run in runs if run.stem == reference), "")
            return one if lock.is_held(one.lock) or newest in one.runs() else None
    matches = [one for one in every if reference and reference in one.id]
    if len(matches) != 1 or reference == "last" or (ends and len(reference) < LEAST) or any(reference in run.id for run in runs):
        return None
    return matches[0]
