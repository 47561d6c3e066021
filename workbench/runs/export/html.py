"""A run as one HTML file that needs nothing else: charts, figures, samples, settings. No script; every foreign text is escaped."""

import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

from workbench import formatting
from workbench.events import CAUSES, split_tag
from workbench.formatting import number
from workbench.problems import one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import bars as verdict
from workbench.runs import compare, notes, runs
from workbench.runs.export import svg
from workbench.runs.export.samples import legend, sample_figures
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.runs import Run, Summary

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = Path(__file__).with_name("page.css")
SPLITS = {"train": 0, "valid": 1, "test": 2}


def to_html(run: Run) -> Iterator[str]:
    """The page, in pieces."""
    history = History()
    history.fold(Tail(run.events).read())
    recipe, summary = run.recipe(), runs.summarize(history, runs.log_size(run))
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_text(recipe.title)} – {_text(run.id)}</title><style>{STYLE.read_text()}</style></head><body><main>"
    yield from _head(run, recipe, history, summary)
    yield from _figures(recipe, summary)
    yield from _charts(recipe, history)
    yield from sample_figures(run, history)
    yield from _settings(recipe, history)
    yield f"<footer>dlwb, {time.strftime('%Y-%m-%d %H:%M')}</footer></main></body></html>\n"


def _text(text: str) -> str:
    return escape(one_line(text, 2000))


def _head(run: Run, recipe: Recipe, history: History, summary: Summary) -> Iterator[str]:
    state, said = runs.state(run), notes.read(run)
    why = CAUSES.get(state.cause, state.cause)
    yield f"<header><p class=faint>{_text(' · '.join(filter(None, (recipe.part, recipe.lesson))))}</p><h1>{_text(recipe.title)}</h1>"
    yield f'<p><span class="state {_text(state.state)}">{_text(state.state)}{f": {_text(why)}" if why else ""}</span> '
    yield "".join(f'<span class="tag">{_text(tag)}</span> ' for tag in said.tags) + f"<code>{_text(run.id)}</code></p>"
    for sentence in (f"{state.message} {state.hint}".strip(), said.note, " ".join(recipe.about.split())):
        yield f"<p>{_text(sentence)}</p>" if sentence else ""
    if not verdict.is_judged(summary):
        yield f'<p class="warn">{_text(f"DEMO: {summary.demo}" if summary.demo else f"Data: {summary.variant}")}. Nothing is judged.</p>'
    steps = formatting.count(history.step) + (f" of {formatting.count(history.steps)}" if history.steps > history.step else "")
    facts = [
        ("started", time.strftime("%Y-%m-%d %H:%M", time.localtime(history.started)) if 0 < history.started < 1e11 else ""),
        ("time", formatting.duration(history.seconds)),
        ("steps", steps),
        ("epochs", number(round(history.epoch, 2))),
        ("speed", formatting.rate(history.step / history.seconds) if history.seconds > 0 else ""),
        ("device", history.device),
        ("attempts", str(state.attempt) if state.attempt > 1 else ""),
    ]
    yield "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts if value) + "</dl></header>"


def _figures(recipe: Recipe, summary: Summary) -> Iterator[str]:
    bars = {each.bar.metric: each for each in verdict.judge(recipe, summary)}
    course = {known.metric: known for known in recipe.reference}
    order = ("test", "valid", "train")
    tags = sorted(summary.last, key=lambda tag: (order.index(split_tag(tag)[0]) if split_tag(tag)[0] in order else 3, tag))
    tags = list(dict.fromkeys([*bars, *course, *tags]))
    if not tags:
        return
    yield "<section><h2>Figures</h2><table><tr><th>metric<th class=n>last<th class=n>best<th class=n>to pass<th><th class=n>course"
    for tag in tags:
        bar, known = bars.get(tag), course.get(tag)
        known_values = [values.get(tag, "") for values in (summary.last, summary.best)]
        cells = ["" if value == "" else "NaN" if value == "None" else number(float(value)) for value in known_values]
        mark = "" if not bar or bar.passed is None else '<span class="good">✓</span>' if bar.passed else '<span class="bad">✗</span>'
        yield f"<tr><td>{_text(verdict.short_name(tag))}" + "".join(f"<td class=n>{cell}" for cell in cells)
        yield f"<td class=n>{escape(verdict.wanted(bar.bar)) if bar else ''}<td>{mark}"
        yield f'<td class=n title="{_text(known.source)}">{number(known.value)}' if known else "<td>"
    yield "</table>"
    for known in recipe.reference:
        name = _text(verdict.short_name(known.metric))
        yield f"<p class=faint>{known.whose.capitalize()}: {name} {number(known.value)}, {_text(known.source)}</p>"
    yield "</section>"


def _charts(recipe: Recipe, history: History) -> Iterator[str]:
    marks = [mark for mark in history.marks if mark.command or set(mark.settings) != {"train.log_every"}]
    charts = history.charts()
    if charts:
        yield "<section><h2>Curves</h2><div class=grid>"
    for metric, tags in charts.items():
        lines: list[svg.Line] = []
        for tag in sorted(tags, key=lambda tag: (SPLITS.get(split_tag(tag)[0], 3), tag)):
            split, _, series = split_tag(tag)
            each = history.series[tag]
            taken = {line.slot for line in lines}
            free = next((slot for slot in range(svg.SLOTS) if slot not in taken), len(lines))
            slot = SPLITS.get(split, free)
            lines.append(svg.Line(f"{split} {series}".strip() or metric, each.steps, each.values, free if slot in taken else slot))
        limits = [(limit, "to pass") for bar in recipe.bar if split_tag(bar.metric)[1] == metric for limit in (bar.at_least, bar.at_most)]
        limits += [(known.value, known.whose) for known in recipe.reference if split_tag(known.metric)[1] == metric]
        found = [(limit, label) for limit, label in dict.fromkeys(limits) if limit is not None]
        drawn = svg.chart(lines, end=history.steps, references=found, moments=[mark.step for mark in marks])
        yield f"<figure><figcaption>{_text(metric)}{legend(lines, latest=True)}</figcaption>{drawn}</figure>"
    if charts:
        yield "</div>"
        if marks:
            yield "<h3>Changes while it ran</h3><ol>"
            yield from (f"<li>{_text(mark.text)} <span class=faint>at step {mark.step:,}</span>" for mark in marks)
            yield "</ol>"
        yield "</section>"


def _settings(recipe: Recipe, history: History) -> Iterator[str]:
    rows = "".join(f"<tr><td>{_text(name)}<td>{_text(compare.shown(value))}" for name, value in compare.settings(recipe, history).items())
    yield f"<section><h2>Settings</h2><table class=settings>{rows}</table></section>"
    if recipe.watch:
        notes_ = "".join(f"<li>{_text(str(each))}" for each in recipe.watch)
        yield f"<section><h2>What to watch for</h2><ul>{notes_}</ul></section>"
