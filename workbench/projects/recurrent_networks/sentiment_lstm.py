"""Says whether a film review is positive with the course's LSTM, whose last state decides. Recipe: sentiment-lstm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.encoding.kinds import TextCodes
from workbench.encoding.serving import Serving
from workbench.problems import Problem
from workbench.torchkit.batches import sent
from workbench.torchkit.review_networks import Features, Parts, padded
from workbench.torchkit.review_serving import served
from workbench.torchkit.reviews import Reading, ReviewProject
from workbench.training.project import Field

BETWEEN = 0.5
"""Dropout probability between recurrent layers: the course's network has this beside the setting `dropout`."""


class SentimentLstm(ReviewProject):
    """Says whether a film review is positive, from the last state of an LSTM."""

    class Config(Reading):
        embedding: int = Field(50, ge=1)
        """Length of a word's learned embedding vector; higher can tell more words apart, and overfits sooner."""
        hidden: int = Field(128, ge=1)
        """Hidden units in each recurrent layer; more learn longer patterns, and cost time and overfit sooner."""
        layers: int = Field(1, ge=1)
        """Number of stacked recurrent layers, with a dropout of 0.5 between them; more are slower to train."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability before the output layer; higher reduces overfitting and slows learning."""

    def build_data(self) -> None:
        self.load_reviews()
        self.load_features()

    def features(self, ids: np.ndarray) -> Features:
        """The words of a review that the LSTM reads, in their order."""
        return (self.config.excerpt(ids),)

    def build_model(self) -> None:
        config = self.config
        self.network = Parts([Lstm(self.known_words(), config)]).to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        rows, labels = batch  # (batch,) places in the training part; (batch,) 0 or 1
        self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        targets = sent(labels, self.device)
        with self.autocast():
            (logits,) = self.network(self.thinned(rows), self.device)  # (reviews,)
            # Not the function's own mean, whose gradient has other last bits: older runs resume exactly.
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").mean()
        loss.backward()
        self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "accuracy": ((logits > 0) == (targets > 0.5)).float().mean()}

    def serving(self) -> Serving:
        config = self.config
        if not config.length:
            text = "Where it reads whole reviews, padding before the shorter ones changes their answers: so none can be served in a batch."
            raise Problem(text, "Train it with config.length.")
        encoder = TextCodes(length=config.length, both_ends=config.both_ends, padded=True, side="left")
        return served(self, encoder, self.vocabulary.words[: self.known_words() - 1], self.network.parts[0])


class Lstm(nn.Module):
    """Word vectors, LSTM layers, and one linear layer on the last state."""

    def __init__(self, size: int, config: SentimentLstm.Config) -> None:
        super().__init__()
        self.length = config.length
        self.vectors = nn.Embedding(size, config.embedding, padding_idx=0)
        # PyTorch warns of dropout in a single layer, where there is nothing for it to do.
        between = BETWEEN if config.layers > 1 else 0.0
        self.recurrent = nn.LSTM(config.embedding, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.hidden, 1)

    def packed(self, reviews: Sequence[np.ndarray]) -> tuple[Tensor, ...]:
        """Reviews as (reviews, words) numbers, zeros on the left."""
        # As in the course, so that the last state is the last word's; and to the full length in every batch.
        return (padded(reviews, self.length or max(1, max(map(len, reviews))), left=True),)

    def forward(self, words: Tensor) -> Tensor:
        """(reviews, words) → (reviews,) log odds; 0 is padding."""
        states, _ = self.recurrent(self.vectors(words))  # (reviews, words, hidden)
        logits: Tensor = self.last(self.dropout(states[:, -1]))[:, 0]
        return logits
