"""The rows of the list of recipes. Pure functions from the library to lines of cells."""

from collections.abc import Mapping, Sequence

from textual.strip import Strip

from workbench import formatting
from workbench.problems import one_line
from workbench.recipes.course import ReadAbout
from workbench.runs import standing
from workbench.runs.standing import Standing
from workbench.tui.drawing import palette, strips
from workbench.tui.models.library import Entry, Library, Shelved
from workbench.tui.models.outline import Folding, Lesson, Part, outline
from workbench.tui.panels.rows import Row

TITLE_WIDTH = 46
RIGHT = 22
"""Cells of the columns at the right: alive, runs, figure, mark."""


def matches(text: str, words: str) -> bool:
    """Whether a row's text contains every word of the filter."""
    text = text.casefold()
    return all(word in text for word in words.casefold().split())


def standings(library: Library) -> dict[str, Standing]:
    """What became of each recipe of the list, by the key of its row."""
    past = library.by_stem()
    return {shelved.key: standing.standing(shelved.loaded, past.get(shelved.path.stem, []), library.explored) for shelved in library.shelf}


def recipe_rows(library: Library, width: int, folding: Folding, filtered: str = "") -> list[Row]:
    """Recipes under the headings of their parts and lessons: title, lesson, past runs, best figure, what became of it.

    A filter shows every match, whatever is folded.
    """
    states, past = standings(library), library.by_stem()
    rows: list[Row] = []
    for part in outline(library):
        lessons = [lesson._replace(items=[item for item in lesson.items if matches(_text(item), filtered)]) for lesson in part.lessons]
        lessons = [lesson for lesson in lessons if lesson.items]
        if not lessons:
            continue
        if rows:
            rows.append(Row("", strips.line(width, [])))
        rows.append(Row("", _part_row(part, library, states, width)))
        longest = min(max(len(item.title) for lesson in lessons for item in lesson.items) + 2, TITLE_WIDTH)
        for lesson in lessons:
            folded = folding.is_folded(lesson) and not filtered
            if lesson.is_headed:
                # Who filters wants a recipe: Enter then starts the first that matches, and folds nothing.
                rows.append(Row("" if filtered else lesson.key, _lesson_row(lesson, folded, library, states, past, width)))
            if not folded:
                heading = lesson.name if lesson.is_headed else ""
                rows += [_row(item, heading, longest, past, states, width) for item in lesson.items]
    if not rows:
        return [Row("", strips.line(width, [("  No recipe matches these words." if filtered else "  There are no recipes.", palette.dim)]))]
    return rows


def _text(item: Shelved | ReadAbout) -> str:
    if isinstance(item, ReadAbout):
        return f"{item.title} {item.part} {item.lesson} {item.key} read about"
    lesson = item.loaded.recipe.lesson if item.loaded else ""
    return f"{item.title} {item.part} {lesson} {item.path.stem}"


def counts(recipes: Sequence[Shelved], states: Mapping[str, Standing]) -> str:
    """How many of the recipes are done: `3 of 12 ✓`."""
    return f"{sum(states[shelved.key].done for shelved in recipes)} of {len(recipes)} ✓"


def _part_row(part: Part, library: Library, states: Mapping[str, Standing], width: int) -> Strip:
    recipes = part.recipes
    right: list[strips.Part] = [(f"{counts(recipes, states)} ", palette.dim)] if recipes and library.looked else []
    due: list[strips.Part] = [(f"  {one_line(part.due, 80)}", palette.warn)] if part.due else []
    return strips.line(width, [(f" {part.name}", palette.heading), *due], right)


def _lesson_row(
    lesson: Lesson, folded: bool, library: Library, states: Mapping[str, Standing], past: Mapping[str, Sequence[Entry]], width: int
) -> Strip:
    recipes = lesson.recipes
    left: list[strips.Part] = [("  ▸ " if folded else "  ▾ ", palette.faint), (lesson.name, palette.plain if recipes else palette.dim)]
    right: list[strips.Part] = []
    if folded:
        alive = any(entry.state.alive for shelved in recipes for entry in past.get(shelved.path.stem, ()))
        to_read = len(lesson.items) - len(recipes)
        number = f"{len(recipes)} recipe{'s' * (len(recipes) != 1)}" if recipes else f"{to_read} to read about"
        left.append((f"  {number}", palette.faint))
        right = [("● ", palette.good)] if alive else []
        right += [(f"{counts(recipes, states)} ", palette.dim)] if recipes and library.looked else []
    return strips.line(width, left, right)


def _row(
    item: Shelved | ReadAbout,
    heading: str,
    title_width: int,
    past: Mapping[str, Sequence[Entry]],
    states: Mapping[str, Standing],
    width: int,
) -> Row:
    indent = "    " if heading else "  "
    if isinstance(item, ReadAbout):
        left: list[strips.Part] = [(f"{indent}{item.title}", palette.dim)]
        return Row(item.key, strips.line(width, left, [("read about ", palette.faint)]))
    if not item.loaded:
        mistakes = len(item.problems)
        wrong = f"{mistakes} mistake{'s' * (mistakes != 1)} "
        return Row(item.key, strips.line(width, [(f"{indent}✗ {item.title}", palette.bad)], [(wrong, palette.bad)]))
    runs = past.get(item.path.stem, ())
    right = _right(states[item.key], runs)
    # The right columns count in rows without runs too, so that all lessons end at the same column.
    room = max(8, width - RIGHT - 1 - len(indent))
    title = strips.fit(item.title, min(title_width, room if right else width - len(indent) - 1))
    lesson = item.loaded.recipe.lesson.removeprefix(heading).lstrip(", ")  # the heading says the rest
    lesson = strips.fit(one_line(lesson), room - len(title)) if room - len(title) >= 10 else ""
    left = [(indent, palette.plain), (title, palette.plain), (lesson, palette.faint)]
    return Row(item.key, strips.line(width, left, right))


def _right(state: Standing, past: Sequence[Entry]) -> list[strips.Part]:
    """The columns at the right; none for a recipe of which nothing became yet."""
    if not past and state.state == standing.NOT_YET:
        return []
    alive = any(entry.state.alive for entry in past)
    runs = f"{len(past)} run{'s' * (len(past) != 1)}" if past else ""
    figure = formatting.number(state.best.value) if state.best else "explored" if state.state == standing.EXPLORED else ""
    is_missed = state.state == standing.MISSED
    style = palette.warn if is_missed else palette.good if state.done and state.best else palette.plain
    mark = (" ✓ ", palette.good) if state.done else (" ✗ ", palette.warn) if is_missed else ("   ", palette.plain)
    return [
        ("●" if alive else " ", palette.good),
        (strips.fit(runs, 8, "right"), palette.dim),
        (strips.fit(figure, 10, "right"), style),
        mark,
    ]
