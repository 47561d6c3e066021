"""Asks a lesson that is explored, as its recipe begins or with other values: what tests of lessons share."""

from typing import Any

from workbench.events import Event, Tagged
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.training.find_project import find_project
from workbench.training.project import Project
from workbench.training.request import request


def built(stem: str, **config: Any) -> Project:
    """The project of a recipe, with its data and model."""
    loaded = load_recipe(find_recipe(stem))
    kind = find_project(loaded.recipe.project)
    settings = kind.Config.model_validate({**loaded.recipe.config, **config})
    project = kind(settings, loaded.recipe.train, loaded.recipe.compute, loaded.recipe.seed, loaded.path.parent)
    project.build()
    return project


def events(stem: str, project: Project | None = None, **fields: Any) -> list[Event]:
    """What the lesson yields for the recipe's values with these fields over them."""
    project = project or built(stem)
    values = {**load_recipe(find_recipe(stem)).recipe.explore, **fields}
    with project.evaluating():
        return list(project.sample(request(project, values)))


def asked(stem: str, project: Project | None = None, **fields: Any) -> dict[str, Any]:
    """The same by tag; Scalars under ""."""
    return {event.tag if isinstance(event, Tagged) else "": event for event in events(stem, project, **fields)}
