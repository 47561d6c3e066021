"""What the HTML page shows of a run's samples: pictures in tiles with captions, matrices, curves, points, texts, tables."""

import base64
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench import files
from workbench.events import Curve, Images, Matrix, Scatter, Table, Tagged, Text, split_tag
from workbench.formatting import number
from workbench.problems import Problem, one_line
from workbench.runs.export import svg
from workbench.runs.history import History
from workbench.runs.log import read_rows

PICTURE_LIMIT = 16 << 20
"""Bytes of one PNG."""
TILES, POINTS, ROWS, CELLS = 120, 3000, 200, 24
"""The most pictures, points and table rows shown of one sample, and the widest matrix that has its numbers written in."""


def sample_figures(folder: Path, history: History, *, steps: bool = True) -> list[dict[str, Any]]:
    """The newest of each tag, as the template takes them; curves and points of one metric stand in one chart. `folder` is the run's.

    Without `steps` none is named: what was explored has no steps.
    """
    together: dict[str, list[Tagged]] = {}
    for samples in history.samples.values():
        event = samples.latest
        charted = isinstance(event, Curve | Scatter)
        together.setdefault(split_tag(event.tag)[1] if charted else f"alone {event.tag}", []).append(event)
    return [_figure(folder, events, steps) for events in together.values()]


def _figure(folder: Path, events: Sequence[Tagged], steps: bool) -> dict[str, Any]:
    event = events[0]
    split, metric, series = split_tag(event.tag)
    where = (split if split != "sample" else "", "" if isinstance(event, Curve) else series, f"step {event.step:,}" if steps else "")
    content: dict[str, Any]
    try:
        if isinstance(event, Images):
            content = _images(folder, event)
        elif isinstance(event, Matrix):
            content = _matrix(folder, event)
        elif isinstance(event, Text):
            content = {"kind": "text", "text": event.text, "prompt": event.prompt}
        elif isinstance(event, Table):
            content = _table(event)
        else:
            content = _charted(folder, events)
    # A missing or damaged artifact costs its own figure, not the page.
    except (OSError, ValueError, Problem) as error:
        content = {"kind": "problem", "problem": str(error)}
    return {"metric": metric, "where": " · ".join(filter(None, where)), "wide": _is_wide(event), **content}


def _is_wide(event: Tagged) -> bool:
    if isinstance(event, Images):
        return len(event.captions) > 8
    if isinstance(event, Matrix):
        return bool(event.file) or max(map(len, event.values), default=0) > 10
    return isinstance(event, Text) or (isinstance(event, Table) and len(event.columns) > 4)


def _charted(folder: Path, events: Sequence[Tagged]) -> dict[str, Any]:
    lines: list[svg.Line] = []
    labels = ("", "")
    for event in events:
        assert isinstance(event, Curve | Scatter)
        x, y = (read_rows(folder / event.file).tolist() if event.file else [event.x, event.y])[:2]
        split, metric, series = split_tag(event.tag)
        if isinstance(event, Curve):
            labels = (one_line(event.labels[0], 40), one_line(event.labels[1], 40))
            lines.append(svg.Line(series or split or metric, x, y, len(lines)))
            continue
        x = x[: len(y)]  # of a project that has more of one than of the other
        # Rounded up, so that no more than POINTS are left.
        every = -(-len(x) // POINTS) or 1
        names = event.labels if len(event.labels) == len(x) else [""] * len(x)
        for name in dict.fromkeys(names):
            places = [place for place in range(0, len(x), every) if names[place] == name]
            lines.append(svg.Line(name, [x[place] for place in places], [y[place] for place in places], len(lines), points=True))
    return {"kind": "chart", "lines": lines, "chart": svg.chart(lines, labels=labels)}


def _source(png: bytes) -> str:
    from markupsafe import Markup

    # Marked as safe: base64 needs no escaping, and as a text it would be cut to a line of 2,000 characters.
    return Markup(f"data:image/png;base64,{base64.b64encode(png).decode()}")


def picture(folder: Path, event: Images) -> tuple[bytes, int, int]:
    """The PNG of an event, its width and height. OSError or ValueError where it is gone, or is none."""
    data = event.png or files.read_plain(folder / event.file, PICTURE_LIMIT + 1)
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) > PICTURE_LIMIT:
        raise ValueError("it is no PNG, or a very large one")
    return data, int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")  # PNG, 11.2.2 IHDR


