"""How much each setting that differs between runs goes with a metric: what the compare screen and `dlwb compare` sort by."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from workbench.recipes.recipe import Recipe
from workbench.runs import bars
from workbench.runs.compare import Setting, Side

FEW = 8
"""With fewer runs chance alone gives large effects."""
LEAST = 4
"""With fewer nothing is computed."""


class Effect(NamedTuple):
    """A setting, and the share of the metric's variance that goes with it; None where these runs cannot tell."""

    setting: Setting
    share: float | None
    why: str = ""
    """Why they cannot tell."""


class Effects(NamedTuple):
    """The settings by their effect on a metric, the largest first."""

    metric: str
    values: list[float | None]
    """The metric of each run; None where it was not measured."""
    ranked: list[Effect]
    remark: str
    """What has to be said of how it is measured, in one sentence."""


def metric_of(sides: Sequence[Side]) -> str:
    """The metric by which runs are compared: what they keep the best of, else one of validation; a test metric only where no other is.

    "" where nothing was measured. Settings that are chosen by a test metric make that metric too good.
    """
    measured = [tag for side in sides for tag in side.summary.last]
    wanted = [side.recipe.train.keep_best for side in sides]
    for split in ("valid", "train", "test"):
        tags = [tag for tag in measured if tag.startswith(f"{split}/")]
        wanted += [tag for side in sides for bar in side.recipe.bar if (tag := bar.metric) in tags]
        wanted += sorted(tags, key=lambda tag: (not any(bars.has_direction(side.recipe, tag) for side in sides), "loss" not in tag))
    return next((tag for tag in dict.fromkeys(wanted) if measured.count(tag) > 1), next(iter(measured), ""))


def effects(sides: Sequence[Side], settings: Sequence[Setting], metric: str) -> Effects:
    """The settings that differ, sorted by their effect on a metric; those of which nothing can be told come last, as they were."""
    values = [bars.figure(side.recipe, side.summary, metric) for side in sides]
    recipe = next((side.recipe for side in sides), Recipe(title="", project=""))
    places = [place for place, value in enumerate(values) if value is not None]
    heights = ranks([_height(values[place], recipe, metric) for place in places])
    measured = [_effect(setting, [setting.raw[place] for place in places], heights) for setting in settings]
    measured.sort(key=lambda effect: -1.0 if effect.share is None else effect.share, reverse=True)
    return Effects(metric, values, measured, _remark(metric, len(places), measured))


def _height(value: float | None, recipe: Recipe, metric: str) -> float:
    """A value for its rank: what is not finite is worse than all others."""
    worst = -math.inf if bars.is_higher_better(recipe, metric) else math.inf
    return worst if value is None or not math.isfinite(value) else value


def _remark(metric: str, runs: int, measured: Sequence[Effect]) -> str:
    name = bars.short_name(metric)
    if not measured:
        return ""
    if runs < LEAST:
        return f"{runs} run{'s' * (runs != 1)} with {name or 'a metric'} cannot tell which setting matters."
    few = f" With {runs} runs much of it may be chance." if runs < FEW else ""
    return f"Effect: the share of the variance of {name}, by rank, that goes with a setting; settings that change together share it.{few}"


def _effect(setting: Setting, raw: Sequence[Any], heights: Sequence[float]) -> Effect:
    """The adjusted share of variance: of repeated values Kruskal and Wallis' ε² (Tomczak 2014), else of numbers Spearman's ρ².

    Both are of ranks, so that one diverged run does not decide, and are adjusted for the number of values: chance alone gives 0.
    """
    runs = len(raw)
    if runs < LEAST:
        return Effect(setting, None, "too few runs")
    groups: dict[str, list[float]] = {}
    for value, height in zip(raw, heights, strict=True):
        groups.setdefault(repr(value), []).append(height)
    total = sum((height - statistics.fmean(heights)) ** 2 for height in heights)
    if len(groups) < 2 or not total:
        return Effect(setting, None, "all the same" if len(groups) < 2 else "no difference in the metric")
    if runs >= 2 * len(groups):
        within = sum((height - statistics.fmean(group)) ** 2 for group in groups.values() for height in group)
        return Effect(setting, max(0.0, 1 - within / total * (runs - 1) / (runs - len(groups))))
    numbers = [float(value) for value in raw if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < runs:
        return Effect(setting, None, "too many values for so few runs")
    rho = statistics.correlation(ranks(numbers), heights)
    return Effect(setting, max(0.0, 1 - (1 - rho**2) * (runs - 1) / (runs - 2)))


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1; equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            found[place] = (start + 1 + end) / 2
        start = end
    return found
