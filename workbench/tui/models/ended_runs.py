"""Which runs have ended since the last look: for the bell and the notice of the terminal program."""

from workbench.problems import Problem
from workbench.runs import lock, scheduled
from workbench.runs.run import Run, list_runs
from workbench.runs.state import State, state_of


class Endings:
    """Compares the living runs of two looks. Runs that ended before the first look are not reported."""

    def __init__(self) -> None:
        self._alive: set[Run] = set()

    def look(self) -> list[tuple[Run, State]]:
        """The runs that lived at the last look and have ended since, each with its state."""
        try:
            # The lock alone: to read every state here, every two seconds, would open the files of every run.
            alive = {run for run in list_runs() if lock.is_held(run.lock) or (scheduled.job_of(run.path) and state_of(run).alive)}
        except Problem:
            return []
        # A deleted run is gone from the list as well, and has not ended.
        ended = [run for run in self._alive - alive if run.path.is_dir()]
        self._alive = alive
        return [(run, state_of(run)) for run in sorted(ended, key=lambda run: run.id)]
