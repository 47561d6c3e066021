"""The page of a lesson, without colours: what it teaches, what to try, watch and read next, figures, data, past runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from workbench import formatting
from workbench.problems import Problem, one_line
from workbench.recipes import hints
from workbench.runs import bars, standing

if TYPE_CHECKING:
    from workbench.recipes.course import ReadAbout
    from workbench.recipes.load import Loaded
    from workbench.recipes.recipe import Recipe
    from workbench.runs.standing import Past

MOST_RUNS = 12


class Section(NamedTuple):
    """A part of a page: lines with a label before each, "" for none."""

    heading: str
    lines: list[tuple[str, str]]


def page(
    loaded: Loaded, past: Sequence[Past], explored: Collection[str] = (), title_of: Callable[[str], str] = lambda name: ""
) -> list[Section]:
    """The page of a recipe: `past` are its runs, the newest first; `title_of` gives the title of what is named under `next`."""
    recipe = loaded.recipe
    state = standing.words(standing.standing(loaded, past, explored))
    place = " · ".join(one_line(words) for words in (loaded.stem, recipe.part, recipe.lesson) if words)
    sections = [
        Section(one_line(recipe.title), [("", place), ("", state[:1].upper() + state[1:])]),
        Section("What it teaches", _sentences([recipe.about])),
        Section("Try first", _sentences(recipe.try_first)),
        Section("Watch", _sentences([hints.written(note) for note in recipe.watch])),
        Section("Figures", _figures(recipe, past)),
        Section("Data", [("", one_line(line)) for line in data_lines(loaded) if line]),
        Section("Your runs", [_run(recipe, run) for run in past[:MOST_RUNS]]),
        Section("Read next", [(one_line(name), one_line(title_of(name))) for name in recipe.next]),
    ]
    return [section for section in sections if section.lines]


def page_about(entry: ReadAbout, title_of: Callable[[str], str] = lambda name: "") -> list[Section]:
    """The page of what is only read about."""
    place = " · ".join(words for words in (entry.key, entry.part, entry.lesson) if words)
    sections = [
        Section(entry.title, [("", place), ("", "Read about: there is nothing to start.")]),
        Section("What it is", _sentences([entry.about])),
        Section("Why it has no recipe", _sentences([entry.why])),
        Section("Where to read about it", _sentences([entry.source])),
        Section("Nearest to it", [(name, one_line(title_of(name))) for name in entry.next]),
    ]
    return [section for section in sections if section.lines]


def _sentences(texts: Sequence[str]) -> list[tuple[str, str]]:
    lines = [" ".join(one_line(text, 4000).split()) for text in texts]
    return [("·" if len(lines) > 1 else "", line) for line in lines if line]


def _figures(recipe: Recipe, past: Sequence[Past]) -> list[tuple[str, str]]:
    """Of each metric that the recipe names: the person's own best figure, its bar, and what others got."""
    lines = []
    summaries = [run.summary for run in past if bars.is_judged(run.summary)]
    for metric in dict.fromkeys([*(bar.metric for bar in recipe.bar), *(reference.metric for reference in recipe.reference)]):
        values = [value for summary in summaries if (value := bars.figure(recipe, summary, metric)) is not None and value == value]
        own = (max if bars.is_higher_better(recipe, metric) else min)(values) if values else None
        wanted = [bar for bar in recipe.bar if bar.metric == metric]
        mark = "" if own is None or not wanted else " ✓" if all(bar.passed(own) for bar in wanted) else " ✗"
        texts = [f"yours {formatting.number(own)}{mark}" if own is not None else "yours: not measured yet"]
        texts += [f"to pass {bars.wanted(bar)}" for bar in wanted]
        texts += [
            f"{reference.whose} {formatting.number(reference.value)} ({one_line(reference.source)})"
            for reference in recipe.reference
            if reference.metric == metric
        ]
        lines.append((bars.short_name(metric), " · ".join(texts)))
    return lines


def data_lines(loaded: Loaded) -> list[str]:
    """A line for each data set: title, size, state and licence."""
    from workbench.datasets.store.catalog import uses
    from workbench.datasets.store.stored import named, stored

    config = loaded.recipe.config
    source = str(config.get("data", ""))
    try:
        names = [named(source, str(config.get("variant") or ""))]
    except Problem:
        names = [named(reference) for reference in uses(loaded.schema.datasets if loaded.schema else (), config)]
    lines = []
    for data_set in (stored(*name) for name in names):
        size = f", {formatting.size(data_set.bytes)}" if data_set.bytes else ""
        lines.append(f"{data_set.about.title}{size}; {data_set.words}; licence: {data_set.about.licence}")
    return lines or [source]  # a person's own folder or file


def _run(recipe: Recipe, run: Past) -> tuple[str, str]:
    summary = run.summary
    metric = bars.headline(recipe, summary)
    value = bars.figure(recipe, summary, metric) if metric else None
    judged = [outcome.passed for outcome in bars.judge(recipe, summary) if outcome.passed is not None]
    mark = "" if not judged else " ✓" if all(judged) else " ✗"
    figure = f"{bars.short_name(metric)} {formatting.number(value)}{mark}" if value is not None else ""
    stand_in = f"with {one_line(summary.variant)}" if summary.variant else "a demo" if summary.demo else ""
    texts = (one_line(run.state.words), one_line(summary.device), figure, stand_in)
    return formatting.when(summary.started) or "?", " · ".join(text for text in texts if text)
