"""The log of a run that a tuner watches: the metric after each evaluation, and how many of them there will be."""

from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.run import Run


class Watched:
    """The log of a run that trains."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tail, self.history = Tail(run.events), History()

    @classmethod
    def whole(cls, run: Run) -> "Watched":
        """All that it has logged."""
        watched = cls(run)
        watched.read()
        return watched

    def read(self) -> None:
        """Take in what is new."""
        for rows in self.tail.rows():
            self.history.fold(rows)

    def values(self, metric: str) -> list[float]:
        """The metric after each evaluation that followed a training step."""
        series = self.history.series.get(metric)
        return [value for step, value in zip(series.steps, series.values, strict=True) if step > 0] if series else []

    def planned(self, metric: str) -> int:
        """How many of them there will be; 0 where that is not known."""
        series = self.history.series.get(metric)
        steps = [step for step in series.steps if step > 0] if series else []
        return round(self.history.steps / steps[0]) if steps and self.history.steps else 0
