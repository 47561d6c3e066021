"""The title and the legend of a chart: names with their latest values, in one or two rows, shortened until they fit."""

import math
from collections.abc import Sequence

from workbench.tui.charts.axes import number
from workbench.tui.charts.cells import Cells, cut, text_width
from workbench.tui.charts.plot import BAD, FOCUS, SERIES, TITLE, Plot

LEGIBLE = 6
"""Fewest letters of a name that is cut."""
TALL = 8
"""A chart with so many rows uses a second one for its legend, where one row has no room for the names."""


def _bare(names: Sequence[str]) -> list[str]:
    """The names without their common first words."""
    bare = list(names)
    while len(bare) > 1 and all(" " in name for name in bare) and len({name.split(" ", 1)[0] for name in bare}) == 1:
        bare = [name.split(" ", 1)[1] for name in bare]
    return bare


def _room(plot: Plot, width: int, whole: bool) -> int:
    """The cells of the first row that the title, whole or cut, leaves free."""
    return width - min(text_width(plot.title), width if whole else max(8, width // 3)) - 2


def legend_rows(plot: Plot, width: int, height: int) -> int:
    """0 without a title and names, 1, or 2 where the names alone do not fit beside the title.

    Values do not count, so that the chart does not jump when they change.
    """
    names = _bare([trace.name for trace in plot.traces if not trace.faint and trace.named])
    if not plot.title and not any(names) and all(trace.value is None for trace in plot.traces):
        return 0
    return 2 if height >= TALL and _wide(names) > _room(plot, width, whole=True) else 1


def header(cells: Cells, plot: Plot, rows: int, top: int) -> None:
    """Write the title on the left and names with latest values on the right; in little room first shared words go, then values, then names.

    With a cursor the values are beside it, if there are enough `rows`. In two rows (`top`) the legend continues below the title.
    """
    beside = plot.cursor is not None and rows >= len(plot.traces)
    traces = [trace for trace in plot.traces if not trace.faint and trace.named]
    values = ["" if trace.value is None or (beside and trace.name) else number(trace.value) for trace in traces]
    names = [trace.name for trace in traces]
    rooms = [_room(plot, cells.width, whole=top > 1), cells.width][:top]
    room, bare, none = sum(rooms), _bare(names), [""] * len(names)
    valued = (room - sum(text_width(value) + 3 for value in values) + 2) // max(1, len(names))
    alone = (room + 2) // max(1, len(names)) - 2
    forms = [(names, values), (bare, values)]
    if valued >= LEGIBLE and top == 1:
        forms.append((_cut(bare, valued), values))
    forms.append((bare, none))
    # Not one length alone: in two rows a name that does not fit at the end of the first moves on, so the right length is tried out.
    forms += [(_cut(bare, letters), none) for letters in range(alone, LEGIBLE - 1, -1)]
    forms.append((["" if value else name for name, value in zip(bare, values, strict=True)], values))
    # From the fullest form to the barest: the first in which every series has a place.
    lines: list[list[str]] = []
    for form in forms:
        words = [f"{name} {value}".strip() for name, value in zip(*form, strict=True)]
        lines = _filled(words, rooms)
        if sum(map(len, lines)) == len(words):
            break
    left = iter(traces)
    for row, line in enumerate(lines):
        x = cells.width - _wide(line)
        if not row:
            cells.write(0, 0, cut(plot.title, max(0, min(x - 2, cells.width) if line else cells.width)), FOCUS if plot.focused else TITLE)
        for word, trace in zip(line, left, strict=False):
            key = BAD if trace.value is not None and not math.isfinite(trace.value) else SERIES + trace.slot
            x = cells.write(x, row, word, key) + 2


def _cut(names: Sequence[str], room: int) -> list[str]:
    """The names, each cut to `room`: their beginnings, or their last words where the beginnings are equal."""
    begun = [cut(name, room) for name in names]
    return begun if len(set(begun)) == len(names) else [cut(name.rsplit(" ", 1)[-1], room) for name in names]


def _filled(words: Sequence[str], rooms: Sequence[int]) -> list[list[str]]:
    """As many words as fit into rows of these widths."""
    left, lines = list(words), []
    for room in rooms:
        line: list[str] = []
        while left and _wide([*line, left[0]]) <= room:
            line.append(left.pop(0))
        lines.append(line)
    return lines


def _wide(words: Sequence[str]) -> int:
    """The width of words with two spaces between them."""
    return sum(text_width(word) + 2 for word in words) - 2
