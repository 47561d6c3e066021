"""Batches of tensors that are held in memory on the run's device, for any project's `batches`."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from workbench.project import Batches


class InMemory(Batches):
    """`Batches` for tensors of one length along their first axis, on one device: yields a tuple of (batch, …) tensors.

    An epoch moves one permutation to the device; a step costs one index_select for each tensor.
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
        super().__init__(tensors, batch_size, rng, drop_last=drop_last, index=lambda order: torch.from_numpy(order).to(device))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        # index_select takes 2 µs where tensor[index] takes 5, of a step that may be 100.
        arrays = self.arrays
        for chosen in self._order.split(self.batch_size)[self._skipped : len(self)]:
            yield tuple([array.index_select(0, chosen) for array in arrays])
