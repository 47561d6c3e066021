"""Deleted runs: they stay in runs/.trash/ until they are restored or removed permanently."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from workbench import files, paths
from workbench.problems import Problem
from workbench.runs import lock, usage
from workbench.runs.comparisons import Comparison
from workbench.runs.run import Run, find_run
from workbench.runs.state import state_of
from workbench.runs.tunings import Tuning, place_of


def folder() -> Path:
    """The folder of deleted runs."""
    return paths.runs() / ".trash"


def delete(run: Run) -> Run:
    """Move an ended run into the trash. Its lock is held meanwhile, so a run that is alive, or is being started, is never moved."""
    current = state_of(run)
    if current.state == "away":
        raise Problem(f"{run.id} is {current.message}.", f"Delete it from {current.host}.")
    try:
        # Of a run that Slurm starts, the lock may be free, or invisible from here.
        held = None if current.alive else lock.Lock.take(run.lock)
        if held is None:
            raise Problem(f"{run.id} is {'queued' if current.state == 'queued' else 'running'}.", f"`dlwb stop {run.id}` first.")
        try:
            folder().mkdir(exist_ok=True)
            moved = _move(run, folder())
            with contextlib.suppress(OSError):
                os.utime(moved.path)  # the directory's time says when it was deleted
            return moved
        finally:
            held.release()
    except OSError as error:
        raise files.problem(run.id, "deleted", error) from error


def delete_group(group: Comparison | Tuning) -> list[Run]:
    """Move all runs of a comparison or a tuning that has ended into the trash, or none: it leaves every list, and comes back, with them."""
    state = group.standing().state
    if state.state == "away":
        raise Problem(f"{group.id} is {state.message}.", f"Delete it from {state.host}.")
    held = None
    moved: list[Run] = []
    try:
        # Held meanwhile, so that nobody resumes it among half of its runs.
        held = lock.Lock.take(group.lock)
        if held is None:
            raise Problem(f"{group.id} is running.", f"`dlwb stop {group.id}` first.")
        for name in group.runs():
            if run := place_of(name):
                moved.append(delete(run))  # one by one: those before a refusal go back
    except (OSError, Problem) as error:
        for run in moved:
            _move(run, paths.runs())
        if isinstance(error, OSError):
            raise files.problem(group.id, "deleted", error) from error
        raise
    finally:
        if held:
            held.release()
    return moved


def deleted() -> list[Run]:
    """The runs in the trash, the most recently deleted first."""
    dated: list[tuple[float, Run]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder()):
            if entry.is_dir(follow_symlinks=False) and entry.name.isprintable():
                dated.append((entry.stat().st_mtime, Run(Path(entry.path))))
    return [run for _, run in sorted(dated, key=lambda entry: (entry[0], entry[1].id), reverse=True)]


def restore(reference: str = "last") -> Run:
    """Restore a deleted run, by default the most recently deleted one; it gets another name if its own is in use again."""
    run = find_run(reference, deleted(), "The trash has no run", "`dlwb clean` lists the runs in it.")
    try:
        return _move(run, paths.runs())
    except OSError as error:
        raise files.problem(run.id, "restored", error) from error


def restore_group(reference: str) -> list[Run]:
    """Restore the deleted runs of the comparison or tuning of that id; none where it means neither."""
    return [restore(run.id) for run in deleted() if reference in (run.about().get("comparison"), run.about().get("tuning"))]


def purge(run: Run) -> None:
    """Remove a deleted run permanently; the device-hours that it used stay noted."""
    assert run.path.parent == folder()
    used: list[usage.Use] = []
    with contextlib.suppress(Problem):  # nobody knows the hours of one whose log cannot be read
        used = usage.of_run(run)
    noted = _noted(used)
    try:
        shutil.rmtree(run.path)
    except OSError as error:
        raise files.problem(run.id, "removed", error) from error
    if not noted:
        _noted(used)  # the disk was full, and has room now


def _noted(used: list[usage.Use]) -> bool:
    try:
        usage.keep(used)
    except OSError:
        return False
    return True


def days(run: Run) -> float:
    """Days since the run was deleted."""
    try:
        return max(0.0, time.time() - run.path.stat().st_mtime) / 86400
    except OSError:
        return 0.0


def _move(run: Run, into: Path) -> Run:
    place, number = into / run.id, 1
    # lexists: also a broken link takes the name.
    while os.path.lexists(place):
        number += 1
        place = into / f"{run.id.partition('~')[0]}~{number}"
    run.path.rename(place)
    return Run(place)
