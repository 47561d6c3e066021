"""Sweeps: a metric over the values of a setting, a diverged run as a mark, what validation chooses, and what that reaches in the test."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lines import LINE, until, write
from made_runs import ended, make_run
from piloting import seen, settle
from test_cli import dlwb

from workbench import paths
from workbench.events import Scalars, Status
from workbench.launch import comparing
from workbench.problems import Problem
from workbench.recipes.find import find_recipe, shipped_and_own
from workbench.recipes.load import RecipeProblem, load_recipe, variants
from workbench.recipes.recipe import Recipe, Train, dump_recipe
from workbench.runs import bars, compare, lock, sweeps
from workbench.runs.comparisons import Comparison
from workbench.runs.export import formats
from workbench.runs.log import EventLog
from workbench.runs.state import state_of
from workbench.tui.app import DlwbApp
from workbench.tui.charts.chart import Chart
from workbench.tui.screens.comparison import ComparisonScreen

SWEEPS = sorted(
    path.stem for path in shipped_and_own() if (recipe := load_recipe(path, describe=False).recipe).compare and recipe.compare.sweep
)
RATES = {"rate-0.01": 0.01, "rate-0.1": 0.1, "rate-0.001": 0.001, "rate-1": 1.0}
Figures = tuple[float, float] | str
"""A run's validation and test figure, or the cause of its failure."""


def base(**config: Any) -> Recipe:
    return Recipe(title="x", project="image_classifier", config={"data": "digits", **config})


def made(
    figures: dict[str, list[Figures]], recipes: dict[str, Recipe], sweep: str, metric: str = "loss", epochs: float = 1.0
) -> Comparison:
    """A comparison of ended runs."""
    path = paths.comparisons() / "digits-mlp_2026-11-23_015358"
    parts, seeds = [], list(range(1, 1 + max(map(len, figures.values()))))
    for place, (name, values) in enumerate(figures.items()):
        (path / "variants" / f"{place:02}").mkdir(parents=True)
        (path / "variants" / f"{place:02}" / "digits-mlp.yaml").write_text(dump_recipe(recipes[name]))
        for seed, value in zip(seeds, values, strict=False):
            run = make_run(f"{name}-{seed}", recipes[name])
            log = EventLog(run.path)
            log.write(Status(state="running", attempt=1, steps=10))
            if isinstance(value, tuple):
                log.write(Scalars({f"valid/{metric}": value[0]}, step=10, epoch=epochs))
                log.write(Scalars({f"test/{metric}": value[1]}, step=10, epoch=epochs))
            log.close()
            ended(run, "failed" if isinstance(value, str) else "finished", value if isinstance(value, str) else "steps")
            parts.append({"variant": name, "seed": seed, "run": run.id})
    plan = {"recipe": "x", "title": "Rates", "metric": f"valid/{metric}", "variants": list(figures), "seeds": seeds, "sweep": sweep}
    (path / "recipe.yaml").write_text(dump_recipe(next(iter(recipes.values()))))
    (path / "comparison.json").write_text(json.dumps(plan))
    (path / "runs.json").write_text(json.dumps({"parts": parts}))
    return Comparison(path)


def rates(last: list[Figures] | None = None) -> Comparison:
    """0.1 is best on the validation part, though 0.01 is better in the test."""
    figures: dict[str, list[Figures]] = {
        "rate-0.01": [(0.30, 0.20), (0.34, 0.24), (0.32, 0.22)],
        "rate-0.1": [(0.28, 0.40), (0.33, 0.44), (0.30, 0.42)],
        "rate-0.001": [(1.0, 1.0), (1.2, 1.2), (1.1, 1.1)],
        "rate-1": last or ["not-finite", (9.0, 9.0), "not-finite"],
    }
    return made(figures, {name: base(learning_rate=rate) for name, rate in RATES.items()}, "config.learning_rate")


# -- the shipped ones ------------------------------------------------------------------------------------------------------------------


def test_all_eight_are_there() -> None:
    names = ("learning-rate", "batch-size", "hidden-units", "layers", "epochs", "cells", "embedding", "rnn-depth")
    assert sorted(f"sweep-{name}" for name in names) == SWEEPS


