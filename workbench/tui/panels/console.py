"""What a run printed: the tail of its output.log, cleaned, with progress bars that redraw their line collapsed to their last state."""

from pathlib import Path

from textual.strip import Strip

from workbench.problems import clean
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines

TAIL = 64 * 1024
"""Bytes read at first."""
KEPT = 1000
"""Lines kept."""
LONGEST = 4000
"""Characters of a line; the rest of a longer one is not shown."""


class Console(Lines):
    """Follows the end until it is scrolled away from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="console")
        self.path = path
        self._offset = -1
        self._open = b""
        self._text: list[str] = []
        self.follows = True

    def read(self) -> bool:
        """Take in what was printed since; returns whether there was anything."""
        try:
            size = self.path.stat().st_size
            if size == self._offset:
                return False
            with self.path.open("rb") as file:
                if self._offset < 0 or size < self._offset or size - self._offset > 4 * TAIL:
                    self._text, self._open = [], b""
                    self._offset = max(0, size - TAIL)
                file.seek(self._offset)
                data = file.read(4 * TAIL)
        except OSError:
            return False
        self._offset += len(data)
        whole = (self._open + data).split(b"\n")
        self._open = whole.pop()[-4 * LONGEST :]
        self._text = [*self._text, *(shown(line) for line in whole)][-KEPT:]
        return True

    def lines(self, width: int) -> list[Strip]:
        text = [*self._text, *([shown(self._open)] if self._open else [])]
        if not text:
            return [strips.line(width, [("nothing printed", palette.faint)])]
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
    """One line as a terminal would have left it: what the last carriage return left standing, without escape sequences."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    return clean(text.rpartition("\r")[2][:LONGEST]).replace("\n", " ").rstrip()
