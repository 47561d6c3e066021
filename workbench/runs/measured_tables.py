"""Tables of the measured results: what the seeds of a recipe, or the variants of a comparison, reached, and in which time."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from workbench import paths
from workbench.events import split_tag
from workbench.formatting import duration, number
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Recipe
from workbench.runs import bars as verdict
from workbench.runs.measured import Result, named


def groups(results: Sequence[Result]) -> list[list[Result]]:
    """Groups of results that may be averaged: seeds of one recipe on one device with the same data."""
    grouped: dict[Any, list[Result]] = {}
    for result in results:
        grouped.setdefault((result.recipe, result.device, result.threads, result.variant), []).append(result)
    return list(grouped.values())


class Figure(NamedTuple):
    """What the seeds of a recipe reached in one metric, as tables show it; "" where there is nothing to say."""

    name: str
    mean: str
    range: str
    """From the lowest to the highest of its seeds."""
    seeds: int
    bars: str
    course: str


def figures(recipe: Recipe, seeds: list[Result]) -> list[Figure]:
    """The metrics of one group that its recipe names, else what the weights were chosen by, tested; of a comparison each variant's one."""
    if metric := verdict.compared(recipe):
        assert recipe.compare
        by_arm = {
            name: [each.figures[metric] for each in seeds if each.arm == name and metric in each.figures]
            for name in recipe.compare.variants
        }
        return [_figure(name, values, "", "") for name, values in by_arm.items() if values]
    tested = f"test/{split_tag(recipe.train.keep_best)[1]}"
    shown = [metric for metric in named(recipe) if metric in seeds[0].figures]
    shown = shown or [tested if tested in seeds[0].figures else next(iter(seeds[0].figures))]
    rows = []
    for metric in shown:
        values = [result.figures[metric] for result in seeds if metric in result.figures]
        bars = []
        for bar in recipe.bar:
            if bar.metric == metric:
                count = sum(map(bar.passed, values))
                how = f"passed by {count} of {len(values)}" if len(values) > 1 else "passed" if count else "missed"
                bars.append(f"{verdict.wanted(bar)} {'not judged' if seeds[0].variant else how}")
        course = [
            number(reference.value) + " (others)" * (reference.whose != "course")
            for reference in recipe.reference
            if reference.metric == metric
        ]
        rows.append(_figure(plain_name(metric), values, "; ".join(bars), "; ".join(course)))
    return rows


def plain_name(metric: str) -> str:
    """`test accuracy`, as tables name a metric."""
    return verdict.short_name(metric).replace("_", " ")


def _figure(name: str, values: Sequence[float], bars: str, course: str) -> Figure:
    spread = f"{number(min(values))}–{number(max(values))}" if len(values) > 1 else ""
    return Figure(name, number(statistics.fmean(values)), spread, len(values), bars, course)


def whole_time(seeds: Sequence[Result]) -> str:
    """The median time from the process's start to the last test, `0:14 (25:02 cold)`; `0:11 + preparation` where that was not recorded."""
    training = statistics.median(result.seconds for result in seeds)
    warm, cold = [result.ready for result in seeds if result.ready], [result.cold for result in seeds if result.cold]
    first_time = f"{duration(training + statistics.median(cold))} cold" if cold else ""
    if warm:
        return duration(training + statistics.median(warm)) + (f" ({first_time})" if first_time else "")
    return first_time or f"{duration(training)} + preparation"


def wall_time(recipe: Recipe, seeds: Sequence[Result]) -> str:
    """`whole_time`, of a comparison of one of its runs; for runs on the CPU of 10 s or more also the median CPU time.

    Other work on the machine affects that less.
    """
    took = whole_time(seeds)
    shares = [result.seconds * result.cpu / 100 for result in seeds if result.cpu and result.seconds >= 10 and result.device == "cpu"]
    took = f"{took} (CPU {duration(statistics.median(shares))})" if shares else took
    return f"{took} a run" if recipe.compare else took


def machine(result: Result) -> str:
    """What it was trained on, and with how many threads."""
    return result.device if result.device != "cpu" else f"CPU, {result.threads} thread{'s' if result.threads > 1 else ''}"


def markdown(results: Sequence[Result]) -> str:
    """The README's table of these results, and a sentence on the machine."""
    folder = paths.shipped("recipes")
    explored: list[str] = []
    lines = ["| recipe | what | here | bar | time | on | course |", "|---|---|---|---|---|---|---|"]
    for path in sorted(folder.rglob("*.yaml"), key=lambda source: source.relative_to(folder).parts):
        loaded = load_recipe(path, describe=False)
        recipe = loaded.recipe
        if not loaded.trains:
            explored.append(f"`{path.stem}` ({recipe.title})")
            continue
        mine = groups([result for result in results if result.recipe == path.stem])
        for seeds in mine:
            rows = figures(recipe, seeds)
            reached = [f"{row.name} {row.mean}" + (f" ({row.range}, {row.seeds} seeds)" if row.range else "") for row in rows]
            reached += [f"with {seeds[0].variant}"] if seeds[0].variant else []
            compared = f"{plain_name(verdict.compared(recipe))}: " if recipe.compare else ""
            cells = [
                compared + "; ".join(reached),
                "; ".join(row.bars for row in rows if row.bars),
                wall_time(recipe, seeds),
                machine(seeds[0]),
            ]
            cells.append("; ".join(row.course for row in rows if row.course))
            lines.append(f"| `{path.stem}` | {recipe.title} | {' | '.join(cells)} |")
        if not mine:
            lines.append(f"| `{path.stem}` | {recipe.title} | not measured | | | | |")
    answers = f"Explored, with nothing to train: {', '.join(explored)}."
    return "\n".join([*lines, "", answers, "", _conditions(results)])


def _conditions(results: Sequence[Result]) -> str:
    """Sentences on the machine, from what the runs recorded."""
    if not results:
        return "Nothing is measured yet."
    machines = sorted({result.processor for result in results if result.processor})
    loads = [result.load for result in results if result.load is not None]
    versions = sorted({result.versions["torch"] for result in results if "torch" in result.versions})
    sentence = f"Measured on {' and '.join(machines) or 'machines unknown'}"
    sentence += f" with PyTorch {' and '.join(versions)}" if versions else ""
    sentence += f", other work beside it (load average {min(loads):.1f} to {max(loads):.1f})" if loads else ""
    sentence += ". Time is from the start of the process to the last test, the median of the seeds; cold is the first time, when data is"
    sentence += " fetched and features are computed that later runs find; where the time before the first step was not recorded, it says"
    sentence += " `+ preparation`; CPU is what the run had of the processors from its first step on."
    return f"{sentence} Each run stands in `data/results.json`."
