"""Packs panels of different natural sizes into a board: small tables beside one another, curves and pictures take what is left."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from textual.geometry import Region

from workbench.events import Curve, Images, Matrix, Scatter, Table, Tagged, Text
from workbench.tui.charts.matrix import natural
from workbench.tui.panels.sheet import cell_texts

GAP = 2
MOST = 3
"""Panels in a row: with more of them a person no longer sees which belongs to what."""
WIDEST_TEXT = 60
TILE = 32
"""Columns of one of few pictures: with half of them a photograph is a dozen squares."""
# A matrix with more cells than these is drawn as shades, and grows with its room.
MOST_CELLS = (24, 20)
"""Columns and rows of a matrix whose numbers are readable."""


class Need(NamedTuple):
    """What a panel needs to be readable."""

    width: int
    height: int
    grows: int = 0
    """Its share of the rows that are left over; 0 for a panel that gains nothing from more of them."""


def need_of(event: Tagged) -> Need:
    """What the panel of an event needs, its first line with the name included."""
    match event:
        case Table(columns=columns, rows=rows):
            texts = [columns, *cell_texts(event)]
            widths = [max(min(len(row[place]), 24) for row in texts if place < len(row)) for place in range(len(columns))]
            # Two cells between columns, and one for the bar of a table that is longer than its panel.
            return Need(sum(widths) + 2 * len(widths) - 1, min(len(rows), 24) + 3)
        case Matrix(values=values, rows=names, columns=heads):
            tall, wide = len(values), max(map(len, values), default=0)
            if wide > MOST_CELLS[0] or tall > MOST_CELLS[1]:
                return Need(min(2 * wide, 64), 10, 2)
            return Need(natural(np.array(values, float), names, heads, whole=True)[0], tall + 2 + bool(heads))
        case Text(text=text):
            lines = text.split("\n")
            width = min(WIDEST_TEXT, max(map(len, lines)) + 2)
            return Need(width, min(14, sum(1 + len(line) // max(1, width) for line in lines) + 2))
        case Images(captions=captions, columns=columns):
            tiles = -(-max(1, len(captions)) // max(1, columns))
            return Need(TILE * columns if columns < 3 else 76, 3 + 6 * tiles, 3)
        case Curve() | Scatter():
            return Need(36, 9, 2)
    return Need(30, 8, 1)


def packed(needs: Mapping[str, Need], width: int, height: int, focus: str = "") -> dict[str, Region]:
    """The place of each panel; where not all fit, those of the page with the focus."""
    pages: list[list[list[str]]] = [[]]
    used = 0
    for row in _rows(needs, width):
        tall = _height(needs, row)
        if pages[-1] and used + tall > height:
            pages.append([])
            used = 0
        pages[-1].append(row)
        used += tall
    page = next((page for page in pages if any(focus in row for row in page)), pages[0])
    return _placed(needs, page, width, height)


def _rows(needs: Mapping[str, Need], width: int) -> list[list[str]]:
    rows: list[list[str]] = []
    room = 0
    for name, need in needs.items():
        if rows and len(rows[-1]) < MOST and need.width + GAP <= room:
            rows[-1].append(name)
            room -= need.width + GAP
        else:
            rows.append([name])
            room = width - need.width
    return rows


def _height(needs: Mapping[str, Need], row: Sequence[str]) -> int:
    return max(needs[name].height for name in row)


def _placed(needs: Mapping[str, Need], page: Sequence[Sequence[str]], width: int, height: int) -> dict[str, Region]:
    shares = [max(needs[name].grows for name in row) for row in page]
    heights = [_height(needs, row) for row in page]
    if not page:
        return {}
    free = height - sum(heights)
    # Rows that gain nothing leave the rest of the board empty: a table pulled apart is harder to read.
    for place, share in enumerate(shares):
        extra = free * share // max(1, sum(shares[place:])) if free > 0 else 0
        heights[place] += extra
        free -= extra
    regions: dict[str, Region] = {}
    y = 0
    for row, tall in zip(page, heights, strict=True):
        # The first panel of a page that is too low for it is cut, never moved out of the board.
        tall = min(tall, height - y)
        for name, (x, wide) in zip(row, _across(needs, row, width), strict=True):
            regions[name] = Region(x, y, wide, max(1, tall))
        y += tall
    return regions


def _across(needs: Mapping[str, Need], row: Sequence[str], width: int) -> list[tuple[int, int]]:
    """(start, width) of each panel of a row: what grows takes the columns that are left, else all take a part."""
    free = max(0, width - GAP * (len(row) - 1) - sum(needs[name].width for name in row))
    growing = [needs[name].grows for name in row]
    alike = (width - GAP * (len(row) - 1)) // len(row)
    if len(set(growing)) == 1 and all(needs[name].width <= alike for name in row):
        # Panels of the same kind in equal columns: they stand below those of the row above.
        return [(place * (alike + GAP), alike) for place in range(len(row))]
    shares = growing if any(growing) else [1] * len(row)
    places: list[tuple[int, int]] = []
    x = 0
    for place, name in enumerate(row):
        extra = free * shares[place] // max(1, sum(shares[place:]))
        free -= extra
        size = min(needs[name].width + extra, width - x)
        places.append((x, size))
        x += size + GAP
    return places
