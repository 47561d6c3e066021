"""From a run to its project with the weights it kept, on the CPU: what answers a person's questions, and what a lesson looks into."""

from pathlib import Path

import msgspec

from workbench.problems import Problem, one_line
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run
from workbench.training.find_project import make_project
from workbench.training.project import Project


def trained(folder: Path, kind: str) -> Project:
    """The built project of a run directory, with its best weights. Problem where it is no run of a shipped project called `kind`."""
    run, shown = Run(folder), one_line(str(folder))
    if not (folder / "recipe.yaml").is_file():
        raise Problem(f"{shown} is no run directory: it has no recipe.yaml.", "`dlwb runs` lists runs; they lie in dlwb's home.", "data")
    project_name = run.recipe().project
    if project_name != kind:
        raise Problem(f"{shown} is a run of {one_line(project_name)}, where one of {kind} is right.", "", "data")
    project = of_run(run)
    project.build()
    load_best(project, run)
    return project


def of_run(run: Run) -> Project:
    """The run's project for the CPU, not built yet."""
    recipe = run.recipe()
    # Its GPU may be busy with this very run, or with another one.
    return make_project(run, msgspec.structs.replace(recipe, compute=msgspec.structs.replace(recipe.compute, device="cpu")))


def load_best(project: Project, run: Run) -> int:
    """Loads the best weights of a run into its project; returns the step that they are of."""
    best = Checkpoints(run.path / "checkpoints").best(project.decode_state)
    if best is None:
        raise Problem(f"{run.id} has no checkpoint to answer from.", "Let it train until its first one.")
    project.load_state(best[1]["state"])
    return best[0].step
