"""Several seeds of one recipe: a comparison of one variant, from the shell and from the form, drawn as one curve with a band."""

from pathlib import Path

import pytest
from lines import LINE, until, write
from piloting import seen, settle
from test_cli import dlwb

from workbench.launch import comparing
from workbench.problems import Problem
from workbench.recipes.load import load_recipe
from workbench.runs import lock
from workbench.runs.comparisons import list_comparisons
from workbench.runs.run import list_runs
from workbench.tui.app import DlwbApp
from workbench.tui.charts.chart import Chart
from workbench.tui.charts.plot import TINTS
from workbench.tui.screens.comparison import ComparisonScreen

pytestmark = pytest.mark.usefixtures("nothing_is_left")
TRAIN = "{epochs: 4, batch_size: 10, log_every: 5, evaluate_every: 10}"


def test_the_shell_trains_one_recipe_with_several_seeds_and_shows_mean_and_spread(home: Path) -> None:
    file = write(home / "recipes", "{}", TRAIN, LINE)
    done = dlwb("run", str(file), "--seeds", "2", "--set", "seed=7", "--follow")
    assert done.returncode == 0, done.stderr
    [comparison] = list_comparisons()
    assert done.stdout.splitlines()[0] == comparison.id
    assert comparison.plan().variants == ["line"] and comparison.plan().seeds == [7, 8]
    assert sorted(run.recipe().seed for run in list_runs()) == [7, 8]
    assert {run.recipe().title for run in list_runs()} == {load_recipe(file).recipe.title}
    heads = done.stdout.splitlines()[1]
    assert "each difference" not in heads and "2/2" in done.stdout
    table = dlwb("compare", comparison.id, "--to", "markdown")
    assert table.returncode == 0 and "| line | 2/2 |" in table.stdout


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seeds cannot be compared. Give 2 to 20."), (21, "21 seeds"), (-3, "-3 seeds")])
def test_numbers_of_seeds_that_make_no_comparison_are_refused(seeds: int, words: str, home: Path) -> None:
    loaded = load_recipe(write(home / "recipes", "{}", TRAIN, LINE))
    with pytest.raises(Problem) as refused:
        comparing.with_seeds(loaded, seeds)
    assert words in str(refused.value) and not list_comparisons()


def test_a_lesson_without_training_has_no_seeds_and_a_comparison_takes_them_for_each_variant(home: Path) -> None:
    file = write(home / "recipes", "{}", TRAIN, LINE)
    file.write_text(file.read_text() + "compare:\n  variants: {a: {}, b: {config.learning_rate: 0.01}}\n")
    compare = comparing.with_seeds(load_recipe(file), 4).recipe.compare
    assert compare and compare.seeds == 4 and list(compare.variants) == ["a", "b"]
    explored = write(home / "explored", "{}", "{}", LINE.replace("def train_step", "def no_step"))
    explored.write_text("title: X\nproject: ./line.py\n")
    with pytest.raises(Problem, match="there is nothing to train"):
        comparing.with_seeds(load_recipe(explored), 3)


async def test_the_form_starts_them_and_the_screen_shows_one_curve_with_a_band(home: Path) -> None:
    file = write(home / "recipes", "{}", TRAIN, LINE)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: pilot.app.screen.rows.key)
        pilot.app.open_form(load_recipe(file))
        await settle(pilot, lambda: "Start" in seen(pilot.app))
        await pilot.press("S")
        await settle(pilot, lambda: "Several seeds" in seen(pilot.app))
        await pilot.press("backspace", "2", "enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "2/2" in seen(pilot.app))
        [comparison] = list_comparisons()
        until(lambda: not lock.is_held(comparison.lock), 60)
        screen = pilot.app.screen
        await settle(pilot, lambda: "✓ finished" in seen(pilot.app).splitlines()[0] and all(feed.caught_up for feed in screen.feeds))
        await pilot.press("v")
        chart = screen.query(Chart).first()
        await settle(pilot, lambda: [(trace.faint, trace.band is not None) for trace in chart._plot.traces] == [(False, True)])
        assert (chart.draw(*chart.size).keys >> TINTS[0]).any(), "the band is visible"
        assert "difference" not in seen(pilot.app)
        await pilot.press("g")
        assert [trace.faint for trace in chart._plot.traces] == [True, True, False], "single runs behind their mean"
        await pilot.press("n")
        assert "⏎ opens it" in seen(pilot.app)
        await pilot.press("enter")
        await settle(pilot, lambda: getattr(pilot.app.screen, "feed", None) is not None)
        assert pilot.app.screen.feed.run in list_runs()
