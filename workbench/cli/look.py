"""Looking: `dlwb list`, `show`, `check`, `runs` and `logs`."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import AsJson, Recipe, Reference, Settings, ask_slurm, find_run
from workbench.cli.printing import print_json, table, tell
from workbench.problems import Problem, clean, one_line

if TYPE_CHECKING:
    from workbench.recipes.load import Loaded
    from workbench.runs.index import Look
    from workbench.runs.page import Section


def list_(as_json: AsJson = False) -> None:
    """List the recipes, by part of the course."""
    from workbench.recipes.find import course_order, shipped_and_own

    def place(item: "tuple[Path, Loaded | Problem]") -> tuple[tuple[int, str], ...]:
        path, recipe = item
        part, lesson = ("", "") if isinstance(recipe, Problem) else (recipe.recipe.part, recipe.recipe.lesson)
        return course_order(part), course_order(lesson), (0, path.stem)

    shelf = sorted(((path, _read(path)) for path in shipped_and_own()), key=place)
    if as_json:
        print_json([_described(path, recipe) for path, recipe in shelf])
        return
    heading = ""
    for path, recipe in shelf:
        if isinstance(recipe, Problem):
            tell(f"  ✗ {one_line(path.stem)}: {clean(str(recipe))}")
            continue
        if recipe.recipe.part != heading:
            heading = recipe.recipe.part
            print(one_line(heading) or "Own recipes")
        print(f"  {one_line(path.stem):<24} {one_line(recipe.recipe.title)}")


def _read(path: Path) -> "Loaded | Problem":
    from workbench.recipes.load import load_recipe

    try:
        return load_recipe(path, describe=False)
    except Problem as problem:
        return problem


def _described(path: Path, recipe: "Loaded | Problem") -> dict[str, Any]:
    import msgspec

    if isinstance(recipe, Problem):
        return {"name": clean(path.stem), "path": clean(str(path)), "problems": str(recipe).splitlines()}
    return {"name": clean(path.stem), "path": clean(str(path)), "recipe": msgspec.to_builtins(recipe.recipe)}


def show(recipe: Recipe, settings: Settings = None, as_json: AsJson = False) -> None:
    """Show a lesson's page, and its recipe with all defaults.

    The page stands in comments, so that what is printed is a recipe again.
    """
    from workbench.recipes.course import read_about
    from workbench.recipes.find import find_recipe
    from workbench.recipes.load import load_recipe
    from workbench.recipes.recipe import dump_recipe
    from workbench.runs import index, standing
    from workbench.runs.page import page, page_about
    from workbench.runs.run import list_runs

    topics = {entry.key: entry for entry in read_about()}
    if recipe in topics:
        if as_json:
            print_json(topics[recipe])
        else:
            _print_page(page_about(topics[recipe], _title_of), "")
        return
    path = find_recipe(recipe)
    loaded = load_recipe(path, settings or [])
    if as_json:
        print_json(_described(path, loaded))
        return
    print(f"# {one_line(str(path), 1000)}")
    if loaded.unchecked:
        print(f"# {loaded.unchecked}")
    past = index.look_at([run for run in list_runs() if run.stem == loaded.stem])
    print("#")
    _print_page(page(loaded, past, standing.explored(), _title_of), "# ")
    print(dump_recipe(loaded.recipe), end="")


def _title_of(name: str) -> str:
    """The title of a recipe, or of what is only read about; "" where it cannot be read."""
    from workbench.recipes.course import read_about
    from workbench.recipes.find import find_recipe
    from workbench.recipes.load import load_recipe

    topics = {entry.key: entry.title for entry in read_about()}
    try:
        return topics.get(name) or load_recipe(find_recipe(name), describe=False).recipe.title
    except Problem:
        return ""


PAGE_WIDTH = 100


def _print_page(sections: "list[Section]", before: str) -> None:
    """Print a page, `before` each line."""
    import textwrap

    for heading, entries in sections:
        print(f"{before}{heading}")
        room = max((len(label) for label, _ in entries), default=0)
        for label, text in entries:
            first = f"{before}  {label.ljust(room)}{'  ' * bool(room)}"
            rest = before + " " * (len(first) - len(before))
            print(textwrap.fill(text, PAGE_WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False) or first)
        print(before.rstrip())


def check(
    recipes: Annotated[list[str], typer.Argument(help="The recipes to check; none: all.")] = [],  # noqa: B006
    everything: Annotated[
        bool, typer.Option("--all", help="Read the files of your own that they name; print every one that is wrong.")
    ] = False,
    settings: Settings = None,
) -> None:
    """Check recipes and print every problem with its line. No code of a recipe runs.

    Names under `next` must be those of recipes, or of what is read about.

    With --all, data of your own is read as a run would read it: what is found, used and left out, and each file that cannot be used.
    """
    from workbench.recipes.course import unknown_next
    from workbench.recipes.find import find_recipe, shipped_and_own, shown_path
    from workbench.recipes.load import load_recipe

    right = True
    for path in [find_recipe(name) for name in recipes] or shipped_and_own():
        try:
            loaded = load_recipe(path, settings or [])
            if unknown := unknown_next(loaded):
                raise Problem("\n".join(unknown))
            print(f"{shown_path(path)}: {loaded.unchecked or 'valid'}")
            for own, about in _own_data(loaded) if everything else []:
                right = _preview(own, about) and right
        except Problem as problem:
            right = False
            tell(clean(str(problem)))
    if not right:
        raise typer.Exit(1)


READER_SETTINGS = {"image_size": "size", "picture_size": "size", "size": "size", "background": "background"}
"""Settings of lessons that say how pictures are read, and what the preview calls them."""


def _own_data(loaded: "Loaded") -> "Iterator[tuple[str, dict[str, Any]]]":
    """The path of each file or folder of a person's own in a recipe, and how it is read."""
    from workbench import paths

    config = loaded.recipe.config
    about: dict[str, Any] = {name: config[setting] for setting, name in READER_SETTINGS.items() if setting in config}
    if "target" in config:
        about["columns"] = config
    for name, field in loaded.schema.config.get("properties", {}).items() if loaded.schema else ():
        own = next((branch for branch in field.get("anyOf", [field]) if branch.get("own")), None)
        value = config.get(name)
        if own is not None and isinstance(value, str) and "/" in value:
            labelled = {"labelled": own["labelled"]} if "labelled" in own else {"labelled": True}
            yield paths.rooted(value, loaded.path.parent), about | labelled


