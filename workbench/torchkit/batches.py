"""Batches on the run's device: tensors that are held in its memory, and arrays of the host that are sent there."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from workbench.training.project import Batches

GATHERED = 1 << 20
"""Bytes that are gathered at once, as long as that is more than one batch: they stay in a processor's cache."""


def sent(array: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """An array or tensor of the host on the device, while the host goes on: what a step gets in each batch. On the CPU the same memory."""
    tensor = torch.from_numpy(array) if isinstance(array, np.ndarray) else array
    if device.type == "cpu" or not tensor.is_cpu:
        return tensor.to(device)
    # Only out of pinned memory does a copy run beside the host. PyTorch keeps that memory until the copy is done.
    return tensor.pin_memory().to(device, non_blocking=True)


class InMemory(Batches):
    """`Batches` for tensors of one length along their first axis, on one device: yields a tuple of (batch, …) tensors.

    An epoch moves one permutation to the device. Small batches are gathered several at a time: to begin an index_select takes longer
    than to copy them.
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor],
        batch_size: int,
        rng: np.random.Generator | None,
        *,
        drop_last: bool = False,
    ) -> None:
        """`rng` None keeps the order."""
        device = tensors[0].device
        super().__init__(tensors, batch_size, rng, drop_last=drop_last, index=lambda order: sent(order, device))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        size, skipped = self.batch_size, self._skipped
        several = max(1, GATHERED // max(1, size * sum(array.nbytes // max(1, len(array)) for array in self.arrays)))
        # These pieces begin at the same batches wherever a run resumes: where a batch lies in memory may change a result's last bits.
        for start in range(skipped - skipped % several, len(self), several):
            chosen = self._order[start * size : min(start + several, len(self)) * size]
            batches = zip(*(array.index_select(0, chosen).unsafe_split(size) for array in self.arrays), strict=True)
            yield from islice(batches, max(0, skipped - start), None)
