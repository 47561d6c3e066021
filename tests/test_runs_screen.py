"""The list of runs as a person uses it: sorted, tagged, deleted and undone, compared, exported; and the bell when a run ends."""

import base64
import csv
from pathlib import Path

import msgspec
import pytest
from made_runs import RECIPE, alive, ended, finish, make_run, train
from piloting import open_run, seen, settle
from test_pty import Screen

from workbench import preferences
from workbench.events import Scalars
from workbench.runs import notes, signals, trash
from workbench.runs.run import Run
from workbench.tui.app import DlwbApp
from workbench.tui.charts.chart import Chart
from workbench.tui.models import ended_runs, library
from workbench.tui.screens import list as lists
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.export import ExportScreen
from workbench.tui.screens.runs import RunsScreen


def three() -> list[Run]:
    """Three ended runs that differ; the newest first."""
    made = []
    for stamp, steps, accuracy, dropout in (("23_015358", 1000, 0.91, 0.2), ("22_120000", 400, 0.97, 0.5), ("21_090000", 600, 0.94, 0.0)):
        recipe = msgspec.structs.replace(RECIPE, config={"data": "digits", "dropout": dropout})
        made.append(make_run(stamp=f"2026-11-{stamp}", made=recipe))
        finish(made[-1], steps, accuracy=accuracy)
    return made


def rows(app: DlwbApp) -> list[str]:
    """The ids in the list, from the top."""
    return [row.key for row in app.screen.rows._rows if row.key]


def head(app: DlwbApp) -> str:
    return next(line for line in seen(app).splitlines() if "state" in line and "recipe" in line)


async def open_list(pilot, *words: str) -> RunsScreen:
    await pilot.press("2")
    await settle(pilot, lambda: all(word in seen(pilot.app) for word in words))
    await pilot.pause(0.1)
    return pilot.app.screen


