"""The course's rows of letters and the same letters sorted: distinct rows, split so that no row of one part is in another."""

from dataclasses import dataclass

import numpy as np

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LIMIT = 1_000_000
"""Most bytes of a file."""
LONGEST = 7
"""Letters in the longest row of the course's file."""
HELD_OUT = 800
"""Rows of the validation part, and of the test part."""
SPLIT = 20180411
"""Seed of the split: the same in every run, so that figures of different seeds are of the same rows."""


@dataclass(frozen=True)
class LetterPairs:
    """Rows of lower-case letters by part ("train", "valid", "test"), each distinct row once; its target is `sorted(row)`."""

    parts: dict[str, list[str]]


def ordered(row: str) -> str:
    """The row's letters in the order of the alphabet: the target."""
    return "".join(sorted(row))


def read() -> LetterPairs:
    """The course's two files. Problem (cause "data") where a row is not of the letters a to z, or its target is not its sorted letters."""
    files = fetch("letter-pairs")
    sources, targets = (own_file.text(files[name], LIMIT).split("\n") for name in ("sources", "targets"))
    rows = [(source, target) for source, target in zip(sources, targets, strict=False) if source]
    for number, (source, target) in enumerate(rows, 1):
        if len(source) > LONGEST or set(source) - set(LETTERS) or target != ordered(source):
            raise Problem(
                f"Line {number} has {one_line(source, 40)!r} and {one_line(target, 40)!r}, no row and its sorted letters.", "", "data"
            )
    if len(sources) != len(targets) or len(rows) <= 2 * HELD_OUT:
        raise Problem(f"There are {len(sources):,} rows and {len(targets):,} targets; more than {2 * HELD_OUT:,} are right.", "", "data")
    # The file repeats short rows. Of the course's validation part, its first 128 rows, 38 stand in its training part, too.
    distinct = sorted({source for source, _ in rows})
    order = np.random.default_rng(SPLIT).permutation(len(distinct)).tolist()
    shuffled = [distinct[place] for place in order]
    valid, test, train = shuffled[:HELD_OUT], shuffled[HELD_OUT : 2 * HELD_OUT], shuffled[2 * HELD_OUT :]
    if not train:
        raise Problem(f"There are {len(distinct):,} distinct rows; more than {2 * HELD_OUT:,} are right.", "", "data")
    used = f"{len(train):,} to learn from, {len(valid):,} for validation, {len(test):,} for the test"
    preparation.found("rows of letters", f"{len(rows):,} rows", used, f"{len(rows) - len(distinct):,} repeated rows")
    return LetterPairs({"train": train, "valid": valid, "test": test})
