"""The open window of the loop: numbers of the steps since the last logged line, and their means when it closes."""

import math
from typing import Any

from workbench.project import Project


class Window:
    """The numbers of the steps since the last logged line: kept where they are, read and averaged when it closes."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._values: dict[str, list[Any]] = {}

    def add(self, numbers: dict[str, Any]) -> None:
        """Take what train_step returned."""
        keep, values = self._project.keep, self._values
        for name, value in numbers.items():
            try:
                values[name].append(keep(value))
            except KeyError:
                values[name] = [keep(value)]

    def floats(self) -> dict[str, list[float]]:
        """All numbers so far as floats, read in one go; the window stays open."""
        read = iter(self._project.floats([value for values in self._values.values() for value in values]))
        self._values = {name: [next(read) for _ in values] for name, values in self._values.items()}
        return {name: list(values) for name, values in self._values.items()}

    def load(self, values: dict[str, list[float]]) -> None:
        """Go on with a window that a checkpoint held open."""
        self._values = {name: list(numbers) for name, numbers in values.items()}

    def close(self) -> dict[str, float]:
        """The means, and an empty window."""
        self.floats()
        closed, self._values = self._values, {}
        return {f"train/{name}": mean(numbers) for name, numbers in closed.items()}


def mean(numbers: list[float]) -> float:
    """The exact mean; NaN where infinities of both signs meet."""
    try:
        return math.fsum(numbers) / len(numbers)
    except (OverflowError, ValueError):  # inf and -inf together
        return math.nan
