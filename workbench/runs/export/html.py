"""A run as one HTML file that needs nothing else: charts, figures, samples, settings. No script; every foreign text is escaped."""

import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import formatting
from workbench.events import CAUSES, split_tag
from workbench.formatting import number
from workbench.problems import clean, one_line
from workbench.recipes import hints
from workbench.recipes.processes import on
from workbench.recipes.recipe import Recipe
from workbench.runs import bars as verdict
from workbench.runs import compare, family, notes
from workbench.runs.export import svg
from workbench.runs.export.samples import sample_figures
from workbench.runs.family import Forked
from workbench.runs.history import History, history_of
from workbench.runs.run import Run
from workbench.runs.state import state_of
from workbench.runs.summary import Summary, log_size, summarize

if TYPE_CHECKING:
    import jinja2

SPLITS = ("test", "valid", "train")
SLOTS = {"train": 0, "valid": 1, "test": 2}
"""Colours of the splits."""


def to_html(run: Run) -> Iterator[str]:
    """The page, in pieces."""
    history = history_of(run.events)
    recipe, summary, state = run.recipe(), summarize(history, log_size(run)), state_of(run)
    # The choice of log_every is left out where the loop made it: it tells a reader nothing.
    marks = [mark for mark in history.marks if mark.command or set(mark.settings) != {"train.log_every"}]
    yield from (
        templates()
        .get_template("page.html.j2")
        .generate(
            run=run,
            recipe=recipe,
            summary=summary,
            state=state,
            why=CAUSES.get(state.cause, state.cause),
            notes=notes.read(run),
            judged=verdict.is_judged(summary),
            facts=_facts(history, state.attempt, recipe, family.forked(run)),
            figures=figures(recipe, summary),
            charts=charts(recipe, history, [mark.step for mark in marks]),
            marks=marks,
            samples=sample_figures(run.path, history),
            settings=compare.settings(recipe, history),
            now=time.strftime("%Y-%m-%d %H:%M"),
        )
    )


@cache
def templates() -> "jinja2.Environment":
    """The page's templates: whatever they write is cleaned of control sequences, cut to one line and escaped."""
    import jinja2
    from markupsafe import Markup, escape

    def cleaned(value: Any) -> Any:
        return one_line(value, 2000) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        finalize=cleaned,
        # A misspelt name in a template is an error, not a hole in the page.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["svg"] = svg
    environment.filters |= {
        "count": formatting.count,
        "hint": hints.written,
        "lines": lambda text: escape(clean(text)),
        "metric": verdict.short_name,
        "number": number,
        "px": lambda value: f"{value:.1f}",
        "shown": formatting.shown,
        "wanted": verdict.wanted,
    }
    return environment


def _facts(history: History, attempt: int, recipe: Recipe, forked: Forked | None) -> dict[str, str]:
    # What its log has of its parent were attempts at that one.
    attempt -= forked.attempt if forked else 0
    return {
        "origin": forked.words if forked else "",
        # localtime fails on what a damaged log may give as a time.
        "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(history.started)) if 0 < history.started < 1e11 else "",
        "time": formatting.duration(history.seconds),
        "steps": formatting.count(history.step) + (f" of {formatting.count(history.steps)}" if history.steps > history.step else ""),
        "epochs": number(round(history.epoch, 2)),
        "speed": formatting.rate(history.step / history.seconds) if history.seconds > 0 else "",
        "device": on(history.device, recipe),
        "attempts": str(attempt) if attempt > 1 else "",
    }


def figures(recipe: Recipe, summary: Summary) -> list[tuple[Any, ...]]:
    """Of each metric its tag, its last and best value, its bar with the verdict, and what the course got."""
    bars = {judged.bar.metric: judged for judged in verdict.judge(recipe, summary)}
    course = {known.metric: known for known in recipe.reference}
    order = {split: place for place, split in enumerate(SPLITS)}
    best = {tag: value for tag, value in summary.best.items() if verdict.has_best(recipe, tag)}
    tags = sorted(summary.last, key=lambda tag: (order.get(split_tag(tag)[0], len(order)), tag))

    def shown(value: Any) -> str:
        return "" if value == "" else "NaN" if value == "None" else number(float(value))

    return [
        (tag, [shown(values.get(tag, "")) for values in (summary.last, best)], bars.get(tag), course.get(tag))
        for tag in dict.fromkeys([*bars, *course, *tags])
    ]


def charts(recipe: Recipe, history: History, moments: list[int]) -> list[tuple[str, list[svg.Line], svg.Chart | None]]:
    charts = []
    for metric, tags in history.charts().items():
        lines: list[svg.Line] = []
        for tag in sorted(tags, key=lambda tag: (SLOTS.get(split_tag(tag)[0], 3), tag)):
            split, _, name = split_tag(tag)
            taken = {line.slot for line in lines}
            # The colour of the split, or where another line of this chart has that, the first free one.
            free = next((slot for slot in range(svg.SLOTS) if slot not in taken), len(lines))
            slot = SLOTS.get(split, free)
            series = history.series[tag]
            lines.append(svg.Line(f"{split} {name}".strip() or metric, series.steps, series.values, free if slot in taken else slot))
        limits = [(limit, "to pass") for bar in recipe.bar if split_tag(bar.metric)[1] == metric for limit in (bar.at_least, bar.at_most)]
        limits += [(known.value, known.whose) for known in recipe.reference if split_tag(known.metric)[1] == metric]
        references = [(limit, label) for limit, label in dict.fromkeys(limits) if limit is not None]
        # The page of a run does not grow any more: its charts end where the run was, not where it was to end.
        charts.append((metric, lines, svg.chart(lines, end=history.step, references=references, moments=moments)))
    return charts
