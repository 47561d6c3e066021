"""What two runs must have in common to be the same: every figure that was trained, validated and tested, by its bits."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from workbench.formatting import number
from workbench.runs.history import History

SPLITS = ("train", "valid", "test")
"""The machine's meters are of this machine, and figures of a sample depend on who asked for it."""
TOLERANCE = 1e-5
"""What may differ between two families of processors, relative to the figure, absolute below 1: they add in another order."""


Stream = dict[str, list[tuple[int, float]]]
"""Steps and values by tag."""


class Difference(NamedTuple):
    """Two values of one figure."""

    tag: str
    step: int
    before: float | None
    """None where there is no such figure."""
    now: float | None

    def __str__(self) -> str:
        def shown(value: float | None) -> str:
            return "nothing" if value is None else repr(value)

        return f"{self.tag} at step {self.step:,} is {shown(self.now)} here and {shown(self.before)} in the run"


def figures(history: History) -> Stream:
    """By tag, the steps and values of the stream."""
    return {
        tag: [(int(step), value) for step, value in zip(series.steps, series.values, strict=True)]
        for tag, series in sorted(history.series.items())
        if tag.partition("/")[0] in SPLITS
    }


def digest(stream: Stream) -> str:
    """The SHA-256 of a stream: of tags, steps, and every bit of the values."""
    lines = [f"{tag} {step} {value.hex()}\n" for tag, points in sorted(stream.items()) for step, value in points]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def differences(before: Stream, now: Stream) -> Iterator[Difference]:
    """The figures that are not equal bit for bit, the earliest steps first."""
    old, new = _by_place(before), _by_place(now)
    for key in sorted({*old, *new}):
        one, other = old.get(key), new.get(key)
        if one is None or other is None or one.hex() != other.hex():
            yield Difference(key[1], key[0], one, other)


def _by_place(stream: Stream) -> dict[tuple[int, str, int], float]:
    return {(step, tag, place): value for tag, points in stream.items() for place, (step, value) in enumerate(points)}


def apart(difference: Difference) -> float:
    """How far two values are apart, relative to the first, absolute where that is below 1; infinity where one is missing or not finite."""
    before, now = difference.before, difference.now
    if before is None or now is None:
        return float("inf")
    distance = abs(now - before) / max(1.0, abs(before))
    return distance if distance == distance else float("inf")


def summed_up(before: Stream, now: Stream) -> str:
    """A phrase on how far two streams are apart: "2 of 40 figures differ, by up to 3.10e-6"."""
    count, different = len({*_by_place(before), *_by_place(now)}), list(differences(before, now))
    if not different:
        return f"{count:,} figures are equal"
    return f"{len(different):,} of {count:,} figures differ, by up to {number(max(map(apart, different)))}"
