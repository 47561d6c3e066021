"""How well two classes are told apart, from a score for each example: ROC, its area, precision, recall. NumPy only."""

import math

import numpy as np

from workbench.events import Curve


def roc(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False positive rate, true positive rate and threshold, one for each different score, from (0, 0) at infinity to (1, 1).

    An example is called positive where its score is at least the threshold, so equal scores are one point. `positive` (number,) is
    bool. A rate is NaN where there is none of its class.
    """
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order].astype(bool)
    last = np.append(scores[1:] != scores[:-1], True)  # of the examples with this score
    true, false = np.cumsum(positive)[last], np.cumsum(~positive)[last]
    with np.errstate(invalid="ignore"):
        rates = [np.append(0, counts) / np.float64(counts[-1]) for counts in (false, true)]
    return rates[0], rates[1], np.append(math.inf, scores[last])


def auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC, by trapezoids: how often a positive has the higher score, ties counted half. NaN with one class only."""
    false, true, _ = roc(positive, scores)
    return float(np.trapezoid(true, false))


def roc_curve(positive: np.ndarray, scores: np.ndarray, tag: str = "roc") -> Curve:
    """The ROC as an event; the corner at an infinite threshold is given as one above the highest score."""
    false, true, thresholds = roc(positive, scores)
    thresholds[0] = thresholds[1] + 1
    totals = (float((~positive).sum()), float(positive.sum()))
    labels = ("false positive rate", "true positive rate")
    return Curve(tag=tag, x=false.tolist(), y=true.tolist(), at=thresholds.tolist(), totals=totals, labels=labels)


def precision_recall(positive: np.ndarray, called: np.ndarray) -> tuple[float, float]:
    """Share of those called positive that are, and share of the positives that are called so; NaN where there are none."""
    right = float((positive & called).sum())
    return tuple(right / count if count else math.nan for count in (float(called.sum()), float(positive.sum())))  # type: ignore[return-value]
