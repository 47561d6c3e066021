"""The panels of a run, one for each kind of content in its log. The board draws the visible ones and knows which has the focus."""

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from workbench import preparation
from workbench.events import Images, split_tag
from workbench.recipes.recipe import Recipe
from workbench.runs.history import History, higher_is_better
from workbench.runs.summary import Summary
from workbench.tui.charts.chart import Chart, Line, Moment, Reference
from workbench.tui.charts.smoothing import SHARES
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.board import TEXTS, Board, Wanted
from workbench.tui.panels.console import Console
from workbench.tui.panels.figures import Figures, by_split
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.recipe_tab import RecipeTab
from workbench.tui.panels.samples import SamplePanel, group
from workbench.tui.panels.source import SourcePanel, method_of
from workbench.tui.panels.tab_bar import TabBar

# 1 % of the axis: a training loss of noisy batches becomes a readable line.
SMOOTH = 2
"""Index in SHARES of the smoothing at first."""
CHART, SAMPLE = "chart ", "sample "
"""The first words of panels' names; the rest is the metric."""


def logarithmic(tags: Sequence[str], chosen: bool | None) -> bool | None:
    """Whether a chart's y-axis is logarithmic: as chosen; else not for accuracies and learning rates; else None, by the values."""
    # Accuracies lie between 0 and 1, and what matters is near 1. A schedule ends near 0 and would seem to fall for ever on a log axis.
    linear = any(higher_is_better(tag) or split_tag(tag)[1] == "learning_rate" for tag in tags)
    return False if chosen is None and linear else chosen


def last_step(feed: Feed) -> int:
    """The last step on the x-axis of a run's charts: the planned one while it lives, then the one it reached."""
    is_going_on = feed.state.alive or feed.launching or feed.state.state == "away"  # away: on another machine it may go on
    return feed.history.steps if is_going_on else feed.history.step


