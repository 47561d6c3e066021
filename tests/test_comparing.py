"""Comparisons as real processes: one ordinary run after the other, with nobody watching; stopped, killed, resumed; what fails is said."""

import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from gpu_machine import CUDA_LINE, machine
from gpu_machine import dlwb as dlwb_on
from lines import LINE, at_step, comparable, ended, folded, send, until, write
from made_runs import make_run
from test_cli import dlwb

from workbench.launch import comparing, group_process
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes import trust
from workbench.recipes.load import load_recipe
from workbench.runs import compare, lock, notes
from workbench.runs.comparisons import Comparison, find_comparison, list_comparisons
from workbench.runs.history import history_of
from workbench.runs.run import Run, list_runs
from workbench.runs.state import attempts, state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

QUICK = "{epochs: 5, batch_size: 10, log_every: 7}"
SLOWLY = "{epochs: 12, batch_size: 10, log_every: 5, checkpoint_every: 8}"


def recipe(folder: Path, variants: str, seeds: int = 2, train: str = QUICK, source: str = LINE, config: str = "{}") -> Path:
    """A line through points, compared."""
    file = write(folder / "project", config, train, source)
    file.write_text(f"{file.read_text()}compare:\n  seeds: {seeds}\n  variants:\n{variants}")
    return file


def started(file: Path) -> Comparison:
    return comparing.start(load_recipe(file))


def over(comparison: Comparison) -> str:
    """Wait for its end; returns its state."""
    until(lambda: not lock.is_held(comparison.lock), 120)
    return comparison.standing().state.state


def runs_of(comparison: Comparison) -> list[Run]:
    return [run for part in comparison.parts() if (run := part.place)]


def nth(comparison: Comparison, number: int) -> Run:
    """Its run of that number, once it trains."""
    until(lambda: len(runs_of(comparison)) > number)
    run = runs_of(comparison)[number]
    until(lambda: folded(run).step >= 3)
    return run


def test_every_variant_has_every_seed_as_ordinary_runs_one_after_the_other(tmp_path: Path) -> None:
    file = recipe(tmp_path, "    none: {}\n    faster: {config.learning_rate: 0.2}\n")
    done = dlwb("run", str(file), "--follow")
    assert done.returncode == 0, done.stderr
    [comparison] = list_comparisons()
    assert done.stdout.splitlines()[0] == comparison.id and comparison.stem == "line"
    assert comparison.standing().state.message == "4 of 4 runs finished"
    runs = runs_of(comparison)
    # All variants of one seed, before the next seed: the first difference is known early.
    assert [(run.recipe().seed, run.recipe().config["learning_rate"]) for run in runs] == [(1, 0.05), (1, 0.2), (2, 0.05), (2, 0.2)]
    assert set(runs) == set(list_runs())
    for before, after in pairwise(runs):
        assert folded(before).updated <= folded(after).started, "on a CPU no two train at once"
    for run, name in zip(runs, ["none", "faster"] * 2, strict=True):
        assert (run.about()["comparison"], run.about()["variant"]) == (comparison.id, name)
        assert notes.read(run).tags == (name, "line") and run.recipe().title == f"{name}: A line" and run.recipe().compare is None
        assert run.stem == "line"
    # A run of it is what the same settings give alone, bit for bit.
    file.write_text(file.read_text().partition("compare:")[0])
    alone = launch.start(str(file), ["config.learning_rate=0.2", "seed=2"])
    assert ended(alone).state == "finished"
    assert comparable(folded(alone)) == comparable(folded(runs[3]))
    assert "4 of 4 runs finished" in dlwb("runs").stdout


def test_the_table_is_printed_and_told_to_programs(tmp_path: Path) -> None:
    comparison = started(recipe(tmp_path, "    none: {}\n    same: {}\n    worse: {config.learning_rate: 0.001}\n"))
    assert over(comparison) == "finished"
    told = json.loads(dlwb("compare", "line", "--json").stdout)
    assert told["metric"] == "test/loss", "the bar's"
    assert told["variants"]["same"]["difference"] == {"mean": 0.0, "deviation": 0.0, "low": 0.0, "high": 0.0}
    assert (told["variants"]["same"]["verdict"], told["variants"]["worse"]["verdict"]) == ("no difference", "worse")
    values = [history_of(run.events).last("test/loss") for run in runs_of(comparison)[2::3]]
    assert list(told["variants"]["worse"]["values"].values()) == values
    printed = dlwb("compare", comparison.id).stdout.splitlines()
    assert printed[0].startswith("test/loss; each difference is to none") and printed[3].split()[:2] == ["same", "2/2"]
    assert printed[3].endswith("no difference") and printed[4].endswith("worse")


