"""A run on the screen, the board, themes, the finder: what stands there, what keys do, and damaged files that are survived."""

import gc
import json
import os
import re
from pathlib import Path

import msgspec
import pytest
from made_runs import RECIPE, alive, ended, finish, holder, make_run, printed, train
from piloting import SIZES, open_run, seen, settle
from textual._styles_cache import StylesCache

from workbench import preferences
from workbench.events import Scalars, Status, Text
from workbench.runs.log import EventLog
from workbench.runs.run import Run
from workbench.runs.state import state_of
from workbench.tui.app import DlwbApp
from workbench.tui.drawing import palette
from workbench.tui.models.library import Library
from workbench.tui.panels.board import Wanted, plan
from workbench.tui.screens.help import HelpScreen
from workbench.tui.screens.key_screen import KeyScreen
from workbench.tui.screens.question import QuestionScreen
from workbench.tui.screens.recipes import RecipesScreen
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.runs import RunsScreen


def commands(run: Run) -> list[str]:
    return [json.loads(line)["verb"] for line in run.control.read_text().splitlines()]


# -- one run -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_a_finished_run_shows_curves_samples_figures_and_what_it_reached(size) -> None:
    run = make_run()
    finish(run)
    printed(run, "epoch 1 of 10\n 10%|#\r 50%|#####\r100%|##########\n\x1b[31mdone\x1b[0m [/] now\n")
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await open_run(pilot, "finished")
        await settle(pilot, lambda: "confusion" in seen(pilot.app) and "✓ test accuracy" in seen(pilot.app))
        text = seen(pilot.app)
        assert "Handwritten digits" in text and "✓ finished" in text and "1,000/1,000" in text
        assert (
            "loss" in text
            and "accuracy" in text
            and "confusion" in text
            and "⣀" in text.translate(dict.fromkeys(range(0x2801, 0x28FF), "⣀"))
        )
        assert "✓ test accuracy 0.9780" in text and "to pass ≥ 0.95, course 0.9831" in text
        names = ("chart loss", "chart accuracy", "sample confusion", "sample digits", "sample text", "sample forecast", "sample embedding")
        for name in (*names, "sample neighbours", "console"):
            for _ in range(20):
                if screen.board.focused == name:
                    break
                await pilot.press("tab")
            assert screen.board.shows(name), name
            panel = screen.board.panel(name)
            await settle(pilot, lambda panel=panel: panel.size.width > 20 and panel.size.height >= 5)
            if name == "sample text":
                await settle(pilot, lambda: "› The old man" in seen(pilot.app))
            if name == "sample neighbours":
                await settle(pilot, lambda: "queen" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: "100%|##########" in seen(pilot.app))
        assert " 50%|" not in seen(pilot.app) and "done [/] now" in seen(pilot.app)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, RunScreen), "escape leaves the whole screen first"
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, RunsScreen)


async def test_older_samples_can_be_looked_at() -> None:
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "finished")
        await settle(pilot, lambda: "20 of 20" in seen(pilot.app))
        await pilot.press("left", "left")
        await settle(pilot, lambda: "step 900  18 of 20" in seen(pilot.app))
        await pilot.press("right")
        await settle(pilot, lambda: "19 of 20" in seen(pilot.app))


async def test_what_is_logged_while_it_is_open_arrives_and_a_rewind_takes_it_away() -> None:
    run = make_run()
    held = alive(run)
    log = train(run, upto=500, rich=False)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "running")
        await settle(pilot, lambda: "500/1,000" in seen(pilot.app))
        log.write(Scalars({"train/loss": 0.125, "train/novelty": 7.0}, step=510, epoch=5.1))
        await settle(pilot, lambda: "510/1,000" in seen(pilot.app) and "novelty" in seen(pilot.app))
        held.write(holder(attempt=2))
        log.write(Status(state="running", attempt=2, from_step=300, steps=1000, steps_per_epoch=100))
        # The chart of a metric that the rewind took away goes with it.
        await settle(pilot, lambda: "300/1,000" in seen(pilot.app) and "novelty" not in seen(pilot.app))
        assert max(screen.feed.history.series["train/loss"].steps) == 300
    log.close()
    held.release()


async def test_two_programs_and_a_later_one_show_the_same() -> None:
    finish(make_run())
    screens = []
    for _ in range(2):
        async with DlwbApp().run_test(size=(120, 40)) as pilot:
            await open_run(pilot, "finished")
            await pilot.pause(0.3)
            screens.append(seen(pilot.app))
    assert screens[0] == screens[1]


