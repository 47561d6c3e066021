"""Film reviews change, and the deployed model with them: an old and a new model on old and new reviews; no torch. Recipe: imdb-updating."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.datasets import imdb
from workbench.datasets.imdb import Reviews
from workbench.encoding import booster
from workbench.encoding.coding import MOST_CHARACTERS, Coding
from workbench.encoding.kinds import BagOfWords, Binary
from workbench.encoding.serving import Serving
from workbench.events import Event, Matrix, Scalars, Table
from workbench.torchkit.boosted import Boosted, BoostingSettings, tabled
from workbench.torchkit.word_counts import word_counts
from workbench.training.project import Field, Project

CLASSES = ["negative", "positive"]
AGES = ("old", "new")
SPLITS = ("train", "valid", "test")
SHOWN = 8
"""Rows of a table: as many as a panel of 80 x 24 has room for."""
TYPED = "A wonderful film with beautiful pictures, and a story that moved me to tears."


class UpdatedReviews(Project):
    """Trains one model on reviews as they were, another on reviews in which a word has come up, and tests both on both."""

    datasets = ("imdb",)
    takes = "text"

    class Config(BoostingSettings):
        words: int = Field(5000, ge=10, le=20_000)
        """Most frequent stems of a model's own training reviews that it counts; more tell more, and take longer."""
        word: str = Field("banana", pattern="^[a-z]{2,30}$")
        """The word that some of the new reviews have; one that the old model knows changes its inputs, another does not."""
        share: float = Field(0.2, gt=0, lt=1)
        """Share of the new reviews that get the word, and the other label; higher is a greater change."""

    class Request(Project.Request):
        review: str = Field("", max_length=MOST_CHARACTERS)
        """Your own review, which both models are asked with the word and without; empty takes an invented one."""

    # -- data -------------------------------------------------------------------------------------------------------------------------

    def build_data(self) -> None:
        old = {split: reviews for split, reviews in imdb.read().items() if split in SPLITS}
        new = {split: self.changed_reviews(reviews, place) for place, (split, reviews) in enumerate(old.items())}
        reviews = {f"{age} {split}": of for age, splits in (("old", old), ("new", new)) for split, of in splits.items()}
        self.labels = {name: of.labels for name, of in reviews.items()}
        self.new_test = new["test"]
        texts = {name: of.texts for name, of in reviews.items()}
        self.codings, self.matrices, self.uses = dict[str, Coding](), dict[str, dict[str, Any]](), dict[str, dict[str, int]]()
        encoder = BagOfWords(stem="porter")
        for age in AGES:
            # Each model knows the words of its own time.
            vocabulary, counts = word_counts(texts, self.config.words, stem=True, known=f"{age} train")
            self.codings[age] = Coding(encoder, Binary(of="probability"), CLASSES, vocabulary)
            self.matrices[age] = {name: booster.matrix(rows, encoder, vocabulary) for name, rows in counts.items()}
            totals = np.asarray(counts[f"{age} train"].sum(0)).ravel().astype(int)
            self.uses[age] = dict(zip(vocabulary, totals.tolist(), strict=True))
            if age == "old":
                # Of the numbers that the deployed model is given, how many the change changes.
                self.inputs_changed = int((counts["old test"] != counts["new test"]).nnz)

    def changed_reviews(self, reviews: Reviews, place: int) -> Reviews:
        """The same reviews; some of them, drawn by the run's seed, have the word, and the other label, as the course makes new data."""
        chosen = np.random.default_rng([self.seed, place]).random(len(reviews.texts)) < self.config.share
        texts = [[*text, self.config.word] if change else text for text, change in zip(reviews.texts, chosen, strict=True)]
        return Reviews(texts, np.where(chosen, 1 - reviews.labels, reviews.labels).astype(np.float32))

    # -- training ---------------------------------------------------------------------------------------------------------------------

    def build_model(self) -> None:
        parameters = {"objective": "binary:logistic", "base_score": 0.5, **self.config.parameters()}
        self.old = Boosted(parameters, self.matrices["old"], "old train", self.compute.threads)
        self.new = Boosted(parameters, self.matrices["new"], "new train", self.compute.threads)

    def models(self) -> dict[str, Boosted]:
        return {"old": self.old, "new": self.new}

    def batches(self, epoch: int, rng: np.random.Generator) -> list[np.ndarray]:
        # An epoch is a round of both models, fitted to the same reviews: what differs is the data alone.
        return [self.config.drawn(len(self.labels["old train"]), rng)]

    def train_step(self, batch: Any) -> dict[str, Any]:
        """One round of each model on the training reviews of its time: a tree is fitted to what is left of the log loss, and added."""
        for age, model in self.models().items():
            positive = model.answers(f"{age} train")
            # Of the log loss along the log odds: the first derivative is probability minus label, the second p (1 - p).
            model.update(positive - self.labels[f"{age} train"], positive * (1 - positive), batch)
        return self.losses("train")

    def changed(self, config: Any) -> None:
        for model in self.models().values():
            model.set(eta=config.eta)

    def losses(self, split: str) -> dict[str, float]:
        """Log loss of each model on the reviews of its time, and their mean, by which the best round is chosen."""
        losses = {}
        for age, model in self.models().items():
            positive, labels = model.answers(f"{age} {split}").astype(float), self.labels[f"{age} {split}"]
            losses[f"loss/{age}"] = float(-np.log(np.where(labels > 0.5, positive, 1 - positive).clip(1e-7, 1)).mean())
        return {"loss": sum(losses.values()) / len(losses), **losses}

    # -- what it measures and shows -----------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """The losses in every round; on "test" both models on both kinds of review, held out and the course's way."""
        if split != "test":
            yield Scalars(values=self.losses(split))
            return
        held_out = self.accuracies("test")
        # The course asks both models about new data made of the reviews that both were trained on; old data is its held-out test.
        course = {(model, data): value for (model, data), value in self.accuracies("train").items() if data == "new"}
        values = {f"accuracy/{model}_on_{data}": value for (model, data), value in held_out.items()}
        values |= {f"courses_way/{model}_on_{data}": value for (model, data), value in course.items()}
        values["gained"] = held_out["new", "new"] - held_out["old", "new"]
        values["lost"] = held_out["old", "old"] - held_out["new", "old"]
        values["inputs_changed"] = self.inputs_changed
        yield Scalars(values=values)
        rows = [[f"{model} model", f"{data} reviews", value, course.get((model, data), "")] for (model, data), value in held_out.items()]
        yield Table(tag="updated", columns=["model", "data", "held out", "trained on, as the course"], rows=tabled(rows, len(rows)))
        yield self.matrix(held_out)
        yield self.words()

    def accuracies(self, split: str) -> dict[tuple[str, str], float]:
        """Accuracy of each model (the first of the pair) on the old and the new form of a split's reviews."""
        pairs = [(model, data) for model in AGES for data in AGES]
        return {
            (model, data): float(np.mean((self.models()[model].answers(f"{data} {split}") > 0.5) == (self.labels[f"{data} {split}"] > 0.5)))
            for model, data in pairs
        }

    def matrix(self, accuracies: dict[tuple[str, str], float]) -> Matrix:
        values = [[round(accuracies[model, data], 4) for data in AGES] for model in AGES]
        return Matrix(tag="accuracy", values=values, rows=[f"{age} model" for age in AGES], columns=[f"{age} reviews" for age in AGES])

    def words(self) -> Table:
        """Which words only one of the models knows, with how often the training reviews of its time use them."""
        rows: list[list[str | float]] = []
        for age, other in (("new", "old"), ("old", "new")):
            only = [word for word in self.uses[age] if word not in self.uses[other]]
            what = "new" if age == "new" else "vanished"
            rows += [[what, word, self.uses[age][word]] for word in only[: SHOWN // 2]]
        return Table(tag="vocabulary", columns=["change", "word", "uses"], rows=rows)

    def sample(self, request: Any) -> Iterator[Event]:
        """What both models answer to a review with the word and without; accuracies on the validation reviews; words that came and went."""
        text, word = request.review.strip() or TYPED, self.config.word
        without = [part for part in imdb.words(text) if part != word]
        rows = []
        for age, model in self.models().items():
            coding = self.codings[age]
            inputs = coding.batch([coding.encode(" ".join([*without, *more]) or word) for more in ([], [word])])
            rows.append([f"{age} model", *booster.outputs(model.booster, inputs, coding.encoder).tolist()])
        yield Table(tag="review", columns=["positive, by the", f"without {word}", f"with {word}"], rows=tabled(rows, len(rows)))
        yield self.matrix(self.accuracies("valid"))
        yield self.words()
        yield Table(tag="gain", columns=["word of the new model", "gain", "splits"], rows=tabled(self.new.gains(), SHOWN))

    # -- asked and served ---------------------------------------------------------------------------------------------------------------

    def predict(self, inputs: Any) -> Any:
        """`{"review": "…"}` to the new model's `{"answer", "probabilities"}`, with the old one's in the note."""
        answers = {}
        for age, model in self.models().items():
            coding = self.codings[age]
            (output,) = booster.outputs(model.booster, coding.batch([coding.encode(inputs)]), coding.encoder)
            answers[age] = coding.decode(output)
        chance = answers["old"]["probabilities"]["positive"]
        return {**answers["new"], "note": f"The old model: {answers['old']['answer']}, positive with {chance:.3f}."}

    def serving(self) -> Serving:
        """The new model: imdb-xgboost is the old one."""
        return Serving(
            self.codings["new"],
            kind="xgboost",
            graph=self.new.booster,
            examples=lambda count: [{"review": " ".join(text)} for text in self.new_test.texts[:count]],
            truths=lambda count: [CLASSES[int(label)] for label in self.new_test.labels[:count]],
        )
