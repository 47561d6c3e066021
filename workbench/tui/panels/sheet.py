"""Sheet: a text with its prompt, a table with aligned columns, or the records of a table one below the other."""

import re
from collections.abc import Sequence

from rich.style import Style
from textual.strip import Strip

from workbench import formatting, preparation
from workbench.events import Table, Tagged, Text
from workbench.problems import one_line
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines

# "49.7 kB", "12 %", "0.0030455", "-1e-5".
AMOUNT = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)?( [A-Za-z%]{1,3})?")
NONE = ("", "—", "–", "-")
"""What stands in a column of numbers where there is none."""


class Sheet(Lines):
    """`put` gives it the event; with `records` each row of a table is a paragraph with wrapped texts, and not one line."""

    def __init__(self, *, records: bool = False) -> None:
        super().__init__()
        self._event: Tagged | None = None
        self._records = records

    def put(self, event: Tagged) -> None:
        """Show this event."""
        self._event = event
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        if self._records and isinstance(self._event, Table):
            return _paragraphs(self._event, width)
        return sheet_lines(self._event, width, self.size.height)


def sheet_lines(event: object, width: int, height: int = 0) -> list[Strip]:
    """The lines of a text or a table; none for other events. Within `height` lines a table wraps its long cells."""
    if isinstance(event, Text):
        prompt = strips.paragraph(f"› {event.prompt}", width - 1, palette.accent, "  ") if event.prompt else []
        return [*prompt, *text_lines(event.text, width)]
    if isinstance(event, Table) and event.tag == preparation.TAG:
        return found_lines(event, width - 1)
    return _table(event, width, height) if isinstance(event, Table) else []


def found_lines(table: Table, width: int) -> list[Strip]:
    """The lines of the table of what was found, used and left out: texts too long for columns beside one another."""
    lines: list[Strip] = []
    for row in table.rows:
        what, number, used, left_out = (one_line(str(cell), 300) for cell in [*row, "", "", "", ""][:4])
        lines += strips.paragraph(what + (f": {number}" if number else ""), width, palette.plain)
        lines += strips.paragraph(f"✓ {used}", width, palette.dim, "  ", 1) if used else []
        lines += strips.paragraph(f"✗ {left_out}", width, palette.warn, "  ", 1) if left_out else []
    return lines


SPEAKER = re.compile(r"[A-Z][A-Z0-9 .'-]{0,40}:(?= |$)")
"""A speaker at the beginning of a line, as TV and theatre scripts have it: samples of the language models contain them."""


def text_lines(text: str, width: int) -> list[Strip]:
    """A text in lines, with the names of speakers in another style."""
    lines: list[Strip] = []
    for paragraph in text.split("\n"):
        named = SPEAKER.match(paragraph)
        for place, text_line in enumerate(strips.wrap(paragraph, width - 1)):
            name = named.end() if named and not place else 0
            lines.append(strips.line(width - 1, [(text_line[:name], palette.heading), (text_line[name:], palette.plain)]))
    return lines


LONG = 24
"""A longer text of a record gets its own lines."""


def _paragraphs(table: Table, width: int) -> list[Strip]:
    lines: list[Strip] = []
    for row in table.rows:
        short: list[str] = []
        long: list[str] = []
        for name, value in zip(table.columns, row, strict=False):
            if isinstance(value, str) and len(value) > LONG:
                long.append(one_line(value, 2000))
            else:
                short.append(f"{one_line(name, 20)} {one_line(value, LONG) if isinstance(value, str) else formatting.number(value)}")
        lines += strips.paragraph("  ".join(short), width - 1, palette.bold)
        for text in long:
            lines += strips.paragraph(text, width - 1, palette.plain)
        lines.append(strips.line(width, []))
    return lines[:-1]


def _columns(table: Table) -> list[list[str | float]]:
    return [[row[place] for row in table.rows if place < len(row)] for place in range(len(table.columns))]


