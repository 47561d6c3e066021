"""The network of tv_scripts: recurrent layers over words, and a softmax in clusters that is exact and costs little."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.torchkit import language

NOTHING = 1e-30
"""As good as no probability; its logarithm is still finite, in bfloat16 too."""
MOST_RESERVED = 0.5
"""Largest probability kept for unseen words: in a very short text nearly every word stands once, and would leave nothing for the others."""
INITIAL = 0.1
"""Tied vectors start uniform in ± this, as the small network of Zaremba and others (2014): variance 1 would give huge logits."""


class WordNetwork(nn.Module):
    """Words as vectors through recurrent layers to features, of which `output` makes the probabilities of the next word."""

    def __init__(
        self,
        size: int,
        cell: Literal["lstm", "gru"],
        embedding: int,
        hidden: int,
        layers: int,
        *,
        dropout: float = 0.0,
        dropout_ends: float = 0.0,
        dropout_words: float = 0.0,
        tied: bool = False,
        clusters: Sequence[int] = (),
    ) -> None:
        """`tied`: a word's vector is also its row of the output layer (Press and Wolf 2017), behind a layer that narrows features to it.

        `dropout` is between recurrent layers; `dropout_ends` (one mask for a whole sequence, before and behind them) and
        `dropout_words` (whole words of the vocabulary) are those of Gal and Ghahramani 2016. `clusters`: see Softmax.
        """
        super().__init__()
        self.dropout_ends, self.dropout_words = dropout_ends, dropout_words
        self.vectors = nn.Embedding(size, embedding)
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.recurrent = kind(embedding, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.narrow = nn.Linear(hidden, embedding) if tied and hidden != embedding else None
        if tied:
            nn.init.uniform_(self.vectors.weight, -INITIAL, INITIAL)
        # Untied rows start as those of nn.Linear do.
        self.output = Softmax(self.vectors.weight if tied else nn.Linear(hidden, size, bias=False).weight, clusters)

    def forward(self, codes: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(texts, sequence) and the state before → features (texts, sequence, width) and the state after."""
        inputs = self.vectors(codes)
        if self.training and self.dropout_words:
            # One mask over the vocabulary: a dropped word is dropped wherever it stands in the batch.
            mask = F.dropout(inputs.new_ones(len(self.vectors.weight), 1), self.dropout_words)
            inputs = inputs * mask[codes]
        features, memory = language.recur(self.recurrent, self.thinned(inputs), memory)
        features = self.thinned(features)
        return (self.narrow(features) if self.narrow else features), memory

    def thinned(self, values: Tensor) -> Tensor:
        """(texts, sequence, features) with the same features dropped at every place of a text."""
        if not self.training or not self.dropout_ends:
            return values
        return values * F.dropout(values.new_ones(len(values), 1, values.shape[2]), self.dropout_ends)


