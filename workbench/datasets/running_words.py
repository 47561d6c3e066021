"""Running text as words by number, text after text, for word vectors: film reviews, a part of WikiText-2, or a person's own file."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets import imdb, own_file
from workbench.datasets.store.fetch import fetch
from workbench.preparation import counted
from workbench.problems import Problem

LIMIT = 100_000_000
"""Most bytes of a file."""
NAMES = ("imdb", "wikitext2:part")
_WORD = re.compile(r"[^\W\d_]+")
_GAP = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class RunningWords:
    """A corpus without its rare words: `codes` (tokens,) int32 are places in `words`, which stand by falling frequency."""

    codes: np.ndarray
    lengths: np.ndarray
    """(texts,) tokens of each text: no window reaches from one into the next."""
    words: list[str]
    counts: np.ndarray
    """(words,) how often each is used."""
    found: int
    """Tokens before rare words were left out."""
    variant: str
    """What figures on it are called: the course's text8 cannot be had."""

    @cached_property
    def index(self) -> dict[str, int]:
        """Each word's place in `words`."""
        return {word: code for code, word in enumerate(self.words)}


def read(name: str, folder: Path, fewest: int) -> RunningWords:
    """`imdb`, `wikitext2:part`, or the path of a text file, from the recipe's `folder`, without words of less than `fewest` uses.

    Of a person's own file an empty line ends a text. Problem (cause "data") where it can't be used.
    """
    if name == "imdb":
        lines = own_file.text(fetch("imdb")["reviews"], imdb.LIMIT).removesuffix("\n").split("\n")
        data = corpus([imdb.words(line) for line in counted("reading reviews", lines)], fewest, "film reviews, not text8")
    elif name == "wikitext2:part":
        files = fetch("wikitext2", "part")
        lines = [line for part in ("valid", "test") for line in own_file.text(files[part], LIMIT).split("\n")]
        # Its words, numbers and punctuation are parted by spaces already.
        data = corpus([line.lower().split() for line in lines if line.strip()], fewest, "WikiText-2's validation and test part")
    else:
        path = own_file.find(name, folder)
        texts = _GAP.split(own_file.text(path, LIMIT))
        data = corpus([_WORD.findall(text.lower()) for text in counted("reading words", texts)], fewest, path.name)
    kept = f"{len(data.codes):,} words, {len(data.words):,} different ones"
    preparation.found(data.variant or name, f"{data.found:,} words", kept, f"words of less than {fewest} uses")
    return data


def corpus(texts: Sequence[Sequence[str]], fewest: int, variant: str) -> RunningWords:
    """The corpus of texts that are lists of words; of equally frequent words those come first that stand first."""
    preparation.progress("counting words", 0, 0)
    uses = Counter(chain.from_iterable(texts))
    kept = [(word, number) for word, number in uses.most_common() if number >= fewest]
    if len(kept) < 2:
        raise Problem(f"The text has {len(kept)} words with {fewest} uses and more, where 2 are needed.", "Lower config.fewest.", "data")
    number = {word: code for code, (word, _) in enumerate(kept)}
    total = uses.total()
    codes = np.fromiter((number.get(word, -1) for text in texts for word in text), np.int32, total)
    known = codes >= 0
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])[known]
    counts = np.array([times for _, times in kept], np.int64)
    return RunningWords(codes[known], np.bincount(rows, minlength=len(texts)), [word for word, _ in kept], counts, total, variant)
