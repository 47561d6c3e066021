"""What a live run may be asked for and what may be changed in it, as schemas with present values: what its forms are made of."""

from typing import Any

import msgspec

from workbench.problems import Problem
from workbench.recipes import project_schemas
from workbench.recipes.project_schemas import ProjectSchema
from workbench.recipes.recipe import LIVE, Recipe
from workbench.recipes.schema_check import Schema
from workbench.runs.run import Run

NOTHING = "This project's samples take no request; n asks for one as it is."
SEED = "Start of every random number; the same seed gives the same run."
UNKNOWN = "What its own project file takes is not known on this machine yet: `dlwb check` of its recipe asks it."


def project_schema(run: Run, recipe: Recipe) -> ProjectSchema | None:
    """What the run's project says of itself; None where only running its code would tell."""
    try:
        return project_schemas.describe(run.project_copy if recipe.project.endswith(".py") else recipe.project, may_run=False)
    except (Problem, OSError):
        return None


def settings(recipe: Recipe) -> dict[str, Any]:
    """Every setting by its dotted name, as `--set` takes it."""
    sections = {"config": recipe.config, "train": msgspec.structs.asdict(recipe.train), "compute": msgspec.structs.asdict(recipe.compute)}
    dotted = {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}
    return {"seed": recipe.seed, **dotted}


def settings_schema(config: Schema) -> Schema:
    """The schema of every setting of a recipe by its dotted name; `config` is that of its project's own."""
    parts = msgspec.json.schema(Recipe)["$defs"]
    sections = {"config": config, "train": parts["Train"], "compute": parts["Compute"]}
    dotted = {
        f"{section}.{name}": definition for section, schema in sections.items() for name, definition in schema.get("properties", {}).items()
    }
    seed = {**parts["Recipe"]["properties"]["seed"], "description": SEED}
    return {"type": "object", "properties": {"seed": seed, **dotted}, "$defs": config.get("$defs", {})}


def request_schema(run: Run, recipe: Recipe) -> Schema:
    """What may be asked of its samples."""
    project = project_schema(run, recipe)
    return project.request if project else {}


def refusal(run: Run, recipe: Recipe) -> str:
    """Why nothing can be typed for a sample; "" when it can."""
    project = project_schema(run, recipe)
    return UNKNOWN if project is None else "" if project.request.get("properties") else NOTHING


def live_settings(run: Run, recipe: Recipe, changed: dict[str, Any]) -> tuple[Schema, dict[str, Any]]:
    """The schema of everything that may change while it goes on, by dotted names, and every present value.

    Also the values that do not change: they may hide a setting.
    """
    project = project_schema(run, recipe)
    schema = settings_schema(project.config if project else {})
    names = [*(f"config.{name}" for name in (project.live if project else [])), *(f"train.{name}" for name in LIVE)]
    return {**schema, "properties": {name: schema["properties"][name] for name in names}}, {**settings(recipe), **changed}
