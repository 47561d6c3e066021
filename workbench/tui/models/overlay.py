"""Many runs in one chart, without a widget: who is in which group, who has which colour, and the lines of each metric."""

import math
from array import array
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from workbench.formatting import shown
from workbench.problems import one_line
from workbench.runs import compare
from workbench.runs.compare import NOT_SET, Setting, Side
from workbench.runs.effects import Effects, effects, metric_of
from workbench.runs.history import Series
from workbench.runs.views import Look
from workbench.tui.charts import ramp
from workbench.tui.charts.chart import Line
from workbench.tui.charts.plot import SLOTS

AXES: tuple[Literal["step", "epoch", "second"], ...] = ("step", "epoch", "second")
"""What the curves are drawn over. Of batches of several sizes, epochs compare what was seen, seconds what it cost."""
SEED = "seed"
"""Groups the runs that differ in their seed alone."""
NAMED = 8
"""Most lines whose names stand in a legend."""


class Group(NamedTuple):
    """Runs that are one curve: places among all runs."""

    name: str
    places: list[int]
    slot: int


class Overlay:
    """The runs of a compare screen. `follow` takes what is new of them; `look` says how they are drawn."""

    def __init__(self, look: Look | None = None) -> None:
        self.look = look or Look()
        self.sides: list[Side] = []
        self.settings: list[Setting] = []
        """Those that differ, by their effect."""
        self.effects = Effects("", [], [], "")
        self.fixed: list[Group] | None = None
        """The groups of a comparison: its variants."""
        self.chosen: int | None = None
        """The place of the run under the line cursor."""
        self._known: tuple[object, ...] = ()
        self._differing: list[Setting] = []
        self._shifted: dict[int, tuple[tuple[object, ...], Series]] = {}
        """By the identity of a series the same over another axis, with what it was made from."""
        self._spreads: dict[tuple[str, str], tuple[tuple[object, ...], compare.Spread]] = {}
        """By tag and group the spread of its runs, with what it was made from: a chart compares its data by identity."""

    def follow(self, sides: Sequence[Side]) -> None:
        """Take the runs as they are now."""
        self.sides = list(sides)
        marks = [(side.run, len(side.history.marks), side.summary.device, side.summary.variant, side.summary.demo) for side in sides]
        figures = [side.summary.best | side.summary.last for side in sides]
        if self._known == (known := (marks, figures)):
            return
        # The settings cost a look at each run's files, so only what changes them asks for them again.
        if not self._known or self._known[0] != marks:
            self._differing = compare.differing(self.sides) if self.fixed is None else []
        self._known = known
        self.effects = effects(self.sides, self._differing, metric_of(self.sides))
        self.settings = [effect.setting for effect in self.effects.ranked]
        if self.chosen is not None and self.chosen >= len(sides):
            self.chosen = None

    @property
    def metric(self) -> str:
        """The metric that runs are sorted by."""
        return self.effects.metric

    def setting(self, name: str) -> Setting | None:
        """The setting of that name, where it differs."""
        return next((setting for setting in self.settings if setting.name == name), None)

    @property
    def order(self) -> list[int]:
        """The places of the runs, the best first; without a figure last."""
        values, first = self.effects.values, next(iter(self.sides), None)
        if first is None:
            return []
        from workbench.runs import bars

        down = bars.is_higher_better(first.recipe, self.metric)

        def worth(place: int) -> tuple[bool, float]:
            value = values[place] if place < len(values) else None
            return (True, 0.0) if value is None or value - value != 0 else (False, -value if down else value)

        return sorted(range(len(self.sides)), key=worth)

    # -- colours ---------------------------------------------------------------------------------------------------------------

    def slots(self) -> list[int]:
        """The colour of each run."""
        setting = self.setting(self.look.color)
        if self.fixed is not None:
            by_place = {place: group.slot for group in self.fixed for place in group.places}
            return [by_place.get(place, SLOTS - 1) for place in range(len(self.sides))]
        if setting is None:
            return [place % ramp.CATEGORIES for place in range(len(self.sides))]
        if numbers := _numbers(setting):
            return ramp.slots(numbers)[0]
        values = list(dict.fromkeys(setting.values))
        return [values.index(value) % ramp.CATEGORIES for value in setting.values]

    def key(self) -> list[tuple[str, int | None]]:
        """What the colours mean, as words with a slot each (None: plain words); empty where each run has its own."""
        setting = self.setting(self.look.color)
        if setting is None or self.fixed is not None:
            return []
        numbers = _numbers(setting)
        if not numbers:
            pairs = dict(zip(setting.values, self.slots(), strict=True))
            return [(f"{short(setting.name)}  ", None), *((f"━ {one_line(value, 20)}  ", slot) for value, slot in pairs.items())]
        known = [value for value in numbers if value is not None]
        _, log = ramp.slots(numbers)
        bar: list[tuple[str, int | None]] = [("━━", ramp.CATEGORIES + round(step * (ramp.STEPS - 1) / 7)) for step in range(8)]
        ends = f"{short(setting.name)}{' (log)' * log}  {shown(min(known))} ", f" {shown(max(known))}"
        missing: list[tuple[str, int | None]] = [("   ━ not set", SLOTS - 1)] if None in numbers else []
        return [(ends[0], None), *bar, (ends[1], None), *missing]

    # -- groups ----------------------------------------------------------------------------------------------------------------

    def groups(self) -> list[Group]:
        """The groups that are drawn; empty where each run is a curve of its own."""
        if self.fixed is not None or not self.look.groups:
            return self.fixed or []
        keys, names = self._seeds() if self.look.groups == SEED else self._values()
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        if (setting := self.setting(self.look.groups)) and (numbers := _numbers(setting)):
            ends = {key: math.inf if (value := numbers[members[0]]) is None else value for key, members in places.items()}
            places = dict(sorted(places.items(), key=lambda item: ends[item[0]]))
        slots = self.slots() if self.look.color and self.setting(self.look.color) else None
        return [
            Group(names[key], members, slots[members[0]] if slots else number % ramp.CATEGORIES)
            for number, (key, members) in enumerate(places.items())
        ]

    def _values(self) -> tuple[list[str], dict[str, str]]:
        setting = self.setting(self.look.groups)
        values = setting.values if setting else [""] * len(self.sides)
        return values, {value: f"{short(self.look.groups)} {one_line(value, 24)}".strip() for value in values}

    def _seeds(self) -> tuple[list[str], dict[str, str]]:
        """Runs that differ in nothing but their seed are of one key."""
        differ = [setting for setting in self.settings if setting.name != "seed" and setting.raw is not setting.values]
        keys = [str([one.recipe.project, *(setting.values[place] for setting in differ)]) for place, one in enumerate(self.sides)]
        names = {}
        for place, key in enumerate(keys):
            words = ", ".join(f"{short(setting.name)} {setting.values[place]}" for setting in differ[:2])
            names[key] = one_line(words or self.sides[place].run.stem, 40)
        return keys, names

    # -- lines -----------------------------------------------------------------------------------------------------------------

    def curves(self, tag: str) -> list[Line]:
        """The lines of a metric's chart: one for each run that logs it, or for each group; the chosen run's over them."""
        slots, lines = self.slots(), []
        places = [place for place, side in enumerate(self.sides) if tag in side.history.series]
        groups = self.groups()
        named = len(groups or places) <= NAMED
        for group in groups:
            members = [place for place in group.places if place in places]
            if not members:
                continue
            if not self.look.bands:
                lines += [Line(group.name, self.over_axis(place, tag), group.slot, faint=True) for place in members]
        for group in groups:
            if members := [place for place in group.places if place in places]:
                # While some still train the mean is that of those that have finished: it must not end where the last one stands.
                finished = [place for place in members if self.sides[place].history.status.state == "finished"] or members
                spread = self._spread(tag, group, finished)
                band = (spread.low, spread.high) if self.look.bands and len(finished) > 1 else None
                lines.append(Line(group.name, (spread.steps, spread.mean), group.slot, band=band, named=named))
        others = [] if groups else [place for place in places if place != self.chosen]
        behind = self.chosen is not None and self.chosen in places
        lines += [Line(self.sides[place].name, self.over_axis(place, tag), slots[place], faint=behind, named=named) for place in others]
        if behind and self.chosen is not None:
            lines.append(Line(self.sides[self.chosen].name, self.over_axis(self.chosen, tag), slots[self.chosen]))
        return lines

    def over_axis(self, place: int, tag: str) -> Series:
        """A run's series over the chosen axis. A log has no time for each value: the seconds are the run's mean pace."""
        side = self.sides[place]
        series = side.history.series[tag]
        if self.look.axis == AXES[0]:
            return series
        pace = 0.0 if self.look.axis == "epoch" else max(0.0, side.summary.seconds - side.summary.ready) / max(1, side.summary.step)
        made_from = (self.look.axis, series.version, len(series), pace)
        before, shifted = self._shifted.get(id(series), ((), series))
        if before != made_from:
            shifted = Series()
            # Copies: a view of the arrays would keep them from growing.
            steps = np.frombuffer(series.epochs[:]) if self.look.axis == "epoch" else np.frombuffer(series.steps[:]) * pace
            shifted.steps = array("d", steps.tobytes())
            shifted.values, shifted.epochs = series.values[:], series.epochs[:]
            self._shifted[id(series)] = made_from, shifted
        return shifted

    def _spread(self, tag: str, group: Group, places: Sequence[int]) -> compare.Spread:
        series = [self.over_axis(place, tag) for place in places]
        made_from = tuple((id(one), one.version, len(one)) for one in series)
        before, spread = self._spreads.get((tag, group.name), ((), None))
        if spread is None or before != made_from:
            spread = compare.spread_line(series)
            self._spreads[tag, group.name] = made_from, spread
        return spread

    # -- the line cursor ---------------------------------------------------------------------------------------------------------

    def choose(self, by: int) -> None:
        """Move the line cursor along the runs, the best first."""
        order = self.order
        if order:
            place = order.index(self.chosen) + by if self.chosen in order else (0 if by > 0 else -1)
            self.chosen = order[place % len(order)]

    def nearest(self, tag: str, x: float, y: float | None = None) -> int | None:
        """The run whose value at an x is nearest to y."""
        near: list[tuple[float, int]] = []
        for place, side in enumerate(self.sides):
            if tag in side.history.series:
                series = self.over_axis(place, tag)
                at = max(0, int(np.searchsorted(series.steps, x, "right")) - 1)
                if len(series):
                    near.append((abs(series.values[at] - (y or 0.0)), place))
        return min(near)[1] if near else None

    def value_at(self, place: int, tag: str, x: float | None) -> tuple[float, float] | None:
        """A run's x and value at an x, or its last; None where it does not log that."""
        if tag not in self.sides[place].history.series:
            return None
        series = self.over_axis(place, tag)
        at = len(series) - 1 if x is None else int(np.searchsorted(series.steps, x, "right")) - 1
        return (series.steps[at], series.values[at]) if 0 <= at < len(series) else None


def _numbers(setting: Setting) -> list[float | None]:
    """The values of a setting as numbers, where all that are set are some; empty for words, lists and truths."""
    if any(isinstance(value, bool) or not isinstance(value, int | float | None) for value in setting.raw):
        return []
    return [None if value is None else float(value) for value in setting.raw]


def short(name: str) -> str:
    """A setting's name without its section, where that is `config`."""
    return name.removeprefix("config.")


__all__ = ["AXES", "NOT_SET", "SEED", "Group", "Overlay", "short"]
