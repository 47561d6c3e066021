"""Runs of people's own scripts: what dlwb's worker does for its runs they cannot do, and this module says so in one sentence."""

from workbench.problems import Problem
from workbench.recipes.recipe import Recipe
from workbench.runs.run import Run

PROJECT = "own script"
"""What the recipe of such a run names as its project. No file of a project has a space in its name."""
FOREIGN = "another program's log"
"""And what that of a run names which only shows a log of TensorBoard, wandb or a CSV file."""
ACTIONS = {
    "resume": "be resumed",
    "pause": "be paused",
    "step": "make a single step",
    "sample": "be asked for a sample",
    "request": "be asked for a sample",
    "set": "be changed while it runs",
    "change": "be changed while it runs",
    "checkpoint": "be asked for a checkpoint",
    "again": "be started with other settings from here",
    "try": "be tried",
    "explore": "be explored",
    "serve": "be served",
    "edit": "be edited as a lesson",
    "branch": "be forked or rolled back",
    "bundle": "be bundled",
    "notebook": "be written as a notebook",
}
"""What it cannot do, by command and by the name of a screen's action."""
STOPPING = "The script is asked to stop: it ends where it looks at `run.stopping`, and else by SIGTERM."
KILLED = "Killed. Its log stays; what the script saved itself stays too."


def is_own(recipe: Recipe | None) -> bool:
    """Whether it is the recipe of a run that dlwb's worker does not train."""
    return recipe is not None and recipe.project in (PROJECT, FOREIGN)


def is_own_run(run: Run) -> bool:
    """The same of a run; False where its recipe is damaged."""
    try:
        return is_own(run.recipe())
    except Problem:
        return False


def refusal(recipe: Recipe | None, action: str) -> str:
    """Why a run cannot do this, as it is one of a person's own script; "" where that is no reason."""
    if action not in ACTIONS or recipe is None or not is_own(recipe):
        return ""
    if recipe.project == FOREIGN:
        return f"This run shows another program's log: dlwb only reads it, so it cannot {ACTIONS[action]}."
    return f"This is a run of your own script: its training is not dlwb's, so it cannot {ACTIONS[action]}."
