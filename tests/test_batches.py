"""The stream of batches: it begins anywhere, and going there again holds one batch at a time."""

import gc
import weakref
from collections.abc import Iterator

import numpy as np

from workbench.training.batches import fingerprint, stream


def test_a_long_epoch_is_replayed_without_being_held() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal most
        for number in range(50):
            made = np.full(3, number)
            alive.append(weakref.ref(made))
            gc.collect()
            most = max(most, sum(each() is not None for each in alive))
            yield made

    rest = [int(batch[0]) for batch, _ in stream(batches(), 47, fingerprint(np.full(3, 46)))]
    assert rest == [47, 48, 49]
    assert most <= 4
