"""A tuning: best so far, live curves, parallel coordinates, importance, a heat map of two settings, the table of its trials."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.strip import Strip

from workbench.problems import Problem
from workbench.runs.tunings import Trial, Tuning
from workbench.tui import keys
from workbench.tui.charts.chart import Chart
from workbench.tui.charts.matrix import MatrixView
from workbench.tui.charts.parallel import ParallelView
from workbench.tui.drawing import palette
from workbench.tui.keys import Key
from workbench.tui.models import run_actions, trials
from workbench.tui.models.trials import TuningFeed
from workbench.tui.panels import trial_rows
from workbench.tui.panels import tuning_charts as charts
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import WALK, Row, Rows, Walker
from workbench.tui.panels.tab_bar import TabBar
from workbench.tui.panels.trial_rows import Order
from workbench.tui.screens.key_screen import KeyScreen

READ, LOOK = 0.0005, 1.0
"""Seconds until the next slice while a log is not read to its end, and else until the next look at the tuning."""
READING = 0.02
"""Seconds of reading in one slice: a key that is pressed meanwhile is answered at once."""
PANELS = {
    "best": "best so far",
    "curves": "curves",
    "parallel": "parallel",
    "importance": "importance",
    "heat": "heat map",
    "trials": "trials",
}
WIDE, HIGH = 100, 30
"""Columns and rows from which all panels are seen at once; in less room one of them, above the table."""


class TuningScreen(KeyScreen, Walker):
    """Opens when a tuning starts, and from the list of runs."""

    DEFAULT_CSS = """
    TuningScreen #head { height: 2; padding: 0 1; }
    TuningScreen TabBar { height: 1; }
    TuningScreen #upper, TuningScreen #lower { height: 1fr; layout: horizontal; padding: 0 1; }
    TuningScreen #side { width: 1fr; height: 1fr; layout: vertical; margin: 0 0 0 2; }
    TuningScreen #curves { margin: 0 0 0 2; }
    TuningScreen #importance { height: auto; }
    TuningScreen.one #side, TuningScreen.one #curves { margin: 0; }
    TuningScreen #trials { height: 12; padding: 0 1; border-top: solid $frame; }
    TuningScreen.one #trials { border-top: none; }
    TuningScreen #about { height: 1; padding: 0 1; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back: from the full screen to all panels, then to the list", "Esc"),
        Key(
            "enter",
            "open",
            "open",
            "Open the run of the trial under the cursor; with another panel in focus, show that on the full screen",
            "⏎",
        ),
        Key("tab", "next", "panel", "Go to the next panel", "Tab"),
        Key("o", "sort", "sort", "Sort the trials by the next column; a click on a column's name sorts too"),
        Key("O", "reverse", "", "Sort in the other direction"),
        Key("a", "axis", "axis", "Draw the best so far over the trials, or over the time that devices have trained"),
        Key("y", "log_y", "log y", "Make all y-axes logarithmic, all linear, or each by its values"),
        Key("h", "pair", "pair", "Draw the heat map of the next two settings"),
        Key("p", "promote", "promote", "Make a recipe of your own from the best settings"),
        Key("s", "stop", "stop", "Stop the tuning: its runs save checkpoints, and no other one starts"),
        Key("r", "resume", "resume", "Go on with what is missing"),
        Key("x", "export", "export", "Export: one HTML page, the table as text, the path"),
        *WALK,
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, tuning: Tuning) -> None:
        super().__init__()
        self.tuning = tuning
        self.feed = TuningFeed(tuning)
        self.order = Order()
        self.focused_panel = "trials"
        self.above = "best"
        """The panel above the table where there is room for one."""
        self.full = False
        self.by_time = False
        self.log_y: bool | None = None
        self.pair = 0
        self._drawn: tuple[object, ...] = ()
        self._heat: trials.Heat | None = None
        self._table: tuple[tuple[object, ...], Sequence[Row]] = (), ()
        self._heights: dict[str, int | str] = {}

    def compose(self) -> ComposeResult:
        yield Lines(id="head")
        yield TabBar("panels")
        with Container(id="upper"):
            yield Chart(id="best")
            yield Chart(id="curves")
        with Container(id="lower"):
            yield ParallelView(id="parallel")
            with Container(id="side"):
                yield Lines(id="importance")
                yield MatrixView(id="heat")
        yield Rows(id="trials")
        yield Lines(id="about")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#head", Lines).source = partial(trial_rows.head_lines, self.feed)
        self.query_one("#about", Lines).source = lambda width: trial_rows.about_line(self.feed, self.chosen, width)
        self.query_one("#importance", Lines).source = self._importance
        self.rows.make = self._make_rows
        self._arrange()
        self.call_after_refresh(self.look)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._arrange()
        self.call_after_refresh(self.draw)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.draw()

    @property
    def panels(self) -> list[str]:
        """The panels that this tuning has."""
        return [name for name in PANELS if name != "heat" or self.pairs]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of settings that a heat map can show."""
        return trials.pairs(self.feed.plan.tune.space, self.feed.importance)

    @property
    def chosen(self) -> Trial | None:
        """The trial under the cursor."""
        return self.feed.trial(int(self.rows.key)) if self.rows.key else None

    # -- from the files to the screen ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Follow the tuning and the logs of its trials; draw what is new."""
        if not self.is_attached:
            return
        if self.is_active:
            try:
                self.feed.ask()
            except Problem as problem:
                self.services.say(str(problem), warning=True)
            self.feed.read(READING)
            self.draw()
        self.set_timer(LOOK if self.feed.caught_up or not self.is_active else READ, self.look)

    def _content(self) -> tuple[object, ...]:
        """A value that changes with everything that is drawn."""
        feed = self.feed
        # While old logs are read, the rest is there already: the curves come when they are complete.
        curves = feed.version if feed.caught_up or feed.standing.state.alive else -1
        view = (self.order, self.focused_panel, self.above, self.full, self.by_time, self.log_y, self.pair, self.rows.key, self.size)
        return curves, feed.standing.state, *view

    def draw(self) -> None:
        """Update everything, if anything changed."""
        now = self._content()
        if now == self._drawn or not self.is_active or not self.size:
            return
        self._drawn = now
        self._size_lines()
        self.rows.rebuild()
        for name in self._visible():
            self._draw(name)
        for name in ("head", "importance", "about"):
            self.query_one(f"#{name}", Lines).rebuild()
        tabs = [(name, label) for name, label in PANELS.items() if name in self.panels]
        self.query_one(TabBar).follow(tabs, frozenset(self._visible()), self.focused_panel)
        self.query_one(KeyBar).rebuild()

    def _visible(self) -> list[str]:
        if self.full:
            return [self.focused_panel]
        return self.panels if self._all_at_once else [self.above, "trials"]

    @property
    def _all_at_once(self) -> bool:
        return self.size.width >= WIDE and self.size.height >= HIGH

    def _arrange(self) -> None:
        """Show the panels for which there is room."""
        visible = self._visible()
        self.set_class(len(visible) <= 2, "one")
        for name in PANELS:
            self.query_one(f"#{name}").display = name in visible
        self.query_one(TabBar).display = not self._all_at_once or self.full
        for place, inside in (
            ("side", ("importance", "heat")),
            ("upper", ("best", "curves")),
            ("lower", ("parallel", "importance", "heat")),
        ):
            self.query_one(f"#{place}").display = any(name in visible for name in inside)
        self.query_one("#about").display = "trials" in visible
        self.rows.styles.height = (
            "1fr" if visible == ["trials"] else max(6, min(len(self.feed.standing.trials) + 2, self.size.height * 3 // 10))
        )

    def _size_lines(self) -> None:
        """Lines do not know how high they are before they are drawn."""
        rows = len(trial_rows.head_lines(self.feed, max(1, self.size.width - 2)))
        shares = min(len(self.feed.importance.shares) or 2, self.size.height // 6)
        heights: dict[str, int | str] = {"head": rows, "importance": shares + 1 if "heat" in self._visible() else "1fr"}
        for name, height in heights.items():
            panel = self.query_one(f"#{name}")
            if self._heights.get(name) != height:
                self._heights[name] = height
                panel.styles.height = height

    def _make_rows(self, width: int) -> Sequence[Row]:
        """The table: made anew only where something in it changed, as it is asked for with every drawing."""
        if not width:
            return []  # before the first layout
        made_from = (self.feed.standing, width, self.order, palette.name)
        if self._table[0] != made_from:
            self._table = made_from, trial_rows.trial_rows(self.feed, width, self.order)
        return self._table[1]

    def _importance(self, width: int) -> Sequence[Strip]:
        return trial_rows.importance_lines(self.feed, width, focused=self.focused_panel == "importance")

    def _draw(self, name: str) -> None:
        """Draw a panel."""
        feed, chosen, focused = self.feed, self.chosen, self.focused_panel == name
        if name == "best":
            charts.draw_best(self.query_one("#best", Chart), feed, chosen, self.log_y, by_time=self.by_time, focused=focused)
        elif name == "curves":
            charts.draw_curves(self.query_one("#curves", Chart), feed, chosen, self.log_y, focused=focused)
        elif name == "parallel":
            charts.draw_parallel(self.query_one("#parallel", ParallelView), feed, chosen, focused=focused)
        elif name == "heat" and self.pairs:
            self._heat = charts.draw_heat(self.query_one("#heat", MatrixView), feed, chosen, self.pairs, self.pair)

    # -- what is pointed at ----------------------------------------------------------------------------------------------------

    @on(Rows.Moved)
    def _moved(self) -> None:
        self.draw()

    @on(Rows.Chosen)
    def _chosen_row(self) -> None:
        self.focused_panel = "trials"
        self.action_press("open")

    @on(Rows.Headed)
    def _headed(self, event: Rows.Headed) -> None:
        if column := trial_rows.column_at(self.feed, self.rows.content_size.width, self.order, event.x):
            self._sort(column)

    @on(TabBar.Chosen)
    def _tab(self, event: TabBar.Chosen) -> None:
        self._focus_on(event.tab)

    @on(MatrixView.Pointed)
    def _pointed(self, event: MatrixView.Pointed) -> None:
        inside = [number for number, cell in (self._heat.cells if self._heat else {}).items() if cell == event.cell]
        ranked = [trial.number for trial in self.feed.ranked() if trial.number in inside]
        if ranked:
            self.rows.select(str(ranked[0]))

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        if name in ("stop", "resume"):
            return run_actions.tuning_refusal(self.feed.standing.state, name)
        if name == "promote" and self.feed.standing.best is None:
            return "No trial has finished, so there is no best one."
        if name == "pair" and len(self.pairs) < 2:
            return "A heat map needs two settings of numbers." if not self.pairs else "These are the only two settings of numbers."
        if name == "open" and self.focused_panel == "trials":
            chosen = self.chosen
            if chosen is None:
                return "No trial was proposed yet."
            if chosen.place is None:
                return f"The run of trial {chosen.number} was deleted." if chosen.run else f"Trial {chosen.number} has no run yet."
        return ""

    def do_back(self) -> None:
        if self.full:
            self.full = False
            self._rearrange()
        else:
            self.dismiss()

    def do_open(self) -> None:
        if self.focused_panel != "trials":
            self.full = not self.full
            self._rearrange()
        elif (chosen := self.chosen) and (run := chosen.place):
            self.services.open_run(run)

    def do_next(self) -> None:
        panels = self.panels
        self._focus_on(panels[(panels.index(self.focused_panel) + 1) % len(panels)])

    def _focus_on(self, panel: str) -> None:
        self.focused_panel = panel
        if panel != "trials":
            self.above = panel
        self._rearrange()

    def _rearrange(self) -> None:
        self._arrange()
        self.call_after_refresh(self.draw)

    def do_sort(self) -> None:
        names = trial_rows.columns(self.feed)
        self._sort(names[(names.index(self.order.column) + 1) % len(names)])

    def do_reverse(self) -> None:
        self._sort(self.order.column)

    def _sort(self, column: str) -> None:
        self.order = Order(column, not self.order.reverse if column == self.order.column else False)
        self.draw()

    def do_axis(self) -> None:
        self.by_time = not self.by_time
        self.draw()

    def do_log_y(self) -> None:
        self.log_y = {None: True, True: False, False: None}[self.log_y]
        kind = {None: "each by its values", True: "all logarithmic", False: "all linear"}[self.log_y]
        self.notify(f"y-axes: {kind}", timeout=2)
        self.draw()

    def do_pair(self) -> None:
        self.pair += 1
        if self.above != "heat" and not self._all_at_once:
            self._focus_on("heat")
        self.draw()

    def do_promote(self) -> None:
        from workbench.tui.screens.copying import promote

        promote(self, self.tuning, self.feed.standing.best)

    def do_stop(self) -> None:
        self.services.steer_tuning(self.tuning, "stop")

    def do_resume(self) -> None:
        self.services.steer_tuning(self.tuning, "resume")

    def do_export(self) -> None:
        self.services.export(self.tuning, self.rows)
