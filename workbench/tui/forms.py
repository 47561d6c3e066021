"""What a live run may be asked for and what may be changed in it, as schemas with present values: what its forms are made of."""

from typing import Any

import msgspec

from workbench import schemas
from workbench.json_schema import Schema
from workbench.problems import Problem
from workbench.recipe import LIVE, Recipe
from workbench.runs import Run
from workbench.schemas import ProjectSchema

NOTHING = "This project's samples take no request; n asks for one as it is."
UNKNOWN = "What its own project file takes is not known on this machine yet: `dlwb check` of its recipe asks it."


def project_schema(run: Run, recipe: Recipe) -> ProjectSchema | None:
    """What the run's project says of itself; None where only running its code would tell."""
    try:
        return schemas.describe(run.project_copy if recipe.project.endswith(".py") else recipe.project, may_run=False)
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
    """The schema of everything that may change while it goes on, by dotted names, and every present value.

    Also the values that do not change: they may hide a setting.
    """
    found = project_schema(run, recipe)
    config = found.config if found else {}
    own = {f"config.{name}": config["properties"][name] for name in (found.live if found else [])}
    part = own_schemas()["train"]["properties"]
    values = {f"config.{name}": value for name, value in recipe.config.items() if value is not None}
    values |= {f"train.{name}": getattr(recipe.train, name) for name in LIVE}
    schema = {"type": "object", "properties": {**own, **{f"train.{name}": part[name] for name in LIVE}}, "$defs": config.get("$defs", {})}
    return schema, {**values, **changed}
