"""Sends few bytes: Textual repaints whole regions; Frame remembers what the terminal shows and sends only the cells that differ.

Between two cells it sends only the colour codes that change. The app uses it for every update of the screen.
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
"""Attributes, foreground and background as SGR parameters (ECMA-48, section 8.3.117)."""
Cell = tuple[str, Look]
PLAIN: Look = ("", "", "")
# No widget draws a NUL, so an unknown cell differs from every real one and is always sent.
UNKNOWN: Cell = ("\0", PLAIN)
# A cursor move costs 6 to 8 bytes ("\x1b[12;34H"); four cells cost 4 bytes in ASCII and up to 12 in braille.
BRIDGE = 4
"""So many unchanged cells of the same look are sent again rather than skipped: a cursor move takes as many bytes."""


# A screen has a few dozen styles, a picture in true colour a few thousand.
@lru_cache(4096)
def look(style: Style | None, system: ColorSystem) -> Look:
    """A style as SGR codes for this colour system."""
    if style is None:
        return PLAIN
    # Rich's own rendering joins all codes into one string; we need the three parts apart, so we read its private fields.
    bits = style._attributes & style._set_attributes
    attributes = ";".join(SGR_STYLES[bit] for bit in range(bits.bit_length()) if bits & 1 << bit)
    front = ";".join(style.color.downgrade(system).get_ansi_codes()) if style.color else ""
    back = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False)) if style.bgcolor else ""
    return attributes, front, back


@lru_cache(256)
def _seen_on_space(attributes: str) -> bool:
    """Whether a space shows these attributes: underline, reverse, strike, overline."""
    return bool({"4", "7", "9", "21", "53"} & set(attributes.split(";")))


def _blank(of: Look) -> Look:
    """The look of a space: nobody sees its foreground or that it is bold, so these do not count as a difference."""
    return of if _seen_on_space(of[0]) else ("", "", of[2])


def cells(strip: Strip, system: ColorSystem) -> list[Cell]:
    """One (character, look) for each column; the right half of a wide character has the text ""."""
    columns: list[Cell] = []
    for text, style, _ in strip:
        own_look = look(style, system)
        blank = (" ", _blank(own_look))
        # Nearly all text: no widths to look up.
        if text.isascii():
            columns.extend([blank if character == " " else (character, own_look) for character in text])
            continue
        end = len(columns) + cell_len(text)
        for character in text:
            size = cell_len(character)
            if size == 0 and columns:  # a combining mark belongs to the cell before it
                columns[-1] = (columns[-1][0] + character, columns[-1][1])
            elif size:
                columns.append((character, own_look))
                columns.extend([("", own_look)] * (size - 1))
        # Rich counts some characters together (a hand and its skin colour: 2 cells). The row must stay as long as the strip says.
        if len(columns) > end:
            del columns[end:]
            if columns and cell_len(columns[-1][0]) > 1:  # its right half is gone
                columns[-1] = blank
        columns.extend([blank] * (end - len(columns)))
    return columns


class Frame:
    """What the terminal shows now, as far as we know."""

    def __init__(self) -> None:
        self._rows: list[list[Cell]] = []
        self._size = Size(0, 0)
        self.sent = 0
        """Bytes that were written so far: what follows a person's finger spends no more than a line over SSH has."""

    def forget(self) -> None:
        """Forget everything: the next update of each cell is sent, whatever it holds."""
        self._size = Size(0, 0)

    def output(self, update: CompositorUpdate, size: Size, console: Console) -> str:
        """The text to send so that the terminal shows the update; "" when it already does."""
        if size != self._size:
            self._size = size
            # After a change of size terminals reflow or clear as they like: nothing is certain.
            self._rows = [[UNKNOWN] * size.width for _ in range(size.height)]
        system = console._color_system or ColorSystem.TRUECOLOR
        updated: dict[int, list[Cell]] = {}
        for y, x, strip, start, end in _pieces(update):
            if not 0 <= y < size.height:
                continue
            row = updated.get(y)
            if row is None:
                # A copy: `_changes` below compares the old row with it.
                row = updated[y] = list(self._rows[y])
            # A strip may reach beyond the part that Textual wants shown, and beyond the terminal.
            start, end = max(start, x, 0), min(end, x + strip.cell_length, size.width)
            if start < end:
                row[start:end] = cells(strip, system)[start - x : end - x]
        written = "".join(_changes((y, self._rows[y], row) for y, row in sorted(updated.items()) if row != self._rows[y]))
        for y, row in updated.items():
            self._rows[y] = row
        # Other writers (the bell, a crash's traceback) must not inherit our colours.
        self.sent += len(written.encode())
        return written and written + "\x1b[0m"


class Ready(CompositorUpdate):
    """An update that is already text: Textual writes it as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def render_segments(self, console: Console) -> str:
        return self.text


def _pieces(update: CompositorUpdate) -> Iterable[tuple[int, int, Strip, int, int]]:
    """(row, column, strip, first column shown, column after the last one) of each piece of an update."""
    # Textual's two kinds: LayoutUpdate repaints the screen or a region of it, ChopsUpdate some spans of some rows.
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
    """The cells of rows (number, old, new) that differ, with as few cursor moves and codes as possible."""
    now: Look | None = None
    for y, old, new in rows:
        for start, end in _spans(old, new):
            yield f"\x1b[{y + 1};{start + 1}H"
            for wanted, group in groupby(new[start:end], itemgetter(1)):
                text = "".join(character for character, _ in group)
                # Blanks show only their background: they keep the foreground and the attributes that are set, which saves codes.
                if wanted != now and now and not text.strip(" ") and not wanted[0] and not _seen_on_space(now[0]):
                    wanted = (now[0], now[1], wanted[2])
                if wanted != now:
                    yield _turn(now, wanted)
                    now = wanted
                yield text


def _spans(old: list[Cell], new: list[Cell]) -> list[tuple[int, int]]:
    """The spans of columns that differ, in whole wide characters; two spans with a short gap of one look between them become one."""
    differ = [*map(ne, old, new), False]
    spans: list[tuple[int, int]] = []
    place = 0
    while True in differ[place:]:
        start = differ.index(True, place)
        place = end = differ.index(False, start)
        # Half a wide character cannot be sent: a span grows until it begins and ends at whole ones, of the old row and of the new one.
        while start and not (new[start][0] and old[start][0]):
            start -= 1
        while end < len(new) and not (new[end][0] and old[end][0]):
            end += 1
        # The first span is never joined to anything.
        before = spans[-1][1] if spans else -BRIDGE - 1
        if start <= before or (start <= before + BRIDGE and _one_look(new[before - 1 : start + 1])):
            spans[-1] = (spans[-1][0], max(end, before))
        else:
            spans.append((start, end))
    return spans


def _one_look(between: list[Cell]) -> bool:
    return all(left[1] == right[1] or " " in (left[0], right[0]) for left, right in pairwise(between))


def _turn(now: Look | None, wanted: Look) -> str:
    """The codes that change one look into another."""
    if now is None or now[0] != wanted[0]:
        # The new look may lack an attribute that is set now: 0 resets all, then the whole new look is set.
        codes = ["0" if now is None or now[0] else "", *wanted]
    else:
        # 39 and 49 are the terminal's own foreground and background.
        codes = ["" if now[1] == wanted[1] else wanted[1] or "39", "" if now[2] == wanted[2] else wanted[2] or "49"]
    text = ";".join(filter(None, codes))
    return f"\x1b[{text}m" if text else ""
