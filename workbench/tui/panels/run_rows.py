"""The rows of the list of runs: their columns, their order, their marks. Pure functions from the library to lines of cells."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from rich.style import Style
from textual.strip import Strip

from workbench import formatting
from workbench.problems import one_line
from workbench.recipes.processes import on_briefly
from workbench.runs import bars, family, own
from workbench.tui.drawing import palette, states, strips
from workbench.tui.models.library import Compared, Entry, Library, Tuned
from workbench.tui.panels.recipe_rows import TITLE_WIDTH, matches
from workbench.tui.panels.rows import Row

MARK = "◆"
FOLD = "fold "
"""What the key of a row that folds others begins with; the rest is what they stand below: a run, a comparison or a tuning."""
MOST_BELOW, FIRST_BELOW = 5, 3
"""Of more forks of a run, or runs of a comparison or a tuning, only so many are shown."""


Column = tuple[str, int, str]
COLUMNS: tuple[Column, ...] = (
    ("state", 12, "left"),
    ("recipe", 0, "left"),
    ("tags", 0, "left"),
    ("device", 7, "left"),
    ("step", 15, "right"),
    ("time", 7, "right"),
    ("figure", 9, "right"),
    ("bars", 6, "right"),
    ("started", 10, "right"),
)
RISING = ("state", "recipe", "tags", "device")
"""Columns of words: they sort from A to Z at first, all other columns from the largest value."""


class Order(NamedTuple):
    """The column that sorts the rows, and the direction; rows without a value are last in both directions."""

    column: str = "started"
    falls: bool = True

    def by(self, column: str) -> "Order":
        """The order by this column; in the other direction if it is this column already."""
        return Order(column, not self.falls if column == self.column else column not in RISING)

    def next(self, columns: Sequence[str]) -> "Order":
        """The order by the next column to the right."""
        place = columns.index(self.column) + 1 if self.column in columns else 0
        return Order().by(columns[place % len(columns)]) if columns[place % len(columns)] != "started" else Order()


def _columns(library: Library, width: int, states: int, titles: int, kept_for: str) -> list[Column]:
    """The columns that fit; the least useful go first, never the sorting one. Free room goes to the title and the state.

    `states` and `titles` are the lengths of the longest state and title.
    """
    tags = max((len(" ".join(entry.notes.tags)) for entry in library.entries.values()), default=0)
    fitting = [(name, min(max(tags, 6), 20) if name == "tags" else size, align) for name, size, align in COLUMNS if name != "tags" or tags]
    # In this order they go; 24 cells stay for the title.
    for name in ("device", "started", "bars", "tags", "time"):
        if sum(size + 2 for _, size, _ in fitting) + 24 > width and (name != kept_for or name == Order().column):
            fitting = [column for column in fitting if column[0] != name]
    free = width - 2 - sum(size + 2 for _, size, _ in fitting)
    spare = free - max(0, states - COLUMNS[0][1])
    # A long state ("failed: out of memory …") gets its full width only where 22 cells remain for the title; else it is cut anyway.
    title = min(TITLE_WIDTH, spare if spare >= 22 else max(22, min(titles, free)))
    return [(name, size + (free - title if name == "state" else title if name == "recipe" else 0), align) for name, size, align in fitting]


def columns(library: Library, width: int, filtered: str, order: Order) -> list[Column]:
    """The columns of `run_rows`, from the left."""
    cells = [(entry, _run_cells(entry)) for entry in library.entries.values()]
    shown = [row_cells for entry, row_cells in cells if matches(_text(entry, row_cells), filtered)]
    shown += [row_cells for _, row_cells in _compared(library, filtered)]
    states, titles = (max((len(row_cells[name][0]) for row_cells in shown), default=0) for name in ("state", "recipe"))
    return _columns(library, width, states, titles, order.column)


def column_at(shown: Sequence[Column], x: int) -> str:
    """The column whose heading is at this cell; "" beside the headings."""
    start = 2  # after the mark
    for name, size, _ in shown:
        if start <= x < start + size + 2:
            return name
        start += size + 2
    return ""


def run_rows(
    library: Library,
    width: int,
    filtered: str = "",
    order: Order | None = None,
    marked: Collection[str] = (),
    unfolded: Collection[str] = (),
) -> list[Row]:
    """The runs, sorted, below the names of the columns; marked runs have a sign.

    By the time of their start, forks stand below their parent, and runs below the comparison or the tuning that started them: of many the
    first ones, unless what they stand below is among the `unfolded`.
    """
    order = order or Order()
    entries = sorted(library.entries.values(), key=lambda entry: entry.run.id, reverse=True)
    valued = [(_value(entry, order.column), entry) for entry in entries]
    with_value = sorted((pair for pair in valued if pair[0] is not None), key=lambda pair: pair[0], reverse=order.falls)
    listed = [(entry, _run_cells(entry)) for _, entry in [*with_value, *(pair for pair in valued if pair[0] is None)]]
    listed = [(entry, cells) for entry, cells in listed if matches(_text(entry, cells), filtered)]
    shown = columns(library, width, filtered, order)
    names: list[strips.Part] = []
    for name, size, align in shown:
        head = f"{name} {'▼' if order.falls else '▲'}" if name == order.column else name
        names.append((strips.fit(head, size, align) + "  ", palette.accent if name == order.column else palette.faint))
    rows = [Row("", strips.line(width, [("  ", palette.plain), *names]))]
    compared = _compared(library, filtered)
    if order.column == "started":
        keyed = _families(library, listed, compared, order, None if filtered else unfolded)
    else:
        keyed = [*compared, *((entry.run.id, cells) for entry, cells in listed)]
    for key, cells in keyed:
        parts: list[strips.Part] = [(f"{MARK} " if key in marked else "  ", palette.accent)]
        for name, size, align in shown:
            text, style = cells[name]
            # "failed" alone reads better than "failed: out of m…", and "running" than "running on g…".
            if name == "state" and len(text) > size:
                text = text.partition(":")[0].partition(" on ")[0]
            parts += [(strips.fit(text, size, align), style), ("  ", palette.plain)]
        rows.append(Row(key, strips.line(width, parts)))
    return rows


Cells = dict[str, tuple[str, Style]]


def _families(
    library: Library,
    listed: Sequence[tuple[Entry, Cells]],
    compared: Sequence[tuple[str, Cells]],
    order: Order,
    unfolded: Collection[str] | None,
) -> list[tuple[str, Cells]]:
    """Runs with their forks below them, comparisons and tunings with their runs; `unfolded` None shows all of them."""
    by_id = {entry.run.id: (entry, cells) for entry, cells in listed}
    families: dict[str, list[family.Place]] = {}
    for place in family.tree({name: entry.forked for name, (entry, _) in by_id.items()}):
        if not place.depth:
            families[place.id] = places = []
        places.append(place)
    # A family stands where its newest run does: there a person looks for a fork of an old one.
    newest = {root: max(place.id for place in places) for root, places in families.items()}
    roots = sorted(families, key=newest.__getitem__, reverse=order.falls)
    blocks = []
    everyone = _members(library)
    members = {group: everyone[group] for group, _ in compared}
    for group, cells in compared:
        # A run that was forked from another one stands with that one, whoever started it.
        of_group = [run for run in roots if run in members[group]]
        below = [row for run in of_group for row in _family_rows(families[run], by_id, unfolded, title=members[group][run])]
        rows = [(group, cells), *_folded(group, below, "run", unfolded)]
        # Without a run in this list, it stands where its newest one would.
        blocks.append((max((newest[run] for run in of_group), default=max(members[group], default="")), rows))
    ours = {run for runs in members.values() for run in runs}
    blocks += [(newest[run], _family_rows(families[run], by_id, unfolded)) for run in roots if run not in ours]
    blocks.sort(key=lambda block: block[0], reverse=order.falls)
    return [row for _, rows in blocks for row in rows]


def _members(library: Library) -> dict[str, dict[str, str]]:
    """The runs of each comparison and each tuning, and the words that tell one of them from the others."""
    members = {
        key: {part.run: part.variant + f", seed {part.seed}" * (len(compared.plan.seeds) > 1) for part, _ in compared.standing.parts}
        for key, compared in library.comparisons.items()
    }
    for key, tuned in library.tunings.items():
        trials = {trial.run: f"trial {trial.number}: {formatting.settings(trial.params)}" for trial in tuned.standing.trials}
        members[key] = trials | {again.run: f"trial {again.trial} again, seed {again.seed}" for again in tuned.standing.again}
    return members


def _family_rows(
    places: Sequence[family.Place], by_id: dict[str, tuple[Entry, Cells]], unfolded: Collection[str] | None, title: str = ""
) -> list[tuple[str, Cells]]:
    """A run and its forks; `title` where it stands below a comparison or a tuning: what tells it from that one's other runs."""
    rows = []
    for place in places:
        entry, cells = by_id[place.id]
        # Below its parent its own settings say more than the title that all of them have.
        words = _fork_words(entry) if place.depth else title + " DEMO" * bool(title and entry.summary.demo)
        depth = place.depth + bool(title)
        rows.append((place.id, {**cells, "recipe": ("  " * (depth - 1) + f"└ {words}" if depth else cells["recipe"][0], palette.plain)}))
    return rows[:1] + _folded(places[0].id, rows[1:], "fork", unfolded)


