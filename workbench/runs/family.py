"""Forks: from which run, checkpoint and settings a run began, and the tree that runs and their forks are.

A fork says in its own run.json what it stands on, and has all that it needs in its own folder: a parent that is deleted takes nothing away.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from workbench import files
from workbench.formatting import count, settings, shown
from workbench.problems import Problem, one_line
from workbench.runs import own
from workbench.runs.checkpoint import Checkpoints, Generation
from workbench.runs.history import History, higher_is_better
from workbench.runs.run import Run


class Forked(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork stands on: `forked` in its run.json."""

    run: str
    """Its parent's id."""
    step: int
    """Of the checkpoint."""
    attempt: int = 0
    """The last attempt that its log has from its parent: what was worked until then is the parent's, and no time of its own."""
    created: float = 0.0
    live: dict[str, Any] = {}
    """Live settings that it changed at that step: its log has them as a change."""
    fixed: dict[str, list[Any]] = {}
    """Settings of its recipe that are others than its parent's: the value before, and its own."""

    @property
    def changes(self) -> str:
        """`learning_rate 0.01, dropout 0.2 → 0.5`: what it changed there, the live settings by their new value alone."""
        fixed = [f"{settings({name: pair[0]})} → {shown(pair[-1])}" for name, pair in self.fixed.items() if pair]
        return ", ".join(filter(None, [settings(self.live), *fixed]))

    @property
    def words(self) -> str:
        """`fork of RUN at step 400 with dropout 0.2 → 0.5`."""
        return f"fork of {one_line(self.run, 100)} at step {count(self.step)}" + f" with {self.changes}" * bool(self.changes)


def forked(run: Run) -> Forked | None:
    """What a run was forked from; None where it is no fork, or its note of it is damaged."""
    try:
        return msgspec.convert(files.read_object(run.path / "run.json").get("forked"), Forked | None)
    except msgspec.ValidationError:
        return None


class Place(NamedTuple):
    """A run in a tree."""

    id: str
    depth: int
    """0: no fork, or one of a run that is not among these."""
    forks: int
    """How many of these stand below it, forks of forks too."""


def tree(origins: Mapping[str, Forked | None]) -> list[Place]:
    """Runs by id with what each was forked from, as a tree: forks behind their parent; the family with the newest run comes first."""
    children: dict[str, list[str]] = {}
    roots = []
    for name in sorted(origins, reverse=True):
        origin = origins[name]
        # A run names one that began before it; what a person edited into a circle is no tree.
        if origin and origin.run in origins and origin.run < name:
            children.setdefault(origin.run, []).append(name)
        else:
            roots.append(name)

    def walk(name: str, depth: int) -> Iterator[Place]:
        below = [place for child in children.get(name, ()) for place in walk(child, depth + 1)]
        yield Place(name, depth, len(below))
        yield from below

    families = [list(walk(root, 0)) for root in roots]
    families.sort(key=lambda places: max(place.id for place in places), reverse=True)
    return [place for places in families for place in places]


def family(name: str, origins: Mapping[str, Forked | None]) -> list[str]:
    """All runs that share a beginning with this one, itself too: the root first, forks behind their parent."""
    members: list[str] = []
    for place in tree(origins):
        if not place.depth:
            if name in members:
                break
            members = []
        members.append(place.id)
    return members if name in members else [name]


class Branch(NamedTuple):
    """A checkpoint to go on from, and the step at which a person looked."""

    generation: Generation
    asked: int

    @property
    def name(self) -> str:
        """`checkpoint of step 1,200`."""
        return f"checkpoint of step {count(self.generation.step)}"

    @property
    def behind(self) -> str:
        """`34 steps before step 1,234`; "" where it is of that very step."""
        steps = self.asked - self.generation.step
        return f"{count(steps)} step{'s' * (steps != 1)} before step {count(self.asked)}" if steps else ""

    @property
    def words(self) -> str:
        """`checkpoint of step 1,200, 34 steps before step 1,234`."""
        return ", ".join(filter(None, (self.name, self.behind)))


def kept(run: Run) -> list[Generation]:
    """The checkpoints that a run can be forked from, by step; of two of one step the newer one."""
    by_step = {generation.step: generation for generation in Checkpoints(run.path / "checkpoints").generations() if generation.step >= 0}
    return list(by_step.values())


def nearest(run: Run, step: int | None = None) -> Branch:
    """The newest checkpoint at or before a step, without one the last. Problem where there is none."""
    generations = kept(run)
    if not generations:
        if own.is_own_run(run):
            raise Problem(f"This is a run of your own script: its training is not dlwb's, so it cannot {own.ACTIONS['branch']}.")
        raise Problem(f"{run.id} has no checkpoint yet, so nothing can go on from it.", f"`dlwb checkpoint {run.id}` saves one.")
    before = [generation for generation in generations if step is None or generation.step <= step]
    if not before:
        first = count(generations[0].step)
        raise Problem(f"{run.id} has no checkpoint at or before step {count(step or 0)}: its first one is of step {first}.", MORE)
    return Branch(before[-1], before[-1].step if step is None else step)


MORE = "`dlwb checkpoint RUN` keeps one, and train.keep_every one of each so many steps."
"""How more checkpoints stay."""


def later(history: History, step: int, settings: Sequence[str] = (), *, people: bool = True) -> list[dict[str, Any]]:
    """The live changes of a run after a step, as `Status.pending` has them; without `people` only those that the loop made itself.

    Of a setting among `settings` none: who goes on with a value of their own has it from there on.
    """
    marks = [mark for mark in history.marks if mark.settings and mark.step > step]
    changes: list[dict[str, Any]] = [
        {"step": mark.step, "settings": mark.settings, "text": mark.text}
        for mark in marks
        if people or not (mark.command or set(mark.settings) != {"train.log_every"})
    ]
    started = next((one for one in history.statuses if one.state == "running" and one.attempt == history.attempt), None)
    done = [(mark.step, mark.settings) for mark in history.marks if mark.settings]
    # What its last attempt was to do again and did not come to.
    changes += [
        change
        for change in (started.pending if started else [])
        if change["step"] > step
        and (change["step"], change["settings"]) not in done
        and (people or set(change["settings"]) == {"train.log_every"})
    ]
    for change in changes:
        left = {name: value for name, value in change["settings"].items() if name not in settings}
        if left != change["settings"]:
            change.update(settings=left, text="")  # it names them all
    return sorted((change for change in changes if change["settings"]), key=lambda change: change["step"])


def settings_at(history: History, step: int) -> dict[str, Any]:
    """The live settings of a run at a step, as people and the loop had changed them by then."""
    return {name: value for mark in history.marks if mark.step <= step for name, value in mark.settings.items()}


def best_step(history: History, step: int, metric: str) -> int | None:
    """The step of the best evaluation up to a step, as early stopping judges; None where there was none."""
    series = history.series.get(metric)
    best: tuple[float, int] | None = None
    for at, value in zip(series.steps, series.values, strict=True) if series else ():
        # Step 0 is never the best, and only a better value takes its place.
        counts = 0 < at <= step and math.isfinite(value)
        if counts and (best is None or (value > best[0] if higher_is_better(metric) else value < best[0])):
            best = value, int(at)
    return best[1] if best else None
