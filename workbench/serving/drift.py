"""Whether what arrives still looks like the test inputs: statistics over windows of requests, each with its alarm. Pure; NumPy and SciPy.

What cannot be seen here is said by the lesson: a word outside the vocabulary changes no array, so only the words before it tell.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

WINDOW = 500
"""Requests in a window."""
SIGNIFICANT = 0.005
"""p below which a window differs, divided by the number of things that are watched (Bonferroni)."""
LARGE, REMARKABLE = 0.2, 0.1
"""Population stability index from which a difference is an alarm, and a remark: the banks' rule of thumb (Siddiqi 2006)."""
BINS = 10
LOOKS = frozenset({*range(10, 100, 10), *range(100, WINDOW + 1, 50)})
"""Numbers of texts of a window after which their words are looked at."""
COMMON = 0.02
"""Share of texts that a new word must have: a rarer one changes little."""
MOST_WORDS = 50_000
"""Different words that are counted in a window."""
NAMED = 8
"""Words that a report names."""
LABELS_SIGNIFICANT = 0.001
LABELS = 500
"""Last labels that are judged."""


@dataclass(frozen=True)
class Finding:
    """One statistic of the last window."""

    what: str
    statistic: str
    before: float
    now: float
    p: float
    psi: float = math.nan
    """NaN where it has no meaning."""
    level: str = ""
    """"alarm", "remark", or "" where all is as it was."""


def number(name: str, baseline: np.ndarray, window: np.ndarray, watched: int) -> Finding:
    """Two-sample Kolmogorov-Smirnov test and PSI over the baseline's deciles; an alarm wants both: KS alone sees what does not matter."""
    from scipy.stats import ks_2samp

    p = float(ks_2samp(baseline, window, method="asymp").pvalue)
    index = psi_of_numbers(baseline, window)
    return Finding(name, "mean", float(baseline.mean()), float(window.mean()), p, index, _level(p < SIGNIFICANT / watched, index))


def classes(name: str, baseline: Mapping[str, int], window: Mapping[str, int], watched: int) -> Finding:
    """χ² test of two samples of classes, cells with an expected count under 5 pooled, and PSI; the shares are those that moved most."""
    from scipy.stats import chi2_contingency

    names = sorted({*baseline, *window})
    table = np.array([[baseline.get(key, 0) for key in names], [window.get(key, 0) for key in names]], float)
    shares = table / table.sum(1, keepdims=True).clip(min=1)
    moved = int(np.abs(shares[1] - shares[0]).argmax())
    expected = table.sum(0) * table[1].sum() / table.sum()
    sparse = expected < 5
    pooled = np.hstack([table[:, ~sparse], table[:, sparse].sum(1, keepdims=True)]) if sparse.any() else table
    pooled = pooled[:, pooled.sum(0) > 0]
    p = float(chi2_contingency(pooled).pvalue) if pooled.shape[1] > 1 else 1.0
    index = _psi(*shares)
    before, now = shares[:, moved].tolist()
    return Finding(f"{name} = {names[moved]}", "share", before, now, p, index, _level(p < SIGNIFICANT / watched, index))


def psi_of_numbers(baseline: np.ndarray, window: np.ndarray) -> float:
    """Population stability index, Σ (q - p) ln(q / p), over bins that hold equally many of the baseline."""
    edges = np.unique(np.quantile(baseline, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = (np.bincount(np.searchsorted(edges, values, "left"), minlength=len(edges) + 1) for values in (baseline, window))
    return _psi(*(count / count.sum() for count in counts))


def _psi(before: np.ndarray, now: np.ndarray) -> float:
    # An empty bin would be infinite.
    before, now = before.clip(1e-4), now.clip(1e-4)
    return float(((now - before) * np.log(now / before)).sum())


def _level(significant: bool, index: float) -> str:
    return "alarm" if significant and index >= LARGE else "remark" if significant and index >= REMARKABLE else ""


@dataclass
class Words:
    """In how many of the window's texts each word stands, beside the baseline's."""

    before: Mapping[str, int]
    texts_before: int
    counts: Counter[str] = field(default_factory=Counter)
    texts: int = 0

    def add(self, words: set[str]) -> None:
        """Count a text's words; new ones beyond MOST_WORDS are not counted."""
        self.texts += 1
        self.counts.update(words if len(self.counts) < MOST_WORDS else words & self.counts.keys())

    def more(self) -> list[Finding]:
        """Words that stand in more texts than before, the most significant first.

        The one-sided exact test of two shares (Fisher's), as the baseline's counts are a sample too; Bonferroni's correction counts every
        word that is known and every look into a window.
        """
        least = max(3, math.ceil(COMMON * self.texts))
        words = [word for word, count in self.counts.items() if count >= least]
        return self._tested(words, "alarm", tests=(len(self.before) + 1) * len(LOOKS))

    def fewer(self) -> list[Finding]:
        """Words of the baseline that have become rare, the most significant first."""
        least = COMMON * self.texts_before
        return self._tested([word for word, before in self.before.items() if before >= least], "remark", tests=len(self.before) + 1)

    def _tested(self, words: list[str], level: str, tests: int) -> list[Finding]:
        from scipy.stats import hypergeom

        before = np.array([self.before.get(word, 0) for word in words], int)
        now = np.array([self.counts[word] for word in words], int)
        expected = before * self.texts / self.texts_before
        # Most words are near to what is expected, and need no exact test.
        far = np.flatnonzero(now > 1.5 * expected if level == "alarm" else now < expected / 1.5)
        before, now = before[far], now[far]
        of = (self.texts_before + self.texts, before + now, self.texts)
        chances = (hypergeom.sf(now - 1, *of) if level == "alarm" else hypergeom.cdf(now, *of)) * tests
        found = [
            Finding(words[place], "share of texts", old / self.texts_before, new / self.texts, float(p), level=level)
            for place, old, new, p in zip(far.tolist(), before.tolist(), now.tolist(), chances, strict=True)
            if p < SIGNIFICANT
        ]
        return sorted(found, key=lambda finding: finding.p)[:NAMED]


@dataclass
class Labels:
    """Labels that come later, against the accuracy on the test set."""

    right_before: int
    tested: int
    last: list[bool] = field(default_factory=list)

    def add(self, right: bool) -> None:
        """Note whether an answer was right; the last LABELS count."""
        self.last.append(right)
        del self.last[:-LABELS]

    def judged(self) -> Finding | None:
        """Exact binomial test of fewer right answers than on the test set; None without labels or a tested accuracy."""
        from scipy.stats import binomtest

        if not self.last or not self.tested:
            return None
        before, right = self.right_before / self.tested, sum(self.last)
        p = float(binomtest(right, len(self.last), before, alternative="less").pvalue)
        return Finding("labels", "accuracy", before, right / len(self.last), p, level="alarm" if p < LABELS_SIGNIFICANT else "")

    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy on the last labels (Wilson 1927)."""
        from scipy.stats import binomtest

        if not self.last:
            return 0.0, 1.0
        low, high = binomtest(sum(self.last), len(self.last)).proportion_ci(method="wilson")
        return float(low), float(high)


def numbers(baseline: Mapping[str, Sequence[float]], window: Mapping[str, Sequence[float]], watched: int) -> list[Finding]:
    """`number` of everything that both have."""
    pairs = ((name, np.array(values), np.array(window.get(name, ()))) for name, values in baseline.items())
    return [number(name, before, now, watched) for name, before, now in pairs if len(before) and len(now)]
