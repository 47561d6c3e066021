"""Runs side by side: the settings that differ, each run's figures; of a comparison its variants' means, and whether their intervals part.

`dlwb compare` prints it, the terminal program draws it.
"""

import hashlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from workbench import files
from workbench.events import split_tag
from workbench.formatting import number, shown
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import bars, family, own
from workbench.runs.comparisons import Comparison, Standing, diverged
from workbench.runs.folded import history_of
from workbench.runs.history import History, Series
from workbench.runs.run import Run
from workbench.runs.summary import Summary, log_size, summarize, summary_of

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
    raw: Sequence[Any] = ()
    """The same as they are, numbers as numbers; None where it is not set."""


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
    flat: dict[str, Any] = {"project": recipe.project} if own.is_own(recipe) else {"project": recipe.project, "seed": recipe.seed}
    # A script of one's own has only what it said itself: the rest stands in its recipe because every recipe has it.
    for section in ("config",) if own.is_own(recipe) else ("config", "train", "compute"):
        flat |= _flat(tree[section], section)
    for mark in history.marks if history else []:
        for name, value in mark.settings.items() if mark.command or set(mark.settings) != {"train.log_every"} else ():
            flat[name] = f"{shown(flat.get(name, NOT_SET))} → {shown(value)} at step {mark.step:,}"
    return flat


