"""Says whether a film review is positive, review by review, in NumPy: counts, presence, sparse, filtered. Recipes: sentiment-network-…"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from workbench.datasets import review_lines
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import BagOfWords, Binary
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Scalars, Scatter, Table
from workbench.preparation import counted
from workbench.problems import Problem, one_line
from workbench.training.project import Batches, Field, Project, Settings, live

CLASSES = ["negative", "positive"]
TIMED = 200
"""Training reviews by which the speed is measured."""
NEAREST = 8
"""Words in a list of neighbours, and of a typed review."""
MAPPED = 150
"""Words on the map of either kind."""
BINS = 40
"""Of the histogram of weights."""
POLAR, FEWEST = 500, 10
"""Words of either kind on the t-SNE map, as in the course; and words that it needs in all."""
PERPLEXITY = 30.0
"""About so many neighbours of a word count on that map; the usual value."""
MOST_CHARACTERS = 20_000
"""Of a typed review."""
TYPED = "The trailer was wonderful. The film is not: two hours of beautiful pictures, and an awful, boring story."


class SentimentNetwork(Project):
    """A hidden layer without activation and without biases, trained on one review after the other, in the file's order."""

    datasets = ("imdb",)
    takes = "text"

    class Config(Settings):
        learning_rate: float = live(0.1, gt=0)
        """Step size of an update; higher learns faster; with counts the sigmoid saturates, and nothing is learnt."""
        hidden: int = Field(10, ge=1)
        """Number of hidden units; they are linear, so more of them say no more."""
        inputs: Literal["counts", "presence"] = "presence"
        """What a word's input is: how often it stands in the review, or 1 where it does at all."""
        sparse: bool = False
        """Add up only the weights of the review's own words, not of all words times mostly 0: the same numbers, much sooner."""
        min_count: int = Field(0, ge=0)
        """A word is known that is used more often than this in training; higher leaves rare words out."""
        polarity: float = Field(0.0, ge=0)
        """Least absolute log ratio of a known word with 50 uses and more; higher leaves more words out that stand in both kinds."""

    class Request(Project.Request):
        review: str = Field("", max_length=MOST_CHARACTERS)
        """Your own review, with capitals if you like; empty takes an invented one."""
        word: str = Field("excellent", max_length=40)
        """The word whose neighbours are listed: the words with the most similar and with the most opposite weights."""
        tsne: bool = False
        """Also draw the course's t-SNE map of the 1,000 most one-sided words, which takes some seconds."""

    def build_data(self) -> None:
        lines, self.labels = review_lines.read()
        config, self.seen = self.config, len(lines) - review_lines.TEST
        # The test's reviews choose neither words nor ratios.
        known = review_lines.count(lines[: self.seen], self.labels[: self.seen])
        kept = np.flatnonzero(review_lines.passing(known.counts, config.min_count, config.polarity))
        if not len(kept):
            raise Problem("config.min_count and config.polarity leave no word.", "Lower one of them.", "data")
        self.words = [known.words[place] for place in kept]
        self.number = {word: place for place, word in enumerate(self.words)}
        self.counts = known.counts[kept]
        self.reviews = [self.inputs_of(line.split(" ")) for line in counted("numbering words", lines)]

    def inputs_of(self, tokens: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The places of a review's known words, rising, each once, and the input of each: (words,), (words,)."""
        times = sorted((self.number[word], times) for word, times in Counter(tokens).items() if word in self.number)
        places, inputs = np.array(times, np.int32).reshape(-1, 2).T
        return places, np.ones(len(places)) if self.config.inputs == "presence" else inputs.astype(float)

    def build_model(self) -> None:
        # NumPy's old generator, seeded with the run's seed: with seed 1 the course's very ten numbers, on which its figures depend.
        self.first = np.zeros((len(self.words), self.config.hidden))
        self.second = np.random.normal(0.0, 1.0, self.config.hidden)
        self.right = self.answered = 0

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        # In the file's order, which alternates between the two kinds.
        return Batches((np.arange(self.seen), self.labels[: self.seen]), self.train.batch_size, None)

    def train_step(self, batch: Any) -> dict[str, Any]:
        losses = []
        for row, label in zip(*batch, strict=True):
            hidden = self.hidden_of(self.reviews[row])  # (hidden,)
            answer = sigmoid(float(hidden @ self.second))
            # The answer comes before the update, so each review is new to the network that is asked.
            self.answered += 1
            self.right += int((answer >= 0.5) == label)
            error = answer - label
            # Half the squared error along the score: the error times the slope of the sigmoid.
            delta = error * answer * (1 - answer)
            # Before `second` changes: the error flows back through the weights that made it.
            back = delta * self.second
            self.second -= self.config.learning_rate * delta * hidden
            self.update(self.reviews[row], self.config.learning_rate * back)
            losses.append(error**2 / 2)
        return {"loss": np.mean(losses), "accuracy/so_far": self.right / self.answered}

    def hidden_of(self, review: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """(hidden,): the inputs times the first weights. Dense, as in steps 3 and 4, multiplies every word that there is."""
        places, inputs = review
        # Not by `@`, whose order of additions depends on the number of rows: at a rate of 0.1 each update overshoots, so that a difference
        # in the sixteenth digit is one in the first after thousands of reviews. einsum adds row by row, where a zero changes no bit.
        hidden: np.ndarray
        if self.config.sparse:
            hidden = np.einsum("i,ij->j", inputs, self.first[places])
        else:
            layer = np.zeros(len(self.words))
            layer[places] = inputs
            hidden = np.einsum("i,ij->j", layer, self.first)
        return hidden

    def update(self, review: tuple[np.ndarray, np.ndarray], step: np.ndarray) -> None:
        """Subtract inputs times step (hidden,) from the first weights: of the review's words alone, or, dense, of all words."""
        places, inputs = review
        if self.config.sparse:
            self.first[places] -= inputs[:, None] * step
        else:
            layer = np.zeros(len(self.words))
            layer[places] = inputs
            self.first -= np.outer(layer, step)

    def positive(self, review: tuple[np.ndarray, np.ndarray]) -> float:
        """Probability that a review is positive; 0.5 where it has no known word."""
        return sigmoid(float(self.hidden_of(review) @ self.second))

    def evaluate(self, split: str) -> Iterator[Event]:
        """On the last 1,000 reviews, at the end only: they choose nothing. What is logged while it trains is new to the network, too."""
        if split == "test":
            answers = np.array([self.positive(review) for review in self.reviews[self.seen :]])
            right = (answers >= 0.5) == self.labels[self.seen :]
            accuracy, margin = float(right.mean()), 1.96 * math.sqrt(float(right.var()) / len(right))
            speed = self.speed()
            yield Scalars(values={"accuracy": accuracy, "reviews_per_second": speed})
            interval = f"{100 * (accuracy - margin):.1f} to {100 * (accuracy + margin):.1f} %"
            rows: list[list[str | float]] = [["accuracy", f"{100 * accuracy:.1f} %"], ["95 % interval", interval]]
            rows += [["reviews per second", float(f"{speed:.3g}")], ["words", len(self.words)]]
            yield Table(tag="result", columns=["what", "figure"], rows=rows)

    def speed(self) -> float:
        """Reviews that training takes a second of the processor's time, from some that are trained on; the weights are put back."""
        state = self.state()
        rows = np.arange(min(TIMED, self.seen))
        began = time.process_time()
        self.train_step((rows, self.labels[rows]))
        took = time.process_time() - began
        self.load_state(state)
        return len(rows) / max(took, 1e-9)

    def sample(self, request: Any) -> Iterator[Event]:
        """What carries a review, the neighbours of a word, a map of the words that move the answer most, all weights; t-SNE if asked."""
        yield self.carried(request.review.strip() or TYPED)
        yield self.neighbours(request.word.strip().lower())
        yield self.map()
        yield self.histogram()
        if request.tsne:
            yield self.tsne()

    def carried(self, text: str) -> Table:
        """What each word adds to the log odds, exactly, as all units before the sigmoid are linear; unknown words are named below."""
        tokens = review_lines.typed(text)
        places, inputs = self.inputs_of(tokens)
        shares = inputs * (self.first[places] @ self.second)
        order = np.argsort(-np.abs(shares), kind="stable")[:NEAREST]
        rows: list[list[str | float]] = [["positive, probability", round(self.positive((places, inputs)), 4)]]
        rows += [[self.words[places[place]] or "(empty)", float(f"{shares[place]:.6g}")] for place in order]
        unknown = [word for word in dict.fromkeys(tokens) if word and word not in self.number]
        rows += [[one_line(word, 20), "unknown"] for word in unknown[:NEAREST]]
        return Table(tag="review", columns=["word", "adds to the log odds"], rows=rows)

    def neighbours(self, word: str) -> Table:
        """The words with the largest and the smallest dot product of weights with this word's."""
        place = self.number.get(word)
        rows: list[list[str | float]] = []
        if place is None:
            rows.append([one_line(word, 20), "unknown", "", ""])
        else:
            products = self.first @ self.first[place]
            order = np.argsort(-products, kind="stable")
            for near, far in zip(order[:NEAREST], order[::-1][:NEAREST], strict=True):
                names, values = (self.words[near], self.words[far]), (products[near], products[far])
                rows.append([names[0], float(f"{values[0]:.4g}"), names[1], float(f"{values[1]:.4g}")])
        return Table(tag="neighbours", columns=["nearest", "product", "most opposite", "product "], rows=rows)

    def map(self) -> Scatter:
        """The words that move the answer most, by what each adds to the log odds and how often it is used in training.

        Not by two directions of their weights: from zeros, every update is a multiple of `second`, so all of them lie on one line.
        """
        effects = self.first @ self.second
        order = np.argsort(effects, kind="stable")
        chosen = np.unique(np.concatenate([order[:MAPPED], order[-MAPPED:]]))
        uses = np.log10(self.counts[chosen].sum(1))
        more = review_lines.log_ratios(self.counts[chosen]) > 0
        labels = [f"more in {CLASSES[int(positive)]} reviews" for positive in more]
        return Scatter(tag="map of words", x=effects[chosen].tolist(), y=uses.tolist(), labels=labels)

    def histogram(self) -> Curve:
        """How many of the first weights have which value. As logs: in a plain count the thousands of rare words near 0 hide all others."""
        reach = max(float(np.abs(self.first).max()), 1e-12)
        numbers, edges = np.histogram(self.first, BINS, (-reach, reach))
        middles = (edges[1:] + edges[:-1]) / 2
        return Curve(
            tag="weights", x=middles.tolist(), y=np.log10(numbers + 1.0).tolist(), labels=("weight of a word", "log10 (number + 1)")
        )

    def tsne(self) -> Scatter:
        """The weights of the most one-sided words of 50 uses and more in a plane, by t-SNE (van der Maaten and Hinton 2008); seeded.

        The two kinds part, but the curls of the map are t-SNE's own: it keeps neighbours and no distances, and the weights lie on a line.
        """
        from sklearn.manifold import TSNE

        rated = np.flatnonzero(self.counts.sum(1) >= review_lines.RATED)
        if len(rated) < FEWEST:
            raise Problem(f"tsne: {len(rated)} words of the network have {review_lines.RATED} uses, where {FEWEST} are needed.", "", "data")
        ratios = review_lines.network_ratios(self.counts[rated])
        order = np.argsort(ratios, kind="stable")
        chosen = np.unique(np.concatenate([order[:POLAR], order[-POLAR:]]))
        method = TSNE(perplexity=min(PERPLEXITY, (len(chosen) - 1) / 3), init="random", random_state=0, learning_rate="auto")
        places = method.fit_transform(self.first[rated[chosen]].astype(np.float32))
        labels = [f"more in {CLASSES[int(ratio > 0)]} reviews" for ratio in ratios[chosen]]
        return Scatter(tag="t-SNE of words", x=places[:, 0].tolist(), y=places[:, 1].tolist(), labels=labels)

    def predict(self, inputs: Any) -> Any:
        """`{"review": "…"}` to `{"answer", "probabilities", "note"}`; 0.5 where no word is known."""
        text = inputs.get("review") if isinstance(inputs, dict) else None
        if not isinstance(text, str) or not text.strip() or len(text) > MOST_CHARACTERS:
            raise Problem(f"The input is no review of at most {MOST_CHARACTERS:,} characters.", 'Send {"review": "I liked it."}.', "data")
        review = self.inputs_of(review_lines.typed(text))
        positive = self.positive(review)
        note = "" if len(review[0]) else "There is no word in it that the network knows."
        return {
            "answer": CLASSES[positive >= 0.5],
            "probabilities": dict(zip(CLASSES, (1 - positive, positive), strict=True)),
            "note": note,
        }

    def serving(self) -> Serving:
        def examples(count: int) -> list[Any]:
            lines, _ = review_lines.read()
            return [{"review": line} for line in lines[self.seen : self.seen + count]]

        return Serving(
            Coding(BagOfWords(), Binary(of="probability"), CLASSES, [word or "(empty)" for word in self.words]),
            kind="project",
            examples=examples,
            truths=lambda count: [CLASSES[int(label)] for label in self.labels[self.seen : self.seen + count]],
        )


def sigmoid(score: float) -> float:
    """1 / (1 + exp(-score)), without overflow where it is far below zero."""
    return 0.5 * (1 + math.tanh(0.5 * score))
