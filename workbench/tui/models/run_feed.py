"""Feed: follows one run for the screens: its log in slices of time, its state, its rate, and whether it is silent for long."""

import time
from typing import Any

from workbench.events import Answer, AnyEvent, Scalars, Status
from workbench.problems import Problem
from workbench.runs.folded import Reading
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.pace import PACE, Pace
from workbench.runs.rows import Row
from workbench.runs.run import Run
from workbench.runs.state import State, state_of

# Less than one frame of a 60 Hz screen.
SLICE = 0.012
"""Seconds of reading in one slice: short, so that a key pressed meanwhile is answered at once."""


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
        self.history = History()
        self.tail = Tail(self.run.events)
        self._reading: Reading | None = None
        self._kept = 0
        """How many events the log's index holds, if it has one."""
        self._pace = Pace()
        self._attempt = 0

    @property
    def caught_up(self) -> bool:
        return self.tail.caught_up or bool(self.problem)

    def read(self, budget: float | None = SLICE) -> int:
        """Read the log for about `budget` seconds; returns the number of new events."""
        reading = self._reading or self._open()
        before = self.history.version
        newest: list[AnyEvent | Row] = []
        try:
            for events in reading.slices(budget):
                newest = [*newest, *events][-PACE:]
        except Problem as problem:
            self.problem = str(problem)
        self._follow_pace(newest)
        # So that the next reader need not read all of it; of a living run again each time it has grown by half.
        if self.tail.caught_up and self.history.version > 1.5 * self._kept:
            reading.pace, reading.stepped = self._pace.steps, self._pace.stepped
            reading.keep()
            self._kept = self.history.version
        return self.history.version - before

    def _open(self) -> Reading:
        """Begin where the log's index ends, if it has one."""
        self._reading = reading = Reading(self.run.events)
        self.history, self.tail = reading.history, reading.tail
        if reading.pace:
            self._attempt = self.history.status.attempt
            self._pace = Pace(reading.pace, reading.stepped, self._attempt)
        self._kept = self.history.version if reading.fresh else 0
        return reading

    def _follow_pace(self, events: list[AnyEvent | Row]) -> None:
        """Note the times of the newest steps; steps of an earlier attempt say nothing about the present rate."""
        newest: list[Scalars | Row] = []
        for event in reversed(events):
            if isinstance(event, Scalars | Row):
                newest.append(event)
            elif isinstance(event, Status) and event.attempt != self._attempt:
                break
        self._attempt = self.history.status.attempt
        self._pace.begin(self._attempt)
        for event in reversed(newest):
            self._pace.note(event.clock, event.step, event.time)

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
        return self._pace.rate()

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
        return self._pace.silence(time.time() if now is None else now) if self.state.state == "running" else None
