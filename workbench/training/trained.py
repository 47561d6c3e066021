"""From a run to what it kept: its project with the best weights, on the CPU, and what its log says. Answers and lessons look into it."""

from pathlib import Path

import msgspec

from workbench.events import Matrix, split_tag
from workbench.problems import Problem, one_line
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run, find_run
from workbench.training.find_project import make_project
from workbench.training.project import Project


def run_folder(given: str) -> Path:
    """The folder of a run that a person names in a request: its path, or what `dlwb runs` takes, an id, a recipe's name, `last`.

    Problem where there is no such run.
    """
    if not given.strip():
        raise Problem("run names no run yet.", "Type its id, its recipe's name, `last`, or its folder.", "data")
    try:
        folder = Path(given).expanduser() if "/" in given else find_run(given).path
    except Problem as problem:
        raise Problem(problem.message, problem.hint, "data") from None
    except RuntimeError:  # ~nobody
        raise Problem(f"There is no folder {one_line(given)}.", "", "data") from None
    _insist(folder)
    return folder


def stamp(folder: Path) -> int:
    """Changes when a run has newer weights: what was taken from them is then taken anew."""
    weights = folder / "checkpoints"
    return weights.stat().st_mtime_ns if weights.exists() else 0


def trained(folder: Path, *kinds: str) -> Project:
    """The built project of a run directory, with its best weights. Problem where it is no run of one of the shipped projects `kinds`."""
    _insist(folder)
    run = Run(folder)
    name = run.recipe().project
    if name not in kinds:
        shown = one_line(str(folder))
        raise Problem(f"{shown} is a run of {one_line(name)}, where one of {' or '.join(kinds)} is right.", "", "data")
    # Before its data are read, which may take minutes.
    if not Checkpoints(folder / "checkpoints").generations():
        raise _untrained(run)
    project = of_run(run)
    project.build()
    load_best(project, run)
    return project


def last_confusion(folder: Path) -> Matrix:
    """The newest confusion matrix of a run directory's log, of the test where it has one, with its values, classes and step.

    Problem where there is none, or where it is no square of counts: a log is foreign text.
    """
    # Here: a project that opens no run needs no log.
    from workbench.runs.history import history_of
    from workbench.runs.log import read_rows

    _insist(folder)
    shown = one_line(folder.name)
    matrices = [
        (split, samples.latest)
        for tag, samples in history_of(Run(folder).events).samples.items()
        for split, metric, _ in [split_tag(tag)]
        if metric == "confusion" and isinstance(samples.latest, Matrix)
    ]
    if not matrices:
        raise Problem(f"{shown} has no confusion matrix.", "Runs of classifiers have one, after their first evaluation.", "data")
    matrix = max(matrices, key=lambda pair: (pair[0] == "test", pair[0] == "valid", pair[1].step))[1]
    try:
        values = read_rows(folder / "artifacts" / Path(matrix.file).name).tolist() if matrix.file else matrix.values
    except (OSError, ValueError):
        values = []
    classes = len(matrix.rows)
    counts = [count for row in values for count in row]
    if classes < 2 or [len(row) for row in values] != [classes] * classes or not all(0 <= count < float("inf") for count in counts):
        raise Problem(f"The confusion matrix of {shown} is damaged.", "", "data")
    return msgspec.structs.replace(matrix, values=values, file="", rows=[one_line(name, 40) for name in matrix.rows])


def _untrained(run: Run) -> Problem:
    return Problem(f"{one_line(run.id)} has no checkpoint to answer from.", "Let it train until its first one.")


def _insist(folder: Path) -> None:
    try:
        there = (folder / "recipe.yaml").is_file()
    except OSError:  # a name of 300 letters
        there = False
    if not there:
        text = f"{one_line(str(folder))} is no run directory: it has no recipe.yaml."
        raise Problem(text, "`dlwb runs` lists runs; they lie in dlwb's home.", "data")


def of_run(run: Run) -> Project:
    """The run's project for the CPU, not built yet."""
    recipe = run.recipe()
    # Its GPU may be busy with this very run, or with another one.
    return make_project(run, msgspec.structs.replace(recipe, compute=msgspec.structs.replace(recipe.compute, device="cpu")))


def load_best(project: Project, run: Run) -> int:
    """Loads the best weights of a run into its project; returns the step that they are of."""
    best = Checkpoints(run.path / "checkpoints").best(project.decode_state)
    if best is None:
        raise _untrained(run)
    project.load_state(best[1]["state"])
    return best[0].step
