"""Says whether a film review is positive by the mean of the vectors of its words and bigrams. Recipe: sentiment-bigrams."""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from workbench.project import Field, Settings, live
from workbench.torchkit.ngrams import Grams
from workbench.torchkit.review_networks import Features, MeanOfVectors, Parts
from workbench.torchkit.reviews import ReviewProject
from workbench.torchkit.schedules import set_rate


class SentimentBigrams(ReviewProject):
    """Says whether a film review is positive, from its words and pairs of neighbouring words."""

    class Config(Settings):
        embedding: int = Field(50, ge=1)
        """Length of the vector of a word or bigram; higher can tell more of them apart, and overfits sooner."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability before the output layer; higher reduces overfitting and slows learning."""
        word_dropout: float = Field(0.0, ge=0, lt=1)
        """Probability with which each word or bigram is left out in a training step; higher reduces overfitting."""
        learning_rate: float = live(0.001, gt=0)
        """Step size of AdamW, the highest of its schedule; higher learns faster and may diverge."""
        schedule: Literal["constant", "one-cycle"] = "constant"
        """Learning rate over the run: constant, or one-cycle, which rises to learning_rate and then falls to zero."""
        weight_decay: float = Field(0.0, ge=0)
        """Strength with which each step shrinks the weights towards zero; higher reduces overfitting, and too high underfits."""
        clip: float = Field(5.0, gt=0)
        """Largest gradient norm; a longer gradient is scaled down to it."""

    def build_data(self) -> None:
        self.load_reviews()
        self.grams = Grams(self.words, len(self.vocabulary), longest=2)
        self.load_features()

    def features(self, ids: np.ndarray) -> Features:
        """The words and bigrams of a review, each once: in what order they stand is lost."""
        return (self.grams.of(ids),)

    def build_model(self) -> None:
        config = self.config
        self.network = Parts([MeanOfVectors(len(self.grams), config.embedding, config.dropout)]).to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        rows, labels = batch
        set_rate(self.optimizer, self.config.learning_rate, self.config.schedule, self.progress)
        self.optimizer.zero_grad()
        targets = torch.from_numpy(labels).to(self.device)
        with self.autocast():
            (logits,) = self.network(self.thinned(rows), self.device)  # (reviews,)
            # Not the function's own mean, whose gradient has other last bits: older runs resume exactly.
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        return {"loss": loss, "accuracy": ((logits > 0) == (targets > 0.5)).float().mean()}
