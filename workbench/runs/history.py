"""Folds a log's events into series and latest values: what panels, exports and comparisons look at. A rewind drops what came after it."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

from msgspec import UNSET

from workbench.events import Answer, AnyEvent, Mark, Scalars, Status, Tagged, split_tag
from workbench.runs.log import Tail
from workbench.runs.rows import Row
from workbench.runs.spans import Span, Spans

BETTER_HIGH = (
    "accuracy",
    "auc",
    "f1",
    "precision",
    "recall",
    "r2",
    "bleu",
    "chrf",
    "exact_match",
    "score",
    "similarity",
    "analogies",
    "_right",
)
BETTER_LOW = ("loss", "error", "mse", "mae", "perplexity", "bits", "frechet")


def higher_is_better(tag: str) -> bool:
    """Whether a larger value is better for this metric, by its name (accuracy, AUC, …); every other metric counts as a loss."""
    metric = split_tag(tag)[1].lower()
    return any(word in metric for word in BETTER_HIGH)


def is_directed(tag: str) -> bool:
    """Whether this metric's name says which values are better: a slope, a rate or a norm has no best value."""
    metric = split_tag(tag)[1].lower()
    return any(word in metric for word in (*BETTER_HIGH, *BETTER_LOW))


def _columns(rows: list[Row]) -> Iterator[tuple[int, str, "array[float]", list[bool]]]:
    """Of each tag in the rows: the place of its first value, the tag, its values, and which rows have one (empty: all of them)."""
    structs = [row.values for row in rows]
    kind = type(structs[0])
    for name, tag in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        column = list(map(attrgetter(name), structs))
        try:
            yield 0, tag, array("d", column), []
        except TypeError:  # UNSET is no number
            chosen = [value is not UNSET for value in column]
            if any(chosen):
                yield chosen.index(True), tag, array("d", compress(column, chosen)), chosen


class Series:
    """One scalar over time: `steps` and `values` grow together. `version` changes when points were dropped, so that caches start anew."""

    __slots__ = ("_range", "_ranged", "epochs", "steps", "values", "version")

    def __init__(self, version: int = 0) -> None:
        # Eight bytes a number, where a list of floats takes four times that.
        self.steps = array("d")
        self.values = array("d")
        self.epochs = array("d")
        self.version = version
        self._range = (math.inf, -math.inf)
        self._ranged = (version, 0)

    def __len__(self) -> int:
        return len(self.steps)

    def rewind(self, step: float) -> None:
        """Drop every point after `step`."""
        # Steps only grow in a series, so bisection finds the cut.
        keep = bisect_right(self.steps, step)
        if keep < len(self.steps):
            del self.steps[keep:], self.values[keep:], self.epochs[keep:]
            self.version += 1

    def extremes(self) -> tuple[float, float] | None:
        """Its smallest and largest finite value; only points that are new since the last call are looked at."""
        version, seen = self._ranged
        low, high = self._range
        if version != self.version or seen > len(self.values):
            seen, low, high = 0, math.inf, -math.inf
        new: Sequence[float] = self.values[seen:]
        # A sum tells in a tenth of the time that all are finite; where it overflows, they are looked at in vain.
        if not math.isfinite(sum(new)):
            new = list(filter(math.isfinite, new))
        self._range = (min(low, min(new, default=low)), max(high, max(new, default=high)))
        self._ranged = (self.version, len(self.values))
        return self._range if self._range[0] <= self._range[1] else None

    def restore_extremes(self, low: float, high: float) -> None:
        """Take the extremes of all its points, which were computed before: see `workbench.runs.folded`."""
        self._range, self._ranged = (low, high), (self.version, len(self.values))


