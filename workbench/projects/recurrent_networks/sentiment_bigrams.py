"""Says whether a film review is positive by the mean of the vectors of its words and bigrams. Recipe: sentiment-bigrams."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from workbench.encoding.serving import Serving
from workbench.torchkit.batches import sent
from workbench.torchkit.ngrams import Grams
from workbench.torchkit.review_networks import Features, MeanOfVectors, Parts
from workbench.torchkit.review_serving import bigrams
from workbench.torchkit.reviews import ReviewProject, ReviewSettings
from workbench.training.project import Field


class SentimentBigrams(ReviewProject):
    """Says whether a film review is positive, from its words and pairs of neighbouring words."""

    class Config(ReviewSettings):
        embedding: int = Field(50, ge=1)
        """Length of the vector of a word or bigram; higher can tell more of them apart, and overfits sooner."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability before the output layer; higher reduces overfitting and slows learning."""

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
        part = self.network.parts[0]
        assert isinstance(part, MeanOfVectors)
        return bigrams(self, self.grams, part)
