"""The lists of recipes and runs: what stands in them, how each run ended, the filter, the mouse, and a run started from a recipe."""

import shutil
import time

import msgspec
import pytest
from made_runs import RECIPE, alive, ended, finish, holder, make_run, touch_epoch, train
from piloting import SIZES, open_run, seen, settle, walk_to
from textual.events import Key

from workbench import paths
from workbench.events import CAUSES
from workbench.launch import start
from workbench.recipes import copy_recipe, trust
from workbench.recipes import load as loading
from workbench.recipes.load import load_recipe
from workbench.runs import lock
from workbench.runs.run import list_runs
from workbench.runs.state import state_of
from workbench.tui.app import DlwbApp
from workbench.tui.screens.question import QuestionScreen
from workbench.tui.screens.run import RunScreen


@pytest.mark.parametrize("size", SIZES)
async def test_recipes_stand_under_their_parts_with_their_past_runs(size) -> None:
    finish(make_run())
    async with DlwbApp().run_test(size=size) as pilot:
        await settle(pilot, lambda: "0.9780 ✓" in seen(pilot.app))
        text = seen(pilot.app)
        assert "3. Convolutional networks" in text and "Handwritten digits" in text
        assert "1 run " in text
        assert "q quit" in text and "? help" in text


async def test_own_recipes_stand_before_the_course_s() -> None:
    copy_recipe.copy("mine", "digits-mlp")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
        await pilot.press("home")
        await settle(pilot, lambda: "mine" in seen(pilot.app))
        text = seen(pilot.app)
        assert text.index("Own recipes") < text.index("mine") < text.index("2. Neural networks")


async def test_the_second_start_reads_no_recipe_that_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(paths.cache_folder())  # the first start is this test's own
    monkeypatch.setattr("workbench.recipes.index.time.time_ns", lambda now=time.time_ns: now() + 10 * 10**9)  # every file is old
    copy_recipe.copy("mine", "digits-mlp")
    broken = paths.home() / "recipes" / "broken.yaml"
    broken.write_text("title: Broken\n")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, (paths.cache_folder() / "recipes.index").exists)
    names: list[str] = []
    monkeypatch.setattr(loading, "load_recipe", lambda path, *rest, **more: (names.append(path.name), load_recipe(path, *rest, **more))[1])
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("home")
        await settle(pilot, lambda: "✗ broken.yaml" in seen(pilot.app) and "mine" in seen(pilot.app))
    assert names == ["broken.yaml"]


async def test_a_broken_recipe_is_a_red_row_with_its_mistakes_in_the_pane() -> None:
    folder = paths.home() / "recipes"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("title: Broken\nproject: image_classifier\nconfig: {learning_rat: 1}\nseeds: 3\n")
    (folder / "hostile.yaml").write_bytes(b"title: '[/] \x1b]52;c;aGk=\x07 [bold'\nproject: nothing\n")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
        await pilot.press("home")
        await settle(pilot, lambda: "✗ broken.yaml" in seen(pilot.app))
        home = pilot.app.screen
        await walk_to(pilot, "broken.yaml", "up")
        assert "learning_rat" in seen(pilot.app) and "did you mean" in seen(pilot.app)
        await pilot.press("enter")
        assert pilot.app.screen is home and "has mistakes" in " ".join(str(note.message) for note in pilot.app._notifications)
        assert "\x1b" not in seen(pilot.app) and "\x07" not in seen(pilot.app)


ENDINGS = [
    ("failed", "exception", "ValueError: bad [/] thing"),
    ("stopped", "sigterm", "Asked to end by SIGTERM; saved."),
    ("failed", "signal", "Killed from outside: SIGKILL."),
    ("failed", "memory", "Out of memory: the kernel killed it."),
    ("failed", "device-memory", "The device's memory is full."),
    ("failed", "disk-full", "The disk is full."),
    ("failed", "not-finite", "train/loss became nan."),
    ("failed", "data", "hour.csv ends too soon."),
    ("failed", "import", "No module named nowhere."),
    ("stopped", "person", "Stopped by a person; saved."),
    ("stopped", "killed", "Killed by a person."),
]


@pytest.mark.parametrize(("state", "cause", "message"), ENDINGS)
async def test_every_way_to_die_has_its_name_in_the_list_and_on_the_screen(state, cause, message) -> None:
    run = make_run()
    train(run, upto=200, rich=False).close()
    ended(run, state, cause, message, "Do this next.")
    async with DlwbApp().run_test(size=(200, 60)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: message in seen(pilot.app))
        row = next(line for line in seen(pilot.app).splitlines() if "200/1,000" in line)
        assert ("✗ failed: " + CAUSES[cause] in row) if state == "failed" else "■ stopped" in row
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen) and "Do this next." in seen(pilot.app))
        text = seen(pilot.app)
        assert f"{state.capitalize()}: {CAUSES[cause]}" in text and message.rstrip(".").casefold() in text.casefold()


