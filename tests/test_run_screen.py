"""What one does with a run's screen: smooth, read values, open cells, slide thresholds, ask for samples, change settings."""

import math

import msgspec
import numpy as np
import pytest
from made_runs import RECIPE, alive, ended, explained, finish, make_run, train
from piloting import open_run, seen, settle

from workbench import events
from workbench.events import Curve, Mark, Matrix, Scalars, Status
from workbench.launch import start
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Note
from workbench.runs.log import EventLog
from workbench.tui.app import DlwbApp
from workbench.tui.charts.axes import Scale
from workbench.tui.charts.braille import clipped
from workbench.tui.charts.chart import Chart
from workbench.tui.charts.draw_plot import draw
from workbench.tui.charts.matrix import MatrixView
from workbench.tui.charts.plot import FAINT, SERIES, Moment, Plot, Trace
from workbench.tui.charts.pyramid import Pyramid
from workbench.tui.panels.roc import counts, place_of
from workbench.tui.panels.samples import SamplePanel


async def test_a_cursor_reads_all_charts_at_one_step_and_escape_removes_it() -> None:
    finish(make_run(), 10_000)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "finished")
        await pilot.press("tab", "left", "pageup", "left")
        board, history = screen.board, screen.feed.history
        assert board.cursor and board.cursor < 9_000 and board.cursor in history.series["train/loss"].steps
        await settle(pilot, lambda: seen(pilot.app).count(f"{board.cursor:,.0f}") >= 2)
        index = list(history.series["train/loss"].steps).index(board.cursor)
        assert f"{history.series['train/loss'].values[index]:.4f}"[:5] in seen(pilot.app)
        chart = board.panel("chart accuracy")
        await pilot.click(chart, offset=(20, 5))
        await settle(pilot, lambda: board.focused == "chart accuracy" and 2_000 < board.cursor < 6_000)
        await pilot.press("escape")
        assert board.cursor is None and pilot.app.screen is screen
        await pilot.press("escape")
        assert pilot.app.screen is not screen


async def test_what_the_log_leaves_out_is_said_once() -> None:
    run = make_run()
    finish(run, 1_000)
    with run.events.open("ab") as file:
        file.write(events.seal(b'{"type":"curve","tag":"a","x":"not numbers"}') + events.seal(b'{"type":"hologram[/]"}'))
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "finished")
        text = seen(pilot.app)
        assert text.count("Left out of the log: 2 records of a type or a shape that this dlwb does not know (curve, hologram[/]).") == 1, (
            text
        )


async def test_smoothing_is_chosen_by_keys_and_said() -> None:
    finish(make_run(), 10_000)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "finished")
        await settle(pilot, lambda: "smoothed 1 %" in seen(pilot.app))
        await pilot.press("plus", "plus")
        await settle(pilot, lambda: "smoothed 5 %" in seen(pilot.app))
        await pilot.press(*["minus"] * 9)
        await settle(pilot, lambda: "smoothed" not in seen(pilot.app).replace("Not smoothed", ""))
        chart = screen.board.panel("chart loss")
        assert all(trace.smooth is None for trace in chart._plot.traces)


async def test_an_axis_is_logarithmic_by_itself_only_where_that_shows_more() -> None:
    run = make_run("wide")
    log = EventLog(run.path)
    log.write(Status(state="running", steps=100, device="cpu", from_step=-1))
    for step in range(1, 101):
        values = {"train/loss": 5 * 0.9**step, "valid/accuracy": 0.001 + step / 101, "train/learning_rate": 0.1 * 0.8**step}
        log.write(Scalars(values, step=step))
    log.write(Status(state="finished", cause="steps", step=100))
    log.close()
    ended(run, "finished", "steps")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        board = (await open_run(pilot, "finished")).board
        drawn = {name: board.panel(f"chart {name}").log_y for name in ("loss", "accuracy", "learning_rate")}
        assert drawn == {"loss": None, "accuracy": False, "learning_rate": False}
        await pilot.press("y")
        assert board.panel("chart accuracy").log_y


def explained_run(name: str = "explained"):
    """A finished run with a matrix's examples, a ROC, a decision line, a network."""
    run = make_run(name)
    log, noise = train(run, 3000, rich=False), np.random.default_rng(0)
    for step in range(0, 3001, 1000):
        explained(log, step, noise)
    log.write(Status(state="finished", cause="steps", step=3000, epoch=10.0))
    log.close()
    ended(run, "finished", "steps")
    return run


