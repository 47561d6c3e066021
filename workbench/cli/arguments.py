"""The arguments that several commands share: a recipe, a run, settings; and how their words are read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.problems import Problem

if TYPE_CHECKING:
    from workbench.runs.comparisons import Comparison
    from workbench.runs.run import Run
    from workbench.runs.tunings import Tuning

Recipe = Annotated[str, typer.Argument(help="The name of a recipe, as in `dlwb list`, or the path of a .yaml file.")]
REFERENCE = "A run: its id, a part of it, a recipe's name (its newest run), or `last`."
Reference = Annotated[str, typer.Argument(help=REFERENCE)]
Ended = Annotated[str, typer.Argument(help="A run: its id, four characters of it or more, a recipe's name (its newest run), or `last`.")]
"""Of a verb that ends something."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: config.learning_rate=0.1")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Print the run's events until it ends.")]


def find_run(reference: str, ends: str = "") -> "Run":
    """The run that a reference means. Raises Problem where there is none, or where it is too short for a verb that `ends` something."""
    from workbench.runs.run import find_run

    run = find_run(reference, ends=ends)
    ask_slurm([run])
    return run


def ask_slurm(runs: "Sequence[Run]") -> None:
    """Ask Slurm about the jobs of these runs, where any has one; where it does not answer, what it said last holds."""
    from workbench.runs import scheduled

    if any(scheduled.job_of(run.path) for run in runs):
        from workbench.cli.printing import tell
        from workbench.launch import slurm

        try:
            slurm.refresh(runs)
        except Problem as problem:
            tell(f"! {problem} The states of its jobs are as it told them last.")


def find_group(reference: str, ends: str = "") -> "Comparison | Tuning | None":
    """The comparison or the tuning that a reference means; None where it means a run, or nothing."""
    from workbench.runs.tunings import find_tuning

    return find_comparison(reference, ends) or find_tuning(reference, ends=ends)


def find_comparison(reference: str, ends: str = "") -> "Comparison | None":
    """The comparison that a reference means; None where it means a run, or nothing."""
    from workbench.runs.comparisons import find_comparison

    return find_comparison(reference, ends=ends)


def pair(word: str) -> tuple[str, str]:
    """Key and value of KEY=VALUE. Raises Problem for other words."""
    key, equals, value = word.partition("=")
    if not equals:
        raise Problem(f"{word} is not KEY=VALUE.")
    return key.strip(), value.strip()


def request(settings: Sequence[str], schema: dict[str, Any]) -> dict[str, Any]:
    """A dictionary from KEY=VALUE words; values are read as in a recipe, by their schema. Raises Problem for a value that cannot be read.

    What the schema does not allow is left for the run to refuse: it knows what its project's code allows now.
    """
    from workbench.recipes.schema_check import complete
    from workbench.recipes.yaml_reader import flow

    values: dict[str, Any] = {}
    spellings = {}
    for word in settings:
        key, text = pair(word)
        document = flow(text)
        if document.faults:
            raise Problem(f"{key}: {'; '.join(fault.text for fault in document.faults)}.")
        values[key] = document.value
        spellings.update({(key, *place): spelled for place, spelled in document.spellings.items()})
    checked, _ = complete(values, schema, "", spellings)
    return {key: checked.get(key, value) for key, value in values.items()}
