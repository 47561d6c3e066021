"""What the sentiment lessons share: film reviews as numbers, batches of similar length, what is measured and shown, and typed reviews."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from workbench.datasets import imdb
from workbench.events import Event, Scalars, Table
from workbench.preparation import counted
from workbench.problems import Problem
from workbench.torchkit.classification import Predictions
from workbench.torchkit.ngrams import Grams, Vocabulary, probabilities
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.project import TorchProject
from workbench.torchkit.review_networks import Features, Parts
from workbench.torchkit.word_vectors import word_vectors
from workbench.training.project import Batches, Field, Project, live

CLASSES = ["negative", "positive"]
COLUMNS = ["truth", "positive", "review"]
"""Of the tables of reviews."""
SHOWN = 8
"""Examples in each cell of the confusion matrix, most wrong reviews, and words that decide: as many as a panel of 80 x 24 has room for."""
SORTED = 50
"""Batches that are sorted by length together: with more there is less padding, and less chance in which reviews meet."""
ASKED = 100
"""Reviews that go through the network at once."""
MOST_CHARACTERS = 20_000
"""Of a typed review."""
EXCERPT = 240
"""Characters of a review in a table."""
TYPED = (
    "<b>Don't</b> let the slow beginning fool you:<br />by the end I was in tears, and I'd see it again TOMORROW.",
    "The trailer was wonderful. The film isn't: two hours of beautiful pictures, and nobody in it that I cared about.",
)


class ReviewSettings(LearningRate, Clipping):
    """Base of a sentiment lesson's Config: how its network is trained."""

    weight_decay: float = live(0.0, ge=0)
    """Strength with which each step of AdamW shrinks the weights towards zero; higher reduces overfitting, and too high underfits."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability with which each word or n-gram is left out in a training step; higher reduces overfitting."""


class Reading(ReviewSettings):
    """Base of a Config whose network reads words in their order."""

    vocabulary: int = Field(0, ge=0)
    """Number of most frequent training words that it knows; more adds rare words, which overfit; 0 knows all."""
    length: int = Field(0, ge=0)
    """Words read of a longer review; more sees more of it and takes longer; 0 reads all."""
    both_ends: bool = False
    """Read half of a long review's words at its beginning and half at its end, instead of its first words only."""

    def excerpt(self, ids: np.ndarray) -> np.ndarray:
        """The words of a review that are read, in their order. Numbers rise with falling frequency, so the vocabulary is a threshold."""
        read = ids[ids <= self.vocabulary] if self.vocabulary else ids
        length = self.length or len(read)
        if len(read) > length:
            begin = length - length // 2 if self.both_ends else length
            read = np.concatenate([read[:begin], read[len(read) - (length - begin) :]])
        return read


