"""Compared runs as one HTML page, and their tables as CSV, LaTeX or Markdown."""

import csv
import io
import re
import time
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from workbench import paths
from workbench.events import split_tag
from workbench.formatting import count, duration, number
from workbench.problems import Problem, one_line
from workbench.runs import bars, compare
from workbench.runs.comparisons import Comparison
from workbench.runs.effects import Effects, effects, metric_of
from workbench.runs.export import svg
from workbench.runs.export.html import templates
from workbench.runs.run import Run
from workbench.runs.state import state_of

FORMS = ("page", "latex", "markdown", "csv")
ENDINGS = {"page": ".html", "latex": ".tex", "markdown": ".md", "csv": ".csv"}
SPLITS = ("valid", "train")


class Many:
    """Some runs that are exported together, under a name."""

    def __init__(self, runs: Sequence[Run], name: str = "", notes: str = "") -> None:
        self.runs = list(runs)
        self.id = one_line(name, 80) or "comparison"
        self.notes = notes
        """What has to be said of them, as that some of a view are gone."""

    @property
    def path(self) -> Path:
        """Where its runs lie."""
        return paths.runs()


class Table(NamedTuple):
    """Rows of words under heads; cells of a row of bold `best` figures."""

    title: str
    heads: list[str]
    rows: list[list[str]]
    best: Set[tuple[int, int]] = frozenset()
    """(row, column) of the best values."""
    remark: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether all that it has are numbers."""
        columns = [[row[place] for row in self.rows if row[place] not in ("", compare.NOT_SET)] for place in range(len(self.heads))]
        return [bool(cells) and all(map(_is_number, cells)) for cells in columns]


def table_of(sides: Sequence[compare.Side], found: Effects) -> Table:
    """A row for each run, the best first: the settings that differ, by their effect, then the figures."""
    figures = compare.figures(sides)
    settings = [effect.setting for effect in found.ranked]
    recipe = sides[0].recipe
    down = bars.is_higher_better(recipe, found.metric)

    def worth(place: int) -> tuple[bool, float]:
        value = found.values[place]
        return (True, 0.0) if value is None or value - value != 0 else (False, -value if down else value)

    order = sorted(range(len(sides)), key=worth)
    rows, best = [], set()
    for row, place in enumerate(order):
        own = [compare.NOT_SET if figure.values[place] is None else number(figure.values[place] or 0.0) for figure in figures]
        best |= {(row, 1 + len(settings) + column) for column, figure in enumerate(figures) if figure.best == place}
        rows.append([sides[place].name, *(setting.values[place] for setting in settings), *own])
    heads = ["run", *(setting.name.removeprefix("config.") for setting in settings), *(bars.short_name(one.metric) for one in figures)]
    return Table("Runs", heads, rows, best, found.remark)


def effects_table(found: Effects) -> Table:
    """A row for each setting that differs: its effect and its values."""
    rows = [
        [
            effect.setting.name.removeprefix("config."),
            effect.why if effect.share is None else f"{effect.share:.2f}",
            ", ".join(dict.fromkeys(effect.setting.values)),
        ]
        for effect in found.ranked
    ]
    return Table(f"Settings by effect on {bars.short_name(found.metric)}", ["setting", "effect", "values"], rows, remark=found.remark)


def variants_table(comparison: Comparison) -> Table:
    """The table of a comparison's variants."""
    arms = compare.arms(comparison)
    return Table(bars.short_name(arms.metric), [*compare.HEADS[:-1], "verdict"], list(compare.cells(arms)), remark=" ".join(arms.remarks))


def tables(source: Many | Comparison) -> list[Table]:
    """What a source has as tables."""
    if isinstance(source, Comparison):
        return [variants_table(source)]
    sides = compare.sides(source.runs)
    found = effects(sides, compare.differing(sides), metric_of(sides))
    return [table_of(sides, found), *([effects_table(found)] if found.ranked else [])]


