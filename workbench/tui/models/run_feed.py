"""Feed: follows one run for the screens: its log in slices of time, its state, its rate, and whether it is silent for long."""

import time
from collections import deque
from itertools import pairwise
from typing import Any

from workbench.events import Answer, AnyEvent, Scalars, Status
from workbench.problems import Problem
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.rows import Row
from workbench.runs.run import Run
from workbench.runs.state import State, state_of

# Less than one frame of a 60 Hz screen.
SLICE = 0.012
"""Seconds of reading in one slice: short, so that a key pressed meanwhile is answered at once."""
# Validation, a checkpoint or a slow disk may take this long without meaning anything.
QUIET = 30.0
"""Seconds without a step before the screens say so."""
RECENT = 10.0
"""The rate is measured over so many seconds."""
# Enough for RECENT seconds at 50 lines a second.
PACE = 512
"""The rate is measured over no more lines: a bound on memory."""


class Feed:
    """Everything known about a run. Screens share the feed of a run, so a run that was open before opens at once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.state = state_of(run)
        self.launching = False
        """True while this program starts the run's process."""
        self.asked: dict[str, str] = {}
        """The verbs of the commands that this program sent and that are not answered yet, by their ids."""
        self.sending: list[str] = []
        """The verbs of the commands that this program is about to send."""
        self.request: dict[str, Any] = {}
        """The request of the last sample."""
        self.problem = ""
        """Why the log cannot be read; "" when it can."""
        self._restart()

    def _restart(self) -> None:
        self.history = History()
        self.tail = Tail(self.run.events)
        self._pace: deque[tuple[float, int]] = deque(maxlen=PACE)
        """(clock, step) of the newest steps."""
        self._stepped = 0.0
        self._attempt = 0

    @property
    def caught_up(self) -> bool:
        return self.tail.caught_up or bool(self.problem)

    def read(self, budget: float | None = SLICE) -> int:
        """Read the log for about `budget` seconds; returns the number of new events."""
        before = self.history.version
        newest: list[AnyEvent | Row] = []
        try:
            for events in self.tail.rows(budget):
                self.history.fold(events)
                newest = [*newest, *events][-PACE:]
        except Problem as problem:
            self.problem = str(problem)
        self._follow_pace(newest)
        return self.history.version - before

    def _follow_pace(self, events: list[AnyEvent | Row]) -> None:
        """Note the times of the newest steps; steps of an earlier attempt say nothing about the present rate."""
        newest: list[Scalars | Row] = []
        for event in reversed(events):
            if isinstance(event, Scalars | Row):
                newest.append(event)
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
        """Look at the run's state again."""
        self.state = state_of(self.run)
        if self.state.job and self.state.alive:
            from workbench.launch import slurm

            slurm.look_again([self.run])
        # Between its folder and its process a run would look as if nobody had started it.
        if self.launching and self.state.state == "created":
            self.state = State(state="starting", message="starting its process")
        return self.state

    def answers(self) -> list[tuple[str, Answer]]:
        """The new answers to commands of this program, each once, with its verb."""
        ours = [answer for answer in reversed(self.history.answers) if answer.command in self.asked] if self.asked else []
        # Two answers to one command: `pop` has taken the command out by the second.
        return [(self.asked.pop(answer.command), answer) for answer in reversed(ours) if answer.command in self.asked]

    def awaits(self, verb: str) -> bool:
        """Whether a command of this program with this verb is not answered yet."""
        return verb in self.sending or verb in self.asked.values()

    def rate(self) -> float:
        """Steps per second: the recent rate of a living run, the mean rate of an ended one; 0 when not known."""
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
        # Steps so slow that only the last one lies within RECENT: the time between the last two.
        clock, step = self._pace[-2]
        return (last_step - step) / (last_clock - clock) if last_clock > clock and last_step > step else 0.0

    def elapsed(self, now: float) -> float:
        """Seconds of work on this run; while it starts or trains, with the seconds since the last line of the log."""
        # Before the first line of its attempt the last one may be days old.
        current = self.history.updated and self.history.status.attempt == self.state.attempt
        waiting = now - self.history.updated if self.state.state in ("starting", "running") and current else 0.0
        return self.history.seconds + max(0.0, waiting)

    def left(self) -> float | None:
        """Seconds until the last step at the present rate; None when not known."""
        rate = self.rate()
        missing = self.history.steps - self.history.step
        return missing / rate if rate > 0 and missing > 0 and self.state.alive else None

    def quiet(self, now: float | None = None) -> tuple[float, float] | None:
        """(seconds since the last step, usual seconds between two) of a run that is silent for long but lives; else None."""
        if self.state.state != "running" or not self._stepped or len(self._pace) < 3:
            return None
        clocks = [clock for clock, _ in self._pace]
        # The median: one long validation does not make a slow run of a fast one.
        usual = sorted(after - before for before, after in pairwise(clocks))[len(clocks) // 2 - 1]
        silence = (time.time() if now is None else now) - self._stepped
        return (silence, usual) if silence > max(QUIET, 20 * usual) else None  # a run with slow steps is silent between them