async def focus(pilot, name: str) -> SamplePanel:
    board = pilot.app.screen.board
    for _ in range(20):
        if board.focused == name:
            break
        await pilot.press("tab")
    assert board.focused == name
    await pilot.pause(0.1)
    return board.panel(name)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_cell_of_the_matrix_opens_onto_its_examples(size) -> None:
    explained_run()
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await open_run(pilot, "finished")
        assert not any("examples" in name for name in screen.board.ring), "examples have no panel of their own"
        panel = await focus(pilot, "sample confusion")
        await pilot.press("enter", "left")
        first = panel.body.cell
        assert first and first[0] != first[1], "it begins at what is mixed up"
        await pilot.press(*["up"] * 10, *["left"] * 10, *["down"] * 8, "right")
        await settle(pilot, lambda: panel.body.cell == (8, 1) and "8 predicted as 1" in seen(pilot.app))
        await settle(pilot, lambda: "2 examples logged" in seen(pilot.app) and "1 0.97" in seen(pilot.app) and "1 0.81" in seen(pilot.app))
        assert "5 0.66" not in seen(pilot.app), "the examples of another cell"
        await pilot.press("up")
        await settle(pilot, lambda: "no examples were logged" in seen(pilot.app))
        await pilot.press("comma")
        await settle(pilot, lambda: "step 2,000" in seen(pilot.app) and "3 of 4" in seen(pilot.app))
        assert panel.body.cell == (7, 1), "the same cell, a step before"
        await pilot.press("escape")
        assert panel.body.cell == (7, 1) and not screen.board.full, "back to all panels first"
        await pilot.press("escape")
        assert panel.body.cell is None
        panel = await focus(pilot, "sample verdict")
        await pilot.press("enter", "left", "down")
        await settle(pilot, lambda: "good predicted as bad" in seen(pilot.app) and "The plot is thin" in seen(pilot.app))


async def test_a_click_opens_a_cell_wherever_the_matrix_stands() -> None:
    explained_run()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "finished")
        panel = await focus(pilot, "sample confusion")
        view = panel.query_one(MatrixView)
        lines = ["".join(segment.text for segment in view.render_line(y)) for y in range(view.size.height)]
        row = next(y for y, line in enumerate(lines) if line.startswith("8"))
        await pilot.click(view, offset=(lines[0].index("1"), row))
        assert panel.body.cell == (8, 1)


def test_the_2x2_table_of_any_threshold_is_that_of_the_scores() -> None:
    noise = np.random.default_rng(1)
    score, true = noise.random(400).round(2), noise.random(400) < 0.3
    at = np.unique(score)[::-1]
    curve = Curve(
        tag="valid/roc",
        x=[0.0, *[(score[~true] >= each).mean() for each in at]],
        y=[0.0, *[(score[true] >= each).mean() for each in at]],
        at=[math.inf, *at.tolist()],
        totals=(float((~true).sum()), float(true.sum())),
    )
    for threshold in (-1.0, 0.0, 0.303, 0.5, 0.77, 1.0, 2.0):
        called = score >= threshold
        found = counts(curve, place_of(curve, threshold))
        wanted = [(called & true).sum(), (called & ~true).sum(), (~called & true).sum(), (~called & ~true).sum()]
        assert list(found) == wanted, threshold
        if found.true_positive:
            assert found.f1 == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))
            assert found.accuracy == pytest.approx((called == true).mean())


async def test_a_threshold_slides_along_a_roc() -> None:
    explained_run()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "finished")
        panel = await focus(pilot, "sample roc")
        await pilot.press("enter")
        await settle(pilot, lambda: "recall (sensitivity)" in seen(pilot.app) and "●" in seen(pilot.app))
        body = panel.body
        before = counts(body._curve, place_of(body._curve, body.threshold))
        await pilot.press(*["left"] * 20)
        after = counts(body._curve, place_of(body._curve, body.threshold))
        assert after.recall > before.recall and after.specificity < before.specificity and sum(after) == sum(before) == 500
        await settle(pilot, lambda: f"{after.recall:.4f}" in seen(pilot.app) and f"{after.specificity:.4f}" in seen(pilot.app))
        await pilot.click(panel.query_one(Chart), offset=(30, 10))
        assert body.threshold > 0.3


def test_a_decision_line_is_cut_at_the_edge_and_its_past_is_faint() -> None:
    scale = Scale(0, 1)
    x, y = clipped(np.array([-9.0, 9.0]), np.array([-9.0, 9.0]), scale, scale)
    assert np.allclose([x[0], y[0], x[1], y[1]], [0, 0, 1, 1])
    x, y = clipped(np.array([-1.0, 2.0, 2.0, 0.5]), np.array([0.5, 0.5, 5.0, 0.5]), scale, scale)
    assert len(x) == 6 and np.isnan(x[2]), "a segment that is wholly outside is not drawn along the edge"
    points = Trace("a", 1, None, np.array([0.0, 1.0]), np.array([0.0, 1.0]), points=True)
    old = Trace("line", 0, None, np.array([-9.0, 9.0]), np.array([0.2, 0.2]), faint=True)
    new = Trace("line", 0, None, np.array([-9.0, 9.0]), np.array([0.8, 0.8]))
    cells = draw(Plot([old, points, new], "boundary", end=None), 60, 20)
    rows = {key: np.flatnonzero((cells.keys[1:-1] == key).sum(axis=1) > 30) for key in (FAINT, SERIES)}
    assert len(rows[FAINT]) == len(rows[SERIES]) == 1 and rows[SERIES][0] < rows[FAINT][0]
    assert cells.text().splitlines()[0].count("line") == 1


