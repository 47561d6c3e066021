"""Trains a lesson for some steps and seals it as a model: what tests of exports share."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workbench.launch import start
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
