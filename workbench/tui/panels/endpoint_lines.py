"""The texts of an endpoint's screen: header, table of variants, drift, words, timeline. Pure functions that make lines of cells."""

import math
import time
from collections.abc import Sequence

from rich.style import Style
from textual.strip import Strip

from workbench import formatting
from workbench.events import Mark, Status, Table
from workbench.problems import one_line
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.endpoint_feed import EndpointFeed, VariantFigures
from workbench.tui.panels.endpoint_rows import short_number
from workbench.tui.panels.rows import Row

WIDE = 100
MARKS = 200
"""The newest lines of the timeline that can be scrolled through."""
TOLD = ("Creating", "Stopped", "Failed", "Deleted")
"""States that stand in the timeline; the others come with a line that says more."""
KINDS = {
    "alarm": ("▲", "bad"),
    "restart": ("↻", "warn"),
    "roll-back": ("↶", "warn"),
    "canary": ("◐", "accent"),
    "configuration": ("◆", "bold"),
    "weights": ("⇄", "dim"),
    "clear": ("✓", "good"),
}
"""Sign and colour of a line of the timeline, by its first word."""


def header_lines(feed: EndpointFeed, width: int, job: str = "") -> list[Strip]:
    """Name, state, URL, time since its start, configuration; below it what a person should know."""
    symbol, text, style = states.state_words(feed.state)
    wide = width >= WIDE
    space = ("   " if wide else "  ", palette.plain)
    groups: list[list[strips.Part]] = [
        [(f" {feed.endpoint.id}", palette.bold)],
        [(f"{symbol} {text}", style)],
        [(feed.url, palette.accent)],
    ]
    if feed.state.alive:
        groups.append([("up ", palette.faint), (formatting.duration(feed.up), palette.plain)])
    if feed.number:
        groups.append([("configuration " if wide else "config ", palette.faint), (str(feed.number), palette.plain)])
    rate = feed.latest("rate") if feed.state.alive else None
    right: list[strips.Part] = [] if rate is None or not wide else [(f"{short_number(rate)} req/s ", palette.plain)]
    lines = [strips.line(width, strips.joined(groups, space), right)]
    for sentence, look in (
        (feed.problem or feed.log_problem, palette.bad),
        (feed.state.message, palette.plain if feed.state.alive else style),
        ("" if feed.state.alive else feed.state.hint, palette.dim),
        (job, palette.accent),
        (feed.tail.remark, palette.warn),
    ):
        if sentence and sentence != text:
            lines += strips.paragraph(one_line(sentence, 500), width, look, margin=1)[:2]
    return lines


# -- variants ------------------------------------------------------------------------------------------------------------------------

Column = tuple[str, int, str]


def _columns(width: int) -> list[Column]:
    if width >= WIDE:
        columns = [
            ("variant", 9, "left"),
            ("model", 0, "left"),
            ("weight", 18, "left"),
            ("share ± 95 %", 14, "right"),
            ("req/s", 7, "right"),
        ]
        columns += [("p50 ms", 7, "right"), ("p99 ms", 7, "right"), ("4xx", 5, "right"), ("5xx", 5, "right"), ("drift", 5, "right")]
    else:
        columns = [("variant", 0, "left"), ("weight", 15, "left"), ("share ± 95 %", 13, "right"), ("req/s", 6, "right")]
        columns += [("p99 ms", 6, "right"), ("err", 5, "right")]
    free = width - 2 - sum(size + 2 for _, size, _ in columns)
    return [(name, size or max(6, min(free, 40)), align) for name, size, align in columns]


def variant_rows(variants: Sequence[VariantFigures], width: int, colors: Sequence[Style]) -> list[Row]:
    """The table of variants, each in the colour of its curve."""
    columns = _columns(width)
    heads = [(strips.fit(name, size, align) + "  ", palette.faint) for name, size, align in columns]
    rows = [Row("", strips.line(width, [("  ", palette.plain), *heads]))]
    for variant in variants:
        cells = _cells(variant, width, colors[variant.slot % len(colors)] if colors else palette.plain)
        parts: list[strips.Part] = [("  ", palette.plain)]
        for name, size, align in columns:
            if name == "weight":
                parts += [*_bar(variant, size, cells["variant"][1]), ("  ", palette.plain)]
                continue
            text, style = cells[name]
            parts += [(strips.fit(text, size, align), style), ("  ", palette.plain)]
        rows.append(Row(variant.name, strips.line(width, parts)))
    return rows


