"""Points of one series with minima and maxima at several levels: drawing a million costs what drawing a thousand does. Used by `plot`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.runs.history import Series

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FACTOR = 8
"""How many entries of one level become one of the next; a power of two."""
_OFFSETS = np.arange(1, FACTOR)[:, None]
_BLOCK = 1 << 16
"""Points taken in at once: their temporary arrays stay in the processor's cache."""


@dataclass(slots=True)
class Columns:
    """What lies in each of a number of equally wide columns of x: arrays of one value per column."""

    count: NDArray[np.int64]
    """How many points, those that are not finite included."""
    low: Floats
    high: Floats
    """Smallest and largest finite value; NaN where there is none."""
    first: Floats
    last: Floats
    """First and last value, infinity where it is not finite; NaN where there is none."""
    first_x: Floats
    last_x: Floats
    missing: Flags
    above: Flags
    below: Flags
    """Whether there is a NaN, a positive or a negative infinity."""
    before: tuple[float, float]
    after: tuple[float, float]
    """The points (x, y) next to the window on both sides; NaN where there is none."""


class Pyramid:
    """A growing series of points, x never falling, that answers per column of x what the smallest and largest values are.

    Level 0 holds (value, -value) of each point, level k the minima of FACTOR**k points, so that one minimum serves both ends. What is
    not finite counts as infinity there, and so does entry 0 of each level, which stands for "no point": point i is entry i + 1.
    """

    def __init__(self, x: ArrayLike = (), y: ArrayLike = ()) -> None:
        self._source: Series | None = None
        self._version = 0
        self.generation = 0
        """Changes when points were dropped, so that what was made of them starts anew."""
        self.clear()
        self.append(x, y)

    def __len__(self) -> int:
        return self._length

    @property
    def state(self) -> tuple[int, int]:
        """Equal where nothing was added or dropped."""
        return self.generation, self._length

    def clear(self) -> None:
        """Forget every point."""
        self.generation += 1
        self._length = 0
        self._whole = np.inf, -np.inf
        self._x: Floats = np.empty(0)
        self._levels: list[Floats] = [_EMPTY]
        self._odd = {kind: (np.empty(0, np.int64), 0) for kind in ("missing", "above", "below")}

    def follow(self, series: Series) -> None:
        """Take in what is new in `series`; start anew where it is another one, or was rewound. Keeps no view of its arrays."""
        if series is not self._source or series.version != self._version or len(series) < self._length:
            self.clear()
            self._source, self._version = series, series.version
        self._reserve(len(series))
        for start in range(self._length, len(series), _BLOCK):
            # A slice of an array.array is a copy: a view of the array itself would forbid it to grow.
            end = start + _BLOCK
            self.append(np.frombuffer(series.steps[start:end]), np.frombuffer(series.values[start:end]))

    def append(self, x: ArrayLike, y: ArrayLike) -> None:
        """Add points at the end; an x that is not a number, or falls, takes the place of the one before it."""
        new_x, new_y = np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()
        added = min(len(new_x), len(new_y))
        if not added:
            return
        new_x, new_y = new_x[:added], new_y[:added]
        start, end = self._length, self._length + added
        floor = self._x[start - 1] if start else -np.inf
        if not (np.isfinite(new_x[-1]) and new_x[0] >= floor and (new_x[1:] >= new_x[:-1]).all()):
            new_x = np.maximum.accumulate(np.maximum(np.where(np.isfinite(new_x), new_x, -np.inf), floor))
            new_x = np.where(np.isfinite(new_x), new_x, 0.0)
        self._reserve(end)
        self._x[start:end] = new_x
        finite = np.isfinite(new_y)
        level = self._levels[0]
        level[0, start + 1 : end + 1], level[1, start + 1 : end + 1] = new_y, -new_y
        if not finite.all():
            level[:, start + 1 : end + 1][:, ~finite] = np.inf
            for kind, flags in (("missing", np.isnan(new_y)), ("above", new_y == np.inf), ("below", new_y == -np.inf)):
                stored, count = self._odd[kind]
                places = np.flatnonzero(flags) + start
                stored = _room(stored, count, count + len(places))
                stored[count : count + len(places)] = places
                self._odd[kind] = stored, count + len(places)
        self._length = end
        low, negative = level[:, start + 1 : end + 1].min(axis=1).tolist()
        self._whole = min(self._whole[0], low), max(self._whole[1], -negative)
        self._raise_levels(start, end)

    def _reserve(self, needed: int) -> None:
        self._x = _room(self._x, self._length, needed)
        self._levels[0] = _room(self._levels[0], self._length + 1, needed + 1)

    def _raise_levels(self, start: int, end: int) -> None:
        """Complete the groups of every level that the points from `start` to `end` filled."""
        depth = 1
        while (complete := end // FACTOR) > 0:
            done = start // FACTOR
            if depth == len(self._levels):
                self._levels.append(_EMPTY)
            below, level = self._levels[depth - 1], _room(self._levels[depth], done + 1, complete + 1)
            self._levels[depth] = level
            if complete > done:
                groups = below[:, done * FACTOR + 1 : complete * FACTOR + 1]
                while groups.shape[1] > complete - done:
                    # Pair by pair: numpy is slow at the minimum of many short rows.
                    groups = np.minimum(groups[:, 0::2], groups[:, 1::2])
                level[:, done + 1 : complete + 1] = groups
            start, end, depth = done, complete, depth + 1

    @property
    def x(self) -> Floats:
        """Every x; a view, valid until the next append."""
        return self._x[: self._length]

    @property
    def y(self) -> Floats:
        """Every value, infinity where it is not finite; a view, valid until the next append."""
        return self._levels[0][0, 1 : self._length + 1]

    def bounds(self, start: float = -np.inf, end: float = np.inf) -> tuple[float, float] | None:
        """Smallest and largest finite value between two x, ends included; None where there is none."""
        if self._length and start <= self._x[0] and end >= self._x[self._length - 1]:
            low, high = self._whole
            return (low, high) if low <= high else None
        extremes = self._extremes(
            np.searchsorted(self.x, [start], "left"),
            np.searchsorted(self.x, [end], "right"),
        )
        low, high = float(extremes[0, 0]), -float(extremes[1, 0])
        return (low, high) if low <= high else None

    def columns(self, start: float, end: float, width: int) -> Columns:
        """What lies in each of `width` columns between two x; the last column includes `end`."""
        edges = np.empty(width + 1, np.int64)
        edges[:-1] = np.searchsorted(self.x, start + (end - start) * (np.arange(width) / width), "left")
        edges[-1] = np.searchsorted(self.x, end, "right")
        left, right = edges[:-1], edges[1:]
        low, high = self._extremes(left, right)
        count = right - left
        filled = count > 0
        first, last, first_x, last_x = np.full((4, width), np.nan)
        if self._length:
            starts, ends = left[filled], right[filled] - 1
            first[filled], last[filled] = self.y[starts], self.y[ends]
            first_x[filled], last_x[filled] = self._x[starts], self._x[ends]
        none = low == np.inf
        low[none] = high[none] = np.nan
        odd = {kind: np.diff(np.searchsorted(places[:used], edges)) > 0 for kind, (places, used) in self._odd.items()}
        return Columns(
            count, low, -high, first, last, first_x, last_x, odd["missing"], odd["above"], odd["below"],
            self._point(edges[0] - 1), self._point(edges[-1]),
        )  # fmt: skip

    def _point(self, index: int) -> tuple[float, float]:
        if 0 <= index < self._length:
            return float(self._x[index]), float(self.y[index])
        return np.nan, np.nan

    def _extremes(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> Floats:
        """Minima of (value, -value) in the ranges start..end of points, of shape (2, ranges); infinity where there is none.

        Of each range the ends that fill no whole group are looked at, at most FACTOR - 1 entries each, then the groups between them in
        the same way one level up.
        """
        minima = np.full((2, len(start)), np.inf)
        for level in self._levels:
            up, down = -(-start // FACTOR), end // FACTOR
            head_end = np.minimum(up * FACTOR, end)
            tail_start = np.maximum(down * FACTOR, head_end)
            starts, ends = np.concatenate([start, tail_start]), np.concatenate([head_end, end])
            index = starts + _OFFSETS
            index *= index <= ends
            both_ends = level.take(index, axis=1).min(axis=1).reshape(2, 2, -1)
            np.minimum(minima, both_ends.min(axis=1), out=minima)
            inner = up < down
            if not inner.any():
                break
            start, end = np.where(inner, up, 0), np.where(inner, down, 0)
        return minima


_EMPTY: Floats = np.full((2, 1), np.inf)
Array = TypeVar("Array", bound=NDArray[Any])


def _room(array: Array, used: int, needed: int) -> Array:
    """The same array with space for `needed` entries along its last axis; doubled when it is too small."""
    if needed <= array.shape[-1]:
        return array
    grown = np.empty((*array.shape[:-1], max(64, needed, 2 * array.shape[-1])), array.dtype)
    grown[..., :used] = array[..., :used]
    return cast(Array, grown)


def monotonic(x: Sequence[float] | Floats) -> bool:
    """Whether x never falls, and is all numbers: what a Pyramid needs."""
    values = np.asarray(x, np.float64)
    return bool(np.isfinite(values).all() and (np.diff(values) >= 0).all())