class Samples:
    """The events of one tag (pictures, texts, a matrix) in their order: `latest` is shown, the rest can be scrubbed through."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events: list[Tagged] = []

    @property
    def latest(self) -> Tagged:
        return self.events[-1]


class History:
    """What a run's log amounts to. Feed it events in the order of their lines."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.samples: dict[str, Samples] = {}
        self.marks: list[Mark] = []
        self.answers: list[Answer] = []
        self.status = Status(state="")
        self.statuses: list[Status] = []
        self.step = 0
        self.epoch = 0.0
        self.started = 0.0
        """Wall time of the first record."""
        self.updated = 0.0
        """Wall time of the newest record."""
        self.steps = 0
        self.steps_per_epoch = 0
        self.attempt = 0
        self.device = ""
        self.variant = ""
        self.demo = ""
        self.warning = ""
        self.version = 0
        """Changes with every event; panels redraw when it does."""
        self.rewinds = 0
        """Never behind any series' version, so that a series made anew has one that its tag never had."""
        self.seconds = 0.0
        """Time that was worked on this run, over all attempts (monotonic, so that neither sleep nor a changed clock counts)."""
        self._clock = 0.0
        self._began = 0.0
        """The clock at the first line of its newest attempt."""
        self._worked = False
        self._paused = False
        self._spans = Spans()

    @property
    def spans(self) -> list[Span]:
        """When it trained, and on what."""
        return self._spans.upto(self._clock)

    def fold(self, events: Iterable[AnyEvent | Row]) -> int:
        """Take in events; returns how many there were."""
        before = self.version
        # Rows are nearly all of a log, and stand together: they are taken column by column.
        for kind, group in groupby(events, type):
            same: list[Any] = list(group)
            if issubclass(kind, Row):
                self._fold_rows(same)
            else:
                for event in same:
                    self._fold_one(event)
            self.version += len(same)
        return self.version - before

    def _fold_one(self, event: AnyEvent) -> None:
        step, clock = event.step, event.clock
        if type(event) is Scalars:
            if step < self.step:
                self._step_back(event)
            for tag, value in event.values.items():
                # A series without points is false; setdefault then returns that very one.
                series = self.series.get(tag) or self.series.setdefault(tag, Series(self.rewinds))
                series.steps.append(step)
                series.values.append(value)
                series.epochs.append(event.epoch)
        else:
            self._take(event)
        if step >= self.step:
            self.step, self.epoch = step, event.epoch
        self._pass_time((clock,))
        self.updated = event.time
        self.started = self.started or event.time

    def _fold_rows(self, rows: list[Row]) -> None:
        """What `_fold_one` does with the scalars of each, column by column, in a third of the time."""
        steps = [row.step for row in rows]
        # A step that falls rewinds.
        if steps[0] < self.step or steps != sorted(steps):
            for row in rows:
                self._fold_one(row.scalars())
            return
        all_steps, all_epochs = array("d", steps), array("d", [row.epoch for row in rows])
        # By the place of their first value, as new series stand in the order in which they came.
        for _, tag, values, chosen in sorted(_columns(rows), key=itemgetter(0)):
            series = self.series.get(tag) or self.series.setdefault(tag, Series(self.rewinds))
            series.values.extend(values)
            series.steps.extend(array("d", compress(all_steps, chosen)) if chosen else all_steps)
            series.epochs.extend(array("d", compress(all_epochs, chosen)) if chosen else all_epochs)
        self.step, self.epoch = steps[-1], rows[-1].epoch
        self._pass_time([row.clock for row in rows])
        self.updated = rows[-1].time
        self.started = self.started or next((row.time for row in rows if row.time), 0.0)

    def _pass_time(self, clocks: Sequence[float]) -> None:
        seconds, before, worked = self.seconds, self._clock, self._worked
        for clock in clocks:
            # A smaller clock is that of a machine that was restarted; a damaged one must not make the sum infinite.
            if clock > before and worked:
                seconds += min(clock - before, 1e12)
            before, worked = clock, not self._paused
        self.seconds, self._clock, self._worked = seconds, before, worked

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Tagged):
            self.samples.setdefault(event.tag, Samples()).events.append(event)
        elif isinstance(event, Status):
            self._turn(event)
        elif isinstance(event, Mark):
            self.marks.append(event)
        elif isinstance(event, Answer):
            self.answers.append(event)

    def _step_back(self, event: Scalars) -> None:
        """Steps only grow within an attempt: a point before the newest means that the line that rewinds was damaged."""
        for tag in event.values:
            if tag in self.series:
                self.series[tag].rewind(event.step - 1)
        self.rewinds += 1

    def _turn(self, status: Status) -> None:
        self._spans.turn(status, self._clock)
        # Between two attempts nobody works on it.
        if status.attempt != self.status.attempt or not self.statuses:
            self._worked, self._began = False, status.clock
        # The process is older than the first line that it wrote.
        self.seconds += max(0.0, min(status.prepared, 1e12) - (status.clock - self._began)) if status.prepared else 0.0
        if status.state == "running" and status.attempt > self.attempt:
            if status.attempt > 1:
                self._rewind(status.from_step)
            self.attempt = status.attempt
        for name in ("steps", "steps_per_epoch", "device", "variant", "demo", "warning"):
            # What a status leaves empty stays as it was: not each one repeats the plan.
            setattr(self, name, getattr(status, name) or getattr(self, name))
        self.status = status
        self._paused = status.state == "paused"
        self.statuses.append(status)

    def _rewind(self, step: int) -> None:
        for tag, series in self.series.items():
            # What was tested came after every checkpoint.
            series.rewind(-1 if tag.startswith("test/") else step)
        # A series without points would still have a chart.
        for tag in [tag for tag, series in self.series.items() if not series]:
            del self.series[tag]
        for tag, samples in list(self.samples.items()):
            samples.events = [event for event in samples.events if event.step <= step and not tag.startswith("test/")]
            if not samples.events:
                del self.samples[tag]
        self.marks = [mark for mark in self.marks if mark.step <= step]
        # `step` is -1 where a run begins anew.
        self.step = max(0, min(self.step, step))
        self.rewinds += 1

    def last(self, tag: str) -> float | None:
        """The newest value of a scalar."""
        series = self.series.get(tag)
        return series.values[-1] if series else None

    def best(self, tag: str) -> float | None:
        """The best finite value of a scalar so far, by `higher_is_better`."""
        series = self.series.get(tag)
        extremes = series.extremes() if series else None
        # False is 0, the smallest; True is 1, the largest.
        return None if extremes is None else extremes[higher_is_better(tag)]

    def charts(self) -> dict[str, list[str]]:
        """Scalar tags by chart: the same metric is the same chart, the machine's meters aside."""
        charts: dict[str, list[str]] = {}
        for tag in self.series:
            split, metric, _ = split_tag(tag)
            if split != "system":
                charts.setdefault(metric, []).append(tag)
        return charts

    def settings(self) -> dict[str, Any]:
        """Every live change so far, newest value by name."""
        return {name: value for mark in self.marks for name, value in mark.settings.items()}


def history_of(log: Path) -> History:
    """What a whole log amounts to. Problem where it cannot be read."""
    history = History()
    for events in Tail(log).rows():
        history.fold(events)
    return history
