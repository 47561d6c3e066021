"""One recipe on the CPU and on a GPU from the same weights and with the same draws: how far its numbers are from each other."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import torch
from device.exercise import batches, made
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.recipes.recipe import Recipe

TOLERANCE = 1e-3
"""Largest difference of a number after some steps, relative to it or to 1: sums of float32 in another order, through a few updates."""
CHANCE = ("dropout", "dropout_ends", "dropout_words", "vector_dropout", "word_dropout", "shift", "rotation", "zoom", "flip")
"""Settings that draw in kernels of their own: off here, as a GPU draws other numbers there."""


class DrawnOnCpu(TorchDispatchMode):
    """Every random number is drawn by the CPU's generator and sent."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        device = next((value.device for value in given), kwargs.get("device"))
        if torch.Tag.nondeterministic_seeded not in func.tags or device is None or torch.device(device).type != "cuda":
            return func(*args, **kwargs)
        on_cpu, with_cpu = pytree.tree_map(lambda value: value.cpu() if isinstance(value, torch.Tensor) else value, (args, kwargs))
        if "device" in with_cpu:
            with_cpu["device"] = torch.device("cpu")
        drawn = func(*on_cpu, **with_cpu)
        if func._schema.name.endswith("_"):
            return args[0].copy_(drawn)
        return pytree.tree_map(lambda value: value.to(device) if isinstance(value, torch.Tensor) else value, drawn)


@contextlib.contextmanager
def without_chance() -> Iterator[None]:
    """No dropout that a recipe cannot turn off."""
    with mock.patch("workbench.projects.recurrent_networks.sentiment_lstm.BETWEEN", 0.0), DrawnOnCpu():
        yield


def numbers(recipe: Recipe, device: str, steps: int, folder: Path) -> list[dict[str, float]]:
    """What each of some training steps returns, in float32."""
    config = {name: type(value)(0) if name in CHANCE else value for name, value in recipe.config.items()}
    compute = msgspec.structs.replace(recipe.compute, device=device, precision="float32", tf32=False)
    with without_chance():
        project = made(msgspec.structs.replace(recipe, config=config, compute=compute), folder)
        found, stream = [], batches(project)
        for step in range(steps):
            project.progress = step / 100
            returned = project.train_step(next(stream))
            found.append(dict(zip(returned, project.floats(list(returned.values())), strict=True)))
    return found


def difference(recipe: Recipe, steps: int, folder: Path) -> float:
    """The largest difference of any number in any step, relative to it where it is above 1."""
    ours, theirs = (numbers(recipe, device, steps, folder) for device in (recipe.compute.device, "cpu"))
    pairs = [(step[name], other[name]) for step, other in zip(ours, theirs, strict=True) for name in other]
    return max(abs(value - other) / max(1.0, abs(other)) for value, other in pairs)
