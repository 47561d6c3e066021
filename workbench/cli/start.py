"""Starting: `dlwb run`, `exec`, `new` and `trust`."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.arguments import AsJson, Follow, Recipe, Settings
from workbench.cli.printing import print_json, put, tell
from workbench.problems import clean


def run(
    recipe: Recipe,
    settings: Settings = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "",
    seeds: Annotated[int, typer.Option(help="Train it with so many seeds, one run after the other, and compare them.")] = 0,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Train a recipe in the background; prints the run's id. Of a recipe that compares, all its variants, one run after the other.

    Of a recipe that tunes, it does what `dlwb tune` does.
    """
    from workbench.cli import follow as following
    from workbench.launch import start
    from workbench.recipes.find import find_recipe
    from workbench.recipes.load import load_recipe
    from workbench.serving import usage

    loaded = load_recipe(find_recipe(recipe), settings or [])
    if seeds or loaded.recipe.compare:
        from workbench.launch import comparing

        loaded = comparing.with_seeds(loaded, seeds) if seeds else loaded

        comparison = comparing.start(loaded, device)
        print_json({"comparison": comparison.id}) if as_json else put(comparison.id)
        _warn(usage.warning())
        if follow:
            raise typer.Exit(following.follow_comparison(comparison))
        return
    if loaded.recipe.tune:
        from workbench.cli import tune

        tune.begin(loaded, device, follow, as_json)
        return
    started = start.begin(loaded, device)
    _warn(str(started.about().get("warning") or ""))
    _warn(usage.warning())
    if not (follow and as_json):
        print_json({"run": started.id}) if as_json else put(started.id)
    if follow:
        raise typer.Exit(following.follow(started, as_json, started=True))


def exec_(
    command: Annotated[list[str], typer.Argument(help="The command, as you would type it: python train.py --epochs 3")],
    name: Annotated[str, typer.Option(help="What the lists call the run; by default the script's name.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print what it prints until it ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a command of your own as a run, in the background.

    It has its output, its meters, and a name for how it ended.
    """
    from workbench.cli import follow as following
    from workbench.elsewhere import executing

    run = executing.start(command, name)
    print_json({"run": run.id}) if as_json else put(run.id)
    if follow:
        following.output(run, to_its_end=True)
        raise typer.Exit(following.wait(run))


def _warn(text: str) -> None:
    if text:
        tell(clean(f"! {text}"))


def new(
    name: Annotated[str, typer.Argument(help="The new recipe's name.")],
    source: Annotated[str, typer.Option("--from", metavar="RECIPE", help="The recipe to copy.")],
    project: Annotated[bool, typer.Option("--project", help="Copy its Python file too.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Write into ./recipes/; the folder is made if needed.")] = False,
) -> None:
    """Copy a recipe to edit it. The copy goes into ./recipes/ if this folder exists, else into the recipes of dlwb's home."""
    from workbench.recipes import copy_recipe as copying

    copy = copying.copy(name, source, project=project, here=here)
    put(str(copy.recipe))
    if copy.project:
        put(str(copy.project))
        tell(f"dlwb trusts the copy as it is. After you edit it: dlwb trust {copy.project}")


def trust(file: Annotated[Path, typer.Argument(help="A Python file with a project of your own.")]) -> None:
    """Allow dlwb to run a Python file of your own, as it is now."""
    from workbench.recipes import trust as trusting

    tell(f"Trusted: {file}, SHA-256 {trusting.trust(file)}.")
