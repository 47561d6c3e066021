"""What a script gives, as what a run holds: numbers, keys, steps, events, settings. No value raises, only an argument of a wrong type."""

import argparse
import contextlib
import dataclasses
import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any

from workbench import events
from workbench.events import Event, Scalars, Tagged
from workbench.problems import clean, one_line

KEY_LIMIT = 200
"""Most characters of a key."""
STEP_LIMIT = 2**53
"""Largest step: a double holds it exactly."""
SETTINGS, ITEMS, LETTERS = 500, 100, 300
"""Most settings of a run, items of a list in one, and characters of a text in one."""


def number(value: Any) -> float | None:
    """A number of Python, NumPy, torch or any other library that can say it as one; None for anything else."""
    if isinstance(value, str | bytes | bytearray):
        return None  # float() would read a text
    try:
        item = getattr(value, "item", None)
        return float(item() if callable(item) else value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except Exception:
        return None  # whatever a foreign class does


def step_of(value: Any) -> int | None:
    """A step as a whole number; None where it is none, or out of range. TypeError where its type cannot be one."""
    item = getattr(value, "item", None)
    value = item() if callable(item) else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        step = operator.index(value)
    except TypeError:
        raise TypeError(f"A step is a whole number, not {one_line(repr(value), 60)}.") from None
    return step if 0 <= step <= STEP_LIMIT else None


def key_of(key: Any) -> str:
    """A key as the log takes it: one line without control characters. TypeError where it is no text."""
    if not isinstance(key, str):
        raise TypeError(f"A key is a text such as 'train/loss', not {one_line(repr(key), 60)}.")
    return one_line(key, KEY_LIMIT)


SPLITS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "eval": "valid", "test": "test"}
"""How other libraries begin the names of their metrics, and the split that this means."""


def by_split(name: str, otherwise: str = "") -> str:
    """The key for another library's name of a metric: `val_loss` → `valid/loss`, `train_loss_step` → `train/loss/step`.

    One without a split gets `otherwise`; one that has a slash keeps its parts.
    """
    split, _, metric = name.partition("/" if "/" in name else "_")
    if split not in SPLITS or not metric:
        return f"{otherwise}/{name}" if otherwise and "/" not in name else name
    for series in ("step", "epoch"):
        metric = f"{metric.removesuffix(f'_{series}')}/{series}" if metric.endswith(f"_{series}") else metric
    return f"{SPLITS[split]}/{metric}"


def event_of(event: Tagged, tag: str, step: int, epoch: float) -> Tagged:
    """A copy that later changes of its arrays do not reach, at this step, with clean text; `tag`, if given, in place of its own.

    TypeError where a field has the wrong type.
    """
    try:
        copy = events.as_event({**events.plain(event), **({"tag": tag} if tag else {})})
    except (TypeError, ValueError, NotImplementedError):  # a field that is no data
        copy = None
    if not isinstance(copy, Tagged) or not copy.tag.strip():
        names = ", ".join(name for name in type(event).__struct_fields__ if name not in Event.__struct_fields__)
        raise TypeError(f"This {type(event).__name__} has a field of a wrong type, or no tag. Its fields: {names}.")
    copy.step, copy.epoch, copy.tag = step, epoch, key_of(copy.tag)
    return copy


def scalars(values: dict[str, float], step: int, epoch: float, time: float, clock: float) -> Iterator[Scalars]:
    """The events of one call: several where its values would not fit in one line of the log."""
    if len(values) <= 200:
        yield Scalars(values, step=step, epoch=epoch, time=time, clock=clock)
        return
    items = list(values.items())
    for start in range(0, len(items), 200):
        yield Scalars(dict(items[start : start + 200]), step=step, epoch=epoch, time=time, clock=clock)


def settings(config: Any) -> tuple[dict[str, Any], int]:
    """What a script calls its configuration as plain settings by dotted names, and how many were too many to keep.

    It may be a dictionary, the namespace of argparse, a dataclass, a pydantic model, or anything with `to_dict` or `items`.
    """
    flat: dict[str, Any] = {}
    left_out = 0
    for name, value in _flat(_mapping(config), "", 0):
        if len(flat) < SETTINGS or name in flat:
            flat[name] = value
        else:
            left_out += 1
    return flat, left_out


def _mapping(config: Any) -> Mapping[Any, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    if isinstance(config, argparse.Namespace):
        return vars(config)
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for name in ("model_dump", "to_dict"):
        if callable(method := getattr(config, name, None)) and isinstance(given := method(), Mapping):
            return given
    raise TypeError(f"A configuration is a dictionary of settings, not {type(config).__name__}.")


def _flat(config: Mapping[Any, Any], before: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        name = one_line(f"{before}{key}", KEY_LIMIT) or "-"
        if depth < 8 and (isinstance(value, Mapping) or (dataclasses.is_dataclass(value) and not isinstance(value, type))):
            yield from _flat(_mapping(value), f"{name}.", depth + 1)
        else:
            yield name, _setting(value)


def _setting(value: Any) -> Any:
    """One value of a setting as plain data; what is none is shown as its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= STEP_LIMIT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        text = clean(value)
        return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
    if isinstance(value, list | tuple | set | frozenset) and len(value) <= ITEMS:
        return [_setting(item) if not isinstance(item, Mapping | list | tuple | set | frozenset) else _text(item) for item in value]
    if callable(item := getattr(value, "item", None)):
        with contextlib.suppress(Exception):  # an array of several values
            if isinstance(plain := item(), bool | int | float | str):
                return _setting(plain)
    return _text(value)


def _text(value: Any) -> str:
    try:
        return one_line(str(value), LETTERS)
    except Exception:
        return type(value).__name__  # whatever a foreign class does
