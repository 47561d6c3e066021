"""What one chart shows: its series, bars, changes and cursor, and the keys of its colours."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.tui.charts.pyramid import Pyramid

TITLE, LABEL, AXIS, REFERENCE, MARK, BAD, CURSOR, SERIES = 1, 2, 3, 4, 5, 6, 7, 8
SLOTS = 8
"""Colours of series; keys SERIES + 0 … SERIES + SLOTS - 1."""
FAINT = SERIES + SLOTS
"""The same colours faint, from here on: of the values that a smoothed line stands for."""
FOCUS = FAINT + SLOTS
"""The title of the chart that keys act on."""
STRAIGHT = 2
"""Points of a straight line."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A horizontal line at a value: a bar to pass, what the course got."""

    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """A vertical line at an x: a live change, the step that was kept."""

    x: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """One point that is pointed out: the working point on a ROC."""

    x: float
    y: float


@dataclass(slots=True)
class Trace:
    """One series as it is drawn: a pyramid where x never falls, else the arrays; `slot` is its colour, from 0."""

    name: str
    slot: int
    pyramid: Pyramid | None = None
    x: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    y: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    points: bool = False
    faint: bool = False
    """An older state of a line: drawn faint, and not named."""
    value: float | None = None
    """The latest value, for the legend."""
    smooth: Pyramid | None = None
    """Its smoothed values: drawn bright, over its own, which then are faint."""

    def at(self, x: float) -> tuple[float, float | None] | None:
        """The last value up to an x (infinity where it is not finite), and the smoothed one there; None before its first."""
        if self.pyramid is None:
            return None
        index = int(np.searchsorted(self.pyramid.x, x, "right")) - 1
        return (float(self.pyramid.y[index]), float(self.smooth.y[index]) if self.smooth else None) if index >= 0 else None


@dataclass(slots=True)
class Plot:
    """Everything that one chart shows."""

    traces: Sequence[Trace] = ()
    title: str = ""
    end: float | None = 0.0
    """Where x ends: the planned length; 0 = not known, grows in steps; None = as far as the data go (curves, scatters)."""
    references: Sequence[Reference] = ()
    moments: Sequence[Moment] = ()
    labels: tuple[str, str] = ("", "")
    log_y: bool | None = False
    """Whether the y-axis is logarithmic; None: where all values are positive and the largest is LOG_FROM times the smallest."""
    cursor: float | None = None
    """An x to read the values at."""
    spot: Spot | None = None
    focused: bool = False
    """Keys act on it: its title says so."""