@pytest.mark.parametrize("stem", SWEEPS)
def test_a_sweep_changes_one_setting_and_is_judged_on_the_validation_part_over_equal_seeds(stem: str) -> None:
    """The cheats: one seed, other data or another length for the setting that one would like to win, and the test part to choose by."""
    loaded = load_recipe(find_recipe(stem))
    plan, chosen = loaded.recipe.compare, variants(loaded)
    assert plan and plan.seeds >= 3 and plan.metric.startswith("valid/") and bars.has_direction(loaded.recipe, plan.metric)
    section, _, name = plan.sweep.partition(".")
    others = {}
    for variant, one in chosen.items():
        settings = {"config": dict(one.recipe.config), "train": msgspec.to_builtins(one.recipe.train)}
        value = settings[section].pop(name)
        if variant != "early-stopping":
            others[variant] = (value, settings)
    values, rest = zip(*others.values(), strict=True)
    assert all(settings == rest[0] for settings in rest) and len({str(value) for value in values}) == len(values) >= 3
    assert {one.recipe.config["data"] for one in chosen.values()} == {loaded.recipe.config["data"]}
    assert not compare.unfair({name: chosen[name].recipe for name in others}, but=plan.sweep)


def test_the_values_are_those_that_the_course_names() -> None:
    def swept(stem: str) -> list[Any]:
        loaded = load_recipe(find_recipe(stem))
        assert loaded.recipe.compare
        section, _, name = loaded.recipe.compare.sweep.partition(".")
        recipes = [one.recipe for label, one in variants(loaded).items() if label != "early-stopping"]
        return sorted((recipe.config[name] if section == "config" else getattr(recipe.train, name) for recipe in recipes), key=str)

    assert sorted(swept("sweep-learning-rate")) == [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]
    assert sorted(swept("sweep-batch-size")) == [1, 32, 64, 128, 256, 1078]
    assert sorted(swept("sweep-hidden-units")) == [[2**power] for power in range(1, 11)]
    assert sorted(map(len, swept("sweep-layers"))) == [1, 2, 3, 4]
    assert swept("sweep-cells") == ["gru", "lstm", "rnn"] and sorted(swept("sweep-embedding")) == [16, 50, 100, 200]
    assert next(iter(variants(load_recipe(find_recipe("sweep-learning-rate"))))) == "rate-0.01", (
        "the course's start is the one that is marked"
    )


# -- over the values -------------------------------------------------------------------------------------------------------------------


def test_a_sweep_has_mean_and_range_by_rising_value_and_a_diverged_run_is_marked() -> None:
    comparison = rates()
    table = compare.arms(comparison)
    sweep = sweeps.sweep_of(comparison, table)
    assert sweep and [(place.variant, place.x) for place in sweep.places] == sorted(RATES.items(), key=lambda pair: pair[1])
    assert sweep.logarithmic and sweep.words == "log10 of learning_rate" and sweep.base == "rate-0.01" and not sweep.others
    by_name = {place.variant: place for place in sweep.places}
    assert sweep.across(by_name["rate-0.001"].x) == pytest.approx(-3)
    first = by_name["rate-0.01"]
    assert (first.mean, first.low, first.high) == (pytest.approx(0.32), 0.30, 0.34)
    lost = by_name["rate-1"]
    assert (lost.mean, lost.low, lost.high) == (math.inf, 9.0, 9.0), "a diverged run leaves no gap, and no mean of the others"
    arm = table.rows[-1]
    assert list(arm.diverged) == [1, 3] and arm.values == {2: 9.0} and arm.verdict == "diverged, 2 of 3 seeds"
    assert not [remark for remark in table.remarks if "failed" in remark]
    assert comparison.standing().state.state == "finished" and "10 of 12 runs finished, 2 diverged" in comparison.standing().state.message
    everything = rates_again(["not-finite"] * 3)
    cells = list(compare.cells(compare.arms(everything)))[-1]
    assert cells[1:3] == ["0/3", "diverged"] and cells[-1] == "diverged, 3 of 3 seeds"


def rates_again(last: list[Figures]) -> Comparison:
    import shutil

    shutil.rmtree(paths.comparisons())
    shutil.rmtree(paths.runs())
    return rates(last)


def test_any_other_failure_is_no_result() -> None:
    comparison = rates([(9.0, 9.0), "memory", (9.0, 9.0)])
    state = comparison.standing().state
    assert state.state == "failed" and "1 failed" in state.message and "diverged" not in state.message
    assert any("rate-1, seed 2 failed" in remark for remark in compare.arms(comparison).remarks)


@pytest.mark.parametrize(
    ("values", "numbers", "meaning"),
    [
        ([0.1, 1, 2], [0.1, 1.0, 2.0], ""),
        ([[2], [64]], [2.0, 64.0], ""),
        ([[64], [64, 64], []], [1.0, 2.0, 0.0], ", how many"),
        (["gru", "rnn", "gru"], [1.0, 2.0, 1.0], ": 1 gru, 2 rnn"),
        ([True, False], [1.0, 2.0], ": 1 True, 2 False"),
    ],
)
def test_values_of_every_kind_have_a_place(values: list[Any], numbers: list[float], meaning: str) -> None:
    assert sweeps.numbers(values) == (numbers, meaning)


