"""What one does with a run's screen: smooth, read values, open cells, slide thresholds, ask for samples, change settings."""

from made_runs import finish, make_run
from test_tui import open_run, seen, settle

from workbench.tui.app import DlwbApp


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
