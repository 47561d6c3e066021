"""How long a recipe takes and how much memory it needs on this machine: from runs made here, else an estimate that says so."""

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
    from workbench.runs.runs import Summary

GIB = 2.0**30
CONTEXT = 0.5 * GIB
"""Memory that CUDA itself takes on a device beside torch's, about."""
ENOUGH = 20
"""Steps from which an unfinished run says something about the pace."""
LOOKED_AT = 50
"""Past runs of a recipe, the newest, that are looked at."""


class Past(NamedTuple):
    """A run made here."""

    recipe: Recipe
    summary: Summary


class Estimate(NamedTuple):
    """What can be said before a start."""

    seconds: float | None = None
    time_source: str = ""
    """`3 runs here`, or what kind of estimate it is."""
    memory: float | None = None
    """Bytes, on the device, or on the host where the CPU trains."""
    memory_source: str = ""


def past_runs(stem: str) -> list[Past]:
    """The newest runs of a recipe."""
    from workbench.problems import Problem
    from workbench.runs import runs

    found: list[Past] = []
    for run in [each for each in runs.list_runs() if each.stem == stem][:LOOKED_AT]:
        try:
            found.append(Past(run.recipe(), runs.summary(run)))
        except (Problem, OSError):
            continue
    return found


def estimate(recipe: Recipe, device: Device, past: Sequence[Past], live: Sequence[str] = ()) -> Estimate:
    """Of a recipe on a device, from past runs; `live` names settings that change neither (learning rates)."""
    here = [each for each in past if each.summary.step and _place(each.summary.device) == _place(f"{device.name} {device.title}")]
    alike = [each for each in here if _alike(each.recipe, recipe, live)]
    seconds, time_source = _time(recipe, alike, here)
    memory, memory_source = _memory(recipe, device, alike)
    return Estimate(seconds, time_source, memory, memory_source)


def elsewhere(stem: str) -> str:
    """How long a recipe took where its committed results were measured, as words; "" where it was not."""
    from workbench.problems import Problem
    from workbench.runs import measured

    try:
        found = [each for each in measured.read() if each.recipe == stem]
    except Problem:
        return ""
    if not found:
        return ""
    best = min(found, key=lambda each: each.seconds)
    where = best.device.partition(" ")[2] or best.processor or best.device
    return f"not known here; {formatting.duration(best.seconds)} on {where}"


def _place(device: str) -> str:
    """The kind of device: `cpu`, or a GPU's title, whatever its number."""
    name, _, title = device.partition(" ")
    return title if name.startswith("cuda") else "cpu"


def _shape(recipe: Recipe, live: Sequence[str]) -> dict[str, Any]:
    """The settings that a step's time and memory depend on, the batch size aside."""
    config = {name: value for name, value in recipe.config.items() if name not in live}
    threads = recipe.compute.threads or len(os.sched_getaffinity(0))
    return {"project": recipe.project.rpartition("/")[2], "precision": recipe.compute.precision, "threads": threads, **config}


def _alike(one: Recipe, other: Recipe, live: Sequence[str] = ()) -> bool:
    """Whether a step of both costs the same for an example; a setting that only one has is younger than the other's run."""
    return _agree(_shape(one, live), _shape(other, live))


def _agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _kind(recipe: Recipe) -> dict[str, Any]:
    """What two runs must share for one to say something about the other: its data, its model, not their sizes."""
    return {"project": recipe.project, **{name: value for name, value in recipe.config.items() if isinstance(value, str)}}


def _steps(recipe: Recipe, like: Past) -> float:
    """Planned steps, where an epoch has as many examples as in a run that was made."""
    per_epoch = like.summary.steps_per_epoch * like.recipe.train.batch_size / recipe.train.batch_size
    return recipe.train.steps or recipe.train.epochs * per_epoch


def _time(recipe: Recipe, alike: list[Past], here: list[Past]) -> tuple[float | None, str]:
    size = recipe.train.batch_size
    same = [each for each in alike if each.recipe.train.batch_size == size]
    ended = [each for each in same if _finished(each) and _length(each.recipe) == _length(recipe)]
    if ended:
        return _middle([each.summary.seconds for each in ended]), _runs(len(ended))
    for found, source in (
        (same, "an estimate, from its pace in " + _runs(len(same))),
        (alike, "an estimate, from runs here with other batch sizes"),
        ([each for each in here if _agree(_kind(each.recipe), _kind(recipe))], "an estimate, from runs here with other settings"),
    ):
        # An example takes as long in a batch of another size: too long for a GPU that is not yet busy.
        paces = [
            each.summary.ready + _pace(each.summary) * _steps(recipe, each) * size / each.recipe.train.batch_size
            for each in found
            if each.summary.step >= ENOUGH and _pace(each.summary) > 0
        ]
        if paces and (guess := _middle(paces)) > 0:
            return guess, source
    return None, ""


def _pace(summary: Summary) -> float:
    """Seconds a step, the start left out."""
    return max(0.0, summary.seconds - summary.ready) / summary.step


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _length(recipe: Recipe) -> tuple[int, int, int]:
    return recipe.train.steps, 0 if recipe.train.steps else recipe.train.epochs, recipe.train.patience


