"""Runs side by side: the settings that differ, and each run's figures. `dlwb compare` prints it, the terminal program draws it."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from workbench import files
from workbench.events import split_tag
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import bars
from workbench.runs.history import History, history_of
from workbench.runs.run import Run
from workbench.runs.summary import Summary, log_size, summarize

NOT_SET = "–"


class Side(NamedTuple):
    """One of the compared runs."""

    run: Run
    name: str
    """Short, and unique among the compared runs."""
    recipe: Recipe
    history: History
    summary: Summary


class Setting(NamedTuple):
    """A setting that is not the same in all runs."""

    name: str
    values: list[str]


class Row(NamedTuple):
    """A figure of each run; None where it was not measured."""

    metric: str
    values: list[float | None]
    best: int | None
    """Index of the best value; None where it is unknown which is better, or all are equal."""


def sides(chosen: Sequence[Run]) -> list[Side]:
    """Read the logs of two or more runs."""
    chosen = list(dict.fromkeys(chosen))
    if len(chosen) < 2:
        raise Problem("One run cannot be compared.", "Name two or more.")
    read_sides = []
    for run, name in zip(chosen, names(chosen), strict=True):
        history = history_of(run.events)
        read_sides.append(Side(run, name, run.recipe(), history, summarize(history, log_size(run))))
    return read_sides


def names(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its recipe, and if several have the same recipe, its time of creation: `mnist-mlp 14:05:07`."""
    stems = [run.stem for run in runs]
    short_names = []
    for run in runs:
        day, clock, *_ = [*run.id.split("_"), "", ""]
        same = [other for other in runs if other.stem == run.stem]
        moment = f"{clock[:2]}:{clock[2:4]}:{clock[4:6]}" if len(clock) == 6 and clock.isdigit() else run.id
        if len({other.id.partition("_")[0] for other in same}) > 1:
            moment = f"{day[5:]} {moment}"
        twin = "~" + run.id.partition("~")[2] if "~" in run.id else ""
        short_names.append(f"{run.stem} {moment}{twin}" if len(same) > 1 else run.stem)
    only_one_recipe = len(set(stems)) == 1 and len(runs) > 1
    return [name.removeprefix(stems[0]).strip() for name in short_names] if only_one_recipe else short_names


def settings(recipe: Recipe, history: History | None = None) -> dict[str, Any]:
    """A recipe's settings by dotted name; live changes by a person appear as `0.01 → 0.003 at step 400`."""
    tree = msgspec.to_builtins(recipe)
    flat: dict[str, Any] = {"project": recipe.project, "seed": recipe.seed}
    for section in ("config", "train", "compute"):
        flat |= _flat(tree[section], section)
    for mark in history.marks if history else []:
        for name, value in mark.settings.items() if mark.command or set(mark.settings) != {"train.log_every"} else ():
            flat[name] = f"{shown(flat.get(name, NOT_SET))} → {shown(value)} at step {mark.step:,}"
    return flat


def _flat(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {key: item for part, inside in value.items() for key, item in _flat(inside, f"{name}.{part}").items()}
    return {name: value}


def shown(value: Any) -> str:
    """A setting's value on one line, as a recipe writes it."""
    if isinstance(value, str):
        return one_line(value) or '""'
    return f"{value:g}" if isinstance(value, float) else one_line(msgspec.json.encode(value).decode())


def differing(sides: Sequence[Side]) -> list[Setting]:
    """Every setting that differs between the runs; then the project's code, the device and the data, if they differ."""
    all_of_them = [settings(side.recipe, side.history) for side in sides]
    rows = [
        Setting(name, [shown(values[name]) if name in values else NOT_SET for values in all_of_them])
        for name in dict.fromkeys(name for values in all_of_them for name in values)
    ]
    rows += [
        Setting("project's code", [_code(side.run) for side in sides]),
        Setting("trained on", [one_line(side.summary.device) or NOT_SET for side in sides]),
        Setting("data", [one_line(side.summary.variant) or "the course's" for side in sides]),
        Setting("demo", [one_line(side.summary.demo) or "no" for side in sides]),
    ]
    return [row for row in rows if len(set(row.values)) > 1]


def _code(run: Run) -> str:
    try:
        return hashlib.sha256(files.read_plain(run.project_copy)).hexdigest()[:8]
    except OSError:
        return NOT_SET


def figures(sides: Sequence[Side]) -> list[Row]:
    """Each run's figures, of the weights that it keeps: first the metrics of bars and of the course, then test, valid, train."""
    important = [bar.metric for side in sides for bar in side.recipe.bar]
    important += [reference.metric for side in sides for reference in side.recipe.reference]
    measured = {tag for side in sides for tag in side.summary.last}
    order = {split: place for place, split in enumerate(("test", "valid", "train"))}
    others = sorted(measured, key=lambda tag: (order.get(split_tag(tag)[0], 3), tag))
    rows = []
    for metric in dict.fromkeys([*(name for name in important if name in measured), *others]):
        values = [bars.figure(side.recipe, side.summary, metric) for side in sides]
        rows.append(Row(metric, values, _best(sides, metric, values)))
    return rows


def _best(sides: Sequence[Side], metric: str, values: list[float | None]) -> int | None:
    """Index of the best value, for validation and test metrics only.

    Training losses do not rank networks: dropout raises them, early stopping ends them at different epochs, and the losses of a GAN do
    not measure the quality of its pictures.
    """
    # A NaN compares as false with everything and would win or lose by its position.
    finite = {place: value for place, value in enumerate(values) if value is not None and value - value == 0}
    if len(set(finite.values())) < 2 or split_tag(metric)[0] not in ("valid", "test") or not bars.has_direction(sides[0].recipe, metric):
        return None
    choose = max if bars.is_higher_better(sides[0].recipe, metric) else min
    return choose(finite, key=lambda place: finite[place])
