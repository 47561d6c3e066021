"""What of a run is worth a signal: its end, a bar passed, no step for long. The supervisor watches its run's log for it."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench import files, preferences
from workbench.events import CAUSES, Scalars, Status
from workbench.formatting import number, short
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import bars, lock, signals
from workbench.runs.history import higher_is_better
from workbench.runs.log import Tail
from workbench.runs.pace import Pace
from workbench.runs.run import Run
from workbench.runs.signals import Signal

EVERY = 2.0
"""Seconds between two looks at the log."""
SLICE = 0.05
"""Seconds of reading in one look: the output of the worker must not wait for long."""
WAYS = ("notify.command", "notify.webhook")
"""The preferences that say how signals are sent."""
WHOLES = ("comparison", "tuning")
"""What run.json names where a run is a part of it: its end is then no news, the end of the whole is."""


def give(new: Iterable[Signal]) -> None:
    """Keep signals, and start what sends them where this person wants that. OSError where they cannot be kept."""
    wanted = [signals.give(signal) for signal in new]
    # A way that cannot be used counts: the sender notes that.
    if True in wanted and any(preferences.is_given(way) for way in WAYS):
        subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.launch.notifying"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # It may wait for the minute to be over, while this process ends, or is ended with all its group.
            start_new_session=True,
            cwd="/",
        )


class Watch:
    """Reads the log of one attempt at a run as it grows."""

    def __init__(self, run: Run, attempt: int) -> None:
        self.run = run
        self.attempt = attempt
        self._tail = Tail(run.events)
        self._recipe: Recipe | None = None
        self._pace = Pace()
        self._figures: dict[str, float] = {}
        """The figure of each bar's metric, as `bars.figure`."""
        self._passed: set[str] = set()
        self._is_judged = True
        self._is_now = False
        """Whether the log is read up to this attempt: what an earlier one reached was told then."""
        self._looked = 0.0
        self._rested = time.monotonic()
        """When it was last seen in another state than `running`."""
        self._was_silent = False
        about = run.about()
        self._is_part = any(about.get(whole) for whole in WHOLES)
        created = about.get("created")
        self._created = created if isinstance(created, float | int) else 0.0

    def look(self) -> None:
        """Give signals for what is new; at most once in EVERY seconds."""
        now = time.monotonic()
        if now < self._looked + EVERY:
            return
        self._looked = now
        give([*self._read(SLICE), *self._silent(now)])

    def end(self, report: dict[str, Any]) -> None:
        """Give the signals for what the log's last lines say, and for how it ended."""
        new = []
        with contextlib.suppress(Problem):  # a log or a recipe that cannot be read is no reason to keep quiet about the end
            new = self._read(None)
        give([*new, *self._ended(report)])

    def _read(self, budget: float | None) -> list[Signal]:
        self._recipe = self._recipe or self.run.recipe()
        new = []
        for event in self._tail.read(budget):
            if isinstance(event, Scalars):
                self._pace.note(event.clock, event.step, event.clock)
                new += self._take(self._recipe, event)
            elif isinstance(event, Status):
                self._pace.begin(event.attempt)
                self._is_now = event.attempt >= self.attempt
                self._is_judged = self._is_judged and not (event.demo or event.variant)
        return [] if self._is_part else new

    def _take(self, recipe: Recipe, event: Scalars) -> list[Signal]:
        """The bars that are passed with these scalars."""
        new = []
        for bar in recipe.bar:
            value, name = event.values.get(bar.metric), f"{bar.metric} {bars.wanted(bar)}"
            if value is None or not self._is_judged or name in self._passed:
                continue
            if bar.metric == recipe.train.keep_best and (before := self._figures.get(bar.metric)) is not None:
                value = max(before, value) if higher_is_better(bar.metric) else min(before, value)
            self._figures[bar.metric] = value
            if bar.passed(value):
                self._passed.add(name)
                text = f"passed its bar: {bars.short_name(bar.metric)} {number(value)} is {bars.wanted(bar)}, at step {event.step:,}."
                new += [self._signal("bar", text, {bar.metric: value})] if self._is_now else []
        return new

    def _silent(self, now: float) -> list[Signal]:
        if lock.content(self.run.lock).get("state") != "running":
            self._rested = now
        least = float(preferences.get("notify.stall"))
        silence = self._pace.silence(now, least)
        # A run that was paused is silent since its last step too.
        is_silent = silence is not None and now > self._rested + least and self._is_now and self._tail.caught_up
        is_new, self._was_silent = is_silent and not self._was_silent, is_silent
        if not is_new or not silence:
            return []
        text = f"no step for {short(silence[0])}, usually {short(silence[1])}. Its process lives; it may be waiting."
        return [self._signal("stall", text)]

    def _ended(self, report: dict[str, Any]) -> list[Signal]:
        state, cause = str(report.get("state")), str(report.get("cause", ""))
        if self._is_part and (state != "failed" or cause == "not-finite"):
            return []
        words = [f"{state}: {CAUSES.get(cause, cause)}." if cause else f"{state}."]
        words += [str(report[name]) for name in ("message", "hint") if report.get(name)]
        if state == "failed":
            return [self._signal("failure", " ".join(words))]
        took = time.time() - self._created
        return [self._signal("end", " ".join(words))] if took >= float(preferences.get("notify.after")) else []

    def _signal(self, what: str, text: str, figures: dict[str, float | str] | None = None) -> Signal:
        return Signal(what=what, run=self.run.id, recipe=self.run.stem, text=f"{self.run.id} {text}", figures=figures or {})


def note(output: Path, text: str) -> None:
    """Write a line into what a run has printed: that a signal cannot be given must not stay silent, and is no reason to end the run."""
    with contextlib.suppress(OSError):  # a full disk loses other lines, too
        file = files.open_plain(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, f"dlwb: {one_line(text, 500)}\n".encode())
        finally:
            os.close(file)
