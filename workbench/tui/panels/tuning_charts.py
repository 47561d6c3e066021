"""The charts of a tuning: what each shows of its trials. Its screen calls them with the widget and the trial under the cursor."""

import math
from collections.abc import Sequence

from workbench.runs import bars
from workbench.runs.tunings import FINISHED, Trial
from workbench.tui.charts import parallel
from workbench.tui.charts.chart import Chart, Line, Reference, Spot
from workbench.tui.charts.matrix import MatrixView
from workbench.tui.charts.parallel import ParallelView, Way
from workbench.tui.models import trials
from workbench.tui.models.trials import TuningFeed

DONE, CHOSEN, BEST, LIVE, PRUNED = 0, 1, 2, 6, 7
"""Colours of lines and points, by their slots."""


def draw_best(chart: Chart, feed: TuningFeed, chosen: Trial | None, log_y: bool | None, *, by_time: bool, focused: bool) -> None:
    """The best value so far as a staircase, and the trials as points: over their number, or over the time that devices have trained."""
    metric, progress = bars.short_name(feed.plan.tune.metric), feed.standing.progress
    before = sum(trial.ended for trial in feed.standing.trials) - len(progress)
    whole = progress[-1].seconds if progress else 0.0
    unit, name = (3600.0, "hours") if whole >= 3600 else (60.0, "minutes") if whole >= 120 else (1.0, "seconds")
    x = {step.trial: step.seconds / unit if by_time else before + place for place, step in enumerate(progress, 1)}
    stairs_x: list[float] = []
    stairs_y: list[float] = []
    for step in progress:
        stairs_x += [x[step.trial]] * (2 if stairs_y else 1)
        stairs_y += [*stairs_y[-1:], step.value]
    points: dict[bool, tuple[list[float], list[float]]] = {True: ([], []), False: ([], [])}
    for trial in feed.standing.trials:
        if (value := _finite(trial)) is not None and trial.number in x:
            at, values = points[trial.state == FINISHED]
            at.append(x[trial.number])
            values.append(value)
    lines = [
        Line("pruned", points[False], PRUNED, points=True, faint=True),
        Line("trials", points[True], DONE, points=True, faint=True),
        Line("best so far", (stairs_x, stairs_y), BEST),
    ]
    spot = None
    if chosen and chosen.number in x and (value := _finite(chosen)) is not None:
        spot = Spot(x[chosen.number], value)
    figure = feed.standing.figure
    references = [Reference(figure.metric.mean, "best on new seeds")] if figure else []
    axis = f"device-{name}" if by_time else "trials"
    chart.log_y = log_y
    chart.show(lines, title=f"best {metric} over {axis}", end=None, references=references, labels=(axis, ""), spot=spot, focused=focused)


def _finite(trial: Trial) -> float | None:
    return trial.value if trial.value is not None and math.isfinite(trial.value) else None


def draw_curves(chart: Chart, feed: TuningFeed, chosen: Trial | None, log_y: bool | None, *, focused: bool) -> None:
    """The metric of each trial over its steps: pruned ones dim, live ones, the best and the chosen one bright."""
    best = feed.standing.best
    # Of the two the pruned ones are on top: they end early, and nothing that finished is hidden for long.
    behind: dict[str, list[int]] = {"finished": [], "pruned": []}
    bright: list[tuple[int, Line]] = []
    for trial in feed.standing.trials:
        series, name = feed.curves.get(trial.number), f"trial {trial.number}"
        if series is None:
            continue
        if chosen and trial.number == chosen.number:
            bright.append((2, Line(name, series, CHOSEN)))
        elif best and trial.number == best.number:
            bright.append((1, Line("best", series, BEST)))
        elif not trial.ended:
            bright.append((0, Line(name, series, LIVE)))
        else:
            behind["finished" if trial.state == FINISHED else "pruned"].append(trial.number)
    lines = [
        Line(name, feed.bundle(name, numbers), DONE if name == "finished" else PRUNED, faint=True)
        for name, numbers in behind.items()
        if numbers
    ]
    lines += [line for _, line in sorted(bright, key=lambda pair: pair[0])]  # later ones are on top
    end = max((series.steps[-1] for series in feed.curves.values() if len(series)), default=0.0)
    chart.log_y = log_y
    title = f"{bars.short_name(feed.plan.tune.metric)} of each trial"
    chart.show(lines, title=title, end=end, focused=focused)


def draw_parallel(view: ParallelView, feed: TuningFeed, chosen: Trial | None, *, focused: bool) -> None:
    """A line for each trial across its settings to the metric: pruned ones dim, the best on top."""
    space, ranked = feed.plan.tune.space, feed.ranked()
    axes = [trials.axis_of(name, dimension, [trial.params.get(name) for trial in ranked]) for name, dimension in space.items()]
    axes.append(trials.metric_axis(bars.short_name(feed.plan.tune.metric), [trial.value or 0.0 for trial in ranked], feed.goal))
    places = {trial.number: place for place, trial in enumerate(ranked)}
    others = [trial for trial in feed.standing.trials if trial.number not in places]
    ways = []
    # The best last, on top of all, and above it the chosen one.
    for trial in sorted([*others, *ranked[::-1]], key=lambda trial: chosen is not None and trial.number == chosen.number):
        place = places.get(trial.number)
        key = parallel.BEST if place == 0 else parallel.SHADE + trials.shade(trial, place or 0, len(ranked))
        if chosen and trial.number == chosen.number:
            key = parallel.CHOSEN
        at = [axis.place(trial.params.get(name)) for axis, name in zip(axes, space, strict=False)]
        ways.append(Way((*at, axes[-1].place(trial.value if place is not None else None)), key))
    note = f"best on top; bright: trial {chosen.number}" if chosen else "best on top"
    shown = [parallel.Axis(axis.name, axis.low, axis.high) for axis in axes]
    view.show(shown, ways, title="parallel coordinates", note=note, focused=focused)


def draw_heat(
    view: MatrixView, feed: TuningFeed, chosen: Trial | None, pairs: Sequence[tuple[str, str]], number: int
) -> trials.Heat | None:
    """The metric over two settings, the better the brighter; returns what is shown."""
    pair = pairs[number % len(pairs)]
    heat = trials.heat(pair, feed.plan.tune.space, feed.ranked(), feed.goal)
    more = f"  (h: {len(pairs) - 1} more)" if len(pairs) > 1 else ""
    title = f"{trials.short(pair[1])} over {trials.short(pair[0])}{more}"
    if heat is None:
        view.show([], title=title)
        return None
    view.chosen = heat.cells.get(chosen.number) if chosen else None
    legend = f"{heat.words} {bars.short_name(feed.plan.tune.metric)}".strip()
    view.show(heat.values, heat.rows, heat.columns, title=title, legend=legend, strength=heat.strength)
    return heat
