"""Figures: every metric's last and best value, the bars to pass, the machine's meters, and what to watch for. At the side, or a tab."""

import math

from rich.style import Style
from textual.strip import Strip

from workbench import formatting
from workbench.problems import one_line
from workbench.recipes import hints
from workbench.recipes.recipe import Recipe
from workbench.runs import bars, slowdowns
from workbench.runs.history import History
from workbench.runs.summary import Summary
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines

NUMBER = 8
"""Least width of a column of figures, in cells; a long figure widens it."""


class Figures(Lines):
    """The panel; `follow` gives its content."""

    def __init__(self) -> None:
        super().__init__(name="figures")
        self._source: tuple[Recipe, Summary, History] | None = None

    def follow(self, recipe: Recipe, summary: Summary, history: History) -> None:
        """Show these."""
        self._source = (recipe, summary, history)
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        return figure_lines(*self._source, width - 1) if self._source else []


def by_split(tag: str) -> int:
    """Sort key of tags: train, valid, test, then all others."""
    return next((place for place, split in enumerate(("train/", "valid/", "test/")) if tag.startswith(split)), 3)


def figure_lines(recipe: Recipe, summary: Summary, history: History, width: int) -> list[Strip]:
    """The whole panel for a width."""
    blank = strips.line(width, [])
    lines: list[Strip] = []
    if summary.last:
        figures = {
            tag: [float("nan") if values[tag] == "None" else float(values[tag]) for values in (summary.last, summary.best)]
            for tag in summary.last
        }
        column = max(NUMBER, *(len(formatting.number(figure)) + 2 for pair in figures.values() for figure in pair))
        heads = "".join(strips.fit(word, column, "right") for word in ("last", "best"))
        lines.append(strips.line(width, [("figures", palette.bold)], [(heads, palette.faint)]))
        for name, tag in named(sorted(summary.last, key=by_split), width - 2 * column):
            numbers: list[strips.Part] = []
            if not tag:
                lines.append(strips.line(width, [(name, palette.dim)]))
                continue
            for figure, style in zip(figures[tag], (palette.plain, palette.dim), strict=True):
                look = style if math.isfinite(figure) else palette.bad
                numbers.append((strips.fit(formatting.number(figure), column, "right"), look))
            if not bars.has_best(recipe, tag):
                numbers[1] = (" " * column, palette.plain)
            lines.append(strips.line(width, [(name, palette.dim)], numbers))
        lines.append(blank)
    judged = bars.judge(recipe, summary)
    if judged or recipe.reference:
        lines.append(strips.line(width, [("to reach", palette.bold)]))
        for verdict in judged:
            mark, style = ("·", palette.dim) if verdict.passed is None else ("✓", palette.good) if verdict.passed else ("✗", palette.warn)
            value = "" if verdict.value is None else formatting.number(verdict.value)
            right = [(f"  {bars.wanted(verdict.bar)}", palette.dim), (f" {value:>{NUMBER - 1}}", style)]
            name = shortened(verdict.bar.metric, width - 2 - sum(len(text) for text, _ in right))
            lines.append(strips.line(width, [(f"{mark} ", style), (name, palette.plain)], right))
        for reference in recipe.reference:
            right = [(f"  {reference.whose}", palette.faint), (f" {formatting.number(reference.value):>{NUMBER - 1}}", palette.dim)]
            name = shortened(reference.metric, width - 2 - sum(len(text) for text, _ in right))
            lines.append(strips.line(width, [("  ", palette.plain), (name, palette.dim)], right))
        if not bars.is_judged(summary):
            lines += strips.paragraph(
                "Not compared with the bars: " + (f"DEMO, {summary.demo}" if summary.demo else summary.variant), width, palette.warn
            )
        lines.append(blank)
    meters = _meters(history, width)
    if meters:
        lines += [strips.line(width, [("machine", palette.bold)]), *meters, blank]
    if recipe.watch:
        lines.append(strips.line(width, [("watch for", palette.bold)]))
        for sign, note, style in _notes(recipe, history):
            body = strips.wrap(one_line(note, 1000), max(8, width - 2))
            lines += [strips.line(width, [("  " if place else sign, palette.accent), (text, style)]) for place, text in enumerate(body)]
    return lines


