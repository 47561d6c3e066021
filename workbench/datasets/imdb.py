"""IMDB film reviews, the course's 25,000 (the training half of the Large Movie Review Dataset), and how any review becomes words."""

import html
import re
from dataclasses import dataclass

import numpy as np

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch
from workbench.preparation import counted
from workbench.problems import Problem, one_line

SPLITS = {"train": slice(0, 20_000), "valid": slice(20_000, 21_500), "set_aside": slice(21_500, 22_500), "test": slice(22_500, 25_000)}
"""The course's 20,000, 2,500 and 2,500 in the file's order; the last 1,000 of the validation part are set aside and choose nothing."""

LIMIT = 100_000_000
"""Most bytes of a file; the reviews have 33 MB."""

_TAG = re.compile(r"<[^<>]{0,200}>")
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Reviews:
    """Reviews as lists of words, and `labels` (number,) float32: 1 positive, 0 negative."""

    texts: list[list[str]]
    labels: np.ndarray


def words(text: str) -> list[str]:
    """The words of a review, raw with tags and capitals or as the course's file has it; both give the same ones.

    In that file everything but letters and full stops became a space, so `couldn't` is two words and a line break `<br />` left a `br`.
    """
    return [word for word in _WORD.findall(_TAG.sub(" ", html.unescape(text)).lower()) if word != "br"]


def read() -> dict[str, Reviews]:
    """The splits by name. Training reviews that stand word for word in another split are left out (19 of 20,000): they would leak."""
    files = fetch("imdb")
    return split(*(own_file.text(files[name], LIMIT).removesuffix("\n").split("\n") for name in ("reviews", "labels")))


def split(lines: list[str], labels: list[str]) -> dict[str, Reviews]:
    """As `read`, from the two files' lines; Problem where they do not belong together."""
    number = SPLITS["test"].stop
    if len(lines) != number or len(labels) != number:
        raise Problem(f"There are {len(lines):,} reviews and {len(labels):,} labels, where {number:,} of each are right.", "", "data")
    unknown = next((label for label in labels if label not in ("positive", "negative")), None)
    if unknown is not None:
        raise Problem(f"A label is {one_line(unknown, 40)!r}, where positive or negative is right.", "", "data")
    texts = [words(line) for line in counted("reading reviews", lines)]
    held_out = {tuple(text) for text in texts[SPLITS["train"].stop :]}
    reviews = {}
    for name, part in SPLITS.items():
        rows = [row for row in range(number)[part] if name != "train" or tuple(texts[row]) not in held_out]
        left_out = f"{part.stop - part.start - len(rows):,} that stand in another part" if len(rows) < part.stop - part.start else ""
        preparation.found(f"reviews, {name}", f"{part.stop - part.start:,} reviews", f"{len(rows):,} reviews", left_out)
        reviews[name] = Reviews([texts[row] for row in rows], np.array([labels[row] == "positive" for row in rows], np.float32))
    return reviews
