"""A growing series' exponential moving average as a pyramid of its own: it is drawn as cheaply as the series. Used by Chart."""

import math

import numpy as np
from numpy.typing import NDArray

from workbench.tui.charts.pyramid import Pyramid

Floats = NDArray[np.float64]

SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
"""How far back the average reaches, as shares of the x-axis: so it looks the same at any rate of logging. 0 is off."""
FEW = 150
"""A series that will have fewer points on the whole axis is shown as it is."""
_BLOCK = 1 << 16
"""Points smoothed at once: their temporary arrays stay in the processor's cache."""
_RUN = 64


def span(x: Floats, end: float, share: float) -> int:
    """How many points the average reaches back: a share of those that the axis will hold, as a power of two so that it stays; 0: none."""
    if len(x) < 3 or not share or x[-1] <= x[0]:
        return 0
    expected = (len(x) - 1) / (x[-1] - x[0]) * max(end, x[-1])
    points = share * expected
    return 1 << round(math.log2(points)) if expected >= FEW and points >= 1.5 else 0


def recursion(inputs: Floats, weight: float, before: Floats) -> Floats:
    """s[i] = weight · s[i-1] + inputs[i] along the last axis, s[-1] being `before`: shapes (rows, points) and (rows,).

    Runs of points are summed by one matrix, and their ends carried on by the same recursion with weight**run: no step in Python per point.
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
    """The average of one pyramid's values. Its weights are those of the points so far, so that it is not drawn to zero at the start.

    Values that are not finite have no weight (the debiased average of Kingma and Ba 2015, section 3, with a mask).
    """

    def __init__(self, points: int) -> None:
        self.points = points
        self.pyramid = Pyramid()
        self._generation = -1
        self._sums = np.zeros(2)

    def follow(self, raw: Pyramid) -> Pyramid:
        """Take in what is new in `raw`; start anew where it did."""
        if raw.generation != self._generation:
            self.pyramid.clear()
            self._generation, self._sums = raw.generation, np.zeros(2)
        weight = math.exp(-1 / self.points)
        for start in range(len(self.pyramid), len(raw), _BLOCK):
            values = raw.y[start : start + _BLOCK]
            finite = np.isfinite(values)
            sums = recursion(np.stack([np.where(finite, values, 0.0), finite]), weight, self._sums)
            self._sums = sums[:, -1].copy()
            with np.errstate(invalid="ignore"):
                self.pyramid.append(raw.x[start : start + _BLOCK], sums[0] / sums[1])
        return self.pyramid