def _cells(variant: VariantFigures, width: int, color: Style) -> dict[str, tuple[str, Style]]:
    def counted(count: float, look: Style) -> tuple[str, Style]:
        return f"{count:.0f}", look if count else palette.faint

    share = f"{100 * variant.share:.1f} ± {100 * variant.half:.1f} %" if variant.requests and not variant.shadow else ""
    latency = {name: "" if value is None else short_number(value) for name, value in (("p50", variant.p50), ("p99", variant.p99))}
    return {
        "variant": (f"━ {variant.name}" + ("" if width >= WIDE else f"  {variant.label}"), color),
        "model": (variant.label + (f"  ↻ {variant.restarts}" if variant.restarts else ""), palette.plain),
        "share ± 95 %": (share, palette.plain),
        "req/s": (short_number(variant.rate), palette.plain),
        "p50 ms": (latency["p50"], palette.plain),
        "p99 ms": (latency["p99"], palette.plain),
        "4xx": counted(variant.refused, palette.warn),
        "5xx": counted(variant.errors, palette.bad),
        "err": counted(variant.refused + variant.errors, palette.bad if variant.errors else palette.warn),
        "drift": (f"{variant.alarms}!" if variant.alarms else "·", palette.warn if variant.alarms else palette.faint),
    }


def _bar(variant: VariantFigures, width: int, color: Style) -> list[strips.Part]:
    """The weight as a bar and a figure; what was asked for and is not set yet in another colour."""
    if variant.shadow:
        return [(strips.fit("shadow", width), palette.violet)]
    share = variant.weight if variant.wanted is None else variant.wanted
    cells = width - 5
    full = min(cells, max(round(share * cells), int(share > 0)))
    text = (
        f"{100 * share:4.0f}%"
        if 100 * share >= 9.95 or share in (0, 0.05) or abs(100 * share - round(100 * share)) < 0.05
        else f"{100 * share:4.1f}%"
    )
    return [("▓" * full, color), ("░" * (cells - full), palette.faint), (text, palette.plain if variant.wanted is None else palette.accent)]


# -- drift ---------------------------------------------------------------------------------------------------------------------------


def _levels(row: Sequence[str | float]) -> tuple[str, Style]:
    level = row[7] if len(row) > 7 else ""
    return ("▲", palette.bad) if level == "alarm" else ("△", palette.warn) if level == "remark" else ("·", palette.dim)


