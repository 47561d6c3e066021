"""How fast a recipe trains on a device: the workbench's loop beside a bare loop over the same steps, and the memory that it takes."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from device.exercise import batches

from workbench.recipes.recipe import Recipe
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.training.find_project import find_project
from workbench.training.loop import Loop
from workbench.training.project import Project

WARM = 5
"""Steps before the clock begins: kernels are chosen, and optimizers make their state."""
TURNS = 3
"""Measurements of each side, in turns; the median counts."""


def silent(recipe: Recipe, folder: Path) -> Project:
    """The recipe's project without what it measures and shows."""
    kind = find_project(recipe.project)
    nothing = {name: lambda self, asked=None: iter(()) for name in ("evaluate", "sample", "summary")}
    project: Project = type(kind.__name__, (kind,), nothing)(
        kind.Config.model_validate(recipe.config), recipe.train, recipe.compute, recipe.seed, folder
    )
    project.build()
    return project


def measured(recipe: Recipe, seconds: float, folder: Path) -> dict[str, float]:
    """Steps a second of both loops, their ratio, and peak memory in MiB; each measurement takes about so many seconds."""
    wait = torch.cuda.synchronize if recipe.compute.device != "cpu" else lambda: None
    if recipe.compute.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    project = silent(recipe, folder)
    stream = batches(project)

    def bare(steps: int) -> None:
        for _ in range(steps):
            project.train_step(next(stream))

    def workbench(steps: int) -> None:
        train = msgspec.structs.replace(recipe.train, steps=steps, keep_best="", log_every=recipe.train.log_every or 10)
        with tempfile.TemporaryDirectory() as folder:
            log = EventLog(Path(folder))
            (Path(folder) / "checkpoints").mkdir()
            Loop(project, msgspec.structs.replace(recipe, train=train), log, Checkpoints(Path(folder) / "checkpoints")).fit()
            log.close()

    def timed(loop: Callable[[int], None], steps: int) -> float:
        wait()
        began = time.perf_counter()
        loop(steps)
        wait()
        return steps / (time.perf_counter() - began)

    bare(WARM)
    steps = max(WARM, min(20_000, int(seconds * timed(bare, WARM))))
    sides: dict[str, list[float]] = {"bare": [], "workbench": []}
    for _ in range(TURNS):
        for name, loop in (("bare", bare), ("workbench", workbench)):
            sides[name].append(timed(loop, steps))
    rates = {name: statistics.median(values) for name, values in sides.items()}
    memory: dict[str, Any] = {}
    if recipe.compute.device != "cpu":
        memory = {"allocated_MiB": torch.cuda.max_memory_allocated() / 2**20, "reserved_MiB": torch.cuda.max_memory_reserved() / 2**20}
    return {"steps": steps, **rates, "share": rates["workbench"] / rates["bare"], **memory}
