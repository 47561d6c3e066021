"""The panels of an endpoint: traffic and latency as charts, the table of variants, drift, words, timeline. Placed by the board's size."""

from collections.abc import Sequence

from rich.style import Style
from textual import on
from textual.app import ComposeResult
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from workbench.events import Mark
from workbench.tui.charts.chart import Chart, Line, Moment, Reference
from workbench.tui.charts.plot import SERIES, SLOTS
from workbench.tui.drawing import palette, strips
from workbench.tui.models.endpoint_feed import SPANS, EndpointFeed
from workbench.tui.panels import endpoint_lines
from workbench.tui.panels.board import GAP, Board, Plan, Wanted, is_wide
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import Row, Rows
from workbench.tui.panels.tab_bar import TabBar

CHARTS = ("rate", "latency")
RING = (*CHARTS, "drift", "words", "log")
"""The panels that can have the focus, in order."""
TITLES = {"rate": "requests/s", "latency": "latency", "drift": "drift", "words": "words", "log": "timeline"}
MOST_ROWS = 8
"""Rows of the table of variants; with more it scrolls."""
SPAN = 1
"""Index in SPANS at first: five minutes."""
APART = 30.0
"""Seconds between two alarms that are both marked on the charts: an alarm about one number is seldom alone."""
MOMENTS = 40
LATENCIES = ("p50", "p95", "p99")