def _finished(each: Past) -> bool:
    return each.summary.status is not None and each.summary.status.state == "finished"


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)} here"


def _points(device: str, alike: Sequence[Past]) -> dict[int, float]:
    """The most memory that runs of each batch size took, bytes."""
    from workbench.runs import runs

    points: dict[int, float] = {}
    accelerator = device.startswith("cuda")
    for each in alike:
        peak = each.summary.memory.get(runs.MEMORY[accelerator], 0.0) * GIB
        if peak > 0:
            size = each.recipe.train.batch_size
            points[size] = max(points.get(size, 0.0), peak + CONTEXT * accelerator)
    return points


def _line(points: dict[int, float]) -> tuple[float, float] | None:
    """memory = a + b·batch through the smallest and the largest batch; None where memory did not grow with it."""
    low, high = min(points, default=0), max(points, default=0)
    slope = (points[high] - points[low]) / (high - low) if high > low else 0.0
    return (points[low] - slope * low, slope) if slope > 0 else None


def _memory(recipe: Recipe, device: Device, alike: list[Past]) -> tuple[float | None, str]:
    points = _points(device.name, alike)
    size = recipe.train.batch_size
    if size in points:
        count = len([each for each in alike if each.recipe.train.batch_size == size])
        return points[size], _runs(count)
    if line := _line(points):
        return line[0] + line[1] * size, "an estimate, from runs here with other batch sizes"
    if points:
        near = min(points, key=lambda each: abs(each - size))
        return points[near] * max(1.0, size / near), f"an estimate, from batches of {near}"
    return None, ""


def fitting(recipe: Recipe, device: Device, past: Sequence[Past], live: Sequence[str] = ()) -> int:
    """The largest batch that would fit into the device's free memory; 0 where none would, or nothing is known."""
    here = [each for each in past if _place(each.summary.device) == _place(f"{device.name} {device.title}")]
    return _fitting(_points(device.name, [each for each in here if _alike(each.recipe, recipe, live)]), device.free)


def _fitting(points: dict[int, float], free: float) -> int:
    if line := _line(points):
        return _round((free - line[0]) / line[1])
    if not points:
        return 0
    size = max(points)
    return _round(size * free / points[size])


def _round(size: float) -> int:
    """Down to a size that people take: a multiple of 8, of 64 among large ones."""
    whole = int(max(0.0, min(size, 2.0**31)))
    return whole - whole % (64 if whole >= 512 else 8 if whole >= 16 else 1)


def crowded(recipe: Recipe, device: Device, past: Sequence[Past], live: Sequence[str] = ()) -> str:
    """What to say before a start on a GPU whose free memory is not enough, with the batch that would fit; "" where it is, or not known."""
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
    mend = f"Batches of {size} would likely fit: train.batch_size={size}." if fits else "Choose another device, or wait."
    return f"{_full(device)}; this recipe needs about {gib(needed.memory)} ({needed.memory_source}). {mend}"


def _full(device: Device) -> str:
    who = held_by(device)
    return f"{device.name} has {gib(device.free)} free of {gib(device.total)}{f' (on it: {who})' if who else ''}"


def told(found: Estimate, stem: str = "") -> tuple[str, str]:
    """Time and memory as the screens write them; where nothing ran here, the time that the recipe `stem` took elsewhere."""
    seconds = f"{'about ' * ('estimate' in found.time_source)}{formatting.duration(found.seconds)}" if found.seconds is not None else ""
    memory = f"{'about ' * ('estimate' in found.memory_source)}{gib(found.memory)}" if found.memory is not None else ""
    return (
        f"{seconds} ({found.time_source})" if seconds else (stem and elsewhere(stem)) or "not known: nothing like it ran here yet",
        f"{memory} ({found.memory_source})" if memory else "not known: nothing like it ran here yet",
    )


_SIZES = {"bytes": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": GIB, "TiB": 2.0**40}


def after_full(text: str, size: int, points: dict[int, float]) -> int:
    """The batch that would likely have fitted where torch said "CUDA out of memory" to one of `size`.

    From past runs that did fit where there are two sizes of them; else from what torch had, what it asked for and what was free: a half, or
    the fraction of 2 below the share that was there, since nobody knows what the step would have asked for next.
    """
    had, asked, free = (
        _size(text, pattern) for pattern in (r"this process has ([\d.]+ \w+)", r"allocate ([\d.]+ \w+)", r"([\d.]+ \w+) is free")
    )
    line = _line(points)
    if line and had + free > 0:
        known = _round((had + free - line[0]) / line[1])
        if 0 < known < size:
            return known
    share = (had + free) / (had + asked) if had and asked else 1.0
    fitting = size // 2
    while fitting > 1 and fitting > size * share:
        fitting //= 2
    return max(1, fitting)


def _size(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    number, _, unit = found[1].partition(" ") if found else ("0", "", "")
    return float(number.rstrip(".") or 0) * _SIZES.get(unit.rstrip("."), 0.0)


def points_of(recipe: Recipe, device: str, past: Sequence[Past]) -> dict[int, float]:
    """Memory by batch size of past runs like this one, for `after_full`."""
    return _points(device, [each for each in past if _alike(each.recipe, recipe)])
