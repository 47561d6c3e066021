"""Whether two answers to the same input are the same but for rounding."""

from typing import Any

MOST = 1e-4
"""Largest difference of an output that is the rounding of sums in another order."""


def difference(one: Any, other: Any, path: str = "answer") -> str:
    """How two answers differ by more than rounding; "" where they do not. A tie may be answered either way."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{path} has {sorted(one)}, where {sorted(other)} is right"
        shares = [entry["probabilities"] for entry in (one, other) if isinstance(entry.get("probabilities"), dict)]
        if len(shares) == 2 and _tied(shares[1]):
            one, other = {**one, "answer": ""}, {**other, "answer": ""}
        return next((text for key in one if (text := difference(one[key], other[key], str(key)))), "")
    if isinstance(one, float | int) and isinstance(other, float | int):
        return "" if abs(one - other) <= MOST * max(1.0, abs(other)) else f"{path} is {one:.6g}, where {other:.6g} is right"
    return "" if one == other else f"{path} is {str(one)[:60]!r}, where {str(other)[:60]!r} is right"


def _tied(shares: dict[str, float]) -> bool:
    ordered = sorted(shares.values(), reverse=True)
    return len(ordered) > 1 and ordered[0] - ordered[1] <= MOST
