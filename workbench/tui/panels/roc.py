"""A ROC curve with a threshold that a person slides: the point, the 2x2 table and the metrics of that threshold follow."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.strip import Strip

from workbench import formatting as words
from workbench.events import Curve
from workbench.tui.charts.chart import Chart, Line, Spot
from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.pair import Pair

STEPS = 100
"""Steps of the slider between the smallest and the largest threshold."""


class Counts(NamedTuple):
    """The confusion matrix at one threshold."""

    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float

    @property
    def recall(self) -> float:
        """The share of the positive examples that are classified as positive (sensitivity)."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """The share of the negative examples that are classified as negative."""
        return _share(self.true_negative, self.true_negative + self.false_positive)

    @property
    def precision(self) -> float:
        """The share of the examples classified as positive that are positive."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return _share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def accuracy(self) -> float:
        """The share of the examples that are classified correctly."""
        return _share(self.true_positive + self.true_negative, sum(self))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def counts(curve: Curve, place: int) -> Counts:
    """The 2x2 table at a point of a ROC curve, from its two rates and the numbers of negative and positive examples."""
    negatives, positives = curve.totals
    false_positive, true_positive = round(curve.x[place] * negatives), round(curve.y[place] * positives)
    return Counts(true_positive, false_positive, positives - true_positive, negatives - false_positive)


def place_of(curve: Curve, threshold: float) -> int:
    """The point of a ROC curve for `threshold` (scores from it on count as positive): the last falling threshold that is not lower."""
    # Thresholds fall along the curve, `bisect` wants rising keys: both are negated.
    return max(0, bisect_right(curve.at, -threshold, key=lambda point_threshold: -point_threshold) - 1)


def area(curve: Curve) -> float:
    """The area under a ROC curve, by the trapezoidal rule."""
    pairs = zip(curve.x, curve.x[1:], curve.y, curve.y[1:], strict=False)
    return sum((right - left) * (low + high) / 2 for left, right, low, high in pairs)


def is_roc(curve: Curve) -> bool:
    """Whether the curve has thresholds and totals, as a ROC curve needs."""
    return len(curve.at) == len(curve.x) == len(curve.y) > 1 and all(curve.totals)


class RocBody(Pair):
    """The curve with its operating point, and the table of the threshold."""

    SIDE = (30, 10)

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[Line] = ()
        self._curve: Curve | None = None
        self.threshold = 0.5
        # Held, not looked up: a key may come while the screen is being taken down, when some of them are gone already.
        self._chart, self._side = Chart(), Lines(classes="side")

    def compose(self) -> ComposeResult:
        yield self._chart
        yield self._side

    def on_mount(self) -> None:
        self._side.source = self._table
        self._show()

    def show(self, lines: Sequence[Line], curve: Curve) -> None:
        """Show these lines; the threshold slides along `curve`."""
        self._lines, self._curve = lines, curve
        self.threshold = self._within(self.threshold)
        if self.is_mounted and self.children:
            self._show()

    @property
    def explains(self) -> bool:
        return self._curve is not None

    @property
    def natural(self) -> tuple[int, int]:
        # Both rates run from 0 to 1: axes of about the same length, with cells twice as high as wide.
        return max(40, 2 * self.size.height + 8), max(10, self.size.height - 10)

    @property
    def words(self) -> str:
        if not self._curve or self.opened:
            return ""
        table = counts(self._curve, place_of(self._curve, self.threshold))
        return f"recall {table.recall:.2f} from {self.threshold:.2g}"

    def move(self, across: int, down: int, *, page: bool = False) -> None:
        low, high = self._ends()
        self._slide(self.threshold + (across or -down) * (high - low) / STEPS * (10 if page else 1))

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        event.stop()
        if self._curve:
            nearest = min(range(len(self._curve.x)), key=lambda place: abs(self._curve.x[place] - event.x))  # type: ignore[union-attr]
            self._slide(self._curve.at[nearest])

    def _slide(self, threshold: float) -> None:
        self.threshold = self._within(threshold)
        self._show()
        self.post_message(self.Changed())

    def _ends(self) -> tuple[float, float]:
        # scikit-learn's first threshold is infinite: there nothing counts as positive.
        finite = [point_threshold for point_threshold in self._curve.at if abs(point_threshold) < 1e300] if self._curve else []
        return (min(finite), max(finite)) if finite else (0.0, 1.0)

    def _within(self, threshold: float) -> float:
        low, high = self._ends()
        return min(high, max(low, threshold))

    def _show(self) -> None:
        curve = self._curve
        if curve is None:
            return
        place = place_of(curve, self.threshold)
        spot = Spot(curve.x[place], curve.y[place])
        self._chart.show(self._lines, end=None, labels=curve.labels, spot=spot)
        self.settle()
        self._side.rebuild()

    def _table(self, width: int) -> list[Strip]:
        curve = self._curve
        if curve is None:
            return []
        table = counts(curve, place_of(curve, self.threshold))
        size = max(10, *(len(words.count(count)) + 1 for count in table))

        def row(name: str, right: float, wrong: float, first: bool) -> Strip:
            looks = (palette.good, palette.warn) if first else (palette.warn, palette.good)
            cells = [(f"{words.count(count):>{size}}", look) for count, look in zip((right, wrong), looks, strict=True)]
            return strips.line(width, [(strips.fit(name, 9), palette.dim), *cells])

        figures = (
            ("recall (sensitivity)", table.recall),
            ("specificity", table.specificity),
            ("precision", table.precision),
            ("F1", table.f1),
            ("accuracy", table.accuracy),
            ("area under the curve", area(curve)),
        )
        heads = f"{'':9}{'pred. +':>{size}}{'pred. -':>{size}}"
        return [
            strips.line(width, [("positive from ", palette.dim), (f"{self.threshold:.4g}", palette.heading), ("  ← →", palette.faint)]),
            strips.line(width, [(heads, palette.faint)]),
            row("true +", table.true_positive, table.false_negative, True),
            row("true -", table.false_positive, table.true_negative, False),
            *([strips.line(width, [])] if self.size.height >= 12 else []),
            *(
                strips.line(min(width, 30), [(name, palette.dim)], [(words.number(value) if value == value else "-", palette.plain)])
                for name, value in figures
            ),
        ]