def _folded(key: str, below: Sequence[tuple[str, Cells]], noun: str, unfolded: Collection[str] | None) -> list[tuple[str, Cells]]:
    """The rows below another one: of many the first ones, and a row that shows or hides the others."""
    if len(below) <= MOST_BELOW or unfolded is None:
        return list(below)
    hidden = len(below) - FIRST_BELOW if key not in unfolded else 0
    text = f"▸ {hidden} more {noun}s" if hidden else "▴ fewer"
    empty = dict.fromkeys((name for name, *_ in COLUMNS), ("", palette.plain))
    return [*below[: len(below) - hidden], (FOLD + key, {**empty, "recipe": (text, palette.dim)})]


def _fork_words(entry: Entry) -> str:
    origin = entry.forked
    return f"step {formatting.count(origin.step)}: {origin.changes or 'nothing changed'}" if origin else ""


def folded_below(key: str) -> str:
    """What the rows stand below that this one folds; "" for other rows."""
    return key.removeprefix(FOLD) if key.startswith(FOLD) else ""


def hides(library: Library, run: str) -> set[str]:
    """What a run may be folded below: the root of its family, and the comparison or the tuning that started that."""
    root = library.relatives(library.entries[run].run)[0].id
    return {root} | {group for group, runs in _members(library).items() if root in runs}


