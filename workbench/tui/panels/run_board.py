"""The panels of a run, one for everything its log has. It draws those that are on the screen and knows which has the focus."""

from textual.app import ComposeResult
from textual.widget import Widget

from workbench.events import Images, split_tag
from workbench.history import History
from workbench.recipe import Recipe
from workbench.runs import Summary
from workbench.tui import palette, states, strips
from workbench.tui.charts.chart import Chart, Line, Moment, Reference
from workbench.tui.feed import Feed
from workbench.tui.panels.board import Board, Wanted
from workbench.tui.panels.console import Console
from workbench.tui.panels.figures import Figures, by_split
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.samples import SamplePanel, group
from workbench.tui.panels.tab_bar import TabBar

CHART, SAMPLE = "chart ", "sample "
"""Beginnings of panels' names; the rest is the metric."""


class RunBoard(Board):
    """`follow` brings it up to date."""

    DEFAULT_CSS = """
    RunBoard { padding: 0 1; }
    RunBoard Chart { background: #0f1318; }
    RunBoard Chart.focused > .chart--title { color: #62b6ea; }
    RunBoard Figures { border-left: solid #3a424b; padding: 0 0 0 1; }
    RunBoard Figures.tab { border-left: none; padding: 0; }
    """

    def __init__(self, feed: Feed, recipe: Recipe) -> None:
        super().__init__()
        self.feed = feed
        self.recipe = recipe
        self.focused = ""
        self.full = False
        self.log_y: bool | None = None
        """All y-axes logarithmic, or linear; None: each as its values are."""
        self._summary = Summary(size=0)

    def compose(self) -> ComposeResult:
        yield Lines(name="notice")
        yield TabBar(name="tabs")
        yield Console(self.feed.run.output)
        yield Figures()

    def panel(self, name: str) -> Widget | None:
        """The panel of that name."""
        return next((child for child in self.children if child.name == name), None)

    @property
    def ring(self) -> list[str]:
        """The panels that can have the focus, in their order."""
        return [*self.wanted.charts, *self.place(self.size).tabs]

    def on_resize(self) -> None:
        self._draw_panels()

    def follow(self, summary: Summary) -> None:
        """Make and remove panels, lay them out, and draw the ones that are seen."""
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
        if self.focused and self.focused not in (*charts, *samples, "console", "figures"):
            self.focused, self.full = "", False
        latest = self.feed.history.samples
        pictures = frozenset(name for name, tags in samples.items() if isinstance(latest[tags[0]].latest, Images))
        if self.rearrange(Wanted(tuple(charts), (*samples, "console"), self.focused, self.full, pictures)):
            self.call_after_refresh(self._draw_panels)
        else:
            self._draw_panels()

    def _content(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Tags by panel: of the charts, and of the samples."""
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
                child.follow(history, samples.get(child.name or "", []), focused=child.name == self.focused)
            elif isinstance(child, TabBar):
                tabs = [(name, name.removeprefix(SAMPLE)) for name in shown.tabs]
                hidden = [name for name in charts if name not in shown.regions]
                note = f"{len(hidden)} more chart{'s' * (len(hidden) != 1)}: tab" if hidden else ""
                child.follow(tabs, frozenset(shown.regions), self.focused, note)
            elif isinstance(child, Figures):
                child.set_class("figures" in shown.tabs, "tab")
                child.follow(self.recipe, summary, history)
            elif isinstance(child, Console) and (child.read() or not child.top):
                child.rebuild()
            elif child.name == "notice":
                self._draw_notice(child)

    def _draw_chart(self, chart: Chart, tags: list[str], history: History) -> None:
        metric = (chart.name or "").removeprefix(CHART)
        parts = [split_tag(tag) for tag in tags]
        alone = len({split for split, _, _ in parts}) == 1
        names = [(series or split or metric) if alone or not series else f"{split} {series}" for split, _, series in parts]
        chart.set_class(chart.name == self.focused, "focused")
        chart.log_y = self.log_y
        own = [bar for bar in self.recipe.bar if split_tag(bar.metric)[1] == metric]
        limits = [(limit, "to pass") for bar in own for limit in (bar.at_least, bar.at_most) if limit is not None]
        limits += [(known.value, "course") for known in self.recipe.reference if split_tag(known.metric)[1] == metric]
        chart.show(
            [Line(name, history.series[tag]) for name, tag in zip(names, tags, strict=True)],
            end=history.steps,
            references=[Reference(value, label) for value, label in dict.fromkeys(limits)],
            moments=[Moment(mark.step, mark.text) for mark in history.marks if mark.command or set(mark.settings) != {"train.log_every"}],
        )

    def _draw_notice(self, panel: Widget) -> None:
        """What stands where the curves will be."""
        assert isinstance(panel, Lines)
        width, height = panel.size
        symbol, text, style = states.state_words(self.feed.state)
        message = self.feed.state.message if self.feed.state.alive else ""
        if self.feed.state.alive and not message:
            message = {"starting": "importing, then reading data", "running": "the first values are on their way"}.get(
                self.feed.state.state, ""
            )
        if not self.feed.caught_up:
            symbol, text, message = "◌", "reading its log", ""
        shown = strips.fit(f"{symbol} {text}" + (f": {message}" if message else ""), max(1, min(width, 72)))
        line = strips.line(width, [(" " * max(0, (width - len(shown.rstrip())) // 2), palette.plain), (shown.rstrip(), style)])
        panel.show([*[strips.line(width, [])] * max(0, height // 2 - 1), line])

    # -- what keys do ------------------------------------------------------------------------------------------------------------

    def focus_next(self) -> None:
        """Move the focus on."""
        ring = self.ring
        place = ring.index(self.focused) + 1 if self.focused in ring else 0
        self.focused = ring[place % len(ring)]

    def target(self) -> Widget | None:
        """The panel that arrows act on: the one in focus, or the first below the charts."""
        return self.panel(self.focused or next(iter(self.place(self.size).tabs), ""))

    def scroll_target(self, rows: int) -> None:
        """Scroll the target's text."""
        target = self.target()
        body = target.children[-1] if isinstance(target, SamplePanel) else target
        if isinstance(body, Lines):
            body.scroll_by(rows)
