"""The content of one chart: series, bars, changes and cursor, and the keys of its colours."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.tui.charts.pyramid import Pyramid

# Keys of styles, see `Cells`; 0 is the widget's own style.
TITLE, LABEL, AXIS, REFERENCE, MARK, BAD, CURSOR, SERIES = 1, 2, 3, 4, 5, 6, 7, 8
SLOTS = 8
"""Number of colours of series in the stylesheet; their keys are SERIES + 0 … SERIES + SLOTS - 1. `ramp` has more."""
ROOM = 64
"""Number of keys for colours of series."""
FAINT = SERIES + ROOM
"""First key of the same colours in faint, for the values behind a smoothed line."""
FOCUS = FAINT + ROOM
"""The title of the chart that has the focus."""
TINT = 0x7F
TINTS = (10, 17, 24)
"""Bits of a key from which on it holds the slot of a band behind the cell, plus 1: up to three bands lie over each other."""
STRAIGHT = 2
"""Number of points of a straight line."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A horizontal line at a value: a bar to pass, or the course's result."""

    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """A vertical line at an x: a live change, or the step of a checkpoint that is kept."""

    x: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """One marked point: the operating point on a ROC curve."""

    x: float
    y: float


@dataclass(slots=True)
class Trace:
    """One series to draw: a pyramid where x never falls, else the arrays; `slot` is its colour, from 0."""

    name: str
    slot: int
    pyramid: Pyramid | None = None
    x: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    y: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    points: bool = False
    faint: bool = False
    """Whether it stands behind another line: drawn faint, without a name in the legend."""
    value: float | None = None
    """The latest value, for the legend."""
    smooth: Pyramid | None = None
    """Its smoothed values: drawn bright, over its own values in faint."""
    band: tuple[Pyramid, Pyramid] | None = None
    """The smallest and the largest values of what it is the mean of: the area between them is shaded."""
    named: bool = True
    """Whether it stands in the legend and beside the cursor: twenty names have no room."""

    def at(self, x: float) -> tuple[float, float | None] | None:
        """The last value up to an x (infinity where it is not finite), and the smoothed value there; None before its first point."""
        if self.pyramid is None:
            return None
        index = int(np.searchsorted(self.pyramid.x, x, "right")) - 1
        return (float(self.pyramid.y[index]), float(self.smooth.y[index]) if self.smooth else None) if index >= 0 else None


@dataclass(slots=True)
class Plot:
    """The whole content of one chart."""

    traces: Sequence[Trace] = ()
    title: str = ""
    end: float | None = 0.0
    """The end of x: the planned last step; 0: not known, it grows in steps; None: the end of the data (curves, scatter plots)."""
    references: Sequence[Reference] = ()
    moments: Sequence[Moment] = ()
    labels: tuple[str, str] = ("", "")
    log_y: bool | None = False
    """Whether the y-axis is logarithmic; None: if all values are positive and the largest is more than LOG_FROM times the smallest."""
    cursor: float | None = None
    """An x to read the values at."""
    spot: Spot | None = None
    focused: bool = False
    """Whether it has the focus; its title shows this."""
    begin: float | None = None
    """Where x begins, with `end` its last: what lies outside is not drawn. None: where the data begin."""
    clock: float | None = None
    """The Unix time at x = 0, where x counts seconds: times of the day then stand below the axis."""
    log_x: bool = False
    """Whether the x-axis is logarithmic: points at 0 and below then have no place."""
