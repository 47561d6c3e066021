"""Feed: one run as the terminal program follows it. Its log in budgeted slices, its state, its pace, and whether it has gone quiet."""

import time
from collections import deque
from itertools import pairwise
from typing import Any

from workbench.events import Answer, AnyEvent, Scalars, Status
from workbench.problems import Problem
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.run import Run
from workbench.runs.state import State, state_of

SLICE = 0.012
"""Seconds of one slice: short enough that a key pressed meanwhile is answered at once."""
QUIET = 30.0
"""Seconds without a step before anything is said about it."""
RECENT = 10.0
"""Seconds that the rate is measured over."""


class Feed:
    """Everything known about a run. Screens share the feed of a run, so coming back to one is instant."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.state = state_of(run)
        self.launching = False
        """Set while this program starts its process."""
        self.asked: dict[str, str] = {}
        """The verbs of commands that this program sent and whose answers have not come, by their ids."""
        self.request: dict[str, Any] = {}
        """What a sample was last asked for."""
        self.problem = ""
        """Why the log cannot be read, if it cannot."""
        self._restart()

    def _restart(self) -> None:
        self.history = History()
        self.tail = Tail(self.run.events)
        self._pace: deque[tuple[float, int]] = deque(maxlen=512)
        self._stepped = 0.0
        self._attempt = 0

    @property
    def caught_up(self) -> bool:
        return self.tail.caught_up or bool(self.problem)

    def read(self, budget: float | None = SLICE) -> int:
        """Read on for about `budget` seconds; returns how many events came."""
        try:
            events = list(self.tail.read(budget))
        except Problem as problem:
            self.problem = str(problem)
            return 0
        self.history.fold(events)
        self._follow_pace(events)
        return len(events)

    def _follow_pace(self, events: list[AnyEvent]) -> None:
        """Note when the newest steps were; those of an earlier attempt say nothing about this one."""
        newest: list[Scalars] = []
        for event in reversed(events):
            if type(event) is Scalars:
                newest.append(event)
                if len(newest) == self._pace.maxlen:
                    break
            elif isinstance(event, Status) and event.attempt != self._attempt:
                break
        if self._attempt != self.history.status.attempt:
            self._attempt = self.history.status.attempt
            self._pace.clear()
        for event in reversed(newest):
            if not self._pace or event.step != self._pace[-1][1]:
                self._pace.append((event.clock, event.step))
                self._stepped = event.time

    def ask(self) -> State:
        """Look at the run's lock again."""
        self.state = state_of(self.run)
        if self.launching and self.state.state == "created":
            self.state = State(state="starting", message="starting its process")
        return self.state

    def answers(self) -> list[tuple[str, Answer]]:
        """The answers that came to what this program asked, each once, with its verb."""
        ours = [answer for answer in reversed(self.history.answers) if answer.command in self.asked] if self.asked else []
        return [(self.asked.pop(answer.command), answer) for answer in reversed(ours) if answer.command in self.asked]

    def rate(self) -> float:
        """Steps in a second: lately while it lives, over all its time when it has ended; 0 when not known."""
        history = self.history
        if self.state.state == "paused":
            return 0.0
        if not self.state.alive:
            return history.step / history.seconds if history.seconds > 0 else 0.0
        if len(self._pace) < 2:
            return 0.0
        last_clock, last_step = self._pace[-1]
        for clock, step in self._pace:
            if last_clock - clock <= RECENT and step < last_step:
                return (last_step - step) / (last_clock - clock) if last_clock > clock else 0.0
        clock, step = self._pace[-2]
        return (last_step - step) / (last_clock - clock) if last_clock > clock and last_step > step else 0.0

    def elapsed(self, now: float) -> float:
        """Seconds worked on this run, the ones since the last line included while it trains."""
        waiting = now - self.history.updated if self.state.state == "running" and self.history.updated else 0.0
        return self.history.seconds + max(0.0, waiting)

    def left(self) -> float | None:
        """Seconds until its last step, at this rate."""
        rate = self.rate()
        missing = self.history.steps - self.history.step
        return missing / rate if rate > 0 and missing > 0 and self.state.alive else None

    def quiet(self, now: float | None = None) -> tuple[float, float] | None:
        """(seconds since the last step, seconds between two usually) of a run that has been silent for long; else None. Not a death."""
        if self.state.state != "running" or not self._stepped or len(self._pace) < 3:
            return None
        clocks = [clock for clock, _ in self._pace]
        usual = sorted(after - before for before, after in pairwise(clocks))[len(clocks) // 2 - 1]
        silence = (time.time() if now is None else now) - self._stepped
        return (silence, usual) if silence > max(QUIET, 20 * usual) else None
