"""The checkpoint that a fork with other settings begins with: whether it fits the network of these settings, and what it takes of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.problems import Problem, one_line
from workbench.runs import family
from workbench.runs.checkpoint import Checkpoints, Generation, Tree
from workbench.runs.family import Forked
from workbench.runs.run import Run
from workbench.training.batches import planned
from workbench.training.project import Project
from workbench.training.resumable import Stateful

NAMED = 2
"""How many arrays that do not fit are named."""
RATES = ("lr", "initial_lr")
"""What schedules change in an optimizer's groups: it goes on where it was, unless the learning rate itself is another one."""


class Fitted(Checkpoints):
    """A fork's checkpoints: the one that it was forked at is fitted to its settings before it is loaded."""

    def __init__(self, folder: Path, keep_every: Callable[[], int], project: Project, forked: Forked) -> None:
        super().__init__(folder, keep_every)
        self._project, self._forked = project, forked

    def newest(self, decode: Callable[[bytes], Tree]) -> tuple[Generation, Tree] | None:
        """As Checkpoints'; Problem (cause "fit") where the checkpoint does not fit the settings that the fork changed."""
        newest = super().newest(decode)
        if newest and newest[0].step <= self._forked.step:
            fit(self._project, newest[1], list(self._forked.fixed))
        return newest


def checkpoints_of(run: Run, project: Project, keep_every: Callable[[], int]) -> Checkpoints:
    """The checkpoints of a run, those of a fork with other settings fitted to them."""
    folder, forked = run.path / "checkpoints", family.forked(run)
    return Fitted(folder, keep_every, project, forked) if forked and forked.fixed else Checkpoints(folder, keep_every)


def fit(project: Project, tree: Tree, changed: Sequence[str]) -> None:
    """Make a checkpoint's tree one that a project with other settings goes on from. Problem (cause "fit") where it cannot."""
    state = tree["state"]
    own = [name for name in changed if not name.startswith("compute.")]
    if not own:
        return
    wrong = _misfits(project, state)
    if not wrong:
        _take_hyperparameters(project, state, changed)
        try:
            # Tried here, where the sentence is: what it loads is loaded again in a moment, and is the same then.
            project.load_state(state)
        except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            wrong = [one_line(str(error), 200)]
    if wrong:
        which = "; ".join(wrong[:NAMED]) + f"; and {len(wrong) - NAMED} more" * (len(wrong) > NAMED)
        raise Problem(f"The checkpoint does not fit {' and '.join(own)}: {which}.", _hint(own), "fit")
    now = planned(project.batches(int(tree["epoch"]), np.random.default_rng([project.seed, int(tree["epoch"])])))
    if now and tree["per_epoch"] and now != tree["per_epoch"]:
        raise Problem(
            f"The checkpoint counts {tree['per_epoch']:,} batches in an epoch, and with {' and '.join(own)} there are {now:,}, so its place"
            " in the epoch cannot be found.",
            _hint(own),
            "fit",
        )
    # Other settings may give other batches: that these are not the ones of before is what a person wants.
    tree["batch"] = None


def _hint(changed: Sequence[str]) -> str:
    return f"Keep {' and '.join(changed)}, or start a new run with {'them' if len(changed) > 1 else 'it'}."


def _misfits(project: Project, state: Mapping[str, Any]) -> list[str]:
    """What is not of the same shape in the checkpoint and in the project as it was built, one phrase each."""
    fresh = project.state()
    wrong = [f"{name} is not in the checkpoint" for name in fresh.keys() - state.keys()]
    # A plain value may have come during the training; what has a state of its own was built.
    wrong += [f"{one_line(name, 60)} is only in the checkpoint" for name in state.keys() - fresh.keys() if isinstance(state[name], dict)]
    trained = {name.partition(".")[0] for name in project.trained_arrays()}
    for name in (name for name in fresh if name in state):
        now, then = dict(_shapes(name, fresh[name])), dict(_shapes(name, state[name]))
        value = getattr(project, name, None)
        if isinstance(value, Stateful):
            wrong += _other_kind(name, fresh[name], state[name])
        elif name in trained:
            wrong += [f"{part} is only in one of them" for part in now.keys() ^ then.keys()]
        if name in trained:
            wrong += [
                f"{part} is {_dimensions(then[part])} there and {_dimensions(shape)} here"
                for part, shape in now.items()
                if part in then and then[part] != shape
            ]
    return wrong


def _other_kind(name: str, fresh: Any, saved: Any) -> list[str]:
    """That an optimizer is of another kind: it has other hyperparameters, which loading would lose in silence."""
    for now, then in zip(_groups(fresh), _groups(saved), strict=False):
        if missing := [key for key in now if key not in then]:
            return [f"the optimizer of the checkpoint has no {', '.join(missing[:3])}, so {name} is of another kind"]
    return []


def _take_hyperparameters(project: Project, state: Mapping[str, Any], changed: Sequence[str]) -> None:
    """Give the saved optimizers the hyperparameters of these settings: loading would put those of before in their place."""
    with_rate = any(word in name for name in changed for word in ("learning_rate", "lr"))
    for name, fresh in project.state().items():
        if not isinstance(getattr(project, name, None), Stateful):
            continue
        for now, then in zip(_groups(fresh), _groups(state[name]), strict=False):
            then.update({key: value for key, value in now.items() if key != "params" and (with_rate or key not in RATES)})


def _groups(state: Any) -> list[dict[str, Any]]:
    groups = state.get("param_groups") if isinstance(state, dict) else None
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []


def _shapes(name: str, value: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The shape of every array in a state, by its dotted name."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _shapes(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _shapes(f"{name}.{place}", item)
    elif hasattr(value, "shape"):
        yield name, tuple(int(size) for size in value.shape)


def _dimensions(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a number"
