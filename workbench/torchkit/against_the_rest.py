"""Scores classes, each against all others: the area under its ROC (AUC) with ties counted half, and their mean; as skin lesions are ranked.

In NumPy, not by scikit-learn as elsewhere: to import it takes longer than a lesson that is only explored takes to open.
"""

import numpy as np


def cumulated(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different scores, falling, with infinity before them, and the true and false positives from each on: (different + 1,) each."""
    values, inverse = np.unique(-scores, return_inverse=True)
    hits = np.bincount(inverse, positive, len(values))
    alarms = np.bincount(inverse, ~positive, len(values))
    return np.append(np.inf, -values), np.append(0, hits.cumsum()), np.append(0, alarms.cumsum())


def auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """How often a positive has the higher score than a negative, ties counted half. NaN with one class only, or a score that is NaN."""
    if np.isnan(scores).any():
        return float("nan")
    _, tp, fp = cumulated(positive, scores)
    return float(np.trapezoid(tp, fp) / (tp[-1] * fp[-1])) if tp[-1] * fp[-1] else float("nan")


def areas(truth: np.ndarray, scores: np.ndarray) -> list[float]:
    """The AUC of each class (a column of both: whether it is the class, bool, and how sure one is of it), and at the end their mean."""
    each = [auc(positive, given) for positive, given in zip(truth.T, scores.T, strict=True)]
    return [*each, float(np.mean(each))]
