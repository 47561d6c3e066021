"""The lines of the usage screen: device-hours as bars by day, recipe, device, tuning and endpoint, and a budget. Pure functions."""

import time
from collections.abc import Sequence
from datetime import date, timedelta

from textual.strip import Strip

from workbench.formatting import hours
from workbench.problems import one_line
from workbench.runs import usage
from workbench.runs.usage import Budget, Group, Use
from workbench.tui.drawing import palette, strips

DAYS, FEW_DAYS = 14, 7
"""So many days have a bar, the days without a run too; and where there is little room."""
ROWS = 8
"""Most bars of each other table."""
TITLES = {"device": "devices", "recipe": "recipes", "tuning": "tunings", "endpoint": "endpoints"}


def head_lines(uses: Sequence[Use], budget: Budget | None, span: str, width: int) -> list[Strip]:
    """The total, and the budget as a bar."""
    whole = usage.total(uses)
    # With the colours of the bars.
    kinds = ((whole.gpu, "on GPUs", palette.accent), (whole.cpu, "on the CPU", palette.dim))
    figures: list[list[strips.Part]] = [
        [("━ ", style), (hours(used), palette.bold), (f" {where}", palette.dim)] for used, where, style in kinds if used
    ]
    runs = len({use.run for use in uses if use.run})
    parts = strips.joined([[(" Usage", palette.heading), (f", {span}", palette.dim)], *figures], ("   ", palette.plain))
    lines = [strips.line(width, parts, [(f" {runs:,} run{'s' * (runs != 1)} ", palette.faint)])]
    if budget is None:
        return [*lines, strips.line(width, [(" No budget: `dlwb preferences budget=100` sets one of 100 hours.", palette.faint)])]
    style = palette.bad if budget.share >= 1 else palette.warn if budget.warning else palette.good
    text = f"  {hours(budget.used)} of {budget.hours:g} {budget.unit}, {min(budget.share, 99.99):.0%} "
    room = max(4, width - len(text) - 9)
    full = round(min(1.0, budget.share) * room)
    drawn: list[strips.Part] = [(" budget  ", palette.dim), ("━" * full, style), ("─" * (room - full), palette.faint), (text, style)]
    return [*lines, strips.line(width, drawn)]


def day_lines(uses: Sequence[Use], width: int, today: float | None = None, count: int = DAYS) -> list[Strip]:
    """A bar for each of the last `count` days, the newest last."""
    by_day = {group.name: group for group in usage.by(uses, "day")}
    newest = date.fromtimestamp(time.time() if today is None else today)
    days = [newest - timedelta(days=back) for back in reversed(range(count))]
    groups = [by_day.get(day.isoformat(), Group(day.isoformat(), 0.0, 0.0, 0)) for day in days]
    names = [f"{day:%a} {day.day:2} {day:%b}" for day in days]
    earlier = sum(group.hours for name, group in by_day.items() if name < days[0].isoformat())
    lines = _table("days", groups, names, width)
    return [*lines, strips.line(width, [(f"and {hours(earlier)} earlier", palette.faint)])] if earlier else lines


def group_lines(uses: Sequence[Use], width: int) -> list[Strip]:
    """The bars of recipes, devices, tunings and endpoints; a table without rows is left out."""
    lines: list[Strip] = []
    for what in ("recipe", "device", "tuning", "endpoint"):
        groups = usage.by(uses, what)
        if groups:
            lines += [strips.line(width, [])] if lines else []
            lines += _table(TITLES[what], groups[:ROWS], [one_line(group.name, 60) for group in groups[:ROWS]], width)
        if len(groups) > ROWS:
            rest = sum(group.hours for group in groups[ROWS:])
            lines.append(strips.line(width, [(f"and {len(groups) - ROWS} more with {hours(rest)}", palette.faint)]))
    return lines


def _table(title: str, groups: Sequence[Group], names: Sequence[str], width: int) -> list[Strip]:
    """Names, bars and hours: the GPUs' part of a bar is bright, the CPU's is not."""
    label = min(max(map(len, names), default=0), max(10, width * 2 // 5))
    figure = max((len(hours(group.hours)) for group in groups), default=0)
    room = max(1, width - label - figure - 4)
    largest = max((group.hours for group in groups), default=0.0) or 1.0
    lines = [strips.line(width, [(title, palette.bold)])]
    for group, name in zip(groups, names, strict=True):
        whole = _cells(group.hours / largest, room)
        gpu = min(whole, _cells(group.gpu / largest, room))
        text = hours(group.hours) if group.hours else "·"
        parts: list[strips.Part] = [
            (strips.fit(name, label) + "  ", palette.dim),
            ("━" * gpu, palette.accent),
            ("━" * (whole - gpu), palette.dim),
        ]
        lines.append(strips.line(width, parts, [(text, palette.plain if group.hours else palette.faint)]))
    return lines


def _cells(share: float, room: int) -> int:
    """The length of a bar: what is there at all is seen."""
    return max(1, round(share * room)) if share else 0
