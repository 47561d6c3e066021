"""Gradient descent with momentum on a curve with two minima, in NumPy: where it ends, and what other starts would reach."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.events import Curve, Event, Matrix, Scatter, Table
from workbench.training.project import Field, Project

RATES, MOMENTA = (0.01, 0.02, 0.05), (0.0, 0.5, 0.8, 0.9, 0.95)
"""Rates and momenta whose ends are shown side by side."""
LOW, HIGH = -2.0, 2.0
"""Random starts are uniform between these."""
STARTS = 801
"""Starts on an even grid that stand for all random ones: their share is exact to an eighth of a percent."""
FAR = 50.0
"""Beyond this a descent counts as diverged: f'(x) is 4x³ there, so every further step is larger than the one before."""


class DescentLandscape(Project):
    """Follows gradient descent with momentum on f(x) = x⁴ − 3x² + x."""

    class Request(Project.Request):
        start: float = Field(2.0, ge=-2.5, le=2.5, json_schema_extra={"step": 0.1})
        """Where the descent begins; from the left of the top at 0.17 it ends in the global minimum, without momentum."""
        rate: float = Field(0.01, ge=0.001, le=0.2, json_schema_extra={"step": 0.005})
        """The learning rate: the step for a gradient of 1; higher is faster, overshoots, and in the end diverges."""
        momentum: float = Field(0.0, ge=0, le=0.99, json_schema_extra={"step": 0.05})
        """Share β of the last velocity that is kept: v ← βv + gradient; higher rolls on further, over small hills too."""
        steps: int = Field(500, ge=1, le=500, json_schema_extra={"step": 10})
        """Steps of the descent; fewer show it on its way."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The curve with the path on it, the path over the steps, where other settings end, random restarts and the velocity."""
        # One loop for all of them, as its 500 turns cost more than what is computed in them.
        rates, momenta = np.repeat(RATES, len(MOMENTA)), np.tile(MOMENTA, len(RATES))
        starts = np.concatenate([np.full(1 + len(rates), request.start), np.linspace(LOW, HIGH, STARTS)])
        rates = np.concatenate([[request.rate], rates, np.full(STARTS, request.rate)])
        momenta = np.concatenate([[request.momentum], momenta, np.full(STARTS, request.momentum)])
        paths = descent(starts, rates, momenta, request.steps)
        path, table, random = paths[:, 0], paths[-1, 1:-STARTS], paths[-1, -STARTS:]
        seen = path[np.abs(path) <= 3]
        end = float(path[-1])
        sides = max(2.2, float(np.abs(seen).max(initial=0)))
        x = np.linspace(-sides, sides, 121)
        yield Curve(tag="landscape/f", x=x.tolist(), y=height(x).tolist(), labels=("x", "f"))
        # Every step would cover the curve; the first ones are far apart.
        shown = seen[np.unique(np.geomspace(1, len(seen), 40).astype(int)) - 1]
        yield Scatter(
            tag="landscape/path",
            x=[*shown.tolist(), *seen[-1:].tolist()],
            y=[*height(shown).tolist(), *height(seen[-1:]).tolist()],
            labels=["path"] * len(shown) + ["end"] * len(seen[-1:]),
        )
        yield Curve(tag="path/x", x=np.flatnonzero(np.abs(path) <= 3).astype(float).tolist(), y=seen.tolist(), labels=("steps", "x"))
        minima = stationary()
        rows: list[list[str | float]] = [["start", request.start, float(height(np.array(request.start)))]]
        rows.append([f"after {request.steps} steps", end, float(height(np.array(end)))] if abs(end) <= FAR else ["diverged", "–", "–"])
        rows += [
            [name, float(place), float(height(place))]
            for name, place in zip(("global minimum", "top", "local minimum"), minima, strict=True)
        ]
        yield Table(tag="places", columns=["place", "x", "f"], rows=rows)
        # Not a number where it diverged: a panel shows it as a gap.
        ends = np.where(np.abs(table) <= FAR, table, np.nan).reshape(len(RATES), len(MOMENTA))
        yield Matrix(
            tag="where it ends", values=ends.tolist(), rows=[f"rate {rate}" for rate in RATES], columns=[f"β {beta}" for beta in MOMENTA]
        )
        share = float(np.mean((random < stationary()[1]) & (np.abs(random) <= FAR)))
        rows = [[str(starts), 1 - (1 - share) ** starts] for starts in (1, 2, 3, 5, 10)]
        yield Table(tag="random starts", columns=["starts", "finds the global minimum"], rows=rows)
        velocity, rows = 0.0, []
        for step in (1, 2, 3):
            velocity = request.momentum * velocity + 1
            rows.append([str(step), velocity])
        rows.append(["in the end", 1 / (1 - request.momentum)])
        yield Table(tag="velocity", columns=["steps of gradient 1", "v"], rows=rows)


def height(x: np.ndarray) -> np.ndarray:
    """f(x) = x⁴ − 3x² + x."""
    return np.asarray(x**4 - 3 * x**2 + x)


def gradient(x: np.ndarray) -> np.ndarray:
    """f'(x) = 4x³ − 6x + 1."""
    # Without a power: it takes most of the time of 500 steps from 801 starts.
    return np.asarray((4 * x * x - 6) * x + 1)


def stationary() -> np.ndarray:
    """Where the gradient is 0, from left to right: the global minimum, the top between both, the local minimum."""
    return np.sort(np.roots([4, 0, -6, 1]).real)


def descent(starts: np.ndarray, rate: Any, momentum: Any, steps: int) -> np.ndarray:
    """The paths of all starts side by side, (steps + 1, starts); rate and momentum are one number, or one for each start."""
    x, velocity = np.array(starts, float), np.zeros(len(starts))
    path = np.empty((steps + 1, len(x)))
    path[0] = x
    for step in range(1, steps + 1):
        velocity = momentum * velocity + gradient(x)
        # What diverges stays where it passed the limit: its cube would overflow soon after.
        x = np.where(abs(x) <= FAR, x - rate * velocity, x)
        path[step] = x
    return path
