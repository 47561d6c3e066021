"""The notes under a recipe's `watch:`: which of them apply at a step of a run. The run's screen and the lists show them."""

import math
import re
from collections.abc import Callable

from workbench.recipes.recipe import Note


def place(at: int | str, steps: int, steps_per_epoch: int) -> float:
    """A stage of the run as a step: 600, `2 epochs`, `40 %` of the planned length; NaN where the length of its unit is not known."""
    if isinstance(at, int):
        return at
    number, _, unit = re.sub(r"([0-9])\s*([a-z%])", r"\1 \2", at).partition(" ")
    unit_steps = {"%": steps / 100, "epoch": steps_per_epoch, "step": 1}[unit.rstrip("s")]
    return float(number) * unit_steps if unit_steps else math.nan


def applies(note: Note, step: int, steps: int, steps_per_epoch: int, last: Callable[[str], float | None]) -> bool:
    """Whether a run at `step` is at the note's stage; `last` gives the newest value of a metric."""
    start, end = place(note.start, steps, steps_per_epoch), math.inf if note.to is None else place(note.to, steps, steps_per_epoch)
    if not start <= step <= end:
        return False
    if not note.when:
        return True
    left, sign, right = re.split(r"\s*(<=|>=|<|>)\s*", note.when)
    one, other = last(left), last(right) if "/" in right else float(right)
    if one is None or other is None:
        return False
    return {"<": one < other, ">": one > other, "<=": one <= other, ">=": one >= other}[sign]


def stage(note: Note) -> str:
    """A note's stage in words: `from 2 epochs to 50 %, when valid/loss > train/loss`."""

    def in_words(at: int | str) -> str:
        return f"step {at:,}" if isinstance(at, int) else at

    ends = [f"from {in_words(note.start)}" if note.start else "", f"to {in_words(note.to)}" if note.to is not None else ""]
    words = " ".join(end for end in ends if end)
    return ", ".join(part for part in (words, f"when {note.when}" if note.when else "") if part)


def written(note: str | Note) -> str:
    """A note in one line, its stage before it."""
    return note if isinstance(note, str) else f"{stage(note)}: {note.text}" if stage(note) else note.text
