"""The geometry of a chart in SVG, without NumPy: what `chart.svg.j2` of the HTML export draws."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from workbench.formatting import count, number

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 10, 24
SLOTS = 20
"""Number of colours of series."""
FEW = 40
"""Points up to which each is drawn as a dot, with its value on hover."""
LOG_FROM = 100
"""Ratio of the largest to the smallest value above which the y-axis is logarithmic, where all values are positive."""


class Line(NamedTuple):
    """One series; `points` are not joined."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    slot: int = 0
    points: bool = False


class Scale(NamedTuple):
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(edge) if self.log else edge for edge in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


class Drawn(NamedTuple):
    """One series in pixels: the corners of its pieces, its points with what they say on hover, and its first value that is not finite."""

    style: int
    paths: list[str]
    dots: list[tuple[float, float, str]]
    radius: float
    not_finite: tuple[float, str] | None


class Chart(NamedTuple):
    """All that a chart shows, in pixels, each with its text; `references` with the x where that ends."""

    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    moments: list[tuple[float, str]]
    references: list[tuple[float, int, str]]
    lines: list[Drawn]
    labels: tuple[str, str]


def chart(
    lines: Sequence[Line],
    *,
    end: float | None = None,
    references: Sequence[tuple[float, str]] = (),
    moments: Sequence[float] = (),
    labels: tuple[str, str] = ("", ""),
) -> Chart | None:
    """A chart of these lines; `end` is the planned last x, references are horizontal lines, moments vertical ones with their numbers.

    None where there is no value.
    """
    xs = [value for line in lines for value in line.x if math.isfinite(value)]
    ys = [value for line in lines for value in line.y if math.isfinite(value)]
    if not xs or not ys:
        return None
    ys += [value for value, _ in references if math.isfinite(value)]
    x = _scale(min(0.0, *xs) if end is not None else min(xs), max(end or 0.0, max(xs)), LEFT, WIDTH - RIGHT)
    y = _scale(min(ys), max(ys), HEIGHT - BOTTOM, TOP, room=True)
    right = WIDTH - RIGHT - 4
    return Chart(
        [(x(mark), _tick(mark)) for mark in ticks(x, 6)],
        [(y(mark), _tick(mark)) for mark in ticks(y, 5)],
        [(x(moment), str(place)) for place, moment in enumerate(moments, 1) if x.low <= moment <= x.high],
        [  # side by side, since their values are often close
            (y(value), right - 110 * (place % 4), f"{label} {_tick(value)}")
            for place, (value, label) in enumerate(references)
            if math.isfinite(value)
        ],
        [_drawn(line, x, y) for line in lines],
        labels,
    )


def _scale(low: float, high: float, start: float, end: float, room: bool = False) -> Scale:
    low, high = max(low, -1e300), min(high, 1e300)  # so that their difference is a number
    if room and 0 < low * LOG_FROM < high:
        return Scale(low, high, start, end, log=True)
    # All values are the same: 10 % around them, as a scale needs a height.
    if high - low <= abs(high) * 1e-12:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    spare = (high - low) * 0.04 if room else 0.0
    # Values close above zero are drawn from zero on.
    bottom = 0.0 if 0 <= low < spare * 3 else low - spare
    return Scale(bottom if room else low, high + spare, start, end)


def ticks(scale: Scale, parts: int) -> list[float]:
    """Round numbers in the range of a scale: about `parts`."""
    if scale.log:
        first, last = math.ceil(math.log10(scale.low) - 1e-9), math.floor(math.log10(scale.high) + 1e-9)
        every = max(1, round((last - first) / parts))
        powers = [10.0**power for power in range(first, last + 1, every)]
        return powers if len(powers) > 1 else [scale.low, scale.high]
    rough = (scale.high - scale.low) / parts
    power = 10.0 ** math.floor(math.log10(rough))
    # 0.999, and 1e-9 below: a tick must not be lost to rounding.
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(scale.low / step - 1e-9)
    return [round((first + place) * step, 12) for place in range(math.floor(scale.high / step + 1e-9) - first + 1)]


def _tick(value: float) -> str:
    return f"{value:g}" if value == 0 or 1e-4 <= abs(value) < 1e4 else number(value)


def thinned(x: Sequence[float], y: Sequence[float], scale: Scale) -> list[list[tuple[float, float]]]:
    """A line in pieces, broken where a value is not finite: in each column of pixels its first, lowest, highest and last point at most."""
    pieces: list[list[tuple[float, float]]] = [[]]
    column: list[tuple[float, float]] = []

    def close() -> None:
        low, high = min(column, key=lambda point: point[1]), max(column, key=lambda point: point[1])
        chosen = sorted({0, column.index(low), column.index(high), len(column) - 1})
        pieces[-1] += [column[place] for place in chosen]
        column.clear()

    at = None
    for one, value in zip(x, y, strict=False):
        if not (math.isfinite(one) and math.isfinite(value)):
            if column:
                close()
            if pieces[-1]:
                pieces.append([])
            continue
        pixel = int(scale(one))
        if pixel != at and column:
            close()
        at = pixel
        column.append((one, value))
    if column:
        close()
    return [piece for piece in pieces if piece]


def _drawn(line: Line, x: Scale, y: Scale) -> Drawn:
    points = list(zip(line.x, line.y, strict=False))
    finite = [(across, value) for across, value in points if math.isfinite(across) and math.isfinite(value)]
    paths, dots = [], []
    if not line.points:
        paths = ["L".join(f"{x(across):.1f} {_inside(y, value):.1f}" for across, value in piece) for piece in thinned(line.x, line.y, x)]
    if line.points or len(finite) <= FEW:
        for across, value in finite:
            where = count(across) if across == int(across) else number(across)
            dots.append((x(across), _inside(y, value), f"{line.name} {number(value)} at {where}"))
    # The first says it; thousands would hide the rest.
    wrong = next(((x(across), number(value)) for across, value in points if math.isfinite(across) and not math.isfinite(value)), None)
    return Drawn(line.slot % SLOTS + 1, paths, dots, 3 if line.points else 2.5, wrong)


def _inside(y: Scale, value: float) -> float:
    return y(min(max(value, y.low), y.high))