def places(size: Size, wanted: Wanted, variants: int) -> Plan:
    """Two charts above the table, drift beside words and the timeline below; on a small board one panel, the worst and the last event."""
    width, height = size
    rows = min(variants + 1, MOST_ROWS)
    if wanted.full:
        return Plan({wanted.focus: Region(0, 0, width, height)}, RING)
    if is_wide(size):
        half = (width - GAP) // 2
        below = min(9, max(6, height // 4))
        above = height - rows - 2 - 2 * below
        top = above + rows + 2
        drift = (width - GAP) * 11 // 20
        return Plan(
            {
                "rate": Region(0, 0, half, above),
                "latency": Region(half + GAP, 0, width - half - GAP, above),
                "variants": Region(0, above + 1, width, rows),
                "drift": Region(0, top, drift, below - 1),
                "words": Region(drift + GAP, top, width - drift - GAP, below - 1),
                "log": Region(0, top + below, width, below),
            },
            RING,
        )
    focus = wanted.focus or RING[0]
    rows = min(rows, max(2, height - 6))
    panel = max(1, height - rows - 3)
    regions = {"tabs": Region(0, 0, width, 1), focus: Region(0, 1, width, panel), "variants": Region(0, 1 + panel, width, rows)}
    if height >= rows + 4:
        regions |= {"worst": Region(0, height - 2, width, 1), "last": Region(0, height - 1, width, 1)}
    return Plan(regions, RING)


class EndpointBoard(Board):
    """The board; `follow` updates it."""

    DEFAULT_CSS = """
    EndpointBoard { padding: 0 1; }
    EndpointBoard Chart { background: $ground; }
    EndpointBoard Chart > .chart--focus { color: $accent-color; text-style: bold; }
    """

    class Moved(Message):
        """The mouse moved the cursor: the screen draws again."""

    def __init__(self, feed: EndpointFeed) -> None:
        super().__init__()
        self.feed = feed
        self.focused = ""
        self.full = False
        self.span = SPAN
        """Index in SPANS."""
        self.cursor: float | None = None
        self.wanted = Wanted(CHARTS, RING, "")
        self._variants = 1

    def compose(self) -> ComposeResult:
        yield TabBar(name="tabs")
        yield Chart(TITLES["rate"], name="rate")
        yield Chart(TITLES["latency"], name="latency")
        yield Rows(name="variants")
        for name in ("drift", "words", "log", "worst", "last"):
            yield Lines(name=name)

    def on_mount(self) -> None:
        self.rows.make = self._variant_rows
        sources = {"drift": self._drift, "words": self._words, "log": self._log, "worst": self._worst, "last": self._last}
        for name, source in sources.items():
            panel = self.panel(name)
            assert isinstance(panel, Lines)
            panel.source = source

    def on_resize(self) -> None:
        self._draw()

    @property
    def rows(self) -> Rows:
        """The table of variants."""
        return self.query_one(Rows)

    @property
    def view(self) -> tuple[object, ...]:
        """What is visible and how: while it and the log are the same, there is nothing to draw."""
        return self.focused, self.full, self.span, self.cursor, self.rows.key

    def panel(self, name: str) -> Widget | None:
        """The panel of this name."""
        return next((child for child in self.children if child.name == name), None)

    def place(self, size: Size) -> Plan:
        return places(size, self.wanted, self._variants)

    def follow(self) -> None:
        """Lay the panels out and draw the visible ones."""
        before = self.place(self.size)
        self._variants = len(self.feed.config.variants) if self.feed.config else 1
        self.wanted = Wanted(CHARTS, RING, self.focused, self.full and bool(self.focused))
        self._clear_arrangement_cache()
        if self.place(self.size) != before:
            self.refresh(layout=True)
            self.call_after_refresh(self._draw)
        else:
            self._draw()

    def _draw(self) -> None:
        if not self.size:
            return
        shown = self.place(self.size)
        for child in self.children:
            if child.name not in shown.regions:
                continue
            if isinstance(child, Chart):
                self._draw_chart(child)
            elif isinstance(child, TabBar):
                visible = frozenset(shown.regions)
                child.follow([(name, TITLES[name].partition("/")[0]) for name in RING], visible, self.focused or RING[0], [self.shown_span])
            elif isinstance(child, Lines):
                child.rebuild()

    @property
    def shown_span(self) -> str:
        """How much time the charts show, in words."""
        seconds = SPANS[self.span]
        for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
            if seconds >= size:
                return f"{seconds // size} {word}{'s' * (seconds // size != 1)}"
        return f"{seconds} s"

    # -- charts ------------------------------------------------------------------------------------------------------------------

    def _draw_chart(self, chart: Chart) -> None:
        feed, history = self.feed, self.feed.history
        begin, end = feed.window(SPANS[self.span])
        if chart.name == "rate":
            lines = [Line(name, history.series[f"rate/{name}"], feed.slot(name) % SLOTS) for name in feed.served(begin)]
            title, references = TITLES["rate"], []
        else:
            name = self.rows.key
            tags = [(part, f"{part}/{name}") for part in LATENCIES]
            lines = [Line(part, history.series[tag], slot) for slot, (part, tag) in enumerate(tags, 5) if tag in history.series]
            title = f"{TITLES['latency']} of {name}, ms" if name else TITLES["latency"]
            limit = feed.config.limits.p99 if feed.config else 0.0
            references = [Reference(limit, "limit of p99")] if limit else []
        chart.log_y = None if chart.name == "latency" else False
        chart.show(
            lines,
            title=title,
            begin=begin,
            end=end,
            clock=feed.about.created or None,
            references=references,
            moments=moments(history.marks, begin),
            cursor=self.cursor,
            focused=chart.name == self.focused,
        )

    @property
    def curve_styles(self) -> list[Style]:
        """The colours of the curves, for their names in the table."""
        chart = self.query_one(Chart)
        return [chart.style_for(SERIES + slot) + palette.plain.background_style for slot in range(SLOTS)]

    # -- texts -------------------------------------------------------------------------------------------------------------------

    @property
    def _several(self) -> bool:
        return self._variants > 1

    def _variant_rows(self, width: int) -> Sequence[Row]:
        return endpoint_lines.variant_rows(self.feed.variants(), width, self.curve_styles)

    def _titled(self, name: str, width: int, lines: list[Strip]) -> list[Strip]:
        """With its title above, where no bar of tabs says it."""
        if "tabs" in self.place(self.size).regions:
            return lines
        look = palette.heading if name == self.focused else palette.bold
        title = TITLES[name]
        return [strips.line(width, [(title, look), (" " + "─" * max(0, width - len(title) - 1), palette.faint)]), *lines]

    def _drift(self, width: int) -> list[Strip]:
        return self._titled("drift", width, endpoint_lines.drift_lines(self.feed, width, self._several))

    def _words(self, width: int) -> list[Strip]:
        return self._titled("words", width, endpoint_lines.word_lines(self.feed, width, self._several))

    def _log(self, width: int) -> list[Strip]:
        return self._titled("log", width, [endpoint_lines.event_line(event, width) for event in endpoint_lines.timeline(self.feed)])

    def _worst(self, width: int) -> list[Strip]:
        return [endpoint_lines.worst(self.feed, width, self._several)]

    def _last(self, width: int) -> list[Strip]:
        return [endpoint_lines.event_line(event, width) for event in endpoint_lines.timeline(self.feed)[:1]]

    # -- what keys do ------------------------------------------------------------------------------------------------------------

    def focus_next(self) -> None:
        """Move the focus to the next panel; where one is shown at a time, show the next one."""
        narrow = "tabs" in self.place(self.size).regions
        place = RING.index(self.focused) if self.focused in RING else 0 if narrow else -1
        self.focused = RING[(place + 1) % len(RING)]

    def move(self, columns: int) -> None:
        """Move the charts' cursor."""
        chart = self.panel("rate")
        assert isinstance(chart, Chart)
        self.cursor = chart.moved(self.cursor, columns)

    def scroll(self, pages: int) -> None:
        """Scroll the panel of text in focus, or the timeline."""
        target = self.panel(self.focused)
        target = target if isinstance(target, Lines) else self.panel("log")
        if isinstance(target, Lines):
            target.scroll_by(pages * max(1, target.size.height - 1))

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        event.stop()
        self.cursor = event.chart.moved(event.x, 0)
        self.post_message(self.Moved())


def moments(marks: Sequence[Mark], begin: float) -> list[Moment]:
    """What is marked on the charts: changes, and of alarms that come together the first; the timeline has them all."""
    chosen: list[Moment] = []
    alarm = -APART
    for mark in marks:
        kind, _, rest = mark.text.partition(": ")
        if mark.step < begin or kind == "clear" or (kind == "alarm" and mark.step < alarm + APART):
            continue
        alarm = mark.step if kind == "alarm" else alarm
        chosen.append(Moment(mark.step, rest if kind == "weights" else mark.text))
    return chosen[-MOMENTS:]
