"""The rows of the list of endpoints, and the pane about one of them. Pure functions that make lines of cells."""

import math
import time
from collections.abc import Mapping, Sequence

from rich.style import Style
from textual.strip import Strip

from workbench import formatting
from workbench.problems import one_line
from workbench.runs.state import State
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.background import Serving
from workbench.tui.models.endpoints import MINUTE, Listed, words
from workbench.tui.panels.detail import labelled
from workbench.tui.panels.recipe_rows import matches
from workbench.tui.panels.rows import Row

JOB = "starting "
"""The first word of the key of a row that is no endpoint yet."""
BARS = "▁▂▃▄▅▆▇█"
WIDE, NARROW = 100, 64
Cell = tuple[str, Style]
Column = tuple[str, int, str]


def columns(width: int, names: int = 12, variants: int = 16) -> list[Column]:
    """Name, cells and alignment of the columns, from the left; `names` and `variants` are the longest texts of theirs."""
    if width >= WIDE:
        fixed: list[Column] = [("state", 11, "left"), ("endpoint", 0, "left"), ("URL", 16, "left"), ("variants", 0, "left")]
        fixed += [("last minute", 12, "left"), ("req/s", 5, "right"), ("p99", 7, "right"), ("errors", 6, "right"), ("drift", 5, "right")]
        fixed += [("idle", 5, "right")]
    elif width >= NARROW:
        fixed = [("", 1, "left"), ("endpoint", 0, "left"), ("port", 6, "left"), ("variants", 0, "left"), ("minute", 6, "left")]
        fixed += [("req/s", 5, "right"), ("p99", 7, "right"), ("err", 4, "right"), ("drift", 5, "right"), ("idle", 5, "right")]
    else:
        fixed = [("", 1, "left"), ("endpoint", 0, "left"), ("variants", 0, "left"), ("req/s", 6, "right")]
    free = max(8, width - 2 - sum(size + gap(width) for _, size, _ in fixed))
    # Where not both fit, the names are whole as far as half of the room, for they are what a person looks for.
    name = max(8, min(names, free // 2 if names + variants > free else free))
    shares = {"endpoint": name, "variants": free - name}
    return [(heading, shares.get(heading, size), align) for heading, size, align in fixed]


def gap(width: int) -> int:
    """Empty cells behind a column."""
    return 2 if width >= WIDE else 1


def endpoint_rows(endpoints: Mapping[str, Listed], starting: Mapping[str, Serving], width: int, filtered: str = "") -> list[Row]:
    """The endpoints by name below the names of the columns; above them those that are being made."""
    listed_cells = {key: _cells(listed, width) for key, listed in endpoints.items()}
    longest = [max((len(cells[name][0]) for cells in listed_cells.values()), default=0) for name in ("endpoint", "variants")]
    shown = columns(width, *longest)
    between = " " * gap(width)
    names: list[strips.Part] = [(strips.fit(name, size, align) + between, palette.faint) for name, size, align in shown]
    rows = [Row("", strips.line(width, [("  ", palette.plain), *names]))]
    for name, job in starting.items():
        if matches(name, filtered):
            rows.append(Row(JOB + name, _job_row(job, width)))
    for key, listed in endpoints.items():
        if matches(words(listed), filtered) and not (key in starting and starting[key].running):
            cells = listed_cells[key]
            parts: list[strips.Part] = [("  ", palette.plain)]
            if listed.problem:
                sentence = cells["problem"]
                head = [cell for cell in shown if cell[0] in ("state", "", "endpoint")]
                for column, size, align in head:
                    parts.append((strips.fit(cells[column][0], size, align) + between, cells[column][1]))
                rows.append(Row(key, strips.line(width, [*parts, sentence])))
                continue
            for column, size, align in shown:
                text, style = cells[column]
                parts.append((strips.fit(text, size, align) + between, style))
            rows.append(Row(key, strips.line(width, parts)))
    return rows


def _job_row(job: Serving, width: int) -> Strip:
    symbol, style = ("✗", palette.bad) if job.failed else ("◌", palette.accent)
    text = job.outcome if job.failed else job.doing
    return strips.line(
        width, [("  ", palette.plain), (f"{symbol} ", style), (f"{one_line(job.name)}  ", palette.bold), (text, palette.dim)]
    )


def _cells(listed: Listed, width: int) -> dict[str, Cell]:
    state, figures = listed.state, listed.figures
    symbol, text, style = _state(listed)
    alive = state.alive
    quiet = palette.plain if alive else palette.dim
    rate, p99 = figures.get("rate", 0.0), figures.get("p99")
    variants = "  ".join(f"{part.name} {'shadow' if part.shadow else format(part.share, '.0%')}" for part in listed.parts)
    idle = "" if not alive else "" if rate else formatting.short(listed.idle) if listed.idle is not None else "long"
    bars = next((size for name, size, _ in columns(width) if name in ("last minute", "minute")), 0)
    wide = width >= WIDE
    return {
        "state": (f"{symbol} {text.partition(':')[0]}", style),
        "": (symbol, style),
        "endpoint": (listed.endpoint.id, palette.bold if alive else palette.plain),
        "problem": (one_line(listed.problem, 400), palette.bad),
        "URL": (listed.url.removeprefix("http://"), quiet),
        "port": (f":{listed.url.rpartition(':')[2]}" if listed.url else "", quiet),
        "variants": (variants, quiet),
        "last minute": (spark(listed.rates, bars) if alive else "", palette.accent),
        "minute": (spark(listed.rates, bars) if alive else "", palette.accent),
        "req/s": (short_number(rate) if alive else "", quiet),
        "p99": ((f"{short_number(p99)} ms" if wide else f"{short_number(p99)}ms") if alive and p99 is not None and rate else "", quiet),
        "errors": _counted(listed.errors, alive),
        "err": _counted(listed.errors, alive),
        "drift": (f"{listed.alarms}!" if listed.alarms else "·" if alive else "", palette.warn if listed.alarms else palette.faint),
        "idle": (idle.replace(" min", "min").replace(" s", "s").replace(" h", "h"), palette.dim),
    }


def _state(listed: Listed) -> tuple[str, str, Style]:
    return states.state_words(State(state="damaged") if listed.problem and not listed.state.alive else listed.state)


def _counted(errors: float, alive: bool) -> Cell:
    return (f"{errors:.0f}" if alive else "", palette.bad if errors else palette.faint)


def short_number(value: float) -> str:
    """A figure in at most five characters: 0.43, 12.3, 480, 12.4k."""
    if not math.isfinite(value):
        return "?"
    if value >= 10_000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 100 or value == 0 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def spark(rates: Sequence[tuple[float, float]], cells: int, now: float | None = None) -> str:
    """The last minute as bars, each the largest rate of its seconds. They move by whole cells, and stand still in between."""
    if not cells:
        return ""
    width = MINUTE / cells
    last = math.floor((time.time() if now is None else now) / width)
    most = [0.0] * cells
    for moment, rate in rates:
        place = cells - 1 - (last - math.floor(moment / width))
        if 0 <= place < cells and math.isfinite(rate):
            most[place] = max(most[place], rate)
    top = max(most)
    # The lowest bar is none: a rate of zero and a small one look different.
    return "".join(" " if not rate else BARS[min(7, int(8 * rate / top))] if rate < top else BARS[7] for rate in most)


def pane(listed: Listed, width: int) -> list[Strip]:
    """A few lines about an endpoint: what it says, its URL, variants and their models."""
    symbol, text, style = _state(listed)
    facts = [f"up {formatting.duration(listed.up)}"] if listed.state.alive else []
    facts += [f"configuration {listed.config}"] if listed.config else []
    right: list[strips.Part] = [("   ".join(facts), palette.dim)]
    lines = [
        strips.line(
            width, [(f"{symbol} {text}", style), (f"   {listed.endpoint.id}", palette.bold), (f"   {listed.url}", palette.accent)], right
        )
    ]
    if listed.problem:
        return [*lines, *strips.paragraph(one_line(listed.problem, 1000), width, palette.bad)]
    for sentence, look in ((listed.state.message, palette.plain), (listed.state.hint, palette.dim)):
        if sentence and sentence != text:
            lines += strips.paragraph(one_line(sentence, 1000), width, look)
    for place, part in enumerate(listed.parts):
        share = "shadow" if part.shadow else f"{part.share:.0%}"
        figures = [
            f"{short_number(listed.figures[f'{tag}/{part.name}'])} {unit}"
            for tag, unit in (("rate", "req/s"), ("p99", "ms p99"))
            if f"{tag}/{part.name}" in listed.figures and listed.state.alive
        ]
        lines += labelled("variants" if not place else "", f"{part.name}  {part.label}  {share}   {'   '.join(figures)}", width)
    if listed.idle_limit:
        lines += labelled("idle", f"stops after {formatting.short(listed.idle_limit)} without a request", width)
    return lines


def job_pane(job: Serving, width: int) -> list[Strip]:
    """The pane about an endpoint that is being made, or could not be."""
    if job.failed:
        return strips.paragraph(f"✗ {job.outcome}", width, palette.bad)
    lines = strips.paragraph(f"◌ {job.name}: {job.doing} …", width, palette.accent)
    return lines + strips.paragraph("It goes on when you quit dlwb, and opens here when it serves.", width, palette.dim)


def none(width: int, filtered: bool) -> list[Strip]:
    """The pane without any endpoint."""
    text = (
        "No endpoint yet. Press 2, choose a run that has finished, and press v: its best weights are exported and served. n serves a model."
    )
    return strips.paragraph("No endpoint matches these words; Esc shows all." if filtered else text, width, palette.dim)
