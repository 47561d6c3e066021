"""Comparisons: what lies where in the directory of one, its runs, its state, and how one is found."""

import os
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from workbench import files, paths
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import lock
from workbench.runs.directory import Directory, read_recipe
from workbench.runs.run import LEAST, Run, list_runs
from workbench.runs.state import State, state_of, whole


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison trains."""

    recipe: str
    """Path of the recipe that was started."""
    title: str
    metric: str
    variants: Annotated[list[str], Meta(min_length=1)]
    seeds: Annotated[list[int], Meta(min_length=1)]
    sweep: str = ""
    """The setting whose values the metric is drawn over; "" where variants differ in kind."""
    device: str = ""
    """The device asked for; "" leaves it to each recipe."""
    mirror: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A variant with a seed, and its run."""

    variant: str
    seed: int
    run: str = ""
    """The run's id; "" where none was created yet."""
    problem: str = ""
    """Why it could not be started."""

    @property
    def place(self) -> Run | None:
        """Its run; None where there is none, or it was deleted."""
        run = Run(paths.runs() / self.run)
        is_name = run.path.parent == paths.runs() and run.id != ".."  # what leads anywhere else is none of ours
        return run if is_name and os.path.exists(run.path / "recipe.yaml") else None  # noqa: PTH110


def diverged(state: State | None) -> bool:
    """Whether a run ended because a value became NaN or infinite: that is its result, and it would end so again."""
    return state is not None and (state.state, state.cause) == ("failed", "not-finite")


class Standing(NamedTuple):
    """How a comparison is now."""

    state: State
    parts: list[tuple[Part, State | None]]
    """Each part with its run's state; None where there is no run yet."""

    def count(self, *states: str) -> int:
        """Number of runs in these states."""
        return sum(state is not None and state.state in states for _, state in self.parts)


class Comparison(Directory):
    """One directory of a comparison."""

    @property
    def stem(self) -> str:
        """The recipe's file name without its ending."""
        return self.id.rsplit("_", 2)[0]

    @property
    def stamp(self) -> str:
        """When it was started: 2026-11-29_163000."""
        return self.id.removeprefix(f"{self.stem}_").partition("~")[0]

    @property
    def started(self) -> float:
        """The same, in seconds; 0 where its name says nothing of it."""
        try:
            return time.mktime(time.strptime(self.stamp, "%Y-%m-%d_%H%M%S"))
        except (ValueError, OverflowError):
            return 0.0

    def plan(self) -> Plan:
        """What it trains; Problem where that cannot be read."""
        try:
            return msgspec.convert(files.read_object(self.path / "comparison.json"), Plan)
        except msgspec.ValidationError as error:
            raise Problem(f"{self.path / 'comparison.json'} is damaged: {one_line(str(error))}.") from None

    def recipe_file(self, variant: int) -> Path:
        """The recipe of a variant by its place in the plan; its name is that of the recipe that the variant changes."""
        folder = self.path / "variants" / f"{variant:02}"
        named = sorted(folder.glob("*.yaml"))
        if not named:
            raise Problem(f"{folder} has no recipe.", "Start the comparison again.")
        return named[0]

    def recipe(self, variant: int | None = None) -> Recipe:
        """The recipe of a variant, every default filled in; without one, that of the comparison."""
        return read_recipe(self.path / "recipe.yaml" if variant is None else self.recipe_file(variant))

    def parts(self) -> list[Part]:
        """Every variant with every seed, in the order in which they are trained: all variants of a seed, then the next seed."""
        plan = self.plan()
        try:
            noted = msgspec.convert(files.read_object(self.path / "runs.json").get("parts", []), list[Part])
        except msgspec.ValidationError:
            noted = []  # the process finds its runs again by what they note
        by_part = {(part.variant, part.seed): part for part in noted}
        return [by_part.get((name, seed)) or Part(variant=name, seed=seed) for seed in plan.seeds for name in plan.variants]

    def write(self, parts: list[Part]) -> None:
        """Note which run is whose."""
        files.write(self.path / "runs.json", msgspec.json.encode({"parts": parts}), sync=False)

    def standing(self) -> Standing:
        """How it is now: alive is that its lock is held; the rest is how its runs ended."""
        parts = [(part, state_of(run) if (run := part.place) else None) for part in self.parts()]
        holder = lock.content(self.lock)
        standing = Standing(State(state=""), parts)
        finished, lost = standing.count("finished"), sum(diverged(run_state) for _, run_state in parts)
        failed = standing.count("failed") - lost + sum(bool(part.problem) for part, _ in parts)
        message = f"{finished} of {len(parts)} runs finished" + f", {lost} diverged" * bool(lost) + f", {failed} failed" * bool(failed)
        host = one_line(str(holder.get("host") or lock.host()), 80)
        if lock.is_held(self.lock):
            name = "stopping" if holder.get("state") == "stopping" else "running"
            return standing._replace(state=State(state=name, alive=True, message=message, host=host if host != lock.host() else ""))
        if finished + lost == len(parts):
            return standing._replace(state=State(state="finished", message=message))
        if host != lock.host():
            return standing._replace(state=State(state="away", message=f"on {host}, {message}", host=host))
        resume = "`dlwb resume` trains what is missing."
        if holder.get("state") not in ("stopped", "ended"):
            cause = "vanished" if holder else ""
            return standing._replace(state=State(state="failed", cause=cause, message=f"Its process was killed; {message}.", hint=resume))
        return standing._replace(state=State(state="failed" if failed else "stopped", message=message, hint=resume))

    def signal(self, number: int) -> bool:
        """Send a signal to its process; False where it is gone."""
        process = lock.content(self.lock).get("process")
        pid, ticks = (whole(process.get(name)) for name in ("pid", "ticks")) if isinstance(process, dict) else (0, 0)
        return pid > 0 and ticks > 0 and lock.send(pid, ticks, number)


def list_comparisons() -> list[Comparison]:
    """All comparisons that live or have a run, newest first."""
    try:
        names = [name for name in os.listdir(paths.comparisons()) if name.isprintable() and not name.startswith(".")]
    except OSError:
        return []
    every = [Comparison(paths.comparisons() / name) for name in names]
    # The folder is small and stays when its runs are deleted; it is of use again when they are restored.
    every = [one for one in every if (one.path / "comparison.json").exists() and (lock.is_held(one.lock) or _has_run(one))]
    return sorted(every, key=lambda one: (one.stamp, one.id), reverse=True)


def _has_run(comparison: Comparison) -> bool:
    try:
        return any(part.place for part in comparison.parts())
    except Problem:
        return False


def find_comparison(reference: str, *, ends: str = "") -> Comparison | None:
    """The comparison of that id, of a part of one that is unique, or a recipe's newest one; None where a run is meant.

    `ends`: the verb that ends something; a part of an id is then at least `LEAST` characters long.
    """
    every = list_comparisons()
    if exact := [one for one in every if one.id == reference]:
        return exact[0]
    runs = list_runs() if every else []
    for one in every:
        if one.stem == reference:
            # A later run of the same recipe, on its own, is what its name means.
            newest = next((run.id for run in runs if run.stem == reference), "")
            return one if lock.is_held(one.lock) or any(part.run == newest for part in one.parts()) else None
    matches = [one for one in every if reference and reference in one.id]
    if len(matches) != 1 or reference == "last" or (ends and len(reference) < LEAST) or any(reference in run.id for run in runs):
        return None
    return matches[0]