def _preview(path: str, about: "dict[str, Any]") -> bool:
    """Read data of a person's own in a process and print what it finds; returns whether it can be used."""
    import json
    import subprocess
    import sys

    import msgspec

    from workbench import preparation
    from workbench.cli.follow import found_lines
    from workbench.events import Table, decode

    command = [sys.executable, "-m", "workbench.training.preview_data", path, json.dumps(about)]
    right, ended, unusable = True, "", 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        for line in process.stdout:
            event = decode(line.rstrip()[:-1])
            if isinstance(event, Table) and event.tag == preparation.TAG:
                print("\n".join(found_lines(event)))
                unusable = sum(row[0] == preparation.UNUSABLE for row in event.rows)
            elif not event and not (reply := msgspec.json.decode(line, type=dict[str, object])).get("ok", True):
                right, ended = False, f"{reply.get('message', '')} {reply.get('hint', '')}"
    if unusable:
        tell(f"{clean(path)}: {unusable:,} file{'s' * (unusable != 1)} cannot be used. Fix or remove {'them' if unusable != 1 else 'it'}.")
    elif ended or process.returncode:
        tell(clean(ended.strip()) or f"The reader ended with exit code {process.returncode}.")
    return right and not process.returncode


def runs_(
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORD]...", help="Only runs with these in name, tags or note.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first; forks below their parent.

    Shows state, device, step, time, figure, bars and tags. In a terminal the table fits its width: long cells continue in the next line,
    and the run's id stays whole. In a pipe or a file each run is one line. --json also holds each run's settings and code, so that a
    teacher can collect it: `dlwb course FOLDER --collect FILE…`.
    """
    from workbench.runs import index
    from workbench.runs.comparisons import list_comparisons
    from workbench.runs.run import list_runs
    from workbench.runs.tunings import list_tunings

    if not as_json:
        fitting = [one for one in list_comparisons() if all(word.casefold() in one.id.casefold() for word in words or [])]
        rows = [[one.id, (state := one.standing().state).state, state.message] for one in fitting]
        if rows:
            table(["COMPARISON", "STATE", "RUNS"], rows)
            print()
        tuned = [one for one in list_tunings() if all(word.casefold() in one.id.casefold() for word in words or [])]
        if rows := [[one.id, (state := one.standing().state).state, state.message] for one in tuned]:
            table(["TUNING", "STATE", "TRIALS"], rows)
            print()
    chosen = []
    runs = list_runs()
    ask_slurm(runs)
    for look in index.look_at(runs):
        text = f"{look.run.id} {' '.join(look.notes.tags)} {look.notes.note}".casefold()
        if all(word.casefold() in text for word in words or []):
            chosen.append(look)
            if look.problem:
                tell(f"{look.run.id}: {look.problem}")
    if as_json:
        from workbench.runs.handed_in import exported

        print_json([exported(look) for look in chosen])
    elif chosen:
        _print_tree(chosen)
        for look in chosen:
            if look.notes.note:
                print(f"{look.run.id}: {look.notes.note}")
    elif words:
        tell("No run matches these words.")
    else:
        tell("No runs yet: `dlwb run digits-mlp` starts one.")


def _print_tree(looks: "list[Look]") -> None:
    """A row for each run; in a terminal its forks are indented below it, elsewhere each line begins with an id, the newest first."""
    import sys

    from workbench.runs import family

    by_id = {look.run.id: look for look in looks}
    waiting: dict[str, str] = {}
    if any(look.state.state == "queued" for look in looks):
        from workbench.launch import queueing

        waiting = {place.run: place.words() for place in queueing.outlook()}
    origins = {name: family.forked(look.run) for name, look in by_id.items()}
    indents = sys.stdout is not None and sys.stdout.isatty()
    rows = []
    places = family.tree(origins)
    for place in places if indents else sorted(places, key=lambda place: place.id, reverse=True):
        row, origin = _row(by_id[place.id], waiting.get(place.id, "")), origins[place.id]
        step = f"{origin.step:,}" if origin else ""
        # Without its parent beside it a step alone says nothing.
        whose = f"{step} of {origin.run}" if origin and not (place.depth and indents) else step
        rows.append(["  " * (place.depth - 1) + "└ " * bool(place.depth) + row[0] if indents else row[0], *row[1:], whose])
    forks = any(origins.values())
    header = ["RUN", "STATE", "ON", "STEP", "TIME", "FIGURE", "BARS", "TAGS", *(["FORKED AT"] if forks else [])]
    table(header, [row if forks else row[:-1] for row in rows])


def _row(look: "Look", place: str) -> list[str]:
    from workbench.formatting import count, duration, number
    from workbench.recipes.processes import on
    from workbench.runs import bars as verdict

    state, summary, recipe = look.state, look.summary, look.recipe
    metric = verdict.headline(recipe, summary) if recipe else ""
    value = verdict.figure(recipe, summary, metric) if recipe and metric else None
    figure = f"{metric} {number(value)}" if value is not None else ""
    bars = verdict.judge(recipe, summary) if recipe else []
    marks = "".join({True: "✓", False: "✗", None: "·"}[bar.passed] for bar in bars)
    # A run that has made all its steps shows their number once: the table is wide enough already.
    progress = f"{count(summary.step)}/{count(summary.steps)}" if summary.steps not in (0, summary.step) else count(summary.step)
    # A fork began with its parent, and a resumed run before its pause: what counts is the time that was worked on it.
    took = duration(summary.seconds + (max(0.0, time.time() - summary.updated) if state.state == "running" and summary.updated else 0.0))
    demo = " DEMO" if summary.demo else ""
    words = f"queued: {place}" if place else state.words
    device = on(summary.device, recipe) if summary.device else ""
    return [look.run.id, words, device, progress, took, figure, marks + demo, " ".join(look.notes.tags)]


def logs(
    run: Reference,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the run ends.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Print its events, not its output.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the output of a run, or its events."""
    from workbench.cli import follow as following

    chosen = find_run(run)
    if events or as_json:
        raise typer.Exit(following.follow(chosen, as_json, to_its_end=follow))
    following.output(chosen, follow)
