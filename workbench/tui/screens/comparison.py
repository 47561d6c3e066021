"""A comparison: the curves of its variants in one chart for each metric, and the table that says whether they differ. Live."""

from typing import ClassVar

from rich.style import Style
from textual.strip import Strip

from workbench.events import split_tag
from workbench.problems import Problem, one_line
from workbench.recipes import hints
from workbench.runs import compare, sweeps
from workbench.runs.comparisons import Comparison
from workbench.runs.history import Series
from workbench.tui import keys
from workbench.tui.charts.chart import Chart, Line
from workbench.tui.charts.plot import SLOTS, Moment
from workbench.tui.drawing import palette, states, strips
from workbench.tui.keys import Key
from workbench.tui.models import run_actions
from workbench.tui.models.overlay import Group
from workbench.tui.panels.detail import labelled
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.overlay_board import OverlayBoard
from workbench.tui.screens.compare import CompareScreen, recipe_of

SWEEP = "over its setting"
"""Stands among the metrics for the chart of a sweep."""
GROUPS = "Draw each variant as its mean with a band from the smallest to the largest seed, or as its mean over its runs"
OTHER = ("color", "color_back", "save")
"""Keys that a comparison has no use for: its variants have the colours, and it is in the list as it is."""
LAST = ("difference", "time", "spread", "95 % interval")
"""Columns of the table that go, in this order, where there is no room for all."""


