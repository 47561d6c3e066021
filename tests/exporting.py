"""Trains a lesson for some steps and seals it as a model: what tests of exports share.

`python -m tests.exporting RECIPE INPUTS FOLDER [SETTINGS…]` seals a recipe there and prints how it was compared, or why it is refused, in
JSON. In a process of its own, as each export has one.
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workbench.launch import start
from workbench.problems import Problem
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.runs.run import Run
from workbench.training.find_project import find_project
from workbench.training.project import Project


def trained(stem: str, steps: int = 10, *settings: str) -> tuple[Project, Run]:
    """A project of a recipe after so many steps on the CPU, and the directory of a run that never began."""
    loaded = load_recipe(find_recipe(stem), settings)
    recipe = loaded.recipe
    compute = msgspec.structs.replace(recipe.compute, device="cpu", threads=1)
    kind = find_project(recipe.project)
    project = kind(kind.Config.model_validate(recipe.config), recipe.train, compute, recipe.seed, loaded.path.parent)
    project.build()
    for batch in itertools.islice(project.batches(0, np.random.default_rng(0)), steps):
        project.train_step(batch)
    return project, start.create(loaded, "cpu")


def sealed(project: Project, run: Run, target: Path) -> Any:
    """The model of a project as it stands, at NAME/VERSION."""
    from workbench.torchkit.export.model import seal

    with project.evaluating():
        return seal(project, run, target)


def compared(stem: str, count: int, target: Path, *settings: str) -> dict[str, Any]:
    """Seal a recipe after three steps, compared on so many inputs: kind, exporter, largest difference; or the lesson's refusal."""
    from workbench.torchkit.export import model

    model.COMPARED = count
    loaded = load_recipe(find_recipe(stem), settings)
    kind = find_project(loaded.recipe.project)
    if text := _refusal(object.__new__(kind)):
        return {"refused": text}
    try:
        project, run = trained(stem, 3, *settings)
    except Problem as problem:
        return {"no data": str(problem)}
    if text := _refusal(project):
        return {"refused": text}
    try:
        exported = sealed(project, run, target)
    except Problem as problem:
        return {"differs": str(problem)}
    about = exported.folder.model
    return {
        "kind": about.kind,
        "exporter": about.exporter,
        "difference": exported.parity.difference,
        "inputs": exported.parity.inputs,
        "lengths": exported.parity.lengths,
    }


def _refusal(project: Project) -> str:
    """Why the lesson itself refuses; "" where it does not, or knows only once it is built."""
    try:
        project.serving()
    except Problem as problem:
        return str(problem)
    except AttributeError:
        pass
    return ""


if __name__ == "__main__":
    print(json.dumps(compared(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])))
