"""What the folder of a tuning amounts to: trials, the best, the figure of new seeds; torn and damaged lines cost nothing else."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from made_runs import make_run

from workbench import paths
from workbench.problems import Problem
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import Bar, Dimension, Recipe, Tune
from workbench.runs import lock, standing, tunings
from workbench.runs.notes import Notes
from workbench.runs.state import State
from workbench.runs.summary import Summary
from workbench.runs.tunings import Asked, Ended, Judged, Parent, Plan, Started, Tuning, Turned, find_tuning, list_tunings

SPACE = {"config.learning_rate": Dimension(real=[0.01, 1.0], log=True)}


def made(*records: tunings.AnyRecord, goal: str = "minimize", seeds: int = 2) -> Tuning:
    tuning = Tuning(paths.tunings() / "line_2026-11-30_020000")
    tuning.path.mkdir(parents=True)
    tune = Tune(metric="valid/loss", goal=goal, trials=4, space=SPACE, seeds=seeds)
    (tuning.path / "tuning.json").write_bytes(msgspec.json.encode(Plan(recipe="line.yaml", title="A line", tune=tune, seed=1)))
    for record in records:
        tunings.append(tuning.events, record)
    return tuning


def asked(number: int, rate: float = 0.1) -> Asked:
    return Asked(trial=number, params={"config.learning_rate": rate}, seen=list(range(number)))


def ended(number: int, value: float | None, state: str = "finished", seconds: float = 10.0) -> Ended:
    return Ended(trial=number, state=state, value=value, seconds=seconds, evaluations=5, planned=5, step=100)


def test_trials_are_what_the_lines_say_and_the_best_is_of_those_that_finished() -> None:
    lines = [asked(0), ended(0, 0.5), asked(1), Judged(trial=1, evaluation=2, pruned=True, notes={"rung": 0.1}), ended(1, 0.1, "pruned")]
    lines += [asked(2), ended(2, None, "diverged"), asked(3), ended(3, 0.4), Turned(state="ended")]
    standing = made(*lines).standing()
    assert [trial.state for trial in standing.trials] == ["finished", "pruned", "diverged", "finished"]
    assert standing.best and (standing.best.number, standing.best.value) == (3, 0.4), "a pruned trial has no value of its whole length"
    assert [(step.trial, step.value, step.seconds) for step in standing.progress] == [
        (0, 0.5, 10),
        (1, 0.5, 20),
        (2, 0.5, 30),
        (3, 0.4, 40),
    ]
    assert standing.state.state == "finished"
    assert standing.state.message == "4 of 4 trials ended, 1 pruned, 1 diverged; best valid/loss 0.4 (trial 3)"
    assert standing.figure is None, "nothing was trained again"


def test_the_figure_is_the_mean_over_new_seeds_and_never_the_best_value() -> None:
    tuning = made(asked(0), ended(0, 0.5), asked(1), ended(1, 0.9), goal="maximize")
    for seed, value in ((2, 0.8), (3, 0.6)):
        assert tuning.standing().figure is None
        tunings.append(tuning.events, Started(trial=1, seed=seed, run=f"run-{seed}"))
        tunings.append(tuning.events, Ended(trial=1, seed=seed, state="finished", value=value, figures={"test/loss": value + 1}))
    standing = tuning.standing()
    assert standing.best and standing.best.number == 1
    figure = standing.figure
    assert (
        figure and figure.trial == 1 and figure.metric.mean == pytest.approx(0.7) and figure.tests["test/loss"].mean == pytest.approx(1.7)
    )
    assert figure.metric.low is not None and figure.metric.low < 0.6


@pytest.mark.parametrize("left", [1, 30, 1000])
def test_a_torn_line_costs_itself_alone(left: int) -> None:
    tuning = made(asked(0), ended(0, 0.5))
    whole = tuning.events.read_bytes()
    first = whole.index(b"\n") + 1
    tuning.events.write_bytes(whole[: min(first + left, len(whole) - 1)])
    # Of the last case nothing but the newline is missing: it is whole.
    ends = left == 1000
    assert [trial.state for trial in tuning.standing().trials] == ["finished" if ends else "asked"]
    tunings.append(tuning.events, ended(0, 0.25))
    assert tuning.standing().trials[0].value == 0.25
    damaged = tuning.events.read_bytes().replace(b'"value":0.25', b'"value":0.35')
    tuning.events.write_bytes(damaged)
    assert tuning.standing().trials[0].value == (0.5 if ends else None), "a line that no CRC vouches for is none"


def test_a_live_trial_is_as_its_run_is_and_a_run_names_its_group() -> None:
    run = make_run("line", stamp="2026-11-30_020001")
    tuning = made(asked(0), Started(trial=0, run=run.id), asked(1), Started(trial=1, run="../../etc"))
    standing = tuning.standing()
    assert standing.trials[0].place == run and standing.trials[0].state == "created"
    assert standing.trials[1].place is None
    assert standing.state.state == "failed" and "`dlwb tuning resume`" in standing.state.hint
    held = lock.Lock.take(tuning.lock)
    assert held and tuning.standing().state.alive
    held.release()
    assert list_tunings() == [tuning] and find_tuning("line") == find_tuning(tuning.id) == tuning
    assert find_tuning(run.id) is None


def test_what_is_foreign_is_cleaned_and_what_is_damaged_is_said() -> None:
    parent = Parent(tuning="a\x1b[31m", number=1, params={"config.\x1b[0mx": 1}, value=1.0)
    tuning = made(parent, parent)
    assert tuning.standing().parents == [
        Parent(time=tuning.standing().parents[0].time, tuning="a", number=1, params={"config.x": 1}, value=1)
    ]
    (tuning.path / "tuning.json").write_text('{"recipe": 1}')
    with pytest.raises(Problem, match="is damaged"):
        tuning.plan()


def test_the_figure_of_a_recipe_that_tunes_is_of_new_seeds_alone() -> None:
    tune = Tune(metric="valid/loss", goal="minimize", space=SPACE)
    recipe = Recipe(title="x", project="y", bar=[Bar(metric="test/loss", at_most=0.4)], tune=tune)

    class Past(NamedTuple):
        state: State
        summary: Summary
        notes: Notes

    def past(loss: float, tag: str) -> Past:
        return Past(State(state="finished"), Summary(size=1, last={"test/loss": loss}, best={"test/loss": loss}), Notes((tag,)))

    loaded = Loaded(recipe=recipe, path=Path("x.yaml"))
    trials = [past(0.3, "trial-0"), past(0.9, "trial-1")]
    assert standing.standing(loaded, trials).state == "not yet", "the best of many trials is the luckiest one"
    missed = standing.standing(loaded, [*trials, past(0.5, "best-seed-2")])
    assert missed.state == "missed" and missed.best and missed.best.value == 0.5
    plain = Loaded(recipe=msgspec.structs.replace(recipe, tune=None), path=Path("x.yaml"))
    assert standing.standing(plain, trials).state == "passed"