async def test_a_run_without_a_last_word_and_one_on_another_host() -> None:
    vanished, away = make_run(stamp="2026-11-23_010000"), make_run("far-run", stamp="2026-11-23_020000")
    for run in (vanished, away):
        train(run, upto=200, rich=False).close()
    alive(vanished).release()
    held = lock.Lock.take(away.lock)
    assert held
    held.write({**holder(), "host": "gpu07"})
    held.release()
    async with DlwbApp().run_test(size=(200, 60)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "on gpu07, last line" in seen(pilot.app))
        assert CAUSES["vanished"] in seen(pilot.app)
        await pilot.press("k")
        assert "on gpu07" in " ".join(str(note.message) for note in pilot.app._notifications)


async def test_a_silent_run_is_quiet_not_dead() -> None:
    run = make_run()
    train(run, upto=500, rich=False).close()
    touch_epoch(run, 90)
    held = alive(run)
    async with DlwbApp().run_test(size=(200, 60)) as pilot:
        screen = await open_run(pilot, "no step for 9")
        assert "no step for 9" in seen(pilot.app) and "usually" in seen(pilot.app)
        assert screen.feed.state.state == "running"
    held.release()


async def test_the_filter_keeps_rows_with_the_words_and_escape_gives_them_back() -> None:
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
        await pilot.press("slash", "g", "a", "n", "enter")
        await settle(pilot, lambda: "Handwritten digits" not in seen(pilot.app))
        assert "MNIST GAN" in seen(pilot.app)
        await pilot.press("escape")
        await settle(pilot, lambda: "Filters, what a kernel sees" in seen(pilot.app))
        for key, letter in (("slash", "/"), *zip("gan", "gan", strict=True)):
            pilot.app.post_message(Key(key, letter))  # in one go, before the field can be there
        await settle(pilot, lambda: "Filters, what a kernel sees" not in seen(pilot.app))
        assert pilot.app.screen.words == "gan" and "quit" in seen(pilot.app).splitlines()[-1]


async def test_a_click_chooses_and_a_second_one_opens() -> None:
    finish(make_run(stamp="2026-11-23_010000"))
    finish(make_run("other", msgspec.structs.replace(RECIPE, title="Another one"), stamp="2026-11-23_020000"))
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "Another one" in seen(pilot.app))
        row = next(y for y, line in enumerate(seen(pilot.app).splitlines()) if "Handwritten" in line)
        await pilot.click(offset=(20, row))
        assert pilot.app.screen.rows.key.endswith("digits-mlp")
        await pilot.click(offset=(20, row))
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen))


async def test_the_cursor_begins_on_the_recipe_for_newcomers() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "▌   Handwritten digits, the first run" in seen(pilot.app))


async def test_enter_starts_one_run_which_is_watched_and_killed() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
        await walk_to(pilot, "digits-mlp.yaml", "down")
        await pilot.press("enter", "enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen) and "Handwritten digits" in seen(pilot.app))
        await settle(pilot, lambda: "starting" in seen(pilot.app))
        [run] = list_runs()
        try:
            await settle(pilot, lambda: "● running" in seen(pilot.app) and "train 0." in seen(pilot.app), 60)
            await pilot.press("k")
            await settle(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen))
            await pilot.press("y")
            await settle(pilot, lambda: f"Stopped: {CAUSES['killed']}" in seen(pilot.app), 20)
        finally:
            if state_of(run).alive:
                start.kill(run)
    assert [run.stem] == ["digits-mlp"] and state_of(run).cause == "killed"


async def test_own_code_is_asked_about_with_its_path_and_hash() -> None:
    folder = paths.home() / "recipes"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text("raise SystemExit('it was run')\n")
    (folder / "mine.yaml").write_text("title: My own idea\nproject: ./mine.py\n")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
        await pilot.press("home")
        await settle(pilot, lambda: "My own idea" in seen(pilot.app))
        home = pilot.app.screen
        await walk_to(pilot, "mine.yaml", "down")
        assert "unchecked until you trust" in " ".join(seen(pilot.app).split())
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen) and "SHA-256" in seen(pilot.app))
        assert trust.sha256(folder / "mine.py")[:40] in seen(pilot.app) and "mine.py" in seen(pilot.app)
        await pilot.press("n")
        await settle(pilot, lambda: pilot.app.screen is home)
        assert not trust.is_trusted(folder / "mine.py") and not list_runs()
