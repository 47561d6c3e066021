"""Lines of cells: builds them, wraps text into them, and keeps all that is no character out of every line of every widget.

Pure functions for widgets of Textual's Line API, and the filter through which the app sends each line of each widget, Textual's own too.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.strip import Strip

from workbench.problems import clean
from workbench.tui.drawing import palette

Part = tuple[str, Style]
# Variation selectors change the look of the character before them, and terminals do not agree how wide it becomes.
SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what has no shape of its own: controls, formats, lone surrogates, line and paragraph separators."""


def is_plain(text: str) -> bool:
    """Whether a terminal only shows the text, and does nothing else with it."""
    return text.isprintable() and (text.isascii() or not SELECTORS.search(text))


def shown(text: str) -> str:
    """The text as characters that stand one after the other: no escape sequence, control, joiner or selector; newlines stay."""
    if is_plain(text):
        return text
    text = SELECTORS.sub("", clean(text).expandtabs(4).replace("\u2028", "\n").replace("\u2029", "\n"))
    return "".join(character for character in text if character == "\n" or unicodedata.category(character) not in INVISIBLE)


def on_one_line(text: str) -> str:
    """The same, with spaces for newlines."""
    return text if is_plain(text) else shown(text).replace("\n", " ")


class Shown(LineFilter):
    """The last look at each line of each widget, also Textual's own: what a terminal would obey is taken out, and the width stays."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if all(is_plain(text) for text, _, _ in segments):
            return segments
        return [Segment(text if is_plain(text) else set_cell_size(on_one_line(text), cell_len(text)), style) for text, style, _ in segments]


def fit(text: str, width: int, align: str = "left") -> str:
    """The text in exactly `width` cells: padded, or cut with an ellipsis; tabs and newlines become spaces."""
    text = on_one_line(text)
    have = cell_len(text)
    if have > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - have) + text if align == "right" else text + " " * (width - have)


def line(width: int, parts: Sequence[Part], right: Sequence[Part] = ()) -> Strip:
    """A line of `width` cells: parts from the left, and parts that end at the right edge. Where not all fit, the left is cut."""
    parts = [(on_one_line(text), style) for text, style in parts]
    right = [(on_one_line(text), style) for text, style in right]
    tail = [(fit(text, min(cell_len(text), width)), style) for text, style in right]
    room = max(0, width - sum(cell_len(text) for text, _ in tail))
    segments: list[Segment] = []
    for text, style in parts:
        if room <= 0:
            break
        have = cell_len(text)
        text = fit(text, min(have, room))
        segments.append(Segment(text, style))
        room -= cell_len(text)
        if cell_len(text) < have:
            break
    # The blanks are drawn too: without a background of their own they would show what was there before.
    segments.append(Segment(" " * room, palette.plain))
    segments.extend(Segment(text, style) for text, style in tail)
    return Strip([segment for segment in segments if segment.text], width)


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Text in lines of at most `width` cells, broken at spaces where possible; its own newlines stay."""
    # Panels may be asked for a width of 0 before their first layout; a wide character needs 2 cells and an indent 2 more.
    width = max(width, 4)
    lines: list[str] = []
    for paragraph in shown(text).split("\n"):
        # The spaces at the beginning of a line are its place in a tree, or a verse's.
        words = paragraph.lstrip(" ")
        current = " " * min(len(paragraph) - len(words), width // 2)
        room = width - len(current)
        begins = True
        for word in words.split(" "):
            size = cell_len(word)
            if current and not begins and size + 1 > room:
                lines.append(current)
                current, room = indent, width - cell_len(indent)
            elif current and not begins:
                current, room = current + " ", room - 1
            begins = False
            while cell_len(word) > room:
                # `set_cell_size` pads where half of a wide character would be left. At least one character goes on, or this never ends.
                head = set_cell_size(word, room).rstrip(" ") or word[:1]
                lines.append(current + head)
                word = word[len(head) :]
                current, room = indent, width - cell_len(indent)
            current, room = current + word, room - cell_len(word)
        lines.append(current)
    return lines


def paragraph(text: str, width: int, style: Style, indent: str = "", margin: int = 0) -> list[Strip]:
    """Wrapped text in one style, with `margin` empty cells before each line."""
    return [line(width, [(" " * margin + text_line, style)]) for text_line in wrap(text, width - 2 * margin, indent)]


def joined(groups: Iterable[Sequence[Part]], between: Part) -> list[Part]:
    """Groups of parts with a separator between them, without the empty groups."""
    parts: list[Part] = []
    for group in groups:
        if group:
            if parts:
                parts.append(between)
            parts.extend(group)
    return parts
