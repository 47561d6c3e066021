"""The samples of a run as HTML figures, for `page`: pictures in tiles with captions, matrices, curves, points, texts, tables."""

import base64
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape

from workbench import files, formatting, npy
from workbench.events import Curve, Images, Matrix, Scatter, Table, Tagged, Text, split_tag
from workbench.formatting import number
from workbench.problems import Problem, clean, one_line
from workbench.runs.export import svg
from workbench.runs.history import History
from workbench.runs.runs import Run

PICTURE_LIMIT = 16 << 20
"""Bytes of one PNG."""
TILES, POINTS, ROWS, CELLS = 120, 3000, 200, 24
"""The most pictures, points and table rows shown of one sample, and the widest matrix that has its numbers written in."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def sample_figures(run: Run, history: History) -> Iterator[str]:
    """The newest of each tag; curves and points of one metric stand in one chart."""
    makers: list[tuple[str, Tagged, Callable[[], str]]] = []
    charted: dict[str, list[Curve | Scatter]] = {}
    for samples in history.samples.values():
        event = samples.latest
        metric = split_tag(event.tag)[1]
        if isinstance(event, Curve | Scatter):
            if metric not in charted:
                charted[metric] = []
                makers.append((metric, event, partial(_charted, run, charted[metric])))
            charted[metric].append(event)
        elif isinstance(event, Images):
            makers.append((metric, event, partial(_pictures, run, event)))
        elif isinstance(event, Matrix):
            makers.append((metric, event, partial(_matrix, run, event)))
        else:
            makers.append((metric, event, partial(_words, event)))
    if makers:
        yield "<section><h2>Samples</h2><div class=grid>"
        yield from (_figure(*each) for each in makers)
        yield "</div></section>"


def legend(lines: Sequence[svg.Line], *, latest: bool = False) -> str:
    """The names of lines in their colours, with the latest values."""
    keys = []
    for line in lines[:24]:
        value = f" {number(line.y[-1])}" if latest and len(line.y) else ""
        keys.append(f'<span class="key s{line.slot % svg.SLOTS + 1}">{_text(line.name)}{value}</span>' if line.name else "")
    return "".join(keys)


def _text(text: str) -> str:
    return escape(one_line(text, 2000))


def _figure(metric: str, event: Tagged, make: Callable[[], str]) -> str:
    split, _, series = split_tag(event.tag)
    series = "" if isinstance(event, Curve) else series
    where = " · ".join(filter(None, (split if split != "sample" else "", series, f"step {event.step:,}")))
    try:
        body = make()
    except (OSError, ValueError, Problem) as error:
        body = f"<p class=faint>This cannot be shown: {_text(str(error))}</p>"
    caption = f"{_text(metric)} <span class=faint>{_text(where)}</span>"
    return f"<figure{' class=wide' if _is_wide(event) else ''}><figcaption>{caption}</figcaption>{body}</figure>"


def _is_wide(event: Tagged) -> bool:
    if isinstance(event, Images):
        return len(event.captions) > 8
    if isinstance(event, Matrix):
        return bool(event.file) or max(map(len, event.values), default=0) > 10
    return isinstance(event, Text) or (isinstance(event, Table) and len(event.columns) > 4)


def _charted(run: Run, found: list[Curve | Scatter]) -> str:
    lines: list[svg.Line] = []
    labels = ("", "")
    for event in found:
        x, y = (npy.decode(files.read_plain(run.path / event.file)) if event.file else [event.x, event.y])[:2]
        split, metric, series = split_tag(event.tag)
        if isinstance(event, Curve):
            labels = (one_line(event.labels[0], 40), one_line(event.labels[1], 40))
            lines.append(svg.Line(series or split or metric, x, y, len(lines)))
            continue
        every = -(-len(x) // POINTS) or 1
        names = event.labels if len(event.labels) == len(x) else [""] * len(x)
        for name in dict.fromkeys(names):
            places = [place for place in range(0, len(x), every) if names[place] == name]
            lines.append(svg.Line(name, [x[place] for place in places], [y[place] for place in places], len(lines), points=True))
    return svg.chart(lines, labels=labels) + f"<p>{legend(lines)}</p>"


def _pictures(run: Run, event: Images) -> str:
    data = event.png or files.read_plain(run.path / event.file, PICTURE_LIMIT + 1)
    if not data.startswith(_SIGNATURE) or len(data) > PICTURE_LIMIT:
        raise ValueError("it is no PNG, or a very large one")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")  # PNG, 11.2.2 IHDR
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    columns = max(1, event.columns)
    rows = -(-len(event.captions) // columns)
    if len(event.captions) < 2 or not any(event.captions) or not width or not height or rows > height:
        caption = f"<p class=faint>{_text(event.captions[0])}</p>" if event.captions and event.captions[0] else ""
        return f'<img class="{"pixels" if width < 400 else ""}" alt="" src="{source}">{caption}'
    tile = width / columns, height / rows
    wide = 168 if tile[0] > 128 else 104 if tile[0] > 48 else 72
    name = f"p{zlib.crc32(data):08x}"
    style = (
        f".{name}{{width:{wide}px;height:{wide * tile[1] / tile[0]:.0f}px;background-image:url({source});"
        f"background-size:{columns * 100}% {rows * 100}%}}.{name}~p{{max-width:{wide}px}}"
    )
    made = [f"<style>{style}</style><div class=tiles>"]
    for place, caption in enumerate(event.captions[:TILES]):
        across = place % columns / (columns - 1) * 100 if columns > 1 else 0
        down = place // columns / (rows - 1) * 100 if rows > 1 else 0
        kind = f"tile {name}" + (" pixels" if tile[0] < 128 else "")
        made.append(f'<div><div class="{kind}" style="background-position:{across:.3f}% {down:.3f}%"></div><p>{_text(caption)}</p></div>')
    more = len(event.captions) - TILES
    return "".join(made) + "</div>" + (f"<p class=faint>and {more:,} more</p>" if more > 0 else "")


def _matrix(run: Run, event: Matrix) -> str:
    values = npy.decode(files.read_plain(run.path / event.file)) if event.file else event.values
    across = max(map(len, values), default=0)
    finite = [value for row in values for value in row if value - value == 0]
    low, high = min(0.0, *finite) if finite else 0.0, max(finite, default=0.0)
    span = high - low or 1.0
    if across > CELLS or len(values) > CELLS:
        shades = [bytes(255 - round((value - low) / span * 255) if value - value == 0 else 255 for value in row) for row in values]
        source = base64.b64encode(_gray(shades, across)).decode()
        size = f"{len(values):,} × {across:,}; black is {number(high)}, white {number(low)}"
        return f'<img class="pixels matrix" alt="" src="data:image/png;base64,{source}"><p class=faint>{size}</p>'
    named = len(event.rows) == len(values)
    lines = ["<div class=scroll><table class=matrix>"]
    if len(event.columns) == across:
        lines.append("<tr>" + "<th>" * named + "".join(f"<th>{_text(name)}" for name in event.columns))
    for place, row in enumerate(values):
        cells = "".join(
            f'<td style="--share:{(value - low) / span if value - value == 0 else 0:.2f}"'
            f"{' class=strong' if (value - low) / span > 0.55 else ''}>{number(round(value, 3))}"
            for value in row
        )
        lines.append("<tr>" + (f"<th>{_text(event.rows[place])}" if named else "") + cells)
    square = event.rows == event.columns and event.rows
    return "".join(lines) + "</table></div>" + ("<p class=faint>rows: truth, columns: prediction</p>" if square else "")


def _gray(rows: Sequence[bytes], width: int) -> bytes:
    """A grey PNG, a byte a pixel; short rows end in white."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + len(rows).to_bytes(4, "big") + b"\x08\0\0\0\0"
    pixels = b"".join(b"\0" + row.ljust(width, b"\xff") for row in rows)
    return _SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")


def _words(event: Tagged) -> str:
    if isinstance(event, Text):
        return f"<pre>{f'<b>{escape(clean(event.prompt))}</b>' if event.prompt else ''}{escape(clean(event.text))}</pre>"
    assert isinstance(event, Table)
    numeric = [all(isinstance(row[place], float) for row in event.rows if place < len(row)) for place in range(len(event.columns))]

    def cells(row: Sequence[str | float], kind: str) -> str:
        texts = [_text(cell) if isinstance(cell, str) else number(cell) for cell in row[: len(numeric)]]
        return "<tr>" + "".join(f"<{kind}{' class=n' if right else ''}>{text}" for text, right in zip(texts, numeric, strict=False))

    more = len(event.rows) - ROWS
    body = cells(event.columns, "th") + "".join(cells(row, "td") for row in event.rows[:ROWS])
    return f"<div class=scroll><table>{body}</table></div>" + (
        f"<p class=faint>and {formatting.count(more)} more rows</p>" if more > 0 else ""
    )