def test_early_stopping_stands_where_it_stopped_and_not_on_the_line() -> None:
    recipes = {f"epochs-{epochs}": msgspec.structs.replace(base(), train=Train(epochs=epochs)) for epochs in (10, 20)}
    recipes["early"] = msgspec.structs.replace(base(), train=Train(epochs=320, keep_best="valid/loss", patience=5))
    figures: dict[str, list[Figures]] = {name: [(0.5, 0.5), (0.6, 0.6)] for name in recipes}
    comparison = made(figures, recipes, "train.epochs", epochs=14.0)
    table = compare.arms(comparison)
    sweep = sweeps.sweep_of(comparison, table)
    assert sweep and [place.x for place in sweep.places] == [10, 20] and not sweep.logarithmic and sweep.words == "epochs"
    assert [(place.variant, place.x) for place in sweep.others] == [("early", 14.0)]
    assert len(table.remarks) == 1 and table.remarks[0].startswith("early is trained otherwise than epochs-10: train.patience 5, not 0;")


# -- what is chosen --------------------------------------------------------------------------------------------------------------------


def test_it_is_chosen_on_the_validation_part_and_only_then_is_its_test_figure_looked_at() -> None:
    """The cheats: the best validation figure as the result, and the best test figure."""
    comparison = rates()
    table = compare.arms(comparison)
    chosen = sweeps.choice(comparison, table)
    assert chosen and (chosen.best.name, chosen.second.name, chosen.missing) == ("rate-0.1", "rate-0.01", True)
    assert chosen.tested == "test/loss" and chosen.result and chosen.result.mean == pytest.approx(0.42)
    assert chosen.overlap is True and chosen.difference and chosen.difference.mean == pytest.approx(-0.05 / 3)
    first, second = sweeps.words(chosen)
    assert (
        first.startswith("best of those that are complete by valid loss: rate-0.1, 0.3033 (")
        and "overlap; paired by seed the best is better." in first
    )
    assert second.startswith("what rate-0.1 reaches: test loss 0.4200 (")
    told = json.loads(dlwb("compare", comparison.id, "--json").stdout)
    assert told["choice"]["best"] == "rate-0.1" and list(told["choice"]["tested"]) == ["test/loss"]
    assert told["variants"]["rate-1"]["diverged"] == [1, 3] and told["sweep"]["values"]["rate-0.1"] == 0.1
    printed = dlwb("compare", comparison.id).stdout
    # The test figures of what was not chosen, 0.22 and 1.1, stand nowhere.
    assert first in printed and second in printed and "0.2200" not in printed and "0.2200" not in json.dumps(told)


def test_intervals_that_part_and_one_seed_that_tells_nothing() -> None:
    figures: dict[str, list[Figures]] = {"a": [(0.5, 0.5), (0.51, 0.5), (0.49, 0.5)], "b": [(0.9, 0.1), (0.92, 0.1), (0.91, 0.1)]}
    comparison = made(figures, {"a": base(dropout=0.1), "b": base(dropout=0.5)}, "config.dropout")
    chosen = sweeps.choice(comparison, compare.arms(comparison))
    assert (
        chosen
        and chosen.overlap is False
        and not chosen.missing
        and "do not overlap; paired by seed the best is better" in sweeps.words(chosen)[0]
    )


def test_one_seed_cannot_tell() -> None:
    figures: dict[str, list[Figures]] = {"a": [(0.5, 0.5)], "b": [(0.9, 0.1)]}
    comparison = made(figures, {"a": base(dropout=0.1), "b": base(dropout=0.5)}, "config.dropout", metric="accuracy")
    chosen = sweeps.choice(comparison, compare.arms(comparison))
    assert (
        chosen and chosen.best.name == "b" and chosen.overlap is None and "one seed each cannot tell them apart" in sweeps.words(chosen)[0]
    )
    plan = json.loads((comparison.path / "comparison.json").read_text())
    for metric in ("test/accuracy", "valid/slope"):
        (comparison.path / "comparison.json").write_text(json.dumps({**plan, "metric": metric}))
        assert sweeps.choice(comparison, compare.arms(comparison)) is None, "nothing is chosen on the test, or without a direction"


