"""A tuning as its screen shows it: its standing, the curves of its trials read in slices of time, the axes and cells of its settings."""

import contextlib
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from workbench import files
from workbench.formatting import number
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Dimension
from workbench.runs import lock
from workbench.runs.folded import Reading
from workbench.runs.history import Series
from workbench.runs.run import Run
from workbench.runs.tunings import FINISHED, Importance, Standing, Trial, Tuning

SLICE = 0.004
"""Seconds of reading one log before the next one gets its turn."""
MOST_VALUES = 10
"""Values of a setting that each have a row or a column of the heat map; of more, ranges are made."""
RANGES = 8


THINNED = 200
"""Points of a curve among many: more than a chart has columns."""
Points = tuple[list[float], list[float]]


class TrialLog:
    """The metric of one trial's log, read as it grows."""

    def __init__(self, run: Run, tag: str) -> None:
        self.tag = tag
        self._reading = Reading(run.events)

    @property
    def series(self) -> Series | None:
        """The metric so far."""
        return self._reading.history.series.get(self.tag)

    def read(self, budget: float) -> bool:
        """Read for so many seconds; whether the end of the log was reached, or it cannot be read: the run's own screen says why."""
        with contextlib.suppress(Problem):
            for _ in self._reading.slices(budget):
                pass
            return self._reading.tail.caught_up
        return True

    def keep(self) -> None:
        """Leave an index of a long log, so that it is read at once the next time."""
        if not self._reading.fresh:
            self._reading.keep()


class TuningFeed:
    """Everything that is known about a tuning."""

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self.plan = tuning.plan()
        self._stamp = self._now()
        self.standing: Standing = tuning.standing()
        self.importance: Importance = tuning.importance()
        self.curves: dict[int, Series] = {}
        """The metric over the steps, by trial."""
        self.version = 0
        """Changes with everything that is drawn."""
        self.waiting: list[int] = []
        """Trials whose logs are not read to their ends, those first whose curves are wanted first."""
        self._logs: dict[int, TrialLog] = {}
        self._bundles: dict[str, tuple[list[tuple[int, int]], Points]] = {}
        self._whole: set[int] = set()
        """Ended trials whose logs were read to their ends."""
        self._queue()

    @property
    def goal(self) -> str:
        return self.plan.tune.goal

    def ask(self) -> None:
        """Look again how it is, where it lives or its files have changed. Problem where they cannot be read."""
        stamp = self._now()
        unended = any(trial.run and not trial.ended for trial in self.standing.trials)
        if stamp == self._stamp and not unended:
            return
        self._stamp = stamp
        before = self.standing
        self.standing = self.tuning.standing()
        if self.standing != before:
            self.importance = self.tuning.importance()
            self.version += 1
        self._queue()

    def _now(self) -> tuple[object, ...]:
        """What changes with everything that its process does."""
        return files.stamp(self.tuning.events), lock.is_held(self.tuning.lock)

    def _queue(self) -> None:
        live = [trial.number for trial in self.standing.trials if trial.run and not trial.ended]
        ended = [trial.number for trial in self.standing.trials if trial.run and trial.ended and trial.number not in self._whole]
        self.waiting = [*live, *ended]

    @property
    def caught_up(self) -> bool:
        """Whether every log was read to its end."""
        return not self.waiting

    def read(self, budget: float) -> None:
        """Read the logs for about so many seconds."""
        until = time.monotonic() + budget
        trials = {trial.number: trial for trial in self.standing.trials}
        while self.waiting and time.monotonic() < until:
            trial = trials[self.waiting[0]]
            run = trial.place
            if run is None:  # deleted
                self._whole.add(self.waiting.pop(0))
                continue
            log = self._logs.setdefault(trial.number, TrialLog(run, self.plan.tune.metric))
            before = len(log.series or ())
            at_end = log.read(SLICE)
            if series := log.series:
                self.version += len(series) != before
                self.curves[trial.number] = series
            if not at_end:
                continue
            self.waiting.pop(0)
            if trial.ended:  # the rest of its history is of no use here
                log.keep()
                self._whole.add(trial.number)
                self._logs.pop(trial.number, None)

    def bundle(self, name: str, numbers: Sequence[int]) -> Points:
        """The curves of many trials as one line with gaps, thinned: 200 lines of their own would take 100 ms to draw. Kept by its name."""
        chosen = [(number, len(self.curves[number])) for number in numbers if self.curves.get(number)]
        made_from, points = self._bundles.get(name, ([], ([], [])))
        if made_from != chosen:
            points = ([], [])
            for number, length in chosen:
                series, stride = self.curves[number], -(-length // THINNED)
                for values, into in ((series.steps, points[0]), (series.values, points[1])):
                    into += [*values[:-1:stride], values[-1], math.nan]
            self._bundles[name] = chosen, points
        return points

    def trial(self, number: int) -> Trial | None:
        """The trial of that number."""
        return next((trial for trial in self.standing.trials if trial.number == number), None)

    def left(self) -> float | None:
        """Seconds until all trials will have ended, by the mean of those that have; None where that is not known."""
        took = [trial.seconds for trial in self.standing.trials if trial.ended and trial.seconds]
        missing = self.standing.planned - sum(trial.ended for trial in self.standing.trials)
        return sum(took) / len(took) * missing / self.plan.tune.parallel if took and missing > 0 else None

    def ranked(self) -> list[Trial]:
        """The finished trials with a value, the best first."""
        rated = [trial for trial in self.standing.trials if trial.state == FINISHED and trial.value is not None]
        sign = -1 if self.goal == "maximize" else 1
        return sorted(rated, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


# -- settings ------------------------------------------------------------------------------------------------------------------------------


def short(name: str) -> str:
    """A setting's name without its section."""
    return name.partition(".")[2] or name


def is_number(value: Any) -> bool:
    """Whether a value has a place on an axis of numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shown(value: Any) -> str:
    """A setting's value in a cell."""
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value), 40)


