"""A run's figures against its recipe's bars and the course's figures. A demo, or a run on stand-in data, is not judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from workbench.events import split_tag
from workbench.recipes.recipe import Bar, Recipe
from workbench.runs.history import higher_is_better, is_directed

if TYPE_CHECKING:
    from workbench.runs.summary import Summary


class Judged(NamedTuple):
    """One bar of a recipe and a run's figure for it."""

    bar: Bar
    value: float | None
    passed: bool | None
    """None: not measured yet, or not judged."""


def figure(recipe: Recipe, summary: Summary, metric: str) -> float | None:
    """A run's figure for a metric, of the weights that it keeps: the best value of `keep_best`, the last value of any other metric."""
    value = (summary.best if metric == recipe.train.keep_best else summary.last).get(metric)
    return None if value is None else float("nan") if value == "None" else float(value)


def is_judged(summary: Summary) -> bool:
    """Whether bars and the course's figures count for this run."""
    return not (summary.demo or summary.variant)


def judge(recipe: Recipe, summary: Summary) -> list[Judged]:
    """Every bar of the recipe, compared with the run's figure."""
    verdicts = []
    for bar in recipe.bar:
        value = figure(recipe, summary, bar.metric)
        verdicts.append(Judged(bar, value, bar.passed(value) if value is not None and is_judged(summary) else None))
    return verdicts


def wanted(bar: Bar) -> str:
    """A bar in signs: ≥ 0.98."""
    signs = [("≥", bar.at_least), ("≤", bar.at_most)]
    return " ".join(f"{sign} {limit:g}" for sign, limit in signs if limit is not None)


def headline(recipe: Recipe, summary: Summary | None = None) -> str:
    """The one metric that represents a run: of its bar, the course's figure or `keep_best`; else a measured loss."""
    named = [*(bar.metric for bar in recipe.bar), *(reference.metric for reference in recipe.reference)]
    named += [recipe.train.keep_best, "valid/loss", "train/loss"]
    measured = summary.best if summary else {}
    return next((metric for metric in named if metric in measured), "") if summary else next(filter(None, named))


class Best(NamedTuple):
    """The best figure of a recipe's runs."""

    metric: str
    value: float
    variant: str
    """The stand-in data it was measured on, which no bar applies to; "" for the recipe's own data."""


def compared(recipe: Recipe) -> str:
    """What a comparison compares; "" for other recipes."""
    if not recipe.compare:
        return ""
    return recipe.compare.metric or next((bar.metric for bar in recipe.bar), "") or recipe.train.keep_best or headline(recipe)


def best_of(recipe: Recipe, summaries: list[Summary]) -> Best | None:
    """The best figure for the headline metric: of the runs that are judged; else of the runs on the same stand-in data as the first."""
    real = [summary for summary in summaries if not summary.demo]
    variant = "" if any(map(is_judged, real)) else next((summary.variant for summary in real), "")
    counted = [summary for summary in real if summary.variant == variant]
    # Runs may have measured different metrics; the first one with a value decides.
    for metric in dict.fromkeys(headline(recipe, summary) for summary in counted):
        values = [value for summary in counted if (value := figure(recipe, summary, metric)) is not None and value == value]
        if metric and values:
            return Best(metric, (max if is_higher_better(recipe, metric) else min)(values), variant)
    return None


def is_higher_better(recipe: Recipe, metric: str) -> bool:
    """Whether a higher value is better: by the recipe's bar for the metric, else by the metric's name."""
    for bar in recipe.bar:
        if bar.metric == metric:
            return bar.at_least is not None
    return higher_is_better(metric)


def has_direction(recipe: Recipe, metric: str) -> bool:
    """Whether some values of a metric are better than others: by its bar, as what the recipe keeps the best of, or by its name."""
    return metric == recipe.train.keep_best or any(bar.metric == metric for bar in recipe.bar) or is_directed(metric)


def has_best(recipe: Recipe, metric: str) -> bool:
    """Whether `Summary.best` is the best value of the metric: the summary goes by its name alone."""
    return has_direction(recipe, metric) and is_higher_better(recipe, metric) == higher_is_better(metric)


def short_name(metric: str) -> str:
    """A metric's short name before a figure: `valid loss` for `valid/loss`."""
    split, name, series = split_tag(metric)
    return " ".join(part for part in (split, name, series) if part)