def pieces(source: Many | Comparison, form: str) -> Iterator[str]:
    """The export in pieces: page, latex, markdown or csv."""
    if form == "page":
        if isinstance(source, Comparison):
            from workbench.runs.export import comparison as page

            yield from page.to_html(source)
        else:
            yield from to_html(source)
        return
    if form not in FORMS:
        raise Problem(f"{one_line(form)} is not a format of a comparison.", f"Formats: {', '.join(FORMS)}.")
    write = {"latex": to_latex, "markdown": to_markdown, "csv": to_csv}[form]
    # One table of CSV: a second one would have other columns.
    for place, table in enumerate(tables(source)[: 1 if form == "csv" else None]):
        yield ("\n" if place else "") + write(table)


def to_csv(table: Table) -> str:
    """Comma-separated values with one line of heads; no cell begins like a formula."""
    from workbench.runs.export.formats import as_words

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in [table.heads, *table.rows]:
        writer.writerow([cell if _is_number(cell) else as_words(cell) for cell in row])
    return text.getvalue()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown; the best figures are bold."""

    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |\n"

    lines = [f"**{_markdown(table.title)}**\n\n", row([_markdown(head) for head in table.heads])]
    lines.append(row(["---:" if right else "---" for right in table.numeric]))
    for place, cells in enumerate(table.rows):
        words = [_markdown(cell) for cell in cells]
        lines.append(row([f"**{word}**" if (place, column) in table.best else word for column, word in enumerate(words)]))
    return "".join(lines) + (f"\n{_markdown(table.remark)}\n" if table.remark else "")


def _markdown(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$-])", r"\\\1", one_line(text, 2000)) if re.search(r"[\\`*_\[\]<>|~$#]", text) else text


# The ten characters that TeX reads as commands, and those that its standard fonts draw as something else.
_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "…": r"\ldots{}",
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
    "²": r"$^2$",
    "ε": r"$\varepsilon$",
    "ρ": r"$\rho$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}


def tex(text: str) -> str:
    """Text as LaTeX shows it as it is."""
    # A bracket that begins a row would be read as the argument of the `\\` before it.
    escaped = "".join(_TEX.get(letter, letter) for letter in one_line(text, 2000))
    return "{" + escaped + "}" if escaped.startswith(("[", "*")) else escaped


def to_latex(table: Table) -> str:
    r"""A table for `\usepackage{booktabs}`; the best figures are bold."""
    columns = "".join("r" if right else "l" for right in table.numeric)
    lines = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines.append(" & ".join(tex(head) for head in table.heads) + r" \\")
    lines.append(r"\midrule")
    for place, cells in enumerate(table.rows):
        words = [tex(cell) for cell in cells]
        lines.append(
            " & ".join(rf"\textbf{{{word}}}" if (place, column) in table.best else word for column, word in enumerate(words)) + r" \\"
        )
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{tex(f'{table.title}. {table.remark}'.strip())}}}", r"\end{table}"]
    return "% \\usepackage{booktabs}\n" + "\n".join(lines) + "\n"


def to_html(source: Many) -> Iterator[str]:
    """The page, in pieces: the tables, and a chart of each metric with a line for each run."""
    sides = compare.sides(source.runs)
    found = effects(sides, compare.differing(sides), metric_of(sides))
    runs = [
        (side.run.id, side.name, side.recipe.title, state_of(side.run).state, count(side.summary.step), duration(side.summary.seconds))
        for side in sides
    ]
    yield from (
        templates()
        .get_template("many.html.j2")
        .generate(
            id=source.id,
            runs=runs,
            notes=source.notes,
            tables=[table_of(sides, found), *([effects_table(found)] if found.ranked else [])],
            charts=list(_charts(sides, found.metric)),
            now=time.strftime("%Y-%m-%d %H:%M"),
        )
    )


def _charts(sides: Sequence[compare.Side], metric: str) -> Iterator[tuple[str, list[svg.Line], svg.Chart | None]]:
    tags = dict.fromkeys(tag for side in sides for tag in side.history.series if split_tag(tag)[0] in SPLITS)
    for tag in sorted(tags, key=lambda tag: (tag != metric, tag.split("/")[1:])):
        drawn = [(slot, side) for slot, side in enumerate(sides) if len(side.history.series.get(tag, ())) > 1]
        lines = [svg.Line(side.name, side.history.series[tag].steps, side.history.series[tag].values, slot) for slot, side in drawn]
        if lines:
            yield bars.short_name(tag), lines, svg.chart(lines, end=max(line.x[-1] for line in lines))
