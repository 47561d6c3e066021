"""What became of a recipe: not yet, running, explored, trained, passed its bar, missed it. The list and `dlwb course` show it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from workbench import paths
from workbench.runs import bars

if TYPE_CHECKING:
    from workbench.recipes.load import Loaded
    from workbench.recipes.recipe import Recipe
    from workbench.runs.notes import Notes
    from workbench.runs.state import State
    from workbench.runs.summary import Summary

NEW_SEED = "best-seed-"
"""How the tag of a run begins that trains a tuning's best settings again."""
NOT_YET, RUNNING, EXPLORED, TRAINED, PASSED, MISSED = "not yet", "running", "explored", "trained", "passed", "missed"


class Past(Protocol):
    """A run as the lists know it."""

    @property
    def state(self) -> State: ...
    @property
    def summary(self) -> Summary: ...
    @property
    def notes(self) -> Notes: ...


AnyPast = TypeVar("AnyPast", bound=Past)


class Standing(NamedTuple):
    """What became of a recipe."""

    state: str
    best: bars.Best | None = None
    """The best figure of its runs."""
    done: bool = False
    """Whether it counts: it passed its bars; or, where it has none, it was trained to the end or, if it is only explored, explored."""


def explored() -> set[str]:
    """Names of the recipes that were explored."""
    try:
        return {name.removesuffix(".json") for name in os.listdir(paths.explored("").parent) if not name.startswith(".")}
    except OSError:
        return set()


def standing(loaded: Loaded | None, past: Sequence[Past], explored_names: Collection[str] = ()) -> Standing:
    """What became of a recipe, from its runs and from the names of those that were explored; of one with mistakes: not yet."""
    if loaded is None:
        return Standing(NOT_YET)
    recipe, alive = loaded.recipe, any(run.state.alive for run in past)
    past = counted(recipe, past)
    summaries = [run.summary for run in past]
    best = bars.best_of(recipe, summaries)
    ended = [run.summary for run in past if run.state.state == "finished" and not run.summary.demo]
    is_explored = loaded.stem in explored_names
    passed = any(_passed(loaded, summary) for summary in summaries)
    if passed:
        state = PASSED
    elif recipe.bar and any(judged.passed is not None for summary in ended for judged in bars.judge(recipe, summary)):
        state = MISSED
    elif ended:
        state = TRAINED
    else:
        state = EXPLORED if is_explored else NOT_YET
    done = passed or (state == TRAINED and not recipe.bar) or (is_explored and not loaded.trains)
    # What was reached before counts on while it runs again.
    return Standing(RUNNING if alive else state, best, done)


def counted(recipe: Recipe, past: Sequence[AnyPast]) -> list[AnyPast]:
    """The runs whose figures count: of a tuning the trainings with new seeds, as the best trial is chosen and its figures flatter."""
    return [run for run in past if recipe.tune is None or any(tag.startswith(NEW_SEED) for tag in run.notes.tags)]


def _passed(loaded: Loaded, summary: Summary) -> bool:
    judged = bars.judge(loaded.recipe, summary)
    return bool(judged) and all(outcome.passed for outcome in judged)


def words(standing: Standing) -> str:
    """The state with its figure, and ✓ or ✗ where a bar decides: `passed ✓ test accuracy 0.9897`."""
    mark = {PASSED: " ✓", MISSED: " ✗"}.get(standing.state, " ✓" if standing.done else "")
    return f"{standing.state}{mark}" + (f" {figure(standing.best)}" if standing.best else "")


def figure(best: bars.Best) -> str:
    """A recipe's best figure in words: `test accuracy 0.9897`, and the stand-in data it was measured on."""
    from workbench.formatting import number

    return f"{bars.short_name(best.metric)} {number(best.value)}" + (f", with {best.variant}" if best.variant else "")
