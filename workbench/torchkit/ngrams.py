"""Words and n-grams as numbers, and the two simple models that any network for texts has to beat. NumPy, scikit-learn to fit."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from workbench.preparation import counted, progress

STRENGTH = {"bag_of_words": 0.05, "nb_svm": 0.1}
"""`C` of the logistic regressions: lower regularises more."""


class Vocabulary:
    """The words of some texts by falling frequency, numbered from 1: 0 is padding. Words that it does not know are left out."""

    def __init__(self, texts: Iterable[Sequence[str]], most: int = 0) -> None:
        """`most` is the number of most frequent words to know; 0 knows all."""
        counts = Counter(word for text in texts for word in text)
        self.words = [word for word, _ in counts.most_common(most or None)]
        self.number = {word: place for place, word in enumerate(self.words, 1)}

    def __len__(self) -> int:
        return len(self.words) + 1

    def ids(self, text: Sequence[str]) -> np.ndarray:
        """(known words,) int64."""
        return np.array([place for word in text if (place := self.number.get(word))], np.int64)


class Grams:
    """N-grams, runs of 1 to `longest` words, that stand in at least `least` of some texts, numbered from 0."""

    def __init__(self, texts: Sequence[np.ndarray], size: int, longest: int, least: int = 2) -> None:
        """`texts` as ids below `size`."""
        self.size, self.longest = size, longest
        keys, counts = np.unique(np.concatenate([self._keys(text) for text in counted("finding n-grams", texts)]), return_counts=True)
        self.keys = keys[counts >= least]

    def __len__(self) -> int:
        return len(self.keys)

    def _keys(self, ids: np.ndarray) -> np.ndarray:
        """One number for each different n-gram: its ids as digits to the base `size`. Ids begin at 1, so lengths don't mix."""
        key, keys = ids, [ids]
        for length in range(1, self.longest):
            # int64 has room for this: 100,000 words to the power of 3 are 1e15, of 9e18.
            key = key[:-1] * self.size + ids[length:]
            keys.append(key)
        return np.unique(np.concatenate(keys))

    def of(self, ids: np.ndarray) -> np.ndarray:
        """The known n-grams of one text, each once, rising."""
        keys = self._keys(ids)
        # The keys are sorted, so each is looked up by bisection, all in one call.
        places = np.searchsorted(self.keys, keys)
        places[places == len(self.keys)] = 0  # beyond the last key: compared with the first one, which it is not
        return places[self.keys[places] == keys] if len(self.keys) else places[:0]


def linear(texts: Sequence[np.ndarray], labels: np.ndarray, size: int, *, bayes: bool) -> tuple[np.ndarray, float]:
    """Logistic regression on which features below `size` a text has: what each adds to the log odds of label 1, (size,), and the bias.

    With `bayes` each feature is scaled by its log-count ratio, the log of how much more often texts of label 1 have it (Wang and Manning
    2012, NB-SVM, with the logistic loss).
    """
    from sklearn.linear_model import LogisticRegression

    present = _rows(texts, size)
    scale = np.ones(size)
    if bayes:
        # One is added to each count, else a feature of one class only had an infinite ratio.
        ones, zeros = (1 + np.asarray(present[labels == label].sum(0)).ravel() for label in (1, 0))
        scale = np.log((ones / ones.sum()) / (zeros / zeros.sum()))
    strength = STRENGTH["nb_svm" if bayes else "bag_of_words"]
    # The dual is solved faster, as there are more features than texts.
    model = LogisticRegression(C=strength, solver="liblinear", dual=True, tol=1e-2, random_state=0)
    # One call, whose end nobody can foresee.
    progress("fitting the linear model", 0, 0)
    model.fit(present.multiply(scale).tocsr(), labels)
    progress("fitting the linear model", 1, 1)
    return model.coef_[0] * scale, float(model.intercept_[0])


def probabilities(train: Sequence[np.ndarray], labels: np.ndarray, texts: Sequence[np.ndarray], size: int, *, bayes: bool) -> np.ndarray:
    """Probability of label 1 for `texts`, by `linear` fitted to `train`."""
    weights, bias = linear(train, labels, size, bayes=bayes)
    positive: np.ndarray = 1 / (1 + np.exp(-(_rows(texts, size) @ weights + bias)))
    return positive


def _rows(texts: Sequence[np.ndarray], size: int) -> Any:
    """A sparse matrix (texts, size) with a 1 where a text has a feature."""
    from scipy.sparse import csr_matrix

    ends = np.cumsum([0, *map(len, texts)])
    return csr_matrix((np.ones(ends[-1]), np.concatenate([*texts, np.empty(0, int)]), ends), (len(texts), size))
