"""Whether an answer is that of a model's example, which makes a variant healthy; whether a model fits in another's place."""

import math
from typing import Any

from workbench.encoding.kinds import BagOfWords, Encoder, Picture, RowOfNumbers, TextCodes
from workbench.encoding.model_folder import ModelFolder
from workbench.problems import one_line

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


def misfit(here: ModelFolder, other: ModelFolder) -> str:
    """Why another model cannot answer the requests that `here` gets, after its name: "takes pictures, …"; "" where it can."""
    old, new = here.model.encoder, other.model.encoder
    if _taken(old) != _taken(new):
        return f"takes {_taken(new)}, and the requests have {_taken(old)}"
    if isinstance(old, RowOfNumbers) and isinstance(new, RowOfNumbers):
        known = {column.name for column in new.columns}
        # A column that the requests lack counts as its mean; one that the model lacks is a 400.
        if unknown := next((column.name for column in old.columns if column.name not in known), ""):
            return f"does not know the column {one_line(unknown, 80)}, which requests have"
    if type(here.model.decoder) is not type(other.model.decoder) and not (here.labels() and other.labels()):
        return "gives another kind of answer"
    return "" if set(here.labels()) == set(other.labels()) else "answers other classes"


def _taken(encoder: Encoder) -> str:
    if isinstance(encoder, Picture):
        return "pictures"
    if isinstance(encoder, RowOfNumbers):
        return "rows of named numbers"
    return "texts" if isinstance(encoder, TextCodes | BagOfWords) else f"{' x '.join(map(str, encoder.shape))} numbers"
