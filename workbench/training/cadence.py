"""Where a run is, and what is due after a step. Pure: no project, no file, and the clock is an argument. The loop asks them."""

import math
from typing import NamedTuple

import msgspec

from workbench.recipes.recipe import Train

POLL = 0.05
"""Seconds between two looks at the commands."""
MEASURED_STEPS = 50
"""Steps whose durations are measured before `log_every` is chosen."""
SAVE_EVERY, SAVE_SHARE = 5.0, 50
"""By the clock: at least 5 s between two checkpoints, and 50 times what one takes, so that they cost under 2 %."""
FAR = 1_000_000
"""Steps ahead that stand for "never": the loop then merely looks once in so many steps."""


class Place(msgspec.Struct):
    """How far a run is: steps and epochs done, batches done in the open epoch (`position`), batches in a whole epoch (`per_epoch`).

    Checkpoints hold it. `per_epoch` is 0 as long as an epoch's length is unknown.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    per_epoch: int = 0

    def advance(self, last: bool) -> None:
        """One step more; `last` of its epoch."""
        self.step += 1
        self.position += 1
        if last:
            # The number of batches that it had is the best guess for the next epoch.
            self.epoch, self.position, self.per_epoch = self.epoch + 1, 0, self.position

    def total(self, train: Train) -> int:
        """Planned steps in all; 0 while an epoch's length is unknown."""
        return train.steps or train.epochs * self.per_epoch

    def reached(self, train: Train) -> bool:
        """Whether all of them are done."""
        total = self.total(train)
        return self.step >= total if total else self.epoch >= train.epochs

    def epochs(self) -> float:
        """Epochs done, the open one's share included."""
        return self.epoch + (self.position / self.per_epoch if self.per_epoch else 0.0)


class Due(NamedTuple):
    """What is due after a step by the count of steps."""

    log: bool
    evaluate: bool
    sample: bool


class Cadence:
    """When the loop stops between two steps. From one stop to the next it only logs at `log_at`, so most steps cost a few comparisons."""

    def __init__(self, now: float = 0.0) -> None:
        # 0: the loop stops after the first step, and plans the rest.
        self.stop = self.log_at = 0
        """The step after which there is more to do than to log, and the next logged step."""
        self._look_at = 0.0
        self._save_at = now + SAVE_EVERY
        self._since = now
        self._durations: list[float] = []

    def stops(self, step: int, last: bool, now: float) -> bool:
        """Whether there may be more to do after this step than to log."""
        return last or step >= self.stop or now >= self._look_at

    def due(self, train: Train, step: int, *, last: bool, reached: bool) -> Due:
        """What is due after this step: the `last` of its epoch, or, as `reached`, of the run."""
        evaluate = reached or (step % train.evaluate_every == 0 if train.evaluate_every else last)
        # While `log_every` is still 0, that is to be chosen, each step has a line.
        log = reached or step % (train.log_every or 1) == 0
        return Due(log, evaluate, step % train.sample_every == 0 if train.sample_every else evaluate)

    def looks(self, now: float) -> bool:
        """Whether it is time to look for commands."""
        return now >= self._look_at

    def saves(self, train: Train, step: int, now: float) -> bool:
        """Whether a checkpoint is due, by steps or by the clock."""
        return step % train.checkpoint_every == 0 if train.checkpoint_every else now >= self._save_at

    def looked(self, now: float) -> None:
        """The commands were read: again in POLL seconds."""
        self._look_at = now + POLL

    def saved(self, began: float, now: float) -> None:
        """A checkpoint was written from `began` to `now`: the clock asks for the next one by SAVE_EVERY and SAVE_SHARE."""
        self._save_at = now + max(SAVE_EVERY, SAVE_SHARE * (now - began))

    def waited(self, began: float, now: float) -> None:
        """The run was paused from `began` to `now`: the clock of the checkpoints stood still, as there was nothing new to save."""
        self._save_at += now - began

    def plan(self, train: Train, step: int, total: int, change_at: int, now: float) -> None:
        """Set the next stop; `change_at` is a step after which there is something to do by no cadence, 0 for none.

        Such are a change that an earlier attempt made, and the single steps of a paused run.
        """
        self._since = now
        measuring = train.log_every == 0
        # True counts as 1: the loop stops after each step as long as durations are measured.
        counts = (measuring, train.evaluate_every, train.sample_every, train.checkpoint_every)
        self.stop = min(total or step + FAR, change_at or step + FAR, *(_next(step, every) for every in counts if every))
        self.log_at = _next(step, train.log_every or 1)

    def measure(self, step: int, now: float) -> bool:
        """Take the duration of a step; whether there are enough of them to choose `log_every`."""
        self._durations.append(now - self._since)
        return step >= MEASURED_STEPS

    def chosen_log_every(self, total: int) -> int:
        """Steps a line, by the durations of some in seconds, so that a run of `total` steps has some 500 lines, and at least 50.

        One line each 0.025 to 0.1 s, so that logging stays under 1 %.
        """
        # The median: the first steps, which compile kernels and fill caches, must not decide.
        usual = sorted(self._durations)[len(self._durations) // 2] if self._durations else 1.0
        wanted = max(1.0, min(max(total / 500, 0.025 / usual), max(1.0, 0.1 / usual), total / 50))
        # Down to 1, 2 or 5 times a power of ten: people read round steps more easily.
        power = 10 ** math.floor(math.log10(wanted))
        return int(max(factor * power for factor in (1, 2, 5) if factor * power <= wanted))


def _next(step: int, every: int) -> int:
    """The next step that `every` divides."""
    return step - step % every + every
