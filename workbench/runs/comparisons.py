"""Comparisons: what lies where in the directory of one, its runs, its state, and how one is found."""

import os
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from workbench import files, paths
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import group, lock
from workbench.runs.directory import read_recipe
from workbench.runs.run import Run
from workbench.runs.state import State, state_of


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


class Comparison(group.Group):
    """One directory of a comparison."""

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

    def runs(self) -> list[str]:
        """The ids of its runs. Problem where its plan is damaged."""
        return [part.run for part in self.parts()]


def list_comparisons() -> list[Comparison]:
    """All comparisons that live or have a run, newest first."""
    return group.listed(paths.comparisons(), Comparison, "comparison.json", lambda one: any(part.place for part in one.parts()))


def find_comparison(reference: str, *, ends: str = "") -> Comparison | None:
    """The comparison that a reference means, see `group.find`; None where a run is meant."""
    return group.find(list_comparisons(), reference, ends)
