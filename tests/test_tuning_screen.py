"""The screen of a tuning: Enter starts one, its panels say what its trials have found, and the winner becomes a recipe of one's own."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from lines import LINE, write
from made_runs import alive, make_run
from made_tuning import BATCH, MORE, RATE, SPACE, made_tuning
from piloting import seen, settle, walk_to

from workbench import paths
from workbench.problems import Problem
from workbench.recipes import copy_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Dimension
from workbench.runs import lock, signals, tunings
from workbench.runs.run import list_runs
from workbench.runs.tunings import Asked, Ended, Started, Trial, Tuning, list_tunings
from workbench.tui.app import DlwbApp
from workbench.tui.charts import parallel
from workbench.tui.charts.chart import Chart
from workbench.tui.charts.matrix import MatrixView
from workbench.tui.charts.parallel import Axis, Way
from workbench.tui.charts.plot import FAINT, SERIES
from workbench.tui.models import trials
from workbench.tui.panels import trial_rows, tuning_charts
from workbench.tui.panels.run_rows import FOLD
from workbench.tui.screens.export import ExportScreen
from workbench.tui.screens.name import NameScreen
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.runs import RunsScreen
from workbench.tui.screens.tuning import TuningScreen

pytestmark = pytest.mark.usefixtures("nothing_is_left")

TUNE = """
tune:
  metric: valid/loss
  goal: minimize
  trials: 3
  seeds: 1
  sampler: random
  space:
    config.learning_rate: {float: [0.01, 0.5], log: true}
    train.batch_size: {choose: [5, 10, 20]}
