"""Drawings made of terminal cells, each a character and a style key; the changed rows between two drawings; rows as Strips.

Every chart widget uses them.
"""

import unicodedata
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from workbench.tui.drawing.strips import on_one_line

SPACE = 32
CONTINUED = 0
"""The code of a cell that is the right half of a wide character."""


class Cells:
    """`height` rows of `width` cells: `codes` are code points, `keys` are numbers that the widget turns into styles (0: its own)."""

    __slots__ = ("_wide", "codes", "keys")

    def __init__(self, width: int, height: int) -> None:
        self.codes: NDArray[np.uint32] = np.full((max(height, 0), max(width, 0)), SPACE, np.uint32)
        self.keys: NDArray[np.uint64] = np.zeros((max(height, 0), max(width, 0)), np.uint64)
        self._wide: list[tuple[int, int]] = []

    @property
    def width(self) -> int:
        return int(self.codes.shape[1])

    @property
    def height(self) -> int:
        return int(self.codes.shape[0])

    def write(self, x: int, y: int, text: str, key: int = 0, end: int | None = None) -> int:
        """Write text into row `y` from column `x`, cut at column `end` and at the edges; returns the column after it."""
        end = self.width if end is None else min(end, self.width)
        if not 0 <= y < self.height:
            return x
        text = on_one_line(text)
        # ASCII is by far the most common, and one array assignment.
        if not text.isascii():
            return self._write_wide(x, y, text, key, end)
        if x < 0:
            text, x = text[-x:], 0
        text = text[: max(0, end - x)]
        if text:
            self.codes[y, x : x + len(text)] = np.frombuffer(text.encode("latin-1"), np.uint8)
            self.keys[y, x : x + len(text)] = key
        return x + len(text)

    def fill(self, x: int, y: int, width: int, height: int, character: str, key: int) -> None:
        """Fill a rectangle with one character that is one cell wide."""
        self.codes[y : y + height, x : x + width] = ord(character)
        self.keys[y : y + height, x : x + width] = key

    def _write_wide(self, x: int, y: int, text: str, key: int, end: int) -> int:
        # A cell holds one code point: NFC joins a letter with its accent; what still has no width is dropped.
        for character in unicodedata.normalize("NFC", text):
            size = get_character_cell_size(character)
            if size <= 0:
                continue
            if x + size > end:
                break
            if x >= 0:
                self.codes[y, x : x + size] = CONTINUED
                self.codes[y, x] = ord(character)
                self.keys[y, x : x + size] = key
                if size > 1:
                    self._wide.append((y, x))
            x += size
        return x

    def mend(self) -> "Cells":
        """Blank the remaining half of wide characters that were drawn over; call it when the drawing is done."""
        if self._wide:
            second = np.zeros(self.codes.shape, np.bool_)
            for y, x in self._wide:
                whole = self.codes[y, x + 1] == CONTINUED and get_character_cell_size(chr(self.codes[y, x])) == 2
                if not whole and get_character_cell_size(chr(self.codes[y, x])) == 2:
                    self.codes[y, x] = SPACE
                second[y, x + 1] |= whole
            self.codes[(self.codes == CONTINUED) & ~second] = SPACE
        return self

    def text(self) -> str:
        """The characters alone, row by row, for tests."""
        return "\n".join(_characters(row).rstrip() for row in self.codes)

    def strip(self, y: int, style_for: Callable[[int], Style], join_blanks: bool) -> Strip:
        """One row as a Strip. With `join_blanks` a space takes the style before it: fewer segments, where no style has a background."""
        codes, keys = self.codes[y], self.keys[y]
        width = len(codes)
        if not width:
            return Strip([], 0)
        if join_blanks:
            inked = np.where(codes != SPACE, np.arange(width), 0)
            # The index of the last inked cell so far: blanks copy its key.
            keys = keys[np.maximum.accumulate(inked)]
        cuts = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), width]
        text = codes.astype("<u4", copy=False).tobytes().decode("utf-32-le")
        segments = []
        for start, end in pairwise(cuts):
            piece = text[start:end].replace("\0", "")
            if piece:
                segments.append(Segment(piece, style_for(int(keys[start]))))
        return Strip(segments, width)


def _characters(codes: NDArray[np.uint32]) -> str:
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le").replace("\0", "")


def cut(text: str, width: int) -> str:
    """The text cut to `width` cells, with an ellipsis where it is cut."""
    sizes = [get_character_cell_size(character) for character in text]
    if sum(sizes) <= width:
        return text
    # One cell is for the ellipsis.
    used, beginning = 1, []
    for character, size in zip(text, sizes, strict=True):
        if used + size > width:
            break
        beginning.append(character)
        used += size
    return "".join(beginning).rstrip() + "…" if width > 0 else ""


def text_width(text: str) -> int:
    """The number of cells of a text."""
    return len(text) if text.isascii() else sum(get_character_cell_size(character) for character in text)


def changed(old: Cells, new: Cells) -> list[int]:
    """The rows in which two drawings of the same size differ; the frame diff then finds the cells to send."""
    return [int(row) for row in np.flatnonzero(((old.codes != new.codes) | (old.keys != new.keys)).any(axis=1))]