class ReviewProject(TorchProject):
    """Base of the sentiment lessons, which write their Config, `build_data`, `features`, `build_model` and `train_step`.

    Their `network` is made of `Parts`; they measure themselves on four splits of the same reviews.
    """

    datasets = ("imdb",)

    can_answer = True
    takes = "text"
    network: Parts

    class Request(Project.Request):
        review: str = Field("", max_length=MOST_CHARACTERS)
        """Your own review, with tags and capitals if you like; empty takes two invented ones."""

    # -- from words to numbers -------------------------------------------------------------------------------------------------------

    def load_reviews(self) -> None:
        """Read the reviews, and number the words of the training part: call it first in `build_data`."""
        self.reviews = imdb.read()
        texts = self.reviews["train"].texts
        self.vocabulary = Vocabulary(texts)
        self.words = [self.vocabulary.ids(text) for text in counted("numbering words", texts)]

    def load_features(self) -> None:
        """The features of every review of every split: call it last in `build_data`."""
        self.inputs = {"train": [self.features(ids) for ids in counted("finding features of reviews", self.words)]}
        for name in ("valid", "set_aside", "test"):
            self.inputs[name] = [self.features(self.vocabulary.ids(text)) for text in self.reviews[name].texts]

    def features(self, ids: np.ndarray) -> Features:
        """What each part of the network is given of a review, from its words' numbers."""
        raise NotImplementedError

    def known_words(self) -> int:
        """Numbers of words that a network with Reading settings may see, 0 for padding included."""
        most = len(self.vocabulary) - 1
        return (min(self.config.vocabulary, most) or most) + 1

    def pretrained_vectors(self, size: int, width: int) -> np.ndarray | None:
        """(size, width) vectors made from the training reviews' first `size` words, computed once and cached; None for a width of 0."""
        return word_vectors([ids[ids < size] for ids in self.words], size, width) if width else None

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        lengths, size = np.array([len(first) for first, *_ in self.inputs["train"]]), self.train.batch_size

        def similar(order: np.ndarray) -> np.ndarray:
            """Batches of reviews of about one length, in random order: so little of them is padding."""
            pieces = np.split(order, range(SORTED * size, len(order), SORTED * size))
            rows = np.concatenate([piece[np.argsort(lengths[piece], kind="stable")] for piece in pieces])
            count = len(rows) // size
            whole = rows[: count * size].reshape(count, size)[rng.permutation(count)]
            # The last, smaller batch stays last: `Batches` cuts by position.
            return np.concatenate([whole.ravel(), rows[count * size :]])

        return Batches([np.arange(len(lengths)), self.reviews["train"].labels], size, rng, index=similar)

    def thinned(self, rows: np.ndarray) -> list[Features]:
        """The features of training reviews, each number dropped with the probability `word_dropout`."""
        reviews, share = [self.inputs["train"][row] for row in rows], self.config.word_dropout
        if not share:
            return reviews
        # The global generator, whose state checkpoints hold: a resumed run drops the same words.
        return [tuple(ids[np.random.random(len(ids)) >= share] for ids in review) for review in reviews]

    # -- from numbers to a probability ------------------------------------------------------------------------------------------------

    def logits(self, reviews: Sequence[Features]) -> Tensor:
        """(reviews,) float32 log odds, above 0 for a positive one."""
        with self.autocast():
            log_odds: Tensor = self.network(reviews, self.device)
        # In float32 from here on: a sum of log odds in bfloat16 would keep 8 significant bits.
        return self.combined(log_odds.float())

    def combined(self, log_odds: Tensor) -> Tensor:
        """(parts, reviews) → (reviews,): the only part's, where a lesson does not combine several."""
        return log_odds[0]

    def positive(self, reviews: Sequence[Features]) -> np.ndarray:
        """Probability that each review is positive, (reviews,); those of similar length are asked together."""
        probabilities = np.empty(len(reviews))
        order = np.argsort([len(first) for first, *_ in reviews], kind="stable")
        for start in range(0, len(order), ASKED):
            rows = order[start : start + ASKED]
            # In double: in float32 a sigmoid is exactly 1 above 17, and the ranking of the most certain reviews would be lost.
            probabilities[rows] = self.logits([reviews[row] for row in rows]).double().sigmoid().cpu().numpy()
        return probabilities

    # -- what it shows ----------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """Loss, accuracy, area under the ROC, confusion matrix and the most wrong reviews; on "test" simple models beside it, too."""
        reviews = self.reviews[split]
        predictions = self.predictions(split)
        right = predictions.answers == predictions.labels
        of_truth = predictions.probabilities[np.arange(len(right)), predictions.labels].clip(1e-7, 1)  # a loss is at most 16.1
        values = {"loss": float(-np.log(of_truth).mean()), "accuracy": float(right.mean()), "auc": predictions.binary_scores()["auc"]}
        if split == "test":
            aside = self.predictions("set_aside")
            values["accuracy/set_aside"] = float((aside.answers == aside.labels).mean())
            others = self.baselines(split)
            values |= {f"accuracy/{name}": float(other.mean()) for name, other in others.items()}
            yield compared(right, others)
        yield Scalars(values=values)
        yield predictions.confusion
        positive = predictions.probabilities[:, 1]
        most_certain, cells = predictions.first_of_cells(np.argsort(-np.abs(positive - 0.5), kind="stable"), SHOWN)
        yield Table(tag="confusion/examples", columns=COLUMNS, rows=[row_of(reviews, positive, row) for row in most_certain], cells=cells)
        yield predictions.roc()
        most_wrong = np.argsort(of_truth)[: min(SHOWN, int((~right).sum()))]
        yield Table(tag="most_wrong", columns=COLUMNS, rows=[row_of(reviews, positive, row) for row in most_wrong])

    def predictions(self, split: str) -> Predictions:
        """What the network answers to a split's reviews."""
        return Predictions(self.reviews[split].labels.astype(int), self.positive(self.inputs[split]), CLASSES)

    def baselines(self, split: str) -> dict[str, np.ndarray]:
        """Which reviews two models without a network get right, fitted here to the same training reviews with all their words."""
        train, asked = self.reviews["train"], self.reviews[split]
        others = [self.vocabulary.ids(text) for text in asked.texts]
        right = {}
        for name, longest in (("bag_of_words", 1), ("nb_svm", 2)):
            grams = Grams(self.words, len(self.vocabulary), longest)
            seen, unseen = ([grams.of(ids) for ids in texts] for texts in (self.words, others))
            positive = probabilities(seen, train.labels, unseen, len(grams), bayes=name == "nb_svm")
            right[name] = (positive > 0.5) == (asked.labels > 0.5)
        return right

    def sample(self, request: Any) -> Iterator[Event]:
        """For each typed review what its words contribute, measured by leaving each of them out."""
        typed = bool(request.review.strip())
        for place, text in enumerate([request.review] if typed else TYPED, 1):
            whole, without = self.deciding(text)
            rows: list[list[str | float]] = [["nothing", round(whole, 4), ""]]
            rows += [[word, round(chance, 4), round(chance - whole, 4)] for word, chance in without[:SHOWN]]
            if more := self.not_left_out(text):
                rows.append([more, "", ""])
            yield Table(tag=f"review/{'typed' if typed else place}", columns=["left out", "positive", "difference"], rows=rows)

    def known(self, text: str) -> list[str]:
        """The words of a text that the network knows. Raises Problem where there are none."""
        words = [word for word in imdb.words(text) if word in self.vocabulary.number]
        if not words:
            raise Problem("There is no word in it that the network knows.", "It knows English film reviews.", "data")
        return words

    def not_left_out(self, text: str) -> str:
        """Says how many words `deciding` did not leave out, which happens in a long text."""
        more = len(set(self.known(text))) - (ASKED - 1)
        return f"The text is long: its other {more} words are not left out." if more > 0 else ""

    def deciding(self, text: str) -> tuple[float, list[tuple[str, float]]]:
        """Probability that a text is positive; and what it becomes without each of its first words, wherever they stand.

        The largest change comes first.
        """
        words = self.known(text)
        different = list(dict.fromkeys(words))[: ASKED - 1] if len(set(words)) > 1 else []
        # One batch, however long the text is: each review costs as much as the whole one.
        texts = [words, *([other for other in words if other != word] for word in different)]
        whole, *rest = self.positive([self.features(self.vocabulary.ids(part)) for part in texts]).tolist()
        return whole, sorted(zip(different, rest, strict=True), key=lambda pair: -abs(pair[1] - whole))

    def first_answer(self, inputs: Any) -> Any:
        """The answer alone: what each word does to it is a hundred times the work."""
        words = self.known(typed_review(inputs))
        (positive,) = self.positive([self.features(self.vocabulary.ids(words))]).tolist()
        return {**answer(positive), "note": "The network is asked again without each word …"}

    def predict(self, inputs: Any) -> Any:
        """`{"review": "…"}`, raw or clean, to `{"answer", "probabilities", "words": [{"word", "difference"}, …], "note", "aside"}`.

        A word's difference is what leaving it out does to the probability of "positive"; the note gives the first of them.
        """
        text = typed_review(inputs)
        positive, without = self.deciding(text)
        changes = [(word, chance - positive) for word, chance in without[:SHOWN]]
        note = ", ".join(f"{word} {change:+.3f}" for word, change in changes)
        return {
            **answer(positive),
            "words": [{"word": word, "difference": change} for word, change in changes],
            "note": f"Positive would be, without: {note}" if note else "",
            "aside": self.not_left_out(text),
        }