"""


def told(app: DlwbApp) -> str:
    return " ".join(notice.message for notice in app._notifications)


def head(app: DlwbApp) -> str:
    """The first line, with the state; "" before the first painting."""
    return seen(app).partition("\n")[0]


async def opened(pilot, tuning: Tuning) -> TuningScreen:
    """The screen of a tuning that is there, with all its curves."""
    await settle(pilot, lambda: pilot.app.screen.rows.key)
    pilot.app.open_tuning(tuning)
    await settle(pilot, lambda: isinstance(pilot.app.screen, TuningScreen))
    screen = pilot.app.screen
    await settle(pilot, lambda: screen.feed.caught_up and screen._drawn and screen._drawn[0] != -1)
    await pilot.pause(0.1)
    return screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_enter_starts_a_real_tuning_and_the_list_of_runs_leads_to_it(size: tuple[int, int], home: Path) -> None:
    file = write(home / "recipes", "{}", "{epochs: 3, batch_size: 10, log_every: 5, evaluate_every: 20}", LINE)
    file.write_text(file.read_text() + TUNE)
    async with DlwbApp().run_test(size=size) as pilot:
        await settle(pilot, lambda: pilot.app.screen.rows.key)
        await walk_to(pilot, "line.yaml", "up")
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, TuningScreen))
        screen = pilot.app.screen
        # Two trials begin at once, and either may be seen first.
        await settle(pilot, lambda: screen.rows.key)
        first = screen.rows.key
        await settle(pilot, lambda: "✓ finished" in head(pilot.app))
        await settle(pilot, lambda: screen.feed.caught_up and "on 1 new seed:" in seen(pilot.app))
        # To those who are away its end is one signal, and not those of four runs.
        [signal] = [one for _, one in signals.unsent()]
        assert signal.what == "end" and signal.run == screen.tuning.id and "3 of 3 trials ended" in signal.text
        assert set(signal.figures) == {"valid/loss", "valid/loss on new seeds"}
        text = seen(pilot.app)
        assert "3 of 3 trials ended" in text and "✓ best" in text and "learning_rate" in text and "batch_size" in text
        best = screen.feed.standing.best
        # The cursor stays on its trial, whatever the rank of that becomes.
        assert screen.rows.key == first
        await pilot.press("home")
        await settle(pilot, lambda: best and best.run in seen(pilot.app))
        assert best and screen.rows.key == str(best.number)
        assert sorted(screen.feed.curves) == [0, 1, 2]
        assert ("10 finished trials tell it; 3 have finished." in text) == (size[0] > 100)
        await pilot.press("s")
        assert "nothing to stop" in told(pilot.app)
        await pilot.press("r")
        assert "dlwb tuning resume --trials N" in told(pilot.app)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        assert pilot.app.screen.feed.run.id == best.run
        await pilot.press("escape", "escape", "2")
        await settle(pilot, lambda: isinstance(pilot.app.screen, RunsScreen) and "3/3 trials" in seen(pilot.app))
        listed = pilot.app.screen
        tuning = list_tunings()[0]
        assert [row.key for row in listed.rows._rows][1:] == [tuning.id, *(run.id for run in list_runs())]
        await settle(pilot, lambda: listed.tuned == tuning and "minimize valid/loss over config.learning_rate" in seen(pilot.app))
        await pilot.press("space")
        assert "its runs stand below it" in told(pilot.app)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, TuningScreen))
        await pilot.press("escape", "d")
        await settle(pilot, lambda: not list_runs() and not listed.library.tunings)
        await pilot.press("u")
        await settle(pilot, lambda: "3/3 trials" in seen(pilot.app) and len(list_runs()) == 4)


async def test_its_runs_stand_below_it_in_the_list_and_are_folded(home: Path) -> None:
    tuning = made_tuning(9)
    alone = make_run("alone", stamp="2026-11-30_000000")
    trials = sorted((run for run in list_runs() if run != alone), key=lambda run: run.id, reverse=True)
    fork = trials[-1]
    (fork.path / "run.json").write_text(json.dumps({**fork.about(), "forked": {"run": alone.id, "step": 10}}))
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settle(pilot, lambda: "▸ 5 more runs" in seen(pilot.app))
        listed = pilot.app.screen
        assert isinstance(listed, RunsScreen)
        fold = FOLD + tuning.id
        # What was forked from another run stands with that one, whoever started it.
        assert [row.key for row in listed.rows._rows][1:] == [tuning.id, *(run.id for run in trials[:3]), fold, alone.id, fork.id]
        assert "└ trial 8: learning_rate " in seen(pilot.app)
        listed.rows.select(fold)
        await settle(pilot, lambda: "Runs of Learning rate and batch size, tuned. Enter shows them all" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: "▴ fewer" in seen(pilot.app))
        assert [row.key for row in listed.rows._rows][1:] == [tuning.id, *(run.id for run in trials[:-1]), fold, alone.id, fork.id]
        await pilot.press("enter")
        await settle(pilot, lambda: "▸ 5 more runs" in seen(pilot.app))
        # What the finder leads to is shown, however deep it is folded.
        listed.rows.select(trials[-2].id)
        await settle(pilot, lambda: listed.rows.key == trials[-2].id and "▴ fewer" in seen(pilot.app))
        # By another column the list is flat.
        await pilot.press("o")
        await settle(pilot, lambda: len(listed.rows._rows) == 1 + 1 + 10 and "└" not in seen(pilot.app))


async def test_it_is_stopped_and_resumed_from_the_screen(home: Path) -> None:
    file = write(home / "recipes", "{sleep: 0.01}", "{epochs: 5, batch_size: 10, log_every: 5, evaluate_every: 20}", LINE)
    file.write_text(file.read_text() + TUNE)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: pilot.app.screen.rows.key)
        await walk_to(pilot, "line.yaml", "up")
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(pilot.app.screen, TuningScreen) and "● running" in head(pilot.app))
        screen = pilot.app.screen
        await settle(pilot, lambda: any(len(series) > 1 for series in screen.feed.curves.values()))
        await pilot.press("r")
        assert "already running" in told(pilot.app)
        await pilot.press("s")
        await settle(pilot, lambda: "■ stopped" in head(pilot.app))
        await pilot.press("r")
        await settle(pilot, lambda: "✓ finished" in head(pilot.app))
        assert "3 of 3 trials ended" in seen(pilot.app)


async def test_panels_say_what_the_trials_have_found(home: Path) -> None:
    tuning = made_tuning(20, MORE)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, tuning)
        text = seen(pilot.app)
        for words in (
            "best valid loss over trials",
            "valid loss of each trial",
            "parallel coordinates",
            "importance of the settings",
            "61%",
        ):
            assert words in text, text
        assert "batch_size over learning_rate" in text and "(h: 5 more)" in text and "4 pruned" in text
        keys = set(np.unique(screen.query_one("#curves", Chart).draw(58, 12).keys).tolist())
        # What finished and what was pruned is faint, the best under the cursor bright.
        assert keys >= {FAINT + tuning_charts.DONE, SERIES + tuning_charts.CHOSEN} and SERIES + tuning_charts.DONE not in keys
        assert FAINT + tuning_charts.PRUNED in keys
        ways = screen.query_one(parallel.ParallelView)._ways
        assert len(ways) == 20 and ways[-1].key == parallel.CHOSEN
        assert sum(way.key == parallel.SHADE for way in ways) == 4
        heat = screen._heat
        assert heat and screen.query_one(MatrixView).chosen == heat.cells[int(screen.rows.key)]
        await pilot.press("h")
        await settle(pilot, lambda: "dropout over learning_rate" in seen(pilot.app))
        await pilot.press("a")
        await settle(pilot, lambda: "best valid loss over device-minutes" in seen(pilot.app))
        await pilot.press("down")
        await settle(pilot, lambda: f"bright: trial {screen.rows.key}" in seen(pilot.app))
        assert f"trial {screen.rows.key}  2026-11-30" in seen(pilot.app)
        keys = [way.key for way in screen.query_one(parallel.ParallelView)._ways]
        assert keys[-2:] == [parallel.BEST, parallel.CHOSEN] and len(keys) == 20
        await pilot.press("tab", "tab", "tab", "enter")
        await settle(pilot, lambda: screen.full and "importance of" not in seen(pilot.app))
        assert "parallel coordinates" in seen(pilot.app) and "valid loss of each" not in seen(pilot.app)
        await pilot.press("escape")
        await settle(pilot, lambda: "importance of the settings" in seen(pilot.app))
        assert isinstance(pilot.app.screen, TuningScreen)


async def test_one_panel_at_a_time_where_there_is_little_room(home: Path) -> None:
    tuning = made_tuning(6)
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, tuning)
        expected = (
            "best valid loss",
            "valid loss of each trial",
            "parallel coordinates",
            "5 have finished",
            "batch_size over learning_rate",
        )
        for words in expected:
            await pilot.press("tab")
            await settle(pilot, lambda words=words: words in seen(pilot.app))
            assert "✓ best" in seen(pilot.app) and sum(other in seen(pilot.app) for other in expected) == 1
        await pilot.press("tab")
        assert screen.focused_panel == "trials"
        await pilot.press("h")
        assert "the only two settings" in told(pilot.app)


async def test_a_live_tuning_is_followed_and_one_that_rests_paints_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = made_tuning(12, turn="")
    held = lock.Lock.take(tuning.lock)
    assert held
    held.write({"host": lock.host(), "state": "running"})
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, tuning)
        assert "● running" in head(pilot.app)
        run = next(run for run in list_runs())
        live = alive(run)
        tuning.note(Asked(trial=12, params={RATE: 0.05, BATCH: 32}, seen=list(range(12))))
        tuning.note(Started(trial=12, run=run.id))
        await settle(pilot, lambda: screen.feed.trial(12) and "12  ● running" in seen(pilot.app))
        live.release()
        tuning.note(Ended(trial=12, state="finished", value=0.01, evaluations=30, planned=30, step=300, seconds=30.0))
        await settle(pilot, lambda: screen.feed.standing.best and screen.feed.standing.best.number == 12 and "0.0100" in seen(pilot.app))
        held.release()
        await settle(pilot, lambda: "Its process was killed" in seen(pilot.app))
        await pilot.pause(1.5)
        drawn: list[str] = []
        monkeypatch.setattr(TuningScreen, "_draw", lambda screen, name: drawn.append(name))
        painted: list[object] = []
        real = DlwbApp._display
        monkeypatch.setattr(DlwbApp, "_display", lambda app, *words: (painted.append(words), real(app, *words))[1])
        await pilot.pause(2.5)
        assert not drawn and not painted
        await pilot.press("down")
        await settle(pilot, lambda: drawn)


async def test_the_winner_becomes_a_recipe_of_ones_own(home: Path) -> None:
    tuning = made_tuning(8)
    async with DlwbApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, tuning)
        best = screen.feed.standing.best
        await pilot.press("p")
        await settle(pilot, lambda: isinstance(pilot.app.screen, NameScreen) and "Keep the best settings" in seen(pilot.app))
        await pilot.press("enter")
        await settle(pilot, lambda: "tune-made-best.yaml is yours" in told(pilot.app))
        loaded = load_recipe(home / "recipes" / "tune-made-best.yaml")
        assert best and loaded.recipe.config["learning_rate"] == best.params[RATE] and loaded.recipe.train.batch_size == best.params[BATCH]
        assert loaded.recipe.tune is None and loaded.recipe.lesson == "from tune-made"


async def test_it_gets_out_as_a_page_and_its_table_as_text(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = made_tuning(12)
    (tuning.path / "tuning.json").write_text((tuning.path / "tuning.json").read_text().replace("Learning rate and", "<b>Rate</b> and"))
    copied: list[str] = []
    monkeypatch.setattr(DlwbApp, "copy", lambda self, text: copied.append(text))
    async with DlwbApp().run_test(size=(80, 24)) as pilot:
        await opened(pilot, tuning)
        await pilot.press("x")
        await settle(pilot, lambda: isinstance(pilot.app.screen, ExportScreen) and tuning.id in seen(pilot.app))
        await pilot.press("h")
        page = (paths.home() / "exports" / f"{tuning.id}.html").read_text()
        assert "&lt;b&gt;Rate&lt;/b&gt; and" in page and "<b>Rate" not in page and "Best so far" in page and "config.learning_rate" in page
        assert page.count("<tr><td>") >= 12 and "61%" in page
        await pilot.press("t")
        await settle(pilot, lambda: "characters are on the clipboard" in seen(pilot.app))
        assert "valid loss ▼" in copied[-1] and copied[-1].count("finished") >= 8
        await pilot.press("c")
        await settle(pilot, lambda: "runs are exported one by one" in seen(pilot.app))


# -- pure ----------------------------------------------------------------------------------------------------------------------------------


def trial(number: int, value: float | None, state: str = "finished", **params: object) -> Trial:
    return Trial(number=number, value=value, state=state, params={f"config.{name}": setting for name, setting in params.items()})


def test_values_stand_on_their_axes_and_the_best_is_on_top() -> None:
    rate = trials.axis_of("config.rate", Dimension(real=[0.001, 1.0], log=True), [])
    assert [rate.place(value) for value in (0.001, 1.0)] == [0.0, 1.0] and rate.place(0.0316228) == pytest.approx(0.5, abs=1e-3)
    assert (
        math.isnan(rate.place(None))
        and math.isnan(rate.place("x"))
        and math.isnan(rate.place(True))
        and (rate.low, rate.high) == ("0.001", "1")
    )
    model = trials.axis_of("config.model", Dimension(choose=["lstm", True, 1]), [])
    assert [model.place(value) for value in ("lstm", True, 1)] == [0.0, 0.5, 1.0] and math.isnan(model.place("gru"))
    # A trial of an earlier tuning may lie outside of the range.
    assert trials.axis_of("config.depth", Dimension(whole=[3, 12]), [20]).place(20) == 1.0
    loss, accuracy = (trials.metric_axis("m", [0.1, 0.2, 0.3], goal) for goal in ("minimize", "maximize"))
    assert (loss.place(0.1), loss.high, accuracy.place(0.3), accuracy.high) == (1.0, "0.1000", 1.0, "0.3000")


def test_a_heat_map_has_a_cell_for_each_pair_of_values_or_of_ranges() -> None:
    space = {"config.a": Dimension(whole=[1, 3]), "config.b": Dimension(choose=[8, 16])}
    found = trials.heat(
        ("config.a", "config.b"), space, [trial(0, 0.5, a=1, b=8), trial(1, 0.1, a=3, b=16), trial(2, 0.3, a=3, b=16)], "minimize"
    )
    assert found and (found.columns, found.rows) == (["1", "3"], ["16", "8"]) and found.words == "mean"
    assert found.values[0][1] == pytest.approx(0.2) and math.isnan(found.values[0][0]) and found.values[1][0] == 0.5
    assert found.strength[0][1] == 1.0 and found.strength[1][0] == 0.0 and found.cells == {0: (1, 0), 1: (0, 1), 2: (0, 1)}
    wide = {**space, "config.c": Dimension(real=[0.001, 1.0], log=True)}
    many = [trial(number, number / 40, a=1 + number % 2, c=0.001 * 1000 ** (number / 39)) for number in range(40)]
    ranges = trials.heat(("config.c", "config.a"), wide, many, "maximize")
    assert ranges and len(ranges.columns) == trials.RANGES and ranges.words == "best" and ranges.strength[0][-1] <= 1.0
    assert trials.heat(("config.a", "config.b"), space, [trial(0, math.inf, a=1, b=8), trial(1, 0.1, a=1)], "minimize") is None
    assert trials.pairs({"config.x": Dimension(choose=["a", "b"]), **space}, tunings.Importance({"config.b": 0.9}, 12)) == [
        ("config.b", "config.a")
    ]


def test_the_table_is_sorted_and_cut_to_its_room(home: Path) -> None:
    feed = trials.TuningFeed(made_tuning(6, MORE))
    by_value = trial_rows.ordered(feed, trial_rows.Order())
    values = [one.value for one in by_value if one.state == "finished"]
    assert values == sorted(values) and by_value[-1].state == "pruned"
    by_rate = [one.params[RATE] for one in trial_rows.ordered(feed, trial_rows.Order(RATE, reverse=True))]
    assert by_rate == sorted(by_rate, reverse=True)
    for width in (40, 60, 78, 118):
        rows = trial_rows.trial_rows(feed, width, trial_rows.Order())
        assert len(rows) == 7 and all(row.strip.cell_length == width for row in rows)
    assert trial_rows.column_at(feed, 118, trial_rows.Order(), 3) == trial_rows.TRIAL


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (9, 3), (20, 5), (40, 8), (60, 12)])
def test_parallel_coordinates_draw_in_any_room(size: tuple[int, int]) -> None:
    axes = [Axis("learning_rate", "0.001", "1"), Axis("batch", "8", "128"), Axis("valid loss", "1.2", "0.2")]
    ways = [Way((0.0, 0.5, 1.0), parallel.SHADE), Way((1.0, math.nan, 0.0), parallel.BEST), Way((math.nan,) * 3, parallel.CHOSEN)]
    cells = parallel.draw(axes, ways, "parallel coordinates", "best on top", *size)
    assert (cells.width, cells.height) == size
    if size == (60, 12):
        assert "learning_rate" in cells.text() and "valid loss" in cells.text() and "⠁" <= max(cells.text()) <= "⣿"
        # A way with a gap in the middle joins nothing.
        assert parallel.BEST in cells.keys[:, 0].tolist() + cells.keys[:, -1].tolist() and parallel.BEST not in cells.keys[:, 20:40]
    parallel.draw([], [], "t", "", *size)


def test_settings_are_written_into_a_recipe_as_a_person_would(tmp_path: Path) -> None:
    text = (
        "title: x\nproject: image_classifier\nconfig:\n  data: digits   # real ones\n  hidden:\n    - 3\n    - 4\n"
        "  # what follows is searched\n"
        "tune:\n  metric: valid/loss\n  goal: minimize\n  space:\n    config.dropout: {float: [0, 0.5]}\n# seeds\nseed: 1\n"
    )
    settings = {"config.hidden.1": 9, "config.dropout": 0.25, "train.batch_size": 64, "config.optimizer": "adam"}
    assert copy_recipe._with_settings(text, settings) == (
        "title: x\nproject: image_classifier\nconfig:\n  data: digits   # real ones\n  hidden:\n    - 3\n    - 9\n  dropout: 0.25\n"
        "  optimizer: adam\n  # what follows is searched\n# seeds\nseed: 1\ntrain: {batch_size: 64}\n"
    )
    with pytest.raises(Problem, match=r"config\.hidden\.7 is no setting that can be written"):
        copy_recipe._with_settings(text, {"config.hidden.7": 1})
    file = tmp_path / "t.yaml"
    file.write_text(text)
    new = copy_recipe.copy("mine", str(file), settings={"config.hidden.1": 9})
    assert load_recipe(new.recipe).recipe.config["hidden"] == [3, 9]


def test_a_damaged_plan_costs_its_own_row_alone(home: Path) -> None:
    tuning = made_tuning(3)
    (tuning.path / "tuning.json").write_text(json.dumps({"recipe": "x"}))
    with pytest.raises(Problem, match=r"tuning\.json is damaged"):
        trials.TuningFeed(tuning)
    assert len(SPACE) == 2
