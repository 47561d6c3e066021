"""A comparison as one HTML file that needs nothing else: its table, the mean curves of its variants, the settings of each."""

import math
import time
from collections.abc import Iterator

from workbench.events import split_tag
from workbench.runs import bars, compare, sweeps
from workbench.runs.comparisons import Comparison
from workbench.runs.export import svg
from workbench.runs.export.html import templates
from workbench.runs.history import History, history_of

SPLITS = ("valid", "train")


def to_html(comparison: Comparison) -> Iterator[str]:
    """The page, in pieces."""
    plan, standing = comparison.plan(), comparison.standing()
    histories: dict[str, list[History]] = {name: [] for name in plan.variants}
    for part, state in standing.parts:
        if state and state.state == "finished" and (run := part.place):
            histories[part.variant].append(history_of(run.events))
    arms = compare.arms(comparison, standing)
    sweep, chosen = sweeps.sweep_of(comparison, arms), sweeps.choice(comparison, arms)
    settings = [compare.settings(comparison.recipe(place)) for place in range(len(plan.variants))]
    names = dict.fromkeys(name for one in settings for name in one)
    yield from (
        templates()
        .get_template("comparison.html.j2")
        .generate(
            id=comparison.id,
            recipe=comparison.recipe(),
            plan=plan,
            state=standing.state,
            arms=arms,
            rows=list(compare.cells(arms)),
            heads=compare.HEADS,
            charts=[*_swept(sweep, plan.metric), *_charts(histories)],
            choice=sweeps.words(chosen) if chosen else [],
            settings=[(name, [one.get(name, compare.NOT_SET) for one in settings]) for name in names],
            now=time.strftime("%Y-%m-%d %H:%M"),
        )
    )


def _swept(sweep: sweeps.Sweep | None, metric: str) -> Iterator[tuple[str, list[svg.Line], svg.Chart | None]]:
    """The chart of a sweep: mean, least and largest of the seeds over the setting's values."""
    places = [place for place in sweep.places if place.mean is not None] if sweep else []
    if sweep and places:
        x = [sweep.across(place.x) for place in places]
        edges = {"mean": "mean", "least of the seeds": "low", "largest": "high"}
        values = {name: [math.nan if (value := getattr(place, key)) is None else value for place in places] for name, key in edges.items()}
        lines = [svg.Line(name, x, y, slot) for slot, (name, y) in enumerate(values.items())]
        yield f"{bars.short_name(metric)} over {sweep.words}", lines, svg.chart(lines, labels=(sweep.words, ""))


def _charts(histories: dict[str, list[History]]) -> Iterator[tuple[str, list[svg.Line], svg.Chart | None]]:
    tags = dict.fromkeys(tag for some in histories.values() for history in some for tag in history.series)
    for tag in sorted(tags, key=lambda tag: tag.split("/")[1:]):
        if split_tag(tag)[0] in SPLITS:
            lines = []
            for slot, (name, some) in enumerate(histories.items()):
                steps, values = compare.mean_line([history.series[tag] for history in some if tag in history.series])
                lines += [svg.Line(name, steps, values, slot)] if len(steps) > 1 else []
            if lines:
                yield bars.short_name(tag), lines, svg.chart(lines, end=max(line.x[-1] for line in lines))
