"""Batches of an epoch: arrays in memory, and the stream of them that the loop trains on, which begins anywhere and begins again exactly."""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from workbench.problems import Problem


class Batches:
    """Batches of arrays that are held in memory: index arithmetic over the first axis, shuffled by the generator that `batches` is given.

    Yields a tuple with one array per array, each of shape (batch, …). Works on anything that can be indexed by an integer array.
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        batch_size: int,
        rng: np.random.Generator | None,
        *,
        drop_last: bool = False,
        index: Callable[[np.ndarray], Any] = lambda order: order,
    ) -> None:
        """`rng` None keeps the order; `index` makes of the permutation what the arrays are indexed with (a tensor on the device)."""
        self.arrays = tuple(arrays)
        self.batch_size = batch_size
        self._examples = len(self.arrays[0])
        self._length = self._examples // batch_size if drop_last else math.ceil(self._examples / batch_size)
        order = np.arange(self._examples) if rng is None else rng.permutation(self._examples)
        self._order = index(order)
        self._skipped = 0

    def __len__(self) -> int:
        return self._length

    def skip(self, count: int) -> None:
        """Begin after `count` batches, without making them."""
        self._skipped = count

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        size = self.batch_size
        for start in range(self._skipped * size, self._length * size, size):
            chosen = self._order[start : start + size]
            yield tuple(array[chosen] for array in self.arrays)


def planned(batches: Iterable[Any]) -> int:
    """How many batches an epoch has, or 0 where its iterable does not say."""
    return len(batches) if isinstance(batches, Sized) else 0


def stream(batches: Iterable[Any], position: int = 0, last_batch: int | None = None) -> Iterator[tuple[Any, bool]]:
    """The batches from `position` on, each with whether it is the epoch's last.

    `last_batch` is the fingerprint of the one before; a Problem (cause data) where it is another one now.
    """
    length = planned(batches)
    behind = position
    if behind and isinstance(batches, Batches):
        # All but the last one: that is made again, for its fingerprint.
        batches.skip(behind - 1)
        behind = 1
    iterator = iter(batches)
    replayed = None
    # An iterable of another kind has to make its batches again: only so does its generator draw what it drew.
    for _ in range(behind):
        replayed = next(iterator, None)
    if behind and last_batch is not None and fingerprint(replayed) != last_batch:
        raise Problem(
            "The epoch does not give the same batches again, so this run cannot resume exactly.",
            "Has the data changed? batches(epoch, rng) must draw from rng alone.",
            cause="data",
        )
    if length:
        for place in range(position, length):
            try:
                batch = next(iterator)
            except StopIteration:
                return
            yield batch, place == length - 1
        return
    # Without a length one batch is read ahead, to know which is the last. A batch may be None, so the end is an object of its own.
    nothing = object()
    following = next(iterator, nothing)
    while following is not nothing:
        batch, following = following, next(iterator, nothing)
        yield batch, following is nothing


def fingerprint(batch: Any) -> int:
    """CRC-32 over every array and number of a batch: the same batch again has the same one."""
    if isinstance(batch, dict):
        parts: Iterable[Any] = batch.values()
    elif isinstance(batch, list | tuple):
        parts = batch
    else:
        array = batch.detach().cpu() if hasattr(batch, "detach") else batch
        # float(), as NumPy has no bfloat16.
        return zlib.crc32(np.ascontiguousarray(array if not hasattr(array, "numpy") else array.float().numpy()).tobytes())
    crc = 0
    for part in parts:
        # Chained, so that the order of the parts counts.
        crc = zlib.crc32(fingerprint(part).to_bytes(4, "little"), crc)
    return crc
