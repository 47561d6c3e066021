"""The open window of the loop: numbers of the steps since the last logged line, and their means when it closes."""

import math
from typing import Any

from workbench.problems import Problem
from workbench.training.resumable import Resumable


class MetricWindow:
    """The numbers of the steps since the last logged line: kept where they are, read and averaged when it closes."""

    def __init__(self, project: Resumable) -> None:
        self._project = project
        self._steps: list[dict[str, Any]] = []
        self._read: dict[str, list[float]] = {}
        """What was read of earlier steps, by name."""
        self._newest: dict[str, Any] = {}
        """The numbers of the newest step that was read."""

    def add(self, numbers: dict[str, Any]) -> None:
        """Take what train_step returned; a number that is None is not defined at this step, and no part of any mean."""
        self._steps.append(self._project.keep(numbers))

    def floats(self) -> dict[str, list[float]]:
        """All numbers so far as floats, by name, read in one go; the window stays open."""
        steps, self._steps = self._steps, []
        # Once a window and not once a step, so that nothing is paid for it where nobody makes single steps.
        self._newest = steps[-1] if steps else self._newest
        # All at once: each number read by itself would wait for the device.
        pairs = [(name, value) for numbers in steps for name, value in numbers.items() if value is not None]
        read = self._project.floats([value for _, value in pairs])
        for (name, _), value in zip(pairs, read, strict=True):
            self._read.setdefault(name, []).append(value)
        return {name: list(values) for name, values in self._read.items()}

    def load(self, values: dict[str, list[float]]) -> None:
        """Go on with a window that a checkpoint held open."""
        self._steps, self._read = [], {name: list(numbers) for name, numbers in values.items()}

    def last(self) -> dict[str, float]:
        """The numbers of the last step, of this attempt; the window stays open."""
        self.floats()
        numbers = {name: value for name, value in self._newest.items() if value is not None}
        return dict(zip(numbers, self._project.floats(list(numbers.values())), strict=True))

    def means(self) -> dict[str, float]:
        """The means so far, by tag; the window stays open."""
        return {f"train/{name}": mean(numbers) for name, numbers in self.floats().items()}

    def close(self) -> dict[str, float]:
        """The means, and an empty window."""
        means = self.means()
        self._read = {}
        return means


def mean(numbers: list[float]) -> float:
    """The exact mean; NaN where infinities of both signs meet."""
    try:
        return math.fsum(numbers) / len(numbers)
    except (OverflowError, ValueError):  # inf and -inf together
        return math.nan


def refuse_not_finite(values: dict[str, float], step: int) -> None:
    """A Problem, cause not-finite, that names the first value which is NaN or infinite."""
    for tag, value in values.items():
        if not math.isfinite(value):
            hint = "A lower learning rate often helps; the last good checkpoint is kept."
            if "loss" not in tag:
                hint += " Where the figure is not defined at some steps, train_step may return None for it."
            raise Problem(f"{tag} became {value} at or before step {step}.", hint, cause="not-finite")
