"""Says whether a film review is positive, by boosted trees over counts of stems; no torch. Recipe: imdb-xgboost."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.datasets import imdb
from workbench.encoding import booster
from workbench.encoding.coding import MOST_CHARACTERS, Coding
from workbench.encoding.kinds import BagOfWords, Binary
from workbench.encoding.serving import Serving
from workbench.events import Event, Scalars, Table, Text
from workbench.problems import one_line
from workbench.torchkit.boosted import Boosted, BoostingSettings, tabled
from workbench.torchkit.classification import Predictions
from workbench.torchkit.word_counts import word_counts
from workbench.training.project import Field, Project

CLASSES = ["negative", "positive"]
COLUMNS = ["truth", "positive", "review"]
"""Of the tables of reviews."""
SHOWN = 8
"""Rows of a table: as many as a panel of 80 x 24 has room for."""
EXCERPT = 240
"""Characters of a review in a table."""
TYPED = "The trailer was wonderful. The film is not: two hours of beautiful pictures, and an awful, boring story."


class ReviewBoosting(Project):
    """Classifies film reviews by how often they have the most frequent words, in no order."""

    datasets = ("imdb",)
    takes = "text"

    class Config(BoostingSettings):
        words: int = Field(5000, ge=10, le=20_000)
        """Most frequent stems of the training reviews that are counted; more tell more, and take longer."""
        stem: bool = True
        """Count words with one stem together (Porter): loved, loves and loving are one."""

    class Request(Project.Request):
        review: str = Field("", max_length=MOST_CHARACTERS)
        """Your own review, with tags and capitals if you like; empty takes an invented one."""
        tree: int = Field(1, ge=1, le=1000)
        """Which tree is drawn; a later one corrects what is left of the error, so its numbers are smaller."""
        levels: int = Field(3, ge=1, le=6)
        """Questions from the root that are drawn; more show all of a deep tree, and need more room."""

    def build_data(self) -> None:
        self.reviews = imdb.read()
        texts = {name: reviews.texts for name, reviews in self.reviews.items()}
        vocabulary, counts = word_counts(texts, self.config.words, stem=self.config.stem)
        encoder = BagOfWords(stem="porter" if self.config.stem else "")
        self.coding = Coding(encoder, Binary(of="probability"), CLASSES, vocabulary)
        self.matrices = {name: booster.matrix(rows, encoder, vocabulary) for name, rows in counts.items()}

    def build_model(self) -> None:
        # Begins with one half: as many reviews are positive as negative.
        parameters = {"objective": "binary:logistic", "base_score": 0.5, **self.config.parameters()}
        self.boosted = Boosted(parameters, self.matrices, "train", self.compute.threads)

    def batches(self, epoch: int, rng: np.random.Generator) -> list[np.ndarray]:
        # An epoch is a round, so the draw depends on seed and round alone.
        return [self.config.drawn(len(self.reviews["train"].labels), rng)]

    def train_step(self, batch: Any) -> dict[str, Any]:
        """One round: a tree is fitted to what the trees before it leave of the log loss on the drawn reviews, and added."""
        labels = self.reviews["train"].labels
        positive = self.boosted.answers("train")
        # Of the log loss along the log odds: the first derivative is probability minus label, the second p (1 - p).
        self.boosted.update(positive - labels, positive * (1 - positive), batch)
        return self.figures("train")

    def changed(self, config: Any) -> None:
        self.boosted.set(eta=config.eta)

    def figures(self, split: str) -> dict[str, float]:
        """Log loss and accuracy."""
        labels, positive = self.reviews[split].labels, self.boosted.answers(split).astype(float)
        of_truth = np.where(labels > 0.5, positive, 1 - positive).clip(1e-7, 1)
        return {"loss": float(-np.log(of_truth).mean()), "accuracy": float(np.mean((positive > 0.5) == (labels > 0.5)))}

    # -- what it measures and shows -----------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """Loss and accuracy in every round; on "test" all that is shown of a split."""
        values = self.figures(split)
        if split == "test":
            values["accuracy/set_aside"] = self.figures("set_aside")["accuracy"]
            values |= self.predictions(split).binary_scores()
            yield from self.answered(split)
        yield Scalars(values=values)

    def predictions(self, split: str) -> Predictions:
        """What the trees answer to a split's reviews."""
        return Predictions(self.reviews[split].labels.astype(int), self.boosted.answers(split).astype(float), CLASSES)

    def answered(self, split: str) -> Iterator[Event]:
        """Confusion matrix with examples, ROC, and the reviews that it is most wrong about."""
        predictions = self.predictions(split)
        positive = predictions.probabilities[:, 1]
        yield predictions.confusion
        chosen, cells = predictions.first_of_cells(np.argsort(-np.abs(positive - 0.5), kind="stable"), SHOWN)
        yield Table(tag="confusion/examples", columns=COLUMNS, rows=[self.row(split, positive, place) for place in chosen], cells=cells)
        yield predictions.roc()
        wrong = np.flatnonzero(predictions.answers != predictions.labels)
        worst = wrong[np.argsort(-np.abs(positive[wrong] - 0.5), kind="stable")][:SHOWN]
        yield Table(tag="most_wrong", columns=COLUMNS, rows=[self.row(split, positive, place) for place in worst])

    def row(self, split: str, positive: np.ndarray, place: int) -> list[str | float]:
        """A review under `COLUMNS`."""
        reviews = self.reviews[split]
        return [CLASSES[int(reviews.labels[place])], round(float(positive[place]), 4), one_line(" ".join(reviews.texts[place]), EXCERPT)]

    def sample(self, request: Any) -> Iterator[Event]:
        """What the words of a review add, what each word is worth in all, a tree, and the answers to the validation reviews."""
        answer, added = self.contributions(request.review.strip() or TYPED)
        rows = [("positive, probability", round(answer["probabilities"]["positive"], 4)), *added]
        yield Table(tag="review", columns=["word", "adds to the log odds"], rows=tabled(rows, SHOWN + 1))
        yield Table(tag="gain", columns=["word", "gain", "splits"], rows=tabled(self.boosted.gains(), 2 * SHOWN))
        tree = self.boosted.tree(request.tree, request.levels)
        yield Text(tag="tree", text=tree or f"There are {self.boosted.rounds} trees so far.", prompt=f"tree {request.tree}")
        yield from self.answered("valid")

    # -- asked and served ---------------------------------------------------------------------------------------------------------------

    def contributions(self, text: str) -> tuple[dict[str, Any], list[tuple[str, float]]]:
        """The answer to a review, and what each word adds to its log odds by being there or absent, the largest first.

        These are Shapley values over the trees (TreeSHAP, Lundberg 2018), which with a constant sum to the log odds.
        """
        inputs = self.coding.batch([self.coding.encode(text)])
        (output,) = booster.outputs(self.boosted.booster, inputs, self.coding.encoder)
        matrix = booster.matrix(inputs, self.coding.encoder, list(self.coding.vocabulary))
        (added,) = self.boosted.booster.predict(matrix, pred_contribs=True)
        # The last one is the constant: the mean over the training reviews.
        order = np.argsort(-np.abs(added[:-1]), kind="stable")
        names = [word if times else f"no {word}" for word, times in zip(self.coding.vocabulary, inputs[0], strict=True)]
        return self.coding.decode(output), [(names[place], float(added[place])) for place in order if added[place]]

    def predict(self, inputs: Any) -> Any:
        """`{"review": "…"}`, raw or clean, to `{"answer", "probabilities", "note"}`; the note has what the first words add."""
        answer, added = self.contributions(inputs)
        note = ", ".join(f"{word} {value:+.3f}" for word, value in added[:SHOWN])
        return {**answer, "note": f"To the log odds add: {note}" if note else ""}

    def serving(self) -> Serving:
        test = self.reviews["test"]
        return Serving(
            self.coding,
            kind="xgboost",
            graph=self.boosted.booster,
            examples=lambda count: [{"review": " ".join(text)} for text in test.texts[:count]],
            truths=lambda count: [CLASSES[int(label)] for label in test.labels[:count]],
        )
