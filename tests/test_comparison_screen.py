"""A comparison on screen: Enter starts it, its curves and its table stand in one place, and the list of runs leads there."""

from pathlib import Path

import numpy as np
import pytest
from lines import LINE, until, write
from piloting import seen, settle, walk_to
from test_compare_table import made

from workbench import paths
from workbench.launch.comparing import Outlook, outlook
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Recipe
from workbench.runs import trash
from workbench.runs.compare import mean_line
from workbench.runs.comparisons import list_comparisons
from workbench.runs.history import Series
from workbench.runs.run import list_runs
from workbench.tui.app import DlwbApp
from workbench.tui.charts.chart import Chart
from workbench.tui.charts.plot import FAINT, SERIES
from workbench.tui.screens.comparison import ComparisonScreen
from workbench.tui.screens.export import ExportScreen
from workbench.tui.screens.finder import Finder
from workbench.tui.screens.question import QuestionScreen, compare_question
from workbench.tui.screens.runs import RunsScreen

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def told(app: DlwbApp) -> str:
    return " ".join(notice.message for notice in app._notifications)


def series(steps: list[float], values: list[float]) -> Series:
    one = Series()
    for step, value in zip(steps, values, strict=True):
        one.steps.append(step)
        one.values.append(value)
        one.epochs.append(0.0)
    return one


def test_the_mean_line_is_that_of_its_runs_where_all_have_values() -> None:
    # The second one is at 3 and 5 in between, and ends at step 40.
    steps, values = mean_line([series([10, 20, 30, 50], [1.0, 1.0, 1.0, 9.0]), series([0, 40], [2.0, 6.0]), series([], [])])
    assert steps == [10, 20, 30] and values == pytest.approx([2.0, 2.5, 3.0])
    assert mean_line([series([], [])]) == ([], [])


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_enter_starts_it_and_the_list_of_runs_leads_to_it(size: tuple[int, int], home: Path) -> None:
    train = "{epochs: 10, batch_size: 10, log_every: 5, evaluate_every: 20}"
    file = write(home / "recipes", "{}", train, LINE)
    variants = "compare:\n  seeds: 1\n  variants: {none: {}, twin: {}, slow: {config.learning_rate: 0.001}}\n"
    file.write_text(file.read_text() + variants)
    async with DlwbApp().run_test(size=size) as pilot:
        await settle(pilot, lambda: pilot.app.screen.rows.key)
        await walk_to(pilot, "line.yaml", "up")
        await settle(pilot, lambda: size[0] < 100 or "none, twin, slow; 1 seed each" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen))
        screen = pilot.app.screen
        await settle(pilot, lambda: "3 of 3 runs" in seen(pilot.app) and "1/1" in seen(pilot.app))
        await settle(pilot, lambda: "✓ finished" in seen(pilot.app).splitlines()[0])
        text = seen(pilot.app)
        assert "no difference" in text and all(name in text for name in ("none", "twin", "slow")), text
        chart = screen.query(Chart).first()
        traces = [(trace.name, trace.faint) for trace in chart._plot.traces]
        assert traces == [(name, faint) for faint in (True, False) for name in ("none", "twin", "slow")]
        keys = set(np.unique(chart.draw(*chart.size).keys).tolist())
        assert keys & set(range(FAINT, FAINT + 3)) or keys >= {SERIES, SERIES + 2}
        await pilot.press("s")
        assert "nothing to stop" in told(pilot.app)
        await pilot.press("v", "y", "tab", "escape", "2")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunsScreen) and "3/3 runs" in seen(pilot.app))
        listed = pilot.app.screen
        assert [row.key for row in listed.rows._rows][1:] == [list_comparisons()[0].id, *(run.id for run in list_runs())]
        assert listed.compared and "3 of 3 runs finished" in seen(pilot.app)
        for key in ("space", "t"):
            await pilot.press(key)
        assert "its runs stand below it" in told(pilot.app) and not listed.marked
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen))


async def test_it_is_stopped_and_resumed_from_the_screen(home: Path) -> None:
    file = write(home / "recipes", "{sleep: 0.01}", "{epochs: 10, batch_size: 10, log_every: 5}")
    file.write_text(file.read_text() + "compare:\n  seeds: 1\n  variants: {none: {}, twin: {}}\n")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: pilot.app.screen.rows.key)
        await walk_to(pilot, "line.yaml", "up")
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "now none, seed 1" in seen(pilot.app))
        [comparison] = list_comparisons()
        await settle(pilot, lambda: len(comparison.parts()) == 2 and any(feed.history.step > 2 for feed in pilot.app.screen.feeds))
        await pilot.press("r")
        assert "already running" in told(pilot.app)
        await pilot.press("s")
        await settle(pilot, lambda: "■ stopped" in seen(pilot.app) and "r trains what is missing" in seen(pilot.app))
        await pilot.press("r")
        await settle(pilot, lambda: "2 of 2 runs finished" in seen(pilot.app))
        assert len(list_runs()) == 2


