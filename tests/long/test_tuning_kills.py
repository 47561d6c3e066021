"""Tuners killed at random moments, with their trials or without, one trial at a time and three at once: as if nobody had."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from lines import folded, send, until
from tuned import APART, outcome, over, recipe, replayed, started

from workbench.launch import tuning
from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.run import list_runs
from workbench.runs.state import state_of
from workbench.runs.tunings import Tuning

pytestmark = pytest.mark.usefixtures("nothing_is_left")
TRAIN = "{epochs: 5, batch_size: 10, log_every: 5, checkpoint_every: 10}"
SLOW = "{sleep: 0.01}"
ABOUT = {"trials": 8, "seeds": 2, "pruner": "asha"}


def killed(chosen: Tuning, rng: random.Random, with_runs: bool) -> int:
    """Kill it, and in every other life its runs too, after a random time, until it ends; returns how often."""
    times = 0
    while True:
        end = time.monotonic() + rng.uniform(0.2, 6)
        while time.monotonic() < end and lock.is_held(chosen.lock):
            time.sleep(0.01)
        if not lock.is_held(chosen.lock):
            return times
        times += chosen.signal(signal.SIGKILL)
        until(lambda: not lock.is_held(chosen.lock))
        if with_runs and times % 2:
            for run in list_runs():
                if run.about().get("tuning") == chosen.id and state_of(run).alive:
                    for which in ("parent", "worker"):
                        try:
                            send(run, which, signal.SIGKILL)
                        except KeyError:
                            pass  # it has none yet
                    until(lambda run=run: not lock.is_held(run.lock))  # type: ignore[misc]
        try:
            tuning.begin(chosen)
        except Problem:
            assert chosen.standing().state.state == "finished"
            return times


@pytest.mark.parametrize("with_runs", [False, True])
def test_a_tuner_that_is_killed_again_and_again_ends_like_one_that_was_not(tmp_path: Path, home: Path, with_runs: bool) -> None:
    file = recipe(tmp_path, train=TRAIN, config=SLOW, source=APART, **ABOUT)
    whole = started(file)
    assert over(whole) == "finished"
    expected = outcome(whole)
    shutil.rmtree(home / "runs")
    again = started(file)
    times = killed(again, random.Random(4), with_runs)
    assert times >= 4, "it was killed too late to prove anything"
    assert over(again) == "finished" and outcome(again) == expected
    # Each trial has one run, and the logs of both were folded in.
    ours = [run.about() for run in list_runs() if run.about().get("tuning") == again.id]
    assert len({(about["trial"], about.get("seed")) for about in ours}) == len(ours) == 10


def test_three_at_once_every_proposal_follows_from_what_had_ended_when_it_was_made(tmp_path: Path) -> None:
    chosen = started(recipe(tmp_path, train=TRAIN, config=SLOW, parallel=3, trials=10, seeds=2))
    times = killed(chosen, random.Random(5), True)
    assert over(chosen) == "finished" and times >= 2
    pairs = replayed(chosen)
    assert len(pairs) == 10 and all(proposed == again for proposed, again in pairs)
    trials = chosen.standing().trials
    assert all(len(trial.seen) >= trial.number - 2 for trial in trials) and any(len(trial.seen) < trial.number for trial in trials)
    for trial in trials:
        assert trial.place and trial.value == folded(trial.place).last("valid/loss")


def test_a_gaussian_process_proposes_the_same_after_a_kill(tmp_path: Path, home: Path) -> None:
    file = recipe(tmp_path, train=TRAIN, source=APART, trials=5, seeds=1, sampler="gp")
    whole = started(file)
    assert over(whole) == "finished"
    expected = outcome(whole)
    shutil.rmtree(home / "runs")
    again = started(file)
    assert killed(again, random.Random(6), False) >= 2
    assert over(again) == "finished" and outcome(again) == expected
