"""The list of data sets as a person uses it: fetch with progress from a real server, stop, verify, remove, and a look inside."""

import pytest
from download_server import CONTENT, Server, left, offer_from, server
from piloting import SIZES, seen, settle

from workbench import paths
from workbench.datasets.store import fetch
from workbench.tui.app import DlwbApp
from workbench.tui.charts.halfcell import Picture
from workbench.tui.screens.data import DataScreen
from workbench.tui.screens.help import HelpScreen
from workbench.tui.screens.look import LookScreen
from workbench.tui.screens.question import QuestionScreen

__all__ = ["server"]


def notices(pilot) -> str:
    """What stands in the corner."""
    return " ".join(str(note.message) for note in pilot.app._notifications)


async def open_data(pilot) -> DataScreen:
    await pilot.press("3")
    await settle(pilot, lambda: isinstance(pilot.app.screen, DataScreen) and bool(pilot.app.screen.rows.key))
    return pilot.app.screen


@pytest.mark.parametrize("size", SIZES)
async def test_sets_stand_with_variants_sizes_and_where_they_are(size, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    async with DlwbApp().run_test(size=size) as pilot:
        await open_data(pilot)
        text = seen(pilot.app)
        assert "✓ comes with scikit-learn" in text and "↓ to fetch, 12 MB" in text and "3 Data" in text
        assert "digits of 13 people" in text and "q quit" in text
        await pilot.press("slash", *"lfw", "enter")
        await settle(pilot, lambda: "LFW faces in 64 px" in seen(pilot.app))
        text = seen(pilot.app)
        assert "Stands in for CelebA" in text and "only in a mirror" in text and "mnist" not in text
        for key, reason in (("f", "Only a mirror has"), ("enter", "Only a mirror has"), ("delete", "Only a mirror has")):
            await pilot.press(key)
            await settle(pilot, lambda reason=reason: reason in notices(pilot))
            pilot.app.clear_notifications()
        await pilot.press("question_mark")
        await settle(pilot, lambda: isinstance(pilot.app.screen, HelpScreen) and "Compute the hashes of the files again" in seen(pilot.app))


async def test_a_recipe_that_uses_a_set_is_named() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_data(pilot)
        await pilot.press("slash", *"vgg19", "enter")
        await settle(pilot, lambda: "used by" in seen(pilot.app) and "Style transfer" in seen(pilot.app))
        assert "Style transfer, with SqueezeNet" not in seen(pilot.app)


async def test_fetch_goes_on_behind_other_screens_and_is_stopped_and_gone_on_with(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "slowly")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await open_data(pilot)
        assert "↓ to fetch, 1.0 MB" in seen(pilot.app)
        await pilot.press("f")
        await settle(pilot, lambda: " 29%" in seen(pilot.app))
        await pilot.press("1")
        await settle(pilot, lambda: "Handwritten digits" in seen(pilot.app))
        await pilot.press("3")
        await settle(pilot, lambda: " 29%" in seen(pilot.app))
        assert screen.jobs["made"].state == "running"
        await pilot.press("delete")
        await settle(pilot, lambda: "A job on this data set is running" in notices(pilot))
        await pilot.press("f")
        await settle(pilot, lambda: "stopping" in seen(pilot.app))
        server.patience.set()  # the server sends more, and it is let go
        await settle(pilot, lambda: "made: stopped; the downloaded part is kept." in " ".join(seen(pilot.app).split()))
        assert ".slowly.part" in left()
        await settle(pilot, lambda: "of 1.0 MB" in seen(pilot.app))
        offer_from(monkeypatch, server, "slowly")
        await pilot.press("f")
        await settle(pilot, lambda: "made is here." in seen(pilot.app))
        assert (paths.data() / "made" / "slowly").read_bytes() == CONTENT
        assert "✓ here" in seen(pilot.app)
        await pilot.press("f")
        await settle(pilot, lambda: "This data set is already here." in notices(pilot))


async def test_a_fetch_that_fails_says_why_in_the_pane(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "cut-off")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_data(pilot)
        await pilot.press("f")
        await settle(pilot, lambda: "✗ could not be fetched" in seen(pilot.app))
        assert "300,000 of its 1,024,000 bytes are already here" in " ".join(line[64:].strip() for line in seen(pilot.app).splitlines())


async def test_verify_and_remove(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    path = fetch.fetch("made")["it"]
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_data(pilot)
        await pilot.press("v")
        await settle(pilot, lambda: "made: its file is correct." in seen(pilot.app))
        path.write_bytes(CONTENT[::-1])
        await pilot.press("v")
        await settle(pilot, lambda: "✗ damaged" in seen(pilot.app) and "is not made it" in " ".join(seen(pilot.app).split()))
        await pilot.press("delete")
        await settle(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen))
        await pilot.press("n")
        assert path.exists()
        await pilot.press("delete")
        await settle(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen))
        await pilot.press("y")
        await settle(pilot, lambda: "↓ to fetch, 1.0 MB" in seen(pilot.app))
        assert not path.exists()
        await pilot.press("delete")
        await settle(pilot, lambda: "No file of it is downloaded." in notices(pilot))


@pytest.mark.parametrize("size", SIZES)
async def test_a_look_shows_classes_and_samples(size) -> None:
    async with DlwbApp().run_test(size=size) as pilot:
        await open_data(pilot)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, LookScreen))
        screen = pilot.app.screen
        await settle(pilot, lambda: not screen.reading, 60)
        text = seen(pilot.app)
        assert "1,078 to train" in text and "Sizes" in text and "reading" not in text
        await pilot.press("pagedown")
        await settle(pilot, lambda: "Classes" in seen(pilot.app))
        assert screen.query_one(Picture).size.height > 5
        await pilot.press("end", "pagedown", "escape")
        await settle(pilot, lambda: isinstance(pilot.app.screen, DataScreen))


async def test_a_look_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_data(pilot)
        pilot.app.push_screen(LookScreen("mnits", "Nothing"))
        await settle(pilot, lambda: "There is no data set 'mnits'." in seen(pilot.app), 60)


async def test_a_look_that_is_left_ends_its_process() -> None:
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await open_data(pilot)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, LookScreen) and pilot.app.screen._process is not None)
        process = pilot.app.screen._process
        await pilot.press("escape")
        await settle(pilot, lambda: process.poll() is not None)
