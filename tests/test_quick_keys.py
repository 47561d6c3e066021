"""Two quick keys, double clicks and keys before the first layout: each screen acts and closes only while it is the top one."""

from typing import Any

import pytest
from hammering import clicked, harmless, key, some_runs
from made_runs import alive, ended, finish, make_run, train
from piloting import open_run, seen, settle
from textual.events import Key

from workbench.tui.app import DlwbApp
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.ask import AskScreen
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.finder import Finder
from workbench.tui.screens.form import FormScreen
from workbench.tui.screens.help import HelpScreen
from workbench.tui.screens.name import NameScreen
from workbench.tui.screens.question import QuestionScreen, kill_question
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.runs import RunsScreen


async def at_once(pilot: Any, *names: str) -> None:
    """Keys that come faster than the app answers."""
    for name in names:
        pilot.app.post_message(key(name))
    await pilot.pause(0.1)


def kinds(app: DlwbApp) -> list[type]:
    return [type(screen) for screen in app.screen_stack]


@pytest.mark.parametrize(
    "keys", (("escape", "escape"), ("escape", "escape", "escape"), ("escape", "pageup"), ("escape", "2", "end", "1", "pageup"))
)
async def test_quick_keys_close_one_screen_each_and_end_nothing(monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]) -> None:
    harmless(monkeypatch)
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "finished")
        await pilot.press("question_mark")
        await settle(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        await at_once(pilot, *keys)
        await pilot.pause(0.1)
        assert pilot.app.is_running and pilot.app._exception is None
        if set(keys) == {"escape"}:
            assert kinds(pilot.app) == [RecipesScreen, RunsScreen]


async def test_enter_twice_opens_a_run_once() -> None:
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "✓ finished" in seen(pilot.app))
        await at_once(pilot, "enter", "enter")
        assert kinds(pilot.app) == [RecipesScreen, RunsScreen, RunScreen]
        await pilot.press("escape")
        assert kinds(pilot.app) == [RecipesScreen, RunsScreen]
        rows = pilot.app.screen.rows
        for event in clicked(rows.region.x + 3, rows.region.y + rows.cursor - rows.top, 4):
            pilot.app.post_message(event)
        await pilot.pause(0.2)
        assert kinds(pilot.app) == [RecipesScreen, RunsScreen, RunScreen]


async def test_enter_twice_in_dialogs_answers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless(monkeypatch)
    made = make_run()
    held = alive(made)
    train(made, upto=200).close()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        taken: list[str] = []
        answers: list[object] = []
        await app.push_screen(NameScreen("Copy", "text", "name", taken.append), answers.append)
        await pilot.pause()
        await at_once(pilot, "enter", "enter")
        assert taken == answers == ["name"] and kinds(app) == [RecipesScreen]
        await open_run(pilot, "running")
        await pilot.press("c")
        await settle(pilot, lambda: isinstance(app.screen, AskScreen))
        await at_once(pilot, "enter", "enter")
        assert kinds(app) == [RecipesScreen, RunsScreen, RunScreen]
    held.release()


async def test_a_double_click_beside_the_finder_closes_only_the_finder() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+p")
        await settle(pilot, lambda: isinstance(pilot.app.screen, Finder))
        for event in clicked(2, 35, 3):
            pilot.app.post_message(event)
        await pilot.pause(0.2)
        assert kinds(pilot.app) == [RecipesScreen] and pilot.app.is_running


@pytest.mark.parametrize("name", ("pageup", "pagedown", "home", "end", "up", "down", "enter"))
@pytest.mark.parametrize("opens", ("2", "3", "ctrl+p", "f", "question_mark"))
async def test_a_key_before_the_first_layout_is_no_mistake(monkeypatch: pytest.MonkeyPatch, opens: str, name: str) -> None:
    harmless(monkeypatch)
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        await at_once(pilot, opens, name, name)
        assert pilot.app.is_running and pilot.app._exception is None
        for event in (opens, name):
            pilot.app.screen.post_message(Key(event, None))
        await pilot.pause(0.05)
        assert pilot.app._exception is None


async def test_the_second_of_two_quick_enters_does_not_answer_a_question() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        answers: list[object] = []
        await pilot.app.push_screen(kill_question(make_run()), answers.append)
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, QuestionScreen) and not answers
        await pilot.pause(0.5)
        await at_once(pilot, "enter", "enter")
        await settle(pilot, lambda: bool(answers))
        await pilot.pause(0.1)
        assert answers == [True] and kinds(pilot.app) == [RecipesScreen]


async def test_the_screen_of_a_run_that_is_gone_closes_itself_and_not_what_is_above_it() -> None:
    run = make_run()
    finish(run)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        await open_run(pilot, "finished")
        await pilot.press("question_mark")
        app._gone(run)
        await pilot.pause()
        assert kinds(app) == [RecipesScreen, RunsScreen, RunScreen, HelpScreen], "somebody reads the help"
        await pilot.press("escape")
        await settle(pilot, lambda: kinds(app) == [RecipesScreen, RunsScreen])


async def test_the_end_of_a_run_is_no_notice_on_its_own_screen() -> None:
    shown, other = make_run(), make_run("other", stamp="2026-11-22_000000")
    held = [alive(run) for run in (shown, other)]
    train(shown, upto=200).close()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        await open_run(pilot, "digits-mlp")
        app._look_for_ends()
        for lock, run in zip(held, (shown, other), strict=True):
            lock.release()
            ended(run, "finished", "steps")
        app._look_for_ends()
        await pilot.pause()
        notices = [notice.message for notice in app._notifications]
        assert notices == [f"{other.id}: finished"], notices


async def test_the_chart_of_a_run_that_stopped_early_ends_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless(monkeypatch)
    for number, stem in enumerate(("early", "sooner")):
        run = make_run(stem, stamp=f"2026-11-2{number}_000000")
        train(run, 1000, upto=200 + 100 * number).close()
        ended(run, "stopped", "request")
    going = make_run("going", stamp="2026-11-25_000000")
    held = alive(going)
    train(going, 1000, upto=100).close()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        await pilot.press("2")
        await settle(pilot, lambda: len(app.library.entries) == 3)
        app.open_run(next(entry.run for entry in app.library.entries.values() if entry.run.stem == "early"))
        await settle(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen._whole)
        await settle(pilot, lambda: app.screen.board.query("Chart").first()._plot.traces)
        assert app.screen.board.query("Chart").first()._plot.end == 200
        await pilot.press("escape")
        for stems, end in ((("early", "sooner"), 300), (("early", "going"), 1000)):
            runs = [entry.run for entry in app.library.entries.values() if entry.run.stem in stems]
            compare = CompareScreen([app.library.feed(run) for run in runs])
            await app.push_screen(compare)
            await settle(pilot, lambda compare=compare: compare.query("Chart"))
            await pilot.pause(0.2)
            assert compare.query("Chart").first()._plot.end == end, stems
            compare.dismiss()
    held.release()


async def test_a_covered_screen_draws_no_dialog_of_its_own() -> None:
    some_runs()
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        app = pilot.app
        below = app.screen
        await pilot.press("f")
        await settle(pilot, lambda: isinstance(app.screen, FormScreen))
        below.action_press("help")
        below.dismiss()
        await pilot.pause()
        assert kinds(app) == [RecipesScreen, FormScreen] and app.screen.query(Lines)