def _text(entry: Entry, cells: dict[str, tuple[str, Style]]) -> str:
    changed = entry.forked.changes if entry.forked else ""
    return " ".join([*(text for text, _ in cells.values()), entry.run.id, entry.notes.note, changed])


def _value(entry: Entry, column: str) -> Any:
    """A run's sort key for a column; None without a value."""
    summary, recipe = entry.summary, entry.recipe
    if column == "started":
        return entry.run.id  # it begins with the time of the start
    if column == "state":
        return (not entry.state.alive, entry.state.state, entry.state.cause)
    if column == "recipe":
        return run_title(entry).casefold()
    if column == "tags":
        return " ".join(entry.notes.tags).casefold() or None
    if column == "device":
        return summary.device or None
    if column == "step":
        return summary.step if summary.size > 0 else None
    if column == "time":
        return summary.seconds if summary.size > 0 else None
    if column == "bars":
        judged = [verdict.passed for verdict in bars.judge(recipe, summary) if verdict.passed is not None] if recipe else []
        return sum(judged) / len(judged) if judged else None
    metric = bars.headline(recipe, summary) if recipe else ""
    value = bars.figure(recipe, summary, metric) if recipe and metric else None
    return value if value is not None and value == value else None  # NaN has no place in an order


def run_title(entry: Entry) -> str:
    """A run's title, with DEMO or the variant of its data; or that dlwb did not train it."""
    summary = entry.summary
    if entry.recipe and own.is_own(entry.recipe):
        return f"{entry.title} ({entry.recipe.project})"
    return entry.title + (" DEMO" if summary.demo else f" ({summary.variant})" if summary.variant else "")


def _run_cells(entry: Entry) -> dict[str, tuple[str, Style]]:
    summary, recipe = entry.summary, entry.recipe
    symbol, text, style = states.state_words(entry.state)
    if entry.quiet:
        silence, usual = entry.quiet
        symbol, text, style = "●", f"no step for {formatting.short(silence)}, usually {formatting.short(usual)}", palette.warn
    elif entry.waiting and entry.state.state == "queued":
        symbol, text, style = ("‖", "held", palette.warn) if entry.waiting.held else (symbol, f"queued {entry.waiting.ordinal}", style)
    elif entry.state.reason:
        text = f"{entry.state.state}: {entry.state.reason}"  # the pane has the sentence
    elif entry.state.share is not None:
        # Behind the colon is what a narrow list leaves out.
        text = f"start {int(entry.state.share * 100)} %"
        text += f": {formatting.duration(entry.state.left)} left" if entry.state.left is not None else ""
    ended = not entry.state.alive
    quiet = palette.dim if ended else palette.plain
    steps = f"{summary.step:,}" + (f"/{summary.steps:,}" if summary.steps else "") if summary.size > 0 else ""
    if entry.waiting and entry.state.state == "queued" and not entry.waiting.held:
        steps = entry.waiting.start()  # its steps can wait
    metric = bars.headline(recipe, summary) if recipe else ""
    value = bars.figure(recipe, summary, metric) if recipe and metric else None
    judged = bars.judge(recipe, summary) if recipe else []
    passed = [verdict.passed for verdict in judged if verdict.passed is not None]
    # Where its parent is not above it; first, as the end is what a narrow list cuts.
    title = (f"fork at step {formatting.count(entry.forked.step)}: " if entry.forked else "") + run_title(entry)
    return {
        "state": (f"{symbol} {text}", style),
        "recipe": (title, palette.plain),
        "tags": (" ".join(entry.notes.tags), palette.violet),
        "device": (on_briefly(summary.device or (recipe.compute.device if recipe else ""), recipe), quiet),
        "step": (steps, quiet),
        "time": (formatting.duration(summary.seconds) if summary.size > 0 else "", quiet),
        "figure": (formatting.number(value) if value is not None else "", quiet),
        "bars": (
            f"{sum(passed)}/{len(judged)}" + ("✓" if all(passed) else "") if passed else "",
            palette.good if all(passed) else palette.warn,
        ),
        # The log of a fork begins with its parent's.
        "started": (formatting.when(entry.forked.created if entry.forked else summary.started), palette.dim),
    }


