"""A transformer written out: encoder and decoder layers around several heads of attention, and how it writes token after token."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.torchkit.attention import MultiHead, causal, positions
from workbench.torchkit.sequence_pairs import State, mask

LONGEST = 512
"""Tokens of a sequence: so many places have their encoding in memory."""


class Encoded(NamedTuple):
    """What the encoder made of sources."""

    memory: Tensor
    """(n, t, size): a vector for each token, which holds what it attended to, too."""
    mask: Tensor
    """(n, t) bool: True where a token is no padding."""
    weights: list[Tensor]
    """Of each layer (n, heads, t, t)."""


class Decoded(NamedTuple):
    """What the decoder made of some tokens of each target."""

    logits: Tensor
    """(n, p, vocabulary) of the token after each."""
    seen: tuple[Tensor, ...]
    """Of each layer the vectors (n, all tokens so far, size) that its tokens attend to: all that the next step has to know."""
    own: list[Tensor]
    """Of each layer the weights over the target's own tokens, (n, heads, p, all tokens so far)."""
    cross: list[Tensor]
    """Of each layer the weights over the source, (n, heads, p, t)."""


class FeedForward(nn.Sequential):
    """Two layers that treat every place alike and by itself, (n, t, size) → the same shape."""

    def __init__(self, size: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, size))


class EncoderLayer(nn.Module):
    """Every token attends to every token of its sequence; then a feed-forward part.

    Each part is added to what it got, and normalises what it gets (Xiong and others 2020). The first paper normalises the sum, and then
    needs a warm-up of thousands of steps, or does not learn at all.
    """

    def __init__(self, size: int, heads: int, hidden: int, dropout: float = 0.0, scaled: bool = True) -> None:
        super().__init__()
        self.before_attention, self.before_forward = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = MultiHead(size, heads, scaled)
        self.feed_forward = FeedForward(size, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor, attended: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(n, t, size) and a mask broadcastable to (n, 1, t, t) → (n, t, size) and the weights (n, heads, t, t)."""
        normed = self.before_attention(vectors)
        mixed, weights = self.attention(normed, normed, attended)
        vectors = vectors + self.dropout(mixed)
        return vectors + self.dropout(self.feed_forward(self.before_forward(vectors))), weights


class DecoderLayer(nn.Module):
    """Every token attends to the target's tokens so far, then to the source; then a feed-forward part."""

    def __init__(self, size: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.before_own, self.before_cross, self.before_forward = (nn.LayerNorm(size) for _ in range(3))
        self.own, self.cross = MultiHead(size, heads), MultiHead(size, heads)
        self.feed_forward = FeedForward(size, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor, seen: Tensor, source: Encoded, own: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """vectors (n, p, size) of the next p tokens, `seen` (n, b, size) of those before them, and a mask of (p, b + p).

        → vectors (n, p, size), seen (n, b + p, size), own weights (n, heads, p, b + p), weights over the source (n, heads, p, t).
        """
        normed = self.before_own(vectors)
        seen = torch.cat([seen, normed], 1)
        mixed, own_weights = self.own(normed, seen, own)
        vectors = vectors + self.dropout(mixed)
        mixed, cross_weights = self.cross(self.before_cross(vectors), source.memory, source.mask[:, None, None])
        vectors = vectors + self.dropout(mixed)
        return vectors + self.dropout(self.feed_forward(self.before_forward(vectors))), seen, own_weights, cross_weights


class Tokens(nn.Module):
    """Codes (n, t) as vectors (n, t, size): a learned vector of the token, and the encoding of its place."""

    places: Tensor

    def __init__(self, vocabulary: int, size: int, dropout: float) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary, size)
        # As rows of the output layer they are short, as inputs as long as the places' encodings (Vaswani and others 2017, section 3.4).
        nn.init.normal_(self.vectors.weight, std=size**-0.5)
        self.scale = math.sqrt(size)
        self.register_buffer("places", positions(LONGEST, size), persistent=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, codes: Tensor, start: int = 0) -> Tensor:
        """`start` is the place of the first code."""
        vectors: Tensor = self.dropout(self.vectors(codes) * self.scale + self.places[start : start + codes.shape[1]])
        return vectors


class Transformer(nn.Module):
    """Reads a sequence of codes and writes another one (Vaswani and others 2017). PAD, START and END are those of `sequence_pairs`."""

    def __init__(self, sources: int, targets: int, size: int, heads: int, layers: int, hidden: int, dropout: float) -> None:
        """Sizes of both vocabularies; `hidden` units of the feed-forward parts; `dropout` behind each part and inside those."""
        super().__init__()
        self.sources, self.targets = Tokens(sources, size, dropout), Tokens(targets, size, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(size, heads, hidden, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(size, heads, hidden, dropout) for _ in range(layers))
        # What the last layer adds up has never been normalised.
        self.after_encoder, self.after_decoder = nn.LayerNorm(size), nn.LayerNorm(size)

    def encode(self, codes: Tensor) -> Encoded:
        """Sources (n, t), with padding."""
        vectors, attended, weights = self.sources(codes), mask(codes), []
        for layer in self.encoder:
            vectors, layer_weights = layer(vectors, attended[:, None, None])
            weights.append(layer_weights)
        return Encoded(self.after_encoder(vectors), attended, weights)

    def decode(self, codes: Tensor, source: Encoded, seen: Sequence[Tensor] = ()) -> Decoded:
        """Logits after each of the next codes (n, p) of the targets; `seen` of an earlier call says what came before them."""
        start = seen[0].shape[1] if seen else 0
        # One token may see all there is so far. Padding is behind a target's end, where no token before the end looks.
        own_mask = causal(codes.shape[1], codes.device) if codes.shape[1] > 1 else None
        vectors, after, own, cross = self.targets(codes, start), [], [], []
        for place, layer in enumerate(self.decoder):
            before = seen[place] if seen else vectors[:, :0]
            vectors, now_seen, own_weights, cross_weights = layer(vectors, before, source, own_mask)
            after.append(now_seen)
            own.append(own_weights)
            cross.append(cross_weights)
        # A token's vector is its row of the output layer, too.
        logits = F.linear(self.after_decoder(vectors), self.targets.vectors.weight)
        return Decoded(logits, tuple(after), own, cross)

    def forward(self, sources: Tensor, inputs: Tensor) -> Tensor:
        """Sources (n, t) and the decoder's inputs (n, p), START first → logits (n, p, vocabulary), all places at once."""
        return self.decode(inputs, self.encode(sources)).logits

    def read(self, sources: Tensor) -> State:
        """Sources (n, t) → the state in which nothing is written yet: the encoder's vectors, their mask, and no tokens of each layer."""
        memory, attended, _ = self.encode(sources)
        return memory, attended, *(memory[:, :0] for _ in self.decoder)

    def write(self, inputs: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """The next tokens (n, p) → logits (n, p, vocabulary), the state behind them, and weights over the source (n, p, t).

        The weights are those of the last layer, the mean of its heads.
        """
        memory, attended, *seen = state
        decoded = self.decode(inputs, Encoded(memory, attended, []), seen)
        return decoded.logits, (memory, attended, *decoded.seen), decoded.cross[-1].mean(1)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One token of each sequence (n,), as `sequence_pairs.Step`."""
        logits, state, weights = self.write(tokens[:, None], state)
        return logits[:, 0], state, weights[:, 0]
