"""A panel for the samples of a run: pictures, a matrix, text, curves, points or a table. It shows the newest, or an older one."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.strip import Strip
from textual.widget import Widget

from workbench import files, formatting, preparation
from workbench.events import Curve, Images, Matrix, Scatter, Table, Tagged, Text, split_tag
from workbench.problems import Problem, one_line
from workbench.runs.history import History, Samples
from workbench.runs.log import read_rows
from workbench.tui.charts.chart import Chart, Line, curve_line, scatter_lines
from workbench.tui.charts.halfcell import Picture
from workbench.tui.charts.plot import STRAIGHT
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.examples import MatrixBody, belongs_to_a_matrix, examples_of
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.pair import Pair
from workbench.tui.panels.roc import RocBody, is_roc
from workbench.tui.panels.sheet import Sheet

ORDER = (Matrix, Images, Curve, Scatter, Text, Table)
"""The order of the panels: the most informative kind first."""
SAYS_NOTHING = ("sample", "data")
"""Splits that say nothing to a reader."""
OLDER = 8
"""Most older lines that are drawn faint behind a moving one."""


def group(history: History) -> dict[str, list[str]]:
    """The tags of each panel: a metric has one panel for all its splits, and its curves and points share it.

    The description of the network is last, because it never changes. What the run's last step did is first, for as long as it is the
    last: somebody asked for that step. A matrix's examples show in the matrix's own panel.
    """
    panels = panels_of(history)
    tags = {tag: samples.latest for tag, samples in history.samples.items()}

    def order(panel: tuple[str, list[str]]) -> tuple[bool, bool, int]:
        first = panel[1][0]
        asked = first.startswith("step/") and tags[first].step == history.step
        return not asked, first.startswith("model/"), ORDER.index(type(tags[first]))

    return dict(sorted(panels.items(), key=order))


def panels_of(history: History) -> dict[str, list[str]]:
    """The same in the order in which the tags came."""
    panels: dict[str, list[str]] = {}
    tags = {tag: samples.latest for tag, samples in history.samples.items() if not belongs_to_a_matrix(history, tag)}
    curved = {split_tag(tag)[1] for tag, latest in tags.items() if isinstance(latest, Curve)}
    for tag, latest in tags.items():
        _, metric, series = split_tag(tag) if tag != preparation.TAG else ("", "data", "")
        shared = isinstance(latest, Curve) or (isinstance(latest, Scatter) and metric in curved)
        panels.setdefault(one_line(metric if shared or not series else f"{metric} {series}", 40), []).append(tag)
    return panels


Body = TypeVar("Body", bound=Widget)


class SamplePanel(Vertical):
    """`follow` gives it the samples; `back` goes to older ones; `move` handles the arrow keys."""

    DEFAULT_CSS = """
    SamplePanel > Head { height: 1; }
    """

    def __init__(self, name: str, folder: Path, *, timeless: bool = False) -> None:
        """Without a log (`timeless`) a sample has no step, and no older ones."""
        super().__init__(name=name)
        self.folder = folder
        self._timeless = timeless
        self._title = name.partition(" ")[2]
        self.place: int | None = None
        """Index of the visible sample, from the oldest; None: always the newest."""
        self._at: float | None = None
        self._history = History()
        self._samples: list[Samples] = []
        self._shown: list[Tagged] = []
        self._focused = False
        self._event: Tagged | None = None
        self._head = Head()

    def compose(self) -> ComposeResult:
        yield self._head

    def on_mount(self) -> None:
        self.update()

    @property
    def event(self) -> Tagged | None:
        """The visible sample."""
        return self._event

    @property
    def count(self) -> int:
        return len(self._longest.events) if self._samples else 0

    @property
    def _longest(self) -> Samples:
        return max(self._samples, key=lambda samples: len(samples.events))

    @property
    def body(self) -> Widget | None:
        """The widget that shows the sample, below the first line."""
        return self.children[-1] if len(self.children) > 1 else None

    def follow(self, history: History, tags: Sequence[str], *, focused: bool = False, at: float | None = None) -> None:
        """Show the newest samples of these tags, or after a change of `at` those of that step; equal content is not drawn again."""
        self._focused, self._history = focused, history
        self._samples = [history.samples[tag] for tag in tags if tag in history.samples]
        if at != self._at and self._samples:
            self._at = at
            steps = [event.step for event in self._longest.events]
            self.place = None if at is None else max(0, bisect_right(steps, at) - 1)
        self.update()

    def back(self, samples: int) -> None:
        """Show an older sample, or with a negative number a newer one."""
        last = self.count - 1
        place = max(0, min(last, (last if self.place is None else self.place) - samples))
        self.place = None if place == last else place
        self.update()

    def move(self, across: int, down: int, *, page: bool = False) -> None:
        """Arrow keys: they move over a matrix or a ROC curve if this panel has the focus; else to older samples, or in the text."""
        body = self.body
        if isinstance(body, Pair) and self._focused:
            body.move(across, down, page=page)
        elif across:
            self.back(-across)
        elif isinstance(body, Lines):
            body.scroll_by(down * (max(1, body.size.height - 1) if page else 1))
        elif page:
            # Eight presses reach the oldest of any number.
            self.back(-down * max(1, self.count // 8))

    def clear(self) -> bool:
        """Remove the choice of a cell; returns whether there was one."""
        return isinstance(self.body, Pair) and self.body.clear()

    def on_pair_changed(self) -> None:
        self._head.rebuild()

    def update(self) -> None:
        """Update the first line and the body."""
        if not self._samples or not self.is_mounted:
            return
        # On the newest again: from now on it follows new ones.
        if self.place is not None and self.place >= self.count - 1:
            self.place = None
        chosen = self._chosen()
        self._event = chosen[0]
        older = self._older(chosen)
        # Events are never changed after they are read: identity is enough, and pictures are not decoded again.
        events = [*chosen, *older]
        if len(events) != len(self._shown) or any(event is not before for event, before in zip(events, self._shown, strict=True)):
            self._shown = events
            self._body(chosen, older)
        self._head.rebuild()

    def _chosen(self) -> list[Tagged]:
        """The samples to show: all curves and points of the panel, or one other sample."""
        if self.place is None:
            chosen = [samples.latest for samples in self._samples]
        else:
            held = self._longest.events[self.place]
            chosen = []
            for samples in self._samples:
                place = bisect_right([event.step for event in samples.events], held.step) - 1
                if samples is self._longest or place >= 0:
                    chosen.append(held if samples is self._longest else samples.events[place])
        chosen.sort(key=lambda event: not isinstance(event, Scatter))  # points first, so that lines are drawn over them
        return chosen if isinstance(chosen[0], Curve | Scatter) else [max(chosen, key=lambda event: event.step)]

    def _older(self, chosen: Sequence[Tagged]) -> list[Curve]:
        """Some earlier straight lines among points, evenly spread: they show how a decision boundary moved."""
        if not isinstance(chosen[0], Scatter):
            return []
        older: list[Curve] = []
        for samples in self._samples:
            before = [
                event for event in samples.events if isinstance(event, Curve) and event.step < chosen[-1].step and len(event.x) <= STRAIGHT
            ]
            older += [before[len(before) * place // OLDER] for place in range(OLDER)] if len(before) > OLDER else before
        return older

    def head(self, width: int) -> Strip:
        """The first line: name, split, step, and the sample's number; less in a narrow panel."""
        title: strips.Part = (self._title, palette.heading if self._focused else palette.bold)
        event = self._event
        if event is None:
            return strips.line(width, [title])
        split = split_tag(event.tag)[0]
        step = f"  step {formatting.count(event.step)}"
        number = self.count if self.place is None else self.place + 1
        place = f"  {number} of {self.count}" if self.count > 1 else ""
        if self._timeless:
            split = step = place = ""
        # From the fullest form on; "sample" and "data" as splits say nothing, so that form is skipped.
        forms = [(f"  {split} ·{step[1:]}" if split else "", place), (step, place), ("", place)]
        legend = self.body.words if isinstance(self.body, Pair) else ""
        chosen = isinstance(self.body, Pair) and self.body.explains and self._focused and bool(legend)
        free = width - cell_len(self._title) - (cell_len(legend) + 2 if chosen else 0)
        where, place = next(
            (form for form in forms[split in SAYS_NOTHING :] if cell_len("".join(form)) <= free), ("", "") if chosen else forms[2]
        )
        room = width - cell_len(self._title + where + place) - 2
        axis = f"  {axis}" if (axis := self._axis()) and cell_len(axis) <= room else ""
        parts = [title, (axis, palette.faint), (where, palette.dim), (place, palette.faint if self.place is None else palette.warn)]
        return strips.line(width, parts, [(legend, palette.accent if chosen else palette.faint)] if cell_len(legend) <= room else [])

    def _axis(self) -> str:
        """The name of a chart's y-axis, for which the chart itself has no room; "" where the panel or a line is called so."""
        curves = [event for event in self._shown if isinstance(event, Curve)]
        name = one_line(curves[0].labels[1], 40) if curves and isinstance(self.body, Chart) else ""
        # "probability" over "probabilities" says it twice.
        return "" if self._title.startswith(name[:-1]) or name in [split_tag(event.tag)[2] for event in curves] else name

    def _body(self, chosen: Sequence[Tagged], older: Sequence[Curve]) -> None:
        event = chosen[0]
        try:
            if isinstance(event, Images):
                png = event.png or files.read_plain(self.folder / _inside(event.file))
                self._widget(Picture).show(png, columns=event.columns, captions=event.captions)
            elif isinstance(event, Matrix):
                values = read_rows(self.folder / _inside(event.file)) if event.file else np.array(event.values, float)
                self._widget(MatrixBody).show(event, values, examples_of(self._history, event), self.folder)
            elif isinstance(event, Curve | Scatter):
                self._draw(chosen, older)
            else:
                self._widget(Sheet).put(event)
        except (OSError, ValueError, Problem) as error:
            self._widget(Sheet).put(Text(tag=event.tag, text=f"This sample cannot be shown: {one_line(str(error))}"))

    def _draw(self, chosen: Sequence[Tagged], older: Sequence[Curve]) -> None:
        """Draw curves and points in one chart; a ROC curve with its threshold."""
        curves = [self._read(event) for event in chosen if isinstance(event, Curve)]
        lines = [self._line(self._read(event), faint=True) for event in older]
        for event in chosen:
            if isinstance(event, Scatter):
                if event.file:
                    x, y = read_rows(self.folder / _inside(event.file))
                    event = Scatter(tag=event.tag, x=x.tolist(), y=y.tolist(), labels=event.labels)
                lines += scatter_lines(event)
        lines += [self._line(event) for event in curves]
        roc = next((event for event in curves if is_roc(event)), None)
        if roc:
            self._widget(RocBody).show(lines, roc)
        else:
            self._widget(Chart).show(lines, end=None, labels=curves[0].labels if curves else ("", ""))

    def _read(self, event: Curve) -> Curve:
        if not event.file:
            return event
        x, y, *at = read_rows(self.folder / _inside(event.file)).tolist()
        return Curve(tag=event.tag, x=x, y=y, labels=event.labels, at=at[0] if at else [], totals=event.totals, step=event.step)

    def _line(self, event: Curve, *, faint: bool = False) -> Line:
        split, _, series = split_tag(event.tag)
        return curve_line(one_line(series or ("" if self._timeless or split in SAYS_NOTHING else split), 40), event, faint=faint)

    def _widget(self, kind: type[Body]) -> Body:
        """The body as a widget of this kind; it replaces a body of another kind."""
        body = self.body
        if isinstance(body, kind):
            return body
        if body:
            body.remove()
        widget = kind()
        self.mount(widget)
        return widget


class Head(Lines):
    """The first line of a sample panel."""

    def lines(self, width: int) -> list[Strip]:
        panel = self.parent
        return [panel.head(width)] if isinstance(panel, SamplePanel) else []


def _inside(file: str) -> Path:
    """The path of a file in the run's folder. Raises Problem for a path that leaves it: a log is foreign text."""
    path = Path(file)
    if path.is_absolute() or ".." in path.parts or not file:
        raise Problem(f"{one_line(file, 80) or 'The file of this sample'} is not a file of this run.")
    return path