def test_it_goes_on_without_the_program_that_started_it_and_one_that_was_killed_finishes_exactly_what_is_missing(tmp_path: Path) -> None:
    variants = "    none: {}\n    other: {config.learning_rate: 0.1}\n    third: {}\n"
    file = recipe(tmp_path, variants, seeds=1, train=SLOWLY, config="{sleep: 0.01}")
    assert dlwb("run", str(file)).returncode == 0
    [comparison] = list_comparisons()
    second = nth(comparison, 1)
    assert ended(runs_of(comparison)[0]).state == "finished"
    process = lock.content(comparison.lock)["process"]["pid"]
    assert os.getsid(process) == process, "the terminal's end does not reach it"
    at_step(second, 20)
    assert comparison.signal(signal.SIGKILL)
    send(second, "parent", signal.SIGKILL)
    send(second, "worker", signal.SIGKILL)
    until(lambda: not lock.is_held(comparison.lock) and not lock.is_held(second.lock))
    state = comparison.standing().state
    assert (state.state, state.cause) == ("failed", "vanished") and "1 of 3 runs finished" in state.message
    time.sleep(0.5)
    assert len(list_runs()) == 2, "nobody starts another one"
    done = dlwb("resume", comparison.id, "--follow")
    assert done.returncode == 0, done.stderr
    runs = runs_of(comparison)
    assert len(list_runs()) == 3 and set(list_runs()) == set(runs) and runs[1] == second
    assert [attempts(run) for run in runs] == [1, 2, 1], "what had finished is not trained again"
    alone = launch.start(str(_alone(file)), ["config.learning_rate=0.1"])
    ended(alone)
    ours, theirs = (comparable(folded(run)) for run in (second, alone))
    assert ours == theirs
    with pytest.raises(Problem, match=r"All runs of .* have finished"):
        comparing.begin(comparison)


def _alone(file: Path) -> Path:
    other = file.with_name("alone.yaml")
    other.write_text(file.read_text().partition("compare:")[0])
    return other


@pytest.mark.parametrize("noted", [True, False])
def test_a_run_that_lives_after_the_death_of_the_process_is_waited_for(tmp_path: Path, noted: bool) -> None:
    comparison = started(recipe(tmp_path, "    none: {}\n    other: {}\n", seeds=1, train=SLOWLY, config="{sleep: 0.01}"))
    first = nth(comparison, 0)
    comparison.signal(signal.SIGKILL)
    until(lambda: not lock.is_held(comparison.lock))
    if not noted:
        comparison.write([])  # it died between creating the run and noting it
    comparing.begin(comparison)
    with pytest.raises(Problem, match="is running already"):
        comparing.begin(comparison)
    assert over(comparison) == "finished"
    first, second = runs_of(comparison)
    assert [attempts(first), attempts(second)] == [1, 1] and folded(first).updated <= folded(second).started


def test_stop_ends_the_present_run_with_a_checkpoint_and_starts_no_other(tmp_path: Path) -> None:
    comparison = started(recipe(tmp_path, "    none: {}\n    other: {}\n", seeds=1, train=SLOWLY, config="{sleep: 0.02}"))
    first = nth(comparison, 0)
    at_step(first, 20)
    done = dlwb("stop", "line")
    assert done.returncode == 0 and comparison.id in done.stderr, done.stderr
    waited = dlwb("wait", comparison.id)
    assert waited.returncode == 3 and "0 of 2 runs finished" in waited.stderr, waited.stderr
    assert (state_of(first).state, state_of(first).cause) == ("stopped", "person") and list_runs() == [first]
    assert any(first.path.glob("checkpoints/step-*.json"))
    refused = dlwb("stop", comparison.id)
    assert refused.returncode == 1 and "is not running" in refused.stderr
    assert dlwb("resume", "line", "--follow").returncode == 0
    assert [attempts(run) for run in runs_of(comparison)] == [2, 1]


def test_a_variant_that_fails_does_not_stop_the_others_and_is_said(tmp_path: Path) -> None:
    variants = "    none: {}\n    bad: {config.event: exception}\n    other: {config.learning_rate: 0.1}\n"
    done = dlwb("run", str(recipe(tmp_path, variants, seeds=1)), "-f")
    [comparison] = list_comparisons()
    assert done.returncode == 1 and "the dog ate it" in done.stderr, done.stderr
    assert [state_of(run).state for run in runs_of(comparison)] == ["finished", "failed", "finished"]
    state = comparison.standing().state
    assert state.state == "failed" and state.message == "2 of 3 runs finished, 1 failed"
    arms = compare.arms(comparison)
    assert [len(arm.values) for arm in arms.rows] == [1, 0, 1]
    assert arms.rows[1].verdict == "no difference, 0 of 1 seeds"
    assert sum(remark.startswith("bad, seed") for remark in arms.remarks) == 1
    assert all("\x1b" not in remark for remark in arms.remarks)


