"""Which runs have ended since one looked last: for the bell and the notice of the terminal program."""

from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.run import Run, list_runs
from workbench.runs.state import State, state_of


class Endings:
    """Runs that were ended before the first look are no news."""

    def __init__(self) -> None:
        self._alive: set[Run] = set()

    def look(self) -> list[tuple[Run, State]]:
        """Those that lived at the last look and have ended, with how."""
        try:
            alive = {run for run in list_runs() if lock.is_held(run.lock)}
        except Problem:
            return []
        ended = [run for run in self._alive - alive if run.path.is_dir()]
        self._alive = alive
        return [(run, state_of(run)) for run in sorted(ended, key=lambda run: run.id)]
