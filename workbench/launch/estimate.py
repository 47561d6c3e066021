"""How long a recipe takes and how much memory it needs on this machine, from earlier runs; an estimate is marked as one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench import formatting
from workbench.formatting import gib
from workbench.launch.devices import Device, held_by
from workbench.recipes.recipe import Recipe

if TYPE_CHECKING:
    from workbench.runs.summary import Summary

GIB = 2.0**30
CONTEXT = 0.5 * GIB
"""Bytes that the CUDA context takes on a device in addition to torch's memory, approximately."""
ENOUGH = 20
"""Steps that an unfinished run must have before its speed is used."""
LOOKED_AT = 50
"""How many of a recipe's newest runs are read."""


class Past(NamedTuple):
    """An earlier run on this machine."""

    recipe: Recipe
    summary: Summary


class Estimate(NamedTuple):
    """Time and memory of a run before it starts; None where nothing is known."""

    seconds: float | None = None
    time_source: str = ""
    """`3 runs here`, or what the estimate is based on."""
    memory: float | None = None
    """Bytes: of the device, or of the host if the CPU trains."""
    memory_source: str = ""
    cache: str = ""
    """Whether `seconds` is the time with a `warm` cache, or a `cold` one; "" where the project keeps nothing for its next run."""
    cold: float | None = None
    """Seconds with a cold cache, where `seconds` is the time with a warm one."""


def past_runs(stem: str) -> list[Past]:
    """The newest runs of a recipe."""
    from workbench.problems import Problem
    from workbench.runs.run import list_runs
    from workbench.runs.summary import summary_of

    newest: list[Past] = []
    for run in [candidate for candidate in list_runs() if candidate.stem == stem][:LOOKED_AT]:
        try:
            newest.append(Past(run.recipe(), summary_of(run)))
        except (Problem, OSError):
            continue
    return newest


def estimate(recipe: Recipe, device: Device, past: Sequence[Past], live: Sequence[str] = ()) -> Estimate:
    """Time and memory of a recipe on a device, from past runs. `live` names settings that affect neither (learning rates)."""
    comparable = [run for run in past if run.summary.step and _place(run.summary.device) == _place(f"{device.name} {device.title}")]
    alike = [run for run in comparable if _alike(run.recipe, recipe, live)]
    seconds, time_source, runs = _time(recipe, alike, comparable)
    memory, memory_source = _memory(recipe, device, alike)
    warm, cold = _preparations(runs)
    if seconds is None:
        return Estimate(None, "", memory, memory_source)
    if not warm:
        # Neither is known: runs of older versions, and those that found a part of a cache, still say something.
        ready = cold or [run.summary.ready for run in runs]
        return Estimate(seconds + _middle(ready), time_source, memory, memory_source, cache="cold" if cold else "")
    first_time = seconds + _middle(cold) if cold else None
    cache = "warm" if cold or any(run.summary.cache == "warm" for run in runs) else ""
    return Estimate(seconds + _middle(warm), time_source, memory, memory_source, cache, first_time)


def elsewhere(stem: str) -> str:
    """The time that the recipe took where its committed results were measured, as text; "" where there are none."""
    from workbench.problems import Problem
    from workbench.runs import measured, measured_tables

    try:
        results = [result for result in measured.read() if result.recipe == stem and not result.arm]
    except Problem:
        return ""
    if not results:
        return ""
    best = min(results, key=lambda result: result.seconds)
    alike = [result for result in results if (result.device, result.processor) == (best.device, best.processor)]
    where = best.device.partition(" ")[2] or best.processor or best.device
    return f"not known here; {measured_tables.whole_time(alike)} on {where}"


def _place(device: str) -> str:
    """The kind of device: `cpu`, or a GPU's title without its number."""
    name, _, title = device.partition(" ")
    return title if name.startswith("cuda") else "cpu"


