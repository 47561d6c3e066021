"""Says whether a film review is positive with a GRU, from the maximum and the mean of its states. Recipe: sentiment-gru."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from workbench.encoding.kinds import TextCodes
from workbench.encoding.serving import Serving
from workbench.torchkit.batches import sent
from workbench.torchkit.review_networks import Features, Parts, PooledGru
from workbench.torchkit.review_serving import served
from workbench.torchkit.reviews import Reading, ReviewProject
from workbench.training.project import Field, only


class SentimentGru(ReviewProject):
    """Says whether a film review is positive, from the maximum and the mean of a GRU's states."""

    class Config(Reading):
        embedding: int = only(50, when={"pretrained": 0}, ge=1)
        """Length of a word's vector where it is trained; higher can tell more words apart, and overfits sooner."""
        pretrained: int = Field(0, ge=0)
        """Length of pre-trained word vectors, made from which words stand near each other, and kept fixed; 0 trains vectors instead."""
        hidden: int = Field(128, ge=1)
        """Hidden units in each recurrent layer; more learn longer patterns, and cost time and overfit sooner."""
        layers: int = Field(1, ge=1)
        """Number of stacked recurrent layers; more are slower to train."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability between recurrent layers and before the output layer; higher reduces overfitting and slows learning."""
        vector_dropout: float = Field(0.0, ge=0, lt=1)
        """Dropout probability of the numbers in word vectors; higher reduces overfitting."""

    def build_data(self) -> None:
        self.load_reviews()
        self.load_features()

    def features(self, ids: np.ndarray) -> Features:
        """The words of a review that the GRU reads, in their order."""
        return (self.config.excerpt(ids),)

    def build_model(self) -> None:
        config, size = self.config, self.known_words()
        gru = PooledGru(size, config, self.pretrained_vectors(size, config.pretrained))
        self.network = Parts([gru]).to(self.device)
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
        encoder = TextCodes(length=self.config.length, both_ends=self.config.both_ends)
        return served(self, encoder, self.vocabulary.words[: self.known_words() - 1], self.network.parts[0])
