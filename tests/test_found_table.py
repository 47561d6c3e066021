"""What was found, used and left out is shown: on a run's screen, by `dlwb logs --events`, on the page, in the preview of a set."""

import pytest
from made_runs import finish, make_run
from piloting import open_run, seen, settle

from workbench import preparation
from workbench.cli.follow import described
from workbench.events import Table, placed
from workbench.runs.export import formats
from workbench.runs.log import EventLog
from workbench.runs.run import Run
from workbench.tui.app import DlwbApp
from workbench.tui.screens.look import FOUND, LookScreen

LEFT = "in no class's folder: a[/]b.png, 2.png and 17 more, which is a long text that needs more than one line of a narrow screen"


def table() -> Table:
    with preparation.listening() as told:
        preparation.found("pictures beside the class folders", "19 pictures", "", LEFT)
        preparation.found("class folders", "120 pictures of 2 classes", "74 to train, 24 held out for validation, 22 held out for the test")
        preparation.found(preparation.UNUSABLE, "", "", "a/\x1b[31mnotes.txt is neither a PNG nor a JPEG picture")
    found = told.table()
    assert found
    return found


def run_with_table() -> Run:
    run = make_run()
    log = EventLog(run.path)
    log.write(placed(table(), 0, 0.0))
    log.close()
    finish(run)
    return run


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_table_stands_in_a_tab_of_its_own_behind_all_others(size: tuple[int, int]) -> None:
    run_with_table()
    async with DlwbApp().run_test(size=size) as pilot:
        screen = await open_run(pilot, "finished")
        tabs = [name for name in screen.board.ring if name != "figures"]
        assert tabs[-4:] == ["console", "recipe", "source", "sample data"]
        assert "class folders" not in seen(pilot.app), "charts and samples come first"
        while screen.board.focused != "sample data":
            await pilot.press("tab")
        await pilot.press("enter")
        await settle(pilot, lambda: "✓ 74 to train, 24 held out for validation" in seen(pilot.app))
        text = " ".join(seen(pilot.app).split())
        assert "✗ in no class's folder: a[/]b.png" in text and "of a narrow screen" in text and "a/notes.txt is neither" in text


def test_followers_read_a_line_for_each_row() -> None:
    text = described(placed(table(), 0, 0.0))
    assert text.splitlines()[1:] == [
        f"  pictures beside the class folders: 19 pictures; left out: {LEFT}",
        "  class folders: 120 pictures of 2 classes; used: 74 to train, 24 held out for validation, 22 held out for the test",
        "  cannot be used: a/notes.txt is neither a PNG nor a JPEG picture",
    ]


def test_the_page_has_it() -> None:
    run = run_with_table()
    page = formats.save(run, "html", run.path / "page.html").read_text()
    assert "74 to train, 24 held out for validation" in page and "a/notes.txt is neither" in page and "\x1b" not in page


async def test_a_preview_shows_it_first_and_how_far_the_reading_is() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: bool(seen(pilot.app)))
        screen = LookScreen("digits", "Digits")
        pilot.app.push_screen(screen)
        await settle(pilot, lambda: screen.is_mounted)
        screen._take(b'{"ok": true, "doing": "reading pictures: 40 %"}\n')
        await settle(pilot, lambda: "reading pictures: 40 %" in seen(pilot.app))
        await settle(pilot, lambda: not screen.reading, 60)
        text = seen(pilot.app)
        assert text.index(FOUND) < text.index("✓ 1,078 to train") < text.index("Sizes")