def _shape(recipe: Recipe, live: Sequence[str]) -> dict[str, Any]:
    """The settings that the time and memory of a step depend on, without the batch size."""
    config = {name: value for name, value in recipe.config.items() if name not in live}
    compute = recipe.compute
    threads = compute.threads or max(1, len(os.sched_getaffinity(0)) // compute.processes)
    return {"project": _project(recipe), "precision": compute.precision, "threads": threads, "processes": compute.processes, **config}


def _project(recipe: Recipe) -> str:
    """A shipped project's name; a person's own has another file name in its runs, which are found by the recipe's name."""
    return "own" if recipe.project.endswith(".py") else recipe.project


def _alike(one: Recipe, other: Recipe, live: Sequence[str] = ()) -> bool:
    """Whether a step of both costs the same per example. A setting that only one has was added after the other ran, so it is ignored."""
    return _agree(_shape(one, live), _shape(other, live))


def _agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _kind(recipe: Recipe) -> dict[str, Any]:
    """What two runs must share so that one can estimate the other: project, data and model, but not their sizes."""
    texts = {name: value for name, value in recipe.config.items() if isinstance(value, str)}
    return {"project": _project(recipe), "processes": recipe.compute.processes, **texts}


def _steps(recipe: Recipe, like: Past) -> float:
    """Planned steps, if an epoch has as many examples as in the past run."""
    per_epoch = like.summary.steps_per_epoch * like.recipe.train.batch_size / recipe.train.batch_size
    return recipe.train.steps or recipe.train.epochs * per_epoch


def _preparations(runs: Sequence[Past]) -> tuple[list[float], list[float]]:
    """Seconds before the first step: with a warm cache, or where nothing is kept; and with a cold one."""
    warm = [run.summary.ready for run in runs if run.summary.cache in ("", "warm")]
    return warm, [run.summary.ready for run in runs if run.summary.cache == "cold"]


def _time(recipe: Recipe, alike: list[Past], comparable: list[Past]) -> tuple[float | None, str, list[Past]]:
    """Seconds from the first step on, what they are based on, and the runs that say so."""
    size = recipe.train.batch_size
    same = [run for run in alike if run.recipe.train.batch_size == size]
    ended = [run for run in same if _finished(run) and _length(run.recipe) == _length(recipe)]
    # Complete runs include evaluation and checkpoints, so their time needs no model.
    if ended:
        return _middle([_trained(run.summary) for run in ended]), _runs(len(ended)), ended
    for group, source in (
        (same, "an estimate, from its pace in " + _runs(len(same))),
        (alike, "an estimate, from runs here with other batch sizes"),
        ([run for run in comparable if _agree(_kind(run.recipe), _kind(recipe))], "an estimate, from runs here with other settings"),
    ):
        # Assumes a constant time per example. This is too high for a GPU that small batches do not keep busy.
        known = [run for run in group if run.summary.step >= ENOUGH and _pace(run.summary) > 0]
        paces = [_pace(run.summary) * _steps(recipe, run) * size / run.recipe.train.batch_size for run in known]
        if paces and (guess := _middle(paces)) > 0:
            return guess, source, known
    return None, "", []


def _pace(summary: Summary) -> float:
    """Seconds per step."""
    return _trained(summary) / summary.step


def _trained(summary: Summary) -> float:
    """Seconds from the first step on."""
    return max(0.0, summary.seconds - summary.ready)


def _middle(values: list[float]) -> float:
    # The median: one run beside other work must not change the estimate.
    return sorted(values)[len(values) // 2]


def _length(recipe: Recipe) -> tuple[int, int, int]:
    return recipe.train.steps, 0 if recipe.train.steps else recipe.train.epochs, recipe.train.patience


def _finished(run: Past) -> bool:
    return run.summary.status is not None and run.summary.status.state == "finished"


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)} here"


def _points(device: str, alike: Sequence[Past]) -> dict[int, float]:
    """Peak memory of runs by batch size, bytes."""
    from workbench.runs.summary import MEMORY

    points: dict[int, float] = {}
    accelerator = device.startswith("cuda")
    for run in alike:
        peak = run.summary.memory.get(MEMORY[accelerator], 0.0) * GIB
        if peak > 0:
            size = run.recipe.train.batch_size
            points[size] = max(points.get(size, 0.0), peak + CONTEXT * accelerator)
    return points


def _line(points: dict[int, float]) -> tuple[float, float] | None:
    """The line memory = a + b·batch through the smallest and the largest batch; None where memory did not grow with the batch."""
    low, high = min(points, default=0), max(points, default=0)
    slope = (points[high] - points[low]) / (high - low) if high > low else 0.0
    return (points[low] - slope * low, slope) if slope > 0 else None


def _memory(recipe: Recipe, device: Device, alike: list[Past]) -> tuple[float | None, str]:
    points = _points(device.name, alike)
    size = recipe.train.batch_size
    # A measured value of the same batch size is better than any model of it.
    if size in points:
        count = len([run for run in alike if run.recipe.train.batch_size == size])
        return points[size], _runs(count)
    if line := _line(points):
        return line[0] + line[1] * size, "an estimate, from runs here with other batch sizes"
    if points:
        # One batch size gives no line. Memory is scaled up in proportion and never down, which errs on the safe side.
        near = min(points, key=lambda batch: abs(batch - size))
        return points[near] * max(1.0, size / near), f"an estimate, from batches of {near}"
    return None, ""