async def test_keys_do_what_the_table_says() -> None:
    run = make_run()
    train(run, upto=500, rich=False).close()
    held = alive(run)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "running")
        await pilot.press("p", "n")
        await settle(pilot, lambda: commands(run) == ["pause", "sample"])
        await pilot.press("r")
        assert commands(run) == ["pause", "sample"]
        assert "already running" in " ".join(str(note.message) for note in pilot.app._notifications)
        held.write(holder("paused"))
        await settle(pilot, lambda: "‖ paused" in seen(pilot.app))
        await pilot.press("r")
        await settle(pilot, lambda: commands(run)[-1] == "resume")
        await pilot.press("k")
        assert isinstance(pilot.app.screen, QuestionScreen)
        await pilot.press("n")
        assert "kill" not in commands(run)
        await pilot.press("y")
        assert screen.board.log_y
        await pilot.press("s")
        await settle(pilot, lambda: commands(run)[-1] == "stop")
        await pilot.press("q")
    assert state_of(run).alive, "quitting ends no run"
    held.release()


async def test_the_footer_can_be_clicked() -> None:
    run = make_run()
    train(run, upto=500, rich=False).close()
    held = alive(run)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "running")
        footer = seen(pilot.app).splitlines()[-1]
        await pilot.click(offset=(footer.index("pause"), 39))
        await settle(pilot, lambda: commands(run) == ["pause"])
    held.release()


@pytest.mark.parametrize("kind", [RecipesScreen, RunsScreen, RunScreen])
async def test_help_lists_every_binding(kind) -> None:
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 70)) as pilot:
        if kind is RunScreen:
            await open_run(pilot, "finished")
        elif kind is RunsScreen:
            await pilot.press("2")
        screen = pilot.app.screen
        assert isinstance(screen, kind) and isinstance(screen, KeyScreen)
        bound = {key for key in screen._bindings.key_to_bindings if screen._bindings.key_to_bindings[key][0].action.startswith("press")}
        assert bound == {name for key in screen.KEYS for name in key.keys.split(",")}
        await pilot.press("question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        await pilot.pause(0.1)
        for key in screen.KEYS:
            assert key.help.split()[0] in seen(pilot.app) and key.cap in seen(pilot.app), key
            assert hasattr(screen, f"do_{key.name}")
        await pilot.press("escape")
        assert pilot.app.screen is screen


async def test_a_screen_that_was_closed_is_let_go() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        left = []
        for _ in range(4):
            await pilot.press("question_mark")
            await settle(pilot, lambda: "Close this help" in seen(pilot.app))
            await pilot.press("escape")
            await pilot.pause()
            gc.collect()
            left.append(sum(isinstance(each, StylesCache) for each in gc.get_objects()))
        assert left[3] <= left[1], left


async def test_foreign_text_stays_text() -> None:
    evil = "[/] [bold red]x[/nope] \x1b]52;c;aGVsbG8=\x07\x1bc\x9b31m \u202egnp.exe ${x}"
    run = make_run("evil", msgspec.structs.replace(RECIPE, title=evil, watch=[evil], about=evil, lesson=evil))
    log = EventLog(run.path)
    log.write(Status(state="running", steps=10, device=evil, demo=evil, variant=evil))
    log.write(Scalars({f"train/{evil}": 1.0}, step=1))
    log.write(Text(tag=f"sample/{evil}", text=evil, prompt=evil, step=1))
    log.close()
    printed(run, evil)
    ended(run, "failed", "exception", evil, evil)
    async with DlwbApp().run_test(size=(200, 60)) as pilot:
        await settle(pilot, lambda: "2 Runs 1" in seen(pilot.app))
        await pilot.press("2")
        await settle(pilot, lambda: "failed" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen) and "[bold red]x[/nope]" in seen(pilot.app))
        for _ in range(6):
            text = seen(pilot.app)
            assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}
            await pilot.press("tab")
            await pilot.pause(0.05)


async def test_a_demo_is_loud_and_not_judged() -> None:
    run = make_run()
    finish(run, demo="random weights")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_run(pilot, "finished")
        await settle(pilot, lambda: "Not compared with the bars" in seen(pilot.app))
        text = seen(pilot.app)
        assert "DEMO: random weights" in text and "Not compared with the bars" in text and "✓ test accuracy" not in text


async def test_a_damaged_log_and_a_missing_one_open_all_the_same(tmp_path: Path) -> None:
    damaged, empty = make_run(stamp="2026-11-23_010000"), make_run("empty-one", stamp="2026-11-23_020000")
    finish(damaged)
    data = bytearray(damaged.events.read_bytes())
    data[5000] ^= 4
    damaged.events.write_bytes(bytes(data))
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        screen = await open_run(pilot, "finished")
        assert screen.feed.tail.damaged == 1 and "1,000/1,000" in seen(pilot.app)
        await pilot.press("escape", "escape")
        await open_run(pilot, "created")
        assert "never started" in seen(pilot.app)
    assert not empty.events.exists()


