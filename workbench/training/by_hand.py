"""For a notebook, where the training loop stands in a cell: the project of a recipe, and the log of what the cell does with it.

`workbench.training.loop` trains runs. What stands in a notebook is that loop without saving, commands and clocks, with the same parts:
places, batches, windows, early stopping. So its figures are the run's, bit for bit, on a CPU of the same family.
"""

import contextlib
import importlib
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from workbench import paths
from workbench.events import Event, Scalars, placed
from workbench.preparation import Progress, listening
from workbench.problems import Problem, first_fault, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs.history import History
from workbench.training.cadence import Place
from workbench.training.find_project import find_project
from workbench.training.project import Project

__all__ = ["Log", "build", "open_project", "open_recipe"]


def open_recipe(sections: Mapping[str, Any]) -> Recipe:
    """A recipe from plain data. Problem, in one sentence, for a setting that is not allowed."""
    try:
        return msgspec.convert(dict(sections), Recipe)
    except msgspec.ValidationError as error:
        raise Problem(f"The recipe cannot be used: {one_line(str(error))}.") from None


def open_project(recipe: Recipe, folder: Path = Path()) -> Project:
    """The project of a recipe, not built yet; relative paths in its config start at `folder`."""
    kind = find_project(recipe.project)
    try:
        config = kind.Config.model_validate(paths.rooted(recipe.config, folder))
    except ValidationError as error:
        raise Problem(f"config.{first_fault(error)}.") from None
    return kind(config, recipe.train, recipe.compute, recipe.seed, folder)


def build(
    project: Project,
    log: "Log | None" = None,
    doing: Callable[[str], None] = lambda what: None,
    advance: Progress = lambda what, done, total: None,
) -> dict[str, str]:
    """Seed, read the data, build the network; what was found in the data is logged. Returns the SHA-256 of each source of data."""
    with contextlib.suppress(ImportError):
        # As in a run's process: it draws from `random` when it is first imported, which must not happen after the seeding.
        importlib.import_module("rich.style")
    with listening(advance) as prepared:
        project.build(doing)
    if log:
        # With other data than the recipe's nothing is judged: figures and bars look for it here.
        log.history.variant, log.history.demo = project.variant, project.demo
        if table := prepared.table():
            log.say(table, Place())
    return prepared.sources


class Log:
    """What a run writes into its log, kept in memory; `history` is what panels and exports look at."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.history = History()

    def say(self, event: Event, place: Place, split: str = "") -> None:
        """Keep an event at this place of the run, its tags under `split`."""
        if not isinstance(event, Scalars) or event.values:
            self.history.fold([placed(event, place.step, place.epochs(), split)])  # type: ignore[list-item]

    def numbers(self, means: dict[str, float], place: Place) -> None:
        """Keep the means of the training steps since the last ones."""
        self.say(Scalars(means), place)

    def look(self, split: str, place: Place) -> dict[str, float]:
        """Evaluate `valid` or `test`, or ask for a `sample` or the table of the `model`; returns the figures, NaN where one is undefined.

        With random states of its own: a look changes nothing in the training.
        """
        project = self.project
        sources: dict[str, Callable[[], Iterator[Event]]] = {
            "sample": lambda: project.sample(project.Request()),
            "model": project.summary,
        }
        with project.looking(zlib.crc32(f"{project.seed}/{split}/{place.step}".encode())):
            events = list(sources.get(split, lambda: project.evaluate(split))())
        measured: dict[str, float] = {}
        for event in events:
            if isinstance(event, Scalars):
                values = {tag: value for tag, value in event.values.items() if value is not None}
                measured |= {f"{split}/{tag}": float(values.get(tag, math.nan)) for tag in event.values}
                event = Scalars({tag: float(value) for tag, value in values.items()})
            self.say(event, place, split)
        return measured
