"""The closed list of encoders and decoders. They are data: a model folder names one of each with its parameters, and no code travels."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Side = Annotated[int, Meta(ge=1, le=4096)]


class Picture(msgspec.Struct, frozen=True, kw_only=True, tag="picture", forbid_unknown_fields=True):
    """A PNG or JPEG as `pixels`, float32 (channels, height, width) in [0, 1], made to look like the training pictures."""

    shape: tuple[Annotated[int, Meta(ge=1, le=4)], Side, Side]
    like: Annotated[str, Meta(max_length=64)] = ""
    """Data set whose digits are scaled and centred in their own way (mnist, digits); "" takes the picture's middle."""
    light: bool | None = None
    """Ground of the training pictures; a grey picture with the other one is inverted; None leaves it."""
    background: Literal["white", "grey", "black"] = "white"
    """What lies under transparent parts."""
    bits: Annotated[int, Meta(ge=0, le=16)] = 0
    """Bits that the numbers of 16-bit pictures use; 0: as many as each needs."""


class TextCodes(msgspec.Struct, frozen=True, kw_only=True, tag="text_codes", forbid_unknown_fields=True):
    """A text as `codes`, int64 (length,): the number of each token, its line in vocabulary.txt; 0 is padding.

    Tokens that are not in the vocabulary are left out. A batch is padded on the right to its longest text, or to `length` on `side`.
    """

    tokens: Literal["review words", "review words and pairs", "characters", "script words"] = "review words"
    """How a text becomes tokens; with pairs each known word and each pair of neighbouring ones stands once, in rising order of its number;
    in a script, punctuation and line ends are words of their own."""
    last: Count = 0
    """Last code that the model takes, 0: the vocabulary's. Words behind it are left out, but part their neighbours in pairs."""
    length: Count = 0
    """Most tokens that are read; 0 reads all."""
    both_ends: bool = False
    """Of a longer text half is read at its beginning and half at its end."""
    padded: bool = False
    """Every text has exactly `length` codes."""
    side: Literal["left", "right"] = "right"
    """Where the padding stands."""
    length_in_front: bool = False
    """The first number is how many tokens the text has, as the course's deployed model wants it."""
    unknown: Annotated[int, Meta(ge=-1)] = -1
    """Code of a token that is not in the vocabulary; -1 leaves it out."""


class BagOfWords(msgspec.Struct, frozen=True, kw_only=True, tag="bag_of_words", forbid_unknown_fields=True):
    """A text as `counts`, float32 (words,): how often it has each word of vocabulary.txt."""

    stem: Literal["", "porter"] = ""
    """Words are stemmed first."""
    present: bool = False
    """1 for a word that it has, however often."""


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number of a row: encoded as (value - mean) / scale."""

    name: Annotated[str, Meta(max_length=400)]
    mean: float = 0.0
    """What is left out counts as the mean."""
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    """The range in the training data, for forms."""


class RowOfNumbers(msgspec.Struct, frozen=True, kw_only=True, tag="row", forbid_unknown_fields=True):
    """Named numbers as `row`, float32 (columns,), in this order. A category is a column of its own: `colour = red`, 0 or 1."""

    columns: Annotated[list[Column], Meta(min_length=1, max_length=100_000)]


class Tensor(msgspec.Struct, frozen=True, kw_only=True, tag="tensor", forbid_unknown_fields=True):
    """Numbers as they are, float32, as `numbers` of this shape: noise for a generator."""

    shape: Annotated[list[Side], Meta(min_length=1, max_length=4)]


Encoder = Picture | TextCodes | BagOfWords | RowOfNumbers | Tensor
NAMES = {"picture": "pixels", "text_codes": "codes", "bag_of_words": "counts", "row": "row", "tensor": "numbers"}
"""What a graph calls the array of each encoder."""


class Classes(msgspec.Struct, frozen=True, kw_only=True, tag="classes", forbid_unknown_fields=True):
    """(classes,) numbers as the likeliest class of labels.txt, and `most` probabilities."""

    of: Literal["logits", "probabilities", "log probabilities", "scores"] = "logits"
    """What the numbers are; scores (lengths of capsules) need not sum to 1."""
    most: Count = 0
    """How many of the likeliest classes are named; 0: all, in the order of the labels."""


class Binary(msgspec.Struct, frozen=True, kw_only=True, tag="binary", forbid_unknown_fields=True):
    """One number as the second of two labels where its probability is above the threshold."""

    of: Literal["logit", "probability"] = "logit"
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5


class Number(msgspec.Struct, frozen=True, kw_only=True, tag="number", forbid_unknown_fields=True):
    """One number, times `scale` plus `shift`, with its unit."""

    name: Annotated[str, Meta(max_length=80)] = "answer"
    unit: Annotated[str, Meta(max_length=40)] = ""
    scale: float = 1.0
    shift: float = 0.0


class NextToken(msgspec.Struct, frozen=True, kw_only=True, tag="next_token", forbid_unknown_fields=True):
    """Logits (tokens,) of the token after a text, of code 1 and on, drawn again and again: a graph makes one step, state in and state out.

    A request has a `prompt`, and may have `temperature`, `top_k`, `length` and `seed`.
    """

    most: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Most tokens in an answer."""
    states: dict[str, list[Side]] = {}
    """Names and shapes of the state's arrays, without the batch; they begin as zeros."""
    window: Count = 0
    """Where there is no state: the graph gets the last tokens, this many at most."""
    before: list[Count] = []
    """Codes before every prompt."""
    temperature: Annotated[float, Meta(ge=0, le=10)] = 1.0
    """Of a request without one: divides the logits; 0 takes the likeliest token."""
    top_k: Count = 0
    """Of a request without one: how many of the likeliest tokens are drawn from; 0: all."""
    length: Annotated[int, Meta(ge=1, le=10_000)] = 150
    """Of a request without one: tokens that are written."""


class Drawn(msgspec.Struct, frozen=True, kw_only=True, tag="picture", forbid_unknown_fields=True):
    """(channels, height, width) as a PNG in base64; `low` and `high` become black and white."""

    low: float = 0.0
    high: float = 1.0


Decoder = Classes | Binary | Number | NextToken | Drawn
SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A model's or an endpoint's name: looked up, never joined to a path before it fits."""
