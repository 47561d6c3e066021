"""Sparing output: Textual repaints whole regions; Frame remembers what the terminal shows and lets through only the cells that differ.

The colour codes between two cells are only those that change. Used by the app for every update of the screen.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby, pairwise
from operator import itemgetter, ne

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import SGR_STYLES, Strip

Look = tuple[str, str, str]
"""Attributes, foreground and background as SGR parameters."""
Cell = tuple[str, Look]
PLAIN: Look = ("", "", "")
UNKNOWN: Cell = ("\0", PLAIN)
BRIDGE = 4
"""Unchanged cells of the same look that are sent again rather than skipped: a cursor move takes as many bytes."""


@lru_cache(4096)
def look(style: Style | None, system: ColorSystem) -> Look:
    """A style as the codes that it takes in this colour system."""
    if style is None:
        return PLAIN
    bits = style._attributes & style._set_attributes
    attributes = ";".join(SGR_STYLES[bit] for bit in range(bits.bit_length()) if bits & 1 << bit)
    front = ";".join(style.color.downgrade(system).get_ansi_codes()) if style.color else ""
    back = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False)) if style.bgcolor else ""
    return attributes, front, back


@lru_cache(256)
def _seen_on_space(attributes: str) -> bool:
    """Whether a space shows them: underline, reverse, strike, overline."""
    return bool({"4", "7", "9", "21", "53"} & set(attributes.split(";")))


def _blank(of: Look) -> Look:
    """The look of a space: its foreground is not seen, nor that it is bold."""
    return of if _seen_on_space(of[0]) else ("", "", of[2])


def cells(strip: Strip, system: ColorSystem) -> list[Cell]:
    """One (character, look) a column; the right half of a wide character is "" """
    columns: list[Cell] = []
    for text, style, _ in strip:
        own_look = look(style, system)
        blank = (" ", _blank(own_look))
        if text.isascii():
            columns.extend([blank if character == " " else (character, own_look) for character in text])
            continue
        for character in text:
            size = cell_len(character)
            if size == 0 and columns:
                columns[-1] = (columns[-1][0] + character, columns[-1][1])
            elif size:
                columns.append((character, own_look))
                columns.extend([("", own_look)] * (size - 1))
    return columns


class Frame:
    """What the terminal shows now, as far as it is known."""

    def __init__(self) -> None:
        self._rows: list[list[Cell]] = []
        self._size = Size(0, 0)

    def forget(self) -> None:
        """Nothing is known any more: the next update of a cell is sent whatever it holds."""
        self._size = Size(0, 0)

    def output(self, update: CompositorUpdate, size: Size, console: Console) -> str:
        """What to send so that the terminal shows the update too; "" when it does already."""
        if size != self._size:
            self._size = size
            self._rows = [[UNKNOWN] * size.width for _ in range(size.height)]
        system = console._color_system or ColorSystem.TRUECOLOR
        updated: dict[int, list[Cell]] = {}
        for y, x, strip, start, end in _pieces(update):
            if not 0 <= y < size.height:
                continue
            row = updated.get(y)
            if row is None:
                row = updated[y] = list(self._rows[y])
            start, end = max(start, x, 0), min(end, x + strip.cell_length, size.width)
            if start < end:
                row[start:end] = cells(strip, system)[start - x : end - x]
        written = "".join(_changes((y, self._rows[y], row) for y, row in sorted(updated.items()) if row != self._rows[y]))
        for y, row in updated.items():
            self._rows[y] = row
        return written and written + "\x1b[0m"


class Ready(CompositorUpdate):
    """An update as text already."""

    def __init__(self, text: str) -> None:
        self.text = text

    def render_segments(self, console: Console) -> str:
        return self.text


def _pieces(update: CompositorUpdate) -> Iterable[tuple[int, int, Strip, int, int]]:
    """(row, column, strip, first column shown, column after the last) of an update."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield y, x, strip, x, update.region.right
                x += strip.cell_length
    elif isinstance(update, ChopsUpdate):
        for y, start, end in update.spans:
            for x, piece in update.chops[y].items():
                if piece is not None and x < end and x + piece.cell_length > start:
                    yield y, x, piece, start, end


def _changes(rows: Iterable[tuple[int, list[Cell], list[Cell]]]) -> Iterator[str]:
    """The cells of rows (number, old, new) that differ, with as few moves and codes as there can be."""
    now: Look | None = None
    for y, old, new in rows:
        for start, end in _spans(old, new):
            yield f"\x1b[{y + 1};{start + 1}H"
            for wanted, group in groupby(new[start:end], itemgetter(1)):
                text = "".join(character for character, _ in group)
                if wanted != now and now and not text.strip(" ") and not wanted[0] and not _seen_on_space(now[0]):
                    wanted = (now[0], now[1], wanted[2])
                if wanted != now:
                    yield _turn(now, wanted)
                    now = wanted
                yield text


def _spans(old: list[Cell], new: list[Cell]) -> list[tuple[int, int]]:
    """Columns that differ, with whole wide characters; spans with a short gap of one look between them are joined."""
    differ = [*map(ne, old, new), False]
    spans: list[tuple[int, int]] = []
    place = 0
    while True in differ[place:]:
        start = differ.index(True, place)
        place = end = differ.index(False, start)
        while start and not (new[start][0] and old[start][0]):
            start -= 1
        while end < len(new) and not (new[end][0] and old[end][0]):
            end += 1
        before = spans[-1][1] if spans else -BRIDGE - 1
        if start <= before or (start <= before + BRIDGE and _one_look(new[before - 1 : start + 1])):
            spans[-1] = (spans[-1][0], max(end, before))
        else:
            spans.append((start, end))
    return spans


def _one_look(between: list[Cell]) -> bool:
    return all(left[1] == right[1] or " " in (left[0], right[0]) for left, right in pairwise(between))


def _turn(now: Look | None, wanted: Look) -> str:
    """The codes that lead from one look to another."""
    if now is None or now[0] != wanted[0]:
        codes = ["0" if now is None or now[0] else "", *wanted]
    else:
        codes = ["" if now[1] == wanted[1] else wanted[1] or "39", "" if now[2] == wanted[2] else wanted[2] or "49"]
    text = ";".join(filter(None, codes))
    return f"\x1b[{text}m" if text else ""
