"""The rows of the list of recipes. Pure functions from the library to lines of cells."""

from textual.strip import Strip

from workbench import formatting
from workbench.runs import bars as verdict
from workbench.tui.drawing import palette, strips
from workbench.tui.models.library import Library, Shelved
from workbench.tui.panels.rows import Row

TITLE_WIDTH = 46


def matches(text: str, words: str) -> bool:
    """Whether a row's text contains every word of the filter."""
    text = text.casefold()
    return all(word in text for word in words.casefold().split())


def recipe_rows(library: Library, width: int, filtered: str = "") -> list[Row]:
    """Recipes under the headings of their parts: title, lesson, past runs, best figure."""
    shelf = [shelved for shelved in library.shelf if matches(_recipe_text(shelved), filtered)]
    if not shelf:
        return [Row("", strips.line(width, [("  No recipe matches these words." if filtered else "  There are no recipes.", palette.dim)]))]
    longest = max(len(shelved.title) for shelved in shelf) + 2
    rows: list[Row] = []
    part = None
    for shelved in shelf:
        if shelved.part != part:
            if rows:
                rows.append(Row("", strips.line(width, [])))
            part = shelved.part
            rows.append(Row("", strips.line(width, [(f" {part}", palette.heading)])))
        rows.append(Row(str(shelved.path), _recipe_row(shelved, library, width, min(longest, TITLE_WIDTH))))
    return rows


def _recipe_text(shelved: Shelved) -> str:
    lesson = shelved.loaded.recipe.lesson if shelved.loaded else ""
    return f"{shelved.title} {shelved.part} {lesson} {shelved.path.stem}"


def _recipe_row(shelved: Shelved, library: Library, width: int, title_width: int) -> Strip:
    if not shelved.loaded:
        mistakes = len(shelved.problems)
        return strips.line(width, [(f"  ✗ {shelved.title}", palette.bad)], [(f"{mistakes} mistake{'s' * (mistakes != 1)} ", palette.bad)])
    recipe = shelved.loaded.recipe
    past = library.of(shelved.path.stem)
    live = any(entry.state.alive for entry in past)
    runs = f"{len(past)} run{'s' * (len(past) != 1)}" if past else ""
    right: list[strips.Part] = [("●" if live else " ", palette.good), (strips.fit(runs, 8, "right"), palette.dim)]
    best = verdict.best_of(recipe, [entry.summary for entry in past])
    bars = [bar for bar in recipe.bar if best and not best.variant and bar.metric == best.metric]
    passed = bool(best) and all(bar.passed(best.value) for bar in bars if best)
    style = palette.plain if not bars else palette.good if passed else palette.warn
    right += [(strips.fit(formatting.number(best.value) if best else "", 9, "right"), style), (" ✓ " if bars and passed else "   ", style)]
    # The right columns count in rows without runs too, so that all lessons end at the same column.
    room = max(8, width - sum(len(text) for text, _ in right) - 3)
    right = right if past else []
    title = strips.fit(shelved.title, min(title_width, room if past else width - 3))
    lesson = strips.fit(recipe.lesson, room - len(title)) if room - len(title) >= 10 else ""
    return strips.line(width, [("  ", palette.plain), (title, palette.plain), (lesson, palette.faint)], right)
