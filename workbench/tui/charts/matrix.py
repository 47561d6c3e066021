"""A matrix as shaded cells: a confusion matrix with names and counts, or an attention map. The MatrixView widget shows a Matrix event."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.message import Message

from workbench.tui.charts.axes import number
from workbench.tui.charts.canvas import Canvas
from workbench.tui.charts.cells import Cells, cut, text_width
from workbench.tui.charts.halfcell import COLORED, color_style, half_cells, reduced

TITLE, NAME, NOTE, CHOSEN = 1, 2, 3, 4
LEGEND = "rows: truth, columns: prediction"

Floats = NDArray[np.float64]
Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Shades:
    """Colours: of an empty cell; of a full one on the diagonal, or above 0; of a full one off the diagonal, or below 0."""

    ground: Rgb = (15, 19, 24)
    right: Rgb = (66, 148, 224)
    wrong: Rgb = (226, 130, 60)
    terminal: str | None = "truecolor"
    """The colours of the terminal that shows them."""


def shares(values: Floats, confusion: bool) -> Floats:
    """The strength of each cell's shade, 0 … 1: its size beside the largest one; in a confusion matrix its share of its row."""
    finite = _finite(values)
    if finite.size and (not confusion or finite.min() < 0):
        return np.asarray(np.abs(finite) / max(np.abs(finite).max(), 1e-300))
    largest = finite.max(axis=1, keepdims=True, initial=0.0)
    # By the largest first, then by the sum: a row of huge values cannot overflow when it is summed.
    finite = finite / np.where(largest > 0, largest, 1.0)
    total = finite.sum(axis=1, keepdims=True)
    return np.asarray(finite / np.where(total > 0, total, 1.0))


def _finite(values: Floats) -> Floats:
    """The values with 0 in place of those that are not finite, and clipped so that their sum is finite."""
    return np.clip(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), -1e290, 1e290)


