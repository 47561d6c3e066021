"""Results come from runs alone, are read again as they were written, and the README's table is what they say."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from lines import ended, folded, until, write
from test_printing import on_a_terminal

from workbench.events import Scalars
from workbench.launch import comparing, start
from workbench.problems import Problem
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.runs import lock, measured, measured_tables
from workbench.runs.log import EventLog
from workbench.runs.measured import Result
from workbench.runs.run import Run

pytestmark = pytest.mark.usefixtures("nothing_is_left")

TRAIN = "{epochs: 20, batch_size: 10, log_every: 7}"


@pytest.fixture
def line(home: Path) -> Path:
    """The recipe `line`, a person's own, as `dlwb run line` finds it."""
    return write(home / "recipes", train=TRAIN)


def finished(*settings: str) -> Run:
    run = start.start("line", list(settings))
    assert ended(run).state == "finished"
    return run


def test_seeds_are_collected_read_again_and_averaged(line: Path, tmp_path: Path) -> None:
    made = [finished(f"seed={seed}") for seed in (2, 1)]
    kept = tmp_path / "results.json"
    measured.collect([made[0].id], path=kept)
    measured.collect([], recipe="line", path=kept)
    found = measured.read(kept)
    assert [(each.run, each.seed) for each in found] == [(made[1].id, 1), (made[0].id, 2)]
    for each, run in zip(found, reversed(made), strict=True):
        history = folded(run)
        assert each.figures == {"test/loss": history.last("test/loss")}
        assert each.passed == {"test/loss": True} and each.steps == 400 and each.threads >= 1
        # A project in NumPy that keeps nothing for its next run: each preparation is the same.
        assert each.seconds > 0 and each.ready and each.cold is None
        assert each.seconds + each.ready == pytest.approx(history.seconds, abs=0.01)
        assert each.versions["numpy"] and each.processor and each.load is not None and each.load >= 0
        assert not measured.stale([each], load_recipe(line))
    assert [measured_tables.groups(found)] == [[found]]
    assert len(kept.read_text().splitlines()) == 4  # one result a line
    written = kept.read_bytes()
    measured.write(measured.read(kept), kept)
    assert kept.read_bytes() == written
    measured.drop([made[0].id], kept)
    assert [each.run for each in measured.read(kept)] == [made[1].id]


def test_a_run_with_other_settings_is_no_result(line: Path, tmp_path: Path) -> None:
    run = finished("config.learning_rate=0.1")
    with pytest.raises(Problem, match=r"config\.learning_rate"):
        measured.collect([run.id], path=tmp_path / "results.json")
    with pytest.raises(Problem, match="not finished"):
        measured.measure(start.create(load_recipe(line), "cpu"))


