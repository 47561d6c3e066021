"""Says whether a film review is positive with a GRU, a mean of n-gram vectors, and NB-SVM together. Recipe: sentiment-ensemble."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.encoding.kinds import TextCodes
from workbench.encoding.serving import Serving
from workbench.torchkit.batches import sent
from workbench.torchkit.ngrams import Grams, linear
from workbench.torchkit.review_networks import Features, FixedSum, MeanOfVectors, Parts, PooledGru
from workbench.torchkit.review_serving import served
from workbench.torchkit.reviews import Reading, ReviewProject
from workbench.training.project import Field


class SentimentEnsemble(ReviewProject):
    """Says whether a film review is positive, from the log odds of three models."""

    class Config(Reading):
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0)
        """Factors of the log odds of the GRU, the n-gram vectors and NB-SVM in their sum; a higher one gives that model more say."""
        embedding: int = Field(50, ge=1)
        """Length of the vectors of n-grams, and of the GRU's words where these are trained; higher overfits sooner."""
        pretrained: int = Field(0, ge=0)
        """Length of the GRU's pre-trained word vectors, made from which words stand near each other, and kept fixed; 0 trains them."""
        hidden: int = Field(128, ge=1)
        """Hidden units in each recurrent layer; more learn longer patterns, and cost time and overfit sooner."""
        layers: int = Field(1, ge=1)
        """Number of stacked recurrent layers; more are slower to train."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability between recurrent layers and before both output layers; higher reduces overfitting and slows learning."""
        vector_dropout: float = Field(0.0, ge=0, lt=1)
        """Dropout probability of the numbers in the GRU's word vectors; higher reduces overfitting."""

    def build_data(self) -> None:
        self.load_reviews()
        self.grams = Grams(self.words, len(self.vocabulary), longest=3)
        self.load_features()
        self.shares = torch.tensor(self.config.shares, device=self.device)[:, None]  # (3, 1)

    def features(self, ids: np.ndarray) -> Features:
        """The words of a review that the GRU reads; and for the other two its runs of one to three words, each once."""
        grams = self.grams.of(ids)
        return self.config.excerpt(ids), grams, grams

    def build_model(self) -> None:
        config, size = self.config, self.known_words()
        gru = PooledGru(size, config, self.pretrained_vectors(size, config.pretrained))
        mean = MeanOfVectors(len(self.grams), config.embedding, config.dropout)
        grams = [grams for *_, grams in self.inputs["train"]]
        # Fitted here, once, by scikit-learn: the training steps leave it as it is.
        nb_svm = FixedSum(*linear(grams, self.reviews["train"].labels, len(self.grams), bayes=True))
        self.network = Parts([gru, mean, nb_svm]).to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        rows, labels = batch  # (batch,) places in the training part; (batch,) 0 or 1
        self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        targets = sent(labels, self.device)
        with self.autocast():
            logits = self.network(self.thinned(rows), self.device)  # (2, reviews): NB-SVM is not trained
            losses = F.binary_cross_entropy_with_logits(logits.float(), targets.expand_as(logits), reduction="none").mean(1)
        # The sum, so that each network learns as fast as it would alone.
        losses.sum().backward()
        self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": losses.mean(), "accuracy": ((logits > 0) == (targets > 0.5)).float().mean()}

    def combined(self, log_odds: Tensor) -> Tensor:
        """(3, reviews) → (reviews,): the sum by their shares."""
        return (log_odds * self.shares).sum(0)

    def serving(self) -> Serving:
        # Three models with three encodings of a review: only the project itself puts them together.
        return served(self, TextCodes(), self.vocabulary.words, None)
