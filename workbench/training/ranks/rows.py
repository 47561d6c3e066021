"""The share of a batch's rows that one process trains on: of N processes, that of rank r takes the rows r, r + N, r + 2N, …"""

from typing import Any, NamedTuple

import numpy as np
import torch

from workbench.problems import Problem


class Share(NamedTuple):
    """The rows of one process."""

    batch: Any
    weight: float
    """Its share of all rows: with it the mean of its rows counts in the mean of all. 0 where it only takes part: see `share`."""


def share(batch: Any, rank: int, size: int, whose: str) -> Share:
    """The rows of this process. A batch with fewer rows than processes gives each one row, which counts once.

    A process without a row would make no step, and the others would wait for its gradients. Problem for a batch that is not rows.
    """
    parts = list(batch.values()) if isinstance(batch, dict) else list(batch) if isinstance(batch, tuple | list) else [batch]
    lengths = {len(part) if isinstance(part, np.ndarray | torch.Tensor) and part.ndim else 0 for part in parts}
    if len(lengths) != 1 or lengths == {0}:
        raise Problem(
            f"{whose} cannot be trained by several processes: its batches are more than rows, "
            "as those of a stream that carries its state from batch to batch.",
            "Leave compute.processes out. Batches of arrays with one length can be shared.",
            cause="error",
        )
    (count,) = lengths
    if count >= size:
        rows = slice(rank, None, size)
        weight = len(range(rank, count, size)) / count
    else:
        rows = slice(rank % count, rank % count + 1)
        weight = 1 / count if rank < count else 0.0
    if isinstance(batch, dict):
        return Share({name: _cut(part, rows) for name, part in batch.items()}, weight)
    if isinstance(batch, tuple | list):
        return Share(type(batch)(_cut(part, rows) for part in batch), weight)
    return Share(_cut(batch, rows), weight)


def _cut(part: Any, rows: slice) -> Any:
    return part[rows].contiguous() if isinstance(part, torch.Tensor) else np.ascontiguousarray(part[rows])
