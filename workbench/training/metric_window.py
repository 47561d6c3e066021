"""The open window of the loop: numbers of the steps since the last logged line, and their means when it closes."""

import math
from typing import Any

from workbench.training.project import Project


class Window:
    """The numbers of the steps since the last logged line: kept where they are, read and averaged when it closes."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._steps: list[dict[str, Any]] = []
        self._read: dict[str, list[float]] = {}
        """What was read of earlier steps, by name."""

    def add(self, numbers: dict[str, Any]) -> None:
        """Take what train_step returned."""
        self._steps.append(self._project.keep(numbers))

    def floats(self) -> dict[str, list[float]]:
        """All numbers so far as floats, by name, read in one go; the window stays open."""
        steps, self._steps = self._steps, []
        read = self._project.floats([value for numbers in steps for value in numbers.values()])
        names = [name for numbers in steps for name in numbers]
        for name, value in zip(names, read, strict=True):
            self._read.setdefault(name, []).append(value)
        return {name: list(values) for name, values in self._read.items()}

    def load(self, values: dict[str, list[float]]) -> None:
        """Go on with a window that a checkpoint held open."""
        self._steps, self._read = [], {name: list(numbers) for name, numbers in values.items()}

    def close(self) -> dict[str, float]:
        """The means, and an empty window."""
        closed = self.floats()
        self._read = {}
        return {f"train/{name}": mean(numbers) for name, numbers in closed.items()}


def mean(numbers: list[float]) -> float:
    """The exact mean; NaN where infinities of both signs meet."""
    try:
        return math.fsum(numbers) / len(numbers)
    except (OverflowError, ValueError):  # inf and -inf together
        return math.nan


def steps_a_line(durations: list[float], total: int) -> int:
    """So many steps a line, by the `durations` of some in seconds, that a run of `total` steps has some 500 lines, and at least 50.

    One line each 0.025 to 0.1 s, so that logging stays under 1 %.
    """
    usual = sorted(durations)[len(durations) // 2] if durations else 1.0
    wanted = min(max(total / 500, 0.025 / usual), max(1.0, 0.1 / usual), total / 50)
    power = 10 ** math.floor(math.log10(max(wanted, 1)))
    return int(max(factor * power for factor in (1, 2, 5) if factor * power <= max(wanted, 1)))