def _compared(library: Library, filtered: str) -> list[tuple[str, dict[str, tuple[str, Style]]]]:
    """The comparisons and the tunings with these words, the newest of each first."""
    rows = [(key, _comparison_cells(compared)) for key, compared in library.comparisons.items()]
    rows += [(key, _tuning_cells(tuned)) for key, tuned in library.tunings.items()]
    return [(key, cells) for key, cells in rows if matches(" ".join([key, *(text for text, _ in cells.values())]), filtered)]


def _comparison_cells(compared: Compared) -> dict[str, tuple[str, Style]]:
    comparison, plan, standing = compared
    symbol, text, style = states.state_words(standing.state)
    empty = dict.fromkeys((name for name, *_ in COLUMNS), ("", palette.plain))
    return {
        **empty,
        "state": (f"{symbol} {text}", style),
        "recipe": (one_line(plan.title), palette.bold),
        "tags": ("comparison", palette.violet),
        "step": (f"{standing.count('finished')}/{len(standing.parts)} runs", palette.plain),
        "started": (formatting.when(comparison.started), palette.dim),
    }


def comparison_lines(compared: Compared, width: int) -> list[Strip]:
    """The pane about a comparison."""
    comparison, plan, standing = compared
    symbol, text, style = states.state_words(standing.state)
    seeds = f"seeds {plan.seeds[0]} to {plan.seeds[-1]}" if len(plan.seeds) > 1 else f"seed {plan.seeds[0]}"
    lines = [strips.line(width, [(f"{symbol} {text}", style), (f"   {comparison.id}", palette.faint)])]
    lines += strips.paragraph(one_line(f"{standing.state.message}   {standing.state.hint}", 1000), width, palette.plain)
    lines += strips.paragraph(one_line(f"{plan.metric} of {', '.join(plan.variants)}; {seeds}", 1000), width, palette.dim)
    return lines


def _tuning_cells(tuned: Tuned) -> dict[str, tuple[str, Style]]:
    tuning, plan, standing = tuned
    symbol, text, style = states.state_words(standing.state)
    value = standing.best.value if standing.best else None
    return {
        **dict.fromkeys((name for name, *_ in COLUMNS), ("", palette.plain)),
        "state": (f"{symbol} {text}", style),
        "recipe": (one_line(plan.title), palette.bold),
        "tags": ("tuning", palette.violet),
        "step": (f"{sum(trial.ended for trial in standing.trials)}/{standing.planned} trials", palette.plain),
        "time": (formatting.duration(standing.seconds), palette.dim),
        "figure": (formatting.number(value) if value is not None else "", palette.plain),
        "started": (formatting.when(tuning.started), palette.dim),
    }


def tuning_lines(tuned: Tuned, width: int) -> list[Strip]:
    """The pane about a tuning."""
    tuning, plan, standing = tuned
    symbol, text, style = states.state_words(standing.state)
    lines = [strips.line(width, [(f"{symbol} {text}", style), (f"   {tuning.id}", palette.faint)])]
    lines += strips.paragraph(one_line(f"{standing.state.message}   {standing.state.hint}", 1000), width, palette.plain)
    searched = f"{plan.tune.goal} {plan.tune.metric} over {', '.join(plan.tune.space)}; {plan.tune.sampler}"
    return lines + strips.paragraph(one_line(searched, 1000), width, palette.dim)


def fold_lines(library: Library, key: str, width: int) -> list[Strip]:
    """The pane about a row that folds the ones below a run, a comparison or a tuning."""
    if group := library.comparisons.get(key) or library.tunings.get(key):
        words = f"Runs of {one_line(group.plan.title)}"
    else:
        words = f"Forks of {run_title(library.entries[key]) if key in library.entries else key}"
    return strips.paragraph(f"{words}. Enter shows them all, or only the first ones.", width, palette.dim)


def no_runs(width: int, filtered: bool) -> Sequence[Strip]:
    """The text of the pane when no run is chosen."""
    text = "No runs yet. Press 1, choose a recipe, and press Enter: it starts, and it goes on when you quit dlwb."
    return strips.paragraph("No run matches these words; Esc shows all." if filtered else text, width, palette.dim)