def test_what_was_measured_with_other_code_is_stale_and_goes_when_there_is_a_new_run(line: Path, tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    old = finished()
    measured.collect([old.id], path=kept)
    write(line.parent, train=TRAIN, source=(line.parent / "line.py").read_text() + "\nCHANGED = 1\n")
    assert measured.stale(measured.read(kept), load_recipe(line)) == "stale: code changed"
    with pytest.raises(Problem, match="changed since"):
        measured.collect([old.id], path=kept)
    with pytest.raises(Problem, match="no finished run of line with its present code and settings"):
        measured.collect([], recipe="line", path=kept)
    new = finished("seed=7")
    assert any(old.id in said and "left out" in said for said in measured.collect([], recipe="line", path=kept))
    assert [each.run for each in measured.read(kept)] == [new.id]
    write(line.parent, train=TRAIN.replace("20", "21"), source=(line.parent / "line.py").read_text())
    assert measured.stale(measured.read(kept), load_recipe(line)) == "stale: settings changed"


def test_the_runs_of_a_comparison_are_results_of_its_variants(line: Path, tmp_path: Path) -> None:
    kept, plain = tmp_path / "results.json", line.read_text()
    compare = "compare:\n  metric: test/loss\n  seeds: 2\n  variants:\n    slow: {}\n    fast: {config.learning_rate: 0.2}\n"
    line.write_text(plain + compare)
    alone = start.start(str(line), [])  # as a script may start it
    assert ended(alone).state == "finished"
    comparison = comparing.start(load_recipe(line))
    until(lambda: not lock.is_held(comparison.lock), 120)
    said = measured.collect([], recipe="line", path=kept)
    assert sum("is added" in sentence for sentence in said) == 4
    assert any(alone.id in sentence and "of which it is no part" in sentence for sentence in said)
    found, loaded = measured.read(kept), load_recipe(line)
    assert [(each.arm, each.seed) for each in found] == [("fast", 1), ("fast", 2), ("slow", 1), ("slow", 2)]
    assert not measured.stale(found, loaded) and [len(group) for group in measured_tables.groups(found)] == [4]
    # In the order of the recipe, each with its own range.
    slow, fast = measured_tables.figures(loaded.recipe, found)
    assert (slow.name, fast.name, slow.seeds, slow.bars) == ("slow", "fast", 2, "")
    losses = [each.figures["test/loss"] for each in found if each.arm == "slow"]
    assert float(slow.mean) == pytest.approx(sum(losses) / 2, abs=1e-4)
    assert measured.collect([], recipe="line", path=kept)[-1].endswith("is added.") and len(measured.read(kept)) == 4
    # A variant that is another one now, or none any more, makes them stale; its runs are no results then.
    line.write_text(plain + compare.replace("0.2", "0.3"))
    assert measured.stale(found, load_recipe(line)) == "stale: settings changed"
    line.write_text(plain + compare.replace("fast:", "quick:"))
    assert measured.stale(found, load_recipe(line)) == "stale: settings changed"
    with pytest.raises(Problem, match="line has no variant fast now"):
        measured.collect([found[0].run], path=kept)
    # Several seeds of a recipe that compares nothing are its results, as those of single runs are.
    line.write_text(plain)
    with pytest.raises(Problem, match=r"does not match the present recipe line: config\.learning_rate"):
        measured.collect([found[0].run], path=kept)
    assert measured.measure(Run(alone.path.parent / found[2].run)).arm == ""


def test_a_figure_that_is_no_number_is_left_out(line: Path, tmp_path: Path) -> None:
    run = finished()
    log = EventLog(run.path)
    log.write(Scalars({"test/other": float("nan")}, step=400))
    log.close()
    measured.collect([run.id], path=tmp_path / "results.json")
    [kept] = measured.read(tmp_path / "results.json")
    assert list(kept.figures) == ["test/loss"]


def result(seed: int, accuracy: float, **more: Any) -> Result:
    figures = {"test/accuracy": accuracy}
    about: dict[str, Any] = {
        "seconds": 10.0 + seed,
        "steps": 9,
        "device": "cpu",
        "threads": 1,
        "run": f"r{seed}",
        "code": "",
        "settings": "",
    }
    return Result(recipe="digits-mlp", seed=seed, figures=figures, **{**about, **more})


def row(text: str, stem: str = "digits-mlp") -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| `{stem}`"))


def test_the_table_says_mean_range_bar_and_what_is_not_measured() -> None:
    text = measured_tables.markdown([result(1, 0.96), result(2, 0.99)])
    assert "0.9750 (0.9600–0.9900, 2 seeds) | ≥ 0.97 passed by 1 of 2 | 0:11 + preparation | CPU, 1 thread" in row(text)
    assert "not measured" in row(text, "mnist-mlp")
    busy = [result(1, 0.96, seconds=200.0, cpu=50.0), result(2, 0.96, seconds=120.0, cpu=90.0), result(3, 0.96, seconds=4.0, cpu=0.0)]
    assert "| 2:00 + preparation (CPU 1:44) |" in row(measured_tables.markdown(busy))
    assert "missed" in row(measured_tables.markdown([result(1, 0.96)]))
    assert "not judged" in row(measured_tables.markdown([result(1, 0.96, variant="half of it")]))


def test_what_the_shell_shows_fits_100_columns_and_has_every_figure() -> None:
    printed = on_a_terminal("results", columns=100)
    assert printed and max(map(len, printed)) <= 100
    whole = " ".join(" ".join(printed).split())
    for kept in measured.read():
        loaded = load_recipe(find_recipe(kept.recipe))
        seeds = next(group for group in measured_tables.groups(measured.read()) if kept in group)
        assert f"{kept.recipe}: {measured_tables.wall_time(loaded.recipe, seeds)}, {measured_tables.machine(kept)}" in whole
        for figure in measured_tables.figures(loaded.recipe, seeds):
            assert " ".join(" ".join(figure[:3]).split()) in whole
            assert figure.bars in whole and figure.course in whole
    assert any(line.startswith("style-transfer: not measured") for line in printed)


def test_a_file_that_two_branches_wrote_is_named(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    kept.write_bytes(b"[\n<<<<<<< HEAD\n" + msgspec.json.encode(result(1, 0.9)) + b"\n]\n")
    with pytest.raises(Problem, match="cannot be read"):
        measured.read(kept)


TIMES = {
    "not recorded": ([{}], "0:10 + preparation"),
    "nothing is kept": ([{"ready": 3.0}], "0:13"),
    "warm and cold": ([{"ready": 3.0, "cold": 1480.0}], "0:13 (24:50 cold)"),
    "cold only": ([{"cold": 1480.0}], "24:50 cold"),
    "each seed knows one": ([{"ready": 3.0}, {"cold": 1480.0}, {}], "0:13 (24:50 cold)"),
}


@pytest.mark.parametrize("kind", TIMES)
def test_the_time_holds_the_preparation_cold_and_warm_said_apart(kind: str) -> None:
    prepared, said = TIMES[kind]
    seeds = [result(seed, 0.9, seconds=10.0, **more) for seed, more in enumerate(prepared)]
    assert measured_tables.whole_time(seeds) == said
    assert f"| {said} |" in row(measured_tables.markdown(seeds))


def test_what_is_not_known_is_not_written_and_what_is_known_is_read_again(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    measured.write([result(1, 0.9)], kept)
    assert b"ready" not in kept.read_bytes() and b"cold" not in kept.read_bytes()
    known = [result(1, 0.9, ready=3.0, cold=9.0), result(2, 0.9, ready=3.0)]
    measured.write(known, kept)
    assert measured.read(kept) == known


def test_the_cold_time_stays_known_when_a_warm_run_of_the_same_seed_takes_its_place(line: Path, tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    run = finished()
    measured.collect([run.id], path=kept)
    [first] = measured.read(kept)
    measured.write([msgspec.structs.replace(first, run="2020-01-01_000000_line", ready=None, cold=77.0)], kept)
    measured.collect([run.id], path=kept)
    [both] = measured.read(kept)
    assert (both.run, both.ready, both.cold) == (run.id, first.ready, 77.0)
