"""What is proposed and what is pruned follows from the records alone; the models learn; a Gaussian process leaves no torch behind."""

import math
import sys
from typing import Any

import msgspec
import pytest

from workbench.launch import proposing
from workbench.launch.proposing import Judge, Past, Question, clipped, contains, propose
from workbench.problems import Problem
from workbench.recipes.recipe import Dimension, Tune

SPACE = {
    "config.rate": Dimension(real=[0.001, 1.0], log=True),
    "config.units": Dimension(whole=[16, 128], step=16),
    "config.cell": Dimension(choose=["lstm", "gru", [1, 2], True]),
    "config.clip": Dimension(real=[0.0, 10.0], step=0.1, when={"config.cell": ["gru", "lstm"]}),
}


def tune(**more: Any) -> Tune:
    return Tune(**{"metric": "valid/loss", "goal": "minimize", "trials": 24, "space": SPACE, **more})


def tried(count: int, **more: Any) -> list[Past]:
    """Trials whose value is better the nearer the rate is to 0.1, with which nothing else has to do."""
    about, past = tune(**more), list[Past]()
    for number in range(count):
        params = propose(Question(tune=about, seed=7, number=number, past=past))
        past.append(Past(params=params, state="finished", value=abs(math.log10(params["config.rate"]) + 1)))
    return past


@pytest.fixture(scope="module")
def learnt() -> list[Past]:
    return tried(24)


def test_proposals_lie_in_the_space_and_follow_from_seed_number_and_history(learnt: list[Past]) -> None:
    for past in learnt:
        params = past.params
        assert all(contains(SPACE[name], value) for name, value in params.items()), params
        assert ("config.clip" in params) == (params["config.cell"] in ("gru", "lstm"))
        assert len(f"{params['config.rate']:.12g}".replace("0.", "").lstrip("0")) <= 6, "six digits, to be copied"
    question = Question(tune=tune(), seed=7, number=24, past=learnt)
    same = propose(question)
    assert propose(question) == same
    others = [Question(tune=tune(), seed=8, number=24, past=learnt), Question(tune=tune(), seed=7, number=25, past=learnt)]
    assert all(propose(other) != same for other in others)
    # What still runs is seen too, so that two trials at once are not the same.
    running = [*learnt, Past(params=same, state="running")]
    assert propose(Question(tune=tune(), seed=7, number=24, past=running)) != same


def test_it_learns_where_the_best_lie(learnt: list[Past]) -> None:
    random = tried(24, sampler="random")
    mean = lambda past: sum(one.value or 0 for one in past[12:]) / 12  # noqa: E731
    assert mean(learnt) < 0.6 * mean(random)
    assert propose(Question(tune=tune(sampler="random"), seed=7, number=3, past=learnt)) == random[3].params, "whatever was learnt"


def test_one_that_diverged_teaches_and_one_that_failed_does_not(learnt: list[Past]) -> None:
    question = Question(tune=tune(), seed=7, number=9, past=learnt)
    bad = {"config.rate": 0.9, "config.units": 16, "config.cell": True}
    diverged, failed = ([*learnt, *[Past(params=bad, state=state, values=[1.0])] * 8] for state in ("diverged", "failed"))
    assert propose(Question(tune=tune(), seed=7, number=9, past=failed)) == propose(question)
    assert propose(Question(tune=tune(), seed=7, number=9, past=diverged)) != propose(question)


def test_a_gaussian_process_proposes_in_a_process_of_its_own(learnt: list[Past]) -> None:
    space = {"config.rate": SPACE["config.rate"]}
    past = [Past(params={"config.rate": one.params["config.rate"]}, state="finished", value=one.value) for one in learnt[:8]]
    question = Question(tune=tune(sampler="gp", space=space, trials=20), seed=1, number=8, past=past)
    had = "torch" in sys.modules
    best = min(past, key=lambda one: one.value or 0).params["config.rate"]
    proposed = propose(question)["config.rate"]
    assert ("torch" in sys.modules) == had
    assert abs(math.log10(proposed / best)) < 0.5, "after eight trials it looks near the best one"
    with pytest.raises(Problem, match="The Gaussian process made no proposal"):
        # Outside the space, which Optuna refuses.
        propose(
            Question(tune=question.tune, seed=1, number=9, past=[*past, Past(params={"config.rate": 7.0}, state="finished", value=1.0)])
        )