def named(tags: list[str], room: int) -> list[tuple[str, str]]:
    """(name, tag) of each line; series whose full names are too long are indented below a line with their metric (tag "")."""
    entries, above = [], ""
    for tag in tags:
        group, _, series = tag.rpartition("/")
        if "/" not in group or len(bars.short_name(tag)) <= room:
            entries.append((shortened(tag, room), tag))
            above = tag
            continue
        if above != group:
            entries.append((bars.short_name(group), ""))
            above = group
        entries.append((strips.fit(f"  {series}", room).rstrip(), tag))
    return entries


def shortened(metric: str, room: int) -> str:
    """A metric's name; a long one is cut in the middle, because the last word tells it from others."""
    name = bars.short_name(metric)
    last = name.rfind(" ")
    head = room - 1 - (len(name) - last)
    return name if len(name) <= room or head < 1 else f"{name[:head].rstrip()}…{name[last:]}"


def _notes(recipe: Recipe, history: History) -> list[tuple[str, str, Style]]:
    """First, bright, the hints for the present stage; then those for all stages; then, faint and with their stage, the others."""
    staged = [note for note in recipe.watch if not isinstance(note, str)]
    # The hints describe healthy training: once the loss is NaN or infinite, none of a stage applies.
    lost = any(tag.endswith("/loss") and not math.isfinite(series.values[-1]) for tag, series in history.series.items() if len(series))
    now = [note for note in staged if not lost and hints.applies(note, history.step, history.steps, history.steps_per_epoch, history.last)]
    return [
        *(("▸ ", note.text, palette.plain) for note in now),
        *(("· ", note, palette.dim) for note in recipe.watch if isinstance(note, str)),
        *(("· ", hints.written(note), palette.faint) for note in staged if note not in now),
    ]


def _meters(history: History, width: int) -> list[Strip]:
    """The newest readings of the meters; percentages and shares of memory as bars."""
    read = {tag.removeprefix("system/"): history.last(tag) or 0.0 for tag in history.series if tag.startswith("system/")}
    rows: list[tuple[str, str, float | None]] = []
    if "cpu" in read:
        rows.append(("cpu", f"{read['cpu']:.0f} %", None))
    if "memory" in read:
        total = read["memory"] + read.get("memory_free", 0.0)
        rows.append(("memory", f"{read['memory']:.1f} GiB", read["memory"] / total if total else None))
    if "gpu" in read:
        rows.append(("gpu", f"{read['gpu']:.0f} %", read["gpu"] / 100))
    if "gpu_memory" in read:
        total = read.get("gpu_memory_total", 0.0)
        rows.append(("gpu memory", f"{read['gpu_memory']:.1f} GiB", read["gpu_memory"] / total if total else None))
    if "gpu_bandwidth" in read:
        rows.append(("bandwidth", f"{read['gpu_bandwidth']:.0f} %", read["gpu_bandwidth"] / 100))
    if "gpu_power" in read:
        limit = read.get("gpu_power_limit", 0.0)
        text = f"{read['gpu_power']:.0f}/{limit:.0f} W" if limit else f"{read['gpu_power']:.0f} W"
        rows.append(("gpu power", text, read["gpu_power"] / limit if limit else None))
    if "gpu_clock" in read:
        most = read.get("gpu_clock_max", 0.0)
        rows.append(("gpu clock", f"{read['gpu_clock']:,.0f} MHz", read["gpu_clock"] / most if most else None))
    if "gpu_temperature" in read:
        rows.append(("gpu temp.", f"{read['gpu_temperature']:.0f} °C", None))
    lines = []
    for name, text, share in rows:
        # What the name at the left and the reading at the right leave; below 4 cells a bar says nothing.
        room = width - 12 - 11
        bar = round(max(0.0, min(1.0, share)) * room) if share is not None and room >= 4 else 0
        drawn: list[strips.Part] = []
        if share is not None and room >= 4:
            drawn = [("━" * bar, palette.accent), ("─" * (room - bar), palette.faint)]
        lines.append(strips.line(width, [(strips.fit(name, 12), palette.dim), *drawn], [(strips.fit(text, 11, "right"), palette.plain)]))
    for place, reason in enumerate(slowdowns.named(read.get("gpu_slowed"))):
        style = palette.bad if slowdowns.named(read["gpu_slowed"], slowdowns.HARMFUL).count(reason) else palette.warn
        lines.append(strips.line(width, [(strips.fit("slowed by" if not place else "", 12), palette.dim)], [(reason, style)]))
    return lines
