"""`dlwb results`: shows the measured results of the recipes, and collects them from runs."""

from typing import Annotated

import typer

from workbench.cli.arguments import AsJson
from workbench.cli.printing import print_json, table, tell
from workbench.problems import Problem


def results(context: typer.Context, as_json: AsJson = False) -> None:
    """Show and collect the measured results of the recipes. A result is stale when code or settings have changed since."""
    if context.invoked_subcommand is None:
        _show(as_json)


def _show(as_json: bool) -> None:
    """Print a heading for each recipe and device, and a row for each metric: mean and range over seeds, bars, the course's result."""
    from workbench.recipes.find import shipped_and_own
    from workbench.recipes.load import load_recipe
    from workbench.runs import bars, measured, measured_tables

    committed = measured.read()
    if as_json:
        print_json(committed)
        return
    rows: list[list[str] | str] = []
    for path in shipped_and_own():
        try:
            loaded = load_recipe(path)
        except Problem:
            continue  # `dlwb list` says what is wrong with it
        groups = measured_tables.groups([result for result in committed if result.recipe == path.stem])
        for seeds in groups:
            compares = bool(loaded.recipe.compare)
            about = [measured_tables.wall_time(loaded.recipe, seeds), measured_tables.machine(seeds[0])]
            about += [f"{len(seeds)} {'runs' if compares else 'seeds'}"] if len(seeds) > 1 else []
            about += [measured_tables.plain_name(bars.compared(loaded.recipe))] if compares else []
            about += [f"with {seeds[0].variant}"] if seeds[0].variant else []
            about += [stale] if (stale := measured.stale(seeds, loaded)) else []
            rows.append(f"{path.stem}: {', '.join(about)}")
            for figure in measured_tables.figures(loaded.recipe, seeds):
                rows.append([f"  {figure.name}", figure.mean, figure.range, figure.bars, figure.course])
        if not groups:
            rows.append(f"{path.stem}: not measured")
    table(["RECIPE AND FIGURE", "MEAN", "RANGE", "BAR", "COURSE"], rows)


def collect(
    references: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Finished runs.")] = None,
    recipe: Annotated[str, typer.Option(help="Also every finished run of this recipe.")] = "",
) -> None:
    """Add finished runs to the committed results."""
    from workbench.runs import measured

    for sentence in measured.collect(references or [], recipe):
        tell(sentence)


def drop(references: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")]) -> None:
    """Remove runs from the committed results."""
    from workbench.runs import measured

    measured.drop(references)


def carry(
    references: Annotated[list[str], typer.Argument(metavar="RUN...", help="Finished runs of the earlier code: ids or paths.")],
) -> None:
    """Keep results after a change of the code: replay runs of the earlier code and compare every bit."""
    from workbench.launch import carry as carrying

    for sentence in carrying.carry(references):
        tell(sentence)