def cell_texts(table: Table) -> list[list[str]]:
    """The cells of a table as they are written, row by row: the numbers of a column with equally many decimals, where they have any."""
    columns = _columns(table)
    numeric = [all(isinstance(value, float) or value in NONE for value in column) for column in columns]
    whole = [all(value % 1 == 0 for value in column if isinstance(value, float)) for column in columns]
    decimals = [_decimals([value for value in column if isinstance(value, float)]) for column in columns]

    def cell(value: str | float, place: int) -> str:
        if isinstance(value, str):
            return one_line(value, 2000)
        if numeric[place] and not whole[place] and decimals[place]:
            return f"{value:,.{decimals[place]}f}"
        return f"{value:.4f}" if numeric[place] and not whole[place] and 1e-2 <= abs(value) < 10 else formatting.number(value)

    return [[cell(value, place) for place, value in enumerate(row[: len(columns)])] for row in table.rows]


def _decimals(values: Sequence[float]) -> int:
    """The decimals behind which none of these numbers has more, as they were rounded by who logged them; 0 where there are over three."""
    if not all(abs(value) < 1e6 for value in values):
        return 0
    return next((places for places in (1, 2, 3) if all(value == round(value, places) for value in values)), 0)


def _table(table: Table, width: int, height: int) -> list[Strip]:
    # Amounts like 49.7 kB and 512 B are aligned to the right as numbers are, and so is a dash where there is none.
    right = [any(map(_amount, column)) and all(_amount(value) or value in NONE for value in column) for column in _columns(table)]
    rows = cell_texts(table)
    below = [max([1, *(min(width, len(row[place])) for row in rows if place < len(row))]) for place in range(len(table.columns))]
    sizes = [max(min(len(name), 12), size) for name, size in zip(table.columns, below, strict=True)]
    gap = "  " if sum(min(size, LONG) for size in below) + 2 * len(sizes) - 2 < width else " "
    room = width - 1 - len(gap) * (len(sizes) - 1)
    # Where room is missing, headings are cut before the values below them, except above long texts.
    for place in sorted(range(len(sizes)), key=lambda place: below[place] - sizes[place]):
        missing = sum(min(size, LONG) for size in sizes) - room
        sizes[place] = max(min(sizes[place], max(4, below[place])), sizes[place] - max(0, missing))
    for place, name in enumerate(table.columns):  # whole headings, where there is room left
        sizes[place] += max(0, min(len(name) - sizes[place], room - sum(sizes)))
    # A cut word can still be read; a cut number is a wrong number. Numbers are cut only when no column of words is left to cut.
    words_first = [place for place, number in enumerate(right) if not number] or list(range(len(sizes)))
    while sizes and sum(sizes) > room and max(sizes) > 4:
        widest = max(words_first, key=lambda place: sizes[place])
        if sizes[widest] <= 4:
            words_first = list(range(len(sizes)))
        else:
            sizes[widest] -= 1

    def written(cells: Sequence[str], style: Style) -> Strip:
        texts = [strips.fit(cell, size, "right" if number else "left") for cell, size, number in zip(cells, sizes, right, strict=False)]
        return strips.line(width, [(gap.join(texts), style)])

    deep = (height - 1) // max(1, len(rows))
    return [written(table.columns, palette.faint), *(written(line, palette.plain) for row in rows for line in _wrapped(row, sizes, deep))]


def _amount(value: str | float) -> bool:
    return isinstance(value, float) or bool(AMOUNT.fullmatch(value))


def _wrapped(cells: Sequence[str], sizes: Sequence[int], deep: int) -> list[list[str]]:
    """A row as at most `deep` lines; the last line holds all the rest, and is cut when it is drawn."""
    if deep < 2 or all(len(cell) <= size for cell, size in zip(cells, sizes, strict=False)):
        return [list(cells)]
    wrapped = [strips.wrap(cell, size) for cell, size in zip(cells, sizes, strict=False)]
    columns = [[*lines[: deep - 1], " ".join(lines[deep - 1 :])] for lines in wrapped]
    return [[lines[place] if place < len(lines) else "" for lines in columns] for place in range(min(deep, max(map(len, wrapped))))]