def fitting(recipe: Recipe, device: Device, past: Sequence[Past], live: Sequence[str] = ()) -> int:
    """The largest batch size that fits into the device's free memory; 0 where none fits or nothing is known."""
    comparable = [run for run in past if _place(run.summary.device) == _place(f"{device.name} {device.title}")]
    return _fitting(_points(device.name, [run for run in comparable if _alike(run.recipe, recipe, live)]), device.free)


def _fitting(points: dict[int, float], free: float) -> int:
    if line := _line(points):
        return _round((free - line[0]) / line[1])
    if not points:
        return 0
    size = max(points)
    return _round(size * free / points[size])


def _round(size: float) -> int:
    """Rounds down to a usual batch size: a multiple of 8, from 512 a multiple of 64."""
    rounded = int(max(0.0, min(size, 2.0**31)))
    return rounded - rounded % (64 if rounded >= 512 else 8 if rounded >= 16 else 1)


def crowded(recipe: Recipe, device: Device, past: Sequence[Past], live: Sequence[str] = ()) -> str:
    """A warning if the GPU has too little free memory, with a batch size that fits; "" if there is enough or nothing is known."""
    if not device.name.startswith("cuda") or not device.total:
        return ""
    needed = estimate(recipe, device, past, live)
    if needed.memory is None:
        if device.free >= 2 * CONTEXT:
            return ""
        return f"{_full(device)}; a run needs more, even a small one. Choose another device, or wait."
    if needed.memory <= device.free:
        return ""
    size = fitting(recipe, device, past, live)
    fits = size and size < recipe.train.batch_size
    advice = f"Batches of {size} would likely fit: train.batch_size={size}." if fits else "Choose another device, or wait."
    return f"{_full(device)}; this recipe needs about {gib(needed.memory)} ({needed.memory_source}). {advice}"


def _full(device: Device) -> str:
    who = held_by(device)
    return f"{device.name} has {gib(device.free)} free of {gib(device.total)}{f' (on it: {who})' if who else ''}"


def told(figures: Estimate, stem: str = "") -> tuple[str, str]:
    """Time and memory as the screens show them; without earlier runs here, the time that the recipe `stem` took elsewhere."""
    seconds = ""
    if figures.seconds is not None:
        seconds = f"{'about ' * ('estimate' in figures.time_source)}{formatting.duration(figures.seconds)}"
        seconds += f" {figures.cache}" * bool(figures.cache)
        seconds += f", {formatting.duration(figures.cold)} cold" if figures.cold is not None else ""
    memory = f"{'about ' * ('estimate' in figures.memory_source)}{gib(figures.memory)}" if figures.memory is not None else ""
    return (
        f"{seconds} ({figures.time_source})" if seconds else (stem and elsewhere(stem)) or "not known: nothing like it ran here yet",
        f"{memory} ({figures.memory_source})" if memory else "not known: nothing like it ran here yet",
    )


_SIZES = {"bytes": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": GIB, "TiB": 2.0**40}


def after_full(text: str, size: int, points: dict[int, float]) -> int:
    """A batch size that likely fits, after torch reported "CUDA out of memory" for one of `size`.

    With past runs of two batch sizes, the line through them gives it. Otherwise `size` is halved, at least once, until it is at most `size`
    times the share of memory that was available: (torch's memory + free memory) / (torch's memory + what it asked for). Powers of two leave
    room for further allocations of the step, which are unknown.
    """
    held, requested, free = (
        _size(text, pattern) for pattern in (r"this process has ([\d.]+ \w+)", r"allocate ([\d.]+ \w+)", r"([\d.]+ \w+) is free")
    )
    line = _line(points)
    if line and held + free > 0:
        predicted = _round((held + free - line[0]) / line[1])
        if 0 < predicted < size:
            return predicted
    share = (held + free) / (held + requested) if held and requested else 1.0
    fitting = size // 2
    while fitting > 1 and fitting > size * share:
        fitting //= 2
    return max(1, fitting)


def _size(text: str, pattern: str) -> float:
    match = re.search(pattern, text)
    number, _, unit = match[1].partition(" ") if match else ("0", "", "")
    return float(number.rstrip(".") or 0) * _SIZES.get(unit.rstrip("."), 0.0)


def points_of(recipe: Recipe, device: str, past: Sequence[Past]) -> dict[int, float]:
    """Memory by batch size of past runs like this one, for `after_full`."""
    return _points(device, [run for run in past if _alike(run.recipe, recipe)])
