"""A small run's directory with trained weights, as a lesson that looks into runs needs it; made without a worker."""

from pathlib import Path
from typing import Any

from stepping import train

from workbench.recipes.recipe import Compute, Recipe, Train, dump_recipe
from workbench.runs.checkpoint import Checkpoints
from workbench.training.find_project import find_project


def trained_run(folder: Path, name: str, config: dict[str, Any], steps: int, batch_size: int = 32) -> Any:
    """Fills `folder`; returns the project as it was trained."""
    recipe = Recipe(title="x", project=name, config=config, train=Train(batch_size=batch_size))
    kind = find_project(name)
    project = kind(kind.Config.model_validate(config), recipe.train, Compute(device="cpu", threads=1), 1)
    project.build()
    train(project, steps)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(dump_recipe(recipe))
    (folder / "checkpoints").mkdir()
    Checkpoints(folder / "checkpoints").save(project.encode_state({"state": project.state()}), project.suffix, step=steps, best=True)
    return project
