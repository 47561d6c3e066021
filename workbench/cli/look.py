"""Looking: `dlwb list`, `show`, `check`, `runs` and `logs`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import AsJson, Recipe, Reference, Settings, find_run
from workbench.cli.printing import print_json, table, tell
from workbench.problems import Problem, clean, one_line

if TYPE_CHECKING:
    from workbench.recipes.load import Loaded
    from workbench.runs.index import Look


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
    """Show a recipe with all defaults filled in."""
    from workbench.recipes.find import find_recipe
    from workbench.recipes.load import load_recipe
    from workbench.recipes.recipe import dump_recipe

    path = find_recipe(recipe)
    loaded = load_recipe(path, settings or [])
    if as_json:
        print_json(_described(path, loaded))
        return
    print(f"# {one_line(str(path), 1000)}")
    if loaded.unchecked:
        print(f"# {loaded.unchecked}")
    print(dump_recipe(loaded.recipe), end="")


def check(recipes: Annotated[list[str], typer.Argument(help="The recipes to check; none: all.")] = []) -> None:  # noqa: B006
    """Check recipes and print every problem with its line. No code of a recipe runs."""
    from workbench.recipes.find import find_recipe, shipped_and_own, shown_path
    from workbench.recipes.load import load_recipe

    right = True
    for path in [find_recipe(name) for name in recipes] or shipped_and_own():
        try:
            loaded = load_recipe(path)
            print(f"{shown_path(path)}: {loaded.unchecked or 'valid'}")
        except Problem as problem:
            right = False
            tell(clean(str(problem)))
    if not right:
        raise typer.Exit(1)


def runs_(
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORD]...", help="Only runs with these in name, tags or note.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first.

    Shows state, device, step, time, figure, bars and tags. In a terminal the table fits its width: long cells continue in the next line,
    and the run's id stays whole. In a pipe or a file each run is one line.
    """
    from workbench.runs import index
    from workbench.runs.run import list_runs

    chosen = []
    for look in index.look_at(list_runs()):
        text = f"{look.run.id} {' '.join(look.notes.tags)} {look.notes.note}".casefold()
        if all(word.casefold() in text for word in words or []):
            chosen.append(look)
            if look.problem:
                tell(f"{look.run.id}: {look.problem}")
    if as_json:
        print_json([_described_run(look) for look in chosen])
    elif chosen:
        table(["RUN", "STATE", "ON", "STEP", "TIME", "FIGURE", "BARS", "TAGS"], [_row(look) for look in chosen])
        for look in chosen:
            if look.notes.note:
                print(f"{look.run.id}: {look.notes.note}")
    elif words:
        tell("No run matches these words.")
    else:
        tell("No runs yet: `dlwb run digits-mlp` starts one.")


def _described_run(look: "Look") -> dict[str, Any]:
    from workbench.runs import bars as verdict

    bars = verdict.judge(look.recipe, look.summary) if look.recipe else []
    judged = [{"metric": bar.bar.metric, "value": bar.value, "passed": bar.passed} for bar in bars]
    return {"id": look.run.id, "state": look.state, "summary": look.summary, "bars": judged, "notes": look.notes}


def _row(look: "Look") -> list[str]:
    from workbench.formatting import count, duration, number
    from workbench.runs import bars as verdict

    state, summary, recipe = look.state, look.summary, look.recipe
    metric = verdict.headline(recipe, summary) if recipe else ""
    value = verdict.figure(recipe, summary, metric) if recipe and metric else None
    figure = f"{metric} {number(value)}" if value is not None else ""
    bars = verdict.judge(recipe, summary) if recipe else []
    marks = "".join({True: "✓", False: "✗", None: "·"}[bar.passed] for bar in bars)
    # A run that has made all its steps shows their number once: the table is wide enough already.
    progress = f"{count(summary.step)}/{count(summary.steps)}" if summary.steps not in (0, summary.step) else count(summary.step)
    took = duration(summary.seconds if not state.alive else time.time() - summary.started if summary.started else 0)
    demo = " DEMO" if summary.demo else ""
    return [look.run.id, state.words, summary.device, progress, took, figure, marks + demo, " ".join(look.notes.tags)]


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
