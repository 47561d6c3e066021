"""Deleted runs: they lie in runs/.trash/ until they are brought back, or cleaned away for good."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from workbench import paths
from workbench.problems import Problem
from workbench.runs import lock, runs
from workbench.runs.runs import Run, state


def folder() -> Path:
    """Where they lie."""
    return paths.runs() / ".trash"


def delete(run: Run) -> Run:
    """Move an ended run into the trash; the lock is held meanwhile, so a run that lives, or is being started, stays."""
    current = state(run)
    if current.state == "away":
        raise Problem(f"{run.id} is {current.message}.", f"Delete it from {current.host}.")
    try:
        held = lock.Lock.take(run.lock)
        if held is None:
            raise Problem(f"{run.id} is running.", f"`dlwb stop {run.id}` first.")
        try:
            folder().mkdir(exist_ok=True)
            moved = _move(run, folder())
            with contextlib.suppress(OSError):
                os.utime(moved.path)  # the directory's time says when it was deleted
            return moved
        finally:
            held.release()
    except OSError as error:
        raise Problem(f"{run.id} cannot be deleted: {error.strerror} ({error.filename}).") from error


def deleted() -> list[Run]:
    """The runs in the trash, the last deleted one first."""
    found: list[tuple[float, Run]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder()):
            if entry.is_dir(follow_symlinks=False) and entry.name.isprintable():
                found.append((entry.stat().st_mtime, Run(Path(entry.path))))
    return [run for _, run in sorted(found, key=lambda each: (each[0], each[1].id), reverse=True)]


def restore(reference: str = "last") -> Run:
    """Bring a deleted run back, the last deleted one where none is named; where its name is taken again it gets another."""
    run = runs.find(reference, deleted(), "The trash has no run", "`dlwb clean` lists what lies there.")
    try:
        return _move(run, paths.runs())
    except OSError as error:
        raise Problem(f"{run.id} cannot be brought back: {error.strerror} ({error.filename}).") from error


def purge(run: Run) -> None:
    """Remove a deleted run for good."""
    assert run.path.parent == folder()
    try:
        shutil.rmtree(run.path)
    except OSError as error:
        raise Problem(f"{run.id} cannot be removed: {error.strerror} ({error.filename}).") from error


def days(run: Run) -> float:
    """How long it has been in the trash."""
    try:
        return max(0.0, time.time() - run.path.stat().st_mtime) / 86400
    except OSError:
        return 0.0


def _move(run: Run, into: Path) -> Run:
    place, number = into / run.id, 1
    while os.path.lexists(place):
        number += 1
        place = into / f"{run.id.partition('~')[0]}~{number}"
    run.path.rename(place)
    return Run(place)
