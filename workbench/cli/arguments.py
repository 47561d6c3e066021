"""The arguments that several commands share: a recipe, a run, settings; and how their words are read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.problems import Problem

if TYPE_CHECKING:
    from workbench.runs.run import Run

Recipe = Annotated[str, typer.Argument(help="The name of a recipe, as in `dlwb list`, or the path of a .yaml file.")]
Reference = Annotated[str, typer.Argument(help="A run: its id, a part of it, a recipe's name (its newest run), or `last`.")]
Ended = Annotated[str, typer.Argument(help="A run: its id, four characters of it or more, a recipe's name (its newest run), or `last`.")]
"""Of a verb that ends something."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: config.learning_rate=0.1")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Print the run's events until it ends.")]


def find_run(reference: str, ends: str = "") -> "Run":
    """The run that a reference means. Raises Problem where there is none, or where it is too short for a verb that `ends` something."""
    from workbench.runs.run import find_run

    return find_run(reference, ends=ends)


def pair(word: str) -> tuple[str, str]:
    """Key and value of KEY=VALUE. Raises Problem for other words."""
    key, equals, value = word.partition("=")
    if not equals:
        raise Problem(f"{word} is not KEY=VALUE.")
    return key.strip(), value.strip()


def request(settings: Sequence[str]) -> dict[str, Any]:
    """A dictionary from KEY=VALUE words; values are read as in a recipe. Raises Problem for a value that cannot be read."""
    from workbench.recipes.yaml_reader import flow_value

    values: dict[str, Any] = {}
    for word in settings:
        key, value = pair(word)
        values[key], wrong = flow_value(value)
        if wrong:
            raise Problem(f"{key}: {wrong}.")
    return values
