"""Says whether a film review is positive: the course's LSTM, a GRU, the mean of vectors, or these two and NB-SVM together."""

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
from workbench.torchkit.classification import Predictions
from workbench.torchkit.metrics import auc, roc_curve
from workbench.torchkit.ngrams import Grams, Vocabulary, chances, linear
from workbench.torchkit.optimization import set_rate
from workbench.torchkit.project import TorchProject
from workbench.torchkit.word_vectors import word_vectors

CLASSES = ["negative", "positive"]
SHOWN = 8
"""Examples of each cell of the confusion matrix, and the most wrong reviews."""
VECTORS = 0.3
"""Standard deviation of the numbers in vectors that were made before."""
Seen = tuple[np.ndarray, ...]
"""A review as numbers, once for each part of the network."""
EXCERPT = 240
"""Characters of a review in a table."""
TYPED = (
    "<b>Don't</b> let the slow beginning fool you:<br />by the end I was in tears, and I'd see it again TOMORROW.",
    "The trailer was wonderful. The film isn't: two hours of beautiful pictures, and nobody in it that I cared about.",
)


class Sentiment(TorchProject):
    """Says whether a film review is positive."""

    can_answer = True
    takes = "text"

    class Config(Settings):
        model: Literal["lstm", "gru", "bigrams", "ensemble"] = "bigrams"
        """lstm: the course's, its last state decides; gru: the greatest and the mean of its states; bigrams: the mean of the
        vectors of words and pairs of words; ensemble: gru, the same of runs of up to three words, and NB-SVM on these, each trained by
        itself, their log odds added"""
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0)
        """by what the log odds of the ensemble's three are multiplied"""
        vocabulary: int = Field(0, ge=0)
        """most frequent words of the training reviews that it knows; 0: all"""
        length: int = Field(0, ge=0)
        """words that lstm and gru read of a review; 0: all"""
        both_ends: bool = False
        """of a longer review read half at its beginning and half at its end; else the first words"""
        embedding: int = Field(50, ge=1)
        """numbers in a word's vector"""
        pretrained: int = Field(0, ge=0)
        """gru: numbers in vectors made from which training words stand near each other, and not trained; 0: `embedding`, trained"""
        hidden: int = Field(128, ge=1)
        """units in each recurrent layer"""
        layers: int = Field(1, ge=1)
        """recurrent layers"""
        dropout: float = Field(0.3, ge=0, lt=1)
        """share of what goes into the last layer (lstm: the second, too) left out in each training step"""
        word_dropout: float = Field(0.0, ge=0, lt=1)
        """share of the words, or runs of words, that are left out in each training step"""
        vector_dropout: float = Field(0.0, ge=0, lt=1)
        """gru: share of the numbers in the words' vectors left out in each training step"""
        learning_rate: float = live(0.001, gt=0)
        """length of Adam's step, the longest of a schedule"""
        schedule: Literal["constant", "one-cycle"] = "constant"
        """whether that changes over the run"""
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
        self.vocabulary = Vocabulary(train)
        self.words = [self.vocabulary.ids(text) for text in train]
        longest = {"bigrams": 2, "ensemble": 3}.get(config.model)
        self.grams = Grams(self.words, len(self.vocabulary), longest) if longest else None
        self.inputs = {"train": [self.seen(each) for each in self.words]}
        for name in ("valid", "set_aside", "test"):
            self.inputs[name] = [self.seen(self.vocabulary.ids(text)) for text in self.reviews[name].texts]

    def build_model(self) -> None:
        config, together = self.config, self.config.model == "ensemble"
        known = min(config.vocabulary, len(self.vocabulary) - 1) or len(self.vocabulary) - 1
        parts: list[nn.Module] = []
        if config.model != "bigrams":
            width = config.pretrained
            made = word_vectors([each[each <= known] for each in self.words], known + 1, width) if width else None
            parts = [_Recurrent(known + 1, config, made)]
        if self.grams is not None:
            parts.append(_Average(len(self.grams), config))
            if together:
                seen = [each[-1] for each in self.inputs["train"]]
                parts.append(_Fixed(*linear(seen, self.reviews["train"].labels, len(self.grams), bayes=True)))
        self.network = _Together(parts, config.shares if together else (1.0,))
        self.network.to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def batches(self, epoch: int, rng: np.random.Generator) -> Batches:
        lengths, size = np.array([len(first) for first, *_ in self.inputs["train"]]), self.train.batch_size

        def alike(order: np.ndarray) -> np.ndarray:
            """Batches of reviews of about one length, in random order: so little of them is padding."""
            pieces = [each[np.argsort(lengths[each], kind="stable")] for each in np.split(order, range(50 * size, len(order), 50 * size))]
            whole = np.concatenate(pieces)
            count = len(whole) // size
            return np.concatenate([whole[: count * size].reshape(count, size)[rng.permutation(count)].ravel(), whole[count * size :]])

        return Batches([np.arange(len(lengths)), self.reviews["train"].labels], size, rng, index=alike)

    def train_step(self, batch: Any) -> dict[str, Any]:
        rows, labels = batch
        set_rate(self.optimizer, self.config.learning_rate, self.config.schedule, self.progress)
        self.optimizer.zero_grad()
        targets = torch.from_numpy(labels).to(self.device)
        with self.autocast():
            each = self.network([self.thinned(self.inputs["train"][row]) for row in rows], self.device)  # (parts, reviews)
            losses = F.binary_cross_entropy_with_logits(each.float(), targets.expand_as(each), reduction="none").mean(1)
        losses.sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        return {"loss": losses.mean(), "accuracy": ((each > 0) == (targets > 0.5)).float().mean()}

    # -- from words to a probability ------------------------------------------------------------------------------------------------

    def seen(self, ids: np.ndarray) -> Seen:
        """What each part of the network is given of a review: the words that it reads, the runs of words that it knows."""
        config = self.config
        words = []
        if config.model != "bigrams":
            read = ids[ids <= config.vocabulary] if config.vocabulary else ids
            length = config.length or len(read)
            if len(read) > length:
                begin = length - length // 2 if config.both_ends else length
                read = np.concatenate([read[:begin], read[len(read) - (length - begin) :]])
            words = [read]
        runs = [self.grams.of(ids)] if self.grams is not None else []
        return (*words, *(2 * runs if config.model == "ensemble" else runs))

    def thinned(self, review: Seen) -> Seen:
        """A review without the share `word_dropout` of its words, of its runs of words."""
        share = self.config.word_dropout
        return tuple(ids[np.random.random(len(ids)) >= share] for ids in review) if share else review

    def logits(self, reviews: Sequence[Seen]) -> Tensor:
        """(reviews,) float32, above 0 for a positive one."""
        with self.autocast():
            each: Tensor = self.network(reviews, self.device)
        return (each.float() * self.network.shares[:, None]).sum(0)

    def positive(self, reviews: Sequence[Seen]) -> np.ndarray:
        """Probability that each is positive, (reviews,); those of one length together, in pieces."""
        found = np.empty(len(reviews))
        order = np.argsort([len(first) for first, *_ in reviews], kind="stable")
        for start in range(0, len(order), 100):
            rows = order[start : start + 100]
            found[rows] = self.logits([reviews[row] for row in rows]).double().sigmoid().cpu().numpy()
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
        yield Predictions(truth.astype(int), positive, CLASSES).confusion
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
        """`{"review": "…"}`, raw or clean, to `{"answer", "probabilities", "words": [{"word", "difference"}, …], "note"}`.

        A word's difference is what leaving it out does to the probability of "positive"; the note says the first of them.
        """
        text = inputs.get("review") if isinstance(inputs, dict) else None
        if not isinstance(text, str) or not text.strip() or len(text) > 20_000:
            raise Problem("The input is no review of at most 20,000 characters.", 'Send {"review": "I liked it."}.', "data")
        positive, without = self.deciding(text)
        said = ", ".join(f"{word} {chance - positive:+.3f}" for word, chance in without[:SHOWN])
        return {
            "answer": CLASSES[positive > 0.5],
            "probabilities": dict(zip(CLASSES, (1 - positive, positive), strict=True)),
            "words": [{"word": word, "difference": chance - positive} for word, chance in without[:SHOWN]],
            "note": f"Positive would be, without: {said}" if said else "",
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


class _Together(nn.Module):
    """Networks that are trained side by side, each with a loss of its own; what they say is added, by their shares."""

    shares: Tensor

    def __init__(self, parts: Sequence[nn.Module], shares: Sequence[float]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.register_buffer("shares", torch.tensor(shares), persistent=False)

    def forward(self, reviews: Sequence[Seen], device: torch.device) -> Tensor:
        """(parts, reviews) log odds; in training only of the parts that learn."""
        learning = [part for part in self.parts if not (self.training and isinstance(part, _Fixed))]
        return torch.stack([part([each[place] for each in reviews], device) for place, part in enumerate(learning)])


def _bag(reviews: Sequence[np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """All their numbers in a row, and where each begins: what EmbeddingBag wants."""
    starts = np.cumsum([0, *map(len, reviews[:-1])])
    return torch.from_numpy(np.concatenate(reviews)).to(device), torch.from_numpy(starts).to(device)


class _Average(nn.Module):
    """The mean of the vectors of what a text has, then one linear layer (Joulin and others 2016, fastText)."""

    def __init__(self, size: int, config: Any) -> None:
        super().__init__()
        width = config.embedding
        self.vectors = nn.EmbeddingBag(size, width, mode="mean")
        nn.init.uniform_(self.vectors.weight, -1 / width, 1 / width)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(width, 1)

    def forward(self, reviews: Sequence[np.ndarray], device: torch.device) -> Tensor:
        logits: Tensor = self.last(self.dropout(self.vectors(*_bag(reviews, device))))[:, 0]
        return logits


class _Fixed(nn.Module):
    """Log odds that are a sum over what a text has: fitted before, and not trained."""

    weights: Tensor
    bias: Tensor

    def __init__(self, weights: np.ndarray, bias: float) -> None:
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(weights).float()[:, None])
        self.register_buffer("bias", torch.tensor(bias))

    def forward(self, reviews: Sequence[np.ndarray], device: torch.device) -> Tensor:
        ids, starts = _bag(reviews, device)
        return F.embedding_bag(ids, self.weights, starts, mode="sum")[:, 0] + self.bias


class _Recurrent(nn.Module):
    """Word vectors, LSTM or GRU, one linear layer."""

    def __init__(self, size: int, config: Any, vectors: np.ndarray | None) -> None:
        super().__init__()
        self.length = config.length
        width = config.embedding if vectors is None else vectors.shape[1]
        self.vectors = nn.Embedding(size, width, padding_idx=0)
        self.whole = config.model != "lstm"
        kind = nn.GRU if self.whole else nn.LSTM
        between = 0.0 if config.layers == 1 else 0.5 if not self.whole else config.dropout
        self.recurrent = kind(width, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.thin = nn.Dropout(config.vector_dropout if self.whole else 0.0)
        if vectors is not None:
            self.vectors.weight.data.copy_(VECTORS * torch.from_numpy(vectors))
            self.vectors.weight.requires_grad_(False)
        self.last = nn.Linear(2 * config.hidden + width if self.whole else config.hidden, 1)

    def forward(self, reviews: Sequence[np.ndarray], device: torch.device) -> Tensor:
        longest = max(1, self.length if not self.whole and self.length else max(map(len, reviews)))
        ids = np.zeros((len(reviews), longest), np.int64)
        for row, review in zip(ids, reviews, strict=True):
            # The course pads on the left, so that the last state is the last word's. A state never sees what is padded on its right.
            row[: len(review)] = review if self.whole else 0
            if not self.whole and len(review):
                row[-len(review) :] = review
        known = torch.from_numpy(ids).to(device)
        vectors = self.thin(self.vectors(known))
        states, _ = self.recurrent(vectors)  # (batch, time, hidden)
        if not self.whole:
            last: Tensor = self.last(self.dropout(states[:, -1]))[:, 0]
            return last
        there = (known > 0)[..., None]
        count = there.sum(1).clamp(min=1)
        greatest = states.masked_fill(~there, -1.0).amax(1)  # a GRU's states lie above -1
        means = [(each * there).sum(1) / count for each in (states, vectors)]
        logits: Tensor = self.last(self.dropout(torch.cat([greatest, *means], 1)))[:, 0]
        return logits
