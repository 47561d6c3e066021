"""What a tuning learns from earlier ones, as SageMaker's warm start: their trials, or only their best settings."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from workbench.launch.proposing import clipped, contains
from workbench.problems import Problem, one_line
from workbench.recipes import search_space
from workbench.recipes.recipe import Recipe
from workbench.runs.directory import read_recipe
from workbench.runs.tunings import FINISHED, Parent, Plan, Trial, Tuning, find_tuning

BEST = 3
"""Settings that a transfer tries first."""
MISSING = object()


class _Earlier(NamedTuple):
    tuning: Tuning
    plan: Plan
    base: Recipe
    trials: list[Trial]
    """The finished ones, the best first."""


def parents(plan: Plan, base: Recipe) -> tuple[list[Parent], list[str]]:
    """The trials of earlier tunings that count in this one (`identical`), or are tried first (`transfer`), and remarks. Raises Problem.

    `base` is the recipe whose settings the trials change.
    """
    tune, chosen, remarks = plan.tune, list[Parent](), list[str]()
    earlier = [_earlier(name) for name in tune.start_from]
    if tune.kind == "transfer":
        # The best of each, then the second of each: values of other data are not comparable.
        ranked = [
            (one, trial)
            for rank in zip_longest(*(one.trials for one in earlier))
            for one, trial in zip(earlier, rank, strict=True)
            if trial
        ]
        for one, trial in ranked[:BEST]:
            if moved := clipped(tune.space, trial.params):
                chosen.append(_parent(one, trial, moved))
            else:
                remarks.append(f"Trial {trial.number} of {one.tuning.id} has no setting that is tuned here.")
        return chosen, remarks
    for one in earlier:
        if reason := _differs(one, plan, base):
            raise Problem(
                f"{one.tuning.id} {reason}, so its trials do not count here.", "tune.kind: transfer takes its best settings alone."
            )
        taken = [_parent(one, trial, params) for trial in one.trials if (params := _translated(one, trial, plan, base)) is not None]
        chosen += taken
        if len(taken) < len(one.trials):
            left = len(one.trials) - len(taken)
            remarks.append(f"{left} of {len(one.trials)} trials of {one.tuning.id} lie outside this space, and are left out.")
    return chosen, remarks


def _earlier(name: str) -> _Earlier:
    tuning = find_tuning(name)
    if tuning is None:
        raise Problem(f"start_from: there is no tuning {one_line(name, 100)}.", "`dlwb tuning list` shows them.")
    plan, standing = tuning.plan(), tuning.standing()
    sign = -1 if plan.tune.goal == "maximize" else 1
    rated = [(sign * trial.value, trial.number, trial) for trial in standing.trials if trial.state == FINISHED and trial.value is not None]
    if not rated:
        raise Problem(f"start_from: no trial of {tuning.id} has finished.", "Name another tuning.")
    return _Earlier(tuning, plan, read_recipe(tuning.base), [trial for _, _, trial in sorted(rated, key=lambda one: one[:2])])


def _parent(one: _Earlier, trial: Trial, params: dict[str, Any]) -> Parent:
    assert trial.value is not None
    return Parent(tuning=one.tuning.id, number=trial.number, params=params, value=trial.value)


def _differs(one: _Earlier, plan: Plan, base: Recipe) -> str:
    """In what its trials are no trials of this tuning, whatever their settings; "" where they are."""
    tune, its = plan.tune, one.plan.tune
    if (its.metric, its.goal) != (tune.metric, tune.goal):
        return f"judges its trials by another metric ({its.goal} {its.metric})"
    if one.plan.code != plan.code:
        return "has trained with other code"
    tuned = {*tune.space, *its.space}
    for section in ("config", "train"):
        mine, theirs = (msgspec.to_builtins(getattr(recipe, section)) for recipe in (base, one.base))
        for name in sorted({*mine, *theirs}):
            dotted = f"{section}.{name}"
            if any(f"{other}.".startswith(f"{dotted}.") for other in tuned):
                continue
            # How often something is logged decides nothing.
            if mine.get(name) != theirs.get(name) and dotted != "train.log_every":
                return f"has another {dotted}"
    return ""


def _translated(one: _Earlier, trial: Trial, plan: Plan, base: Recipe) -> dict[str, Any] | None:
    """A trial's settings in this space; None where it lies outside."""
    space = plan.tune.space
    for name, value in {**_values(one.base, one.plan.tune.space), **trial.params}.items():
        if name not in space and value != value_at(base, name):
            return None
    params: dict[str, Any] = {}
    for name in search_space.in_order(space):
        if search_space.holds(space[name].when, params):
            value = trial.params.get(name, value_at(one.base, name))
            if not contains(space[name], value):
                return None
            params[name] = value
    return params


def _values(recipe: Recipe, names: Sequence[str] | dict[str, Any]) -> dict[str, Any]:
    return {name: value for name in names if (value := value_at(recipe, name)) is not MISSING}


def value_at(recipe: Recipe, name: str) -> Any:
    """A recipe's value of a setting by its dotted name, as config.hidden.0; `MISSING` where there is none."""
    value: Any = msgspec.to_builtins(recipe)
    for part in name.split("."):
        if isinstance(value, dict):
            value = value.get(part, MISSING)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value