class Axis(NamedTuple):
    """Where the values of a setting, or of the metric, stand between 0 and 1."""

    name: str
    low: str
    high: str
    ends: tuple[float, float]
    log: bool = False
    choices: tuple[Any, ...] = ()
    """Of a setting that chooses: they stand in this order."""
    falls: bool = False
    """Whether the smaller value is on top: of a metric that is minimized."""

    def place(self, value: Any) -> float:
        """The place of a value; NaN where it has none."""
        if self.choices:
            places = [
                place
                for place, choice in enumerate(self.choices)
                if choice == value and isinstance(choice, bool) == isinstance(value, bool)
            ]
            return places[0] / max(1, len(self.choices) - 1) if places else math.nan
        if not is_number(value):
            return math.nan
        (low, high), at = self.ends, float(value)
        if self.log:
            if at <= 0:
                return math.nan
            low, high, at = math.log(low), math.log(high), math.log(at)
        share = (at - low) / (high - low) if high > low else 0.5
        share = min(1.0, max(0.0, share))
        return 1.0 - share if self.falls else share


def axis_of(name: str, dimension: Dimension, values: Iterable[Any]) -> Axis:
    """The axis of a setting, over its range, and further where a parent's trial lies outside."""
    if dimension.choose is not None:
        choices = tuple(dimension.choose)
        return Axis(short(name), shown(choices[0]), shown(choices[-1]), (0.0, 1.0), choices=choices)
    low, high = dimension.range or (0.0, 1.0)
    for value in values:
        if is_number(value) and (not dimension.log or value > 0):
            low, high = min(low, value), max(high, value)
    return Axis(short(name), shown(low), shown(high), (float(low), float(high)), log=dimension.log)


