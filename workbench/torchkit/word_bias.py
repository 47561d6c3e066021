"""A direction of bias in word vectors, hard debiasing (Bolukbasi et al. 2016), and what of the bias is left. NumPy.

The formulas are of Bolukbasi et al., arXiv 1607.06520, section 5: identify the subspace, neutralise, equalise. What is left was shown by
Gonen and Goldberg, arXiv 1903.03862.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from workbench.torchkit.word_relations import WordVectors

PAIRS = (
    ("she", "he"), ("her", "his"), ("woman", "man"), ("mary", "john"), ("herself", "himself"),
    ("daughter", "son"), ("mother", "father"), ("gal", "guy"), ("girl", "boy"), ("female", "male"),
)  # fmt: skip
"""The ten pairs of the paper, the female word first: they define the direction, and are made equal."""
_SPECIFIC = """
actor actress actors actresses aunt uncle bride groom brother sister brothers sisters boyfriend girlfriend countess duchess duke dude chick
fathers mothers daughters sons females males gentleman lady gentlemen ladies girls boys gals guys goddess granddaughter grandson grandfather
grandmother grandpa grandma heroine hero hers him heiress heir hostess husband wife husbands wives king queen kings queens maid maiden mom
dad mum mommy daddy mama papa mistress monk nun nephew niece policeman policewoman pregnant priest prince princess spokesman spokeswoman
stepfather stepmother stewardess widow widower witch wizard women men
"""
SPECIFIC = frozenset(_SPECIFIC.split()) | {word for pair in PAIRS for word in pair}
"""Words that are about a sex by their meaning: they keep their part along the direction. The paper has 218; these are its common ones."""
RATED = 20
"""Least uses of a word whose side is looked at: the vector of a rarer one is mostly chance."""
SIDE = 500
"""Most words of each side that a classifier is asked about: half are for training."""


def direction(vectors: WordVectors, pairs: Iterable[tuple[str, str]] = PAIRS) -> np.ndarray | None:
    """(size,), length 1: the first principal component of the pairs' differences, pointing to the first words.

    Each word counts by its difference to the middle of its pair. None where no pair is known.
    """
    differences = [
        (vectors.unit[vectors.index[first]].astype(float) - vectors.unit[vectors.index[second]]) / 2
        for first, second in pairs
        if first in vectors.index and second in vectors.index
    ]
    if not differences or not np.any(differences):
        return None
    # The two words of a pair stand at plus and minus half its difference: without the mean, one half says all.
    component: np.ndarray = np.linalg.svd(np.array(differences), full_matrices=False)[2][0]
    return component if np.sum(np.array(differences) @ component) > 0 else -component


def neutralised(unit: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Vectors (words, size) without their part along a direction, at length 1 again."""
    rest = unit - np.outer(unit @ along, along)
    lengths = np.linalg.norm(rest, axis=1, keepdims=True)
    return rest / np.where(lengths > 0, lengths, 1)


def equalised(first: np.ndarray, second: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors (size,) as their middle without its part along the direction, plus and minus as much of it as makes their length 1."""
    middle = (first + second) / 2
    shared = middle - (middle @ along) * along
    reach = np.sqrt(max(0.0, 1 - shared @ shared)) * along
    return (shared + reach, shared - reach) if (first - second) @ along >= 0 else (shared - reach, shared + reach)


def debiased(vectors: WordVectors, along: np.ndarray, specific: frozenset[str] = SPECIFIC) -> WordVectors:
    """Every word neutralised but the `specific` ones, and every known pair equalised: equally far from each neutral word."""
    unit = vectors.unit.astype(float)
    neutral = np.array([word not in specific for word in vectors.words])
    unit[neutral] = neutralised(unit[neutral], along)
    for first, second in PAIRS:
        if first in vectors.index and second in vectors.index:
            one, other = vectors.index[first], vectors.index[second]
            unit[one], unit[other] = equalised(unit[one], unit[other], along)
    return WordVectors(vectors.words, unit)


def sides(vectors: WordVectors, along: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of the neutral words that lean most to either end of the direction, and whether to the first: (words,) each."""
    rated = np.array([code for code, word in enumerate(vectors.words) if counts[code] >= RATED and word not in SPECIFIC], int)
    order = rated[np.argsort(vectors.unit[rated] @ along, kind="stable")]
    number = min(SIDE, len(order) // 2)
    return np.concatenate([order[:number], order[len(order) - number :]]), np.repeat([False, True], number)


def recovered(unit: np.ndarray, leans: np.ndarray) -> float | None:
    """Accuracy of a classifier of the side of words by their vectors (words, size): trained on half of them, asked about the rest.

    As in Gonen and Goldberg, a support vector machine with an RBF kernel. None where there are too few words.
    """
    from sklearn.svm import SVC

    if len(leans) < 8:
        return None
    # Every other word by its lean: both halves lean equally strongly.
    asked = np.arange(len(leans)) % 2 == 1
    machine = SVC(gamma="scale").fit(unit[~asked], leans[~asked])
    return float((machine.predict(unit[asked]) == leans[asked]).mean())


def leans(vectors: WordVectors, along: np.ndarray, words: Sequence[str]) -> list[float | None]:
    """The cosine of each word with the direction; None of an unknown word."""
    return [float(vectors.unit[vectors.index[word]] @ along) if word in vectors.index else None for word in words]
