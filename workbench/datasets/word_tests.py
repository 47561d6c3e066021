"""What word vectors are judged by: Mikolov's 19,544 analogy questions and the 353 pairs of words whose similarity people rated."""

from dataclasses import dataclass

from workbench import preparation
from workbench.datasets import own_file
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

LIMIT = 2_000_000
"""Most bytes of either file."""


@dataclass(frozen=True)
class WordTests:
    """Both tests in lower case, as all corpora here are."""

    analogies: dict[str, list[tuple[str, str, str, str]]]
    """By section, questions a, b, c, d: a is to b as c is to d."""
    pairs: list[tuple[str, str, float]]
    """Two words, and the mean of what people said, from 0 to 10."""


def read() -> WordTests | str:
    """Both tests; one sentence where the files are not here and cannot be fetched. They judge, so training goes on without them."""
    try:
        # Inside a listener of its own, so that they are no source of the run: it resumes exactly with or without them.
        with preparation.listening():
            files = fetch("word-tests")
            questions, ratings = (own_file.text(files[name], LIMIT) for name in ("questions", "similarity"))
    except Problem as problem:
        return one_line(f"Not measured: {problem}", 300)
    return WordTests(analogies(questions), pairs(ratings))


def analogies(text: str) -> dict[str, list[tuple[str, str, str, str]]]:
    """The questions by section; a line that begins with a colon names one. Problem with the line that is neither."""
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.lower().split()
        if words[:1] == [":"]:
            section = one_line(" ".join(words[1:]), 40)
        elif len(words) == 4:
            sections.setdefault(section, []).append((words[0], words[1], words[2], words[3]))
        elif words:
            raise Problem(f"Line {number} of the analogies has {len(words)} words, where 4 are right.", "", "data")
    return sections


def pairs(text: str) -> list[tuple[str, str, float]]:
    """The rated pairs; lines that begin with # are notes. Problem with the line that is no pair."""
    rated = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            first, second, rating = line.lower().split("\t")
            rated.append((first, second, float(rating)))
        except ValueError:
            raise Problem(f"Line {number} of the similarities is not two words and a number.", "", "data") from None
    return rated
