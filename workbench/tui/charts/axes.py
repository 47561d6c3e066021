"""Axis ranges that change in steps, round tick marks, short numbers. Pure functions and one small type, for plots and matrices."""

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The difference of two such values is still below the largest double, 1.8e308.
HUGE = 1e300
"""Larger values are drawn at the edge, so that all spans are finite."""


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis: its two ends, and whether it is logarithmic."""

    low: float
    high: float
    log: bool = False

    def fraction(self, values: ArrayLike) -> NDArray[np.float64]:
        """Positions of values on the axis: 0 at the low end, 1 at the high end, clipped to that range; NaN stays NaN.

        On a log scale, values that are not positive lie at 0.
        """
        clipped = np.clip(np.asarray(values, np.float64), -HUGE, HUGE)
        low, high = self.low, self.high
        if self.log:
            low, high = math.log10(low), math.log10(high)
            clipped = np.log10(np.maximum(clipped, self.low))
        return np.clip((clipped - low) / (high - low), 0.0, 1.0)

    def at(self, fractions: ArrayLike) -> NDArray[np.float64]:
        """The values at positions on the axis: the inverse of `fraction`."""
        shares = np.asarray(fractions, np.float64)
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return np.asarray(10.0 ** (low + (high - low) * shares))
        return self.low + (self.high - self.low) * shares


def step_for(span: float, parts: float) -> float:
    """The round step (1, 2, 2.5 or 5 times a power of ten) that cuts `span` into at most `parts`."""
    raw = span / max(parts, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    # 1e-9 forgives rounding: 0.3 / 3 must not jump to the step after 0.1.
    for factor in (1.0, 2.0, 2.5, 5.0, 10.0):
        if factor * power >= raw * (1 - 1e-9):
            return factor * power
    return 10.0 * power


def widened(low: float, high: float) -> tuple[float, float]:
    """Two finite ends that are far enough apart for an axis; a single value gets an axis from zero to twice the value."""
    low, high = max(low, -HUGE), min(high, HUGE)
    size = max(abs(low), abs(high))
    if high - low > size * 1e-9 and high - low > 1e-290:
        return low, high
    if size < 1e-290:
        return 0.0, 1.0
    return (0.0, 2 * high) if high > 0 else (2 * low, 0.0)


def y_scale(low: float, high: float, log: bool = False) -> Scale:
    """The axis for values between `low` and `high`. It ends at round numbers, so that it changes in steps; near zero it begins at zero.

    It does not depend on the chart's height. With `log`, `low` must be positive.
    """
    if log:
        return _log_scale(*(min(max(end, 1e-300), HUGE) for end in (low, max(low, high))))
    low, high = widened(low, high)
    # An axis from zero shows sizes truly. Values far from zero would all lie at the top, so they keep their own range.
    if 0 < low < 0.5 * high:
        low = 0.0
    elif low < 0 and 0.5 * low < high < 0:
        high = 0.0
    # Six parts whatever the height: a chart that grows taller keeps its axis.
    step = step_for(high - low, 6)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def _log_scale(low: float, high: float) -> Scale:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    # More than two decades: whole powers of ten. Less: ends at 1, 2 or 5 times a power, or most of the axis would be empty.
    if last - first > 2:
        return Scale(10.0**first, 10.0**last, log=True)
    bottom = max(factor * 10.0**first for factor in (1, 2, 5) if factor * 10.0**first <= low * (1 + 1e-9))
    tops = [factor * 10.0**power for power in (first, first + 1, last) for factor in (1, 2, 5, 10)]
    top = min(value for value in tops if value >= high * (1 - 1e-9))
    return Scale(bottom, top if top > bottom else 2 * bottom, log=True)


def x_end(largest: float) -> float:
    """The end of an x-axis without a planned end: the next of 1, 1.5, 2, 3, 4, 6, 8 times a power of ten, so that it grows in steps."""
    if not largest > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(min(largest, HUGE)))
    return next(factor * power for factor in (1, 1.5, 2, 3, 4, 6, 8, 10, 20) if factor * power >= largest * (1 - 1e-9))


def ticks(scale: Scale, parts: float, *, whole: bool = False) -> list[float]:
    """Round numbers within the scale: at least two, and at most about `parts` + 1. `whole`: of a count, which has no halves."""
    if scale.log:
        first, last = math.log10(scale.low), math.log10(scale.high)
        if last - first > 1.999:
            stride = max(1, math.ceil((last - first) / max(parts, 1) - 1e-9))
            return [10.0**power for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1, stride)]
        powers = range(math.floor(first), math.ceil(last) + 1)
        candidates = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        candidates = [value for value in candidates if scale.low * (1 - 1e-9) <= value <= scale.high * (1 + 1e-9)]
        return candidates if len(candidates) <= parts + 1 else [candidates[0], candidates[-1]]
    # A range between two round numbers may hold only one of them: finer steps then find a second.
    for more in (1.0, 2.0, 4.0):
        step = step_for(scale.high - scale.low, parts * more)
        step = max(1.0, math.ceil(step)) if whole else step
        numbers = range(math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9) + 1)
        if len(numbers) > 1:
            break
    return [number * step for number in numbers]


CLOCK_STEPS = (5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800)
"""Seconds between two times that stand below an axis."""


def clock_ticks(scale: Scale, parts: float, clock: float) -> list[float]:
    """Round times of the day on an axis of seconds whose 0 is at the Unix time `clock`."""
    # Local time may be half an hour off UTC, and a tick at 12:30 is as round there as one at 12:00.
    offset = clock + (time.localtime(clock).tm_gmtoff or 0)
    span = scale.high - scale.low
    step = next((step for step in CLOCK_STEPS if span / step <= parts), CLOCK_STEPS[-1])
    first = math.ceil((scale.low + offset) / step)
    return [number * step - offset for number in range(first, min(first + 100, math.floor((scale.high + offset) / step) + 1))]


def clock_label(moment: float, step: float = 1.0) -> str:
    """A time of the day, with its seconds where the distance to the next one has some; a day where that is a day or more."""
    form = "%d %b" if step >= 86400 else "%H:%M" if step >= 60 and round(step) % 60 == 0 else "%H:%M:%S"
    return time.strftime(form, time.localtime(round(moment)))


def tick_label(value: float, step: float = 0.0) -> str:
    """The short number of a tick: 0, 0.25, 500, 10k, 1.2M, 1e-4. `step`, the distance to the next tick, gives the number of digits."""
    size = abs(value)
    if size == 0 or not math.isfinite(value):
        return "0" if size == 0 else str(value)
    step = abs(step) or size
    if size >= 1e15 or max(size, step) < 1e-3:
        digits = max(0, math.floor(math.log10(size) + 1e-9) - _last_digit(step))
        mantissa, _, exponent = f"{value:.{min(digits, 6)}e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    for unit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # With finer steps the letter would need four or more decimals: 1.2345M is no shorter than 1234500.
        if size >= unit and step >= unit / 1000:
            return f"{value / unit:.{_decimals(step / unit)}f}{suffix}"
    return f"{value:.{_decimals(step)}f}"


def _last_digit(step: float) -> int:
    """The power of ten of the last digit that multiples of `step` need (2.5 needs its second digit)."""
    power = math.floor(math.log10(step) + 1e-9)
    return power if abs(step / 10.0**power - round(step / 10.0**power)) < 1e-6 else power - 1


def _decimals(step: float) -> int:
    return min(max(0, -_last_digit(step)), 9)


def number(value: float, digits: int = 4) -> str:
    """A value with four significant digits: 0.3124, 12.30, 1234, 12.3k, 1.23e-5, nan, inf."""
    size = abs(value)
    if math.isnan(value) or math.isinf(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if size == 0:
        return "0"
    if size < 1e-3 or size >= 1e15:
        mantissa, _, exponent = f"{value:.{digits - 2}e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 10.0**digits:
        for unit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
            if size >= unit:
                return f"{number(value / unit, digits - 1)}{suffix}"
    if value == int(value) and size < 10.0**digits:
        return str(int(value))
    before = math.floor(math.log10(size)) + 1
    return f"{value:.{max(0, digits - before)}f}"