def pooled(values: Floats, height: int, width: int, diagonal: bool) -> tuple[Floats, int, int]:
    """Sums of blocks of neighbouring rows and columns, at most `height` x `width`; and the rows and columns of one block.

    In a confusion matrix the blocks are square, so that the diagonal stays a diagonal.
    """
    sizes = [max(1, -(-size // limit)) for size, limit in zip(values.shape, (height, width), strict=True)]
    down, across = [max(sizes)] * 2 if diagonal else sizes
    values = _finite(values)
    for axis, block in ((0, down), (1, across)):
        if block > 1:
            values = np.add.reduceat(values, np.arange(0, values.shape[axis], block), axis=axis)
    return values, down, across


def colors(values: Floats, diagonal: bool, shades: Shades, given: Floats | None = None) -> NDArray[np.uint8]:
    """The colour of each cell, shape (rows, columns, 3); `given`: the strength of each shade, 0 … 1, in place of the values' sizes."""
    strength = shares(values, diagonal) if given is None else _finite(given) ** 2
    full = np.broadcast_to(np.array(shades.right, float), (*values.shape, 3)).copy()
    if given is not None:
        # The weakest shade still differs from a cell without a value.
        strength = np.where(np.isnan(given), 0.0, np.maximum(strength, 0.02))
    elif strength.size and values.min() < 0:
        full[values < 0] = shades.wrong
    elif diagonal:
        full[np.eye(len(values)) == 0] = shades.wrong
    ground = np.array(shades.ground, float)
    # The rare mistakes are interesting: the square root makes small shares visible.
    shaded = np.rint(ground + (full - ground) * np.sqrt(strength)[:, :, None]).astype(np.uint8)
    return shaded if shades.terminal == "truecolor" else reduced(shaded, shades.terminal, dither=False)


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a matrix's cells: the first column and row of the drawing, and the columns and rows of each cell."""

    left: int
    top: int
    across: float
    down: float
    names: int = 0
    """Columns for the names of the rows."""
    table: bool = False  # with names and numbers, not only shades

    def cell(self, x: int, y: int, shape: tuple[int, int]) -> tuple[int, int] | None:
        """The (row, column) of the matrix at this cell of the drawing; None beside the matrix."""
        row, column = int((y - self.top) // self.down), int((x - self.left) // self.across)
        return (row, column) if 0 <= row < shape[0] and 0 <= column < shape[1] else None


def place(values: Floats, rows: Sequence[str], columns: Sequence[str], top: int, width: int, height: int) -> Place:
    """The position of the cells. In little room the numbers go first, then the names, then single rows and columns."""
    tall, wide = values.shape
    longest = _longest(_numbers(values, list(rows) == list(columns)))
    names = max((text_width(name) for name in rows), default=0)
    heads = bool(columns) and height - top > tall
    widest = max([longest, *(text_width(name) for name in columns)]) + 2
    whole = [names] if names + 1 + widest * wide <= width else []
    # Whole names, then names cut to a fifth of the width, then to 4 letters.
    for name_width in (*whole, min(names, max(6, width // 5)), min(names, 4)):
        content = max([longest, *(text_width(name) for name in columns)])
        cell = min((width - name_width - 1) // wide, content + 2)
        if cell >= 2 and height - top >= tall:
            return Place(name_width + 1 if name_width else 0, top + heads, cell, 1, name_width, True)
    room = height - top
    if wide * 2 <= width and tall <= room:
        return Place(0, top, 2, 1)
    # Two rows of the matrix in each row of cells: half cells.
    _, down, beside = pooled(values, room * 2, width, tall == wide and list(rows) == list(columns))
    return Place(0, top, 1 / beside, 1 / (2 * down))


def natural(values: Floats, rows: Sequence[str], columns: Sequence[str], *, whole: bool = False) -> tuple[int, int]:
    """Columns and rows in which a person can read it well; `whole`: with no name cut."""
    if values.ndim != 2 or not values.size:
        return 1, 1
    head, name = max(map(text_width, columns), default=0), max(map(text_width, rows), default=0)
    longest = max(_longest(_numbers(values, list(rows) == list(columns))), head if whole else min(5, head))
    names = name if whole else min(12, name)
    return names + 1 + values.shape[1] * (longest + 2), values.shape[0] + 1


def _longest(words: list[list[str]]) -> int:
    return max(len(word) for row in words for word in row)


def draw(
    values: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    legend: str,
    shades: Shades,
    width: int,
    height: int,
    chosen: tuple[int, int] | None = None,
    strength: Floats | None = None,
) -> Cells:
    """The matrix in `width` x `height` cells, with the `chosen` (row, column) marked; `strength` as the `given` of `colors`."""
    cells = Cells(width, height)
    if width < 1 or height < 1:
        return cells
    if values.ndim != 2 or not values.size:
        cells.write(0, 0, cut("no values yet", width), NOTE)
        return cells
    tall, wide = values.shape
    diagonal = tall == wide and list(rows) == list(columns)
    top = 0
    if (title or legend) and height >= 4:
        end = cells.write(0, 0, cut(title, width), TITLE)
        if text_width(legend) + end + 2 <= width:
            cells.write(width - text_width(legend), 0, legend, NOTE)
        top = 1
    where = place(values, rows, columns, top, width, height)
    if where.table:
        words = _numbers(values, diagonal)
        if strength is not None:
            words = [
                ["" if value != value else word for value, word in zip(*row, strict=True)]
                for row in zip(values.tolist(), words, strict=True)
            ]
        cell = int(where.across)
        shaded = colors(values, diagonal, shades, strength)
        _table(cells, shaded, words if cell >= _longest(words) else [], rows, columns if where.top > top else (), where, chosen)
        return cells
    room = height - top
    if where.across == 2:
        picture = colors(values, diagonal, shades, strength).repeat(2, axis=0).repeat(2, axis=1)
    else:
        fewer, down, beside = pooled(values, room * 2, width, diagonal)
        picture = colors(fewer, diagonal, shades)
        if top and down * beside > 1:
            note = f" {down} x {beside} values per square"
            cells.write(max(0, width - len(note)), 0, note, NOTE)
    codes, keys = half_cells(picture)
    cells.codes[top : top + codes.shape[0], : codes.shape[1]] = codes[:room]
    cells.keys[top : top + codes.shape[0], : codes.shape[1]] = keys[:room]
    if chosen:
        x, y = int(chosen[1] * where.across), top + int(chosen[0] * where.down)
        cells.write(x, y, "[]" if where.across == 2 else "◆", CHOSEN)
    return cells


def _numbers(values: Floats, counts: bool) -> list[list[str]]:
    """Whole numbers as they are, or shortened when large; other numbers with two digits. `counts`: of a confusion matrix."""
    whole = bool((values == np.rint(values)).all()) if np.isfinite(values).all() else False
    if whole:
        return [
            # Zeros would hide the few mistakes among them.
            [("·" if counts and not value else str(int(value)) if abs(value) < 10_000 else number(value, 2)) for value in row]
            for row in values.tolist()
        ]
    return [[f"{value:.2f}" if abs(value) < 100 else number(value, 3) for value in row] for row in values.tolist()]


def _table(
    cells: Cells,
    shaded: NDArray[np.uint8],
    words: list[list[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    where: Place,
    chosen: tuple[int, int] | None,
) -> None:
    left, top, cell = where.left, where.top, int(where.across)
    for number_, name in enumerate(columns):
        text = cut(name, cell - 1) if cell > 7 else name[: cell - 1]
        cells.write(left + (number_ + 1) * cell - 1 - text_width(text), top - 1, text, CHOSEN if chosen and chosen[1] == number_ else NAME)
    packed = shaded.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    # Luma of ITU-R BT.601: dark letters on light cells.
    light = shaded @ np.array([0.299, 0.587, 0.114]) > 120
    for row in range(shaded.shape[0]):
        if row < len(rows):
            text = cut(rows[row], where.names)
            cells.write(left - 1 - text_width(text), top + row, text, CHOSEN if chosen and chosen[0] == row else NAME)
        for column in range(shaded.shape[1]):
            word = words[row][column] if words else ""
            front = 0x101010 if light[row, column] else 0x6C7784 if word == "·" else 0xE6E6E6
            key = CHOSEN if chosen == (row, column) else COLORED | front << 24 | int(packed[row, column])
            cells.write(left + column * cell, top + row, word.rjust(cell - 1).ljust(cell) if len(word) < cell else word, key)


class MatrixView(Canvas):
    """One matrix. `show` takes the content of a Matrix event; cells on and off the diagonal have different colours."""

    BACKGROUNDS = True
    COMPONENT_CLASSES = {"matrix--title", "matrix--name", "matrix--note", "matrix--chosen", "matrix--right", "matrix--wrong"}
    DEFAULT_CSS = """
    MatrixView {
        height: 1fr; width: 1fr; min-height: 1;
        & > .matrix--title { color: $foreground; text-style: bold; }
        & > .matrix--name { color: $foreground 75%; }
        & > .matrix--note { color: $foreground 55%; }
        & > .matrix--chosen { color: $background; background: $foreground; text-style: bold; }
        & > .matrix--right { color: #4294e0; }
        & > .matrix--wrong { color: #e2823c; }
        &.-sixteen > .matrix--right { color: #0000aa; }
        &.-sixteen > .matrix--wrong { color: #aa5500; }
    }
    """

    def __init__(self, title: str = "", *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._values: Floats = np.zeros((0, 0))
        self._rows: Sequence[str] = ()
        self._columns: Sequence[str] = ()
        self._title = title
        self._legend = ""
        self._strength: Floats | None = None
        self.chosen: tuple[int, int] | None = None
        """The marked (row, column); set it with `choose`."""

    class Pointed(Message):
        """A cell was clicked."""

        def __init__(self, cell: tuple[int, int]) -> None:
            super().__init__()
            self.cell = cell

    def show(
        self,
        values: ArrayLike,
        rows: Sequence[str] = (),
        columns: Sequence[str] = (),
        *,
        title: str | None = None,
        legend: str | None = None,
        strength: ArrayLike | None = None,
    ) -> list[Region]:
        """Show `values[row][column]` with names; returns the repainted regions. `strength`: of each shade, where it is not the value.

        With `legend` None, a confusion matrix (its rows and columns have the same names) gets the usual legend, another matrix none.
        """
        self._values = np.asarray(values, np.float64)
        self._rows, self._columns = tuple(rows), tuple(columns)
        self._title = self._title if title is None else title
        confusion = self._rows == self._columns and len(self._rows) > 0
        self._legend = legend if legend is not None else LEGEND if confusion else ""
        self._strength = None if strength is None else np.asarray(strength, np.float64)
        return self.redraw()

    def draw(self, width: int, height: int) -> Cells:
        _, background = self.background_colors
        shades = Shades(background.rgb, self._rgb("matrix--right"), self._rgb("matrix--wrong"), self.terminal_colors)
        words = (self._values, self._rows, self._columns, self._title, self._legend)
        return draw(*words, shades, width, height, self.chosen, self._strength)

    @property
    def natural(self) -> tuple[int, int]:
        """Columns and rows in which a person can read it well."""
        return natural(self._values, self._rows, self._columns)

    def choose(self, cell: tuple[int, int] | None) -> None:
        """Mark this cell; None removes the mark."""
        self.chosen = cell
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        if self._values.ndim == 2 and self._values.size:
            where = place(self._values, self._rows, self._columns, bool(self._title or self._legend), *self.size)
            cell = where.cell(event.x, event.y, self._values.shape)
            if cell:
                self.post_message(self.Pointed(cell))

    def style_for(self, key: int) -> Style:
        if key & COLORED:
            return color_style(key, self.rich_style)
        names = {TITLE: "matrix--title", NAME: "matrix--name", NOTE: "matrix--note", CHOSEN: "matrix--chosen"}
        return self.get_component_rich_style(names[key]) if key in names else self.rich_style

    def _rgb(self, name: str) -> Rgb:
        color: Color = self.get_component_styles(name).color
        return color.rgb
