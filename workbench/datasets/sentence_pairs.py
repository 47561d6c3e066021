"""English sentences with their French translations: Multi30k, Tatoeba; and how sentences become words and lines again."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

NAMES = ("multi30k", "tatoeba-fr")
LIMIT = 50_000_000
"""Most bytes of a text."""
RESERVED = 4
"""Codes before the first word's: padding, start, end, and the last of them, a word that is not in the vocabulary."""
LEAST = 2
"""Uses that a word needs to be in the vocabulary: what stands in one sentence only cannot be learnt."""
HELD_OUT = 1_000
"""English sentences of Tatoeba's validation part, and of its test part."""
SPLIT = 20170929
"""Seed of that split: the same in every run."""
TOKENS = re.compile(r"\w+|[^\w\s]")
"""Words and punctuation marks; an apostrophe and a hyphen are marks, too: l'homme has three parts."""
QUOTE = '"'


@dataclass(frozen=True)
class Pair:
    """An English line and its French translations, one or more, as their authors wrote them."""

    english: str
    french: tuple[str, ...]


@dataclass(frozen=True)
class SentencePairs:
    """Pairs by part ("train", "valid", "test"); no English line of Tatoeba is in two of them."""

    parts: dict[str, list[Pair]]
    variant: str
    """What figures on it are called."""


def read(name: str) -> SentencePairs:
    """`multi30k` or `tatoeba-fr`. Problem (cause "data") where the files do not belong together."""
    about = find(name)
    parts = _multi30k() if name == "multi30k" else _tatoeba()
    counts = [f"{len(pairs):,} for {part}" for part, pairs in parts.items()]
    preparation.found(about.title, f"{sum(map(len, parts.values())):,} English sentences", ", ".join(counts))
    return SentencePairs(parts, f"{about.title} in place of {about.stand_in_for}" if about.stand_in_for else "")


def _multi30k() -> dict[str, list[Pair]]:
    files = fetch("multi30k")
    parts = {}
    for part in ("train", "valid", "test"):
        english, french = (_unpacked(files[f"{part}-{language}"]) for language in ("english", "french"))
        if len(english) != len(french):
            raise Problem(f"{part} has {len(english):,} English and {len(french):,} French lines.", "", "data")
        pairs = [Pair(source, (target,)) for source, target in zip(english, french, strict=True) if source and target]
        if not pairs:
            raise Problem(f"{part} has no sentences.", "", "data")
        parts[part] = pairs
    return parts


def _unpacked(path: Path) -> list[str]:
    try:
        with gzip.open(path) as stream:
            data = stream.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise Problem(f"{one_line(path.name)} has more than {LIMIT / 1e6:.0f} MB.", "", "data")
        lines = data.decode().split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise Problem(f"{one_line(path.name)} is damaged: {one_line(str(error))}.", "", "data") from None
    return [line.strip() for line in (lines[:-1] if lines[-1] == "" else lines)]


def _tatoeba() -> dict[str, list[Pair]]:
    (folder,) = fetch("tatoeba-fr").values()
    translations: dict[str, list[str]] = {}
    for number, line in enumerate(own_file.text(folder / "fra.txt", LIMIT).splitlines(), 1):
        english, tab, french = line.partition("\t")
        if not (english.strip() and tab and french.strip()):
            raise Problem(f"fra.txt, line {number}: an English sentence, a tab and a French one are right.", "", "data")
        known = translations.setdefault(english.strip(), [])
        if french.strip() not in known:
            known.append(french.strip())
    # By English sentence: 142,787 lines have 98,659 of them, and the translations of one would else be on both sides of the split.
    pairs = [Pair(english, tuple(french)) for english, french in translations.items()]
    if len(pairs) <= 2 * HELD_OUT:
        raise Problem(f"fra.txt has {len(pairs):,} English sentences; more than {2 * HELD_OUT:,} are right.", "", "data")
    # The file begins with its shortest sentences.
    shuffled = [pairs[place] for place in np.random.default_rng(SPLIT).permutation(len(pairs)).tolist()]
    return {"train": shuffled[2 * HELD_OUT :], "valid": shuffled[:HELD_OUT], "test": shuffled[HELD_OUT : 2 * HELD_OUT]}


# -- words ----------------------------------------------------------------------------------------------------------------------------


def tokens(line: str) -> list[str]:
    """A line's words and punctuation marks, as they are spelled in it."""
    return TOKENS.findall(line)


@dataclass(frozen=True)
class Vocabulary:
    """The words of a language in lower case, by falling frequency: word n has the code RESERVED + n."""

    words: list[str]
    spelled: dict[str, str]
    """The commonest spelling of a word that is not written in lower case inside a sentence (TV, Noël)."""
    spaces: dict[str, tuple[str, str]]
    """Of a punctuation mark, what mostly stands before and behind it: nothing, a space, or a no-break space."""

    @cached_property
    def index(self) -> dict[str, int]:
        """Each word's code."""
        return {word: RESERVED + place for place, word in enumerate(self.words)}

    def __len__(self) -> int:
        return RESERVED + len(self.words)

    def encode(self, line: str) -> list[int]:
        """A line's codes; a word that is not in the vocabulary has the code RESERVED - 1."""
        return [self.index.get(word.lower(), RESERVED - 1) for word in tokens(line)]

    def word(self, code: int) -> str:
        """The word of a code, "?" for an unknown one."""
        return self.words[code - RESERVED] if code >= RESERVED else "?"

    def line(self, codes: Sequence[int]) -> str:
        """Codes as a line that people read: with capitals, and with the spaces that its language puts around each mark."""
        text, quoted, glued = "", False, True
        for word in map(self.word, codes):
            before, behind = self.spaces.get(word, (" ", " "))
            if word == QUOTE:
                # A quotation mark belongs to what it encloses.
                before, behind = ("", " ") if quoted else (" ", "")
                quoted = not quoted
            text += ("" if glued else before) + self.spelled.get(word, word)
            glued = not behind
        first = next((place for place, sign in enumerate(text) if sign.isalpha()), 0)
        return text[:first] + text[first : first + 1].upper() + text[first + 1 :]


def vocabulary(lines: Iterable[str], least: int = LEAST) -> Vocabulary:
    """The vocabulary of the words that are used at least `least` times in these lines."""
    counts: Counter[str] = Counter()
    spellings: dict[str, Counter[str]] = {}
    before: dict[str, Counter[str]] = {}
    behind: dict[str, Counter[str]] = {}
    for line in lines:
        parts = list(TOKENS.finditer(line))
        counts.update(part[0].lower() for part in parts)
        for left, right in pairwise(parts):
            # Of the right one: a sentence's first word has a capital whatever it is.
            spellings.setdefault(right[0].lower(), Counter())[right[0]] += 1
            between = line[left.end() : right.start()]
            # Beside a quotation mark the space is the quotation mark's.
            if QUOTE in (left[0], right[0]):
                continue
            if not right[0].isalnum():
                before.setdefault(right[0], Counter())[between] += 1
            if not left[0].isalnum():
                behind.setdefault(left[0], Counter())[between] += 1
    words = [word for word, number in counts.most_common() if number >= least]
    commonest = {word: spelling.most_common(1)[0][0] for word, spelling in spellings.items()}
    marks = [word for word in words if not word.isalnum()]
    return Vocabulary(
        words,
        {word: commonest[word] for word in words if commonest.get(word, word) != word},
        {mark: (usual(before.get(mark)), usual(behind.get(mark))) for mark in marks},
    )


def usual(spaces: Counter[str] | None) -> str:
    """The commonest of these; a space where none was seen."""
    return spaces.most_common(1)[0][0] if spaces else " "