class RunBoard(Board):
    """The board of a run; `follow` updates it."""

    DEFAULT_CSS = """
    RunBoard { padding: 0 1; }
    RunBoard Chart { background: $ground; }
    RunBoard Chart > .chart--focus { color: $accent-color; text-style: bold; }
    RunBoard Figures { border-left: solid $frame; padding: 0 0 0 1; }
    RunBoard Figures.tab { border-left: none; padding: 0; }
    """

    class Moved(Message):
        """The mouse moved the cursor: the screen draws again."""

    def __init__(self, feed: Feed, recipe: Recipe) -> None:
        super().__init__()
        self.feed = feed
        self.recipe = recipe
        self.focused = ""
        self.full = False
        self.log_y: bool | None = None
        """Whether all y-axes are logarithmic; None: each by its values."""
        self.smooth = SMOOTH
        """Index in SHARES of the smoothing of the curves."""
        self.cursor: float | None = None
        """The step at which the charts show their values."""
        self.asked = ("", -1)
        """The project's method that a person asked for, and at which step; it is marked until the training goes on."""
        self._summary = Summary(size=0)

    def compose(self) -> ComposeResult:
        yield Lines(name="notice")
        yield TabBar(name="tabs")
        yield Console(self.feed.run.output)
        yield RecipeTab(self.feed.run, self.recipe)
        yield SourcePanel(self.feed.run.project_copy)
        yield Figures()

    def panel(self, name: str) -> Widget | None:
        """The panel of this name."""
        return next((child for child in self.children if child.name == name), None)

    @property
    def view(self) -> tuple[object, ...]:
        """What is visible and how: while it and the log are the same, there is nothing to draw."""
        return self.focused, self.full, self.log_y, self.smooth, self.cursor, self.asked

    @property
    def ring(self) -> list[str]:
        """The panels that can have the focus, in order."""
        return [*self.wanted.charts, *self.place(self.size).tabs]

    def on_resize(self) -> None:
        self._draw_panels()

    def follow(self, summary: Summary) -> None:
        """Make and remove panels, lay them out, and draw the visible ones."""
        self._summary = summary
        charts, samples = self._content()
        present = {child.name for child in self.children}
        for child in list(self.children):
            if child.name and child.name.startswith((CHART, SAMPLE)) and child.name not in charts and child.name not in samples:
                child.remove()
        new: list[Widget] = [Chart(name.removeprefix(CHART), name=name) for name in charts if name not in present]
        new += [SamplePanel(name, self.feed.run.path) for name in samples if name not in present]
        if new:
            self.mount_all(new)
        if self.focused and self.focused not in (*charts, *samples, *TEXTS):
            self.focused, self.full = "", False
        latest = self.feed.history.samples
        wide = {name for name, tags in samples.items() if isinstance(latest[tags[0]].latest, Images)} | {"source"}
        # A new layout holds only after Textual's next refresh: then the panels know their sizes.
        # Last: it is about the data and never changes, and the page with the curves belongs to what the network does.
        data = [name for name, tags in samples.items() if tags[0] == preparation.TAG]
        tabs = (*(name for name in samples if name not in data), "console", "recipe", "source", *data)
        if self.rearrange(Wanted(tuple(charts), tabs, self.focused, self.full, frozenset(wide))):
            self.call_after_refresh(self._draw_panels)
        else:
            self._draw_panels()

    def _content(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The tags of each chart, and the tags of each sample panel."""
        history = self.feed.history
        charts = {CHART + metric: sorted(tags, key=by_split) for metric, tags in history.charts().items()}
        return charts, {SAMPLE + name: tags for name, tags in group(history).items()}

    def _draw_panels(self) -> None:
        if not self.size:
            return
        history, summary = self.feed.history, self._summary
        charts, samples = self._content()
        shown = self.place(self.size)
        for child in self.children:
            if child.name not in shown.regions:
                continue
            if isinstance(child, Chart):
                self._draw_chart(child, charts.get(child.name or "", []), history)
            elif isinstance(child, SamplePanel):
                child.follow(history, samples.get(child.name or "", []), focused=child.name == self.focused, at=self.cursor)
            elif isinstance(child, TabBar):
                tabs = [(name, name.removeprefix(SAMPLE)) for name in shown.tabs]
                hidden = [name for name in charts if name not in shown.regions]
                notes = [f"{len(hidden)} more chart{'s' * (len(hidden) != 1)}: tab"] if hidden else []
                notes += [f"smoothed {100 * SHARES[self.smooth]:g} %"] if self.smooth else []
                notes += [{True: "log y", False: "linear y"}[self.log_y]] if self.log_y is not None else []
                child.follow(tabs, frozenset(shown.regions), self.focused, notes)
            elif isinstance(child, Figures):
                child.set_class("figures" in shown.tabs, "tab")
                child.follow(self.recipe, summary, history)
            elif isinstance(child, RecipeTab):
                child.follow(history)
            elif isinstance(child, SourcePanel):
                method, step = self.asked
                child.follow(method if method and step == history.step else method_of(self.feed.state, history))
            # Nothing new was printed: what is painted stands.
            elif isinstance(child, Console) and (child.read() or not child.top):
                child.rebuild()
            elif child.name == "notice":
                self._draw_notice(child)

    def _draw_chart(self, chart: Chart, tags: list[str], history: History) -> None:
        metric = (chart.name or "").removeprefix(CHART)
        parts = [split_tag(tag) for tag in tags]
        alone = len({split for split, _, _ in parts}) == 1
        names = [(series or split or metric) if alone or not series else f"{split} {series}" for split, _, series in parts]
        chart.log_y = logarithmic(tags, self.log_y)
        metric_bars = [bar for bar in self.recipe.bar if split_tag(bar.metric)[1] == metric]
        limits = [(limit, "to pass") for bar in metric_bars for limit in (bar.at_least, bar.at_most) if limit is not None]
        limits += [(reference.value, reference.whose) for reference in self.recipe.reference if split_tag(reference.metric)[1] == metric]
        chart.show(
            [Line(name, history.series[tag]) for name, tag in zip(names, tags, strict=True)],
            end=last_step(self.feed),
            references=[Reference(value, label) for value, label in dict.fromkeys(limits)],
            # The loop itself settles `log_every` at its start: that is no change of a person's.
            moments=[Moment(mark.step, mark.text) for mark in history.marks if mark.command or set(mark.settings) != {"train.log_every"}],
            smooth=SHARES[self.smooth],
            cursor=self.cursor,
            focused=chart.name == self.focused,
        )

    def _draw_notice(self, panel: Widget) -> None:
        """Show the run's state in the place of the curves, until there are values."""
        assert isinstance(panel, Lines)
        width, height = panel.size
        symbol, text, style = states.state_words(self.feed.state)
        message = self.feed.state.message if self.feed.state.alive else ""
        if self.feed.state.alive and not message:
            message = {"starting": "imports its code and reads its data", "running": "no values yet"}.get(self.feed.state.state, "")
        if not self.feed.caught_up:
            symbol, text, message = "◌", "reading the log", ""
        # 72 cells at most, so that it reads as one sentence in the middle.
        shown = strips.wrap(f"{symbol} {text}" + (f": {message}" if message else ""), max(1, min(width, 72)))
        lines = [
            strips.line(width, [(" " * max(0, (width - len(words.rstrip())) // 2), palette.plain), (words.rstrip(), style)])
            for words in shown
        ]
        panel.show([*[strips.line(width, [])] * max(0, height // 2 - 1), *lines])

    # -- what keys do ------------------------------------------------------------------------------------------------------------

    def focus_next(self) -> None:
        """Move the focus to the next panel."""
        ring = self.ring
        place = ring.index(self.focused) + 1 if self.focused in ring else 0
        self.focused = ring[place % len(ring)]

    def target(self) -> Widget | None:
        """The panel that the arrow keys act on: the one in focus, or the first below the charts."""
        return self.panel(self.focused or next(iter(self.place(self.size).tabs), ""))

    def move(self, across: int, down: int, *, page: bool = False) -> None:
        """The arrow keys, or with `page` the page keys: a chart's cursor, a matrix's cell, a ROC curve's threshold, samples, text."""
        target = self.target()
        if isinstance(target, Chart):
            self.cursor = target.moved(self.cursor, (across + down) * (target.size.width // 8 if page else 1))
        elif isinstance(target, SamplePanel):
            target.move(across, down, page=page)
        elif isinstance(target, Lines):
            target.scroll_by(down * (max(1, target.size.height - 1) if page else 1))

    def clear(self) -> bool:
        """Remove the choice of a matrix's cell, or the cursor; returns whether there was one."""
        target = self.target()
        if isinstance(target, SamplePanel) and target.clear():
            return True
        was_set, self.cursor = self.cursor is not None, None
        return was_set

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        event.stop()
        self.focused, self.cursor = event.chart.name or "", event.x
        # Onto the nearest point: the mouse points between the steps that were logged.
        self.cursor = event.chart.moved(event.x, 0)
        self.post_message(self.Moved())