@pytest.mark.parametrize("trick", ["pipe", "link"])
async def test_a_pipe_or_a_link_among_its_pictures_is_not_followed(tmp_path: Path, trick: str) -> None:
    run = make_run()
    train(run, 400).close()
    ended(run, "stopped", "person", "Stopped.", "")
    for picture in run.path.joinpath("artifacts").glob("*.png"):
        picture.replace(tmp_path / "secret.png")
        os.mkfifo(picture) if trick == "pipe" else picture.symlink_to(tmp_path / "secret.png")
    async with DlwbApp().run_test(size=(200, 60)) as pilot:
        await open_run(pilot, "stopped")
        await settle(pilot, lambda: "This sample cannot be shown" in seen(pilot.app))


async def test_any_size_is_survived() -> None:
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        for size in [(80, 24), (1, 1), (10, 3), (30, 8), (200, 60), (250, 12), (20, 80)]:
            await pilot.resize_terminal(*size)
            await pilot.pause(0.1)
        await open_run(pilot, "finished")
        for size in [(80, 24), (1, 1), (10, 3), (30, 8), (250, 12), (20, 80), (120, 40)]:
            await pilot.resize_terminal(*size)
            await pilot.press("tab")
            await pilot.pause(0.1)
        await pilot.press("question_mark")
        for size in [(10, 3), (1, 1), (120, 40)]:
            await pilot.resize_terminal(*size)
            await pilot.pause(0.1)
        await pilot.press("escape")
        await settle(pilot, lambda: "1,000/1,000" in seen(pilot.app) and "train loss" in seen(pilot.app))


# -- the board ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 6), (40, 10), (78, 20), (118, 35), (118, 24), (198, 55), (300, 90)])
@pytest.mark.parametrize("charts", [0, 1, 2, 5, 12])
@pytest.mark.parametrize("tabs", [1, 3, 9])
def test_panels_fill_the_board_without_overlapping(size, charts, tabs) -> None:
    from textual.geometry import Region, Size

    names = [f"chart {number}" for number in range(charts)], [*(f"sample {number}" for number in range(tabs - 1)), "console"]
    for focus in ("", *names[0], *names[1]):
        found = plan(Size(*size), Wanted(*names, focus)).regions
        board = Region(0, 0, *size)
        places = list(found.values())
        assert all(board.contains_region(place) for place in places), found
        assert not any(one.overlaps(other) for at, one in enumerate(places) for other in places[at + 1 :]), found
        assert not focus or focus in found, "what has the focus is seen"
        assert size[1] < 8 or any(name.startswith("chart") or name == "notice" for name in found)


# -- the program -------------------------------------------------------------------------------------------------------------------


async def test_the_theme_changes_every_screen_and_is_kept() -> None:
    preferences.put("theme", "dark")
    finish(make_run())
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        assert palette.name == "dark"
        await open_run(pilot, "finished")
        dark = {segment.style.bgcolor for strip in pilot.app.screen._compositor.render_strips() for segment in strip if segment.style}
        await pilot.press("ctrl+t")
        await settle(pilot, lambda: palette.name == "light")
        await pilot.pause(0.3)
        light = {segment.style.bgcolor for strip in pilot.app.screen._compositor.render_strips() for segment in strip if segment.style}
        assert palette.plain.bgcolor in light and palette.plain.bgcolor not in dark
    assert preferences.get("theme") == "light"
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        assert palette.name == "light"
        await pilot.press("ctrl+t", "ctrl+t")
        assert palette.name == "dark"


async def test_the_finder_starts_what_a_key_does_and_goes_to_a_recipe() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+p")
        await settle(pilot, lambda: "recipe, run, endpoint or action" in seen(pilot.app))
        await pilot.press(*"mnist gan".replace(" ", ""))
        await settle(pilot, lambda: "Recipe: MNIST GAN" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RecipesScreen) and re.search(r"▌ +MNIST GAN", seen(pilot.app)))


def test_a_feed_that_is_pushed_out_while_its_log_is_read_is_no_error() -> None:
    made = [make_run(f"run-{place}", stamp=f"2026-11-23_0{place}0000") for place in range(6)]
    for run in made:
        finish(run)
    library = Library()
    looking = library.refresh()
    next(looking)
    for _ in looking:  # as slowly as on a long log, while the cursor goes over all the others
        for run in made:
            for _ in library.ahead(run.id):
                pass
            library.feed(run).ask()
    assert all(entry.summary.step == 1000 for entry in library.entries.values())
