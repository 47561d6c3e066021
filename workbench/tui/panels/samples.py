"""A panel for what a run shows besides scalars: pictures, a matrix, text, curves, points, a table. The newest, or an older one."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.strip import Strip
from textual.widget import Widget

from workbench import atomic, words
from workbench.events import Curve, Images, Matrix, Scatter, Table, Tagged, Text, split_tag
from workbench.history import History, Samples
from workbench.problems import Problem, one_line
from workbench.tui import palette, strips
from workbench.tui.charts.chart import Chart, Line, curve_line, scatter_lines
from workbench.tui.charts.halfcell import Picture
from workbench.tui.charts.matrix import MatrixView
from workbench.tui.panels.lines import Lines

ORDER = (Matrix, Images, Curve, Text, Scatter, Table)
"""What tells most stands first."""


def group(history: History) -> dict[str, list[str]]:
    """Tags by panel: the same metric is the same panel whatever its split; the curves of one metric share one."""
    found: dict[str, list[str]] = {}
    for tag, samples in history.samples.items():
        _, metric, series = split_tag(tag)
        name = metric if isinstance(samples.latest, Curve) or not series else f"{metric} {series}"
        found.setdefault(one_line(name, 40), []).append(tag)
    return dict(sorted(found.items(), key=lambda panel: ORDER.index(type(history.samples[panel[1][0]].latest))))


Body = TypeVar("Body", bound=Widget)


class SamplePanel(Vertical):
    """`follow` says what to show; `back` and `forth` go through the older ones."""

    DEFAULT_CSS = """
    SamplePanel > Head { height: 1; }
    """

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name=name)
        self.folder = folder
        self._title = name.partition(" ")[2]
        self.behind = 0
        """How many steps of history before the newest one is shown."""
        self._samples: list[Samples] = []
        self._shown: tuple[object, ...] = ()
        self._focused = False
        self._event: Tagged | None = None

    def compose(self) -> ComposeResult:
        yield Head()

    def on_mount(self) -> None:
        self.update()

    @property
    def count(self) -> int:
        return max((len(each.events) for each in self._samples), default=0)

    def follow(self, history: History, tags: Sequence[str], *, focused: bool = False) -> None:
        """Show the newest of these tags; what is shown already is left alone."""
        self._focused = focused
        self._samples = [history.samples[tag] for tag in tags if tag in history.samples]
        self.update()

    def back(self, steps: int) -> None:
        """Show an older one, or with a negative number a newer one."""
        self.behind = max(0, min(self.count - 1, self.behind + steps))
        self.update()

    def update(self) -> None:
        """Bring head and body up to date."""
        if not self._samples or not self.is_mounted:
            return
        self.behind = min(self.behind, self.count - 1)
        chosen = [each.events[max(0, len(each.events) - 1 - self.behind)] for each in self._samples]
        if not isinstance(chosen[0], Curve):
            chosen = [max(chosen, key=lambda event: event.step)]
        self._event = chosen[0]
        self.query_one(Head).rebuild()
        if tuple(map(id, chosen)) != self._shown:
            self._shown = tuple(map(id, chosen))
            self._body(chosen)

    def head(self, width: int) -> Strip:
        """Name, split, step, and which of how many; where it is narrow, less."""
        title: strips.Part = (self._title, palette.heading if self._focused else palette.bold)
        event = self._event
        if event is None:
            return strips.line(width, [title])
        split = split_tag(event.tag)[0]
        step = f"  step {words.count(event.step)}"
        place = f"  {self.count - self.behind} of {self.count}" if self.count > 1 else ""
        forms = [(f"  {split} ·{step[1:]}", place), (step, place), ("", place)]
        where, place = next((form for form in forms[split == "sample" :] if cell_len(self._title + "".join(form)) <= width), forms[2])
        legend = "rows: truth" if isinstance(event, Matrix) and event.rows == event.columns and event.rows else ""
        room = width - cell_len(self._title + where + place) - 2
        parts = [title, (where, palette.dim), (place, palette.warn if self.behind else palette.faint)]
        return strips.line(width, parts, [(legend, palette.faint)] if len(legend) <= room else [])

    def _body(self, chosen: Sequence[Tagged]) -> None:
        event = chosen[0]
        try:
            if isinstance(event, Images):
                png = event.png or atomic.read_plain(self.folder / _inside(event.file))
                self._widget(Picture).show(png, columns=event.columns, captions=event.captions)
            elif isinstance(event, Matrix):
                values = _array(self.folder, event.file) if event.file else np.array(event.values, float)
                self._widget(MatrixView).show(values, event.rows, event.columns, title="", legend="")
            elif isinstance(event, Scatter):
                if event.file:
                    x, y = _array(self.folder, event.file)
                    event = Scatter(tag=event.tag, x=x.tolist(), y=y.tolist(), labels=event.labels)
                self._widget(Chart).show(scatter_lines(event), end=None)
            elif isinstance(event, Curve):
                lines = [self._curve(each) for each in chosen if isinstance(each, Curve)]
                self._widget(Chart).show(lines, end=None, labels=event.labels)
            else:
                self._widget(Sheet).put(event)
        except (OSError, ValueError, Problem) as error:
            self._widget(Sheet).put(Text(tag=event.tag, text=f"This cannot be shown: {one_line(str(error))}"))

    def _curve(self, event: Curve) -> Line:
        split, metric, series = split_tag(event.tag)
        if event.file:
            x, y, *at = _array(self.folder, event.file).tolist()
            event = Curve(tag=event.tag, x=x, y=y, labels=event.labels, at=at[0] if at else [], totals=event.totals)
        return curve_line(one_line(series or split or metric, 40), event)

    def _widget(self, kind: type[Body]) -> Body:
        """The body, of this kind; one of another kind makes room."""
        body = self.children[-1]
        if isinstance(body, kind) and len(self.children) > 1:
            return body
        if len(self.children) > 1:
            body.remove()
        made = kind()
        self.mount(made)
        return made


class Head(Lines):
    """The first line of a sample panel."""

    def lines(self, width: int) -> list[Strip]:
        panel = self.parent
        return [panel.head(width)] if isinstance(panel, SamplePanel) else []


def _inside(file: str) -> Path:
    """A path below the run directory, refused where a log names another."""
    path = Path(file)
    if path.is_absolute() or ".." in path.parts or not file:
        raise Problem(f"{one_line(file, 80) or 'Its file'} is not a file of this run.")
    return path


def _array(folder: Path, file: str) -> np.ndarray:
    array: np.ndarray = np.load(BytesIO(atomic.read_plain(folder / _inside(file))), allow_pickle=False)
    if array.ndim != 2:
        raise Problem(f"{one_line(file, 80)} does not hold a two-dimensional array.")
    return array


class Sheet(Lines):
    """A text with its prompt set off, or a table with its columns aligned."""

    def __init__(self) -> None:
        super().__init__()
        self._event: Tagged | None = None

    def put(self, event: Tagged) -> None:
        """Show another one."""
        self._event = event
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        event = self._event
        if isinstance(event, Text):
            prompt = strips.paragraph(f"› {event.prompt}", width - 1, palette.accent, "  ") if event.prompt else []
            return [*prompt, *strips.paragraph(event.text, width - 1, palette.plain)]
        return _table(event, width) if isinstance(event, Table) else []


def _table(table: Table, width: int) -> list[Strip]:
    columns = [[row[place] for row in table.rows if place < len(row)] for place in range(len(table.columns))]
    numeric = [all(isinstance(value, float) for value in column) for column in columns]
    whole = [all(isinstance(value, float) and value % 1 == 0 for value in column) for column in columns]

    def cell(value: str | float, place: int) -> str:
        if isinstance(value, str):
            return one_line(value, 200)
        return f"{value:.4f}" if numeric[place] and not whole[place] and 1e-3 <= abs(value) < 10 else words.number(value)

    rows = [[cell(value, place) for place, value in enumerate(row[: len(columns)])] for row in table.rows]
    sizes = [max([min(len(name), 12), *(len(row[place]) for row in rows if place < len(row))]) for place, name in enumerate(table.columns)]
    room = width - 1 - 2 * (len(sizes) - 1)
    words_first = [place for place, number in enumerate(numeric) if not number] or list(range(len(sizes)))
    while sizes and sum(sizes) > room and max(sizes) > 4:
        widest = max(words_first, key=lambda place: sizes[place])
        if sizes[widest] <= 4:
            words_first = list(range(len(sizes)))
        else:
            sizes[widest] -= 1

    def written(cells: Sequence[str], style: Style) -> Strip:
        texts = [strips.fit(cell, size, "right" if number else "left") for cell, size, number in zip(cells, sizes, numeric, strict=False)]
        return strips.line(width, [("  ".join(texts), style)])

    return [written(table.columns, palette.faint), *(written(row, palette.plain) for row in rows)]
