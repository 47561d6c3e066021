"""The curves of many runs: a chart for each metric, one x-axis for all of them, its zoom and its cursor."""

from collections.abc import Sequence

import msgspec
import numpy as np
from textual import on
from textual.containers import Container
from textual.message import Message

from workbench.events import split_tag
from workbench.runs.views import Look
from workbench.tui.charts.chart import Chart, Line, Moment
from workbench.tui.charts.smoothing import SHARES
from workbench.tui.models.overlay import AXES, SEED, Overlay, short
from workbench.tui.panels import compare_lines
from workbench.tui.panels.run_board import logarithmic

CHART_ROWS = 8
SPLITS = ("valid", "train")
"""Splits in order of preference; test has only one point, which is among the figures."""
SKIPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of the steps that can be left out at the beginning, where a loss falls from far above."""
LEAST = 1e-4
"""The share of the whole axis that is the closest look."""


class OverlayBoard(Container):
    """`follow` draws; the rest is what keys and the mouse do."""

    DEFAULT_CSS = """
    OverlayBoard { layout: grid; width: 1fr; padding: 0 1; grid-gutter: 0 2; }
    """

    class Changed(Message):
        """The mouse changed the cursor, the zoom or the chosen line: the screen draws again."""

    def __init__(self, overlay: Overlay, *, id: str) -> None:
        super().__init__(id=id)
        self.overlay = overlay
        self.page = 0
        self.cursor: float | None = None
        self.moments: Sequence[Moment] = ()
        """Vertical lines in all charts, at steps."""

    @property
    def look(self) -> Look:
        """How the curves are drawn."""
        return self.overlay.look

    @property
    def view(self) -> tuple[object, ...]:
        """A value that changes with what is visible."""
        return (self.page, self.cursor, self.overlay.chosen, *msgspec.structs.astuple(self.look), tuple(self.moments))

    def splits(self) -> list[str]:
        """The splits that have curves."""
        tags = {split_tag(tag)[0] for side in self.overlay.sides for tag, series in side.history.series.items() if len(series) > 1}
        return [*(split for split in SPLITS if split in tags), *sorted(tags - {*SPLITS, "system", "test"})]

    def metrics(self) -> list[str]:
        """The metrics of this split: each has a chart, with a line for each run that logs it."""
        split = self.look.split
        tags = [tag for side in self.overlay.sides for tag in side.history.series if split_tag(tag)[0] == split]
        own = self.overlay.metric.removeprefix(f"{split}/")
        # In the order in which they are logged; of many runs first the one that they are sorted by.
        every = list(dict.fromkeys(tag.removeprefix(f"{split}/") for tag in tags))
        return sorted(every, key=lambda metric: metric != own) if len(self.overlay.sides) > compare_lines.FEW else every

    @property
    def tag(self) -> str:
        """The metric that stands for all: the one that runs are sorted by, where it is among the charts."""
        own = self.overlay.metric
        return own if split_tag(own)[0] == self.look.split else f"{self.look.split}/{next(iter(self.metrics()), '')}"

    def follow(self, end: float) -> None:
        """Draw the charts that fit; `end` is the last step of all."""
        splits = self.splits()
        if self.look.split not in splits:
            self.look.split = splits[0] if splits else ""
        metrics = self.metrics()
        columns = 2 if self.size.width >= 110 and len(metrics) > 1 else 1
        fitting = max(1, self.size.height // CHART_ROWS) * columns
        self.page %= max(1, -(-len(metrics) // fitting))
        shown = metrics[self.page * fitting : (self.page + 1) * fitting]
        self.styles.grid_size_columns = min(columns, len(shown)) or 1
        # Charts are reused: to mount a widget costs a layout of the whole screen.
        charts = list(self.query(Chart))
        for chart in charts[len(shown) :]:
            chart.remove()
        new = [Chart() for _ in shown[len(charts) :]]
        if new:
            self.mount_all(new)
        more = len(metrics) - len(shown)
        for number, (chart, metric) in enumerate(zip([*charts, *new], shown, strict=False)):
            self.draw_chart(chart, metric, end, f"  (tab: {more} more)" if more and not number else "")

    def draw_chart(self, chart: Chart, metric: str, end: float, more: str) -> None:
        """Draw the chart of a metric; `more` is the end of its title."""
        look, tag = self.look, f"{self.look.split}/{metric}"
        if look.axis != AXES[0]:
            end, more = 0.0, f" by {look.axis}{more}"
        lines = self.overlay.curves(tag)
        begin = look.begin
        if begin is None and look.skip:
            begin = look.skip * (end or reach(lines))
        if begin is not None:
            end = look.end or end or reach(lines)
        chart.log_y = logarithmic([tag], look.log_y)
        title = f"{look.split} {metric.replace('/', ' ')}{more}"
        chart.show(
            lines,
            title=title,
            begin=begin,
            end=end,
            log_x=look.log_x,
            smooth=SHARES[look.smooth],
            cursor=self.cursor,
            moments=self.moments,
        )

    def told(self) -> str:
        """How the curves are drawn, where that is not as at first."""
        look = self.look
        groups = {"": "", SEED: "seeds as one curve"}.get(look.groups, f"grouped by {short(look.groups)}")
        notes = [f"{groups}: mean, and a band from the smallest to the largest" if groups else ""]
        notes += ["log x" * look.log_x, f"without the first {100 * look.skip:g} %" if look.skip else ""]
        notes += ["zoomed: Esc shows all" if look.begin is not None else ""]
        notes += [f"smoothed {100 * SHARES[look.smooth]:g} %" if look.smooth else ""]
        return "  ·  ".join(filter(None, notes))

    # -- what keys do ------------------------------------------------------------------------------------------------------------

    def clear(self) -> bool:
        """Remove the choice of a line and the cursor, then the zoom; returns whether there was one."""
        if self.overlay.chosen is not None or self.cursor is not None:
            self.overlay.chosen = self.cursor = None
        elif self.look.begin is not None:
            self.look.begin = self.look.end = None
        else:
            return False
        return True

    def turn_split(self) -> None:
        """Show the next split."""
        splits = self.splits()
        self.look.split, self.page = splits[(splits.index(self.look.split) + 1) % len(splits)], 0

    def turn_color(self, by: int) -> None:
        """Colour the runs by another setting."""
        look = self.look
        ring = ["", *(setting.name for setting in self.overlay.settings)]
        place = ring.index(look.color) if look.color in ring else 0
        look.color = ring[(place + by) % len(ring)]
        if look.groups not in ("", SEED):
            look.groups = look.color

    def turn_groups(self) -> None:
        """Each run, then seeds as one curve, then the runs of each value of the colour."""
        look = self.look
        ring = ["", SEED, *([look.color] if look.color else [])]
        look.groups = ring[(ring.index(look.groups) + 1) % len(ring)] if look.groups in ring else ""

    def turn_log_y(self) -> str:
        """Change the y-axes; returns how they are now."""
        self.look.log_y = {None: True, True: False, False: None}[self.look.log_y]
        return {None: "each by its values", True: "all logarithmic", False: "all linear"}[self.look.log_y]

    def turn_axis(self) -> None:
        """Draw over another x; a zoom was in the units of the one before."""
        look = self.look
        look.axis = AXES[(AXES.index(look.axis) + 1) % len(AXES)]
        look.begin = look.end = self.cursor = None

    def turn_skip(self) -> None:
        """Leave out more of the first steps, or none."""
        look = self.look
        look.skip = SKIPS[(SKIPS.index(look.skip) + 1) % len(SKIPS)] if look.skip in SKIPS else 0.0
        look.begin = look.end = None

    def turn_smooth(self, by: int) -> None:
        """Smooth more, or less."""
        self.look.smooth = max(0, min(len(SHARES) - 1, self.look.smooth + by))

    def move(self, by: int) -> None:
        """Move the cursor; the visible part follows it."""
        chart = self.query(Chart).first()
        self.cursor = chart.moved(self.cursor, by)
        low, high = chart.window
        if self.look.begin is not None and self.cursor is not None and not low <= self.cursor <= high:
            begin = max(0.0, self.cursor - (high - low) / 2)
            self.look.begin, self.look.end = begin, begin + high - low

    def zoom(self, by: float, at: float | None = None) -> None:
        """Make the visible part so many times as long, around a place; without one its end stays, where a run goes on."""
        look, chart = self.look, self.query(Chart).first()
        low, high = chart.window
        at = self.cursor if at is None else at
        at = high if at is None or not low <= at <= high else at
        if look.log_x:
            begin, end = (at * (edge / at) ** by for edge in (low, high))
        else:
            begin, end = (at + (edge - at) * by for edge in (low, high))
        whole = chart.reach
        if end - begin >= LEAST * whole:
            look.begin, look.end = (None, None) if begin <= 0.0 and end >= whole else (max(0.0, begin), end)

    # -- the mouse ---------------------------------------------------------------------------------------------------------------

    @on(Chart.Wheeled)
    def _wheeled(self, event: Chart.Wheeled) -> None:
        event.stop()
        self.zoom(1.25**event.down, event.x)
        self.post_message(self.Changed())

    @on(Chart.Dragged)
    def _dragged(self, event: Chart.Dragged) -> None:
        event.stop()
        self.look.begin, self.look.end, self.cursor = max(0.0, event.start), event.end, None
        self.post_message(self.Changed())

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        event.stop()
        # Onto the nearest point: the mouse points between the steps that were logged.
        self.cursor = event.chart.moved(event.x, 0)
        names = [side.name for side in self.overlay.sides]
        if event.line in names:
            self.overlay.chosen = names.index(event.line)
        self.post_message(self.Changed())


def reach(lines: Sequence[Line]) -> float:
    """The largest x of some lines."""
    xs = [line.data[0] if isinstance(line.data, tuple) else line.data.steps for line in lines]
    return max((float(x[-1]) for x in map(np.asarray, xs) if len(x)), default=0.0)
