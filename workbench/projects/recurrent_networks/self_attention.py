"""Self-attention of a typed sentence: weights by head and layer, the scaling, masks, encodings of places. Explored, not trained."""

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from workbench.events import Curve, Event, Matrix, Table
from workbench.problems import Problem, one_line
from workbench.torchkit.attention import causal, positions
from workbench.torchkit.transformer import EncoderLayer
from workbench.training.project import Field, Project

MOST_WORDS = 24
"""Words of a sentence: the rows that a panel of 12 lines has in half cells."""
PLACES, DIMENSIONS = 16, 32
"""Places and dimensions of the encoding that are shown."""
LONG = 50
"""Places of the curves."""
FROM = (0, 10)
"""Places whose products with the following ones are compared."""
OTHERS = ("?", "!")
"""What the last word becomes, to see which outputs follow it: the first of them that it is not."""


class SelfAttention(Project):
    """Every word looks at every word, through layers whose weights are drawn and not learned."""

    class Request(Project.Request):
        sentence: str = Field("the cat sees the other cat", min_length=1, max_length=2000)
        """Words, with spaces between them; equal words have equal vectors, drawn by the word."""
        size: Literal[4, 16, 64, 128, 256] = 128
        """Numbers of a word's vector, d; more have more weights, and larger products."""
        heads: Literal[1, 2, 4, 8] = 2
        """Parts of the vectors that attend by themselves; more make more maps of fewer numbers, with equally many weights."""
        layer: int = Field(1, ge=1, le=4)
        """The layer whose weights are shown; a later one sees words that have attended to each other."""
        scaled: bool = True
        """Divide the scores by √(numbers of a head); without it, the larger the vectors are, the more one word gets all the weight."""
        mask: Literal["none", "causal"] = "none"
        """What a word may attend to: all words; or itself and those before it, as in a decoder that writes."""
        positions: bool = True
        """Add the encoding of its place to each word; without it, the order of the words makes no difference."""
        dimension: int = Field(0, ge=0, le=255)
        """Dimension of the encoding that is drawn over the places; a higher one is a slower wave."""
        seed: int = Field(1, ge=0, le=99)
        """Seed of the layers' weights; another one draws other maps."""

    @torch.no_grad()
    def sample(self, request: Any) -> Iterator[Event]:
        """The weights of each head, what can be counted and checked, the encoding of places and two of its curves."""
        words = typed(request.sentence)
        if request.dimension >= request.size:
            raise Problem(f"dimension must be at most {request.size - 1} where size is {request.size}.", cause="data")
        outputs, weights, scores = attend(words, request)
        names = [one_line(word, 12) for word in words]
        # Rows have their place before them: a matrix with the same names for both is shown as a confusion matrix.
        rows = [f"{place} {name}" for place, name in enumerate(names, 1)]
        for head, shares in enumerate(weights, 1):
            yield Matrix(tag=f"attention/head {head}", values=shares.tolist(), rows=rows, columns=names)
        yield checks(words, request, outputs, weights, scores)
        encoded = positions(LONG, request.size)
        yield Matrix(
            tag="positions",
            values=encoded[:PLACES, :DIMENSIONS].tolist(),
            rows=[f"place {place}" for place in range(PLACES)],
            columns=[str(dimension) for dimension in range(min(DIMENSIONS, request.size))],
        )
        places = list(map(float, range(LONG)))
        wave = encoded[:, request.dimension].tolist()
        yield Curve(tag=f"dimension/{request.dimension}", x=places, y=wave, labels=("place", "encoding"))
        for start in FROM:
            products = (encoded[start : start + LONG - max(FROM)] @ encoded[start]).tolist()
            distances = places[: len(products)]
            yield Curve(tag=f"products/with place {start}", x=distances, y=products, labels=("places farther", "product"))


def typed(sentence: str) -> list[str]:
    """The words of a sentence; Problem where there are none, or too many for a panel."""
    words = sentence.split()
    if not words:
        raise Problem("sentence has no words.", f"Type 1 to {MOST_WORDS} words.", "data")
    if len(words) > MOST_WORDS:
        raise Problem(f"sentence has {len(words)} words; at most {MOST_WORDS} are shown.", cause="data")
    return words


def attend(words: list[str], request: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Words through the layers up to the one that is asked for → its outputs (t, size), weights and raw scores (heads, t, t)."""
    vectors = torch.stack([word_vector(word, request.size) for word in words])[None]
    if request.positions:
        vectors = vectors + positions(len(words), request.size)
    mask = causal(len(words)) if request.mask == "causal" else None
    for layer in stack(request.size, request.heads, request.layer, request.scaled, request.seed):
        normed = layer.before_attention(vectors)
        scores = layer.attention.scores(normed, normed)
        vectors, weights = layer(vectors, mask)
    return vectors[0], weights[0], scores[0]


def word_vector(word: str, size: int) -> Tensor:
    """(size,) numbers with mean 0 and variance 1, the same for a word wherever it stands."""
    return torch.randn(size, generator=torch.Generator().manual_seed(zlib.crc32(word.encode("utf-8", "replace"))))


@lru_cache(4)
def stack(size: int, heads: int, layers: int, scaled: bool, seed: int) -> list[EncoderLayer]:
    """Layers of an encoder with drawn weights; the first ones are the same however many there are."""
    # The generator of all modules, put back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = []
        for _ in range(layers):
            layer = EncoderLayer(size, heads, 4 * size, scaled=scaled).eval()
            # Queries and keys of variance 1 in each dimension, as the reason for the scaling supposes.
            nn.init.normal_(layer.attention.in_proj_weight, std=size**-0.5)
            encoder.append(layer)
    return encoder


def checks(words: list[str], request: Any, outputs: Tensor, weights: Tensor, scores: Tensor) -> Table:
    """What the maps do not show: sizes, the spread of the scores, and what the order and a later word change."""
    attention = stack(request.size, request.heads, request.layer, request.scaled, request.seed)[-1].attention
    reversed_outputs, *_ = attend(words[::-1], request)
    other = next(word for word in OTHERS if word != words[-1])
    changed, *_ = attend([*words[:-1], other], request)
    earlier = (changed[:-1] - outputs[:-1]).abs().amax().item() if len(words) > 1 else 0.0
    spread = scores.std(correction=0).item()
    rows: list[list[str | float]] = [
        ["weights of the attention", float(sum(part.numel() for part in attention.parameters()))],
        ["√d of a head", (request.size // request.heads) ** 0.5],
        ["SD of a score", spread],
        ["SD of what the softmax gets", spread / attention.scale],
        ["largest weight, mean", weights.amax(-1).mean().item()],
        ["words reversed: outputs differ by", (reversed_outputs.flip(0) - outputs).abs().amax().item()],
        ["last word changed: those before, by", earlier],
    ]
    return Table(tag="checks", columns=["of this layer", "value"], rows=rows)
