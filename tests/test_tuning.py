"""Tunings as real processes: trials are ordinary runs, a killed tuner goes on as if it had never been killed, what fails is said."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from gpu_machine import CUDA_LINE, machine
from gpu_machine import dlwb as dlwb_on
from lines import LINE, comparable, ended, folded, until
from test_cli import dlwb
from tuned import APART, outcome, over, recipe, replayed, resumed_here, started

from workbench import paths
from workbench.launch import group_process, tuning
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes.load import load_recipe
from workbench.runs import lock, notes, tunings
from workbench.runs.run import Run, list_runs
from workbench.runs.state import attempts, state_of
from workbench.runs.tunings import Tuning, find_tuning, list_tunings

pytestmark = pytest.mark.usefixtures("nothing_is_left")

PRUNED = {"pruner": "asha", "trials": 4, "seeds": 2}
SEED = 9
"""Its first trial has a middle learning rate, the second one a small one, so that it falls behind, the third one a large one; the fourth
is proposed by what these have reached."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a tuning that ended: four trials one after the other, some of them pruned, and the best with two new seeds."""
    folder = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DLWB_HOME", str(folder / "home"))
        chosen = started(recipe(folder / "project", source=APART, **PRUNED), f"seed={SEED}")
        assert over(chosen) == "finished", chosen.standing()
    return folder / "home"


@pytest.fixture
def whole(finished: Path, home: Path) -> Tuning:
    """That tuning, in the home of this test."""
    shutil.copytree(finished, home, symlinks=True)
    [chosen] = list_tunings()
    return chosen


def test_trials_are_ordinary_runs_and_the_best_is_trained_again_with_new_seeds(whole: Tuning, tmp_path: Path) -> None:
    standing = whole.standing()
    assert [trial.number for trial in standing.trials] == [0, 1, 2, 3] and standing.trials[3].seen == [0, 1, 2]
    assert [trial.state for trial in standing.trials][:3] == ["finished", "pruned", "finished"]
    runs = [trial.place for trial in standing.trials]
    assert len(list_runs()) == 6
    for number, (trial, run) in enumerate(zip(standing.trials, runs, strict=True)):
        assert run and run.stem == "line" and run.about()["tuning"] == whole.id and run.about()["trial"] == number
        assert f"trial-{number}" in notes.read(run).tags and run.recipe().seed == SEED and run.recipe().tune is None
        assert run.recipe().config["learning_rate"] == trial.params["config.learning_rate"]
        assert run.recipe().train.batch_size == trial.params["train.batch_size"]
        if trial.state == "finished":
            assert trial.value == folded(run).last("valid/loss")
    best = standing.best
    assert best and best.value == min(trial.value or 9 for trial in standing.trials if trial.state == "finished")
    assert [(one.trial, one.seed) for one in standing.again] == [(best.number, SEED + 1), (best.number, SEED + 2)]
    figure = standing.figure
    assert figure and figure.metric.mean == pytest.approx(sum(one.value or 0 for one in standing.again) / 2)
    assert figure.metric.mean != best.value and figure.tests["test/loss"].mean == pytest.approx(figure.metric.mean + 1)
    again = standing.again[0].place
    assert again and again.recipe().seed == SEED + 1 and again.recipe().config == runs[best.number].recipe().config
    # A trial is what the same settings give alone, bit for bit.
    file = recipe(tmp_path / "project", source=APART)
    file.write_text(file.read_text().partition("tune:")[0])
    alone = launch.start(str(file), [f"{name}={value}" for name, value in {**best.params, "seed": SEED}.items()])
    assert ended(alone).state == "finished"
    assert comparable(folded(alone)) == comparable(folded(runs[best.number]))