def test_a_run_that_cannot_be_created_is_noted_and_a_deleted_one_is_made_anew(tmp_path: Path) -> None:
    file = recipe(tmp_path, "    none: {}\n    other: {}\n", seeds=1)
    comparison = comparing.create(load_recipe(file))
    trusted = trust.paths.trusted()
    kept = trusted.read_bytes()
    trusted.write_text("{}")
    comparing.begin(comparison)
    until(lambda: not lock.is_held(comparison.lock))
    assert all("is not trusted" in part.problem for part in comparison.parts()) and not list_runs()
    trusted.write_bytes(kept)
    comparing.begin(comparison)
    assert over(comparison) == "finished"
    assert not any(part.problem for part in comparison.parts())
    dlwb("delete", runs_of(comparison)[1].id)
    assert comparison.standing().state.message == "1 of 2 runs finished"
    comparing.begin(comparison)
    assert over(comparison) == "finished" and len(list_runs()) == 2


def test_an_edit_meanwhile_reaches_no_run_of_it(tmp_path: Path) -> None:
    file = recipe(tmp_path, "    none: {}\n    other: {config.learning_rate: 0.1}\n", seeds=1)
    comparison = comparing.create(load_recipe(file))
    source = (file.parent / "line.py").read_bytes()
    (file.parent / "line.py").write_text("raise SystemExit")
    file.write_text("title: gone")
    comparing.begin(comparison)
    assert over(comparison) == "finished"
    assert {run.project_copy.read_bytes() for run in runs_of(comparison)} == {source}


def test_gpus_train_side_by_side(tmp_path: Path) -> None:
    slow = "{epochs: 300, batch_size: 10, log_every: 5}"
    variants = "    none: {}\n    other: {}\n    third: {}\n"
    file = recipe(tmp_path, variants, seeds=1, train=slow, source=CUDA_LINE, config="{sleep: 0.01}")
    done = dlwb_on(machine(tmp_path), "run", str(file))
    assert done.returncode == 0, done.stderr
    [comparison] = list_comparisons()
    assert nth(comparison, 0) and nth(comparison, 1)
    assert {run.recipe().compute.device for run in runs_of(comparison)} == {"cuda:0", "cuda:1"}
    assert all(state_of(run).alive for run in runs_of(comparison)) and len(list_runs()) == 2
    launch.stop(runs_of(comparison)[0])
    third = nth(comparison, 2)
    assert state_of(third).alive and len(list_runs()) == 3
    group_process.stop(comparison)
    assert over(comparison) == "stopped"


def test_words_mean_the_comparison_or_one_of_its_runs(tmp_path: Path) -> None:
    comparison = started(recipe(tmp_path, "    none: {}\n    other: {}\n", seeds=1))
    assert over(comparison) == "finished"
    run = runs_of(comparison)[0]
    assert find_comparison("line") == find_comparison(comparison.id) == comparison
    assert find_comparison(run.id) is None and find_comparison(run.id[5:17]) is None and find_comparison("last") is None
    number = comparison.id.rpartition("_")[0]
    assert find_comparison(number) == find_comparison(number, ends="stop") == comparison and find_comparison("ne_", ends="stop") is None
    offered = dlwb("compare", run.id, runs_of(comparison)[1].id)
    assert offered.returncode == 0 and "test/loss" in offered.stdout, "runs of a comparison are compared like any others"
    make_run("line", stamp="2999-01-01_000000")
    assert find_comparison("line") is None, "a later run of that recipe"


def test_it_is_deleted_with_all_its_runs_or_none_and_restored_by_its_id(tmp_path: Path) -> None:
    comparison = started(recipe(tmp_path, "    none: {}\n    other: {}\n", seeds=1))
    refused = dlwb("delete", comparison.id)
    assert refused.returncode == 1 and f"{comparison.id} is running." in refused.stderr, refused.stderr
    assert over(comparison) == "finished"
    first, second = runs_of(comparison)
    with_lock = lock.Lock.take(second.lock)
    assert with_lock
    # Its last run lives, as when it was resumed by itself.
    refused = dlwb("delete", comparison.id)
    assert refused.returncode == 1 and f"{second.id} is running." in refused.stderr and list_runs() == [second, first]
    with_lock.release()
    done = dlwb("delete", comparison.id)
    assert done.returncode == 0 and f"{comparison.id}: 2 runs in the trash; `dlwb restore {comparison.id}`" in done.stderr, done.stderr
    assert not list_runs() and not list_comparisons() and comparison.id not in dlwb("runs").stdout
    back = dlwb("restore", comparison.id)
    assert back.returncode == 0 and set(back.stdout.split()) == {first.id, second.id}
    assert list_comparisons() == [comparison] and comparison.standing().state.state == "finished"


def test_a_device_that_is_not_there_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = dlwb("run", str(recipe(tmp_path, "    none: {}\n    other: {}\n")), "--device", "cuda")
    assert done.returncode == 1 and "CPU only" in done.stderr, done.stderr
    assert not list_comparisons() and not list_runs()
