"""Tunings: creates, starts and resumes them; what their start would mean, and why one cannot be. The shell and the screens use it."""

import math
import os
import time
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.launch import devices, estimate, group_process, learning_from, proposing
from workbench.launch import start as launch
from workbench.launch.choose_device import ANY, Choice
from workbench.problems import Problem, nearest
from workbench.recipes import closure, search_space
from workbench.recipes.find import project_source
from workbench.recipes.load import Loaded, load_recipe
from workbench.recipes.recipe import Dimension, Recipe, Tune, dump_recipe
from workbench.runs import directory, tunings
from workbench.runs.history import higher_is_better
from workbench.runs.tunings import Plan, Tuning


def start(loaded: Loaded, device: str = "") -> tuple[Tuning, list[str]]:
    """Create the tuning of a recipe that is read, and start its process; returns it with remarks on what it learns from."""
    tuning, remarks = create(loaded, device)
    begin(tuning)
    return tuning, remarks


def create(loaded: Loaded, device: str = "") -> tuple[Tuning, list[str]]:
    """Create the directory of a tuning, with the recipe that its trials change; nothing runs yet. Raises Problem."""
    tune, recipe = loaded.recipe.tune, loaded.recipe
    assert tune
    proposing.refuse_missing()
    base = load_recipe(loaded.path, [text for text in loaded.overrides if not text.startswith("tune.")], compares=False)
    choice = launch.choose(base, device)  # what is not there is refused now
    _refuse_goal(recipe, tune)
    _refuse_metric(loaded.stem, recipe, tune)
    if not recipe.compute.threads:
        compute = msgspec.structs.replace(recipe.compute, threads=max(1, len(os.sched_getaffinity(0)) // tune.parallel))
        base = msgspec.structs.replace(base, recipe=msgspec.structs.replace(base.recipe, compute=compute))
    space = msgspec.convert(paths.rooted(msgspec.to_builtins(tune.space), loaded.path.parent), dict[str, Dimension])
    mirror = paths.mirror()
    plan = Plan(
        recipe=str(loaded.path.absolute()),
        title=recipe.title,
        tune=msgspec.structs.replace(tune, space=space),
        seed=recipe.seed,
        code=closure.closure_hash(loaded.project_file or project_source(recipe.project)),
        device=device,
        mirror=str(mirror) if mirror else "",
    )
    parents, remarks = learning_from.parents(plan, base.recipe)
    remarks = [*filter(None, [choice.warning, _at_once(tune, choice), _grid(tune)]), *remarks]
    name = f"{loaded.stem}_{time.strftime('%Y-%m-%d_%H%M%S')}"
    with directory.new(paths.tunings(), name, "The directory") as path:
        tuning = Tuning(path)
        group_process.keep_recipe(path / "base", base, recipe.title, recipe.seed)
        (path / "recipe.yaml").write_text(dump_recipe(recipe))
        for parent in parents:
            tunings.append(tuning.events, parent)
        # Written last: a directory counts as a tuning once it has a plan.
        files.write(path / "tuning.json", msgspec.json.encode(plan), sync=False)
    return tuning, remarks


def _at_once(tune: Tune, choice: Choice) -> str:
    """That fewer trials train at once than was asked for; "" where as many do."""
    if not choice.name.startswith("cuda"):
        return ""
    count = len(devices.accelerators()) if choice.requested in ANY else 1
    number = "One GPU" if count == 1 else f"{count} GPUs"
    return f"{number} for {tune.parallel} trials at once: {count} at a time." if count < tune.parallel else ""


def _grid(tune: Tune) -> str:
    """That a grid has fewer points than there were to be trials; "" where it has not."""
    count = trials_of(tune)
    return f"The grid has {count:,} points, so there are {count:,} trials, not {tune.trials:,}." if count < tune.trials else ""


def _refuse_goal(recipe: Recipe, tune: Tune) -> None:
    """Problem where the best weights that a run keeps would be the worst ones."""
    if tune.metric == recipe.train.keep_best and (tune.goal == "maximize") != higher_is_better(tune.metric):
        kept = "highest" if higher_is_better(tune.metric) else "lowest"
        raise Problem(f"A run keeps the weights of the {kept} {tune.metric}, but tune.goal is {tune.goal}.", "Mend tune.goal.")


def _refuse_metric(stem: str, recipe: Recipe, tune: Tune) -> None:
    """Problem where earlier runs of the recipe tell that the metric is never logged. Without such runs the first trial tells."""
    # A person's own project has another file name in its runs.
    past = [one for one in estimate.past_runs(stem) if one.recipe.project.endswith(".py") == recipe.project.endswith(".py")]
    past = [one for one in past if one.recipe.config.keys() == recipe.config.keys()]
    logged = {tag for one in past if one.summary.status and one.summary.status.state == "finished" for tag in one.summary.last}
    if logged and tune.metric not in logged:
        near = nearest(tune.metric, logged) or "."
        raise Problem(f"No run of {stem} has logged {tune.metric}{near}", f"They log {tunings.named(logged)}.")


class Outlook(NamedTuple):
    """What the start of a tuning would mean."""

    trials: int
    seeds: int
    parallel: int
    seconds: float | None = None
    """Of all its runs; None where nothing like one of them ran here."""

    @property
    def runs(self) -> int:
        """Number of runs: the trials, and the best with new seeds."""
        return self.trials + self.seeds


def outlook(loaded: Loaded) -> Outlook:
    """How many runs a tuning has, and how long they take at most by what is known of past ones."""
    tune = loaded.recipe.tune
    assert tune
    trials = trials_of(tune)
    one = group_process.seconds_of(loaded)
    seconds = None if one is None else one * (math.ceil(trials / tune.parallel) + math.ceil(tune.seeds / tune.parallel))
    return Outlook(trials, tune.seeds, tune.parallel, seconds)


def trials_of(tune: Tune, wanted: int = 0) -> int:
    """Number of trials: of a grid no more than it has points."""
    wanted = wanted or tune.trials
    return min(wanted, len(search_space.grid(tune.space, 0))) if tune.sampler == "grid" else wanted


def begin(tuning: Tuning, trials: int = 0, *, anyway: bool = False) -> None:
    """Start the process of a tuning, or resume it; with `trials` it is to have so many. `anyway`: although code or data have changed."""
    proposing.refuse_missing()
    standing, plan = tuning.standing(), tuning.plan()
    if standing.state.state == "away":
        raise Problem(f"{tuning.id} is {standing.state.message}.", f"Resume it from {standing.state.host}.")
    if standing.state.state == "finished" and trials_of(plan.tune, trials) <= standing.planned:
        more = f"`dlwb tuning resume {tuning.id} --trials {2 * standing.planned}` goes on."
        every = plan.tune.sampler == "grid" and standing.planned >= trials_of(plan.tune, 10**9)
        raise Problem(f"All {standing.planned} trials of {tuning.id} have ended.", "A grid has no more points." if every else more)
    words = [str(trials_of(plan.tune, trials or standing.planned)), "anyway" if anyway else ""]
    group_process.begin(tuning, "workbench.launch.tuner", words, plan.mirror)
