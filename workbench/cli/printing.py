"""Prints results on stdout and everything else on stderr: tables that fit the terminal, JSON for programs."""

import sys
from collections.abc import Sequence
from typing import Any

from workbench.problems import one_line

GAP = 2
"""Spaces between two columns."""


def tell(text: str) -> None:
    """Print a remark for people on stderr."""
    print(text, file=sys.stderr, flush=True)


def put(text: str) -> None:
    """Print a result on stdout, flushed at once: another program may wait for it."""
    print(text, flush=True)


def print_json(value: Any) -> None:
    """Print one JSON value on stdout; NaN and infinity become words, because JSON has no such numbers."""
    import msgspec

    from workbench.events import spelled

    put(msgspec.json.format(msgspec.json.encode(spelled(msgspec.to_builtins(value, str_keys=True))), indent=2).decode())


def table(header: Sequence[str], rows: Sequence[Sequence[str] | str], right: int = 0) -> None:
    """Print rows under a header; a row that is one text is a heading. The last `right` columns are aligned to the right.

    In a terminal the table is at most as wide as the terminal: empty columns are left out, and long cells continue in the next line. The
    first column has names, which stay whole: without room beside the row they are above it. Elsewhere each row is one line.
    """
    clean_rows = [_clean(row) if isinstance(row, str) else [_clean(cell) for cell in row] for row in rows]
    cells = [row for row in clean_rows if not isinstance(row, str)]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    room, above = 0, False
    if sys.stdout is not None and sys.stdout.isatty():
        import shutil

        room = shutil.get_terminal_size((100, 24)).columns
        empty = {place for place in range(1, len(header)) if cells and not any(row[place] for row in cells)}
        natural = [0 if place in empty else width for place, width in enumerate(widths)]
        least = [len(name) for name in header]
        widths = fitted(natural, least, room)
        if above := _total(widths) > room:
            # Names on lines of their own: two cells of indent remain of their column.
            widths = fitted([2, *natural[1:]], least, room)
    for row in [*([list(header)] if any(header) else []), *clean_rows]:
        if isinstance(row, str):
            _heading(row, room or 100)
            continue
        if above:
            print(row[0])
            row = ["", *row[1:]]
        columns = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in range(max(map(len, columns))):
            parts = [column[line] if line < len(column) else "" for column in columns]
            aligned = [
                part.rjust(width) if place >= len(row) - right else part.ljust(width)
                for place, (part, width) in enumerate(zip(parts, widths, strict=True))
            ]
            print((" " * GAP).join(part for part, width in zip(aligned, widths, strict=True) if width).rstrip())


def fitted(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths that fit into `room` characters with their gaps: the widest columns after the first shrink, but not below `least`.

    A width of 0 means a hidden column. Where even the least widths are too much, the result is too wide.
    """
    widths = list(widths)
    while _total(widths) > room:
        wide = [place for place in range(1, len(widths)) if widths[place] > max(least[place], 6)]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (sum(width > 0 for width in widths) - 1)


def _clean(cell: str) -> str:
    """Foreign text on one line, with its indent."""
    return " " * (len(cell) - len(cell.lstrip(" "))) + one_line(cell, 10_000)


def _wrapped(cell: str, width: int) -> list[str]:
    if len(cell) <= width or not width:
        return [cell if width else ""]
    import textwrap

    return textwrap.wrap(cell, width, break_on_hyphens=False)


def _heading(text: str, room: int) -> None:
    if len(text) > room:
        import textwrap

        text = textwrap.fill(text, room, subsequent_indent="  ", break_on_hyphens=False)
    print(text)
