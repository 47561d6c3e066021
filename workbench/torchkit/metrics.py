"""How well two classes are told apart, from a score for each example: ROC, its area, precision, recall."""

import math
import warnings

import numpy as np

from workbench.events import Curve


def roc(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False positive rate, true positive rate and threshold, one for each different score, from (0, 0) at infinity to (1, 1).

    An example is called positive where its score is at least the threshold, so equal scores are one point. `positive` (number,) is
    bool. A rate is NaN where there is none of its class. All three are empty where a score is not finite: a diverged network ranks nothing.
    """
    from sklearn import metrics

    if not np.isfinite(scores).all():
        return np.empty(0), np.empty(0), np.empty(0)
    with warnings.catch_warnings(action="ignore"):  # a class without examples: NaN says it
        false, true, thresholds = metrics.roc_curve(positive, scores.astype(np.float64), pos_label=True, drop_intermediate=False)
    return false, true, thresholds


def auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC, by trapezoids: how often a positive has the higher score, ties counted half. NaN with one class only."""
    from sklearn import metrics

    false, true, _ = roc(positive, scores)
    # Not roc_auc_score: it leaves out points on straight lines, which changes the last bits of the sum.
    return metrics.auc(false, true) if len(false) else math.nan


def roc_curve(positive: np.ndarray, scores: np.ndarray, tag: str = "roc") -> Curve:
    """The ROC as an event; the corner at an infinite threshold is given as one above the highest score."""
    false, true, thresholds = roc(positive, scores)
    # Whoever moves the threshold along the curve needs a number there.
    thresholds[:1] = thresholds[1:2] + 1
    totals = (float((~positive).sum()), float(positive.sum()))
    labels = ("false positive rate", "true positive rate")
    return Curve(tag=tag, x=false.tolist(), y=true.tolist(), at=thresholds.tolist(), totals=totals, labels=labels)


def precision_recall(positive: np.ndarray, called: np.ndarray) -> tuple[float, float]:
    """Share of those called positive that are, and share of the positives that are called so; NaN where there are none."""
    right = float((positive & called).sum())
    return tuple(right / count if count else math.nan for count in (float(called.sum()), float(positive.sum())))  # type: ignore[return-value]
