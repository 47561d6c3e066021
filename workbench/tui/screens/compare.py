"""Runs side by side: their curves in one chart for each metric, the settings that differ, their results. Live runs are followed."""

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.strip import Strip

from workbench import formatting
from workbench.events import split_tag
from workbench.problems import Problem
from workbench.recipes.recipe import Recipe
from workbench.runs import bars, compare, family
from workbench.runs.compare import Side
from workbench.runs.summary import summarize
from workbench.tui import keys
from workbench.tui.charts.chart import Chart, Line, Moment
from workbench.tui.charts.plot import SERIES, SLOTS
from workbench.tui.drawing import palette, states, strips
from workbench.tui.keys import Key
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.figures import shortened
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.run_board import last_step, logarithmic
from workbench.tui.screens.key_screen import KeyScreen

# 0.5 ms only lets the event loop handle a key between two slices.
READ, LOOK = 0.0005, 1.0
"""Seconds until the next slice while a log is not read to its end, and else until the next look at all logs."""
CHART_ROWS = 8
SPLITS = ("valid", "train")
"""Splits in order of preference; test has only one point, which is among the figures."""


class CompareScreen(KeyScreen):
    """Opens from the list of runs, with the marked runs."""

    DEFAULT_CSS = """
    CompareScreen #names { height: auto; max-height: 6; padding: 0 1; }
    CompareScreen #both { height: 1fr; layout: horizontal; }
    CompareScreen #charts { layout: grid; width: 1fr; padding: 0 1; grid-gutter: 0 2; }
    CompareScreen #table { width: 45%; padding: 0 1; border-left: solid $frame; }
    CompareScreen.narrow #both { layout: vertical; }
    CompareScreen.narrow #charts { width: 100%; height: 10; }
    CompareScreen.narrow #table { width: 100%; height: 1fr; border-left: none; border-top: solid $frame; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back to the list", "Esc"),
        Key("v", "split", "train/valid", "Show the curves of the next split"),
        Key("tab", "next", "more charts", "Show the next charts, where not all fit", "Tab"),
        Key("y", "log_y", "log y", "Make all y-axes logarithmic, all linear, or each by its values"),
        Key("up", "up", "", "Scroll the tables up", "↑"),
        Key("down", "down", "scroll", "Scroll the tables down", "↓"),
        Key("pageup", "page_up", "", "Scroll one page up", "PgUp"),
        Key("pagedown", "page_down", "", "Scroll one page down", "PgDn"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, feeds: Sequence[Feed]) -> None:
        super().__init__()
        self.feeds = list(feeds)
        self.names = compare.names([feed.run for feed in feeds])
        self.recipes = [recipe_of(feed) for feed in feeds]
        self.origins = {feed.run.id: family.forked(feed.run) for feed in feeds}
        """What each of them was forked from."""
        self.split = ""
        self.page = 0
        self.log_y: bool | None = None
        self.sides: list[Side] = []
        self._drawn: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Lines(id="names")
        with Container(id="both"):
            yield Container(id="charts")
            yield Lines(id="table")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#names", Lines).source = self.name_lines
        self.query_one("#names").styles.height = self.name_rows
        self.query_one("#table", Lines).source = self.table_lines
        self.call_after_refresh(self.look)

    @property
    def name_rows(self) -> int:
        """Rows of the names at the top."""
        return len(self.feeds)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.set_class(event.size.width < 100, "narrow")
        self._drawn = ()
        self.call_after_refresh(self.draw)

    def look(self) -> None:
        """Follow the logs, and draw what is new."""
        # The timer may fire once more after the screen is gone.
        if not self.is_attached:
            return
        for feed in self.feeds:
            feed.read()
            feed.ask()
        self.draw()
        self.set_timer(LOOK if all(feed.caught_up for feed in self.feeds) else READ, self.look)

    def content(self) -> tuple[object, ...]:
        """A value that changes with everything that is drawn."""
        return (*(feed.history.version for feed in self.feeds), *(feed.state for feed in self.feeds), self.split, self.page, self.log_y)

    def draw(self) -> None:
        """Update everything, if anything changed."""
        now = self.content()
        if now == self._drawn or not self.is_active or not self.size:
            return
        self._drawn = now
        self.sides = [
            Side(feed.run, name, recipe, feed.history, summarize(feed.history, 0))
            for feed, name, recipe in zip(self.feeds, self.names, self.recipes, strict=True)
        ]
        self._draw_charts()
        for panel in self.query(Lines):
            panel.rebuild()

    # -- curves ----------------------------------------------------------------------------------------------------------------

    def _splits(self) -> list[str]:
        tags = {split_tag(tag)[0] for side in self.sides for tag, series in side.history.series.items() if len(series) > 1}
        return [*(split for split in SPLITS if split in tags), *sorted(tags - {*SPLITS, "system", "test"})]

    def metrics(self) -> list[str]:
        """The metrics of this split: each has a chart, with a line for each run that logs it."""
        tags = [tag for side in self.sides for tag in side.history.series if split_tag(tag)[0] == self.split]
        return list(dict.fromkeys(tag.removeprefix(f"{self.split}/") for tag in tags))

    def _draw_charts(self) -> None:
        splits = self._splits()
        if self.split not in splits:
            self.split = splits[0] if splits else ""
        metrics = self.metrics()
        place = self.query_one("#charts")
        columns = 2 if place.size.width >= 110 and len(metrics) > 1 else 1
        fitting = max(1, place.size.height // CHART_ROWS) * columns
        self.page %= max(1, -(-len(metrics) // fitting))
        shown = metrics[self.page * fitting : (self.page + 1) * fitting]
        place.styles.grid_size_columns = min(columns, len(shown)) or 1
        # Charts are reused: to mount a widget costs a layout of the whole screen.
        charts = list(self.query(Chart))
        for chart in charts[len(shown) :]:
            chart.remove()
        new = [Chart() for _ in shown[len(charts) :]]
        if new:
            place.mount_all(new)
        more = len(metrics) - len(shown)
        end = max(map(last_step, self.feeds), default=0)
        for number, (chart, metric) in enumerate(zip([*charts, *new], shown, strict=False)):
            self.draw_chart(chart, metric, end, f"  (tab: {more} more)" if more and not number else "")

    def draw_chart(self, chart: Chart, metric: str, end: float, more: str) -> None:
        """Draw the chart of a metric; `end` is the last step of all, `more` the end of its title."""
        lines = self.curves(f"{self.split}/{metric}")
        chart.log_y = logarithmic([f"{self.split}/{metric}"], self.log_y)
        chart.show(lines, title=f"{self.split} {metric.replace('/', ' ')}{more}", end=end, moments=self.branches)

    def curves(self, tag: str) -> list[Line]:
        """The lines of a metric's chart: one for each run that logs it."""
        shown = [(slot, side) for slot, side in enumerate(self.sides) if tag in side.history.series]
        return [Line(side.name, side.history.series[tag], slot % SLOTS) for slot, side in shown]

    @property
    def branches(self) -> list[Moment]:
        """Where forks among them left their parents."""
        names = dict(zip(self.origins, self.names, strict=True))
        left: dict[int, list[str]] = {}
        for run, origin in self.origins.items():
            if origin and origin.run in self.origins:
                left.setdefault(origin.step, []).append(names[run])
        return [Moment(step, f"fork {', '.join(forks)}") for step, forks in sorted(left.items())]

    # -- words -----------------------------------------------------------------------------------------------------------------

    def color(self, slot: int) -> Style:
        """The colour of the run, or variant, at a place."""
        for chart in self.query(Chart):  # any chart: it knows the colours of series in this theme
            return chart.style_for(SERIES + slot % SLOTS) + Style(bgcolor=palette.plain.bgcolor)
        return palette.plain

    def name_lines(self, width: int) -> list[Strip]:
        """The lines at the top: what is compared."""
        lines = []
        for slot, (side, feed) in enumerate(zip(self.sides, self.feeds, strict=False)):
            symbol, text, style = states.state_words(feed.state)
            what = f"  {side.recipe.title}" if len({other.recipe.title for other in self.sides}) > 1 or not slot else ""
            done = f"{formatting.count(side.summary.step)} steps  {formatting.duration(side.summary.seconds)} "
            parts = [("━━ ", self.color(slot)), (side.name, palette.bold), (what, palette.dim)]
            lines.append(strips.line(width, parts, [(f"  {symbol} {text.partition(':')[0]}  ", style), (done, palette.faint)]))
        return lines

    def table_lines(self, width: int) -> list[Strip]:
        """The settings that differ, and the figures."""
        if not self.sides:
            return []
        width = max(20, width - 1)
        settings, figures = compare.differing(self.sides), compare.figures(self.sides)
        named = [12, *(len(_short(row.name)) for row in settings), *(len(bars.short_name(row.metric)) for row in figures)]
        label = min(max(named) + 1, max(width // 3, width - len(self.sides) * (max(map(len, self.names)) + 3)))
        cell_width = max(6, (width - label) // len(self.sides) - 1)
        blank = strips.line(width, [])

        def written(name: str, cells: Sequence[strips.Part]) -> Strip:
            parts: list[strips.Part] = [(strips.fit(name, label), palette.dim)]
            for text, style in cells:
                parts += [(" ", palette.plain), (strips.fit(text, cell_width, "right"), style)]
            return strips.line(width, parts)

        heads = [(name, self.color(slot)) for slot, name in enumerate(self.names)]
        lines = [
            strips.line(width, [("settings that differ", palette.bold)])
            if settings
            else strips.line(width, [("no setting differs", palette.bold)])
        ]
        lines.append(written("", heads))
        for row in settings:
            texts = [strips.wrap(value, cell_width) for value in row.values]
            for place in range(max(map(len, texts))):
                cells = [(text[place] if place < len(text) else "", palette.plain) for text in texts]
                lines.append(written(_short(row.name) if not place else "", cells))
        lines += [blank, strips.line(width, [("figures", palette.bold)])]
        for figure in figures:
            cells = []
            for place, value in enumerate(figure.values):
                best = place == figure.best
                text = compare.NOT_SET if value is None else formatting.number(value)
                cells.append((text + (" ✓" if best else "  "), palette.good if best else palette.faint if value is None else palette.plain))
            lines.append(written(shortened(figure.metric, label), cells))
        return lines

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        if name == "split" and len(self._splits()) < 2:
            return "All curves are of one split."
        return ""

    def do_back(self) -> None:
        self.dismiss()

    def do_split(self) -> None:
        splits = self._splits()
        self.split, self.page = splits[(splits.index(self.split) + 1) % len(splits)], 0
        self.draw()

    def do_next(self) -> None:
        self.page += 1
        self.draw()

    def do_log_y(self) -> None:
        self.log_y = {None: True, True: False, False: None}[self.log_y]
        kind = {None: "each by its values", True: "all logarithmic", False: "all linear"}[self.log_y]
        self.notify(f"y-axes: {kind}", timeout=2)
        self.draw()

    def do_up(self) -> None:
        self._scroll(-1)

    def do_down(self) -> None:
        self._scroll(1)

    def do_page_up(self) -> None:
        self._scroll(-10)

    def do_page_down(self) -> None:
        self._scroll(10)

    def _scroll(self, rows: int) -> None:
        self.query_one("#table", Lines).scroll_by(rows)


def recipe_of(feed: Feed) -> Recipe:
    """A run's recipe, or one with no more than its name where that is damaged."""
    try:
        return feed.run.recipe()
    except Problem:
        return Recipe(title=feed.run.stem, project="?")


def _short(name: str) -> str:
    return name.removeprefix("config.")
