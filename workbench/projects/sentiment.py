"""Says whether a film review is positive: the course's LSTM, a GRU that sees whole reviews, or the mean of word and bigram vectors."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import imdb
from workbench.events import Event, Scalars, Table
from workbench.problems import Problem
from workbench.project import Batches, Field, Project, Settings, live
from workbench.torchkit.images import confusion
from workbench.torchkit.metrics import auc, roc_curve
from workbench.torchkit.ngrams import Grams, Vocabulary, chances
from workbench.torchkit.project import TorchProject

CLASSES = ["negative", "positive"]
SHOWN = 8
"""Examples of each cell of the confusion matrix, and the most wrong reviews."""
EXCERPT = 240
"""Characters of a review in a table."""
TYPED = (
    "<b>Don't</b> let the slow beginning fool you:<br />by the end I was in tears, and I'd see it again TOMORROW.",
    "The trailer was wonderful. The film isn't: two hours of beautiful pictures, and nobody in it that I cared about.",
)


class Sentiment(TorchProject):
    """Says whether a film review is positive."""

    can_answer = True

    class Config(Settings):
        model: Literal["lstm", "gru", "bigrams"] = "bigrams"
        """lstm: the course's, its last state decides; gru: the greatest and the mean of its states; bigrams: no order beyond two words"""
        vocabulary: int = Field(0, ge=0)
        """most frequent words of the training reviews that it knows; 0: all"""
        length: int = Field(0, ge=0)
        """words that lstm and gru read of a review; 0: all"""
        both_ends: bool = False
        """of a longer review read half at its beginning and half at its end; else the first words"""
        embedding: int = Field(50, ge=1)
        """numbers in a word's vector"""
        hidden: int = Field(128, ge=1)
        """units in each recurrent layer"""
        layers: int = Field(1, ge=1)
        """recurrent layers"""
        dropout: float = Field(0.3, ge=0, lt=1)
        """share of what goes into the last layer (lstm: the second, too) left out in each training step"""
        word_dropout: float = Field(0.0, ge=0, lt=1)
        """share of the words, or bigrams, that are left out in each training step"""
        learning_rate: float = live(0.001, gt=0)
        """length of Adam's step"""
        weight_decay: float = Field(0.0, ge=0)
        """pull of the weights towards zero"""
        clip: float = Field(5.0, gt=0)
        """longest gradient"""

    class Request(Project.Request):
        review: str = Field("", max_length=20_000)
        """a review of your own, with tags and capitals if you like; empty: two that are made up"""

    def build_data(self) -> None:
        config = self.config
        self.reviews = imdb.read()
        train = self.reviews["train"].texts
        self.vocabulary = Vocabulary(train, config.vocabulary)
        ids = [self.vocabulary.ids(text) for text in train]
        self.grams = Grams(ids, len(self.vocabulary), 2) if config.model == "bigrams" else None
        self.inputs = {"train": [self.seen(each) for each in ids]}
        for name in ("valid", "set_aside", "test"):
            self.inputs[name] = [self.seen(self.vocabulary.ids(text)) for text in self.reviews[name].texts]

    def build_model(self) -> None:
        config = self.config
        if self.grams:
            self.network: nn.Module = _Average(len(self.grams), config.embedding, config.dropout)
        else:
            self.network = _Recurrent(len(self.vocabulary), config)
        self.network.to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        lengths, size = np.array([len(each) for each in self.inputs["train"]]), self.train.batch_size

        def alike(order: np.ndarray) -> np.ndarray:
            """Batches of reviews of about one length, in random order: so little of them is padding."""
            pieces = [each[np.argsort(lengths[each], kind="stable")] for each in np.split(order, range(50 * size, len(order), 50 * size))]
            whole = np.concatenate(pieces)
            count = len(whole) // size
            return np.concatenate([whole[: count * size].reshape(count, size)[rng.permutation(count)].ravel(), whole[count * size :]])

        return Batches([np.arange(len(lengths)), self.reviews["train"].labels], size, rng, index=alike)

    def train_step(self, batch: Any) -> dict[str, Any]:
        rows, labels = batch
        self.optimizer.zero_grad()
        targets = torch.from_numpy(labels).to(self.device)
        logits = self.logits([self.thinned(self.inputs["train"][row]) for row in rows])
        loss = F.binary_cross_entropy_with_logits(logits, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        return {"loss": loss, "accuracy": ((logits > 0) == (targets > 0.5)).float().mean()}

    def changed(self, config: Settings) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate

    # -- from words to a probability ------------------------------------------------------------------------------------------------

    def seen(self, ids: np.ndarray) -> np.ndarray:
        """What the network is given of a review's words: those that it reads, or the words and bigrams that it knows."""
        if self.grams:
            return self.grams.of(ids)
        length = self.config.length or len(ids)
        if len(ids) <= length or not self.config.both_ends:
            return ids[:length]
        return np.concatenate([ids[: length - length // 2], ids[len(ids) - length // 2 :]])

    def thinned(self, ids: np.ndarray) -> np.ndarray:
        """A review without the share `word_dropout` of its words."""
        share = self.config.word_dropout
        return ids[np.random.random(len(ids)) >= share] if share else ids

    def logits(self, reviews: Sequence[np.ndarray]) -> Tensor:
        """(reviews,) float32, above 0 for a positive one."""
        with self.autocast():
            logits: Tensor = self.network(reviews, self.device)
            return logits.float()

    def positive(self, texts: Sequence[np.ndarray]) -> np.ndarray:
        """Probability that each is positive, (reviews,); those of one length together, in pieces."""
        found = np.empty(len(texts))
        order = np.argsort([len(each) for each in texts], kind="stable")
        for start in range(0, len(order), 100):
            rows = order[start : start + 100]
            found[rows] = self.logits([texts[row] for row in rows]).double().sigmoid().cpu().numpy()
        return found

    # -- what it shows ----------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        reviews = self.reviews[split]
        truth, positive = reviews.labels > 0.5, self.positive(self.inputs[split])
        right = (positive > 0.5) == truth
        sure = np.where(truth, positive, 1 - positive).clip(1e-7, 1)
        values = {"loss": float(-np.log(sure).mean()), "accuracy": float(right.mean()), "auc": auc(truth, positive)}
        if split == "test":
            aside = self.reviews["set_aside"]
            values["accuracy/set_aside"] = float(((self.positive(self.inputs["set_aside"]) > 0.5) == (aside.labels > 0.5)).mean())
            others = self.simple(split)
            values |= {f"accuracy/{name}": float(found.mean()) for name, found in others.items()}
            yield compared(right, others)
        yield Scalars(values=values)
        yield confusion(truth.astype(int), (positive > 0.5).astype(int), CLASSES)
        yield self.examples(reviews, positive)
        yield roc_curve(truth, positive)
        wrong = np.argsort(sure)[: min(SHOWN, int((~right).sum()))]
        rows: list[list[str | float]] = [
            [CLASSES[int(truth[row])], round(float(positive[row]), 4), excerpt(reviews.texts[row])] for row in wrong
        ]
        yield Table(tag="most_wrong", columns=["truth", "positive", "review"], rows=rows)

    def examples(self, reviews: imdb.Reviews, positive: np.ndarray) -> Table:
        """Reviews of each cell of the confusion matrix, the surest first."""
        rows: list[list[str | float]] = []
        cells: list[tuple[int, int]] = []
        for row in np.argsort(-np.abs(positive - 0.5), kind="stable"):
            cell = (int(reviews.labels[row]), int(positive[row] > 0.5))
            if cells.count(cell) < SHOWN:
                cells.append(cell)
                rows.append([CLASSES[cell[0]], round(float(positive[row]), 4), excerpt(reviews.texts[row])])
        return Table(tag="confusion/examples", columns=["truth", "positive", "review"], rows=rows, cells=cells)

    def simple(self, split: str) -> dict[str, np.ndarray]:
        """Which reviews two simple models get right, fitted here to the same training reviews with all their words."""
        train, asked = self.reviews["train"], self.reviews[split]
        vocabulary = Vocabulary(train.texts)
        ids, others = ([vocabulary.ids(text) for text in each.texts] for each in (train, asked))
        found = {}
        for name, longest in (("bag_of_words", 1), ("nb_svm", 2)):
            grams = Grams(ids, len(vocabulary), longest)
            seen, unseen = ([grams.of(each) for each in texts] for texts in (ids, others))
            found[name] = (chances(seen, train.labels, unseen, len(grams), bayes=name == "nb_svm") > 0.5) == (asked.labels > 0.5)
        return found

    def sample(self, request: Any) -> Iterator[Event]:
        for place, text in enumerate([request.review] if request.review.strip() else TYPED, 1):
            whole, without = self.deciding(text)
            rows: list[list[str | float]] = [["nothing", round(whole, 4), ""]]
            rows += [[word, round(chance, 4), round(chance - whole, 4)] for word, chance in without[:SHOWN]]
            yield Table(
                tag=f"review/{'typed' if request.review.strip() else place}", columns=["left out", "positive", "difference"], rows=rows
            )

    def deciding(self, text: str) -> tuple[float, list[tuple[str, float]]]:
        """Probability that the text is positive; and without each of its words, wherever it stands, the most changing first."""
        words = [word for word in imdb.words(text) if word in self.vocabulary.number]
        if not words:
            raise Problem("There is no word in it that the network knows.", "It knows English film reviews.", "data")
        different = list(dict.fromkeys(words)) if len(set(words)) > 1 else []
        texts = [words, *([other for other in words if other != word] for word in different)]
        whole, *rest = self.positive([self.seen(self.vocabulary.ids(each)) for each in texts]).tolist()
        return whole, sorted(zip(different, rest, strict=True), key=lambda each: -abs(each[1] - whole))

    def predict(self, inputs: Any) -> Any:
        """`{"text": "…"}`, raw or clean, to `{"answer", "probabilities", "words": [{"word", "difference"}, …]}`.

        A word's difference is what leaving it out does to the probability of "positive".
        """
        text = inputs.get("text") if isinstance(inputs, dict) else None
        if not isinstance(text, str) or len(text) > 20_000:
            raise Problem("The input is no review of at most 20,000 characters.", 'Send {"text": "I liked it."}.', "data")
        positive, without = self.deciding(text)
        return {
            "answer": CLASSES[positive > 0.5],
            "probabilities": dict(zip(CLASSES, (1 - positive, positive), strict=True)),
            "words": [{"word": word, "difference": chance - positive} for word, chance in without[:SHOWN]],
        }


def compared(right: np.ndarray, others: dict[str, np.ndarray]) -> Table:
    """The network beside simple models on the same reviews: accuracies, and their difference with its 95 % interval.

    The interval is of the mean of paired differences (1, 0 or -1 a review), by the normal approximation.
    """
    rows: list[list[str | float]] = [["the network", float(right.mean()), "", ""]]
    for name, other in others.items():
        difference = right.astype(float) - other
        mean, margin = difference.mean(), 1.96 * difference.std(ddof=1) / math.sqrt(len(right))
        rows.append([name.replace("_", " "), float(other.mean()), round(float(mean), 4), f"{mean - margin:+.4f} to {mean + margin:+.4f}"])
    return Table(tag="compared", columns=["model", "accuracy", "network better by", "95 % interval"], rows=rows)


def excerpt(words: Sequence[str]) -> str:
    """The beginning and the end of a review, in one line."""
    text = " ".join(words)
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT // 2]} … {text[-EXCERPT // 2 :]}"


class _Average(nn.Module):
    """The mean of the vectors of what a text has, then one linear layer (Joulin and others 2016, fastText)."""

    def __init__(self, size: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.vectors = nn.EmbeddingBag(size, embedding, mode="mean")
        nn.init.uniform_(self.vectors.weight, -1 / embedding, 1 / embedding)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(embedding, 1)

    def forward(self, reviews: Sequence[np.ndarray], device: torch.device) -> Tensor:
        starts = np.cumsum([0, *map(len, reviews[:-1])])
        means = self.vectors(*(torch.from_numpy(each).to(device) for each in (np.concatenate(reviews), starts)))
        logits: Tensor = self.last(self.dropout(means))[:, 0]
        return logits


class _Recurrent(nn.Module):
    """Word vectors, LSTM or GRU, one linear layer."""

    def __init__(self, size: int, config: Any) -> None:
        super().__init__()
        self.length = config.length
        self.vectors = nn.Embedding(size, config.embedding, padding_idx=0)
        self.whole = config.model == "gru"
        kind = nn.GRU if self.whole else nn.LSTM
        between = 0.0 if config.layers == 1 else 0.5 if not self.whole else config.dropout
        self.recurrent = kind(config.embedding, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.hidden * (2 if self.whole else 1), 1)

    def forward(self, reviews: Sequence[np.ndarray], device: torch.device) -> Tensor:
        longest = max(1, self.length if not self.whole and self.length else max(map(len, reviews)))
        ids = np.zeros((len(reviews), longest), np.int64)
        for row, review in zip(ids, reviews, strict=True):
            # The course pads on the left, so that the last state is the last word's. A state never sees what is padded on its right.
            row[: len(review)] = review if self.whole else 0
            if not self.whole and len(review):
                row[-len(review) :] = review
        known = torch.from_numpy(ids).to(device)
        states, _ = self.recurrent(self.vectors(known))  # (batch, time, hidden)
        if not self.whole:
            last: Tensor = self.last(self.dropout(states[:, -1]))[:, 0]
            return last
        there = (known > 0)[..., None]
        greatest = states.masked_fill(~there, -1.0).amax(1)  # a GRU's states lie above -1
        mean = (states * there).sum(1) / there.sum(1).clamp(min=1)
        logits: Tensor = self.last(self.dropout(torch.cat([greatest, mean], 1)))[:, 0]
        return logits
