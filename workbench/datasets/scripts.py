"""TV scripts as the course's words: Seinfeld, The Simpsons, or a person's own text; and how words become lines again."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

LIMIT = 50_000_000
"""Most bytes of a text."""
NAMES = ("seinfeld", "simpsons")
NOTICE = 81
"""Characters that the course leaves out at the beginning: the Simpsons' notice. It does so with Seinfeld too, which has none."""
SIGNS = frozenset('.,";!?()-\n')
"""What the course makes words of their own."""
HELD_OUT = 10
"""Every tenth part of a text is held out."""
RUN = 4
"""Words of a run, for what is copied."""


@dataclass(frozen=True)
class Script:
    """A text as `codes` (words,), int64 indices into `words`, its different words, the most frequent first."""

    codes: np.ndarray
    words: list[str]
    variant: str
    """What figures on it are to be called; "" for the course's own texts."""

    def split(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """What is trained on and what is held out: every tenth block of so many words; or with 0 the last 10 %."""
        if not block:
            first = len(self.codes) - len(self.codes) // HELD_OUT
            return self.codes[:first], self.codes[first:]
        held_out = np.arange(len(self.codes)) // block % HELD_OUT == HELD_OUT - 1
        return self.codes[~held_out], self.codes[held_out]

    def signs(self) -> np.ndarray:
        """(different words,) bool: which are punctuation or a line's end."""
        return np.array([word in SIGNS for word in self.words])

    def runs(self, codes: np.ndarray) -> np.ndarray:
        """A number for each run of four words that stands within one line, punctuation left out."""
        kept = ~self.signs()[codes]
        lines = np.cumsum(codes == self.words.index("\n") if "\n" in self.words else np.zeros(len(codes), bool))[kept]
        plain, number = codes[kept], max(0, int(kept.sum()) - RUN + 1)
        key = np.zeros(number, np.int64)
        for place in range(RUN):
            key = key * (len(self.words) + 1) + plain[place : place + number]
        whole: np.ndarray = key[lines[:number] == lines[RUN - 1 : RUN - 1 + number]]
        return whole

    def find(self, prompt: str) -> list[int]:
        """A typed prompt's words as indices; Problem that names those which the text does not have.

        The Seinfeld file has no apostrophes: where only that makes a word unknown, they are left out.
        """
        known = {word: code for code, word in enumerate(self.words)}
        typed = [word if word in known else word.replace("'", "").replace("’", "") for word in words(prompt)]
        unknown = sorted({word for word in typed if word not in known})
        if unknown:
            speakers = ", ".join([word for word in self.words if word.endswith(":")][:8])
            names = ", ".join(repr(one_line(word, 40)) for word in unknown[:10])
            raise Problem(f"The scripts that it learns never have {names}.", f"They have {one_line(speakers, 300)}" if speakers else "")
        return [known[word] for word in typed]


def read(name: str, folder: Path) -> Script:
    """`seinfeld`, `simpsons`, or the path of a text file, from the recipe's `folder`; Problem (cause "data") where it can't be used."""
    if name in NAMES:
        (path,) = fetch(name).values()
        return script(own_file.text(path, LIMIT)[NOTICE:], "")
    path = own_file.find(name, folder)
    return script(own_file.text(path, LIMIT), path.name)


def words(text: str) -> list[str]:
    """Lower case, cut at spaces; punctuation and line ends are words of their own."""
    for sign in SIGNS - {"\n"}:
        text = text.replace(sign, f" {sign} ")
    return ["\n" if word == "\0" else word for word in text.replace("\n", " \0 ").lower().split()]


def script(text: str, variant: str) -> Script:
    """Every different word of the text is known, as in the course, also those that only held-out parts have."""
    found = words(text)
    known = [word for word, _ in Counter(found).most_common()]
    number = {word: code for code, word in enumerate(known)}
    return Script(np.array([number[word] for word in found], np.int64), known, variant)


def pieces(found: Sequence[str]) -> list[str]:
    """Each word as it stands in a line, the space before it included, speakers in capitals: joined, they are a text."""
    written: list[str] = []
    quoted = False
    for place, word in enumerate(found):
        before = found[place - 1] if place else "\n"
        glued = word in ".,;!?)-\n" or before in "(-\n" or (before == '"' and quoted) or (word == '"' and quoted)
        written.append(word if glued else f" {word}")
        if word in ('"', "\n"):
            quoted = word == '"' and not quoted
    begins = [0, *(place for place, word in enumerate(found, 1) if word == "\n")]
    for begin in begins:
        name = range(
            begin, next((place for place in range(begin, min(begin + 4, len(found))) if found[place].endswith(":")), begin - 1) + 1
        )
        if not any(found[place] in SIGNS for place in name):
            for place in name:
                written[place] = written[place].upper().replace("_", " ")
    return written


def line_ends(found: Iterable[str]) -> str:
    """Words as a text."""
    return "".join(pieces(list(found)))