async def test_points_and_lines_of_one_metric_share_a_panel_and_the_network_stands_last() -> None:
    explained_run()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "finished")
        assert [name for name in screen.board.ring if "boundary" in name] == ["sample boundary"]
        panel = await focus(pilot, "sample boundary")
        plot = panel.query_one(Chart)._plot
        assert [trace.faint for trace in plot.traces].count(True) == 3 and {trace.name for trace in plot.traces} == {"blue", "red", "line"}
        assert screen.board.ring[-4:] == ["sample network", "console", "recipe", "source"]
        await focus(pilot, "sample network")
        await settle(pilot, lambda: "Linear" in seen(pilot.app) and "8,320" in seen(pilot.app))


async def test_under_the_cursor_the_samples_are_those_of_its_step() -> None:
    explained_run()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "finished")
        await pilot.press("tab", "left", "pageup", "pageup", "pageup")
        await settle(pilot, lambda: "3 of 4" in seen(pilot.app) or "2 of 4" in seen(pilot.app))
        panel = screen.board.panel("sample confusion")
        assert panel._event.step <= screen.board.cursor < panel._event.step + 1000
        await pilot.press("escape")
        await settle(pilot, lambda: "4 of 4" in seen(pilot.app))


async def test_what_to_watch_for_now_stands_first() -> None:
    notes = ["Always.", Note(to=100, text="It is guessing."), Note(start="50 %", when="train/loss < valid/loss", text="By heart now.")]
    run = make_run(made=msgspec.structs.replace(RECIPE, watch=notes))
    held, log = alive(run), train(run, upto=50, rich=False)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "running")
        await settle(pilot, lambda: "▸ It is guessing." in seen(pilot.app))
        assert seen(pilot.app).index("guessing") < seen(pilot.app).index("Always.") < seen(pilot.app).index("from 50 %")
        log.write(Scalars({"train/loss": 0.1, "valid/loss": 0.4}, step=900, epoch=9.0))
        await settle(pilot, lambda: "▸ By heart now." in seen(pilot.app) and "· to step 100: It is guessing." in seen(pilot.app))
    log.close()
    held.release()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_recipe_tab_says_what_was_changed_and_where_its_file_differs(size) -> None:
    loaded = load_recipe(find_recipe("digits-mlp"), ["config.learning_rate=0.02", "train.epochs=12"])
    run = start.create(loaded, "cpu")
    log = train(run, 1000, rich=False)
    log.write(Mark(text="momentum 0.9 → 0.5", settings={"train.patience": 3}, command="c1", step=1000))
    log.close()
    ended(run, "stopped", "person")
    async with DlwbApp().run_test(size=size) as pilot:
        await open_run(pilot, "stopped")
        await focus(pilot, "recipe")
        await pilot.press("enter")
        assert next(line for line in seen(pilot.app).splitlines() if "hidden" in line).split()[1:3] == ["[128,", "64]"]
        # As far down as a low screen needs.
        await pilot.press("down", "down", "down")
        await settle(pilot, lambda: "learning_rate" in seen(pilot.app) and "the file has 0.005" in seen(pilot.app))
        await pilot.press("pagedown")
        await settle(pilot, lambda: "was 0 until step 1,000" in seen(pilot.app) and "the file has 400" in seen(pilot.app))


async def test_an_older_sample_is_not_one_of_a_later_step_of_another_split() -> None:
    run = make_run()
    log = train(run, 1000)
    log.write(Matrix(tag="test/confusion", values=[[9, 1], [0, 9]], rows=["a", "b"], columns=["a", "b"], step=1000))
    log.close()
    ended(run, "stopped", "person")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "stopped")
        panel = await focus(pilot, "sample confusion")
        await pilot.press("comma", "comma")
        await settle(pilot, lambda: "step 900  18 of 20" in seen(pilot.app))
        assert panel._event.tag == "valid/confusion"


@pytest.mark.parametrize("width", [40, 60])
def test_a_mark_is_written_where_there_is_room_for_it(width) -> None:
    falling = Pyramid(range(100), np.linspace(1, 0, 100))
    for step in (10, 50, 90):
        cells = draw(Plot([Trace("train", 0, falling)], "loss", end=100, moments=[Moment(step, "rate 1 → 2")]), width, 12)
        assert "rate 1 → 2" in cells.text(), step
