"""What a model's test inputs and answers looked like: the baseline that traffic is compared with. Written at export, read by serving."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from workbench import files
from workbench.datasets import imdb
from workbench.encoding.coding import Coding, Item, typed
from workbench.encoding.kinds import BagOfWords, Picture, RowOfNumbers, TextCodes
from workbench.problems import Problem, one_line

SAMPLE = 2_000
"""Values of each number that are kept: the Kolmogorov-Smirnov test then sees a shift of a tenth of a standard deviation."""
LIMIT = 64 << 20


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """baseline.json."""

    numbers: dict[str, Annotated[list[float], Meta(max_length=SAMPLE)]] = {}
    """A sample of each number, sorted: columns of a row, brightness and contrast of pictures, words of a text, the answer's score."""
    shares: dict[str, dict[str, int]] = {}
    """How often each class was answered."""
    words: dict[str, int] = {}
    """In how many texts each word stands, before any vocabulary."""
    texts: int = 0
    """Number of texts that `words` were counted in."""
    right: int = 0
    tested: int = 0
    """How many of the tested inputs were answered rightly: what labels that come later are compared with."""


def of(coding: Coding, raws: Sequence[Any], answers: Sequence[Mapping[str, Any]], truths: Sequence[str] = ()) -> Baseline:
    """The baseline of real inputs of the test split with the model's answers, and where known the true labels."""
    numbers: dict[str, list[float]] = {}
    words: Counter[str] = Counter()
    for raw, answer in zip(raws, answers, strict=True):
        item = coding.encode(raw)
        for name, value in {**measured(coding, raw, item), **scored(answer)}.items():
            numbers.setdefault(name, []).append(value)
        words.update(words_of(coding, raw))
    shares = {"answer": dict(Counter(str(answer["answer"]) for answer in answers))} if coding.labels else {}
    right = sum(str(answer["answer"]) == truth for answer, truth in zip(answers, truths, strict=False))
    return Baseline(
        numbers={name: sorted(thinned(values)) for name, values in numbers.items()},
        shares=shares,
        words=dict(words),
        texts=len(raws) if words else 0,
        right=right,
        tested=min(len(truths), len(answers)),
    )


def read(path: Path) -> Baseline:
    """The baseline in a file. Raises Problem where it is damaged."""
    try:
        return msgspec.json.decode(files.read_plain(path, LIMIT), type=Baseline)
    except (OSError, ValueError, RecursionError) as error:
        raise Problem(f"{one_line(str(path))} cannot be read: {one_line(str(error), 200)}.", "Export the model again.", "data") from None


def measured(coding: Coding, raw: Any, item: Item) -> dict[str, float]:
    """The numbers of one input that are watched, by name."""
    encoder = coding.encoder
    if isinstance(encoder, Picture):
        return {"brightness": float(item.array.mean()), "contrast": float(item.array.std())}
    if isinstance(encoder, RowOfNumbers):
        values = (item.array * np.array([column.scale for column in encoder.columns])).tolist()
        return {column.name: value + column.mean for column, value in zip(encoder.columns, values, strict=True)}
    if isinstance(encoder, TextCodes | BagOfWords) and _has_text(raw):
        return {"words": float(len(imdb.words(typed(raw))))}
    return {}


def scored(answer: Mapping[str, Any]) -> dict[str, float]:
    """The number of one answer that is watched: the probability of the last of two classes, of the likeliest of more, or the answer."""
    shares = answer.get("probabilities")
    if isinstance(shares, Mapping) and shares:
        return {"score": float(list(shares.values())[-1] if len(shares) == 2 else max(shares.values()))}
    value = answer.get("answer")
    return {"score": float(value)} if isinstance(value, int | float) else {}


def words_of(coding: Coding, raw: Any) -> set[str]:
    """The different words of a text, known or not; none of another input."""
    return set(imdb.words(typed(raw))) if isinstance(coding.encoder, TextCodes | BagOfWords) and _has_text(raw) else set()


def thinned(values: Sequence[float]) -> list[float]:
    """At most SAMPLE of some values, evenly spread over their order."""
    return [values[place * len(values) // SAMPLE] for place in range(SAMPLE)] if len(values) > SAMPLE else list(values)


def _has_text(raw: Any) -> bool:
    return isinstance(raw, str) or (isinstance(raw, dict) and isinstance(raw.get("review"), str))
