"""Which words tell a positive film review from a negative one, by counting alone, in NumPy. Recipe: word-ratios."""

import hashlib
from collections.abc import Iterator
from functools import cache, partial
from typing import Any, Literal

import numpy as np

from workbench.datasets import review_lines
from workbench.datasets.review_lines import WordCounts
from workbench.datasets.store import catalog
from workbench.events import Curve, Event, Matrix, Table
from workbench.problems import Problem, one_line
from workbench.torchkit.disk_cache import cached
from workbench.training.project import Field, Project

SHOWN = 10
"""Rows of a list of words, and columns of the matrix."""
BINS = 40
"""Of the histogram, from -5 to 5."""
STORED = ("review-words", "review-word-uses", "review-word-uses-in-training")
"""Kinds of arrays in the cache."""
EMPTY = "(empty)"
"""How the token between two spaces is shown."""


class WordRatios(Project):
    """Counts the words of positive and negative film reviews and compares them."""

    datasets = ("imdb",)

    class Request(Project.Request):
        words: str = Field("the, amazing, terrible", max_length=200)
        """Words to look up, with commas between; more words make a longer list."""
        least: int = Field(100, ge=1, le=5000, json_schema_extra={"step": 10})
        """Least uses of a word in the list of extremes and in the histogram; fewer bring names and misspellings, which say little."""
        rule: Literal["log", "network"] = "log"
        """How a ratio is made: its log; or as the course's network computes it, which adds 0.01 to ratios below 1."""
        reviews: Literal["all", "training"] = "all"
        """Reviews that are counted: all 25,000, or the 24,000 that a network may learn from: ratios from all would leak the test."""
        cutoff: float = Field(0.05, ge=0, le=4, json_schema_extra={"step": 0.05})
        """Least absolute ratio with which the network keeps a word; higher keeps fewer words and is faster."""
        review: str = Field("An amazing cast, and a terrible, terrible story. Uwe Boll was better.", max_length=2000)
        """Your own review, to see it as numbers; longer ones show only their first words."""

    def build_data(self) -> None:
        # By the file's hash in the catalogue: where the counts are stored, the 34 MB need not be read again.
        files = catalog.find("imdb").files
        key = hashlib.sha256(" ".join(["1", files["reviews"].sha256, files["labels"].sha256]).encode()).hexdigest()

        @cache
        def computed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            """The words as bytes, one a line; the uses of each in all reviews, and in those for training: (words, 2) each."""
            lines, labels = review_lines.read()
            known = review_lines.count(lines, labels)
            held_out = review_lines.count(lines[-review_lines.TEST :], labels[-review_lines.TEST :])
            uses = dict(zip(held_out.words, held_out.counts, strict=True))
            in_test = np.array([uses.get(word, (0, 0)) for word in known.words], np.int64)
            return np.frombuffer("\n".join(known.words).encode(), np.uint8), known.counts, known.counts - in_test

        def part(place: int) -> np.ndarray:
            return computed()[place]

        parts = [cached(name, key, partial(part, place)) for place, name in enumerate(STORED)]
        words = parts[0].tobytes().decode().split("\n")
        self.counts = {"all": WordCounts(words, parts[1]), "training": WordCounts(words, parts[2])}
        self.number = {word: place for place, word in enumerate(words)}

    def sample(self, request: Any) -> Iterator[Event]:
        """The words asked for, the extremes, the histogram of ratios, Zipf's line, what a cut-off keeps, and a review as numbers."""
        known = self.counts[request.reviews]
        counts, uses = known.counts, known.uses
        ratios = (review_lines.network_ratios if request.rule == "network" else review_lines.log_ratios)(counts)
        yield self.looked_up(request.words, known, ratios)
        frequent = np.flatnonzero(uses >= request.least)
        yield extremes(known.words, frequent[np.argsort(ratios[frequent], kind="stable")], ratios)
        numbers, edges = np.histogram(ratios[frequent].clip(-5, 5), BINS, (-5, 5))
        middles = (edges[1:] + edges[:-1]) / 2
        yield Curve(tag="ratios", x=middles.tolist(), y=numbers.tolist(), labels=("log ratio", f"words with {request.least}+ uses"))
        yield zipf(uses)
        kept = review_lines.passing(counts, 20, request.cutoff)
        rows: list[list[str | float]] = [
            ["words", int((uses > 0).sum())],
            ["of more than 20 uses", int((uses > 20).sum())],
            ["kept by the cut-off", int(kept.sum())],
            ["never filtered (21 to 49 uses)", int((kept & (uses < review_lines.RATED)).sum())],
        ]
        yield Table(tag="network's words", columns=["what", "number"], rows=rows)
        yield from self.as_numbers(request.review, uses, ratios)

    def looked_up(self, text: str, known: WordCounts, ratios: np.ndarray) -> Table:
        """Uses and ratio of the words that a person asks for; the empty token always stands below."""
        asked = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
        if not 1 <= len(asked) <= SHOWN:
            raise Problem(f"words: {len(asked)} words, where 1 to {SHOWN} are right.", "", "data")
        rows: list[list[str | float]] = []
        for word in [*asked, ""]:
            place = self.number.get(word, -1)
            if place < 0 or not known.uses[place]:
                rows.append([one_line(word, 20) or EMPTY, 0, 0, "not in the reviews"])
            else:
                positive, negative = map(int, known.counts[place])
                rows.append([word or EMPTY, positive, negative, float(f"{ratios[place]:.7g}")])
        return Table(tag="words", columns=["word", "positive", "negative", "log ratio"], rows=rows)

    def as_numbers(self, review: str, uses: np.ndarray, ratios: np.ndarray) -> Iterator[Event]:
        """A review as its words' counts and presences, and its words by ratio; words that no review has are named."""
        tokens = review_lines.typed(review)
        different = list(dict.fromkeys(tokens))
        known = [word for word in different if word in self.number and uses[self.number[word]]]
        if not known:
            raise Problem("review: there is no word in it that the reviews have.", "", "data")
        shown = known[:SHOWN]
        times = [float(tokens.count(word)) for word in shown]
        names = [word or EMPTY for word in shown]
        yield Matrix(tag="review as numbers", values=[times, [1.0] * len(times)], rows=["counts", "presence"], columns=names)
        by_ratio = sorted(known, key=lambda word: -abs(ratios[self.number[word]]))[:SHOWN]
        rows: list[list[str | float]] = [[word or EMPTY, round(float(ratios[self.number[word]]), 4)] for word in by_ratio]
        unknown = [word for word in different if word not in known]
        rows += [[one_line(word, 20), "not in the reviews"] for word in unknown[:SHOWN]]
        yield Table(tag="review's words", columns=["word", "log ratio"], rows=rows)


def extremes(words: list[str], order: np.ndarray, ratios: np.ndarray) -> Table:
    """The most positive and the most negative words side by side; `order` are the places of the words by rising ratio."""
    rows: list[list[str | float]] = []
    for high, low in zip(order[::-1][:SHOWN], order[:SHOWN], strict=True):
        rows.append([words[high], round(float(ratios[high]), 4), words[low], round(float(ratios[low]), 4)])
    return Table(tag="extremes", columns=["positive", "log ratio", "negative", "log ratio "], rows=rows)


def zipf(uses: np.ndarray) -> Curve:
    """The uses of the most frequent word, the second, the third …: about a straight line of slope -1 on two logarithmic axes."""
    falling = np.sort(uses)[::-1]
    ranks = np.unique(np.logspace(0, np.log10(len(falling)), 60).astype(int))
    used = falling[ranks - 1]
    ranks, used = ranks[used > 0], used[used > 0]
    return Curve(tag="Zipf", x=np.log10(ranks).tolist(), y=np.log10(used).tolist(), labels=("log10 of the rank", "log10 of the uses"))
