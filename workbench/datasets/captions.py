"""Flickr8k: photographs with five captions each, by five people, in the official split; a part of the photographs stands in for all."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.pictures import read_picture
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

SIDE = 160
"""Width and height of a photograph in pixels: its middle square."""
REFERENCES = 5
"""Captions of each photograph, all of which are its references."""
LEAST = 3
"""Uses in the training captions that a word needs to be in the vocabulary."""
RESERVED = 4
"""Codes before the first word's: padding, start, end, and the last of them, a word that is not in the vocabulary."""
LIMIT = 20_000_000
"""Most bytes of a text."""
LINE = re.compile(r"([^\t#]+)#([0-9]+)\t(.*)")
"""A line of the captions: the photograph's file, #, the caption's number, a tab, the caption."""


@dataclass(frozen=True)
class Captioned:
    """Photographs of one part, in the order of their names, and their captions as their authors wrote them."""

    pictures: np.ndarray
    """(number, 3, SIDE, SIDE) bytes."""
    captions: list[tuple[str, ...]]
    """REFERENCES for each."""


@dataclass(frozen=True)
class Captions:
    """The parts `train`, `valid` and `test`."""

    parts: dict[str, Captioned]
    variant: str
    """What figures on it are called."""


def read() -> Captions:
    """The photographs that are there, each in its official part (753, 113 and 125 of 1,000; 9 are in none).

    Raises Problem (cause "data") where a photograph has not five captions, is in two parts, or a part has none.
    """
    about, files = find("flickr8k", "1000"), fetch("flickr8k", "1000")
    written = _written(files["captions"])
    paths = {path.name: path for path in (files["pictures"] / "Images").glob("*.jpg")}
    seen: set[str] = set()
    parts = {}
    for part in ("train", "valid", "test"):
        names = sorted(set(own_file.text(files[part], LIMIT).split()) & paths.keys())
        if not names:
            raise Problem(f"None of the photographs is in the {part} part.", "", "data")
        if seen & set(names):
            raise Problem(f"{one_line(min(seen & set(names)))} is in two parts.", "", "data")
        seen |= set(names)
        parts[part] = Captioned(_pictures(part, [paths[name] for name in names]), [_five(name, written) for name in names])
    used = ", ".join(f"{len(rows.captions):,} for {part}" for part, rows in parts.items())
    preparation.found(about.title, f"{len(paths):,} photographs", used, f"{len(paths) - len(seen)} are in no part")
    return Captions(parts, f"{about.title} in place of {about.stand_in_for}" if about.stand_in_for else "")


def _written(path: Path) -> dict[str, dict[int, str]]:
    """Captions by photograph and number."""
    written: dict[str, dict[int, str]] = {}
    for number, line in enumerate(own_file.text(path, LIMIT).split("\n"), 1):
        if not line:
            continue
        parts = LINE.fullmatch(line)
        if not parts:
            raise Problem(f"{one_line(path.name)}, line {number}: name#number, a tab and a caption are right.", "", "data")
        written.setdefault(parts[1], {})[int(parts[2])] = one_line(parts[3].strip(), 400)
    return written


def _five(name: str, written: dict[str, dict[int, str]]) -> tuple[str, ...]:
    captions = written.get(name, {})
    if sorted(captions) != list(range(REFERENCES)):
        raise Problem(f"{one_line(name)} has {len(captions)} captions, where {REFERENCES}, numbered from 0, are right.", "", "data")
    return tuple(captions[number] for number in range(REFERENCES))


def _pictures(part: str, paths: list[Path]) -> np.ndarray:
    return np.stack([squared(read_picture(path)) for path in preparation.counted(f"reading photographs, {part}", paths)])


def squared(picture: Image.Image) -> np.ndarray:
    """The middle square of a picture, (3, SIDE, SIDE) bytes."""
    return np.asarray(ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE))).transpose(2, 0, 1)


# -- words ----------------------------------------------------------------------------------------------------------------------------


def tokens(caption: str) -> list[str]:
    """Words and punctuation marks in lower case; in the file, spaces part them already."""
    return caption.lower().split()


def plain(words: Iterable[str]) -> str:
    """A line without punctuation marks, as captions are scored: a full stop at each end would be a word that is always right."""
    return " ".join(word for word in words if any(sign.isalnum() for sign in word))


@dataclass(frozen=True)
class Words:
    """A vocabulary by falling frequency: word n has the code RESERVED + n."""

    words: list[str]

    @cached_property
    def index(self) -> dict[str, int]:
        """Each word's code."""
        return {word: RESERVED + place for place, word in enumerate(self.words)}

    def __len__(self) -> int:
        return RESERVED + len(self.words)

    def encode(self, caption: str) -> list[int]:
        """A caption's codes; a word that is not in the vocabulary has the code RESERVED - 1."""
        return [self.index.get(word, RESERVED - 1) for word in tokens(caption)]

    def decode(self, codes: Iterable[int]) -> list[str]:
        """The words of codes, "?" for an unknown one."""
        return [self.words[code - RESERVED] if code >= RESERVED else "?" for code in codes]


def vocabulary(captions: Iterable[str], least: int = LEAST) -> Words:
    """The words that are used at least `least` times in these captions."""
    counts = Counter(word for caption in captions for word in tokens(caption))
    return Words([word for word, number in counts.most_common() if number >= least])
