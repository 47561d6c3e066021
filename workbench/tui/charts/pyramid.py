"""Points of one series with minima and maxima at several levels: drawing a million points costs as much as drawing a thousand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.runs.history import Series
from workbench.tui.charts.axes import Scale

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Larger: fewer levels, but more entries to look at on both ends of a range. 8 adds a seventh to the memory.
FACTOR = 8
"""So many entries of one level make one entry of the next; a power of two."""
_OFFSETS = np.arange(1, FACTOR)[:, None]
_BLOCK = 1 << 16
"""Points that are added at once: their temporary arrays (512 KiB) stay in the processor's cache."""


@dataclass(slots=True)
class Columns:
    """The points in equally wide columns of x: arrays with one value for each column."""

    count: NDArray[np.int64]
    """Number of points, with those that are not finite."""
    low: Floats
    high: Floats
    """Smallest and largest finite value; NaN without one."""
    first: Floats
    last: Floats
    """First and last value, infinity where it is not finite; NaN without a point."""
    first_x: Floats
    last_x: Floats
    missing: Flags
    above: Flags
    below: Flags
    """Whether there is a NaN, a positive or a negative infinity."""
    before: tuple[float, float]
    after: tuple[float, float]
    """The points (x, y) just outside the window on both sides; NaN without one."""


class Pyramid:
    """A growing series of points with x that never falls; it gives the smallest and largest value in each column of x.

    Level 0 holds (value, -value) of each point, level k the minima of FACTOR**k points, so that one minimum serves both ends. Values
    that are not finite count as infinity. So does entry 0 of each level, which means "no point": point i is entry i + 1.
    """

    def __init__(self, x: ArrayLike = (), y: ArrayLike = ()) -> None:
        self._source: Series | None = None
        self._version = 0
        self.generation = 0
        """Grows when points are dropped, so that all that is computed from them starts again."""
        self.clear()
        self.append(x, y)

    def __len__(self) -> int:
        return self._length

    @property
    def state(self) -> tuple[int, int]:
        """Equal as long as no point is added or dropped."""
        return self.generation, self._length

    def clear(self) -> None:
        """Drop all points."""
        self.generation += 1
        self._length = 0
        self._whole = np.inf, -np.inf
        self._x: Floats = np.empty(0)
        self._levels: list[Floats] = [_EMPTY]
        self._odd = {kind: (np.empty(0, np.int64), 0) for kind in ("missing", "above", "below")}

    def follow(self, series: Series) -> None:
        """Add the new points of `series`; start again when it is another series or was rewound. Keeps no view of its arrays."""
        if series is not self._source or series.version != self._version or len(series) < self._length:
            self.clear()
            self._source, self._version = series, series.version
        self._reserve(len(series))
        for start in range(self._length, len(series), _BLOCK):
            # A slice of an array.array is a copy. A view of the array itself would export its buffer, and the array could not grow.
            end = start + _BLOCK
            self.append(np.frombuffer(series.steps[start:end]), np.frombuffer(series.values[start:end]))

    def append(self, x: ArrayLike, y: ArrayLike) -> None:
        """Add points at the end; an x that is not finite, or that falls, becomes equal to the x before it."""
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
        """Compute the entries of every level whose groups the points from `start` to `end` completed."""
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
                    # Pair by pair: NumPy is slow at the minimum of many short rows.
                    groups = np.minimum(groups[:, 0::2], groups[:, 1::2])
                level[:, done + 1 : complete + 1] = groups
            start, end, depth = done, complete, depth + 1

    @property
    def x(self) -> Floats:
        """All x; a view, valid until the next append."""
        return self._x[: self._length]

    @property
    def y(self) -> Floats:
        """All values, infinity where they are not finite; a view, valid until the next append."""
        return self._levels[0][0, 1 : self._length + 1]

    def bounds(self, start: float = -np.inf, end: float = np.inf) -> tuple[float, float] | None:
        """Smallest and largest finite value between two x, ends included; None without one."""
        # The usual case, the whole series, needs no search.
        if self._length and start <= self._x[0] and end >= self._x[self._length - 1]:
            low, high = self._whole
            return (low, high) if low <= high else None
        extremes = self._extremes(
            np.searchsorted(self.x, [start], "left"),
            np.searchsorted(self.x, [end], "right"),
        )
        low, high = float(extremes[0, 0]), -float(extremes[1, 0])
        return (low, high) if low <= high else None

    def columns(self, x: Scale, width: int) -> Columns:
        """The points in each of `width` columns along an axis; the last column includes its end."""
        edges = np.empty(width + 1, np.int64)
        edges[:-1] = np.searchsorted(self.x, x.at(np.arange(width) / width), "left")
        edges[-1] = np.searchsorted(self.x, x.high, "right")
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
        none_odd = np.zeros(width, np.bool_)
        odd = {kind: np.diff(np.searchsorted(places[:used], edges)) > 0 if used else none_odd for kind, (places, used) in self._odd.items()}
        return Columns(
            count, low, -high, first, last, first_x, last_x, odd["missing"], odd["above"], odd["below"],
            self._point(edges[0] - 1), self._point(edges[-1]),
        )  # fmt: skip

    def _point(self, index: int) -> tuple[float, float]:
        if 0 <= index < self._length:
            return float(self._x[index]), float(self.y[index])
        return np.nan, np.nan

    def _extremes(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> Floats:
        """Minima of (value, -value) in the ranges start..end of points, of shape (2, ranges); infinity without a point.

        In each range it reads the entries at both ends that fill no whole group, at most FACTOR - 1 each; then, one level up, the groups
        between them in the same way.
        """
        minima = np.full((2, len(start)), np.inf)
        for level in self._levels:
            up, down = -(-start // FACTOR), end // FACTOR
            head_end = np.minimum(up * FACTOR, end)
            tail_start = np.maximum(down * FACTOR, head_end)
            starts, ends = np.concatenate([start, tail_start]), np.concatenate([head_end, end])
            index = starts + _OFFSETS
            index *= index <= ends  # beyond the end: entry 0, "no point"
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
    """The array with room for `needed` entries along its last axis; a full one doubles, so that many appends stay cheap."""
    if needed <= array.shape[-1]:
        return array
    grown = np.empty((*array.shape[:-1], max(64, needed, 2 * array.shape[-1])), array.dtype)
    grown[..., :used] = array[..., :used]
    return cast(Array, grown)


def monotonic(x: Sequence[float] | Floats) -> bool:
    """Whether all x are finite and never fall, as a Pyramid needs."""
    values = np.asarray(x, np.float64)
    return bool(np.isfinite(values).all() and (np.diff(values) >= 0).all())
