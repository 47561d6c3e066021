"""What of a run may leave this machine: no path of it, and only finished runs of lessons that everybody has."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.problems import Problem, clean
from workbench.recipes.recipe import Recipe
from workbench.runs import family, own
from workbench.runs.run import Run
from workbench.runs.state import state_of


def refuse(run: Run, kind: str) -> Recipe:
    """The run's recipe. Problem where no other machine could train it again: it has not finished, or its project is a person's own."""
    state, recipe = state_of(run).state, run.recipe()
    if state != "finished":
        raise Problem(f"{run.id} has not finished, so there is no {kind} of it.", f"It is {state}.")
    if reason := own.refusal(recipe, kind):
        raise Problem(reason, "Its log goes anywhere with --to html, csv, json or tensorboard.")
    if recipe.project.endswith(".py"):
        raise Problem(
            f"{run.id} was trained by a person's own project file, and a {kind} holds shipped lessons alone.",
            "Its log goes anywhere with --to html, csv or json.",
        )
    if (forked := family.forked(run)) and forked.fixed:
        raise Problem(
            f"{run.id} is a {forked.words}, and a {kind} trains from step 0 with one recipe.",
            "A fork that changed live settings alone has one; any log goes with --to html, csv or json.",
        )
    return recipe


class Places:
    """The paths of this machine in what a run says, and the words that stand for them elsewhere."""

    def __init__(self, run: Run) -> None:
        self.own: dict[str, str] = {}
        """By name, the folders and files of the author's own that its config names."""
        named = {
            str(run.path): "RUN",
            str(paths.home()): "$DLWB_HOME",
            str(paths.mirror() or ""): "$DLWB_MIRROR",
            str(paths.projects().parent.parent): "dlwb",
            os.path.realpath(sys.prefix): "PYTHON",
            sys.prefix: "PYTHON",
            sys.base_prefix: "PYTHON",
            str(Path.home()): "~",
        }
        # The longest first: one lies inside another.
        self._named = sorted(((path, word) for path, word in named.items() if len(path) > 1), key=lambda pair: -len(pair[0]))

    def cleaned(self, words: str) -> str:
        """A text with words in place of this machine's paths."""
        words = clean(words)
        for path, word in [*((path, f"./{name}") for name, path in self.own.items()), *self._named]:
            words = re.sub(rf"{re.escape(path)}(?![\w.-])", lambda _, word=word: word, words)  # type: ignore[misc]
        return words

    def portable(self, output: dict[str, Any]) -> dict[str, Any]:
        """The same of each text of an output; pictures stay as they are."""
        return {kind: self.cleaned(data) if kind != "image/png" and isinstance(data, str) else data for kind, data in output.items()}


def portable_config(value: Any, places: Places) -> Any:
    """The config with an absolute path replaced by a name beside the recipe, which `places.own` then knows."""
    if isinstance(value, str) and value.startswith("/"):
        return f"./{_named(value, places)}"
    if isinstance(value, dict):
        return {key: portable_config(item, places) for key, item in value.items()}
    return [portable_config(item, places) for item in value] if isinstance(value, list) else value


def _named(path: str, places: Places) -> str:
    stem, number = os.path.basename(path.rstrip("/")) or "data", 1  # noqa: PTH119 - a path of another machine, too
    name = stem
    while places.own.get(name, path) != path:
        number += 1
        name = f"{stem}-{number}"
    places.own[name] = path
    return name
