"""Whether an answer is the one that a model's examples have: what makes a variant healthy."""

import math
from typing import Any

CLOSE_ENOUGH = 1e-4
"""Difference of a number from its example's: other processors round otherwise."""


def same(answer: Any, right: Any) -> bool:
    """Whether an answer is an example's, but for rounding: its numbers, and the class unless two are equally likely."""
    if not isinstance(answer, dict) or not isinstance(right, dict) or "answer" not in answer or "answer" not in right:
        return False
    shares, right_shares = answer.get("probabilities", {}), right.get("probabilities", {})
    if isinstance(right_shares, dict) and any(not _close(share, right_shares.get(label, share)) for label, share in shares.items()):
        return False
    said, true = answer["answer"], right["answer"]
    tie = said in shares and true in shares and abs(shares[said] - shares[true]) <= 2 * CLOSE_ENOUGH
    return _close(said, true) or tie


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=CLOSE_ENOUGH, abs_tol=CLOSE_ENOUGH)
    return bool(one == other)
