"""The output of a run: the tail of its output.log, cleaned; of a progress bar that redraws its line, only the last state."""

import os
from pathlib import Path

from textual.strip import Strip

from workbench import files
from workbench.problems import clean
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines

# A thousand usual lines: the console opens at once even for an output of gigabytes.
TAIL = 64 * 1024
"""Bytes of the first read."""
KEPT = 1000
"""Lines in memory."""
LONGEST = 4000
"""Most characters of a line; the rest is not shown."""


class Console(Lines):
    """Follows the end of the output until a person scrolls away from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="console")
        self.path = path
        self._offset = -1
        self._open = b""
        self._text: list[str] = []
        self.follows = True

    def read(self) -> bool:
        """Read the new output; returns whether there was any."""
        try:
            size = self.path.stat().st_size
            if size == self._offset:
                return False
            with os.fdopen(files.open_plain(self.path), "rb") as file:
                # A shorter file is a new one (the run was resumed); after a flood of output only the tail is read again.
                if self._offset < 0 or size < self._offset or size - self._offset > 4 * TAIL:
                    self._text, self._open = [], b""
                    self._offset = max(0, size - TAIL)
                file.seek(self._offset)
                data = file.read(4 * TAIL)
        except OSError:
            return False
        self._offset += len(data)
        whole = (self._open + data).split(b"\n")
        # The last line may still grow. A progress bar may redraw it for hours without a newline: only its end is kept.
        self._open = whole.pop()[-4 * LONGEST :]
        self._text = [*self._text, *(shown(line) for line in whole)][-KEPT:]
        return True

    def lines(self, width: int) -> list[Strip]:
        text = [*self._text, *([shown(self._open)] if self._open else [])]
        if not text:
            return [strips.line(width, [("no output yet", palette.faint)])]
        return [strips.line(width, [(piece, palette.dim)]) for printed in text for piece in strips.wrap(printed, width - 1, "  ")]

    def rebuild(self) -> None:
        self._lines = self.lines(self.size.width)
        self.settle()
        self._paint()

    def settle(self) -> None:
        self.top = self.bottom if self.follows else min(self.top, self.bottom)

    def scroll_by(self, rows: int) -> None:
        super().scroll_by(rows)
        self.follows = self.top >= self.bottom


def shown(line: bytes) -> str:
    """One line as a terminal shows it: the text after the last carriage return, without escape sequences."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    return clean(text.rpartition("\r")[2][:LONGEST]).replace("\n", " ").rstrip()
