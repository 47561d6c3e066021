"""The meters of a run with several processes: what all of them take together. The leader reads them."""

import contextlib
from pathlib import Path

import psutil

from workbench.training.meters import Meters


class SharedMeters:
    """Reads as Meters does, with the CPU time and the memory of every process of the run."""

    def __init__(self, first: Meters, processes: list[int]) -> None:
        """`processes` are the process ids by rank, this one first."""
        self._first = first
        self._pids = processes
        self._others = [psutil.Process(pid) for pid in processes[1:]]
        for process in self._others:
            # psutil measures between two calls, so that the first one's answer is 0.
            process.cpu_percent()

    def read(self) -> dict[str, float]:
        """The readings by tag, or {} where the last ones are still fresh."""
        readings = self._first.read()
        if readings:
            with contextlib.suppress(psutil.Error):  # one that has just died
                readings["system/cpu"] += sum(process.cpu_percent() for process in self._others)
            with contextlib.suppress(OSError):
                readings["system/memory"] = sum(map(_memory, self._pids)) / 2**30
        return readings


def _memory(pid: int) -> float:
    """Bytes of a process; of what several share, as torch itself after a fork, its part (proc_pid_smaps(5), Pss)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024.0 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
