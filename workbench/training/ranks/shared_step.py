"""A project's training step as one of several processes makes it: on its rows, with gradients that all of them share."""

import zlib
from typing import Any

import msgspec
import numpy as np
import torch

from workbench.problems import Problem
from workbench.training.batches import fingerprint
from workbench.training.metric_window import MetricWindow
from workbench.training.project import Project
from workbench.training.ranks.batch_norm import synchronise
from workbench.training.ranks.gradients import Gradients, parameters
from workbench.training.ranks.group import Group
from workbench.training.ranks.rows import share


class SharedStep:
    """Takes the place of a project's `train_step`; the file of the lesson stays as it is."""

    def __init__(self, project: Project, group: Group) -> None:
        if project.suffix != ".pt":
            raise Problem(f"{type(project).__name__} cannot be trained by several processes: it does not compute with PyTorch.")
        self.project, self.group = project, group
        self.gradients = Gradients(group)
        self._whole = project.train_step
        self._train = project.train
        # What the settings call a batch is, in a step, this process's part of one.
        size = -(-project.train.batch_size // group.size)
        self._of_this = msgspec.structs.replace(project.train, batch_size=size)
        synchronise(project, group, self.gradients)
        project.train_step = self.step  # type: ignore[method-assign]

    def step(self, batch: Any) -> dict[str, Any]:
        """One step on this process's rows of the batch."""
        mine = share(batch, self.group.rank, self.group.size, type(self.project).__name__)
        self.gradients.watch(self.project)
        self.gradients.begin(mine.weight)
        self.project.train = self._of_this
        try:
            return self._whole(mine.batch)
        finally:
            self.project.train = self._train
            self.gradients.active = False

    def digest(self, batch: Any) -> tuple[int, int]:
        """Of the weights, and of the whole batch: both are the same in every process, bit for bit."""
        return digest([weight.detach() for weight in parameters(self.project)]), fingerprint(batch)


class SharedWindow(MetricWindow):
    """The open window of numbers: each is the mean over the processes where it is defined, weighted by their rows."""

    def __init__(self, project: Project, group: Group, gradients: Gradients) -> None:
        super().__init__(project)
        self._group, self._gradients = group, gradients
        self._weights: list[float] = []

    def add(self, numbers: dict[str, Any]) -> None:
        super().add(numbers)
        self._weights.append(self._gradients.weight)

    def taken(self) -> list[tuple[float, dict[str, float]]]:
        """This process's weight and numbers of each step since the last time."""
        steps, self._steps = self._steps, []
        weights, self._weights = self._weights, []
        present = [{name: value for name, value in numbers.items() if value is not None} for numbers in steps]
        # All at once: each number read by itself would wait for the device.
        read = iter(self._project.floats([value for numbers in present for value in numbers.values()]))
        return [(weight, {name: next(read) for name in numbers}) for weight, numbers in zip(weights, present, strict=True)]

    def floats(self) -> dict[str, list[float]]:
        """As MetricWindow's, over all processes; the leader asks."""
        self._group.tell("numbers")
        for step in zip(*self._group.gather(self.taken()), strict=True):
            names = dict.fromkeys(name for _, numbers in step for name in numbers)
            defined = {name: [(weight, numbers[name]) for weight, numbers in step if weight and name in numbers] for name in names}
            self._newest = {name: _mean(pairs) for name, pairs in defined.items() if pairs}
            for name, value in self._newest.items():
                self._read.setdefault(name, []).append(value)
        return {name: list(values) for name, values in self._read.items()}

    def load(self, values: dict[str, list[float]]) -> None:
        super().load(values)
        self._weights = []


def _mean(pairs: list[tuple[float, float]]) -> float:
    # The same number everywhere, as a learning rate is, stays that number to its last bit.
    if len({value for _, value in pairs}) == 1:
        return pairs[0][1]
    return sum(weight * value for weight, value in pairs) / sum(weight for weight, _ in pairs)


def digest(value: Any, crc: int = 0) -> int:
    """CRC-32 of a tree of arrays and plain values, the kinds and the order included."""
    if isinstance(value, dict):
        for key, item in value.items():
            crc = digest(item, zlib.crc32(repr(key).encode(), crc))
        return crc
    if isinstance(value, list | tuple):
        for item in value:
            crc = digest(item, crc)
        return zlib.crc32(str(len(value)).encode(), crc)
    if isinstance(value, torch.Tensor):
        dense = value.detach().to_dense() if value.is_sparse else value.detach()
        value = dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if isinstance(value, np.ndarray):
        return zlib.crc32(np.ascontiguousarray(value).tobytes(), crc)
    return zlib.crc32(repr(value).encode(), crc)
