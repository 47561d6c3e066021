"""The rows of a tuning's trials: their columns, their order, their states; and the lines about the tuning. Pure functions."""

from typing import NamedTuple

from rich.style import Style
from textual.strip import Strip

from workbench import formatting
from workbench.problems import one_line
from workbench.runs import bars, compare
from workbench.runs.tunings import DIVERGED, ENOUGH, FAILED, FINISHED, PRUNED, STOPPED, Trial
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.trials import TuningFeed, short, shown
from workbench.tui.panels.bars import bar
from workbench.tui.panels.rows import Row

SYMBOLS = {PRUNED: "✂", DIVERGED: "∞", "pruning": "◍", "ending": "✓", "interrupted": "■", "asked": "○"}
"""Of the states that only trials have."""
VALUE, TRIAL, TIME, STEP, STATE = "value", "trial", "time", "step", "state"
FIXED = (TRIAL, STATE, VALUE)
"""The columns before the settings."""


class Order(NamedTuple):
    """The column that sorts the trials, and the direction. By value, the default, the best is first, behind what still trains."""

    column: str = VALUE
    reverse: bool = False


def columns(feed: TuningFeed) -> list[str]:
    """The columns, from the left: settings by their dotted names."""
    return [*FIXED, *feed.plan.tune.space, STEP, TIME]


def ordered(feed: TuningFeed, order: Order) -> list[Trial]:
    """The trials in this order; those without a value of the column are last, in both directions."""
    trials = feed.standing.trials
    if order.column == VALUE:
        sign = -1 if feed.goal == "maximize" else 1
        live = [trial for trial in trials if not trial.ended]
        ranked = sorted(
            (trial for trial in trials if trial.ended and trial.value is not None), key=lambda trial: sign * (trial.value or 0.0)
        )
        # What was pruned has a value of another step: it stands for itself.
        finished = [trial for trial in ranked if trial.state == FINISHED]
        others = [trial for trial in ranked if trial.state != FINISHED]
        none = [trial for trial in trials if trial.ended and trial.value is None]
        return [*live, *(finished[::-1] if order.reverse else finished), *others, *none]
    keyed = [(_key(trial, order.column), trial) for trial in trials]
    with_value = sorted(((key, trial) for key, trial in keyed if key is not None), key=lambda pair: pair[0], reverse=order.reverse)
    return [*(trial for _, trial in with_value), *(trial for key, trial in keyed if key is None)]


def _key(trial: Trial, column: str) -> tuple[int, float, str] | None:
    """A trial's sort key for a column; None without a value."""
    named = {TRIAL: trial.number, TIME: trial.seconds or None, STEP: trial.step or None}
    value = named[column] if column in named else trial.state if column == STATE else trial.params.get(column)
    if value is None:
        return None
    # Numbers before words: a setting that chooses may have both.
    return (0, float(value), "") if isinstance(value, int | float) and not isinstance(value, bool) else (1, 0.0, str(value))


def trial_rows(feed: TuningFeed, width: int, order: Order) -> list[Row]:
    """The trials below the names of the columns."""
    heads, cells, widths = _table(feed, width, order)
    names: list[strips.Part] = []
    for column, head in heads.items():
        style = palette.accent if column == order.column else palette.faint
        names.append((strips.fit(head, widths[column], "left" if column == STATE else "right") + "  ", style))
    rows = [Row("", strips.line(width, [("  ", palette.plain), *names]))]
    for trial, line in cells:
        parts: list[strips.Part] = [("  ", palette.plain)]
        for column in heads:
            text, style = line[column]
            parts += [(strips.fit(text, widths[column], "left" if column == STATE else "right"), style), ("  ", palette.plain)]
        rows.append(Row(str(trial.number), strips.line(width, parts)))
    return rows


def column_at(feed: TuningFeed, width: int, order: Order, x: int) -> str:
    """The column whose heading is at this cell; "" beside the headings."""
    heads, _, widths = _table(feed, width, order)
    start = 2
    for column in heads:
        if start <= x < start + widths[column] + 2:
            return column
        start += widths[column] + 2
    return ""


Cells = dict[str, tuple[str, Style]]


def _table(feed: TuningFeed, width: int, order: Order) -> tuple[dict[str, str], list[tuple[Trial, Cells]], dict[str, int]]:
    """The headings and the cells of the columns that fit, and how wide each is."""
    best = feed.standing.best
    cells = [(trial, _cells(trial, best is not None and trial.number == best.number)) for trial in ordered(feed, order)]
    arrow = "▲" if order.reverse else "▼"
    heads = {column: {VALUE: bars.short_name(feed.plan.tune.metric), TRIAL: "#"}.get(column) or short(column) for column in columns(feed)}
    heads = {column: f"{head} {arrow}" if column == order.column else head for column, head in heads.items()}
    widths = {
        column: max(len(head), *(len(line.get(column, ("", palette.plain))[0]) for _, line in cells), 1) for column, head in heads.items()
    }
    # What matters least goes first; then the names of long settings are cut.
    for column in (STEP, TIME):
        if _total(widths) > width and column != order.column:
            del heads[column], widths[column]
    settings = list(feed.plan.tune.space)
    while _total(widths) > width and (widest := max(settings, key=lambda name: widths[name])) and widths[widest] > 6:
        widths[widest] -= 1
    return (
        heads,
        [(trial, {column: line.get(column, (compare.NOT_SET, palette.faint)) for column in heads}) for trial, line in cells],
        widths,
    )


def _total(widths: dict[str, int]) -> int:
    return 2 + sum(size + 2 for size in widths.values())


