"""The exponential moving average of a growing series, as a pyramid: drawing it is as cheap as drawing the series."""

import math

import numpy as np
from numpy.typing import NDArray

from workbench.tui.charts.pyramid import Pyramid

Floats = NDArray[np.float64]

SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Reach of the average, as shares of the x-axis, so that it looks the same at any rate of logging. 0: no smoothing."""
FEW = 150
"""A series with fewer points on the whole axis is not smoothed."""
_BLOCK = 1 << 16
"""Points that are smoothed at once: their temporary arrays stay in the processor's cache."""
_RUN = 64  # a 64 x 64 matrix sums a run; larger runs cost more multiplications, smaller ones more levels of recursion


def span(x: Floats, end: float, share: float) -> int:
    """The number of points in the average: a share of those that the axis will hold, rounded to a power of two; 0: no smoothing."""
    if len(x) < 3 or not share or x[-1] <= x[0]:
        return 0
    expected = (len(x) - 1) / (x[-1] - x[0]) * max(end, x[-1])
    points = share * expected
    # A power of two: the estimate of the points on the axis wavers while a run trains, and each change smooths everything again.
    return 1 << round(math.log2(points)) if expected >= FEW and points >= 1.5 else 0


def recursion(inputs: Floats, weight: float, before: Floats) -> Floats:
    """s[i] = weight · s[i-1] + inputs[i] along the last axis, with `before` as s[-1]; shapes (rows, points) and (rows,).

    One matrix product sums runs of points, and the same recursion with weight**run carries their ends on: no Python step for each point.
    """
    rows, points = inputs.shape
    runs = -(-points // _RUN)
    padded = np.zeros((rows, runs * _RUN))
    padded[:, :points] = inputs
    place = np.arange(_RUN)
    ages = place[None, :] - place[:, None]
    response = np.where(ages >= 0, weight ** np.maximum(ages, 0), 0.0)
    sums = padded.reshape(rows, runs, _RUN) @ response
    carried = before[:, None]
    if runs > 1:
        carried = np.concatenate([carried, recursion(sums[:, :-1, -1], weight**_RUN, before)], axis=1)
    sums += carried[:, :, None] * weight ** (place + 1)
    return sums.reshape(rows, -1)[:, :points]


class Smoothed:
    """The exponential moving average of one pyramid's values, without a bias towards zero at the start.

    The sum is divided by the sum of the weights (Kingma and Ba 2015, section 3); values that are not finite have weight 0.
    """

    def __init__(self, points: int) -> None:
        self.points = points
        self.pyramid = Pyramid()
        self._generation = -1
        self._sums = np.zeros(2)

    def follow(self, raw: Pyramid) -> Pyramid:
        """Add the new points of `raw`; start again when `raw` did."""
        if raw.generation != self._generation:
            self.pyramid.clear()
            self._generation, self._sums = raw.generation, np.zeros(2)
        weight = math.exp(-1 / self.points)
        for start in range(len(self.pyramid), len(raw), _BLOCK):
            values = raw.y[start : start + _BLOCK]
            finite = np.isfinite(values)
            sums = recursion(np.stack([np.where(finite, values, 0.0), finite]), weight, self._sums)
            self._sums = sums[:, -1].copy()
            # 0 / 0 before the first finite value is NaN: no point.
            with np.errstate(invalid="ignore"):
                self.pyramid.append(raw.x[start : start + _BLOCK], sums[0] / sums[1])
        return self.pyramid
