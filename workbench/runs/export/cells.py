"""What the cells of a notebook show of a run: charts in SVG, pictures, and text. The same functions show the log and an execution.

Each returns outputs as dictionaries from a MIME type to data. There is no HTML among them: a text stays a text whatever it holds.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.events import Curve, Images, Matrix, Scatter, Table, Tagged, Text, split_tag
from workbench.formatting import number
from workbench.problems import Problem, clean, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import bars
from workbench.runs.export import svg
from workbench.runs.export.html import charts as charts_of
from workbench.runs.export.html import figures as figures_of
from workbench.runs.export.html import templates
from workbench.runs.export.samples import picture, sample_figures
from workbench.runs.history import History
from workbench.runs.log import read_rows
from workbench.runs.summary import summarize

Output = dict[str, str]
ROWS, WIDE = 40, 60
"""The most rows of a table, and characters of a cell: whoever wants all of it has the log."""


def text(words: str) -> Output:
    """An output of text alone."""
    return {"text/plain": clean(words)}


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], most: int = ROWS) -> str:
    """A table in characters; numbers stand at the right."""
    cells = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in rows[:most]]
    lines = [[one_line(cell, WIDE) for cell in row] for row in [list(columns), *cells]]
    width = max(map(len, lines))
    widths = [max(len(line[place]) for line in lines if place < len(line)) for place in range(width)]
    right = [bool(rows) and all(place < len(row) and not isinstance(row[place], str) for row in rows[:most]) for place in range(width)]
    written = [
        "  ".join(cell.rjust(size) if at_right else cell.ljust(size) for cell, size, at_right in zip(line, widths, right, strict=False))
        for line in lines
    ]
    if len(rows) > most:
        written.append(f"and {len(rows) - most:,} more rows")
    return "\n".join(line.rstrip() for line in written)


def curves(recipe: Recipe, history: History) -> Iterator[Output]:
    """Every metric over the steps."""
    moments = [mark.step for mark in history.marks if mark.command]
    for metric, lines, chart in charts_of(recipe, history, list(moments)):
        yield _drawn(metric, lines, chart, latest=True)


def _drawn(name: str, lines: Sequence[svg.Line], chart: svg.Chart | None, *, latest: bool = False) -> Output:
    if chart is None:
        return text(f"{one_line(name, 80)}: no values")
    drawing = templates().get_template("cell.svg.j2").render(name=name, lines=lines, chart=chart, latest=latest)
    last = ", ".join(f"{one_line(line.name, 80)} {number(line.y[-1])}" for line in lines if latest and len(line.y))
    return {"image/svg+xml": drawing, **text(f"{one_line(name, 80)}: {last}" if last else one_line(name, 80))}


def shown(folder: Path, history: History, splits: Iterable[str]) -> Iterator[Output]:
    """The newest events of these splits (`data`, `model`, `test`, `sample`); `folder` is the run's, where large ones are files."""
    wanted = tuple(splits)
    part = History()
    part.samples = {tag: samples for tag, samples in history.samples.items() if split_tag(tag)[0] in wanted}
    charted = sample_figures(folder, part, steps=False)
    for figure in charted:
        if figure["kind"] == "chart":
            yield _drawn(f"{figure['metric']} {figure['where']}".strip(), figure["lines"], figure["chart"])
    for samples in part.samples.values():
        if not isinstance(samples.latest, Curve | Scatter):
            try:
                yield _shown(folder, samples.latest)
            # A missing or damaged file costs its own output, not the notebook.
            except (OSError, ValueError, Problem) as error:
                yield text(f"{one_line(samples.latest.tag, 80)} cannot be shown: {one_line(str(error), 200)}")


def _shown(folder: Path, event: Tagged) -> Output:
    name = one_line(event.tag, 80)
    if isinstance(event, Images):
        data, _, _ = picture(folder, event)
        captions = "; ".join(one_line(caption, WIDE) for caption in event.captions[:ROWS])
        return {"image/png": base64.b64encode(data).decode(), **text(f"{name}: {captions}" if captions else name)}
    if isinstance(event, Matrix):
        values = read_rows(folder / event.file).tolist() if event.file else event.values
        heads = event.columns if len(event.columns) == max(map(len, values), default=0) else []
        names = event.rows if len(event.rows) == len(values) else [""] * len(values)
        return text(f"{name}\n{table(['', *heads], [[head, *row] for head, row in zip(names, values, strict=True)])}")
    if isinstance(event, Table):
        return text(f"{name}\n{table(event.columns, event.rows)}")
    assert isinstance(event, Text)
    return text(f"{name}\n{event.prompt}{event.text}")


def figures(recipe: Recipe, history: History, splits: Sequence[str] = ("test", "valid", "train")) -> Output:
    """The last and best value of each metric, with its bar and the course's figure."""
    rows = [
        [bars.short_name(tag), *values, bars.wanted(bar.bar) if bar else "", number(known.value) if known else ""]
        for tag, values, bar, known in figures_of(recipe, summarize(history, 0))
        if split_tag(tag)[0] in splits
    ]
    return text(table(["metric", "last", "best", "to pass", "course"], rows))


def verdict(recipe: Recipe, history: History) -> Output:
    """Which bars it passes, a line each; of a demo, or with other data, why nothing is judged."""
    summary = summarize(history, 0)
    if not bars.is_judged(summary):
        return text(f"Nothing is judged: {one_line(summary.demo or summary.variant, 200)}.")
    words = {True: "passed", False: "missed", None: "not measured"}
    lines = [
        f"{bars.short_name(judged.bar.metric)} {'' if judged.value is None else number(judged.value)}, wanted {bars.wanted(judged.bar)}: "
        f"{words[judged.passed]}"
        for judged in bars.judge(recipe, summary)
    ]
    return text("\n".join(lines) or "The recipe has no bar.")


def display(outputs: Output | Iterable[Output]) -> None:
    """Show them below the cell that is executed."""
    from IPython.display import display as show

    for output in [outputs] if isinstance(outputs, dict) else outputs:
        show(output, raw=True)  # type: ignore[no-untyped-call]
