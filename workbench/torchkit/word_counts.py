"""How often texts have the most frequent words, or their stems, as sparse matrices; counted once, then a disk cache. No torch."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from workbench.encoding.coding import stemmed
from workbench.preparation import counted, progress
from workbench.torchkit.disk_cache import cached

Texts = Mapping[str, Sequence[Sequence[str]]]
"""By split, each text as its words."""


def word_counts(texts: Texts, most: int, *, stem: bool, known: str = "train") -> tuple[list[str], dict[str, Any]]:
    """The `most` most frequent words of one split, and by split how often each text has each of them: CSR float32 (texts, words).

    With `stem` words with one stem (Porter) count together. `known` names the split that chooses the words; of equally frequent ones
    those are taken that come first.
    """
    from scipy.sparse import csr_matrix

    # The 1 is this computation's version: raise it with a change, so that no cached counts of the old one are taken.
    key = hashlib.sha256(f"1 {most} {stem} {known}".encode())
    for name, split in texts.items():
        key.update(f"\n\n{name}".encode())
        for text in split:
            key.update(b"\n" + " ".join(text).encode())
    coded: dict[str, np.ndarray] = {}

    def vocabulary_of() -> np.ndarray:
        words, numbers = _numbered(texts, stem)
        uses = np.bincount(numbers[known][1], minlength=len(words))
        # Words are numbered as they come, so a stable sort keeps the first of equally frequent ones.
        order = np.argsort(-uses, kind="stable")[: min(most, int((uses > 0).sum()))]
        place = np.full(len(words), -1)
        place[order] = np.arange(len(order))
        for name, (rows, words_of) in numbers.items():
            coded[name] = np.stack([rows, place[words_of]])[:, place[words_of] >= 0]
        return np.array([words[number] for number in order], str)

    def counts(name: str) -> np.ndarray:
        if not coded:
            vocabulary_of()
        rows, places = coded[name].astype(np.int64)
        pairs, times = np.unique(rows * len(vocabulary) + places, return_counts=True)
        return np.stack([*np.divmod(pairs, len(vocabulary)), times]).astype(np.int32)

    vocabulary = cached("vocabularies", key.hexdigest(), vocabulary_of).tolist()
    matrices = {}
    for name, split in texts.items():
        own = hashlib.sha256(key.digest() + name.encode())
        rows, places, times = cached("word counts", own.hexdigest(), partial(counts, name))
        matrices[name] = csr_matrix((times.astype(np.float32), (rows, places)), (len(split), len(vocabulary)))
    return vocabulary, matrices


def _numbered(texts: Texts, stem: bool) -> tuple[list[str], dict[str, np.ndarray]]:
    """Different words, or stems, as they come; and by split of each word the row of its text and its number, (2, words)."""
    different = list(dict.fromkeys(word for split in texts.values() for text in split for word in text))
    progress("stemming words", 0, 0)
    roots = stemmed(different) if stem else different
    number = {root: place for place, root in enumerate(dict.fromkeys(roots))}
    number_of = {word: number[root] for word, root in zip(different, roots, strict=True)}
    numbers = {}
    for name, split in texts.items():
        rows = np.repeat(np.arange(len(split), dtype=np.int32), [len(text) for text in split])
        words = (number_of[word] for text in counted(f"counting words, {name}", split) for word in text)
        numbers[name] = np.stack([rows, np.fromiter(words, np.int32, len(rows))])
    return list(number), numbers
