"""The queue for GPUs in the list of runs, and the screen of device-hours, as a person uses them."""

import time
from pathlib import Path

import pytest
from hand_logs import trained
from lines import write
from made_runs import finish, make_run
from piloting import SIZES, seen, settle
from queued_runs import Waits, busy

from workbench import preferences
from workbench.recipes.load import load_recipe
from workbench.runs.run import list_runs
from workbench.runs.state import state_of
from workbench.tui.app import DlwbApp
from workbench.tui.screens.usage import UsageScreen

NOON = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1)) - 12 * 3600
"""Of yesterday."""


def row(app: DlwbApp, identity: str) -> str:
    """The row of a run as it is painted."""
    lines = [strip.text for strip in app.screen._compositor.render_strips()]
    rows = app.screen.rows
    place = next(place for place, shown in enumerate(rows._rows) if shown.key == identity)
    return lines[rows.region.y + place - rows.top]


def told(app: DlwbApp) -> str:
    return " ".join(str(note.message) for note in app._notifications)


async def test_a_run_is_held_released_and_moved_forward_from_the_list_and_a_restart_shows_the_same() -> None:
    trained(0.5, "cuda:0", began=NOON, stem="second", stamp="2026-11-20_100000")
    done = make_run("done", stamp="2026-11-19_000000")
    finish(done, 100)
    others = [busy(name) for name in ("cuda:0", "cuda:1")]
    first, second = (Waits(name, stamp) for name, stamp in (("first", "2026-11-23_000001"), ("second", "2026-11-23_000002")))
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        await pilot.press("2")
        await settle(pilot, lambda: "queued 2nd" in seen(app))
        assert "queued 1st" in row(app, first.run_.id) and "start unknown" in row(app, first.run_.id)
        app.screen.rows.select(second.run_.id)
        await settle(pilot, lambda: "Before it in the queue: 1; when it starts is not known." in seen(app))
        assert first.run_.id in seen(app) and "h holds it, F moves it to the front" in seen(app)
        await pilot.press("F")
        await settle(pilot, lambda: "queued 1st" in row(app, second.run_.id) and "queued 2nd" in row(app, first.run_.id))
        assert "is moved to the front" in told(app)
        await pilot.press("F")
        await settle(pilot, lambda: "at the front already" in told(app))
        await pilot.press("h")
        await settle(pilot, lambda: "‖ held" in row(app, second.run_.id) and "queued 1st" in row(app, first.run_.id))
        app.screen.rows.select(done.id)
        await pilot.press("h")
        await settle(pilot, lambda: "does not wait for a GPU: it cannot be held" in told(app))
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        await pilot.press("2")
        await settle(pilot, lambda: "‖ held" in seen(app))
        app.screen.rows.select(second.run_.id)
        await settle(pilot, lambda: "A person holds it" in seen(app))
        await pilot.press("h")
        await settle(pilot, lambda: "queued 1st" in row(app, second.run_.id))
        # One of both is free now: the guess is that the first one takes it at once, and the second after half an hour.
        others[0].release()
        await settle(pilot, lambda: f"about {time.strftime('%H:')}" in row(app, second.run_.id))
    for thread in (first, second):
        thread.end()
    others[1].release()


@pytest.mark.parametrize("size", SIZES)
async def test_device_hours_have_a_bar_for_each_day_and_recipe(size: tuple[int, int]) -> None:
    trained(3.0, began=NOON, stem="mnist-mlp")
    trained(1.0, "cpu", began=NOON - 40 * 86400, stem="digits-mlp", stamp="2026-10-20_100000")
    preferences.put("budget", "4")
    async with DlwbApp().run_test(size=size) as pilot:
        app = pilot.app
        await pilot.press("2")
        await settle(pilot, lambda: "finished" in seen(app) or "0.5" in seen(app))
        await pilot.press("U")
        await settle(pilot, lambda: "3.0 h of 4 GPU-hours, 75%" in seen(app))
        shown = seen(app)
        assert "━ 3.0 h on GPUs   ━ 1.0 h on the CPU" in shown and "2 runs" in shown and "and 1.0 h earlier" in shown
        lines = {line.split()[0]: line for line in shown.splitlines() if "━" in line and line.split()}
        day = next(
            line for line in shown.splitlines() if f"{time.localtime(NOON).tm_mday} {time.strftime('%b', time.localtime(NOON))}" in line
        )
        assert "━━━" in day and "3.0 h" in day
        assert any("mnist-mlp" in line and "━━━━━━━" in line for line in shown.splitlines()), lines
        preferences.put("budget", "3")
        await pilot.press("s")
        await settle(pilot, lambda: "the last 30 days" in seen(app) and "100%" in seen(app))
        assert "digits-mlp" not in seen(app) and "1 run" in seen(app)
        await pilot.press("s", "s")
        await settle(pilot, lambda: "Usage, today" in seen(app))
        await pilot.press("escape")
        await settle(pilot, lambda: not isinstance(app.screen, UsageScreen))


async def test_without_any_run_it_says_so() -> None:
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await pilot.press("U")
        await settle(pilot, lambda: "Nothing was used in this time." in seen(pilot.app) and "No budget" in seen(pilot.app))


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_start_warns_from_80_percent_of_the_budget_on_in_the_form_and_after_enter(tmp_path: Path) -> None:
    trained(3.3, "cpu", began=NOON)
    preferences.put("budget", "4")
    spent = "3.3 of the budget of 4 device-hours are used, 0.7 left."
    loaded = load_recipe(write(tmp_path))
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        app.open_form(loaded)
        await settle(pilot, lambda: spent in seen(app))
        app.start(loaded)
        await settle(pilot, lambda: spent in told(app))
        await settle(pilot, lambda: not any(state_of(run).alive for run in list_runs()))
