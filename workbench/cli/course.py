"""`dlwb course`: the map of the course, a teacher's course in a folder, and a class's results as one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import AsJson
from workbench.cli.printing import print_json, table, tell
from workbench.problems import Problem, clean, one_line

if TYPE_CHECKING:
    from workbench.recipes.course import Course
    from workbench.recipes.load import Loaded
    from workbench.runs.index import Look
    from workbench.runs.standing import Standing


def course(
    folder: Annotated[str, typer.Argument(help="A folder of recipes with a course.yaml: title, order, bars, due.")] = "",
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="With --collect: the students' files.")] = None,
    collect: Annotated[bool, typer.Option("--collect", help="Print the results in the files as one table.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="With --collect: print CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the course as a map, with what became of each recipe.

    With a folder, a teacher's course: its recipes in its order, judged by its bars. A student hands in what `dlwb runs --json > NAME.json`
    writes; --collect makes one table of such files, and says what each file says.
    """
    if collect:
        if not folder or not files:
            raise Problem(
                "Nothing to collect.", "Name the course's folder and the files: `dlwb course FOLDER --collect anna.json ben.json`."
            )
        _collect(Path(folder), [Path(file) for file in files], as_csv, as_json)
    elif files or as_csv:
        raise Problem("Files, and --csv, belong to --collect.")
    elif folder:
        _one(Path(folder), as_json)
    else:
        _map(as_json)


def _looks() -> "dict[str, list[Look]]":
    """All runs by the names of their recipes, the newest first."""
    from workbench.runs import index
    from workbench.runs.run import list_runs

    looks: dict[str, list[Look]] = {}
    for look in index.look_at(list_runs()):
        looks.setdefault(look.run.stem, []).append(look)
    return looks


def _described(loaded: "Loaded", state: "Standing", looks: "list[Look]") -> dict[str, Any]:
    figure = {"metric": state.best.metric, "value": state.best.value, "variant": state.best.variant} if state.best else None
    about = {"name": clean(loaded.stem), "title": one_line(loaded.recipe.title), "lesson": one_line(loaded.recipe.lesson)}
    return {**about, "state": state.state, "done": state.done, "figure": figure, "runs": len(looks)}


def _map(as_json: bool) -> None:
    """Print every part with its lessons, the recipes of each and what became of them, and what is only read about."""
    from workbench.recipes.course import ReadAbout
    from workbench.runs import standing
    from workbench.tui.models.library import Library
    from workbench.tui.models.outline import outline

    library, looks, explored = Library(), _looks(), standing.explored()
    library.load_recipes()
    parts: list[dict[str, Any]] = []
    rows: list[list[str] | str] = []
    for part in outline(library):
        states = {item.key: standing.standing(item.loaded, looks.get(item.path.stem, []), explored) for item in part.recipes}
        done = sum(state.done for state in states.values())
        described: dict[str, Any] = {"part": part.name, "due": part.due, "done": done, "of": len(states), "lessons": []}
        rows.append(f"{part.name}{f' · {done} of {len(states)} ✓' if states else ''}{f' · due: {part.due}' if part.due else ''}")
        for lesson in part.lessons:
            recipes: list[dict[str, Any]] = []
            topics: list[dict[str, Any]] = []
            described["lessons"].append({"lesson": lesson.name, "recipes": recipes, "read_about": topics})
            if lesson.is_headed:
                mine = [states[item.key].done for item in lesson.recipes]
                rows.append(f"  {lesson.name}{f' · {sum(mine)} of {len(mine)} ✓' if mine else ''}")
            indent = "    " if lesson.is_headed else "  "
            for item in lesson.items:
                if isinstance(item, ReadAbout):
                    topics.append({"key": item.key, "title": item.title, "why": item.why, "source": item.source})
                    rows.append([indent + item.key, item.title, "read about"])
                elif item.loaded:
                    state = states[item.key]
                    recipes.append(_described(item.loaded, state, looks.get(item.path.stem, [])))
                    rows.append([indent + item.path.stem, item.title, standing.words(state)])
                else:
                    recipes.append({"name": clean(item.path.stem), "problems": list(map(clean, item.problems))})
                    rows.append([indent + item.path.stem, "", f"{len(item.problems)} mistakes: `dlwb check` lists them"])
        parts.append(described)
    if as_json:
        print_json(parts)
    else:
        table(["NAME", "TITLE", "WHAT BECAME OF IT"], rows)