def falling(floor: float) -> list[float]:
    return [floor + 1 / (step + 1) for step in range(16)]


@pytest.mark.parametrize(("pruner", "length"), [("median", 16), ("asha", 16), ("hyperband", 16)])
def test_what_falls_behind_is_pruned_whenever_it_is_looked_at(pruner: str, length: int) -> None:
    """All values at once, one by one, or by a judge that was made anew after each: the same trials at the same evaluations."""
    about = tune(pruner=pruner, space={"config.rate": SPACE["config.rate"]})
    floors = [0.5, 0.4, 0.45, 0.3, 0.42, 0.9, 0.1, 0.8, 0.35, 0.7, 0.2, 0.95]

    def run(way: str) -> list[tuple[int, bool]]:
        ends: list[tuple[int, bool]] = []
        past: list[Past] = []
        judge = Judge(about, length)
        for number, floor in enumerate(floors):
            params = {"config.rate": 0.1}
            judge.add(number, Past(params=params, state="running"))
            values, notes, at, pruned, seen = falling(floor), dict[str, Any](), 0, False, 0
            while not pruned and seen < 16:
                seen = 16 if way == "whole" else seen + 1
                if way == "anew":
                    judge = Judge(about, length)
                    for other, one in enumerate(past):
                        judge.add(other, one)
                    judge.add(number, Past(params=params, state="running", notes=notes))
                while True:
                    at, pruned, more = judge.judge(number, values[:seen])
                    notes.update(more)
                    if not at or pruned:
                        break
            ends.append((at, pruned))
            one = Past(params=params, state="pruned" if pruned else "finished", value=None if pruned else values[-1], notes=notes)
            past.append(msgspec.structs.replace(one, values=values[:at] if pruned else values))
            judge.end(number, past[-1])
        return ends

    whole = run("whole")
    assert whole == run("one by one") == run("anew")
    pruned = [floor for floor, (_, was) in zip(floors, whole, strict=True) if was]
    assert 0.95 in pruned and 0.1 not in pruned and 0.3 not in pruned
    if pruner == "median":
        assert not any(was for _, was in whole[:5]), "five trials end before any is pruned"
        assert all(at >= 2 for at, was in whole if was), "none in the first tenth of its length"


def test_importance_names_what_decides(learnt: list[Past]) -> None:
    shares = proposing.importance(tune(), learnt)
    assert next(iter(shares)) == "config.rate" and shares["config.rate"] > 0.4 and sum(shares.values()) == pytest.approx(1)
    higher = [msgspec.structs.replace(one, value=-(one.value or 0)) for one in learnt]
    assert proposing.importance(tune(goal="maximize"), higher) == pytest.approx(shares)


def test_settings_of_another_tuning_are_moved_into_the_ranges() -> None:
    moved = clipped(SPACE, {"config.rate": 5, "config.units": 100, "config.cell": [1, 2], "config.clip": 3.14, "config.else": 1})
    assert moved == {"config.rate": 1.0, "config.units": 96, "config.cell": [1, 2], "config.clip": pytest.approx(3.1)}
    assert clipped(SPACE, {"config.cell": "rnn", "config.rate": "high", "config.units": True}) == {}
    assert isinstance(moved["config.units"], int)
    fixed = Question(tune=tune(), seed=1, number=0, past=[], fixed={"config.rate": 0.5, "config.cell": [1, 2]})
    proposed = propose(fixed)
    assert proposed["config.rate"] == 0.5 and proposed["config.cell"] == [1, 2] and "config.units" in proposed


def test_a_grid_is_tried_point_by_point() -> None:
    space = {"config.units": Dimension(whole=[1, 3], step=1), "config.cell": Dimension(choose=["a", "b"])}
    about = tune(sampler="grid", space=space)
    points = [propose(Question(tune=about, seed=1, number=number, past=[])) for number in range(6)]
    assert len({str(point) for point in points}) == 6
