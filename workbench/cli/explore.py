"""Exploring from the shell: `dlwb explore` asks a lesson, or a run's best weights, once, and prints the answer."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import AsJson, request
from workbench.cli.printing import print_json, put, table
from workbench.formatting import number
from workbench.problems import Problem, clean

if TYPE_CHECKING:
    from workbench.events import AnyEvent
    from workbench.recipes.load import Loaded
    from workbench.runs.run import Run

FEW = 24
"""Most points of a curve that are printed one by one."""


def explore(
    name: Annotated[str, typer.Argument(help="A lesson to explore, as in `dlwb list`; or a run, or a recipe's name: its newest run.")],
    asked: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the request, or config.NAME of a lesson.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a lesson, or a run, and print the answer."""
    fields = [word for word in asked or [] if not word.startswith("config.")]
    source, schema, begin = _source(name, [word for word in asked or [] if word.startswith("config.")])
    values = {**begin, **request(fields, schema)}
    ready, events = asyncio.run(_ask(source, values))
    if as_json:
        print_json({"request": values, "step": ready.get("step", 0), "variant": ready.get("variant", ""), "events": events})
        return
    from workbench.events import Unknown, as_event

    for data in events:
        event = as_event(data)
        if event and not isinstance(event, Unknown):
            _print(event)


def _source(name: str, settings: list[str]) -> "tuple[Run | Loaded, dict[str, Any], dict[str, Any]]":
    """What answers, the schema of its request, and the values with which it begins."""
    from workbench.recipes.find import find_recipe
    from workbench.recipes.load import load_recipe
    from workbench.runs.run import find_run
    from workbench.tui.models import answering, requests

    try:
        loaded = load_recipe(find_recipe(name), settings)
    except Problem:
        loaded = None
        if settings:
            raise
    if loaded and loaded.unchecked:
        raise Problem(f"{loaded.unchecked[:1].upper()}{loaded.unchecked[1:]}.", f"`dlwb trust {name}` if you know what it does.")
    if loaded and not loaded.trains:
        assert loaded.schema
        return loaded, loaded.schema.request, loaded.recipe.explore
    if settings:
        raise Problem(f"{settings[0]}: the settings of a run are those that it was trained with.", "Only fields of the request can be set.")
    run = find_run(name)
    recipe = run.recipe()
    if refusal := requests.refusal(run, recipe) or answering.no_weights(run):
        raise Problem(refusal)
    return run, requests.request_schema(run, recipe), recipe.explore


async def _ask(source: "Run | Loaded", values: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from workbench.tui.models.answering import Answering

    answering = Answering(source)
    # By tag: a long answer yields a panel again and again while it comes, and only the last one is the answer.
    events: dict[str, dict[str, Any]] = {}
    try:
        ready = await answering.start(lambda doing: None)
        await answering.ask(lambda answer: events.update({str(answer["event"].get("tag")): answer["event"]}), sample=values)
    except Problem as problem:
        raise Problem(problem.message) from None  # its hint names a key of the screen
    finally:
        await answering.close()
    return ready, list(events.values())


def _print(event: "AnyEvent") -> None:
    """An event as lines of text."""
    from workbench.events import Curve, Images, Matrix, Scalars, Scatter, Table, Text

    title = getattr(event, "tag", "sample/numbers").partition("/")[2]
    match event:
        case Scalars(values=values):
            put(clean(title))
            table(["number", "value"], [[tag.partition("/")[2], number(value)] for tag, value in values.items()], right=1)
        case Table(columns=columns, rows=rows):
            put(clean(title))
            _cells(columns, [[cell if isinstance(cell, str) else f"{cell:.6g}" for cell in row] for row in rows])
        case Matrix(values=values, rows=rows, columns=columns):
            put(clean(title))
            heads = columns or [str(place) for place in range(max(map(len, values), default=0))]
            named = [rows[place] if place < len(rows) else str(place) for place in range(len(values))]
            lines = [[name, *(f"{value:.6g}" for value in row)] for name, row in zip(named, values, strict=True)]
            _cells(["", *heads], lines, right=len(heads))
        case Text(text=text):
            put(clean(title))
            put(clean(text))
        case Curve(x=x, y=y, labels=labels) if len(x) <= FEW:
            put(clean(title))
            _cells([labels[0] or "x", labels[1] or "y"], [[f"{a:.6g}", f"{b:.6g}"] for a, b in zip(x, y, strict=False)], right=2)
        case Scatter(x=[]) | Scatter(y=[]) | Curve(y=[]):
            put(clean(f"{title}: no points"))
        case Curve(x=x, y=y) | Scatter(x=x, y=y):
            put(clean(f"{title}: {len(x)} points, x {number(min(x))} to {number(max(x))}, y {number(min(y))} to {number(max(y))}"))
        case Images(captions=captions):
            put(clean(f"{title}: pictures: {'; '.join(filter(None, captions))}"))
        case _:
            return
    put("")


def _cells(heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> None:
    """A table whose rows a lesson may have made longer or shorter than its heads."""
    if width := max(map(len, [heads, *rows])):
        table([*heads, *[""] * (width - len(heads))], [[*row, *[""] * (width - len(row))] for row in rows], right)