def _read(folder: Path) -> "tuple[Course, list[Loaded], list[str]]":
    """A teacher's course, its recipes with its bars, and a sentence for each that cannot be read."""
    from workbench.recipes import course as courses
    from workbench.recipes.find import shipped_and_own, shown_path
    from workbench.recipes.load import load_recipe

    handed_out = courses.course_of(folder)
    if handed_out is None:
        raise Problem(f"{shown_path(folder)} has no {courses.COURSE}.", "It says `title:` and `order:`, the names of recipes in a list.")
    known = shipped_and_own()
    recipes, wrong = [], []
    for name, path in courses.recipes_of(folder, handed_out, known).items():
        try:
            if path is None:
                raise Problem(courses.missing(name, folder, [other.stem for other in known]))
            recipes.append(courses.with_bars(load_recipe(path), handed_out.bars.get(name)))
        except Problem as problem:
            wrong.append(clean(str(problem)))
    return handed_out, recipes, wrong


def _one(folder: Path, as_json: bool) -> None:
    """Print a teacher's course with what became of its recipes."""
    from workbench.runs import bars, standing

    handed_out, recipes, wrong = _read(folder)
    looks, explored = _looks(), standing.explored()
    states = {loaded.stem: standing.standing(loaded, looks.get(loaded.stem, []), explored) for loaded in recipes}
    done = sum(state.done for state in states.values())
    if as_json:
        described = [_described(loaded, states[loaded.stem], looks.get(loaded.stem, [])) for loaded in recipes]
        about = {"title": clean(handed_out.title), "due": clean(handed_out.due), "done": done, "of": len(handed_out.order)}
        print_json({**about, "recipes": described, "problems": wrong})
    else:
        due = f" · due: {one_line(handed_out.due)}" if handed_out.due else ""
        print(f"{one_line(handed_out.title)} · {done} of {len(handed_out.order)} ✓{due}")
        rows = []
        for loaded in recipes:
            wanted = "; ".join(f"{bars.short_name(bar.metric)} {bars.wanted(bar)}" for bar in loaded.recipe.bar)
            rows.append([loaded.stem, one_line(loaded.recipe.title), wanted, standing.words(states[loaded.stem])])
        table(["NAME", "TITLE", "TO PASS", "WHAT BECAME OF IT"], rows)
    for sentence in wrong:
        tell(sentence)
    if wrong:
        raise typer.Exit(1)


def _collect(folder: Path, student_files: list[Path], as_csv: bool, as_json: bool) -> None:
    """Print one table of the students' files; each that cannot be used costs a sentence, and the others are collected."""
    from workbench.cli.printing import put
    from workbench.formatting import number
    from workbench.runs import handed_in

    _, recipes, wrong = _read(folder)
    rows: list[handed_in.Row] = []
    for student, file in zip(handed_in.names(student_files), student_files, strict=True):
        try:
            rows += handed_in.rows(student, handed_in.read(file), recipes)
        except Problem as problem:
            wrong.append(clean(str(problem)))
    if as_json:
        print_json([row._asdict() for row in rows])
    elif as_csv:
        put(handed_in.to_csv(rows).removesuffix("\n"))
    else:
        cells = [["" if value is None else number(value) if isinstance(value, float) else str(value) for value in row[:-1]] for row in rows]
        table([name.upper() for name in handed_in.Row._fields[:-1]], cells)
    for sentence in wrong:
        tell(sentence)
    if not rows:
        raise typer.Exit(1)
