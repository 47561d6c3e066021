"""A project trained in a test step by step, as the loop does it, and what it then measures."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from workbench.events import Event, Scalars
from workbench.training.project import Project


def train(project: Any, steps: int, skip: int = 0) -> list[dict[str, float]]:
    """Steps `skip` to `steps` of its run, epoch after epoch; the numbers of each."""
    values: list[dict[str, float]] = []
    step, epoch = 0, 0
    while step < steps:
        batches = project.batches(epoch, np.random.default_rng([project.seed, epoch]))
        for batch in batches:
            if skip <= step < steps:
                project.progress = step / (project.train.steps or project.train.epochs * len(batches))
                returned = project.train_step(batch)
                values.append(dict(zip(returned, project.floats(list(returned.values())), strict=True)))
            step += 1
        epoch += 1
    return values


def measured(project: Project, split: str = "valid") -> list[Event]:
    with project.evaluating():
        return list(project.evaluate(split))


def scalars(project: Project, split: str = "valid") -> dict[str, float]:
    return next(event.values for event in measured(project, split) if isinstance(event, Scalars))


def shuffled(project: Any) -> Any:
    """The same classifier with its training labels in another order: there is nothing to learn."""
    inputs, labels = project.splits["train"]
    project.splits["train"] = (inputs, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))])
    return project


class Builds:
    """Fresh projects for many tests: one is built for each key, and everybody gets a copy with the random state that building left."""

    def __init__(self) -> None:
        self._built: dict[Any, tuple[Any, Any]] = {}

    def fresh(self, key: Any, build: Callable[[], Any]) -> Any:
        if key not in self._built:
            project = build()
            self._built[key] = project, copy.deepcopy(project.random_state())
        project, random = self._built[key]
        fresh = copy.deepcopy(project)
        fresh.set_random_state(copy.deepcopy(random))
        return fresh
