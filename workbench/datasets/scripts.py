"""TV scripts as the course's words: Seinfeld, The Simpsons, or a person's own text; and how words become lines again."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch

LIMIT = 50_000_000
"""Most bytes of a text."""
NAMES = ("seinfeld", "simpsons")
NOTICE = 81
"""Characters that the course cuts off at the beginning: the Simpsons' copyright notice. It cuts Seinfeld too, which has none."""
SIGNS = frozenset('.,";!?()-\n')
"""What the course makes words of their own."""
HELD_OUT = 10
"""Every tenth part of a text is held out."""
RUN = 4
"""Words in a row that count as copied: shorter ones are common phrases that anybody repeats."""
NAME = 4
"""Most words of a speaker's name, as "man on tv:"."""


@dataclass(frozen=True)
class Script:
    """A text as `codes` (words,), int64 indices into `words`, its different words by falling frequency."""

    codes: np.ndarray
    words: list[str]
    variant: str
    """What figures on it are called; "" for the course's own texts."""

    @cached_property
    def index(self) -> dict[str, int]:
        """Each word's place in `words`."""
        return {word: code for code, word in enumerate(self.words)}

    def split(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """The training part and the held-out part: every tenth block of `block` words, or with 0 the last 10 %."""
        if not block:
            first = len(self.codes) - len(self.codes) // HELD_OUT
            return self.codes[:first], self.codes[first:]
        held_out = np.arange(len(self.codes)) // block % HELD_OUT == HELD_OUT - 1
        return self.codes[~held_out], self.codes[held_out]

    def signs(self) -> np.ndarray:
        """(different words,) bool: which are punctuation or a line's end."""
        return np.array([word in SIGNS for word in self.words])

    def runs(self, codes: np.ndarray) -> np.ndarray:
        """A number for each run of four words within one line, punctuation left out; equal runs have equal numbers."""
        plain = ~self.signs()[codes]
        line_ends = codes == self.index["\n"] if "\n" in self.index else np.zeros(len(codes), bool)
        lines, spoken = np.cumsum(line_ends)[plain], codes[plain]
        number = max(0, len(spoken) - RUN + 1)
        # The run's words as digits to the base of the vocabulary: 21,387 ** 4 is 2e17, within int64.
        key = np.zeros(number, np.int64)
        for place in range(RUN):
            key = key * (len(self.words) + 1) + spoken[place : place + number]
        within: np.ndarray = key[lines[:number] == lines[RUN - 1 : RUN - 1 + number]]
        return within

    def tokens(self, prompt: str) -> list[str]:
        """A typed prompt's words as this text spells them, which may not all be in it.

        The Seinfeld file has no apostrophes: where only that makes a word unknown, they are left out.
        """
        return [word if word in self.index else word.replace("'", "").replace("’", "") for word in words(prompt)]

    def speakers(self, most: int) -> list[str]:
        """Those who speak most."""
        return [word for word in self.words if word.endswith(":")][:most]


def read(name: str, folder: Path) -> Script:
    """`seinfeld`, `simpsons`, or the path of a text file, from the recipe's `folder`; Problem (cause "data") where it can't be used."""
    if name in NAMES:
        (path,) = fetch(name).values()
        text = own_file.text(path, LIMIT)
        data, cut = script(text[NOTICE:], ""), f"its first {NOTICE} characters, as in the course"
    else:
        path = own_file.find(name, folder)
        text = own_file.text(path, LIMIT)
        data, cut = script(text, path.name), ""
    preparation.found(
        data.variant or name, f"{len(text):,} characters", f"{len(data.codes):,} words, {len(data.words):,} different ones", cut
    )
    return data


def words(text: str) -> list[str]:
    """Lower case, cut at spaces; punctuation and line ends are words of their own."""
    for sign in SIGNS - {"\n"}:
        text = text.replace(sign, f" {sign} ")
    # split() drops line ends, so they pass through it as a zero byte, which own_file.text refuses in a text.
    return ["\n" if word == "\0" else word for word in text.replace("\n", " \0 ").lower().split()]


def script(text: str, variant: str) -> Script:
    """Every different word of the text is in the vocabulary, as in the course, also those that only held-out parts have."""
    tokens = words(text)
    vocabulary = [word for word, _ in Counter(tokens).most_common()]
    index = {word: code for code, word in enumerate(vocabulary)}
    return Script(np.array([index[word] for word in tokens], np.int64), vocabulary, variant)


def pieces(tokens: Sequence[str]) -> list[str]:
    """Each word as it stands in a line, the space before it included, speakers in capitals: joined, they are a text."""
    spelled: list[str] = []
    quoted = False
    for place, word in enumerate(tokens):
        before = tokens[place - 1] if place else "\n"
        glued = word in ".,;!?)-\n" or before in "(-\n" or (before == '"' and quoted) or (word == '"' and quoted)
        spelled.append(word if glued else f" {word}")
        if word in ('"', "\n"):
            # A quotation that nobody closed ends with its line.
            quoted = word == '"' and not quoted
    for begin in (0, *(place for place, word in enumerate(tokens, 1) if word == "\n")):
        colon = next((place for place in range(begin, min(begin + NAME, len(tokens))) if tokens[place].endswith(":")), begin - 1)
        name = range(begin, colon + 1)
        if not any(tokens[place] in SIGNS for place in name):
            for place in name:
                spelled[place] = spelled[place].upper().replace("_", " ")
    return spelled


def line_ends(tokens: Iterable[str]) -> str:
    """Words as a text."""
    return "".join(pieces(list(tokens)))
