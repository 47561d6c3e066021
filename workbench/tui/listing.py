"""The rows of the two lists on the home screen. Pure: from what the library knows to lines of cells."""

from collections.abc import Sequence

from rich.style import Style
from textual.strip import Strip

from workbench import verdict, words
from workbench.tui import palette, states, strips
from workbench.tui.library import Entry, Library, Shelved
from workbench.tui.panels.rows import Row

TITLE_WIDTH = 46


def _matches(text: str, wanted: str) -> bool:
    text = text.casefold()
    return all(word in text for word in wanted.casefold().split())


def recipe_rows(library: Library, width: int, filtered: str = "") -> list[Row]:
    """Recipes under their parts: title, lesson, past runs, best figure."""
    shelf = [each for each in library.shelf if _matches(_recipe_text(each), filtered)]
    if not shelf:
        return [Row("", strips.line(width, [("  No recipe has these words." if filtered else "  There are no recipes.", palette.dim)]))]
    longest = max(len(each.title) for each in shelf) + 2
    rows: list[Row] = []
    part = None
    for each in shelf:
        if each.part != part:
            if rows:
                rows.append(Row("", strips.line(width, [])))
            part = each.part
            rows.append(Row("", strips.line(width, [(f" {part}", palette.heading)])))
        rows.append(Row(str(each.path), _recipe_row(each, library, width, min(longest, TITLE_WIDTH))))
    return rows


def _recipe_text(each: Shelved) -> str:
    lesson = each.loaded.recipe.lesson if each.loaded else ""
    return f"{each.title} {each.part} {lesson} {each.path.stem}"


def _recipe_row(each: Shelved, library: Library, width: int, title_width: int) -> Strip:
    if not each.loaded:
        mistakes = len(each.problems)
        return strips.line(width, [(f"  ✗ {each.title}", palette.bad)], [(f"{mistakes} mistake{'s' * (mistakes != 1)} ", palette.bad)])
    recipe = each.loaded.recipe
    past = library.of(each.path.stem)
    live = any(entry.state.alive for entry in past)
    runs = f"{len(past)} run{'s' * (len(past) != 1)}" if past else ""
    right: list[strips.Part] = [("●" if live else " ", palette.good), (strips.fit(runs, 8, "right"), palette.dim)]
    best = verdict.best_of(recipe, [entry.summary for entry in past])
    bars = [bar for bar in recipe.bar if best and bar.metric == best[0]]
    passed = bool(best) and all(bar.passed(best[1]) for bar in bars if best)
    style = palette.plain if not bars else palette.good if passed else palette.warn
    right += [(strips.fit(words.number(best[1]) if best else "", 9, "right"), style), (" ✓ " if bars and passed else "   ", style)]
    room = max(8, width - sum(len(text) for text, _ in right) - 3)
    title = strips.fit(each.title, min(title_width, room))
    lesson = strips.fit(recipe.lesson, room - len(title)) if room - len(title) >= 10 else ""
    return strips.line(width, [("  ", palette.plain), (title, palette.plain), (lesson, palette.faint)], right)


Column = tuple[str, int, str]
COLUMNS: tuple[Column, ...] = (
    ("state", 12, "left"),
    ("recipe", 0, "left"),
    ("device", 7, "left"),
    ("step", 15, "right"),
    ("time", 8, "right"),
    ("figure", 9, "right"),
    ("bars", 5, "right"),
    ("started", 10, "right"),
)


def _columns(width: int, states: int) -> list[Column]:
    """The columns that fit, the least telling left out first; what remains goes to the title, and to the state as far as it needs it."""
    kept = list(COLUMNS)
    for name in ("started", "device", "bars", "time"):
        if sum(size + 2 for _, size, _ in kept) + 24 > width:
            kept = [column for column in kept if column[0] != name]
    free = width - 2 - sum(size + 2 for _, size, _ in kept)
    title = min(TITLE_WIDTH, max(22, free - max(0, states - COLUMNS[0][1])))
    return [(name, size + (free - title if name == "state" else title if name == "recipe" else 0), align) for name, size, align in kept]


def run_rows(library: Library, width: int, filtered: str = "") -> list[Row]:
    """Runs, the newest first, under the names of the columns."""
    found = [(entry.run.id, _run_cells(entry)) for entry in library.entries.values()]
    found = [(run, cells) for run, cells in found if _matches(" ".join(text for text, _ in cells.values()) + run, filtered)]
    columns = _columns(width, max((len(cells["state"][0]) for _, cells in found), default=0))
    names = [(strips.fit(name, size, align) + "  ", palette.faint) for name, size, align in columns]
    rows = [Row("", strips.line(width, [("  ", palette.plain), *names]))]
    for run, cells in found:
        parts: list[strips.Part] = [("  ", palette.plain)]
        for name, size, align in columns:
            text, style = cells[name]
            if name == "state" and len(text) > size:
                text = text.partition(":")[0]
            parts += [(strips.fit(text, size, align), style), ("  ", palette.plain)]
        rows.append(Row(run, strips.line(width, parts)))
    return rows


def run_title(entry: Entry) -> str:
    """What a run is of, and whether it counts."""
    summary = entry.summary
    return entry.title + (" DEMO" if summary.demo else f" ({summary.variant})" if summary.variant else "")


def _run_cells(entry: Entry) -> dict[str, tuple[str, Style]]:
    summary, recipe = entry.summary, entry.recipe
    symbol, text, style = states.state_words(entry.state)
    if entry.quiet:
        silence, usual = entry.quiet
        symbol, text, style = "●", f"no step for {words.short(silence)}, usually {words.short(usual)}", palette.warn
    ended = not entry.state.alive
    quiet = palette.dim if ended else palette.plain
    steps = f"{summary.step:,}" + (f"/{summary.steps:,}" if summary.steps else "")
    metric = verdict.headline(recipe, summary) if recipe else ""
    value = verdict.figure(recipe, summary, metric) if recipe and metric else None
    judged = verdict.judge(recipe, summary) if recipe else []
    passed = [each.passed for each in judged if each.passed is not None]
    title = run_title(entry)
    return {
        "state": (f"{symbol} {text}", style),
        "recipe": (title, palette.plain),
        "device": (summary.device.partition(" ")[0] or (recipe.compute.device if recipe else ""), quiet),
        "step": (steps if summary.size > 0 else "", quiet),
        "time": (words.duration(summary.seconds) if summary.size > 0 else "", quiet),
        "figure": (words.number(value) if value is not None else "", quiet),
        "bars": (
            f"{sum(passed)}/{len(judged)}" + ("✓" if all(passed) else "") if passed else "",
            palette.good if all(passed) else palette.warn,
        ),
        "started": (words.when(summary.started), palette.dim),
    }


def no_runs(width: int) -> Sequence[Strip]:
    """What the pane says where there is no run."""
    return strips.paragraph(
        "No runs yet. Press 1, choose a recipe, and press Enter: it starts, and goes on when you leave.", width, palette.dim
    )