def told(app: DlwbApp) -> str:
    return " ".join(str(note.message) for note in app._notifications)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said to the terminal itself, past the screen."""
    monkeypatch.delenv("TMUX", raising=False)
    found: list[str] = []
    real = DlwbApp.send
    monkeypatch.setattr(DlwbApp, "send", lambda app, sequence: (found.append(sequence), real(app, sequence))[1])
    return found


async def test_runs_are_sorted_by_keys_and_by_their_heads() -> None:
    newest, best, oldest = three()
    never = make_run(stamp="2026-11-20_000000")
    async with DlwbApp().run_test(size=(160, 40)) as pilot:
        screen = await open_list(pilot, "0.9700", "started ▼", "created")
        assert rows(pilot.app)[-1] == never.id
        cursor = screen.rows.key
        column = head(pilot.app).index("figure") + 2
        await pilot.click("Rows", offset=(column, 0))
        await settle(pilot, lambda: "figure ▼" in head(pilot.app))
        assert rows(pilot.app) == [best.id, oldest.id, newest.id, never.id]
        assert screen.rows.key == cursor  # the cursor stays on its run
        await pilot.press("O")
        await settle(pilot, lambda: "figure ▲" in head(pilot.app))
        assert rows(pilot.app) == [newest.id, oldest.id, best.id, never.id]
        await pilot.press("o")
        await settle(pilot, lambda: "bars ▼" in head(pilot.app))
        assert rows(pilot.app)[0] == best.id  # the only one that passed
        await pilot.press("o")
        await settle(pilot, lambda: "started ▼" in head(pilot.app))
        await pilot.press("o")
        await settle(pilot, lambda: "state ▲" in head(pilot.app))
        for _ in range(3):
            await pilot.press("o")
        await settle(pilot, lambda: "step ▼" in head(pilot.app))
        assert rows(pilot.app)[:3] == [newest.id, oldest.id, best.id]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_tags_and_notes_are_written_shown_and_found(size: tuple[int, int]) -> None:
    newest, best, _ = three()
    async with DlwbApp().run_test(size=size) as pilot:
        await open_list(pilot, "0.9700")
        await pilot.press("g")
        await pilot.pause(0.1)
        await pilot.press(*"good", "space", *"d-1", "enter")
        await settle(pilot, lambda: "good d-1" in seen(pilot.app))
        assert notes.read(newest).tags == ("good", "d-1")
        await pilot.press("m")
        await pilot.pause(0.1)
        await pilot.press(*"try a lower rate", "enter")
        await settle(pilot, lambda: "try a lower rate" in seen(pilot.app))
        await pilot.press("g")
        await pilot.pause(0.1)
        await pilot.press(*["backspace"] * 4, *["x"] * 30, "enter")
        await settle(pilot, lambda: "more than 24 letters" in told(pilot.app))
        await pilot.press(*["backspace"] * 30, "enter")
        await settle(pilot, lambda: notes.read(newest).tags == ("good",))
        await pilot.press("m")
        await pilot.pause(0.1)
        await pilot.press(*"zzz", "escape")
        await pilot.pause(0.1)
        assert notes.read(newest).note == "try a lower rate" and "zzz" not in seen(pilot.app)
        await pilot.press("slash", *"lower")
        await settle(pilot, lambda: rows(pilot.app) == [newest.id])
        await pilot.press("escape")
        await settle(pilot, lambda: best.id in rows(pilot.app))


@pytest.mark.parametrize("slice_", [lists.SLICE, 0.0])  # 0: as on a busy machine, where one look at the runs takes many turns
async def test_deleted_runs_come_back_with_u_and_a_live_one_stays(slice_: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "SLICE", slice_)
    newest, best, oldest = three()
    live = make_run("live-one", stamp="2026-11-24_000000")
    train(live, upto=100).close()
    held = alive(live)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_list(pilot, "0.9700", "running")
        await pilot.press("u")
        assert "No run was deleted since" in told(pilot.app)
        screen.rows.select(live.id)
        await pilot.press("d")
        await settle(pilot, lambda: f"{live.id} is running" in told(pilot.app))
        assert live.path.exists()
        screen.rows.select(best.id)
        await pilot.press("delete")
        await settle(pilot, lambda: best.id not in rows(pilot.app))
        assert not best.path.exists() and "u restores it" in told(pilot.app)
        screen.rows.select(newest.id)
        await pilot.press("space")
        screen.rows.select(oldest.id)
        await pilot.press("space", "d")
        await settle(pilot, lambda: rows(pilot.app) == [live.id])
        assert len(trash.deleted()) == 3 and not screen.marked
        await pilot.press("u")
        await settle(pilot, lambda: len(rows(pilot.app)) == 3)
        await pilot.press("u")
        await settle(pilot, lambda: len(rows(pilot.app)) == 4)
        await settle(pilot, lambda: screen.rows.key == best.id)
        assert not trash.deleted()
    held.release()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_marked_runs_are_compared(size: tuple[int, int]) -> None:
    newest, best, _ = three()
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await open_list(pilot, "0.9700")
        await pilot.press("c")
        assert "First mark two or more runs" in told(pilot.app)
        screen.rows.select(newest.id)
        await pilot.press("space")
        screen.rows.select(best.id)
        await pilot.press("space")
        assert seen(pilot.app).count("◆") == 2
        await pilot.press("c")
        await settle(pilot, lambda: isinstance(pilot.app.screen, CompareScreen) and "dropout" in seen(pilot.app))
        text = seen(pilot.app)
        assert "11-23 01:53:58" in text and "11-22 12:00:00" in text and "settings that differ" in text and "valid loss" in text
        if size[1] > 24:
            row = next(line for line in text.splitlines() if "test accuracy" in line)
            assert row.index("0.9100") < row.index("0.9700 ✓")
        lines = [[trace.name for trace in chart._plot.traces] for chart in pilot.app.screen.query(Chart)]
        assert lines and all(names == ["11-23 01:53:58", "11-22 12:00:00"] for names in lines)
        await pilot.press("v")
        await settle(pilot, lambda: "train loss" in seen(pilot.app))
        if len(lines) == 1:
            await pilot.press("tab")
            await settle(pilot, lambda: "train accuracy" in seen(pilot.app))
        await pilot.press("y", "down", "pagedown", "escape")
        await settle(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("escape")
        assert not screen.marked


async def test_a_live_run_goes_on_in_the_comparison() -> None:
    done, live = make_run(), make_run("live-one", stamp="2026-11-24_000000")
    finish(done)
    log = train(live, upto=100)
    held = alive(live)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_list(pilot, "0.9780", "running")
        for run in (done, live):
            screen.rows.select(run.id)
            await pilot.press("space")
        await pilot.press("c")
        await settle(pilot, lambda: "100 steps" in seen(pilot.app))
        log.write(Scalars({"valid/loss": 0.0421}, step=150, epoch=1.5))
        await settle(pilot, lambda: "150 steps" in seen(pilot.app) and "0.0421" in seen(pilot.app))
    log.close()
    held.release()


async def test_a_run_gets_out_as_a_page_and_as_numbers_and_its_path_to_the_clipboard(
    home: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, *_ = three()
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 51000 10.0.0.1 22")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_list(pilot, "0.9700")
        await pilot.press("x")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ExportScreen) and "no picture is visible" in seen(pilot.app))
        await pilot.press("h")
        file = home / "exports" / f"{newest.id}.html"
        await settle(pilot, lambda: "is on the clipboard" in seen(pilot.app))
        assert "<svg" in file.read_text() and "scp " in seen(pilot.app)
        copied = base64.b64decode(said[-1].removeprefix("\x1b]52;c;").removesuffix("\a")).decode()
        assert copied.startswith("scp ") and copied.endswith(f"@10.0.0.1:{file} .")
        await pilot.press("c")
        table = home / "exports" / f"{newest.id}.csv"
        await settle(pilot, table.exists)
        with table.open() as opened:
            assert {row["tag"] for row in csv.DictReader(opened)} >= {"train/loss", "valid/loss", "test/accuracy"}
        await pilot.press("p")
        await settle(pilot, lambda: "No picture is visible" in seen(pilot.app))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, RunsScreen)


async def test_the_picture_and_the_text_shown_get_out_of_a_runs_screen(home: Path, said: list[str]) -> None:
    run = make_run()
    finish(run)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, "0.9780")
        screen.board.focused = "sample digits"
        screen.draw()
        await pilot.pause(0.1)
        await pilot.press("x", "p")
        await settle(pilot, lambda: "is on the clipboard" in seen(pilot.app))
        [picture] = (home / "exports").glob("*.png")
        assert picture.read_bytes() in [path.read_bytes() for path in (run.path / "artifacts").glob("*.png")]
        await pilot.press("p", "escape")
        assert len(list((home / "exports").glob("*.png"))) == 2  # none is overwritten
        screen.board.focused = "sample text"
        screen.draw()
        await pilot.pause(0.1)
        await pilot.press("x", "t")
        await settle(pilot, lambda: "characters are on the clipboard" in seen(pilot.app))
        assert base64.b64decode(said[-1][7:-1]).decode().startswith("The old manand the sea")


@pytest.mark.parametrize(("how", "bell", "notice"), [("bell", True, False), ("notice", True, True), ("off", False, False)])
async def test_a_run_that_ends_is_told_of_as_the_person_likes(said: list[str], how: str, bell: bool, notice: bool) -> None:
    preferences.put("notice", how)
    old, run = make_run(stamp="2026-11-22_000000"), make_run()
    finish(old)
    train(run, upto=100).close()
    held = alive(run)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: run in (pilot.app._endings._alive if pilot.app._endings else ()))
        held.release()
        ended(run, "failed", "memory", "The kernel ended it.")
        await settle(pilot, lambda: f"{run.id}: failed: out of memory" in told(pilot.app))
        assert old.id not in told(pilot.app)
        assert (["\a" in each for each in said] == [True]) == bell and any("\x1b]9;" in each for each in said) == notice


def test_only_what_ends_meanwhile_is_news() -> None:
    old, run = make_run(stamp="2026-11-22_000000"), make_run()
    finish(old)
    held = alive(run)
    look = ended_runs.Endings()
    assert look.look() == [] and look.look() == []
    held.release()
    ended(run, "stopped", "person")
    [(told_of, state)] = look.look()
    assert told_of == run and state.state == "stopped" and look.look() == []
    again = alive(run, attempt=2)
    assert look.look() == []
    again.release()
    trash.delete(run)
    assert look.look() == []


def test_the_path_reaches_a_real_terminal_as_osc_52_and_the_bell_rings_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    run, live = make_run(), make_run("live-one", stamp="2026-11-22_000000")
    finish(run)
    train(live, upto=100).close()
    held = alive(live)
    terminal = Screen()
    terminal.wait("Recipes")
    terminal.type("2")
    terminal.wait("0.9780")
    terminal.wait("running")
    terminal.type("x")
    terminal.wait("Export")
    terminal.type("s")
    terminal.wait("is on the clipboard")
    assert b"\x1b]52;c;" + base64.b64encode(str(run.path).encode()) + b"\x07" in terminal.bytes
    bells = terminal.bytes.count(b"\x07")
    for _ in range(30):  # until it has seen the run alive: it looks each 2 s
        terminal.read(0.1)
    held.release()
    ended(live, "stopped", "person")
    terminal.wait("live-one:")
    assert terminal.bytes.count(b"\x07") == bells + 1
    terminal.type("\x1b")
    terminal.wait_gone("Export")
    terminal.type("q")
    terminal.program.wait(timeout=20)


async def test_the_newest_run_is_read_before_the_list_of_runs_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    older, newest = make_run("older", stamp="2026-01-01_000000"), make_run("newest", stamp="2026-01-02_000000")
    finish(older)
    finish(newest)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        feeds = pilot.app.library._feeds
        await settle(pilot, lambda: newest.id in feeds and feeds[newest.id].history.step == 1000)
        assert older.id not in feeds
    monkeypatch.setattr(library, "AHEAD_BYTES", 100)
    shelf = library.Library()
    list(shelf.refresh())
    assert list(shelf.newest_ahead()) == [] and not shelf._feeds  # its log is too long


async def test_a_bar_passed_and_a_run_that_makes_no_step_ring_too(said: list[str]) -> None:
    run = make_run()
    train(run, upto=100).close()
    held = alive(run)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: run in (pilot.app._endings._alive if pilot.app._endings else ()))
        signals.give(signals.Signal(what="stall", run=run.id, recipe=run.stem, text=f"{run.id} no step for 5 min [/red]"))
        await settle(pilot, lambda: "no step for 5 min [/red]" in told(pilot.app))
        signals.give(signals.Signal(what="bar", run=run.id, recipe=run.stem, text=f"{run.id} passed its bar"))
        await settle(pilot, lambda: "passed its bar" in told(pilot.app))
        # The second one waits for the minute to be over.
        assert said == ["\a"]
    held.release()