async def test_what_failed_stands_below_the_table_and_a_hostile_name_does_nothing() -> None:
    recipe = Recipe(title="\x1b[31mred[/]", project="image_classifier")
    made({"none": [0.7, 0.8, 0.9], "other": [0.71, "failed", 0.91]}, {"none": recipe, "other": recipe})
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "5/6 runs" in seen(pilot.app))
        await pilot.press("home", "enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "other, seed 2 failed" in seen(pilot.app))
        text = seen(pilot.app)
        assert "✗ failed" in text and "2/3" in text and "\x1b" not in text
        assert "better, 2 of 3 seeds" in text


async def test_it_is_deleted_with_its_runs_and_comes_back_with_them() -> None:
    comparison = made({"none": [0.7, 0.8], "other": [0.71, "failed"]})
    ids = {run.id for run in list_runs()}
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "3/4 runs" in seen(pilot.app))
        screen = pilot.app.screen
        await pilot.press("home", "d")
        await settle(pilot, lambda: "4 runs moved to the trash; u restores them" in told(pilot.app) and not list_runs())
        await settle(pilot, lambda: not screen.library.comparisons and "No runs yet" in seen(pilot.app))
        assert {run.id for run in trash.deleted()} == ids and comparison.path.exists()
        await pilot.press("u")
        await settle(pilot, lambda: "3/4 runs" in seen(pilot.app) and len(screen.library.entries) == 4)
        assert {run.id for run in list_runs()} == ids and list_comparisons() == [comparison]
        # With marks the key means the marked runs, as elsewhere, though the cursor is on the comparison.
        await pilot.press("end", "space", "home", "d")
        await settle(pilot, lambda: len(list_runs()) == 3)
        await settle(pilot, lambda: screen.compared == comparison)


async def test_it_gets_out_as_a_page_and_its_table_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = made({"none": [0.7, 0.8, 0.9], "other": [0.71, 0.81, 0.91]})
    copied: list[str] = []
    monkeypatch.setattr(DlwbApp, "copy", lambda self, text: copied.append(text))
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "6/6 runs" in seen(pilot.app))
        await pilot.press("home", "x")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ExportScreen) and comparison.id in seen(pilot.app))
        await pilot.press("h")
        page = paths.home() / "exports" / f"{comparison.id}.html"
        await settle(pilot, lambda: page.exists() and page.name in seen(pilot.app))
        assert "95 % interval" in page.read_text() and copied[0].endswith(page.name)
        await pilot.press("p")
        assert "Its runs are exported one by one." in seen(pilot.app)
        for key, name, words in (
            ("c", "csv", "none,3/3,0.8000"),
            ("l", "tex", r"none & 3/3 & 0.8000"),
            ("m", "md", "| none | 3/3 | 0.8000"),
        ):
            await pilot.press(key)
            assert words in (paths.home() / "exports" / f"{comparison.id}.{name}").read_text()
        await pilot.press("s")
        assert copied[-1].endswith(str(comparison.path))
        await pilot.press("t")
        assert "No text is visible: open it first." in seen(pilot.app)
        await pilot.press("escape", "enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "3/3" in seen(pilot.app))
        await pilot.press("x", "t")
        # Wider than the screen: no column is left out.
        assert copied[-1].splitlines()[0].startswith("test accuracy") and "+0.0100 (0.0100 to 0.0100)" in copied[-1], copied


async def test_the_finder_leads_to_it() -> None:
    comparison = made({"none": [0.7], "other": [0.71]})
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "2/2 runs" in seen(pilot.app))
        await pilot.press("ctrl+p")
        await settle(pilot, lambda: isinstance(pilot.app.screen, Finder))
        await pilot.press(*"parison", "colon", "space", *"digits")
        await settle(pilot, lambda: comparison.id in seen(pilot.app) and "Recipe:" not in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: not isinstance(pilot.app.screen, Finder))
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "1/1" in seen(pilot.app))


async def test_many_runs_start_only_after_a_question(home: Path) -> None:
    file = write(home / "recipes", "{}", "{epochs: 2, batch_size: 10, log_every: 5}")
    file.write_text(file.read_text() + "compare:\n  seeds: 2\n  variants: {none: {}, twin: {}, third: {}}\n")
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: pilot.app.screen.rows.key)
        await walk_to(pilot, "line.yaml", "up")
        for answer in ("n", "y"):
            await pilot.press("enter")
            await settle(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen) and "Start 6 runs?" in seen(pilot.app))
            text = seen(pilot.app)
            assert "3 variants with 2 seeds each." in text and "not known" in text, text
            assert not list_comparisons()
            await pilot.press(answer)
            await settle(pilot, lambda: not isinstance(pilot.app.screen, QuestionScreen))
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "6 of 6 runs finished" in seen(pilot.app))
        until(lambda: not any(run for run in list_runs() if not run.events.exists()))
    # Now its time is known: six times that of one of its runs.
    known = outlook(load_recipe(file))
    assert known.runs == 6 and known.seconds is not None and 0 < known.seconds < 600


def test_few_or_short_runs_need_no_question() -> None:
    assert compare_question(Outlook(5, 1)) is None and compare_question(Outlook(2, 2, 600.0)) is None
    assert compare_question(Outlook(2, 3)) and compare_question(Outlook(2, 1, 601.0))
