"""What word vectors say of words: nearest words, a - b + c, the two usual tests, and a map of words. NumPy."""

import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from workbench.datasets.word_tests import WordTests
from workbench.problems import Problem, one_line

AT_ONCE = 256
"""Analogy questions that are answered at once: with 26,000 words their scores take 27 MB."""
NEAR_SPELLINGS = 3
"""Known words that are named beside an unknown one."""
PERPLEXITY = 30.0
"""About so many neighbours of a word count on the map; the usual value."""

Nearest = list[tuple[str, float]]


class WordVectors:
    """Words and their vectors at length 1, so that the dot product of two is the cosine of the angle between them."""

    def __init__(self, words: Sequence[str], vectors: np.ndarray) -> None:
        """`vectors` (words, size) of any length, frequent words first. A vector of zeros stays one."""
        self.words = words
        self.index = {word: code for code, word in enumerate(words)}
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.unit: np.ndarray = vectors / np.where(lengths > 0, lengths, 1)

    def code(self, word: str, field: str) -> int:
        """A typed word's place. Problem that names the field it was typed in, and near spellings of a word that is unknown."""
        typed = word.strip().lower()
        if not typed:
            raise Problem(f"{field} is empty, where a word is right.", "", "data")
        if typed not in self.index:
            near = difflib.get_close_matches(typed, self.words, NEAR_SPELLINGS, 0.7)
            hint = f"; near spellings: {', '.join(one_line(word, 40) for word in near)}" if near else ""
            raise Problem(f"{field}: {one_line(typed, 40)!r} is no word of this text, or too rare{hint}.", "", "data")
        return self.index[typed]

    def nearest(self, direction: np.ndarray, count: int, without: Sequence[int] = ()) -> Nearest:
        """The words with the largest cosine to a direction (size,), and the cosine; those of `without` are left out."""
        length = np.linalg.norm(direction)
        cosines = self.unit @ (direction / length if length > 0 else direction)
        cosines[list(without)] = -np.inf
        first = np.argpartition(-cosines, min(count, len(cosines) - 1))[:count]
        order = first[np.argsort(-cosines[first], kind="stable")]
        return [(self.words[code], float(cosines[code])) for code in order if np.isfinite(cosines[code])]

    def neighbours(self, code: int, count: int) -> Nearest:
        """The nearest words of a word."""
        return self.nearest(self.unit[code], count, [code])

    def analogy(self, first: int, minus: int, plus: int, count: int, without: Sequence[int] = ()) -> Nearest:
        """The words nearest to first - minus + plus, without these three: else the answer would nearly always be one of them."""
        return self.nearest(self.unit[first] - self.unit[minus] + self.unit[plus], count, [first, minus, plus, *without])

    def answered(self, questions: Sequence[tuple[str, str, str, str]]) -> tuple[int, int]:
        """How many analogies a : b = c : d are right, and how many there are whose four words are known (Mikolov et al. 2013).

        An answer is the word nearest to b - a + c, the three words of the question left out.
        """
        known = [[self.index[word] for word in question] for question in questions if all(word in self.index for word in question)]
        codes = np.array(known, int).reshape(-1, 4)
        right = 0
        for start in range(0, len(codes), AT_ONCE):
            a, b, c, d = codes[start : start + AT_ONCE].T
            scores = (self.unit[b] - self.unit[a] + self.unit[c]) @ self.unit.T  # (questions, words)
            for excluded in (a, b, c):
                scores[np.arange(len(scores)), excluded] = -np.inf
            right += int((scores.argmax(1) == d).sum())
        return right, len(codes)

    def similarity(self, pairs: Sequence[tuple[str, str, float]]) -> tuple[float | None, int]:
        """Spearman's rank correlation of cosines with people's ratings, over the pairs that are known, and how many these are.

        None where the ratings or the cosines are all equal, or fewer than three.
        """
        from scipy.stats import spearmanr

        known = [(self.index[first], self.index[second], rating) for first, second, rating in pairs if {first, second} <= self.index.keys()]
        if len(known) < 3:
            return None, len(known)
        first, second = (np.array([pair[place] for pair in known]) for place in (0, 1))
        cosines, ratings = (self.unit[first] * self.unit[second]).sum(1), np.array([rating for _, _, rating in known])
        if np.ptp(cosines) == 0 or np.ptp(ratings) == 0:
            return None, len(known)
        return float(spearmanr(cosines, ratings).statistic), len(known)


def scored(vectors: WordVectors, tests: WordTests) -> tuple[dict[str, Any], list[list[str | float]]]:
    """`analogies` (share right) and `similarity` (Spearman), and a row for each section: its name, right, asked, share."""
    rows: list[list[str | float]] = []
    right = asked = 0
    for section, questions in tests.analogies.items():
        hits, known = vectors.answered(questions)
        if known:
            rows.append([section, hits, known, round(hits / known, 4)])
        right, asked = right + hits, asked + known
    similarity, pairs = vectors.similarity(tests.pairs)
    share = right / asked if asked else None
    rows.append(["all analogies", right, asked, "–" if share is None else round(share, 4)])
    rows.append(["similarity", "–", pairs, "–" if similarity is None else round(similarity, 4)])
    return {"analogies": share, "similarity": similarity}, rows


def plane(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Vectors (words, size) in a plane by t-SNE (van der Maaten and Hinton 2008), (words, 2); the newest are held."""
    return _plane(np.ascontiguousarray(vectors, np.float32).tobytes(), len(vectors), seed)


@lru_cache(4)
def _plane(vectors: bytes, rows: int, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    method = TSNE(perplexity=min(PERPLEXITY, (rows - 1) / 3), init="random", random_state=seed, learning_rate="auto")
    return np.asarray(method.fit_transform(np.frombuffer(vectors, np.float32).reshape(rows, -1)))