class ComparisonScreen(CompareScreen):
    """Opens when a comparison starts, and from the list of runs."""

    DEFAULT_CSS = """
    ComparisonScreen #both { layout: vertical; }
    ComparisonScreen #charts, ComparisonScreen.narrow #charts { width: 100%; height: 1fr; }
    ComparisonScreen #table, ComparisonScreen.narrow #table {
        width: 100%; height: 8; border-left: none; border-top: solid $frame;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("s", "stop", "stop", "Stop the comparison: its run saves a checkpoint, and no other one starts"),
        Key("r", "resume", "resume", "Train what is missing"),
        *(key._replace(help=GROUPS) if key.name == "group" else key for key in CompareScreen.KEYS if key.name not in OTHER),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(())
        self.comparison = comparison
        self.plan = comparison.plan()
        self.standing = comparison.standing()
        self.sentences = comparison.recipe().watch
        self.arms: compare.Arms | None = None
        self._slots: list[int] = []
        """For each run, the place of its variant."""
        self.sweep: sweeps.Sweep | None = None
        self.choice: list[str] = []
        """Which variant validation chooses, in sentences."""
        self.overlay.look.bands = len(self.plan.variants) == 1

    def make_board(self) -> OverlayBoard:
        return ComparisonBoard(self.overlay, id="charts")

    def on_mount(self) -> None:
        self._follow()
        super().on_mount()

    def ask(self) -> None:
        try:
            self._follow()
        except Problem as problem:
            self.services.say(str(problem), warning=True)
        super().ask()

    def _follow(self) -> None:
        """Look which runs there are by now, and how each is."""
        before, self.standing = self.standing, self.comparison.standing()
        known = {feed.run for feed in self.feeds}
        for part, _ in self.standing.parts:
            run = part.place
            if run and run not in known:
                feed = self.services.library.feed(run)
                self.feeds.append(feed)
                self.names.append(f"{part.variant} {part.seed}")
                self.origins[run.id] = None  # none of its runs is a fork
                self.recipes.append(recipe_of(feed))
                self._slots.append(self.plan.variants.index(part.variant))
        if self.arms is None or self.standing.parts != before.parts:
            self.arms = compare.arms(self.comparison, self.standing)
            self.sweep = sweeps.sweep_of(self.comparison, self.arms)
            chosen = sweeps.choice(self.comparison, self.arms)
            self.choice = sweeps.words(chosen) if chosen else []
        names = self.plan.variants
        places = [[place for place, own in enumerate(self._slots) if own == slot] for slot in range(len(names))]
        self.overlay.fixed = [Group(name, own, slot % SLOTS) for slot, (name, own) in enumerate(zip(names, places, strict=True))]
        assert isinstance(self.board, ComparisonBoard)
        self.board.compared, self.board.sweep = self.plan.metric, self.sweep

    def draw(self) -> None:
        super().draw()
        table = self.query_one("#table", Lines)
        # One row more is its border; where it is too high for that it scrolls.
        height = max(4, min(len(self.table_lines(self.size.width)) + 1, self.size.height * 45 // 100))
        if table.styles.height is None or table.styles.height.value != height:
            table.styles.height = height

    def content(self) -> tuple[object, ...]:
        return (*super().content(), self.standing)

    # -- words -----------------------------------------------------------------------------------------------------------------

    def name_lines(self, width: int) -> list[Strip]:
        state = self.standing.state
        symbol, text, style = states.state_words(state)
        now = [f"{part.variant}, seed {part.seed}" for part, run_state in self.standing.parts if run_state and run_state.alive]
        message = state.message + (f"; now {' and '.join(now)}" if now else "")
        parts = [(f"{symbol} {text.partition(':')[0]}  ", style), (one_line(self.plan.title), palette.bold)]
        return [strips.line(width, parts, [(f"  {one_line(message)} ", palette.dim)])]

    def table_lines(self, width: int) -> list[Strip]:
        if not self.arms:
            return []
        width = max(20, width - 1)
        rows = [list(compare.HEADS), *compare.cells(self.arms)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(compare.HEADS))]
        # With one variant there is nothing to differ from.
        widths = [size if any(row[place] for row in rows[1:]) else 0 for place, size in enumerate(widths)]
        for name in LAST:
            if sum(size + 2 for size in widths) - 2 > width:
                widths[compare.HEADS.index(name)] = 0
        split, name, series = split_tag(self.arms.metric)
        metric = " ".join(filter(None, (split, name, series)))
        first = self.plan.variants[0]
        differences = f"; each difference is to {first}, paired by seed, 95 %" if len(self.plan.variants) > 1 else ""
        words = f"  mean over seeds{differences}"
        lines = [strips.line(width, [(metric, palette.bold), (words, palette.faint)])]
        for number, row in enumerate(rows):
            parts: list[strips.Part] = []
            for place, (text, size) in enumerate(zip(row, widths, strict=True)):
                if not size:
                    continue
                style = palette.faint if not number else self.color(number - 1) if not place else palette.plain
                if number and place == len(row) - 1:
                    style = _verdict_style(text)
                align = "left" if place in (0, len(row) - 1) else "right"
                parts += [(strips.fit(text, size, align), style), ("  ", palette.plain)]
            lines.append(strips.line(width, parts))
        for sentence in self.choice:
            lines += strips.paragraph(one_line(sentence, 400), width, palette.plain, "  ")
        for remark in self.arms.remarks:
            lines += strips.paragraph(f"! {one_line(remark, 1000)}", width, palette.warn, "  ")
        if not self.standing.state.alive and self.standing.state.hint:
            lines += strips.paragraph("r trains what is missing.", width, palette.dim)
        for place, note in enumerate(self.sentences):
            lines += labelled("watch for" if not place else "", f"· {hints.written(note)}", width, "  ")
        return lines

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        if name in ("stop", "resume"):
            return run_actions.comparison_refusal(self.standing.state, name)
        if name == "line" and not self.sides:
            return "There is no run yet."
        return super().refusal(name)

    def do_group(self) -> None:
        self.overlay.look.bands = not self.overlay.look.bands
        self.draw()

    def do_export(self) -> None:
        self.services.export(self.comparison, self.query_one("#table"))

    def do_stop(self) -> None:
        self.services.steer_comparison(self.comparison, "stop")

    def do_resume(self) -> None:
        self.services.steer_comparison(self.comparison, "resume")


class ComparisonBoard(OverlayBoard):
    """The curves of a comparison, first those of the compared metric; of a sweep the metric over the setting's values before them."""

    compared = ""
    sweep: sweeps.Sweep | None = None
    _swept: tuple[sweeps.Sweep | None, list[Line]] = (None, [])

    def metrics(self) -> list[str]:
        compared = "/".join(filter(None, split_tag(self.compared)[1:]))
        return [SWEEP] * bool(self.sweep) + sorted(super().metrics(), key=lambda metric: metric != compared)

    def draw_chart(self, chart: Chart, metric: str, end: float, more: str) -> None:
        sweep = self.sweep
        if metric != SWEEP or not sweep:
            super().draw_chart(chart, metric, end, more)
            return
        if self._swept[0] is not sweep:
            # Kept: a chart compares its data by identity.
            self._swept = sweep, _sweep_lines(sweep)
        chart.log_y = self.look.log_y
        marks = [place for place in sweep.places if place.variant == sweep.base] + sweep.others
        moments = [Moment(sweep.across(place.x), place.variant) for place in marks]
        title = f"{' '.join(filter(None, split_tag(self.compared)))} over {sweep.words}{more}"
        chart.show(self._swept[1], title=title, end=None, moments=moments)


def _verdict_style(text: str) -> Style:
    word = text.partition(",")[0]
    colors = {"better": palette.good, "worse": palette.bad, "diverged": palette.bad, "differs": palette.accent}
    return colors.get(word, palette.dim)


def _sweep_lines(sweep: sweeps.Sweep) -> list[Line]:
    """The mean over the values, with a cross where a run diverged, and behind it, faint, the least and the largest of the seeds."""
    lines = []
    for name in ("low", "high"):
        edge = Series()
        for place in sweep.places:
            if (value := getattr(place, name)) is not None:
                edge.steps.append(sweep.across(place.x))
                edge.values.append(value)
                edge.epochs.append(0.0)
        lines.append(Line(name, edge, 0, faint=True))
    means = [(sweep.across(place.x), place.mean) for place in sweep.places if place.mean is not None]
    # No Series: the legend would show its last value, as if it were the newest.
    return [*lines, Line("mean and range", ([x for x, _ in means], [mean for _, mean in means]), 0)]
