"""baseline.json: what a model's inputs and answers were like when it was exported, for drift to be measured against; light."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from workbench.encoding.coding import Coding, Item, typed
from workbench.encoding.kinds import BagOfWords, Binary, Classes, Picture, RowOfNumbers, TextCodes

SAMPLE = 2_000
"""Inputs that are kept a number each of."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """baseline.json."""

    count: int = 0
    """Inputs that it was made from: the first ones of the validation split, which the model was not fitted to."""
    features: dict[str, list[float]] = {}
    """Of each input, in their order: the columns of a row, as they are measured; `mean` and `deviation` of a picture; `length` of a text in
    tokens, and the share `unknown` of them that the vocabulary lacks."""
    score: list[float] = []
    """Of each answer: the probability of the class that was answered, or the number."""
    classes: dict[str, int] = {}
    """How often each class was answered."""
    documents: int = 0
    """Texts of the training split whose words were counted."""
    words: dict[str, int] = {}
    """In how many of them each word stands, before the vocabulary leaves any out."""


def features(coding: Coding, raw: Any, item: Item) -> dict[str, float]:
    """What can be watched of one input."""
    encoder = coding.encoder
    if isinstance(encoder, Picture):
        return {"mean": float(item.array.mean()), "deviation": float(item.array.std())}
    if isinstance(encoder, RowOfNumbers):
        values = item.array.astype(float)
        return {column.name: float(value) * column.scale + column.mean for column, value in zip(encoder.columns, values, strict=True)}
    if isinstance(encoder, TextCodes | BagOfWords) and (tokens := tokens_of(coding, raw)):
        return {"length": float(len(tokens)), "unknown": sum(token not in coding.number for token in tokens) / len(tokens)}
    return {}


def tokens_of(coding: Coding, raw: Any) -> list[str]:
    """The tokens of a text, also those that the vocabulary lacks; none of what came as numbers."""
    is_text = isinstance(raw, str) or (isinstance(raw, dict) and "review" in raw)
    return coding.tokens(typed(raw)) if is_text else []


def score(answer: Mapping[str, Any]) -> float | None:
    """The probability of what was answered, or the number that was; None where the answer is of another kind."""
    shares = answer.get("probabilities")
    if isinstance(shares, Mapping):
        return float(max(shares.values()))
    value = answer.get("answer")
    return float(value) if isinstance(value, int | float) else None


def made(coding: Coding, raws: Sequence[Any], answers: Sequence[Mapping[str, Any]], documents: Iterable[Sequence[str]] = ()) -> Baseline:
    """The baseline of inputs with their answers, and of training texts as tokens."""
    watched = [features(coding, raw, coding.encode(raw)) for raw in raws[:SAMPLE]]
    names = watched[0] if watched else {}
    scores = [value for answer in answers[:SAMPLE] if (value := score(answer)) is not None]
    counts: Counter[str] = Counter()
    number = 0
    for text in documents:
        counts.update(set(text))
        number += 1
    return Baseline(
        count=len(watched),
        features={name: [_short(row[name]) for row in watched] for name in names},
        score=[_short(value) for value in scores],
        classes=dict(Counter(str(answer["answer"]) for answer in answers)) if isinstance(coding.decoder, Classes | Binary) else {},
        documents=number,
        words=dict(sorted(counts.items())),
    )


def write(baseline: Baseline) -> bytes:
    """The bytes of baseline.json."""
    return msgspec.json.encode(baseline)


def read(data: bytes) -> Baseline:
    """The baseline in the bytes of a baseline.json."""
    return msgspec.json.decode(data, type=Baseline)


def _short(value: float) -> float:
    # Six digits are more than a histogram needs, and less than half of the bytes.
    return float(np.format_float_positional(value, 6, unique=False, fractional=False)) if np.isfinite(value) else 0.0
