"""Which evaluation was the best, and when to stop waiting for a better one. Pure: the loop hands in the values."""

import math

from workbench.problems import Problem
from workbench.runs.history import higher_is_better


class EarlyStopping:
    """Follows one metric; with an empty name no evaluation is the best, and the run is never stopped early."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.best: float | None = None
        self.stale = 0
        """Evaluations since the best one."""

    def judge(self, values: dict[str, float]) -> bool:
        """Whether this evaluation is the best yet; a Problem where the metric is not measured."""
        if not self.metric:
            return False
        if self.metric not in values:
            raise Problem(f"train.keep_best names {self.metric}, which is not measured.", f"Measured are: {', '.join(values) or 'none'}.")
        value, best = values[self.metric], self.best
        # NaN compares as neither better nor worse: it counts as an evaluation that was no better.
        if math.isfinite(value) and (best is None or (value > best if higher_is_better(self.metric) else value < best)):
            self.best, self.stale = value, 0
            return True
        self.stale += 1
        return False

    def is_over(self, patience: int) -> bool:
        """Whether there were `patience` evaluations without a better one; 0 waits for ever."""
        return 0 < patience <= self.stale
