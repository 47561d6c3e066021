"""A comparison as a sweep, its metric over one setting's values; and which variant validation chooses, and what that one reaches."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from workbench.formatting import number
from workbench.recipes.recipe import Recipe
from workbench.runs import bars, compare
from workbench.runs.compare import Arm, Arms, Interval, between, interval
from workbench.runs.comparisons import Comparison
from workbench.runs.summary import summary_of

LOG_FROM = 50
"""Ratio of the largest to the smallest value from which a sweep's axis is logarithmic."""
EPOCHS = "train.epochs"


class Place(NamedTuple):
    """A variant on the axis of a sweep. `mean` is infinite where one of its runs diverged; None where nothing was measured yet."""

    variant: str
    x: float
    mean: float | None
    low: float | None
    """The least and the largest value of its seeds that did not diverge."""
    high: float | None


class Sweep(NamedTuple):
    """The figures of a comparison over the values of its setting."""

    setting: str
    places: list[Place]
    """The variants that differ in this setting alone, by rising x."""
    others: list[Place]
    """Those that differ in more, as one with early stopping."""
    base: str
    """The first variant, to which all differences are."""
    logarithmic: bool
    words: str
    """What the axis is called."""

    def across(self, x: float) -> float:
        """Where a value stands on the axis."""
        return math.log10(x) if self.logarithmic else x


def sweep_of(comparison: Comparison, table: Arms) -> Sweep | None:
    """The sweep of a comparison whose recipe names the setting; None for any other."""
    plan = comparison.plan()
    if not plan.sweep:
        return None
    recipes = {name: comparison.recipe(place) for place, name in enumerate(plan.variants)}
    xs, meaning = numbers([_setting(recipe, plan.sweep) for recipe in recipes.values()])
    rest = [_without(recipe, plan.sweep) for recipe in recipes.values()]
    places: list[Place] = []
    others: list[Place] = []
    for arm, x, settings in zip(table.rows, xs, rest, strict=True):
        alone = settings == rest[0]
        # One that stops early stands where it stopped.
        x = x if alone or plan.sweep != EPOCHS else _trained(comparison, arm.name) or x
        values = list(arm.values.values())
        mean = math.inf if arm.diverged else arm.own.mean if arm.own else None
        (places if alone else others).append(Place(arm.name, x, mean, min(values, default=None), max(values, default=None)))
    places.sort(key=lambda place: place.x)
    span = [place.x for place in places]
    logarithmic = span[0] > 0 and span[-1] >= LOG_FROM * span[0]
    name = plan.sweep.partition(".")[2] + meaning
    return Sweep(plan.sweep, places, others, plan.variants[0], logarithmic, f"log10 of {name}" if logarithmic else name)


def numbers(values: Sequence[Any]) -> tuple[list[float], str]:
    """A number for each value of a setting, and what has to be said of that behind the setting's name.

    Numbers stand for themselves, lists of one number for that number, other lists for their length, and choices for their place.
    """
    if all(_is_number(value) for value in values):
        return [float(value) for value in values], ""
    if all(isinstance(value, list) for value in values):
        if all(len(value) == 1 and _is_number(value[0]) for value in values):
            return [float(value[0]) for value in values], ""
        return [float(len(value)) for value in values], ", how many"
    names = list(dict.fromkeys(map(str, values)))
    return [1.0 + names.index(str(value)) for value in values], ": " + ", ".join(f"{place} {name}" for place, name in enumerate(names, 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _setting(recipe: Recipe, dotted: str) -> Any:
    section, _, name = dotted.partition(".")
    return recipe.config.get(name) if section == "config" else getattr(recipe.train, name, None)


def _without(recipe: Recipe, dotted: str) -> dict[str, Any]:
    """All settings of a recipe but one, and those of computing, which change no figure's meaning."""
    settings = {"project": recipe.project}
    for section in ("config", "train"):
        settings |= {f"{section}.{name}": value for name, value in msgspec.to_builtins(getattr(recipe, section)).items()}
    return {name: value for name, value in settings.items() if name != dotted}


def _trained(comparison: Comparison, variant: str) -> float:
    """The mean epochs after which the finished runs of a variant ended; 0 where there is none."""
    runs = [part.place for part, state in comparison.standing().parts if part.variant == variant and state and state.state == "finished"]
    return statistics.fmean(summary_of(run).epoch for run in runs if run) if runs else 0.0


class Choice(NamedTuple):
    """The variant that validation chooses, and how sure that is."""

    metric: str
    best: Arm
    second: Arm
    overlap: bool | None
    """Whether their intervals overlap; None of one seed each, which has no interval."""
    difference: Interval | None
    """The best minus the second, paired by seed."""
    tested: str
    """The metric of the test that answers to the one it was chosen by."""
    result: Interval | None
    """The best one's figure there: the only test figure that is looked at. None where there is no test."""
    missing: bool
    """Whether variants were left aside, as seeds of them are missing or diverged."""


def choice(comparison: Comparison, table: Arms) -> Choice | None:
    """The best variant by a validation metric; None where another one is compared, or has no direction, or fewer than two are complete.

    The figure that it was chosen by is no result: of many noisy figures the best one is too good.
    """
    recipe = comparison.recipe(0)
    split, _, metric = table.metric.partition("/")
    if split != "valid" or not bars.has_direction(recipe, table.metric):
        return None
    complete = [arm for arm in table.rows if arm.own and len(arm.values) == table.seeds]
    if len(complete) < 2:
        return None
    ordered = sorted(complete, key=lambda arm: arm.own.mean if arm.own else 0.0, reverse=bars.is_higher_better(recipe, table.metric))
    best, second = ordered[:2]
    overlap = None
    if best.own and second.own and best.own.low is not None and best.own.high is not None:
        low, high = second.own.low, second.own.high
        overlap = low is None or high is None or (best.own.low <= high and low <= best.own.high)
    tested = f"test/{metric}"
    summaries = [summary_of(run) for part in comparison.parts() if part.variant == best.name and (run := part.place)]
    figures = [figure for summary in summaries if (figure := bars.figure(recipe, summary, tested)) is not None and math.isfinite(figure)]
    difference = interval([value - second.values[seed] for seed, value in best.values.items()])
    return Choice(table.metric, best, second, overlap, difference, tested, interval(figures), len(complete) < len(table.rows))


def words(chosen: Choice) -> list[str]:
    """The choice in sentences."""
    best, second = (f"{arm.name}, {_figure(arm.own)}" for arm in (chosen.best, chosen.second))
    if chosen.overlap is None:
        told = "one seed each cannot tell them apart"
    else:
        told = f"their 95 % intervals {'overlap' if chosen.overlap else 'do not overlap'}; paired by seed "
        told += "there is no difference" if chosen.difference is None or chosen.difference.holds_zero else "the best is better"
    of = " of those that are complete" * chosen.missing
    sentences = [f"best{of} by {bars.short_name(chosen.metric)}: {best}; second: {second}: {told}."]
    if chosen.result:
        figure = f"{bars.short_name(chosen.tested)} {_figure(chosen.result)}"
        sentences.append(f"what {chosen.best.name} reaches: {figure}; the figure that it was chosen by is too good.")
    return sentences


def _figure(spread: Interval | None) -> str:
    shown = number(spread.mean) if spread else compare.NOT_SET
    return f"{shown} ({between(spread)})" if spread and spread.low is not None else shown