def typed_review(inputs: Any) -> str:
    """The review that somebody sent. Raises Problem where there is none."""
    text = inputs.get("review") if isinstance(inputs, dict) else None
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_CHARACTERS:
        raise Problem(f"The input is no review of at most {MOST_CHARACTERS:,} characters.", 'Send {"review": "I liked it."}.', "data")
    return text


def answer(positive: float) -> dict[str, Any]:
    """What a probability of "positive" means."""
    return {"answer": CLASSES[positive > 0.5], "probabilities": dict(zip(CLASSES, (1 - positive, positive), strict=True))}


def compared(right: np.ndarray, others: dict[str, np.ndarray]) -> Table:
    """The network beside simple models on the same reviews: accuracies, and their difference with its 95 % interval.

    The interval is of the mean of paired differences (1, 0 or -1 a review), by the normal approximation: 1.96 standard errors.
    """
    rows: list[list[str | float]] = [["the network", float(right.mean()), "", ""]]
    for name, other in others.items():
        difference = right.astype(float) - other
        # Paired: both saw the same reviews, so what is hard for both does not widen the interval.
        mean, margin = difference.mean(), 1.96 * difference.std(ddof=1) / math.sqrt(len(right))
        rows.append([name.replace("_", " "), float(other.mean()), round(float(mean), 4), f"{mean - margin:+.4f} to {mean + margin:+.4f}"])
    return Table(tag="compared", columns=["model", "accuracy", "network better by", "95 % interval"], rows=rows)


def row_of(reviews: imdb.Reviews, positive: np.ndarray, row: int) -> list[str | float]:
    """A review in a table, under `COLUMNS`."""
    return [CLASSES[int(reviews.labels[row])], round(float(positive[row]), 4), shortened(reviews.texts[row])]


def shortened(words: Sequence[str]) -> str:
    """The beginning and the end of a review, in one line."""
    text = " ".join(words)
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT // 2]} … {text[-EXCERPT // 2 :]}"