def metric_axis(name: str, values: Sequence[float], goal: str) -> Axis:
    """The axis of the metric, the best on top; logarithmic where the worst is far from the best."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    log = low > 0 and high > 20 * low
    falls = goal == "minimize"
    bottom, top = (high, low) if falls else (low, high)
    return Axis(name, number(bottom), number(top), (low, high), log=log, falls=falls)


# -- heat map ------------------------------------------------------------------------------------------------------------------------------


class Heat(NamedTuple):
    """The metric over two settings: `values[row][column]`, NaN where no trial lies; the largest value of `down` is the first row."""

    down: str
    across: str
    rows: list[str]
    columns: list[str]
    values: list[list[float]]
    strength: list[list[float]]
    """How good each is: 1 the best cell, 0 the worst."""
    words: str
    """What a cell shows of several trials."""
    cells: dict[int, tuple[int, int]]
    """The row and column of each trial."""


def numeric(space: dict[str, Dimension]) -> list[str]:
    """The settings with numbers: of them pairs have a heat map."""
    return [name for name, dimension in space.items() if dimension.choose is None or all(map(is_number, dimension.choose))]


def pairs(space: dict[str, Dimension], importance: Importance) -> list[tuple[str, str]]:
    """The pairs of numeric settings, the most important ones first."""
    names = numeric(space)
    names.sort(key=lambda name: -importance.shares.get(name, 0.0))
    return [(names[column], names[row]) for row in range(len(names)) for column in range(row)]


def heat(pair: tuple[str, str], space: dict[str, Dimension], trials: Sequence[Trial], goal: str) -> Heat | None:
    """The heat map of a pair; None where no finished trial has both."""
    across, down = pair
    placed = [trial for trial in trials if is_number(trial.params.get(across)) and is_number(trial.params.get(down))]
    placed = [trial for trial in placed if trial.value is not None and math.isfinite(trial.value)]
    if not placed:
        return None
    columns, column_names = _bins([trial.params[across] for trial in placed], space[across])
    rows, row_names = _bins([trial.params[down] for trial in placed], space[down])
    inside: dict[tuple[int, int], list[float]] = {}
    cells = {}
    for trial, row, column in zip(placed, rows, columns, strict=True):
        cells[trial.number] = place = (len(row_names) - 1 - row, column)
        inside.setdefault(place, []).append(trial.value or 0.0)
    alone = len(space) == 2
    best = max if goal == "maximize" else min
    one = {place: sum(values) / len(values) if alone else best(values) for place, values in inside.items()}
    low, high = min(one.values()), max(one.values())
    span = high - low

    def strength(value: float) -> float:
        share = (value - low) / span if span else 1.0
        return share if goal == "maximize" or not span else 1.0 - share

    grid = [[one.get((row, column), math.nan) for column in range(len(column_names))] for row in range(len(row_names))]
    strong = [[strength(value) if value == value else math.nan for value in row] for row in grid]
    several = any(len(values) > 1 for values in inside.values())
    words = ("mean" if alone else "best") if several else ""
    return Heat(short(down), short(across), row_names[::-1], column_names, grid, strong, words, cells)


def _bins(values: Sequence[float], dimension: Dimension) -> tuple[list[int], list[str]]:
    """For each value the place of its range, and the names of the ranges, rising; each value for itself where they are few."""
    few = sorted({*values, *(dimension.choose or ())})
    if len(few) <= MOST_VALUES:
        return [few.index(value) for value in values], [shown(value) for value in few]
    low, high = dimension.range or (few[0], few[-1])
    low, high = min(low, few[0]), max(high, few[-1])
    log = dimension.log and low > 0
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    width = (end - start) / RANGES
    places = [min(RANGES - 1, int(((math.log(value) if log else value) - start) / width)) for value in values]
    middles = [start + (place + 0.5) * width for place in range(RANGES)]
    return places, [f"{math.exp(middle) if log else middle:.2g}" for middle in middles]


def shade(trial: Trial, place: int, count: int) -> int:
    """How bright a trial is drawn: 0 where it did not finish, 1 to 3 the worst, middle and best third of those that did."""
    if trial.state != FINISHED:
        return 0
    return 3 - min(2, 3 * place // max(1, count))
