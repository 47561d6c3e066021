"""Charts: the pure functions' text, properties that must hold for any data, and the sparing repaint."""

import math
import random
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted import Shown, frame, fresh, patched, series
from rich.color import ColorSystem

from workbench.events import Curve, Scatter
from workbench.tui.charts.axes import Scale, clock_label, clock_ticks, number, tick_label, ticks, x_end, y_scale
from workbench.tui.charts.cells import Cells, changed, cut, text_width
from workbench.tui.charts.chart import Chart, Line, Moment, Reference, curve_line, scatter_lines
from workbench.tui.charts.draw_plot import draw
from workbench.tui.charts.plot import BAD, SERIES, Plot, Trace
from workbench.tui.charts.pyramid import Pyramid


def picture(*lines: str) -> str:
    return "\n".join(lines)


# ── Numbers and axes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(0, 5, "0"), (0.25, 0.25, "0.25"), (500, 500, "500"), (1500, 500, "1.5k"), (10_000, 5_000, "10k"), (1_200_000, 2e5, "1.2M"),
     (1e-4, 1e-4, "1e-4"), (2.5e-4, 2.5e-4, "2.5e-4"), (-250, 250, "-250"), (1e20, 1e20, "1e20"), (0.1, 0, "0.1"), (1.0, 0.5, "1.0")],
)  # fmt: skip
def test_tick_labels(value: float, step: float, text: str) -> None:
    assert tick_label(value, step) == text


def test_an_axis_of_times_begins_where_it_is_asked_to_and_has_round_times() -> None:
    """Two hours into a day and far from x = 0; what lies before the window is neither drawn nor counted for the other axis."""
    made = 1_760_000_000.0
    x = np.arange(0.0, 9000.0)
    plot = Plot([Trace("1", 0, Pyramid(x, np.where(x < 8000, 1e6, 5.0)))], "rate", 8700.0, begin=8400.0, clock=made)
    text = draw(plot, 60, 10).text()
    below = text.splitlines()[-1].replace("└", "─").replace("─", " ").split()
    minutes = {time.strftime("%H:%M", time.localtime(made + second)) for second in range(8400, 8701)}
    assert len(below) > 3 and set(below) <= minutes and below == sorted(below)
    assert "M" not in text and "5┤⣀" in text
    for place in clock_ticks(Scale(8400.0, 8700.0), 6, made):
        assert time.localtime(made + place).tm_sec == 0
    assert clock_label(made, 30) == time.strftime("%H:%M:%S", time.localtime(made))
    assert clock_label(made, 86400) == time.strftime("%d %b", time.localtime(made))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.31239, "0.3124"), (12.3, "12.30"), (1234, "1234"), (12_345, "12.3k"), (1.234e-5, "1.23e-5"), (0, "0"), (-2.5, "-2.500"),
     (math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (1e300, "1.00e300"), (3, "3")],
)  # fmt: skip
def test_values_to_read(value: float, text: str) -> None:
    assert number(value) == text


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite, st.integers(1, 12), st.booleans())
def test_a_range_holds_its_values_and_few_round_ticks(one: float, other: float, parts: int, log: bool) -> None:
    low, high = min(one, other), max(one, other)
    if log:
        low, high = abs(low) or 1.0, max(abs(high), abs(low)) or 1.0
        low = min(low, high)
    scale = y_scale(low, high, log)
    assert scale.low < scale.high and math.isfinite(scale.high - scale.low)
    marks = ticks(scale, parts)
    assert len(marks) <= max(parts + 2, 5) and all(math.isfinite(mark) for mark in marks)
    if abs(low) < 1e299 and abs(high) < 1e299 and (not log or low > 1e-299):
        slack = 1e-6 * (scale.high - scale.low)
        assert scale.low <= low + slack and high - slack <= scale.high


