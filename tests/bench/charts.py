"""Time to draw nine charts in a 200 x 60 terminal, two smoothed series each, at 1k to 1M points; and again after 100 more points each.

    python tests/bench/charts.py

"whole" draws everything anew, Strips included; "100 more" takes in 100 points a series, draws, compares with what is shown and builds the
Strips of the rows that changed, as the run's screen does once a second.
"""

import gc
import statistics
import time
from array import array

import numpy as np
from rich.style import Style

from workbench.runs.history import Series
from workbench.tui.charts.cells import Cells, changed
from workbench.tui.charts.draw_plot import draw
from workbench.tui.charts.plot import Plot, Trace
from workbench.tui.charts.pyramid import Pyramid
from workbench.tui.charts.smoothing import Smoothed

CHARTS, SERIES, WIDTH, HEIGHT, REPEATS = 9, 2, 66, 19, 31
STYLES = [Style(color=f"#{number * 9:02x}ffff") for number in range(24)]


def series(points: int, seed: int) -> Series:
    """A noisy falling loss, one point a step."""
    found = Series()
    random = np.random.default_rng(seed)
    steps = np.arange(points, dtype=float)
    values = 2.3 * np.exp(-3 * steps / points) + 0.2 + random.normal(0, 0.05, points)
    found.steps, found.values = array("d", steps.tobytes()), array("d", values.tobytes())
    return found


def grow(one: Series, points: int) -> None:
    start = len(one.steps)
    one.steps.extend(range(start, start + points))
    one.values.extend([0.3 + 0.01 * (number % 7) for number in range(points)])


def style_for(key: int) -> Style:
    return STYLES[key]


def plot(pyramids: list[Pyramid], smoothed: list[Smoothed], points: int) -> Plot:
    pairs = enumerate(zip(pyramids, smoothed, strict=True))
    traces = [Trace(f"series {slot}", slot, one, value=float(one.y[-1]), smooth=smooth.follow(one)) for slot, (one, smooth) in pairs]
    return Plot(traces, "loss", end=points * 1.5)


def milliseconds(work) -> float:
    gc.disable()
    start = time.perf_counter()
    work()
    taken = time.perf_counter() - start
    gc.enable()
    return taken * 1000


class Nine:
    """Nine charts over as many points."""

    def __init__(self, points: int) -> None:
        self.points = points
        self.data = [[series(points, 10 * chart + one) for one in range(SERIES)] for chart in range(CHARTS)]
        self.pyramids = [[Pyramid() for _ in range(SERIES)] for _ in range(CHARTS)]
        self.smoothed = [[Smoothed(max(2, points // 64)) for _ in range(SERIES)] for _ in range(CHARTS)]
        self.shown = [Cells(WIDTH, HEIGHT) for _ in range(CHARTS)]

    def follow(self) -> None:
        for ones, owners in zip(self.pyramids, self.data, strict=True):
            for one, owner in zip(ones, owners, strict=True):
                one.follow(owner)

    def whole(self) -> None:
        for number, ones in enumerate(self.pyramids):
            cells = self.shown[number] = draw(plot(ones, self.smoothed[number], self.points), WIDTH, HEIGHT)
            for y in range(HEIGHT):
                cells.strip(y, style_for, True)

    def more(self) -> None:
        self.follow()
        for number, ones in enumerate(self.pyramids):
            cells = draw(plot(ones, self.smoothed[number], self.points), WIDTH, HEIGHT)
            for y in changed(self.shown[number], cells):
                cells.strip(y, style_for, True)
            self.shown[number] = cells


def main() -> None:
    print(f"{CHARTS} charts of {WIDTH} x {HEIGHT} cells, {SERIES} series each; milliseconds for all, medians of {REPEATS} interleaved")
    print(f"{'points a series':>16}{'whole':>9}{'ratio':>7}{'100 more':>10}{'ratio':>7}{'first reading':>15}")
    sets = [Nine(points) for points in (1_000, 10_000, 100_000, 1_000_000)]
    first = {each.points: milliseconds(each.follow) for each in sets}
    whole: dict[int, list[float]] = {each.points: [] for each in sets}
    more: dict[int, list[float]] = {each.points: [] for each in sets}
    for each in sets:
        each.whole()
    for _ in range(REPEATS):
        for each in sets:
            whole[each.points].append(milliseconds(each.whole))
            for owner in (one for owners in each.data for one in owners):
                grow(owner, 100)
            more[each.points].append(milliseconds(each.more))
    for points in first:
        times = [(statistics.median(found[points]), statistics.median(found[1_000])) for found in (whole, more)]
        row = "".join(f"{time:>{width}.1f}{time / base:>7.2f}" for (time, base), width in zip(times, (9, 10), strict=True))
        print(f"{points:>16,}{row}{first[points]:>15.1f}")


if __name__ == "__main__":
    main()
