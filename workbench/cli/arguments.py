"""What several commands take: a recipe, a run, settings; and what is made of the words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.problems import Problem

if TYPE_CHECKING:
    from workbench.runs.run import Run

Recipe = Annotated[str, typer.Argument(help="A recipe's name, as in `dlwb list`, or a path to a .yaml file.")]
Reference = Annotated[str, typer.Argument(help="A run: its id, a part of it, a recipe's name (its newest run), or `last`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: config.learning_rate=0.1")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show how it goes until it ends.")]


def find_run(reference: str) -> "Run":
    """The run that a person means; Problem where there is none."""
    from workbench.runs.run import find_run

    return find_run(reference)


def pair(word: str) -> tuple[str, str]:
    """KEY=VALUE as two words."""
    key, equals, value = word.partition("=")
    if not equals:
        raise Problem(f"{word} is not KEY=VALUE.")
    return key.strip(), value.strip()


def request(settings: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE words as a dictionary, values read as in a recipe."""
    from workbench.recipes.yaml_reader import flow_value

    values: dict[str, Any] = {}
    for word in settings:
        key, value = pair(word)
        values[key], wrong = flow_value(value)
        if wrong:
            raise Problem(f"{key}: {wrong}.")
    return values