def _number(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return "?"
    if 0 < abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def _found(table: Table | None, several: bool) -> list[tuple[str, Sequence[str | float]]]:
    """(what it is about, the row) of a table as `serving.watching` writes it, the most significant first."""
    rows = [row for row in table.rows if len(row) >= 9] if table else []
    order = {"alarm": 0, "remark": 1}
    rows.sort(key=lambda row: order.get(str(row[7]), 2))
    return [(f"{row[0]} {row[1]}" if several else str(row[1]), row) for row in rows]


def drift_lines(feed: EndpointFeed, width: int, several: bool) -> list[Strip]:
    """What differs from the test inputs: from where to where, p, PSI, since when."""
    found = _found(feed.table("drift"), several)
    if not found:
        return strips.paragraph(
            "Nothing is judged yet: every 500 requests are compared with the test inputs, of a model that was exported with them.",
            width,
            palette.dim,
        )
    what = max(8, min(30, width - 44))
    head = f"  {strips.fit('', what)}  {'mean or share':<16}{'p':>7} {'PSI':>5}  since"
    lines = [strips.line(width, [(head, palette.faint)])]
    for name, row in found:
        mark, style = _levels(row)
        moved = strips.fit(f"{_number(row[3])} → {_number(row[4])}", 15)
        index = row[6] if isinstance(row[6], str) else f"{row[6]:.2f}"
        parts = [(f"{mark} ", style), (strips.fit(one_line(name, 80), what), palette.plain if style is palette.dim else style)]
        parts += [(f"  {moved} {strips.fit(_number(row[5]), 7, 'right')} {strips.fit(index, 5, 'right')}  ", palette.plain)]
        lines.append(strips.line(width, [*parts, (str(row[8]), palette.dim)]))
    return lines


def word_lines(feed: EndpointFeed, width: int, several: bool) -> list[Strip]:
    """Words that have come and words that have gone; then where a shadow answers otherwise."""
    lines: list[Strip] = []
    found = _found(feed.table("words"), several)
    size = max(10, min(24, width - 34))
    for heading, level in (("new words", "alarm"), ("rarer words", "remark")):
        rows = [(name, row) for name, row in found if row[7] == level]
        if rows:
            lines.append(strips.line(width, [(f"{heading}: share of texts", palette.faint)]))
        for name, row in rows:
            mark, style = ("+", palette.bad) if level == "alarm" else ("−", palette.warn)
            shares = " → ".join(f"{100 * value:.1f} %" if isinstance(value, float | int) else "" for value in row[3:5])
            parts = [
                (f"{mark} ", style),
                (strips.fit(one_line(name, 60), size), style),
                (f"  {strips.fit(shares, 16)} p {_number(row[5])}", palette.plain),
            ]
            lines.append(strips.line(width, parts))
    if table := feed.table("disagreements"):
        by, answer, other = (one_line(name, 60) for name in table.columns[1:4])
        size = max(8, min(20, width // 3))
        lines.append(strips.line(width, [(f"{strips.fit(by, 6)} {strips.fit(answer, size)} shadow {other}", palette.faint)]))
        for row in table.rows:
            name, said, shadows = (one_line(_number(cell), 80) for cell in row[1:4])
            lines.append(strips.line(width, [(f"{strips.fit(name, 6)} {strips.fit(said, size)} {shadows}", palette.plain)]))
    if not lines:
        return strips.paragraph(
            "Words of texts that were rare or common in the test inputs stand here, and where a shadow answers otherwise.",
            width,
            palette.dim,
        )
    return lines


def worst(feed: EndpointFeed, width: int, several: bool) -> Strip:
    """The worst of drift and words in one line."""
    both = [*_found(feed.table("words"), several), *_found(feed.table("drift"), several)]
    both.sort(key=lambda pair: {"alarm": 0, "remark": 1}.get(str(pair[1][7]), 2))
    if not both:
        return strips.line(width, [("· no drift seen: no 500 requests are judged yet", palette.faint)])
    name, row = both[0]
    mark, style = _levels(row)
    if style is palette.dim:
        return strips.line(width, [("· no drift", palette.good), (f"   nearest: {one_line(name, 60)}, p {_number(row[5])}", palette.dim)])
    text = f"{mark} {one_line(name, 60)}: {row[2]} {_number(row[3])} → {_number(row[4])}, p {_number(row[5])}"
    return strips.line(width, [(text, style)], [(f" since {row[8]}" if row[8] else "", palette.dim)])


# -- timeline ------------------------------------------------------------------------------------------------------------------------


def timeline(feed: EndpointFeed) -> list[Mark | Status]:
    """What happened, newest first."""
    told: list[Mark | Status] = [
        *feed.history.marks[-MARKS:],
        *(status for status in feed.history.statuses[-MARKS:] if status.state in TOLD),
    ]
    return sorted(told, key=lambda event: event.time, reverse=True)[:MARKS]


def event_line(event: Mark | Status, width: int) -> Strip:
    """One line of the timeline: when, what."""
    text = event.text if isinstance(event, Mark) else ": ".join(filter(None, (event.state, event.message)))
    kind = text.partition(":")[0].partition(" ")[0]
    sign, colour = KINDS.get(kind, ("·", "dim"))
    if isinstance(event, Status):
        sign, colour = states.STATES.get(event.state, ("·", "dim"))
    style: Style = getattr(palette, colour)
    day = formatting.when(event.time)
    clock = time.strftime("%H:%M:%S", time.localtime(event.time)) if ":" in day else day
    return strips.line(
        width,
        [
            (strips.fit(clock, 9), palette.faint),
            (f"{sign} ", style),
            (one_line(text, 400), style if style is not palette.dim else palette.plain),
        ],
    )