def _images(folder: Path, event: Images) -> dict[str, Any]:
    data, width, height = picture(folder, event)
    columns = max(1, event.columns)
    # Only the captions tell how many pictures the grid holds.
    rows = -(-len(event.captions) // columns)
    if len(event.captions) < 2 or not any(event.captions) or not width or not height or rows > height:
        caption = event.captions[0] if event.captions else ""
        return {"kind": "images", "image": _source(data), "tiles": [], "look": "pixels" if width < 400 else "", "caption": caption}
    tile_width, tile_height = width / columns, height / rows
    # In pixels of CSS: small pictures are enlarged, large ones reduced.
    wide = 168 if tile_width > 128 else 104 if tile_width > 48 else 72

    def share(place: int, places: int) -> str:
        # background-position in CSS: p % of the sheet lies on p % of the tile, so the last of n tiles is at 100 %, not at (n - 1) / n.
        return f"{place / (places - 1) * 100 if places > 1 else 0:.3f}"

    captions = enumerate(event.captions[:TILES])
    return {
        "kind": "images",
        "image": _source(data),
        "name": f"p{zlib.crc32(data):08x}",
        "width": wide,
        "height": f"{wide * tile_height / tile_width:.0f}",
        "look": "pixels" if tile_width < 128 else "",
        "columns": columns,
        "rows": rows,
        "tiles": [(share(place % columns, columns), share(place // columns, rows), caption) for place, caption in captions],
        "more": len(event.captions) - TILES,
    }


def _matrix(folder: Path, event: Matrix) -> dict[str, Any]:
    values = read_rows(folder / event.file).tolist() if event.file else event.values
    across = max(map(len, values), default=0)
    # The difference is not 0 for NaN and infinity.
    finite = [value for row in values for value in row if value - value == 0]
    low, high = min(0.0, *finite) if finite else 0.0, max(finite, default=0.0)
    shares = [[(value - low) / (high - low or 1.0) if value - value == 0 else 0.0 for value in row] for row in values]
    if across > CELLS or len(values) > CELLS:
        caption = f"{len(values):,} × {across:,}; black is {number(high)}, white {number(low)}"
        return {"kind": "images", "image": _source(_gray(shares, across)), "tiles": [], "look": "pixels matrix", "caption": caption}
    return {
        "kind": "matrix",
        "cells": [[(share, round(value, 3)) for share, value in zip(*pair, strict=True)] for pair in zip(shares, values, strict=True)],
        "rows": event.rows if len(event.rows) == len(values) else [],
        "columns": event.columns if len(event.columns) == across else [],
    }


def _gray(shares: list[list[float]], width: int) -> bytes:
    """A grey PNG, a pixel for each share of black; short rows end in white."""
    from PIL import Image

    rows = [bytes(255 - round(share * 255) for share in row).ljust(width, b"\xff") for row in shares]
    file = io.BytesIO()
    Image.frombytes("L", (width, len(rows)), b"".join(rows)).save(file, "PNG", optimize=True)
    return file.getvalue()


def _table(event: Table) -> dict[str, Any]:
    width = len(event.columns)
    return {
        "kind": "table",
        "columns": event.columns,
        "rows": [row[:width] for row in event.rows[:ROWS]],
        "numeric": [all(isinstance(row[place], float) for row in event.rows if place < len(row)) for place in range(width)],
        "more": len(event.rows) - ROWS,
    }
