"""Attention: scores, the softmax that leaves padding out, several heads, positional encoding; for lessons with sequences or pictures."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.problems import Problem

Kind = Literal["dot", "general", "concat", "additive"]
WAVE = 10_000
"""The slowest dimension of a positional encoding turns by 1/10,000 radian at each place (Vaswani and others 2017, section 3.5)."""


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weights over the last dimension, the places where `mask` is False left out: their weight is exactly 0.

    scores (…, places); mask boolean, broadcastable to them. A row with no place to attend to gets zeros, not NaN.
    """
    if mask is None:
        return scores.softmax(-1)
    # The least finite number and not −∞: a row of nothing but −∞ is NaN, and so is its gradient, which would spoil all weights.
    kept = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    # In such a row every place has an equal share until here.
    return kept.masked_fill(~mask, 0.0)


def causal(length: int, device: torch.device | None = None) -> Tensor:
    """A mask (length, length): row t is True up to column t, so that nothing depends on what comes later."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def positions(length: int, size: int) -> Tensor:
    """(length, size) sinusoids that tell places apart: sin(p / 10000^(2i/size)) in dimension 2i, the cosine in 2i + 1.

    The squared norm of a row is size/2, and the product of two rows depends on their distance alone (even sizes; of an odd one the last
    cosine is left out).
    """
    places = torch.arange(length, dtype=torch.float64)
    # In double precision: the angle of place 5,000 in float32 would have only four digits behind the point.
    turns = WAVE ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = places[:, None] * turns  # (length, ⌈size/2⌉)
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1)[:, :size].float()


class Attention(nn.Module):
    """One query's weights over the places of a sequence, and the mean of the sequence by these weights.

    Scores of a query q and a place k: "dot" q·k; "general" q·(W k); "concat" v·tanh(W [q; k]), all Luong and others 2015;
    "additive" v·tanh(W q + U k), Bahdanau and others 2015. The last two are the same function where W of concat is [W U].
    """

    def __init__(self, kind: Kind, query: int, keys: int, hidden: int) -> None:
        """`query` and `keys` are the lengths of both vectors, `hidden` that of v: only concat and additive have one."""
        super().__init__()
        if kind == "dot" and query != keys:
            raise Problem(
                f"dot needs vectors of one size, but the query has {query} numbers and the sequence's {keys}.", "Take general.", "data"
            )
        self.kind, self.query = kind, query
        if kind == "general":
            self.between = nn.Linear(keys, query, bias=False)  # W
        elif kind == "concat":
            self.joint = nn.Linear(query + keys, hidden, bias=False)  # W = [W of the query, W of the place]
        elif kind == "additive":
            self.of_query = nn.Linear(query, hidden, bias=False)  # W
            self.of_keys = nn.Linear(keys, hidden, bias=False)  # U
        if kind in ("concat", "additive"):
            self.score = nn.Linear(hidden, 1, bias=False)  # v

    def prepared(self, keys: Tensor) -> Tensor:
        """The part of the scores that depends on the sequence alone, (n, t, k) → (n, t, k or hidden).

        A decoder that asks the same sequence at every step computes it once, and gives it to `forward`.
        """
        if self.kind == "concat":
            return F.linear(keys, self.joint.weight[:, self.query :])
        return self.of_keys(keys) if self.kind == "additive" else keys

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor | None = None, prepared: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """query (n, q), keys (n, t, k), mask (n, t), True where attended → context (n, k) and weights (n, t).

        `prepared` is what the method of that name returned for these keys; without it, it is computed here.
        """
        places = self.prepared(keys) if prepared is None else prepared
        if self.kind in ("dot", "general"):
            # q·(W k) = (Wᵀ q)·k, which multiplies by W once and not once for each place.
            asked = query if self.kind == "dot" else query @ self.between.weight
            scores = (places @ asked[:, :, None])[:, :, 0]
        else:
            # W [q; k] is a sum of two products, so that concat needs no copies of q.
            asked = F.linear(query, self.joint.weight[:, : self.query]) if self.kind == "concat" else self.of_query(query)
            scores = self.score(torch.tanh(asked[:, None] + places))[:, :, 0]
        weights = masked_softmax(scores, mask)  # (n, t)
        return (weights[:, None] @ keys)[:, 0], weights


class MultiHead(nn.Module):
    """Scaled dot-product attention by several heads, each in its own part of the vectors (Vaswani and others 2017, section 3.2).

    Its weights lie as in torch's MultiheadAttention(size, heads), whose `state_dict` it takes: 4 size² + 4 size numbers, whatever `heads`.
    """

    def __init__(self, size: int, heads: int, scaled: bool = True) -> None:
        """`size` of the vectors, a multiple of `heads`; `scaled` divides the scores by √(size / heads)."""
        super().__init__()
        if size % heads:
            raise Problem(f"{heads} heads need vectors whose size is a multiple of {heads}, not {size}.", cause="data")
        self.heads = heads
        # Products of two vectors with mean 0 and variance 1 in each dimension have a standard deviation of √dimensions.
        self.scale = math.sqrt(size // heads) if scaled else 1.0
        # Of queries, keys and values below each other.
        self.in_proj_weight = nn.Parameter(torch.empty(3 * size, size))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * size))
        self.out_proj = nn.Linear(size, size)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """queries (n, t, size), keys (n, s, size) → their products in each head, (n, heads, t, s), not scaled and not masked."""
        asked, places = (self._projected(vectors, part) for part, vectors in enumerate((queries, keys)))
        return asked @ places.transpose(-2, -1)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """queries (n, t, size), keys (n, s, size), mask broadcastable to (n, 1, t, s) → outputs (n, t, size), weights (n, heads, t, s).

        The values are computed from `keys`, too.
        """
        weights = masked_softmax(self.scores(queries, keys) / self.scale, mask)
        mixed = weights @ self._projected(keys, 2)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), weights

    def _projected(self, vectors: Tensor, part: int) -> Tensor:
        """(n, t, size) through the matrix of queries, keys or values, 0 to 2 → (n, heads, t, size / heads)."""
        weight, bias = (whole.chunk(3)[part] for whole in (self.in_proj_weight, self.in_proj_bias))
        return F.linear(vectors, weight, bias).unflatten(2, (self.heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]
