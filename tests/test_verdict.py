"""Figures are of the weights that a run keeps, and nothing is judged on a DEMO or a stand-in."""

from typing import Any

import pytest

from workbench.recipes.recipe import Bar, Recipe, Reference, Train
from workbench.runs import bars as verdict
from workbench.runs.summary import Summary

LAST: dict[str, float | str] = {"valid/loss": 0.2, "valid/accuracy": 0.9, "test/accuracy": 0.97}
BEST: dict[str, float | str] = {"valid/loss": 0.1, "valid/accuracy": 0.95, "test/accuracy": 0.97}


def recipe(**more: Any) -> Recipe:
    return Recipe(title="x", project="x", **more)


def summary(**more: Any) -> Summary:
    return Summary(size=1, last=LAST, best=BEST, **more)


@pytest.mark.parametrize(("keep_best", "loss"), [("valid/loss", 0.1), ("", 0.2), ("valid/accuracy", 0.2)])
def test_a_figure_is_of_the_weights_that_are_kept(keep_best: str, loss: float) -> None:
    kept = recipe(train=Train(keep_best=keep_best))
    assert verdict.figure(kept, summary(), "valid/loss") == loss
    assert verdict.figure(kept, summary(), "test/accuracy") == 0.97
    assert verdict.figure(kept, summary(), "test/loss") is None


def test_a_lucky_moment_does_not_pass_a_bar() -> None:
    bars = [Bar(metric="valid/loss", at_most=0.15), Bar(metric="test/accuracy", at_least=0.97)]
    assert [each.passed for each in verdict.judge(recipe(bar=bars), summary())] == [False, True]
    assert [each.passed for each in verdict.judge(recipe(bar=bars, train=Train(keep_best="valid/loss")), summary())] == [True, True]


@pytest.mark.parametrize("why", [{"demo": "random weights"}, {"variant": "LFW in place of CelebA"}])
def test_nothing_is_judged_on_a_demo_or_a_stand_in(why: dict[str, str]) -> None:
    bars = [Bar(metric="test/accuracy", at_least=0.5)]
    [judged] = verdict.judge(recipe(bar=bars), summary(**why))
    assert judged.value == 0.97 and judged.passed is None
    assert verdict.best_of(recipe(bar=bars), [summary(**why), summary()]) == ("test/accuracy", 0.97, "")


def test_the_best_of_runs_with_other_data_is_told_with_it_and_a_demo_has_none() -> None:
    other, third = summary(variant="own.csv"), summary(variant="third.csv")
    assert verdict.best_of(recipe(), [summary(demo="made up")]) is None
    assert verdict.best_of(recipe(), [summary(demo="made up"), other, third]) == ("valid/loss", 0.2, "own.csv")


def test_a_run_is_named_by_what_its_bar_or_the_course_is_about() -> None:
    known = [Reference(metric="test/accuracy", value=0.98, source="course")]
    assert verdict.headline(recipe(reference=known), summary()) == "test/accuracy"
    assert verdict.headline(recipe(), summary()) == "valid/loss"