# -- the recipe, the process, the screen, the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sweep", "sentence"),
    [
        ("config.dropout", "compare.sweep: no variant changes config.dropout"),
        ("dropout", "compare.sweep: cannot be 'dropout'; expected: setting that the variants change, as config.learning_rate"),
        ("3", "compare.sweep: "),
    ],
)
def test_a_sweep_names_a_setting_that_a_variant_changes(sweep: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    variants = "{a: {}, b: {config.learning_rate: 0.1}}"
    file.write_text(f"title: X\nproject: image_classifier\nconfig: {{data: digits}}\ncompare:\n  variants: {variants}\n  sweep: {sweep}\n")
    with pytest.raises(RecipeProblem) as raised:
        load_recipe(file)
    assert len(raised.value.problems) == 1 and raised.value.problems[0].partition(" ")[2].startswith(sentence), raised.value.problems


@pytest.mark.usefixtures("nothing_is_left")
def test_a_real_run_that_diverges_is_a_result_and_is_not_trained_again(tmp_path: Path) -> None:
    file = write(tmp_path / "project", "{}", "{epochs: 5, batch_size: 10, log_every: 7}", LINE)
    variants = "{a: {}, b: {config.learning_rate: 1.0e+200}}"
    compared = f"compare:\n  seeds: 1\n  metric: valid/loss\n  sweep: config.learning_rate\n  variants: {variants}\n"
    file.write_text(file.read_text() + compared)
    comparison = comparing.start(load_recipe(file))
    until(lambda: not lock.is_held(comparison.lock), 120)
    state = comparison.standing().state
    assert (state.state, state.message) == ("finished", "1 of 2 runs finished, 1 diverged")
    lost = comparison.parts()[1].place
    assert lost and state_of(lost).cause == "not-finite"
    sweep = sweeps.sweep_of(comparison, compare.arms(comparison))
    assert sweep and [place.x for place in sweep.places] == [0.05, 1e200] and sweep.places[1].mean == math.inf
    with pytest.raises(Problem, match=r"All runs of .* have finished"):
        comparing.begin(comparison)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_screen_begins_with_the_metric_over_the_values(size: tuple[int, int]) -> None:
    comparison = rates()
    async with DlwbApp().run_test(size=size) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "10/12 runs" in seen(pilot.app))
        await pilot.press("home", "enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "diverged, 2 of 3 seeds" in seen(pilot.app))
        screen = pilot.app.screen
        assert screen.comparison == comparison
        chart = screen.query(Chart).first()
        traces = {(trace.name, trace.faint): trace for trace in chart._plot.traces}
        assert list(traces) == [("low", True), ("high", True), ("mean and range", False)]
        mean = traces["mean and range", False].pyramid
        assert mean is not None and mean.x.tolist() == pytest.approx([-3, -2, -1, 0]) and mean.y[-1] == math.inf
        assert [moment.label for moment in chart._plot.moments] == ["rate-0.01"]
        text = seen(pilot.app)
        assert "valid loss over log10 of learning_rate" in text and "×" in text, text
        screen.query_one("#table").scroll_by(8)
        await settle(pilot, lambda: "what rate-0.1 reaches" in seen(pilot.app) or "best of those" in seen(pilot.app))


async def test_the_curves_stand_over_steps_epochs_or_seconds(home: Path) -> None:
    file = write(home / "recipes", "{}", "{epochs: 4, batch_size: 10, log_every: 5, evaluate_every: 20}", LINE)
    file.write_text(file.read_text() + "compare:\n  seeds: 1\n  variants: {ten: {}, twenty: {train.batch_size: 20}}\n")
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        comparison = comparing.start(load_recipe(file))
        until(lambda: not lock.is_held(comparison.lock), 120)
        pilot.app.push_screen(ComparisonScreen(comparison))
        await settle(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen) and "2 of 2 runs" in seen(pilot.app))
        screen = pilot.app.screen
        await settle(pilot, lambda: screen.sides and all(len(side.history.series) for side in screen.sides))

        def ends() -> list[float]:
            return [float(trace.pyramid.x[-1]) for trace in screen.query(Chart).first()._plot.traces if trace.faint and trace.pyramid]

        await settle(pilot, lambda: ends() == [80.0, 40.0])
        await pilot.press("a")
        await settle(pilot, lambda: "by epoch" in seen(pilot.app) and ends() == [4.0, 4.0])
        await pilot.press("a")
        await settle(pilot, lambda: "by second" in seen(pilot.app))
        trained = [side.summary.seconds - side.summary.ready for side in screen.sides]
        assert ends() == pytest.approx(trained, rel=1e-6)
        await pilot.press("a")
        await settle(pilot, lambda: ends() == [80.0, 40.0])


def test_the_page_has_the_chart_and_the_choice(tmp_path: Path) -> None:
    formats.export(rates(), "html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert (
        "valid loss over log10 of learning_rate" in page
        and "what rate-0.1 reaches: test loss 0.4200" in page
        and "diverged, 2 of 3 seeds" in page
    )
