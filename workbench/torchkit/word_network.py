"""A recurrent network over words, and the softmax over many of them that costs little: for projects that learn what word comes next."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NOTHING = 1e-30
"""As good as no probability; its logarithm is still a number, also in half precision."""


class WordNetwork(nn.Module):
    """Words through vectors and recurrent layers to states, of which `output` makes the next word."""

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
        """`tied`: a word's vector is also its row of the last layer (Press and Wolf 2017), behind a layer that narrows the states to it.

        Dropout: `dropout` between recurrent layers; `dropout_ends` one mask for a whole sequence, before and behind them, and
        `dropout_words` whole words of the dictionary (both Gal and Ghahramani 2016). `clusters`: see Softmax.
        """
        super().__init__()
        self.dropout_ends, self.dropout_words = dropout_ends, dropout_words
        self.vectors = nn.Embedding(size, embedding)
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.recurrent = kind(embedding, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.narrow = nn.Linear(hidden, embedding) if tied and hidden != embedding else None
        if tied:
            nn.init.uniform_(self.vectors.weight, -0.1, 0.1)
        self.output = Softmax(self.vectors.weight if tied else _rows(size, hidden), clusters)

    def no_memory(self, streams: int) -> Tensor:
        """Zeros (states, layers, streams, hidden): an LSTM has two states, hidden and cell, a GRU one."""
        layer, states = self.recurrent, 2 if isinstance(self.recurrent, nn.LSTM) else 1
        return torch.zeros(states, layer.num_layers, streams, layer.hidden_size, device=self.vectors.weight.device)

    def forward(self, codes: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(streams, sequence), and the memory before it → states (streams, sequence, features), and the memory after it."""
        inputs = self.vectors(codes)
        if self.training and self.dropout_words:
            kept = F.dropout(inputs.new_ones(len(self.vectors.weight), 1), self.dropout_words)
            inputs = inputs * kept[codes]
        inputs = self.thinned(inputs)
        if isinstance(self.recurrent, nn.LSTM):
            states, (hidden, cell) = self.recurrent(inputs, (memory[0], memory[1]))
            memory = torch.stack((hidden, cell))
        else:
            states, hidden = self.recurrent(inputs, memory[0])
            memory = hidden.unsqueeze(0)
        states = self.thinned(states)
        return (self.narrow(states) if self.narrow else states), memory

    def thinned(self, values: Tensor) -> Tensor:
        """(streams, sequence, features) with the same features left out at every place of a stream."""
        if not self.training or not self.dropout_ends:
            return values
        return values * F.dropout(values.new_ones(len(values), 1, values.shape[2]), self.dropout_ends)


class Softmax(nn.Module):
    """Probabilities of words that are numbered from the most frequent on, exact, in clusters (Grave and others 2017).

    The head chooses among the first `clusters[0]` words and one entry for each further cluster; inside a cluster its own softmax
    chooses. Rare words so cost nothing where they are not the answer. Without clusters it is the plain softmax.
    """

    def __init__(self, weight: Tensor, clusters: Sequence[int] = ()) -> None:
        """`weight` (words, features), a parameter; `clusters`: the numbers of words at which the head and each cluster but the last end."""
        super().__init__()
        self.weight, self.bias = weight, nn.Parameter(torch.zeros(len(weight)))
        self.ends = [each for each in clusters if each < len(weight)] + [len(weight)]
        self.sizes = [high - low for low, high in pairwise([0, *self.ends])]
        tails = len(self.sizes) - 1
        self.tail_weight, self.tail_bias = nn.Parameter(torch.zeros(tails, weight.shape[1])), nn.Parameter(torch.zeros(tails))
        self.unseen: Tensor
        self.register_buffer("unseen", torch.zeros(len(weight), dtype=torch.bool))
        self.reserved = self.each = 0.0
        """The share of all unseen words together, and the loss of each."""

    def begin(self, counts: Tensor) -> None:
        """Start from how often each word stands in the training text, (words,), and keep aside a share for those that never do.

        These share alike what Good (1953), after Turing, gives to all unseen words: as much of the text as is words that stand there
        once. Left to training they would be pushed down at each step, as nothing ever speaks for them.
        """
        seen = counts > 0
        number = int((~seen).sum())
        self.reserved = min(0.5, float((counts == 1).sum() / counts.sum())) if number else 0.0
        self.each = math.log(number / self.reserved) if self.reserved else 0.0
        self.unseen.copy_(~seen)
        shares = counts.clamp(min=0.5) / counts.clamp(min=0.5).sum()
        with torch.no_grad():
            self.bias.copy_(shares.log())
            self.tail_bias.copy_(torch.stack([each.sum() for each in (shares * seen).split(self.sizes)]).clamp(min=NOTHING).log()[1:])

    def parts(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Weights and biases of the head and of each cluster."""
        # One split, so that going back the gradients are joined once, not each added to zeros of the whole.
        bias = self.bias.masked_fill(self.unseen, math.log(NOTHING)) if self.reserved else self.bias
        weights, biases = self.weight.split(self.sizes), bias.split(self.sizes)
        head = torch.cat((weights[0], self.tail_weight)), torch.cat((biases[0], self.tail_bias))
        return (head[0], *weights[1:]), (head[1], *biases[1:])

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        """(places, features), (places,) → the loss of each place, -ln of its word's probability."""
        weights, biases = self.parts()
        cluster = torch.bucketize(targets, torch.tensor(self.ends[:-1], device=targets.device), right=True)
        places = torch.where(cluster == 0, targets, self.ends[0] - 1 + cluster)
        losses = F.cross_entropy(F.linear(states, weights[0], biases[0]), places, reduction="none")
        for number in range(1, len(weights)):
            rows = (cluster == number).nonzero()[:, 0]
            logits = F.linear(states[rows], weights[number], biases[number])
            inside = F.cross_entropy(logits, targets[rows] - self.ends[number - 1], reduction="none")
            losses = losses.index_add(0, rows, inside)
        if not self.reserved:
            return losses
        return torch.where(self.unseen[targets], self.each, losses - math.log(1 - self.reserved))

    def logarithms(self, states: Tensor) -> Tensor:
        """(places, features) → ln of every word's probability, (places, words), were there no unseen ones."""
        weights, biases = self.parts()
        head, *tails = (F.linear(states, weight, bias).float().log_softmax(-1) for weight, bias in zip(weights, biases, strict=True))
        first = self.sizes[0]
        return torch.cat([head[:, :first], *(head[:, first + place, None] + tail for place, tail in enumerate(tails))], 1)


def _rows(size: int, features: int) -> Tensor:
    """As nn.Linear begins."""
    return nn.Linear(features, size, bias=False).weight


def drawn(logarithms: Tensor, temperature: float, top_k: int) -> Tensor:
    """(texts, words) → a word for each text, drawn by its probability to the power of 1 / temperature among the `top_k` likeliest.

    With 0 for `top_k` among all; at temperature 0 the likeliest.
    """
    if temperature == 0:
        return logarithms.argmax(1)
    if not top_k or top_k >= logarithms.shape[1]:
        return torch.multinomial((logarithms / temperature).softmax(1), 1)[:, 0]
    values, codes = logarithms.topk(top_k)
    return codes.gather(1, torch.multinomial((values / temperature).softmax(1), 1))[:, 0]
