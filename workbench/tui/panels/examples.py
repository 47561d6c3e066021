"""A matrix whose cells show their examples: pictures or rows of a table, as the project logged them with the matrix."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from workbench import files
from workbench import formatting as words
from workbench.events import Images, Matrix, Table
from workbench.problems import Problem, one_line
from workbench.runs.history import History
from workbench.tui.charts.halfcell import Picture
from workbench.tui.charts.matrix import MatrixView, natural, place
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.pair import Pair
from workbench.tui.panels.sheet import Sheet

EXAMPLES = "/examples"
"""The end of the tag of a matrix's examples, after the matrix's own tag."""
Cell = tuple[int, int]


def belongs_to_a_matrix(history: History, tag: str) -> bool:
    """Whether these samples are a matrix's examples: they show in the matrix's panel and have no panel of their own."""
    matrix = history.samples.get(tag.removesuffix(EXAMPLES)) if tag.endswith(EXAMPLES) else None
    return matrix is not None and isinstance(matrix.latest, Matrix)


def examples_of(history: History, matrix: Matrix) -> Images | Table | None:
    """The examples that the project logged at a matrix's step."""
    samples = history.samples.get(matrix.tag + EXAMPLES)
    logged = [event for event in samples.events if event.step == matrix.step] if samples else []
    return next((event for event in reversed(logged) if isinstance(event, Images | Table)), None)


class MatrixBody(Pair):
    """The matrix, and the examples of the chosen cell."""

    def __init__(self) -> None:
        super().__init__()
        self._matrix: Matrix | None = None
        self._values = np.zeros((0, 0))
        self._examples: Images | Table | None = None
        self._folder = Path()
        # Held, not looked up: a key may come while the screen is being taken down, when some of them are gone already.
        self._view = MatrixView()
        self._title, self._picture, self._sheet = Title(), Picture(), Sheet(records=True)

    def compose(self) -> ComposeResult:
        yield self._view
        with Vertical(classes="side"):
            yield self._title
            yield self._picture
            yield self._sheet

    def on_mount(self) -> None:
        self._show()

    def show(self, matrix: Matrix, values: np.ndarray, examples: Images | Table | None, folder: Path) -> None:
        """Show this matrix; the chosen cell stays chosen."""
        self._matrix, self._values, self._examples, self._folder = matrix, values, examples, folder
        if self.is_mounted and self.children:
            self._show()

    @property
    def cell(self) -> Cell | None:
        """The chosen (row, column)."""
        return self._view.chosen

    @property
    def explains(self) -> bool:
        return self.cell is not None

    @property
    def natural(self) -> tuple[int, int]:
        if not self._matrix:
            return 1, 1
        names = self._matrix.rows, self._matrix.columns
        wide, tall = natural(self._values, *names)
        room, height = self.size.width - self.SIDE[0] - 3, self.size.height
        if 0 < room < wide and height > 1 and self._values.ndim == 2 and self._values.size:
            where = place(self._values, *names, 1, room, height)
            wide = wide if where.table else math.ceil(self._values.shape[1] * where.across) + 1
        return wide, tall

    @property
    def words(self) -> str:
        matrix, cell = self._matrix, self.cell
        if matrix and cell and not self.opened:
            return f"{_pair(matrix, cell)}: {words.number(float(self._values[cell]))} ⏎"
        return "rows: truth" if matrix and _is_confusion(matrix) else ""

    def move(self, across: int, down: int, *, page: bool = False) -> None:
        rows, columns = self._values.shape if self._values.ndim == 2 else (0, 0)
        if not rows or not columns:
            return
        if self.cell is None:
            self._choose(self._first())
            return
        by = 5 if page else 1
        row, column = self.cell
        self._choose((max(0, min(rows - 1, row + down * by)), max(0, min(columns - 1, column + across * by))))

    def clear(self) -> bool:
        was_chosen = self.cell is not None
        if was_chosen:
            self._choose(None)
        return was_chosen

    def _first(self) -> Cell:
        """The first cell to choose: the most frequent confusion, or the largest value."""
        values = np.nan_to_num(self._values, nan=-np.inf)
        if self._matrix and _is_confusion(self._matrix) and len(values) > 1:
            values = np.where(np.eye(len(values)) == 1, -np.inf, values)
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        return int(row), int(column)

    @on(MatrixView.Pointed)
    def _pointed(self, event: MatrixView.Pointed) -> None:
        event.stop()
        self._choose(event.cell)

    def _choose(self, cell: Cell | None) -> None:
        self._view.choose(cell)
        self._explain()
        self.settle()
        self.post_message(self.Changed())

    def _show(self) -> None:
        if self._matrix is None:
            return
        cell, shape = self.cell, self._values.shape
        # A later matrix may be smaller.
        if cell and not (len(shape) == 2 and cell[0] < shape[0] and cell[1] < shape[1]):
            self._view.choose(None)
        self._view.show(self._values, self._matrix.rows, self._matrix.columns, title="", legend="")
        self._explain()
        self.settle()

    def _explain(self) -> None:
        """Update the examples of the cell."""
        matrix, cell, event = self._matrix, self.cell, self._examples
        if not (matrix and cell):
            return
        title, picture, sheet = self._title, self._picture, self._sheet
        only = [place for place, example_cell in enumerate(event.cells) if tuple(example_cell) == cell] if event else []
        amount = (
            f"{len(only)} {'example' if len(only) == 1 else 'examples'} logged"
            if only
            else "no examples were logged"
            if self._values[cell]
            else "this never happened"
        )
        title.say(_pair(matrix, cell), words.number(float(self._values[cell])), amount)
        picture.display, sheet.display = isinstance(event, Images) and bool(only), isinstance(event, Table) and bool(only)
        if isinstance(event, Images) and only:
            try:
                png = event.png or files.read_plain(self._folder / event.file)
                picture.show(png, columns=event.columns, captions=event.captions or [""] * len(event.cells), only=only)
            except (OSError, Problem) as error:
                picture.say(f"These cannot be shown: {one_line(str(error))}")
        elif isinstance(event, Table) and only:
            sheet.put(msgspec.structs.replace(event, rows=[event.rows[place] for place in only if place < len(event.rows)]))


def _is_confusion(matrix: Matrix) -> bool:
    return bool(matrix.rows) and matrix.rows == matrix.columns


def _name(names: Sequence[str], place: int) -> str:
    return one_line(names[place], 24) if place < len(names) else str(place)


def _pair(matrix: Matrix, cell: Cell) -> str:
    """The meaning of a cell: the true class and the predicted one."""
    row, column = _name(matrix.rows, cell[0]), _name(matrix.columns, cell[1])
    if not _is_confusion(matrix):
        return f"{row}, {column}"
    return f"{row}, correct" if cell[0] == cell[1] else f"{row} predicted as {column}"


class Title(Lines):
    """The chosen cell, its value, and the number of its examples."""

    DEFAULT_CSS = "Title { height: 2; }"

    def say(self, pair: str, value: str, amount: str) -> None:
        """Show these texts."""
        self.source = lambda width: [
            strips.line(width, [(pair, palette.heading)], [(f"  {value}", palette.bold)]),
            strips.line(width, [(amount, palette.dim)]),
        ]
        self.rebuild()
