"""What a live run may be asked for and what may be changed in it, as schemas with present values: what its forms are made of."""

from typing import Any

import msgspec

from workbench.problems import Problem
from workbench.recipes import project_schemas
from workbench.recipes.project_schemas import ProjectSchema
from workbench.recipes.recipe import LIVE, Recipe
from workbench.runs.run import Run
from workbench.tui.panels.fields import Schema

NOTHING = "This project's samples take no request; n asks for one as it is."
UNKNOWN = "What its own project file takes is not known on this machine yet: `dlwb check` of its recipe asks it."


def project_schema(run: Run, recipe: Recipe) -> ProjectSchema | None:
    """What the run's project says of itself; None where only running its code would tell."""
    try:
        return project_schemas.describe(run.project_copy if recipe.project.endswith(".py") else recipe.project, may_run=False)
    except (Problem, OSError):
        return None


def own_schemas() -> dict[str, Schema]:
    """The schemas of a recipe's own sections."""
    parts = msgspec.json.schema(Recipe)["$defs"]
    return {"train": parts["Train"], "compute": parts["Compute"]}


def request_schema(run: Run, recipe: Recipe) -> Schema:
    """What may be asked of its samples."""
    found = project_schema(run, recipe)
    return found.request if found else {}


def refusal(run: Run, recipe: Recipe) -> str:
    """Why nothing can be typed for a sample; "" when it can."""
    found = project_schema(run, recipe)
    return UNKNOWN if found is None else "" if found.request.get("properties") else NOTHING


def live_settings(run: Run, recipe: Recipe, changed: dict[str, Any]) -> tuple[Schema, dict[str, Any]]:
    """The schema of everything that may change while it goes on, by dotted names, and its present values."""
    found = project_schema(run, recipe)
    config = found.config if found else {}
    own = {f"config.{name}": config["properties"][name] for name in (found.live if found else [])}
    part = own_schemas()["train"]["properties"]
    values = {name: recipe.config.get(name.partition(".")[2]) for name in own}
    values |= {f"train.{name}": getattr(recipe.train, name) for name in LIVE}
    values = {name: value for name, value in values.items() if value is not None}
    schema = {"type": "object", "properties": {**own, **{f"train.{name}": part[name] for name in LIVE}}, "$defs": config.get("$defs", {})}
    return schema, {**values, **{name: value for name, value in changed.items() if name in schema["properties"]}}
