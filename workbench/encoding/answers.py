"""Whether two answers to the same input are the same but for rounding."""

from base64 import b64decode
from typing import Any

import numpy as np

MOST = 1e-4
"""Largest difference of an output that is the rounding of sums in another order."""
PNG = "iVBORw0KGgo"
"""How a PNG in base64 begins."""


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
    if all(isinstance(answer, str) and answer.startswith(PNG) for answer in (one, other)):
        distance = np.abs(pixels_of(one) - pixels_of(other)).max()
        # A value between two levels may be rounded to either.
        return "" if distance <= 1 else f"{path} differs by {distance:.0f} of 255 in a pixel"
    return "" if one == other else f"{path} is {str(one)[:60]!r}, where {str(other)[:60]!r} is right"


def _tied(shares: dict[str, float]) -> bool:
    ordered = sorted(shares.values(), reverse=True)
    return len(ordered) > 1 and ordered[0] - ordered[1] <= MOST


def pixels_of(png: str) -> np.ndarray:
    """A PNG in base64 as its levels."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(b64decode(png)), formats=("PNG",)) as picture:
        return np.asarray(picture, np.float64)
