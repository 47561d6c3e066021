"""The space of a tuning: what is wrong with it, the values at its ends, and the points of a grid. `load_recipe` checks by it."""

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.problems import nearest
from workbench.recipes.recipe import Dimension
from workbench.recipes.schema_check import shown
from workbench.recipes.yaml_values import Fault, Key

KINDS = ("int", "float", "choose")
MOST_GP = 100, 10
"""Trials, and settings, that a Gaussian process may have: its time grows with the cube of the trials."""
MOST_POINTS = 100_000
"""Of a grid."""


def faults(tune: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a `tune:` block, whatever the project: plain data, whose types a schema has checked already."""
    found = list(_whole(tune))
    space = tune.get("space")
    space = {name: about for name, about in space.items() if isinstance(about, dict)} if isinstance(space, dict) else {}
    for name, about in space.items():
        where: Key = ("tune", "space", name)
        if name.partition(".")[0] not in ("config", "train"):
            found.append(Fault(where, "a space has settings, as config.dropout and train.batch_size"))
        if fault := _range(where, about, tune.get("sampler") == "grid"):
            found.append(fault)
        found += _when(where, about, space)
    if not found and tune.get("sampler") == "grid" and (points := math.prod(map(_points, space.values()))) > MOST_POINTS:
        found.append(Fault(("tune", "space"), f"has {points:,} points, and a grid at most {MOST_POINTS:,}: take larger steps"))
    return found


def _points(about: Mapping[str, Any]) -> int:
    """Number of values of a setting on a grid."""
    given: list[Any] = next((about[kind] for kind in KINDS if isinstance(about.get(kind), list)), [])
    return len(given) if about.get("choose") else int((given[1] - given[0]) / about["step"] + 1e-9) + 1


def _whole(tune: Mapping[str, Any]) -> Iterator[Fault]:
    metric, sampler, space = (tune.get(name) for name in ("metric", "sampler", "space"))
    if isinstance(metric, str) and metric.partition("/")[0] in ("test", "system"):
        text = "is of the test data, which must not choose: name one of the validation data, as valid/loss"
        yield Fault(("tune", "metric"), text if metric.startswith("test/") else "is a meter of the machine: name a figure, as valid/loss")
    if sampler == "gp" and isinstance(space, dict):
        trials, most = tune.get("trials"), MOST_GP
        if isinstance(trials, int) and trials > most[0]:
            yield Fault(("tune", "trials"), f"gp takes at most {most[0]} trials, as its time grows with their cube; tpe takes more")
        if len(space) > most[1]:
            yield Fault(("tune", "space"), f"gp takes at most {most[1]} settings, not {len(space)}; tpe takes more")
        if any(isinstance(about, dict) and about.get("when") for about in space.values()):
            yield Fault(("tune", "sampler"), "gp cannot learn about a setting with `when`; tpe can")
    if sampler == "grid" and tune.get("start_from"):
        yield Fault(("tune", "start_from"), "a grid tries every point, whatever was learnt before: leave it out, or take another sampler")


def _range(where: Key, about: Mapping[str, Any], is_grid: bool) -> Fault | None:
    """What is wrong with the values of a setting."""
    given = [kind for kind in KINDS if about.get(kind) is not None]
    if len(given) != 1:
        return Fault(where, "needs one of int: [least, greatest], float: [least, greatest] and choose: [one, other]")
    kind, values = given[0], about[given[0]]
    place, log, step = (*where, kind), about.get("log"), about.get("step")
    if not isinstance(values, list):
        return None  # the schema has said it
    if kind == "choose":
        if log or step is not None:
            return Fault((*where, "log" if log else "step"), "belongs to int and float, not to choose")
        twice = next((value for number, value in enumerate(values) if any(_same(value, other) for other in values[:number])), None)
        return Fault(place, f"names {shown(twice)} twice") if twice is not None else None
    if len(values) != 2 or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    low, high = values
    if low >= high:
        return Fault(place, f"is empty: its second number, the greatest value, must be more than {low}")
    if log and low <= 0:
        return Fault(place, f"cannot be drawn by the logarithm: its least value must be more than 0, not {low}")
    if step is None:
        text = "has no step, which a grid needs: the distance between two values that are tried"
        return Fault(where, text + "; or choose: [one, other]" * bool(log)) if is_grid else None
    if not isinstance(step, int | float) or isinstance(step, bool):
        return None
    if log:
        return Fault((*where, "step"), "cannot be had with log: leave one of them out, or name the values: choose: [one, other]")
    if step <= 0 or (kind == "int" and step != int(step)):
        return Fault((*where, "step"), f"must be {'a whole number, ' * (kind == 'int')}more than 0, not {step}")
    last = low + step * int((high - low) / step + 1e-9)
    if last == low or abs(last - high) > 1e-9 * max(abs(high), abs(step)):
        return Fault((*where, "step"), f"does not lead from {low} to {high}: the last value would be {last:g}")
    return None


def _when(where: Key, about: Mapping[str, Any], space: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with the condition of a setting."""
    conditions = about.get("when")
    for other, wanted in conditions.items() if isinstance(conditions, dict) else ():
        place = (*where, "when", other)
        if other not in space:
            yield Fault(place, f"is not in the space, so it never changes{nearest(other, space)}")
        elif _leads_to(other, str(where[-1]), space, set()):
            yield Fault(place, "depends on this setting itself")
        else:
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if text := _unreachable(space[other], value):
                    yield Fault(place, f"{text}, so this setting would never be tried")


def _leads_to(name: str, target: str, space: Mapping[str, Any], seen: set[str]) -> bool:
    """Whether the conditions of a setting come to `target`."""
    if name == target:
        return True
    conditions = space.get(name, {}).get("when")
    if name in seen or not isinstance(conditions, dict):
        return False
    return any(_leads_to(other, target, space, seen | {name}) for other in conditions)


def _unreachable(about: Mapping[str, Any], value: Any) -> str:
    """Why a setting never has this value; "" where it may."""
    if isinstance(choices := about.get("choose"), list):
        return "" if any(_same(value, choice) for choice in choices) else f"is never {shown(value)}"
    ends = next((about[kind] for kind in ("int", "float") if isinstance(about.get(kind), list)), None)
    if ends is None or len(ends) != 2 or not all(isinstance(end, int | float) for end in ends):
        return ""
    if about.get("int") is None:
        return "has numbers with a fraction, which are never a certain one"
    return "" if isinstance(value, int) and ends[0] <= value <= ends[1] else f"is never {shown(value)}"


def _same(one: Any, other: Any) -> bool:
    """1 and true are equal in Python, but different values in a recipe."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def ends(tune: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sets of values, one of each setting, among which are the least, the greatest, and one between them, and every value by name.

    A project that takes all of them takes every point of the space.
    """
    columns = {}
    space = tune.get("space")
    for name, about in space.items() if isinstance(space, dict) else ():
        if not isinstance(about, dict) or name.partition(".")[0] not in ("config", "train"):
            continue
        given: list[Any] = next((about[kind] for kind in KINDS if isinstance(about.get(kind), list)), [])
        if not given:
            continue
        columns[name] = list(given)
        if about.get("float") is given and len(given) == 2 and all(isinstance(end, int | float) for end in given):
            # No round number, as a setting of whole numbers would take it.
            step = about.get("step")
            columns[name].append(given[0] + (step if isinstance(step, int | float) else (given[1] - given[0]) * 0.4142136))
    most = max(map(len, columns.values()), default=0)
    return [{name: values[min(number, len(values) - 1)] for name, values in columns.items()} for number in range(most)]


def in_order(space: Mapping[str, Dimension]) -> list[str]:
    """The settings of a space, each behind those that its `when` names."""
    ordered: list[str] = []
    waiting = list(space)
    while waiting:
        ready = [name for name in waiting if all(other in ordered for other in space[name].when)]
        if not ready:
            raise ValueError(f"a circle among {waiting}")
        ordered += ready
        waiting = [name for name in waiting if name not in ready]
    return ordered


def holds(when: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a setting with this condition has a value in a trial with these."""
    return all(
        name in params and any(_same(params[name], value) for value in (wanted if isinstance(wanted, list) else [wanted]))
        for name, wanted in when.items()
    )


def values(dimension: Dimension) -> list[Any]:
    """All values of a setting on a grid."""
    if dimension.choose is not None:
        return list(dimension.choose)
    low, high = dimension.range or (0, 0)
    step = dimension.step or 1
    count = int((high - low) / step + 1e-9) + 1
    points = (low + step * number for number in range(count))
    # 0.1 + 0.2 is 0.3 to a person who wrote a step of 0.1.
    return [int(point) for point in points] if dimension.whole is not None else [float(f"{point:.12g}") for point in points]


def grid(space: Mapping[str, Dimension], seed: int) -> list[dict[str, Any]]:
    """Every point of a grid once, shuffled by the seed, so that a few of them lie all over it."""
    points: list[dict[str, Any]] = [{}]
    for name in in_order(space):
        some = values(space[name])
        points = [
            {**point, **chosen}
            for point in points
            for chosen in (({name: value} for value in some) if holds(space[name].when, point) else ({},))
        ]
    random.Random(seed).shuffle(points)
    return points
