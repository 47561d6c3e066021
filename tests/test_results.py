"""Results come from runs alone, are read again as they were written, and the README's table is what they say."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from lines import ended, folded, write
from test_printing import on_a_terminal

from workbench.launch import start
from workbench.problems import Problem
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.runs import measured
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
    assert [measured.groups(found)] == [[found]]
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
    text = measured.markdown([result(1, 0.96), result(2, 0.99)])
    assert "0.9750 (0.9600–0.9900, 2 seeds) | ≥ 0.97 passed by 1 of 2 | 0:11 + preparation | CPU, 1 thread" in row(text)
    assert "not measured" in row(text, "mnist-mlp")
    busy = [result(1, 0.96, seconds=200.0, cpu=50.0), result(2, 0.96, seconds=120.0, cpu=90.0), result(3, 0.96, seconds=4.0, cpu=0.0)]
    assert "| 2:00 + preparation (CPU 1:44) |" in row(measured.markdown(busy))
    assert "missed" in row(measured.markdown([result(1, 0.96)]))
    assert "not judged" in row(measured.markdown([result(1, 0.96, variant="half of it")]))


def test_what_the_shell_shows_fits_100_columns_and_has_every_figure() -> None:
    printed = on_a_terminal("results", columns=100)
    assert printed and max(map(len, printed)) <= 100
    whole = " ".join(" ".join(printed).split())
    for kept in measured.read():
        loaded = load_recipe(find_recipe(kept.recipe))
        seeds = next(group for group in measured.groups(measured.read()) if kept in group)
        assert f"{kept.recipe}: {measured.wall_time(seeds)}, {measured.machine(kept)}" in whole
        for figure in measured.figures(loaded.recipe, seeds):
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
    assert measured.whole_time(seeds) == said
    assert f"| {said} |" in row(measured.markdown(seeds))


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
