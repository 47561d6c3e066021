"""What a person can ask of a live run, and which settings can change, as schemas with their present values: for the forms."""

from typing import Any

import msgspec

from workbench.problems import Problem
from workbench.recipes import project_schemas
from workbench.recipes.project_schemas import ProjectSchema
from workbench.recipes.recipe import LIVE, Recipe
from workbench.recipes.schema_check import Schema
from workbench.runs import own
from workbench.runs.run import Run

NOTHING = "This project's samples have no settings: there is nothing to ask it with. n takes a sample."
SEED = "Start of all random numbers; the same seed gives the same run."
UNKNOWN = "This machine does not know the settings of this project file yet: run `dlwb check` on its recipe."


def project_schema(run: Run, recipe: Recipe) -> ProjectSchema | None:
    """The schema of the run's project; None where only running its code would tell."""
    try:
        # may_run=False: to look at a run must never run a person's code; the copy is the code that the run was trained with.
        return project_schemas.describe(run.project_copy if recipe.project.endswith(".py") else recipe.project, may_run=False)
    except (Problem, OSError):
        return None


def settings(recipe: Recipe) -> dict[str, Any]:
    """All settings by their dotted names, as `--set` takes them."""
    sections = {"config": recipe.config, "train": msgspec.structs.asdict(recipe.train), "compute": msgspec.structs.asdict(recipe.compute)}
    dotted = {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}
    return {"seed": recipe.seed, **dotted}


def settings_schema(config: Schema) -> Schema:
    """The schema of all settings of a recipe by dotted names; `config` is the schema of its project's own settings."""
    parts = msgspec.json.schema(Recipe)["$defs"]
    sections = {"config": config, "train": parts["Train"], "compute": parts["Compute"]}
    dotted = {
        f"{section}.{name}": definition for section, schema in sections.items() for name, definition in schema.get("properties", {}).items()
    }
    seed = {**parts["Recipe"]["properties"]["seed"], "description": SEED}
    return {"type": "object", "properties": {"seed": seed, **dotted}, "$defs": config.get("$defs", {})}


def request_schema(run: Run, recipe: Recipe) -> Schema:
    """The schema of a sample's request."""
    project = project_schema(run, recipe)
    return project.request if project else {}


def answer_schema(run: Run, recipe: Recipe) -> Schema:
    """The same without the fields that only a sample knows: what a text is answered with."""
    schema = request_schema(run, recipe)
    fields = {name: field for name, field in schema.get("properties", {}).items() if not field.get("sample_only")}
    return {**schema, "properties": fields}


def refusal(run: Run, recipe: Recipe) -> str:
    """Why a person cannot give settings for a sample; "" when they can."""
    if reason := own.refusal(recipe, "explore"):
        return reason
    project = project_schema(run, recipe)
    return UNKNOWN if project is None else "" if project.request.get("properties") else NOTHING


def live_settings(run: Run, recipe: Recipe, changed: dict[str, Any]) -> tuple[Schema, dict[str, Any]]:
    """The schema of all settings that can change during training, by dotted names, and all present values.

    The values include settings that cannot change: they may hide a setting.
    """
    project = project_schema(run, recipe)
    schema = settings_schema(project.config if project else {})
    names = [*(f"config.{name}" for name in (project.live if project else [])), *(f"train.{name}" for name in LIVE)]
    return {**schema, "properties": {name: schema["properties"][name] for name in names}}, {**settings(recipe), **changed}