class Softmax(nn.Module):
    """Probabilities of words that are numbered by falling frequency, exact, in clusters (Grave and others 2017).

    The head chooses among the first `clusters[0]` words and one entry for each further cluster; inside a cluster its own softmax
    chooses. Rare words so cost nothing where they are not the answer. Without clusters it is the plain softmax. PyTorch's own
    AdaptiveLogSoftmaxWithLoss cannot tie its rows to the word vectors.
    """

    def __init__(self, weight: Tensor, clusters: Sequence[int] = ()) -> None:
        """`weight` (words, features), a parameter; `clusters`: the numbers of words at which the head and each cluster but the last end."""
        super().__init__()
        self.weight, self.bias = weight, nn.Parameter(torch.zeros(len(weight)))
        self.ends = [end for end in clusters if end < len(weight)] + [len(weight)]
        self.sizes = [high - low for low, high in pairwise([0, *self.ends])]
        self.boundaries: Tensor
        # On the device, and in no checkpoint: it follows from the settings.
        self.register_buffer("boundaries", torch.tensor(self.ends[:-1], dtype=torch.long), persistent=False)
        tails = len(self.sizes) - 1
        self.tail_weight, self.tail_bias = nn.Parameter(torch.zeros(tails, weight.shape[1])), nn.Parameter(torch.zeros(tails))
        self.unseen: Tensor
        self.register_buffer("unseen", torch.zeros(len(weight), dtype=torch.bool))
        self.reserved = self.unseen_loss = 0.0
        """The probability of all unseen words together, and the loss of each of them."""

    def begin(self, counts: Tensor) -> None:
        """Start from each word's count in the training text, (words,), and reserve probability for words that never stand there.

        All unseen words together get what Good (1953), after Turing, gives them: the share of the text that is words with a count of
        one; each gets the same. Training would push their logits down at each step, as no target ever raises them.
        """
        seen = counts > 0
        number = int((~seen).sum())
        self.reserved = min(MOST_RESERVED, float((counts == 1).sum() / counts.sum())) if number else 0.0
        self.unseen_loss = math.log(number / self.reserved) if self.reserved else 0.0
        self.unseen.copy_(~seen)
        # Half a count for an unseen word: its logarithm must be finite.
        shares = counts.clamp(min=0.5) / counts.clamp(min=0.5).sum()
        with torch.no_grad():
            self.bias.copy_(shares.log())
            tails = torch.stack([cluster.sum() for cluster in (shares * seen).split(self.sizes)])
            # A cluster starts with the probability of all its seen words together.
            self.tail_bias.copy_(tails.clamp(min=NOTHING).log()[1:])

    def parts(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Weights and biases of the head and of each cluster."""
        # One split, so that the backward pass joins the gradients once and does not add each to zeros of the whole size.
        bias = self.bias.masked_fill(self.unseen, math.log(NOTHING)) if self.reserved else self.bias
        weights, biases = self.weight.split(self.sizes), bias.split(self.sizes)
        head = torch.cat((weights[0], self.tail_weight)), torch.cat((biases[0], self.tail_bias))
        return (head[0], *weights[1:]), (head[1], *biases[1:])

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """(places, width), (places,) → the loss of each place: -ln of its word's probability, in nats."""
        weights, biases = self.parts()
        cluster = torch.bucketize(targets, self.boundaries, right=True)
        # The head's entry: the word itself, or the cluster that it is in.
        places = torch.where(cluster == 0, targets, self.ends[0] - 1 + cluster)
        losses = F.cross_entropy(F.linear(features, weights[0], biases[0]), places, reduction="none")
        for number in range(1, len(weights)):
            within, first = cluster == number, self.ends[number - 1]
            # In either way -ln P(cluster) - ln P(word | cluster).
            if targets.is_cpu:
                rows = within.nonzero()[:, 0]
                logits = F.linear(features[rows], weights[number], biases[number])
                losses = losses.index_add(0, rows, F.cross_entropy(logits, targets[rows] - first, reduction="none"))
            else:
                # A GPU computes all places, and keeps those within: to count these first, the host would wait for it in each step.
                logits = F.linear(features, weights[number], biases[number])
                inside = F.cross_entropy(logits, (targets - first).where(within, 0), reduction="none")
                losses = losses + inside.where(within, 0.0)
        if not self.reserved:
            return losses
        # The seen words share what the unseen ones leave.
        return torch.where(self.unseen[targets], self.unseen_loss, losses - math.log(1 - self.reserved))

    def logarithms(self, features: Tensor) -> Tensor:
        """(places, width) → ln of every word's probability, (places, words), as if there were no unseen words: these are never written."""
        weights, biases = self.parts()
        head, *tails = (F.linear(features, weight, bias).float().log_softmax(-1) for weight, bias in zip(weights, biases, strict=True))
        first = self.sizes[0]
        return torch.cat([head[:, :first], *(head[:, first + place, None] + tail for place, tail in enumerate(tails))], 1)
