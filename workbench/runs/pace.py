"""Pace: how fast a run makes steps, and whether it has made none for long. The screens and the run's supervisor go by it."""

from collections import deque
from collections.abc import Iterable
from itertools import pairwise

# Validation, a checkpoint or a slow disk may take this long without meaning anything.
QUIET = 30.0
"""Seconds without a step before the screens say so."""
RECENT = 10.0
"""The rate is measured over so many seconds."""
# Enough for RECENT seconds at 50 lines a second.
PACE = 512
"""The rate is measured over no more lines: a bound on memory."""
USUAL = 20
"""Times as long as usual between two steps is long: a run with slow steps is silent between them."""


class Pace:
    """The newest steps of one attempt with their times."""

    def __init__(self, steps: Iterable[tuple[float, int]] = (), stepped: float = 0.0, attempt: int = 0) -> None:
        self.steps = deque(steps, maxlen=PACE)
        """(clock, step) of the newest steps."""
        self.stepped = stepped
        """When the last of them was made, by the clock that `note` was given."""
        self._attempt = attempt

    def begin(self, attempt: int) -> None:
        """Steps of an earlier attempt say nothing about the present rate."""
        if self._attempt != attempt:
            self._attempt = attempt
            self.steps.clear()

    def note(self, clock: float, step: int, time: float) -> None:
        """Take in a step, with the machine's monotonic clock and the wall clock."""
        if not self.steps or step != self.steps[-1][1]:
            self.steps.append((clock, step))
            self.stepped = time

    def rate(self) -> float:
        """Steps per second of late; 0 when not known."""
        if len(self.steps) < 2:
            return 0.0
        last_clock, last_step = self.steps[-1]
        for clock, step in self.steps:
            if last_clock - clock <= RECENT and step < last_step:
                return (last_step - step) / (last_clock - clock) if last_clock > clock else 0.0
        # Steps so slow that only the last one lies within RECENT: the time between the last two.
        clock, step = self.steps[-2]
        return (last_step - step) / (last_clock - clock) if last_clock > clock and last_step > step else 0.0

    def silence(self, now: float, least: float = QUIET) -> tuple[float, float] | None:
        """(seconds since the last step, usual seconds between two), where that is `least` seconds and long for this run; else None.

        `now` is of the wall clock.
        """
        if not self.stepped or len(self.steps) < 3:
            return None
        clocks = [clock for clock, _ in self.steps]
        # The median: one long validation does not make a slow run of a fast one.
        usual = sorted(after - before for before, after in pairwise(clocks))[len(clocks) // 2 - 1]
        since = now - self.stepped
        return (since, usual) if since > max(least, USUAL * usual) else None