def test_axes_step_and_do_not_crawl() -> None:
    values = np.abs(np.cumsum(np.random.default_rng(0).normal(0, 1, 5_000)))
    ranges = [y_scale(values[:count].min(), values[:count].max()) for count in range(1, 5_001, 5)]
    assert sum(one != other for one, other in pairwise(ranges)) < 25
    assert len({x_end(count) for count in range(1, 100_000, 7)}) < 50


# ── Whole charts, as text (each was looked at) ────────────────────────────────────────────────────────────────────────


def falling(count: int) -> Trace:
    x = np.arange(count, dtype=float)
    return Trace("train", 0, Pyramid(x, 2.0 * np.exp(-x / 30)), value=0.0312)


def test_a_chart_with_a_bar_and_a_change() -> None:
    plot = Plot([falling(100)], "loss", 150, [Reference(0.5, "bar")], [Moment(50, "rate 0.1")])
    assert draw(plot, 46, 10).text() == picture(*GOLDEN_CHART)


def test_few_points_are_joined_and_a_gap_is_not() -> None:
    valid = Trace("valid", 1, Pyramid([0, 20, 40, 60, 80, 100], [1.0, 0.5, 0.4, math.nan, 0.3, 0.2]), value=0.2)
    assert draw(Plot([valid], "loss", 100), 40, 9).text() == picture(*GOLDEN_SPARSE)


def test_a_single_point_is_a_mark() -> None:
    cells = draw(Plot([Trace("valid", 1, Pyramid([50], [0.5]))], "", 100), 40, 9)
    [[row, column]] = np.argwhere(cells.codes == ord("●")).tolist()
    assert cells.keys[row, column] == SERIES + 1


