"""A tuning as one HTML file that needs nothing else: what the best reaches, best so far, importance, and all trials."""

import math
import time
from collections.abc import Iterator

from workbench.formatting import duration, number
from workbench.problems import one_line
from workbench.runs import bars, compare
from workbench.runs.export import svg
from workbench.runs.export.html import templates
from workbench.runs.tunings import ENOUGH, FINISHED, Standing, Trial, Tuning


def to_html(tuning: Tuning) -> Iterator[str]:
    """The page, in pieces."""
    plan, standing = tuning.plan(), tuning.standing()
    metric = bars.short_name(plan.tune.metric)
    sign = -1 if plan.tune.goal == "maximize" else 1

    def place(trial: Trial) -> tuple[int, float, int]:
        finished = trial.state == FINISHED and trial.value is not None
        return (not finished, sign * (trial.value or 0.0), trial.number)

    yield from (
        templates()
        .get_template("tuning.html.j2")
        .generate(
            id=tuning.id,
            recipe=tuning.recipe(),
            plan=plan,
            state=standing.state,
            metric=metric,
            figure=_figure(standing, metric),
            charts=list(_charts(standing, metric)),
            importance=[(one_line(name), f"{share:.0%}") for name, share in tuning.importance().shares.items()],
            enough=ENOUGH,
            settings=list(plan.tune.space),
            rows=[_row(trial, list(plan.tune.space)) for trial in sorted(standing.trials, key=place)],
            now=time.strftime("%Y-%m-%d %H:%M"),
        )
    )


def _figure(standing: Standing, metric: str) -> list[tuple[str, str, str]]:
    """Name, mean and 95 % interval of what the best reaches on new seeds."""
    if not standing.figure:
        return []
    named = [(metric, standing.figure.metric), *((bars.short_name(tag), one) for tag, one in standing.figure.tests.items())]
    return [(one_line(name), number(one.mean), compare.between(one) if one.low is not None else "") for name, one in named]


def _row(trial: Trial, settings: list[str]) -> list[str]:
    values = [compare.NOT_SET if name not in trial.params else one_line(str(trial.params[name]), 60) for name in settings]
    value = number(trial.value) if trial.value is not None else ""
    return [str(trial.number), trial.state, value, *values, duration(trial.seconds) if trial.seconds else "", trial.run]


def _charts(standing: Standing, metric: str) -> Iterator[tuple[str, list[svg.Line], svg.Chart | None]]:
    values = {trial.number: trial.value for trial in standing.trials if trial.state == FINISHED}
    hours = [step.seconds / 3600 for step in standing.progress]
    for name, x in (("trials that ended", [float(count) for count in range(1, len(hours) + 1)]), ("hours of devices", hours)):
        if len(x) > 1:
            each = [math.nan if (value := values.get(step.trial)) is None else value for step in standing.progress]
            lines = [svg.Line("best so far", x, [step.value for step in standing.progress], 2), svg.Line("trials", x, each, 0, points=True)]
            yield f"{metric} over {name}", lines, svg.chart(lines, labels=(name, ""))