def _cells(trial: Trial, is_best: bool) -> Cells:
    if trial.ended:
        plain = palette.plain if trial.state == FINISHED else palette.faint
    else:
        plain = palette.plain
    symbol = SYMBOLS.get(trial.state) or states.STATES.get(trial.state, ("·", ""))[0]
    style = {FINISHED: palette.dim, PRUNED: palette.faint, DIVERGED: palette.warn, "ending": palette.dim, "pruning": palette.warn}.get(
        trial.state, states.state_style(trial.state)
    )
    value = formatting.number(trial.value) if trial.value is not None else ""
    return {
        TRIAL: (str(trial.number), palette.accent if is_best else palette.faint),
        STATE: (f"{symbol} {'best' if is_best else trial.state}", palette.good if is_best else style),
        VALUE: (value, palette.good if is_best else plain),
        **{name: (shown(setting), palette.bold if is_best else plain) for name, setting in trial.params.items()},
        STEP: (f"{trial.step:,}" if trial.step else "", palette.dim),
        TIME: (formatting.duration(trial.seconds) if trial.seconds else "", palette.dim),
    }


# -- words ---------------------------------------------------------------------------------------------------------------------------------


def head_lines(feed: TuningFeed, width: int) -> list[Strip]:
    """State and title; what was done and is left; what the best reaches on new seeds."""
    plan, standing = feed.plan, feed.standing
    symbol, text, style = states.state_words(standing.state)
    tune = plan.tune
    how = f"{tune.sampler}, {tune.pruner} pruning" if tune.pruner != "none" else tune.sampler
    left = f"  {how}, {tune.parallel} at once " if tune.parallel > 1 else f"  {how} "
    title = one_line(plan.title)
    # How it searches is in the recipe, too; the title goes first.
    right = [(left, palette.faint)] if len(title) + len(left) + 14 < width else []
    lines = [strips.line(width, [(f"{symbol} {text.partition(':')[0]}  ", style), (title, palette.bold)], right)]
    words = one_line(standing.state.message, 300)
    if (seconds := feed.left()) is not None and standing.state.alive:
        words += f"; about {formatting.short(seconds)} left"
    lines += strips.paragraph(words, width, palette.dim)[:2]
    if standing.figure:
        lines += strips.paragraph(_figure(feed), width, palette.plain)[:2]
    elif standing.again:
        ended = sum(again.ended for again in standing.again)
        lines += strips.paragraph(f"The best is trained again with {_seeds(tune.seeds)}: {ended} ended.", width, palette.plain)[:1]
    elif not standing.state.alive and standing.state.hint:
        lines += strips.paragraph(f"{one_line(standing.state.hint)} r does it here.", width, palette.dim)[:1]
    return lines


def _figure(feed: TuningFeed) -> str:
    """What the best reaches: not the value that it was chosen by, which flatters."""
    standing, tune = feed.standing, feed.plan.tune
    assert standing.figure
    tests = [(bars.short_name(tag), interval) for tag, interval in standing.figure.tests.items()]
    named = [(bars.short_name(tune.metric), standing.figure.metric), *tests]
    parts = [
        f"{name} {formatting.number(interval.mean)}" + (f" ({compare.between(interval)})" if interval.low is not None else "")
        for name, interval in named
    ]
    return f"Trial {standing.figure.trial} on {_seeds(tune.seeds)}: {', '.join(parts)}. The value that it was chosen by flatters."


def _seeds(count: int) -> str:
    return f"{count} new seed{'s' * (count != 1)}"


def importance_lines(feed: TuningFeed, width: int, *, focused: bool) -> list[Strip]:
    """How much each setting decides, as bars; refused where too few trials have finished."""
    shares, counted = feed.importance
    title = palette.heading if focused else palette.bold
    right = [(f"of {counted} trials ", palette.faint)] if shares else []
    lines = [strips.line(width, [("importance of the settings", title)], right)]
    if not shares:
        finished = feed.standing.count(FINISHED)
        why = f"{ENOUGH} finished trials tell it; {finished or 'none'} {'has' if finished == 1 else 'have'} finished."
        if finished >= ENOUGH:
            why = "It is computed with the next trial that ends." if feed.standing.state.alive else "It was not computed."
        return [*lines, *strips.paragraph(why, width, palette.dim)]
    label = min(max(len(short(name)) for name in shares), max(6, width // 2))
    most = max(shares.values()) or 1.0
    for name, share in shares.items():
        room = max(4, width - label - 9)
        style = palette.accent if share == most else palette.dim
        parts: list[strips.Part] = [(strips.fit(short(name), label, "right") + " ", palette.plain)]
        parts += [(strips.fit(bar(share / most, room), room), style), (f"{share:>6.0%}", palette.plain)]
        lines.append(strips.line(width, parts))
    return lines


def about_line(feed: TuningFeed, trial: Trial | None, width: int) -> list[Strip]:
    """The trial under the cursor: its run, and why it ended as it did."""
    if trial is None:
        return [strips.line(width, [("No trial was proposed yet.", palette.dim)])]
    words = {PRUNED: f"pruned after {trial.evaluations} evaluations", STOPPED: "stopped", FAILED: "failed", DIVERGED: "diverged"}
    ended = ": ".join(filter(None, (words.get(trial.state, ""), one_line(trial.message, 300))))
    parts: list[strips.Part] = [(f"trial {trial.number}  ", palette.accent), (trial.run or "no run yet", palette.dim)]
    if trial.source:
        parts.append((f"  from {one_line(trial.source, 80)}", palette.dim))
    if ended:
        parts.append((f"  {ended}", palette.bad if trial.state == FAILED else palette.warn))
    return [strips.line(width, parts)]
