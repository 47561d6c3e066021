"""Networks that turn a review into the log odds that it is positive, for the sentiment lessons: a GRU, a mean of vectors, a fixed sum."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.torchkit.batches import sent

Features = tuple[np.ndarray, ...]
"""A review as numbers of its words or of its runs of words, an array for each part of a lesson's network."""
SPREAD = 0.3
"""Standard deviation of pre-trained word vectors in the network; they come with a variance of 1."""


def padded(reviews: Sequence[np.ndarray], length: int, *, left: bool) -> Tensor:
    """(reviews, length) word numbers, with zeros on the left or on the right of shorter reviews."""
    words = np.zeros((len(reviews), length), np.int64)
    for row, review in zip(words, reviews, strict=True):
        start = length - len(review) if left else 0
        row[start : start + len(review)] = review
    return torch.from_numpy(words)


def bag(reviews: Sequence[np.ndarray]) -> tuple[Tensor, ...]:
    """All the reviews' numbers in one row, and where each review begins: what EmbeddingBag takes."""
    return torch.from_numpy(np.concatenate(reviews)), torch.from_numpy(np.cumsum([0, *map(len, reviews[:-1])]))


class Parts(nn.Module):
    """Networks side by side, each trained with a loss of its own. A lesson with one network has one part."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, reviews: Sequence[Features], device: torch.device) -> Tensor:
        """(parts, reviews) log odds; in training only those of parts that have weights to train, which come first."""
        parts: list[Any] = [part for part in self.parts if not self.training or any(True for _ in part.parameters())]
        packed = [part.packed([review[place] for review in reviews]) for place, part in enumerate(parts)]
        return torch.stack([part(*(sent(tensor, device) for tensor in tensors)) for part, tensors in zip(parts, packed, strict=True)])


class PooledGru(nn.Module):
    """Word vectors, a GRU, and one linear layer over the maximum and the mean of its states and the mean of the vectors."""

    def __init__(self, size: int, config: Any, vectors: np.ndarray | None) -> None:
        """Pre-trained `vectors` (size, their width) stay as they are; without them `config.embedding` numbers of each word are trained."""
        super().__init__()
        width = config.embedding if vectors is None else vectors.shape[1]
        self.vectors = nn.Embedding(size, width, padding_idx=0)
        # PyTorch warns of dropout in a single layer, where there is nothing for it to do.
        between = config.dropout if config.layers > 1 else 0.0
        self.recurrent = nn.GRU(width, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.vector_dropout = nn.Dropout(config.vector_dropout)
        if vectors is not None:
            self.vectors.weight.data.copy_(SPREAD * torch.from_numpy(vectors))
            self.vectors.weight.requires_grad_(False)
        self.last = nn.Linear(2 * config.hidden + width, 1)

    def packed(self, reviews: Sequence[np.ndarray]) -> tuple[Tensor, ...]:
        """Reviews as (reviews, words) numbers, zeros on the right."""
        return (padded(reviews, max(1, max(map(len, reviews))), left=False),)

    def forward(self, words: Tensor) -> Tensor:
        """(reviews, words) → (reviews,) log odds; 0 is padding."""
        vectors = self.vector_dropout(self.vectors(words))  # (reviews, words, width)
        states, _ = self.recurrent(vectors)  # (reviews, words, hidden)
        # Padding stands on the right, where no earlier state sees it, and is left out of the maximum and the means.
        real = (words > 0)[..., None]
        count = real.sum(1).clamp(min=1)
        maximum = states.masked_fill(~real, -1.0).amax(1)  # a GRU's states lie above -1
        means = [(values * real).sum(1) / count for values in (states, vectors)]
        logits: Tensor = self.last(self.dropout(torch.cat([maximum, *means], 1)))[:, 0]
        return logits


class MeanOfVectors(nn.Module):
    """The mean of the vectors of what a review has, then one linear layer (Joulin and others 2016, fastText)."""

    def __init__(self, size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.vectors = nn.EmbeddingBag(size, width, mode="mean")
        # As fastText does; EmbeddingBag alone would start with a variance of 1.
        nn.init.uniform_(self.vectors.weight, -1 / width, 1 / width)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(width, 1)

    packed = staticmethod(bag)

    def forward(self, features: Tensor, starts: Tensor) -> Tensor:
        """All the reviews' numbers in one row and where each review begins → (reviews,) log odds."""
        logits: Tensor = self.last(self.dropout(self.vectors(features, starts)))[:, 0]
        return logits


class FixedSum(nn.Module):
    """A linear model that was fitted before and is not trained: the sum of what each of a review's features adds to the log odds."""

    weights: Tensor
    bias: Tensor

    def __init__(self, weights: np.ndarray, bias: float) -> None:
        super().__init__()
        # Buffers, not parameters: they move with the module to its device, and no optimizer sees them.
        self.register_buffer("weights", torch.from_numpy(weights).float()[:, None])
        self.register_buffer("bias", torch.tensor(bias))

    packed = staticmethod(bag)

    def forward(self, features: Tensor, starts: Tensor) -> Tensor:
        """All the reviews' numbers in one row and where each review begins → (reviews,) log odds."""
        return F.embedding_bag(features, self.weights, starts, mode="sum")[:, 0] + self.bias
