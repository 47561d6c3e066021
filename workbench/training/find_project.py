"""From a recipe or a run to its project: found by name, or in a person's own file as it was trusted."""

import importlib
import inspect
import sys
import traceback
import types
from pathlib import Path

import msgspec
from pydantic import ValidationError

from workbench import paths
from workbench.problems import Problem, first_fault, one_line
from workbench.recipes import trust
from workbench.recipes.find import project_source
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import Recipe
from workbench.runs.run import Run
from workbench.training.project import Project


def find_project(source: str | Path) -> type[Project]:
    """The one Project class that a shipped project (by name) or a file defines; a Problem, cause import, where there is none."""
    try:
        module = _module(source)
    # It says already what is wrong: the name is unknown, or nobody trusts the file.
    except Problem:
        raise
    except Exception as error:
        traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if isinstance(error, SyntaxError) else f" ({Path(where.filename).name}:{where.lineno})"  # it names its own
        raise Problem(
            f"{source} cannot be imported: {type(error).__name__}: {one_line(str(error))}{place}.",
            "The whole traceback is in the run's output.",
            cause="import",
        ) from error
    # Classes that the file only imports do not count: a lesson may derive from another one.
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Project)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
    if len(own) != 1:
        names = ", ".join(kind.__name__ for kind in own) or "none"
        raise Problem(f"{source} must define one class derived from Project; it has {names}.", "Prefix the others with _.", cause="import")
    return own[0]


def _module(source: str | Path) -> types.ModuleType:
    if isinstance(source, str):
        file = project_source(source).relative_to(paths.projects().parent)
        return importlib.import_module(".".join(("workbench", *file.with_suffix("").parts)))
    # Compiled from the bytes that were hashed: an import would read the file again, or a __pycache__ that nobody trusted.
    code = compile(trust.read(source), str(source), "exec")
    module = types.ModuleType("own_project")
    module.__file__ = str(source)
    # pydantic and dataclasses look up a class's module by its name.
    sys.modules["own_project"] = module
    exec(code, vars(module))
    return module


def explored_project(loaded: Loaded) -> Project:
    """The project of a recipe that is only explored, for the CPU, not built yet. A person's own file has to be trusted."""
    recipe = loaded.recipe
    kind = find_project(loaded.project_file or recipe.project)
    compute = msgspec.structs.replace(recipe.compute, device="cpu", threads=recipe.compute.threads or 1)
    return kind(kind.Config.model_validate(recipe.config), recipe.train, compute, recipe.seed, loaded.path.parent)


def make_project(run: Run, recipe: Recipe) -> Project:
    """The run's project, with its config checked, not built yet."""
    # A person's own file is imported from the copy that the run keeps, which is the trusted one.
    kind = find_project(run.project_copy if recipe.project.endswith(".py") else recipe.project)
    try:
        config = kind.Config.model_validate(recipe.config)
    except ValidationError as error:
        raise Problem(f"recipe.yaml: config.{first_fault(error)}.") from None
    # Relative paths in a config start where its author wrote them, not in the run directory.
    folder = Path(run.about().get("recipe") or run.path).parent
    return kind(config, recipe.train, recipe.compute, recipe.seed, folder)
