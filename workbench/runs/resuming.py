"""From which checkpoint a run can be resumed: what is damaged is said before it starts, and it never begins at step 0 again in silence."""

from collections.abc import Iterable
from itertools import pairwise

from workbench import files
from workbench.events import Answer, AnyEvent, Scalars, Status
from workbench.problems import Problem
from workbench.recipes.recipe import Train
from workbench.runs.checkpoint import Checkpoints, listed
from workbench.runs.log import Tail
from workbench.runs.run import Run

BY_CLOCK = 5.0
"""Seconds of training before the first checkpoint where the recipe names no number of steps, see `cadence.SAVE_EVERY`."""


def look(run: Run) -> str:
    """A remark where a resume does not go on from the newest checkpoint that was written; "" where it does.

    Problem where all are lost: a person may still have a copy of them. Hashes are compared, nothing is decoded.
    """
    checkpoints = Checkpoints(run.path / "checkpoints")
    try:
        newest = checkpoints.newest(lambda data: {})
    except Problem as problem:
        raise _stuck(run, problem.message) from None
    if newest:
        return checkpoints.passed_over(newest[0].step)
    if lost := _lost(run, checkpoints):
        raise _stuck(run, lost)
    trained = any(isinstance(event, Scalars) and event.step > 0 for event in Tail(run.events).read())
    return f"{run.id} has no checkpoint yet, so it begins again at step 0." if trained else ""


def _stuck(run: Run, why: str) -> Problem:
    return Problem(f"{run.id} cannot go on. {why}", f"Put a copy of its checkpoints back, or start a new run: `dlwb run {run.stem}`.")


def _lost(run: Run, checkpoints: Checkpoints) -> str:
    """How its checkpoints were lost, as a sentence; "" where it may have none yet."""
    try:
        names = checkpoints.names()
    except NotADirectoryError:  # a link, too: it is not followed
        return f"{checkpoints.folder} is not a folder."
    except OSError as error:
        return files.problem(str(checkpoints.folder), "read", error).message
    # One may be of a death between the data and its note.
    without_note = [name for name in names if name.startswith("step-")]
    if len(without_note) > 1 or has_saved(Tail(run.events).read(), run.recipe().train):
        return f"The notes of its checkpoints are gone: {listed(without_note)}." if without_note else "Its checkpoints are gone."
    return ""


def has_saved(events: Iterable[AnyEvent], train: Train) -> bool:
    """Whether a log shows that a checkpoint was written: only after it these records come."""
    began = 0.0
    late: list[int] = []
    every = train.checkpoint_every
    for event in events:
        if isinstance(event, Status):
            saved = event.state in ("paused", "stopped", "finished") or (event.state == "running" and event.attempt > 1)
            if saved and max(event.step, event.from_step) > 0 and event.cause != "killed":
                return True
            if event.state == "running":
                began, late = 0.0, []
        elif isinstance(event, Answer) and event.ok and event.message.startswith("kept: step"):
            return True
        elif isinstance(event, Scalars) and event.step > 0:
            began = began or event.clock
            if event.clock > began + BY_CLOCK:
                late.append(event.step)
            # A checkpoint is written after the line of its step.
            if (every and event.step > every) or (not every and any(one < other for one, other in pairwise(late[-2:]))):
                return True
    return False
