"""How much of the disk each run takes, and which checkpoints a run can do without."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from workbench import files, paths
from workbench.files import taken
from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.checkpoint import Checkpoints, Generation
from workbench.runs.run import Run
from workbench.runs.state import state_of


class Use(NamedTuple):
    """Bytes on the disk of one run."""

    checkpoints: int
    artifacts: int
    log: int
    rest: int

    @property
    def total(self) -> int:
        return sum(self)


def use(run: Run) -> Use:
    """What a run takes, by kind."""
    checkpoints, artifacts = taken(run.path / "checkpoints"), taken(run.path / "artifacts")
    log = taken(run.events)
    return Use(checkpoints, artifacts, log, taken(run.path) - checkpoints - artifacts - log)


def free() -> int:
    """Bytes that are free where the home lies, or will lie."""
    place = paths.home()
    # The home is made by the first run; until then its parents tell on which disk it will lie.
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


class Spare(NamedTuple):
    """A checkpoint that its run can do without."""

    run: Run
    bytes: int
    checkpoints: Checkpoints
    generation: Generation

    def remove(self) -> None:
        """Delete it; while `spare_checkpoints` holds its run."""
        self.checkpoints.drop(self.generation)


@contextlib.contextmanager
def spare_checkpoints(chosen: Sequence[Run]) -> Iterator[list[Spare]]:
    """All checkpoints of ended runs but the best, the newest and pinned ones; the runs are locked meanwhile, so that none is resumed.

    Problem where a run is alive, or on another host.
    """
    with contextlib.ExitStack() as locks:
        spare = []
        # Each run once: a lock that is taken cannot be taken again, not even here.
        for run in dict.fromkeys(chosen):
            try:
                held = None if (current := state_of(run)).alive or current.state == "away" else lock.Lock.take(run.lock)
            except OSError as error:
                raise files.problem(f"The checkpoints of {run.id}", "cleaned", error) from error
            if held is None:
                raise Problem(f"{run.id} is {state_of(run).message or 'running'}, so its checkpoints stay.", "Clean it once it has ended.")
            locks.callback(held.release)
            checkpoints = Checkpoints(run.path / "checkpoints")
            spare += [Spare(run, checkpoints.size(generation), checkpoints, generation) for generation in checkpoints.spare()]
        yield spare