def _flat(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {key: item for part, inside in value.items() for key, item in _flat(inside, f"{name}.{part}").items()}
    return {name: value}


def differing(sides: Sequence[Side]) -> list[Setting]:
    """Every setting that differs between the runs; then the project's code, the device and the data, if they differ."""
    all_of_them = [settings(side.recipe, side.history) for side in sides]
    rows = [
        Setting(name, [shown(values[name]) if name in values else NOT_SET for values in all_of_them], [v.get(name) for v in all_of_them])
        for name in dict.fromkeys(name for values in all_of_them for name in values)
    ]
    rows += [
        Setting("forked", [_origin(side, sides) for side in sides]),
        Setting("project's code", [_code(side.run) for side in sides]),
        Setting("trained on", [one_line(side.summary.device) or NOT_SET for side in sides]),
        Setting("data", [one_line(side.summary.variant) or "the course's" for side in sides]),
        Setting("demo", [one_line(side.summary.demo) or "no" for side in sides]),
    ]
    return [row._replace(raw=row.raw or row.values) for row in rows if len(set(row.values)) > 1]


def _origin(side: Side, sides: Sequence[Side]) -> str:
    forked = family.forked(side.run)
    parent = next((other.name for other in sides if forked and other.run.id == forked.run), "")
    return f"at step {forked.step:,} of {parent or one_line(forked.run, 100)}" if forked else NOT_SET


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


# -- variants over seeds -----------------------------------------------------------------------------------------------------------

T_975 = (
    *(12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139),
    *(2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024),
)
"""The 0.975 quantile of Student's t distribution with 1, 2, … 19 degrees of freedom: a comparison has at most 20 seeds."""


class Interval(NamedTuple):
    """A mean over seeds; of two values or more also their spread, and the 95 % interval of the mean by Student's t distribution."""

    mean: float
    deviation: float | None = None
    """Standard deviation of a single seed, with n - 1."""
    low: float | None = None
    high: float | None = None

    @property
    def holds_zero(self) -> bool:
        """Whether zero lies in it; without an interval nothing speaks against zero."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high


def interval(values: Sequence[float]) -> Interval | None:
    """Mean, spread and interval of at most 20 values; None of no value."""
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Interval(mean)
    deviation = statistics.stdev(values)
    reach = T_975[len(values) - 2] * deviation / len(values) ** 0.5
    return Interval(mean, deviation, mean - reach, mean + reach)


Curve = tuple[list[float], list[float]]
"""Steps and values."""


class Arm(NamedTuple):
    """A variant of a comparison over its seeds."""

    name: str
    values: dict[int, float]
    """Its figure by seed, of the finished runs."""
    seconds: float | None
    """Mean time of a finished run, without its start."""
    own: Interval | None
    difference: Interval | None
    """This variant minus the first one, paired by seed; None for the first one."""
    verdict: str
    """Whether it differs from the first one: better, worse, differs or no difference; with how many seeds, while some are missing."""
    diverged: Sequence[int] = ()
    """The seeds whose runs ended because a value became NaN or infinite."""


class Arms(NamedTuple):
    """The table of a comparison."""

    metric: str
    seeds: int
    rows: list[Arm]
    remarks: list[str]
    """What failed, and what makes the comparison unfair."""


def arms(comparison: Comparison, standing: Standing | None = None) -> Arms:
    """The variants of a comparison, each with its figures over the finished seeds."""
    standing, plan = standing or comparison.standing(), comparison.plan()
    recipes = [comparison.recipe(place) for place in range(len(plan.variants))]
    values: dict[str, dict[int, float]] = {name: {} for name in plan.variants}
    seconds: dict[str, list[float]] = {name: [] for name in plan.variants}
    lost: dict[str, list[int]] = {name: [] for name in plan.variants}
    remarks, codes, data = [], set[tuple[str, str]](), set[str]()
    for part, state in standing.parts:
        run, called = part.place, f"{part.variant}, seed {part.seed}"
        if part.problem:
            remarks.append(f"{called}: {part.problem}")
        elif run and diverged(state):
            lost[part.variant].append(part.seed)
        elif run and state and state.state == "failed":
            remarks.append(f"{called} failed: {state.message or state.words}")
        if not run or not state or state.state != "finished":
            continue
        summary = summary_of(run)
        value = bars.figure(recipes[plan.variants.index(part.variant)], summary, plan.metric)
        codes.add((run.recipe().project, str(run.about().get("code"))))
        data.add(f"a demo: {summary.demo}" if summary.demo else summary.variant)
        if value is None or value - value != 0:
            remarks.append(f"{called} has no finite {plan.metric}.")
            continue
        values[part.variant][part.seed] = value
        seconds[part.variant].append(summary.seconds - summary.ready)
    remarks += unfair(dict(zip(plan.variants, recipes, strict=True)), but=plan.sweep)
    if len({project for project, _ in codes}) < len(codes):
        remarks.append("The code has changed between its runs.")
    remarks += [f"Data: {one_line(name)}." for name in sorted(data - {""})]
    rows = _rows(recipes[0], plan.metric, values, seconds, len(plan.seeds))
    rows = [arm._replace(diverged=lost[arm.name], verdict=_diverged(arm.verdict, lost[arm.name], len(plan.seeds))) for arm in rows]
    return Arms(plan.metric, len(plan.seeds), rows, remarks)


def _rows(
    recipe: Recipe, metric: str, values: Mapping[str, dict[int, float]], seconds: Mapping[str, Sequence[float]], seeds: int
) -> list[Arm]:
    first = next(iter(values.values()))
    rows = []
    for place, (name, figures) in enumerate(values.items()):
        paired = [value - first[seed] for seed, value in figures.items() if seed in first]
        difference = interval(paired) if place else None
        verdict = "" if not place else _verdict(recipe, metric, difference) + (f", {len(paired)} of {seeds} seeds" * (len(paired) < seeds))
        mean = statistics.fmean(seconds[name]) if seconds[name] else None
        rows.append(Arm(name, figures, mean, interval(list(figures.values())), difference, verdict))
    return rows


def _verdict(recipe: Recipe, metric: str, difference: Interval | None) -> str:
    if difference is None or difference.holds_zero:
        return "no difference"
    if not bars.has_direction(recipe, metric):
        return "differs"
    return "better" if (difference.mean > 0) == bars.is_higher_better(recipe, metric) else "worse"


def _diverged(verdict: str, lost: Sequence[int], seeds: int) -> str:
    return f"diverged, {len(lost)} of {seeds} seeds" if lost else verdict


def unfair(recipes: Mapping[str, Recipe], *, but: str = "") -> list[str]:
    """In which variants more differs from the first one than the model and its settings: length, batches, data, project.

    `but` is a setting that they are meant to differ in.
    """
    (first_name, first), *others = recipes.items()
    remarks = []
    for name, recipe in others:
        train, base = msgspec.to_builtins(recipe.train), msgspec.to_builtins(first.train)
        rows = [(f"train.{key}", train[key], base[key]) for key in train]
        rows += [("config.data", recipe.config.get("data"), first.config.get("data"))]
        rows += [("project", recipe.project, first.project)] if not recipe.project.startswith("./") else []
        changed = [f"{key} {shown(value)}, not {shown(before)}" for key, value, before in rows if value != before and key != but]
        if changed:
            remarks.append(f"{name} is trained otherwise than {first_name}: {'; '.join(changed)}.")
    return remarks


class Spread(NamedTuple):
    """Several series as one curve: at each step the mean, the smallest and the largest value. NumPy's arrays of one length."""

    steps: Any
    mean: Any
    low: Any
    high: Any


def spread_line(series: Sequence[Series]) -> Spread:
    """The spread of several series at the steps of the first one, up to where the shortest ends; between points in a straight line."""
    import numpy as np

    # A slice is a copy: a view of the array would keep it from growing.
    points = [(np.frombuffer(one.steps[:]), np.frombuffer(one.values[:])) for one in series if len(one)]
    if not points:
        return Spread(*np.empty((4, 0)))
    first = points[0][0]
    steps = first[: np.searchsorted(first, min(steps[-1] for steps, _ in points), "right")]
    every = np.stack([np.interp(steps, own, values) for own, values in points])
    return Spread(steps, every.mean(axis=0), every.min(axis=0), every.max(axis=0))


def mean_line(series: Sequence[Series]) -> Curve:
    """The mean alone, as lists."""
    spread = spread_line(series)
    return spread.steps.tolist(), spread.mean.tolist()


HEADS = ("variant", "seeds", "mean", "spread", "95 % interval", "time", "difference", "")
"""The columns of the table of a comparison."""


def cells(table: Arms) -> Iterable[list[str]]:
    """The table's rows in words; a difference stands with its own interval."""
    for arm in table.rows:
        own, difference = arm.own, arm.difference
        yield [
            arm.name,
            f"{len(arm.values)}/{table.seeds}",
            number(own.mean) if own else "diverged" if arm.diverged else NOT_SET,
            number(own.deviation) if own and own.deviation is not None else NOT_SET,
            between(own),
            f"{arm.seconds:.1f} s" if arm.seconds is not None else NOT_SET,
            f"{signed(difference.mean)} ({between(difference)})" if difference else "",
            arm.verdict,
        ]


def between(spread: Interval | None) -> str:
    """An interval in words."""
    return f"{number(spread.low)} to {number(spread.high)}" if spread and spread.low is not None and spread.high is not None else NOT_SET


def signed(value: float) -> str:
    """A difference with its sign."""
    return ("+" if value > 0 else "") + number(value)