def test_a_pruned_trial_stopped_with_a_checkpoint_or_had_ended_before_anybody_looked(whole: Tuning) -> None:
    pruned = [trial for trial in whole.standing().trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial.place and trial.value == folded(trial.place).series["valid/loss"].values[trial.evaluations]
        assert state_of(trial.place).state in ("stopped", "finished") and any(trial.place.path.glob("checkpoints/*"))


def test_a_tuner_that_died_after_any_of_its_records_goes_on_as_if_it_had_not(whole: Tuning) -> None:
    """Every moment between two records, and a torn one: the same proposals, the same values, the same best; no trial trains twice."""
    expected, lines, runs = outcome(whole), whole.events.read_bytes().splitlines(keepends=True), list_runs()
    assert len(lines) > 12
    for number in range(1, len(lines)):
        # Every other one is torn in the middle of the next record.
        torn = lines[number][: len(lines[number]) // 2] * (number % 2)
        whole.events.write_bytes(b"".join(lines[:number]) + torn)
        (whole.path / "importance.json").unlink(missing_ok=True)
        resumed_here(whole, 4)
        assert outcome(whole) == expected, f"after {number} of {len(lines)} records"
    assert list_runs() == runs and all(attempts(run) == 1 for run in runs)
    assert whole.standing().state.state == "finished"


def test_a_proposal_follows_from_the_trials_that_had_ended(whole: Tuning) -> None:
    pairs = replayed(whole)
    assert len(pairs) == 4 and all(proposed == again for proposed, again in pairs)


def test_a_killed_tuner_whose_trials_go_on_is_resumed_and_ends_like_one_that_was_not_killed(whole: Tuning, tmp_path: Path) -> None:
    file = recipe(tmp_path / "killed", config="{sleep: 0.02}", source=APART, **PRUNED)
    done = dlwb("tune", str(file), "--set", f"seed={SEED}")
    assert done.returncode == 0, done.stderr
    chosen = next(one for one in list_tunings() if one != whole)
    assert done.stdout.strip() == chosen.id
    until(lambda: len(chosen.standing().trials) == 2 and (run := chosen.standing().trials[1].place) and folded(run).step > 5)
    process = lock.content(chosen.lock)["process"]["pid"]
    assert os.getsid(process) == process, "the terminal's end does not reach it"
    assert chosen.signal(signal.SIGKILL)
    until(lambda: not lock.is_held(chosen.lock))
    state = chosen.standing().state
    assert (state.state, state.cause) == ("failed", "vanished") and "1 of 4 trials ended" in state.message
    time.sleep(0.3)
    assert len(chosen.standing().trials) == 2, "nobody proposes another one"
    done = dlwb("resume", chosen.id, "--follow")
    assert done.returncode == 0, done.stderr
    assert "trial 3: valid/loss" in done.stderr and "with 2 new seeds: valid/loss" in done.stdout
    trials, again, best, figure, _ = outcome(chosen)
    # The other one did not sleep, which changes no figure.
    assert [trials, again, best, figure] == outcome(whole)[:4]
    assert all(attempts(run) == 1 for run in list_runs() if run.about()["tuning"] == chosen.id)
    assert "--trials" in dlwb("tuning", "resume", chosen.id).stderr


def test_stop_ends_the_trials_with_a_checkpoint_and_resume_goes_on_with_them(tmp_path: Path) -> None:
    chosen = started(recipe(tmp_path, train="{epochs: 60, batch_size: 10, log_every: 5}", config="{sleep: 0.01}", parallel=2, trials=2))
    until(lambda: sum(bool(trial.place and folded(trial.place).step > 10) for trial in chosen.standing().trials) == 2)
    first, second = (trial.place for trial in chosen.standing().trials)
    assert first and second and chosen.standing().trials[1].seen == []
    listed = dlwb("tuning", "list")
    assert listed.stdout.splitlines()[1].split()[:3] == [chosen.id, "running", "0/2"], listed.stdout
    done = dlwb("stop", "line")
    assert done.returncode == 0 and chosen.id in done.stderr, done.stderr
    waited = dlwb("wait", chosen.id)
    assert waited.returncode == 3 and "0 of 2 trials ended" in waited.stderr, waited.stderr
    assert [state_of(run).state for run in (first, second)] == ["stopped", "stopped"] and any(first.path.glob("checkpoints/step-*.json"))
    assert "is not running" in dlwb("tuning", "stop", chosen.id).stderr
    launch.kill
    tuning.begin(chosen)
    until(lambda: attempts(first) == 2)
    with pytest.raises(Problem, match="is running already"):
        tuning.begin(chosen)
    with pytest.raises(Problem, match="is running"):
        from workbench.runs import trash

        trash.delete_group(chosen)
    group_process.stop(chosen)
    assert over(chosen) == "stopped" and len(list_runs()) == 2


def test_what_is_never_logged_and_what_always_fails_end_a_tuning_with_a_sentence(tmp_path: Path) -> None:
    chosen = started(recipe(tmp_path / "a", metric="valid/los", train="{epochs: 1, batch_size: 50, log_every: 1}"))
    assert over(chosen) == "failed"
    standing = chosen.standing()
    assert len(standing.trials) == 1 and standing.trials[0].state == "failed"
    message = standing.state.message
    assert message.startswith("valid/los is never logged: ") and "logs train/loss, valid/loss; did you mean valid/loss?" in message
    # By now its runs tell it before anything starts.
    with pytest.raises(Problem, match=r"No run of line has logged valid/los; did you mean valid/loss\?"):
        started(recipe(tmp_path / "a", metric="valid/los", train="{epochs: 1, batch_size: 50, log_every: 1}"))
    broken = started(recipe(tmp_path / "b", source=LINE.replace("self.weights = np", "self.weights = nump")))
    assert over(broken) == "failed"
    state = broken.standing().state
    assert (
        len(broken.standing().trials) == 3 and state.message.startswith("Its first 3 trials failed; the last: ") and "nump" in state.message
    )


def test_the_table_is_printed_and_told_to_programs_and_all_goes_to_the_trash_together(whole: Tuning) -> None:
    standing = whole.standing()
    assert standing.best and standing.figure
    shown = dlwb("tuning", "show", "line")
    lines = shown.stdout.splitlines()
    assert (
        lines[0].split() == ["TRIAL", "STATE", "valid/loss", "TIME", "learning_rate", "batch_size"]
        and lines[standing.best.number + 1].count("*") == 1
    )
    assert "10 finished trials" in shown.stderr and "was chosen, so it is too good" in shown.stderr
    told = json.loads(dlwb("tuning", "show", whole.id, "--json").stdout)
    assert told["best"] == standing.best.number and told["result"]["valid/loss"]["mean"] == standing.figure.metric.mean
    assert [trial["params"] for trial in told["trials"]] == [trial.params for trial in standing.trials]
    assert json.loads(dlwb("tuning", "list", "--json").stdout) == [told]
    assert "There is no tuning other" in dlwb("tuning", "show", "other").stderr
    done = dlwb("delete", whole.id)
    assert f"{whole.id}: 6 runs in the trash" in done.stderr and not list_runs() and not list_tunings()
    assert len(dlwb("restore", whole.id).stdout.split()) == 6 and find_tuning("line") == whole


def test_a_run_that_was_deleted_is_no_loss_and_one_of_another_home_is_none_of_ours(whole: Tuning) -> None:
    expected, first = outcome(whole), whole.standing().trials[0].place
    assert first
    shutil.rmtree(first.path)
    assert outcome(whole) == expected, "its value stands in the records"
    tunings.append(whole.events, tunings.Started(trial=0, run="../line"))
    assert whole.standing().trials[0].place is None


def test_a_recipe_without_a_block_and_optuna_that_is_missing_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "digits-mlp has no tune: block" in dlwb("tune", "digits-mlp", "--trials", "3").stderr
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "optuna" else find(name, *more))
    with pytest.raises(Problem, match="needs Optuna, which is not installed") as missing:
        tuning.create(load_recipe(recipe(tmp_path)))
    assert missing.value.hint == "Install it: pip install 'dlwb[tune]'" and not list_tunings()


def test_threads_are_shared_and_a_grid_has_no_more_trials_than_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    space = "\n    train.batch_size: {int: [5, 20], step: 5}\n"
    chosen, remarks = tuning.create(load_recipe(recipe(tmp_path, space=space, sampler="grid", trials=9, parallel=3)))
    assert remarks == ["The grid has 4 points, so there are 4 trials, not 9."]
    assert load_recipe(chosen.base).recipe.compute.threads == 2, "three trials on eight cores"
    assert load_recipe(chosen.base, ["compute.threads=5"]).recipe.compute.threads == 5


def test_as_many_trials_at_once_as_there_are_gpus(tmp_path: Path) -> None:
    file = recipe(tmp_path, train="{epochs: 300, batch_size: 10, log_every: 5}", config="{sleep: 0.01}", source=CUDA_LINE, parallel=3)
    done = dlwb_on(machine(tmp_path), "tune", str(file))
    assert done.returncode == 0 and "! 2 GPUs for 3 trials at once: 2 at a time." in done.stderr, done.stderr
    [chosen] = list_tunings()
    until(lambda: [trial.state for trial in chosen.standing().trials] == ["running", "running"])
    time.sleep(0.5)
    runs = list_runs()
    assert len(runs) == 2 and {run.recipe().compute.device for run in runs} == {"cuda:0", "cuda:1"}
    group_process.stop(chosen)
    assert over(chosen) == "stopped"


def test_a_goal_against_what_a_run_keeps_is_refused(tmp_path: Path) -> None:
    train = "{epochs: 1, keep_best: valid/loss}"
    with pytest.raises(Problem, match="keeps the weights of the lowest valid/loss, but tune"):
        tuning.create(load_recipe(recipe(tmp_path, train=train, goal="maximize")))
    assert not paths.tunings().exists() or not list_tunings()


def test_words_mean_the_tuning_or_one_of_its_runs(whole: Tuning) -> None:
    run = whole.standing().trials[0].place
    assert isinstance(run, Run) and find_tuning(run.id) is None and find_tuning("last") is None
    assert find_tuning(whole.id[:12]) == whole and find_tuning("ne_", ends="stop") is None
