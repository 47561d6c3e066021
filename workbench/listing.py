"""What `dlwb list`, `show`, `check` and `runs` print: tables for people, JSON for programs."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench.events import CAUSES, spelled
from workbench.formatting import count, duration, number
from workbench.problems import Problem, clean, one_line
from workbench.recipes import recipe as recipes
from workbench.recipes.recipe import Loaded
from workbench.runs import bars as verdict
from workbench.runs import compare, notes, runs


def print_json(value: Any) -> None:
    """One JSON value on stdout; NaN and infinity as words."""
    print(msgspec.json.format(msgspec.json.encode(spelled(msgspec.to_builtins(value, str_keys=True))), indent=2).decode(), flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> None:
    """Rows under a header, each column as wide as its widest cell, the last `right` of them aligned to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [
            cell.rjust(width) if place >= len(row) - right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _read(path: Path) -> Loaded | Problem:
    try:
        return recipes.load(path, describe=False)
    except Problem as problem:
        return problem


def _place(item: tuple[Path, Loaded | Problem]) -> tuple[tuple[int, str], ...]:
    path, read = item
    part, lesson = ("", "") if isinstance(read, Problem) else (read.recipe.part, read.recipe.lesson)
    return recipes.course_order(part), recipes.course_order(lesson), (0, path.stem)


def show_recipes(as_json: bool) -> None:
    """All recipes by part; one that cannot be read stands there with its problems."""
    found = dict(sorted(((path, _read(path)) for path in recipes.shipped_and_own()), key=_place))
    if as_json:
        print_json([_described(path, each) for path, each in found.items()])
        return
    part = ""
    for path, each in found.items():
        if isinstance(each, Problem):
            print(f"  ✗ {one_line(path.stem)}: {clean(str(each))}", file=sys.stderr)
            continue
        if each.recipe.part != part:
            part = each.recipe.part
            print(one_line(part) or "Own recipes")
        print(f"  {one_line(path.stem):<24} {one_line(each.recipe.title)}")


def _described(path: Path, each: Loaded | Problem) -> dict[str, Any]:
    if isinstance(each, Problem):
        return {"name": clean(path.stem), "path": clean(str(path)), "problems": str(each).splitlines()}
    return {"name": clean(path.stem), "path": clean(str(path)), "recipe": msgspec.to_builtins(each.recipe)}


def show_recipe(name: str, settings: Sequence[str], as_json: bool) -> None:
    """One recipe with every default filled in."""
    path = recipes.find(name)
    loaded = recipes.load(path, settings)
    if as_json:
        print_json(_described(path, loaded))
        return
    print(f"# {one_line(str(path), 1000)}")
    if loaded.unchecked:
        print(f"# {loaded.unchecked}")
    print(recipes.dump(loaded.recipe), end="")


def check(names: Sequence[str]) -> bool:
    """Report on each recipe (all where none is named); whether all are right."""
    right = True
    for path in [recipes.find(name) for name in names] or recipes.shipped_and_own():
        try:
            loaded = recipes.load(path)
            print(f"{recipes.shown(path)}: {loaded.unchecked or 'right'}")
        except Problem as problem:
            right = False
            print(clean(str(problem)), file=sys.stderr)
    return right


def show_runs(as_json: bool, words_of_it: Sequence[str] = ()) -> None:
    """All runs, newest first, or those with all of these words in their name, tags and note: state, progress, figure against the bar."""
    rows: list[list[str]] = []
    described: list[dict[str, Any]] = []
    remarks: dict[str, str] = {}
    for run in runs.list_runs():
        said = notes.read(run)
        text = f"{run.id} {' '.join(said.tags)} {said.note}".casefold()
        if not all(word.casefold() in text for word in words_of_it):
            continue
        state, summary, recipe = runs.state(run), runs.Summary(size=0), None
        try:
            summary = runs.summary(run)
            recipe = run.recipe()
        except Problem as problem:
            print(f"{run.id}: {clean(problem.message)}", file=sys.stderr)
        bars = verdict.judge(recipe, summary) if recipe else []
        if as_json:
            passed = [{"metric": each.bar.metric, "value": each.value, "passed": each.passed} for each in bars]
            described.append({"id": run.id, "state": state, "summary": summary, "bars": passed, "notes": said})
            continue
        metric = verdict.headline(recipe, summary) if recipe else ""
        value = verdict.figure(recipe, summary, metric) if recipe and metric else None
        figure = f"{metric} {number(value)}" if value is not None else ""
        marks = "".join({True: "✓", False: "✗", None: "·"}[each.passed] for each in bars)
        progress = f"{count(summary.step)}/{count(summary.steps)}" if summary.steps else count(summary.step)
        took = duration(summary.seconds if not state.alive else time.time() - summary.started if summary.started else 0)
        rows.append(
            [run.id, words(state), summary.device, progress, took, figure, marks + (" DEMO" if summary.demo else ""), " ".join(said.tags)]
        )
        if said.note:
            remarks[run.id] = said.note
    if as_json:
        print_json(described)
    elif rows:
        table(["RUN", "STATE", "DEVICE", "STEP", "TIME", "FIGURE", "BARS", "TAGS"], rows)
        for name, note in remarks.items():
            print(f"{name}: {note}")
    elif words_of_it:
        print("No run has these words.", file=sys.stderr)
    else:
        print("No runs yet: `dlwb run digits-mlp` starts one.", file=sys.stderr)


def words(state: runs.State) -> str:
    """A state with its cause: `failed: the disk is full`."""
    if state.state == "away":
        return state.message
    if state.cause and state.cause != "steps":
        return f"{state.state}: {CAUSES.get(state.cause, state.cause)}"
    return state.state + (f": {state.message}" if state.state in ("queued", "starting") and state.message else "")


def show_comparison(chosen: Sequence[runs.Run], as_json: bool) -> None:
    """Runs side by side: the settings that differ, then what each reached; the best has a star."""
    sides = compare.sides(chosen)
    settings, figures = compare.differing(sides), compare.figures(sides)
    if as_json:
        ids = [side.run.id for side in sides]
        print_json(
            {
                "runs": ids,
                "settings": {row.name: dict(zip(ids, row.values, strict=True)) for row in settings},
                "figures": {row.metric: dict(zip(ids, row.values, strict=True)) for row in figures},
                "best": {row.metric: ids[row.best] for row in figures if row.best is not None},
            }
        )
        return
    rows = [["run", *(side.run.id for side in sides)], ["state", *(runs.state(side.run).state for side in sides)]]
    rows += [
        ["steps", *(count(side.summary.step) for side in sides)],
        ["time", *(duration(side.summary.seconds) for side in sides)],
    ]
    rows += [[row.name, *row.values] for row in settings]
    for row in figures:
        values = [compare.NOT_SET if value is None else number(value) for value in row.values]
        rows.append([row.metric, *(f"{value} *" if place == row.best else value for place, value in enumerate(values))])
    table(["", *(side.name for side in sides)], rows)
    if not settings:
        print("No setting differs.", file=sys.stderr)
