"""The course's film reviews as its sentiment network reads them, split at single spaces: words, counts, ratios."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.imdb import LIMIT
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

TEST = 1_000
"""Reviews at the end of the file, which neither vocabulary nor ratios may see."""
RATED = 50
"""Least uses of a word that the network's filter rates; it cannot filter rarer ones."""
NAMES = ("positive", "negative")


@dataclass(frozen=True)
class WordCounts:
    """`words` sorted, and how often each stands in positive and in negative reviews: (words, 2)."""

    words: list[str]
    counts: np.ndarray

    @property
    def uses(self) -> np.ndarray:
        """(words,) in all reviews."""
        total: np.ndarray = self.counts.sum(1)
        return total


def read() -> tuple[list[str], np.ndarray]:
    """The reviews, one a line, and (reviews,) labels: 1 positive, 0 negative. Problem where the two files do not belong together."""
    files = fetch("imdb")
    lines, labels = (own_file.text(files[name], LIMIT).removesuffix("\n").split("\n") for name in ("reviews", "labels"))
    if len(lines) != len(labels) or len(lines) <= TEST:
        raise Problem(f"There are {len(lines):,} reviews and {len(labels):,} labels; more than {TEST:,} of each are right.", "", "data")
    if unknown := [label for label in labels if label not in NAMES]:
        raise Problem(f"A label is {one_line(unknown[0], 40)!r}, where positive or negative is right.", "", "data")
    preparation.found("reviews", f"{len(lines):,} reviews", f"{len(lines) - TEST:,} to learn from, {TEST:,} for the test")
    return lines, np.array([label == "positive" for label in labels], np.float64)


def typed(text: str) -> list[str]:
    """The tokens of a review that a person types, made as the file is: lower case, full stops alone, all else that is no letter a space.

    As in the file, two spaces in a row have an empty token between them.
    """
    return re.sub(r"[^a-z.]", " ", text.lower()).replace(".", " . ").strip().split(" ")


def count(lines: Sequence[str], labels: np.ndarray) -> WordCounts:
    """Every token between single spaces, the empty one included, with its uses."""
    # One long text of each kind: Counter is fast on a long list.
    positive, negative = (
        Counter(" ".join(line for line, given in zip(lines, labels, strict=True) if given == label).split(" ")) for label in (1, 0)
    )
    words = sorted(positive | negative)
    return WordCounts(words, np.array([[positive[word], negative[word]] for word in words], np.int64))


def log_ratios(counts: np.ndarray) -> np.ndarray:
    """(words,) log of positive uses over negative ones plus 1; minus infinity for a word that no positive review has."""
    with np.errstate(divide="ignore"):
        ratios: np.ndarray = np.log(counts[:, 0] / (counts[:, 1] + 1))
    return ratios


def network_ratios(counts: np.ndarray) -> np.ndarray:
    """The same as the course's network computes it: below 1 it adds 0.01 to the ratio, so that its log is never infinite."""
    ratios = counts[:, 0] / (counts[:, 1] + 1)
    result: np.ndarray = np.log(np.where(ratios > 1, ratios, ratios + 0.01))
    return result


def passing(counts: np.ndarray, min_count: int, polarity: float) -> np.ndarray:
    """(words,) which words the network keeps: used more than `min_count` times, and as one-sided as `polarity` where they are rated."""
    uses = counts.sum(1)
    kept: np.ndarray = (uses > min_count) & ((uses < RATED) | (np.abs(network_ratios(counts)) >= polarity))
    return kept