@pytest.mark.parametrize(("number", "marks"), [(1, 1), (4, 4), (200, 0)])
def test_few_points_over_a_line_are_marks_in_their_own_colour(number: int, marks: int) -> None:
    x = np.linspace(0, 10, 500)
    points = Trace("now", 1, None, x[:: 500 // number][:number], np.sin(x)[:: 500 // number][:number], points=True)
    cells = draw(Plot([points, Trace("f", 0, Pyramid(x, np.sin(x)))], "", None), 60, 12)
    assert (cells.codes == ord("●")).sum() == marks
    assert (cells.keys[cells.codes == ord("●")] == SERIES + 1).all()


def test_an_axis_that_counts_has_whole_ticks() -> None:
    digits = np.arange(10.0)
    assert draw(Plot([Trace("", 0, Pyramid(digits, digits))], "", None), 40, 9).text().splitlines()[-1].split("─")[-1].strip() == "9"
    shares = draw(Plot([Trace("", 0, Pyramid(digits / 9, digits))], "", None), 40, 9).text().splitlines()[-1]
    assert "0.5" in shares


def test_without_a_name_there_is_no_row_for_the_legend() -> None:
    named, bare = (draw(Plot([Trace(name, 0, Pyramid([0, 1], [0, 1]))], "", None), 40, 9).text().splitlines() for name in ("f", ""))
    assert named[0].strip() == "f" and bare[0].strip()[0] in "1│"


def test_a_diverging_loss_is_seen() -> None:
    values = np.ones(100)
    values[50:], values[20], values[30] = math.nan, math.inf, -math.inf
    cells = draw(Plot([Trace("train", 0, Pyramid(np.arange(100.0), values), value=math.nan)], "loss", 100), 60, 12)
    crosses = cells.codes == ord("×")
    rows = sorted(set(np.argwhere(crosses)[:, 0].tolist()))
    assert rows == [1, 10, 11], "infinities at the edges, NaN on the axis"
    assert crosses[11].sum() >= 25 and (cells.keys[crosses] == BAD).all()
    start = cells.text().splitlines()[0].index("train")
    assert (cells.keys[0, start : start + 9] == BAD).all()


def test_a_later_series_owns_the_cells_that_it_crosses() -> None:
    steps = np.arange(100.0)
    flat, jump = Trace("", 0, Pyramid(steps, np.full(100, 0.5))), Trace("", 1, Pyramid(steps, np.where(steps < 50, 1.0, 0.0)))
    over, under = (draw(Plot(traces, "", 100), 60, 12).keys for traces in ((flat, jump), (jump, flat)))
    crossing = over != under
    assert crossing.any() and set(over[crossing].tolist()) == {SERIES + 1} and set(under[crossing].tolist()) == {SERIES}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_series_that_lie_on_one_another_are_all_seen(count: int) -> None:
    flat = [Trace(str(slot), slot, Pyramid(np.arange(100.0), np.full(100, 0.5))) for slot in range(count)]
    cells = draw(Plot(flat, "", 100), 60, 12)
    found = cells.keys[(cells.codes >= 0x2800) & (cells.codes < 0x2900)]
    turns = [(found == SERIES + slot).sum() for slot in range(count)]
    assert sum(turns) == len(found) and min(turns) >= len(found) / count / 2, turns


def test_a_bar_under_a_curve_is_named_beside_it_whole_or_not_at_all() -> None:
    flat = Trace("valid", 0, Pyramid(np.arange(100.0), np.full(100, 0.97)))
    rising = Trace("other", 1, Pyramid(np.arange(100.0), np.linspace(0, 0.5, 100)))
    text = draw(Plot([flat, rising], "accuracy", 100, references=[Reference(0.97, "to pass")]), 60, 12).text()
    assert "to pass 0.97" in text
    full = [Trace(str(slot), slot, Pyramid(np.arange(100.0), np.full(100, slot / 9))) for slot in range(10)]
    assert "pass" not in draw(Plot(full, "accuracy", 100, references=[Reference(0.5, "to pass")]), 60, 6).text()


def test_a_long_legend_gives_up_values_before_names() -> None:
    traces = [Trace(name, slot, falling(9).pyramid, value=0.25) for slot, name in enumerate(("train generator", "train discriminator"))]
    first = [draw(Plot(traces, "loss"), width, 7).text().splitlines()[0].split("  ") for width in (62, 46, 40, 20, 12)]
    assert [[word.strip() for word in words if word] for words in first] == [
        ["loss", "train generator 0.2500", "train discriminator 0.2500"],
        ["loss", "generator 0.2500", "discriminator 0.2500"],
        ["loss", "generator 0.2500", "discrimi… 0.2500"],
        ["loss", "gener…", "discr…"],
        ["loss", "0.2500"],
    ]


def test_names_without_room_beside_the_title_get_a_second_row_that_no_value_moves() -> None:
    names = ("valid", "test", "test gradient_boosting", "test ridge", "test last_week")
    found = []
    for value in (0.25, -123456.0):
        traces = [Trace(name, slot, falling(9).pyramid, value=value) for slot, name in enumerate(names)]
        found.append(draw(Plot(traces, "rmse"), 48, 9).text().splitlines())
    for lines in found:
        assert [lines[0].split(), lines[1].split()] == [
            ["rmse", "valid", "test", "test", "gradient_boosting"],
            ["test", "ridge", "test", "last_week"],
        ]
    assert found[0][2:] == found[1][2:]


def test_names_that_would_be_cut_to_the_same_keep_their_last_words() -> None:
    names = [f"{split} {name}" for split in ("valid", "test") for name in ("last_layer", "cut_early", "tuned", "scratch")]
    traces = [Trace(name, slot, falling(9).pyramid, value=0.25) for slot, name in enumerate(names)]
    for width in (40, 41, 42, 46):
        text = draw(Plot(traces, "accuracy"), width, 9).text()
        assert text.count("last") == text.count("cut_") == text.count("tuned") == 2 and "valid" not in text


awkward = [[], [math.nan] * 5, [math.inf, -math.inf], [0.0] * 4, [1e308, -1e308], [5e-324, 0], [1e9, 1e9 + 1e-6], [-3.0, -2.0], [7.0]]


@pytest.mark.parametrize("values", awkward)
@pytest.mark.parametrize("end", [0, 100, None])
def test_any_data_at_any_size(values: list[float], end: float | None) -> None:
    x = np.arange(len(values), dtype=float)
    kinds = [
        Trace("line", 0, Pyramid(x, values), value=values[-1] if values else None),
        Trace("free", 1, None, x[::-1].copy(), np.array(values, float)),
        Trace("points", 2, None, x, np.array(values, float), points=True),
    ]
    for log in (False, True):
        for width, height in ((0, 0), (1, 1), (2, 3), (3, 2), (7, 1), (12, 5), (19, 4), (20, 40), (200, 60)):
            for traces in ([kinds[0]], [kinds[1]], [kinds[2]], kinds, []):
                references, moments = [Reference(0.5, "bar"), Reference(math.inf)], [Moment(1, "x"), Moment(math.nan)]
                cells = draw(Plot(traces, "a title", end, references, moments, ("step", ""), log), width, height)
                assert (cells.width, cells.height) == (width, height)


# ── Cells ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wide_characters_are_written_and_sent_whole() -> None:
    old, new = Cells(10, 1), Cells(10, 1)
    old.write(0, 0, "日本語abc")
    new.write(0, 0, "日木語abc")
    assert old.text() == "日本語abc" and old.strip(0, lambda key: None, False).cell_length == 10  # type: ignore[arg-type,return-value]
    assert changed(old, new) == [0]
    old.write(1, 0, "x")
    old.write(4, 0, "x")
    assert old.mend().text() == " x本x abc", "no half of a character that was drawn over"
    assert old.write(9, 0, "語") == 9, "no half of a character at the edge"
    assert cut("日本語", 5) == "日本…" and text_width("日本…") == 5 and cut("abc", 0) == ""


# ── The sparing repaint ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (30, 8)])
async def test_the_repainted_regions_make_the_new_frame_of_the_old(size: tuple[int, int]) -> None:
    train, valid = series([], []), series([], [])
    chart = Chart()
    dice = random.Random(1)
    async with Shown(chart).run_test(size=size) as pilot:
        lines = [Line("train", train), Line("valid", valid)]
        chart.show(lines, title="loss", end=2_000)
        await pilot.pause()
        before = frame(chart)
        for step in range(0, 2_400, 40):
            for one in range(step, step + 40, 4):
                train.steps.append(one)
                train.values.append(dice.choice([math.nan, math.inf]) if dice.random() < 0.01 else 2 / (1 + one / 99) + dice.random() / 9)
            if step % 200 == 0:
                valid.steps.append(step)
                valid.values.append(2 / (1 + step / 99))
            if step == 1_200:
                train.rewind(600)
                valid.rewind(600)
            regions = chart.show(lines, title="loss", end=2_000, moments=[Moment(900)] if step > 900 else [])
            after = frame(chart)
            assert patched(before, after, regions) == after == fresh(chart)
            before = after
        assert chart.show(lines, title="loss", end=2_000, moments=[Moment(900)]) == [], "nothing new, nothing sent"


async def test_size_and_theme_are_followed() -> None:
    chart = Chart("loss")
    app = Shown(chart)
    async with app.run_test(size=(60, 20)) as pilot:
        chart.show([Line("train", series([1, 2, 3], [3, 2, 1]))], end=3)
        await pilot.pause()
        dark = frame(chart)
        app.theme = "textual-light"
        await pilot.pause()
        assert frame(chart) != dark
        assert chart._cells is not None and chart._cells.width == 60
        await pilot.resize_terminal(31, 9)
        await pilot.pause()
        assert len(frame(chart)) == 9 and chart._cells.width == 31
        straight = frame(chart)
        chart.log_y = True
        await pilot.pause()
        assert frame(chart) != straight


async def test_colours_of_series_are_stable_and_apart_in_every_terminal() -> None:
    chart = Chart()
    async with Shown(chart).run_test() as pilot:
        one = series([1], [1])
        chart.show([Line("valid", one), Line("generator", one), Line("train", one)])
        first = dict(chart._slots)
        chart.show([Line("train", one), Line("valid", one)])
        assert first["train"] == 0 and first["valid"] == 1 and len(set(first.values())) == 3 and chart._slots == first
        for kind, sixteen in ((ColorSystem.EIGHT_BIT, False), (ColorSystem.STANDARD, True)):
            chart.set_class(sixteen, "-sixteen")
            await pilot.pause()
            styles = [chart.style_for(SERIES + slot) for slot in range(8)]
            assert len({style.color.downgrade(kind).number for style in styles if style.color}) == 8
            grounds = {style.bgcolor.downgrade(kind).number for style in styles if style.bgcolor}
            assert not grounds & {style.color.downgrade(kind).number for style in styles if style.color}


async def test_curves_and_scatters_are_charts_too() -> None:
    chart = Chart()
    async with Shown(chart).run_test(size=(60, 20)) as pilot:
        roc = Curve(tag="roc", x=[0, 0, 0.5, 1], y=[0, 0.6, 0.9, 1])
        chart.show([curve_line("ROC", roc)], end=None, labels=("false", "true"))
        await pilot.pause()
        assert "ROC" in chart.draw(60, 20).text()
        cloud = Scatter(tag="e", x=[1, 2, 3], y=[1, 5, 2], labels=["cat", "dog", "cat"])
        chart.show(scatter_lines(cloud), title="embedding", end=None)
        cells = chart.draw(60, 20)
        inked = cells.keys[cells.codes == ord("●")].tolist()
        assert sorted(inked) == [SERIES + chart._slots["cat"]] * 2 + [SERIES + chart._slots["dog"]]


async def test_points_of_a_side_have_its_colour_whichever_comes_first() -> None:
    chart = Chart()
    async with Shown(chart).run_test(size=(60, 20)):
        for labels in (["negative", "point"], ["negative", "positive"], ["positive", "point"]):
            chart.show(scatter_lines(Scatter(tag="plane", x=[1, 2], y=[1, 2], labels=labels)), end=None)
        assert (chart._slots["positive"], chart._slots["negative"], chart._slots["point"]) == (0, 1, 2)


GOLDEN_CHART = [
    "loss                             train 0.03120",
    "   2┤⢣            ┊rate 0.1",
    "    │ ⠣⡀          ┊",
    "    │  ⠑⢄         ┊",
    "   1┤   ⠈⠳⡀       ┊",
    "    │     ⠈⠳⢄     ┊",
    "    │⣀ ⣀ ⣀ ⣀ ⠉⠲⢄⡀⣀┊⣀ ⣀ ⣀ ⣀ ⣀ ⣀ ⣀ ⣀ ⣀ ⣀ bar 0.5",
    "    │           ⠈⠙⠒⠤⢤⣀⣀",
    "   0┤             ┊    ⠉⠉⠙⠒⠒⠒⠲⠤⠤⠄",
    "    └0────────────50───────────100─────────150",
]
GOLDEN_SPARSE = [
    "loss                        valid 0.2000",
    " 1.0┤⠑⢄",
    "    │  ⠑⢄",
    "    │    ⠑⢄",
    " 0.5┤      ⠑⠢⠤⢄⣀⣀",
    "    │            ⠉⠉⠁             ⣀⡀",
    "    │                             ⠈⠉⠉⠒⠒⠢",
    "   0┤",
    "    └0────────────────50──×──────────100",
]


def test_a_forecast_with_marked_points_is_shown_whole() -> None:
    """Points among longer curves mark a part of them; a straight line among points is cut where they end."""
    x = np.linspace(10, 31, 500)
    day = Trace("holiday", 0, None, x[300:320], np.sin(x[300:320]), points=True)
    plot = Plot([day, Trace("truth", 1, None, x, np.sin(x))], end=None, labels=("day of December", "riders"))
    cells = draw(plot, 100, 12)
    assert "12" in cells.text().splitlines()[-1] and "day of December" in cells.text()
    assert (cells.keys == SERIES).any(), "the points stand on the curve"
    far = Trace("line", 1, None, np.array([-500.0, 500.0]), np.array([-500.0, 500.0]))
    assert "500" not in draw(Plot([day, far], end=None), 100, 12).text()
