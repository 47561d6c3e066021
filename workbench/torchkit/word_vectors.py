"""Word vectors from counts of which words stand near each other: no network, some seconds, then a disk cache. SciPy, scikit-learn."""

import hashlib
from collections.abc import Sequence

import numpy as np

from workbench.preparation import progress
from workbench.torchkit.disk_cache import cached

WINDOW = 5
"""Words on each side that count as context, the n-th with the weight 1 / n."""
SMOOTHING = 0.75
"""Exponent of the context frequencies, so that rare contexts weigh less (Levy, Goldberg and Dagan 2015; as word2vec's noise)."""
DOING = "computing word vectors"
COUNTING = 30
"""Share of the time that counting takes, per cent, as measured on the film reviews; the rest is the decomposition, one call."""


def word_vectors(texts: Sequence[np.ndarray], size: int, width: int) -> np.ndarray:
    """(size, width) float32 with variance 1: the first singular vectors of words' and contexts' positive pointwise mutual information.

    `texts` are ids below `size`, which begin at 1; row 0, padding, is zero. Each singular vector counts by the root of its singular value
    (Levy and Goldberg 2014). Computed only where the cache has none for these very texts.
    """
    # The 1 is this computation's version: raise it with a change, so that no cached vectors of the old one are taken.
    key = hashlib.sha256(f"1 {WINDOW} {SMOOTHING} {size} {width}".encode())
    for text in texts:
        key.update(len(text).to_bytes(8, "little") + np.ascontiguousarray(text, np.int64).tobytes())
    return cached("word vectors", key.hexdigest(), lambda: _computed(texts, size, width))


def _computed(texts: Sequence[np.ndarray], size: int, width: int) -> np.ndarray:
    from scipy.sparse import coo_matrix, csr_matrix
    from sklearn.utils.extmath import randomized_svd

    gap = np.zeros(WINDOW, np.int64)  # between texts, so that no window reaches from one into the next
    ids = np.concatenate([part for text in texts for part in (text, gap)])
    counts = csr_matrix((size, size), dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        progress(DOING, (distance - 1) * COUNTING // WINDOW, 100)
        left, right = ids[:-distance], ids[distance:]
        # 0 is padding, or the gap between two texts.
        both = (left > 0) & (right > 0)
        counts += coo_matrix((np.full(both.sum(), 1 / distance, np.float32), (left[both], right[both])), (size, size)).tocsr()
    progress(DOING, COUNTING, 100)
    near = (counts + counts.T).tocoo()
    words = np.bincount(near.row, near.data, size)
    contexts = words**SMOOTHING
    # Pointwise mutual information: ln P(word, context) / (P(word) P(context)), the context smoothed.
    information = np.log(near.data / (words[near.row] * (contexts / contexts.sum())[near.col]))
    # Pairs that are rarer than by chance count as 0, like pairs that never occur, whose logarithm would be infinite.
    positive = information > 0
    matrix = csr_matrix((information[positive], (near.row[positive], near.col[positive])), (size, size))
    rotated, values, _ = randomized_svd(matrix, width, n_iter=2, random_state=0)
    vectors = rotated * np.sqrt(values)
    scaled: np.ndarray = (vectors / vectors.std()).astype(np.float32)
    scaled[0] = 0.0
    progress(DOING, 100, 100)
    return scaled
