"""Coding: one raw input to arrays, arrays of several to a batch, one row of a model's output to the answer that a person gets."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from workbench.datasets import imdb
from workbench.datasets.pictures import Decoding, decode_picture
from workbench.datasets.seen import seen
from workbench.encoding.kinds import (
    NAMES,
    BagOfWords,
    Binary,
    Classes,
    Decoder,
    Drawn,
    Encoder,
    Number,
    Picture,
    RowOfNumbers,
    Tensor,
    TextCodes,
)
from workbench.problems import Problem, missing, nearest, one_line

MOST = 1e30
"""Of a measurement: float32 has room for it, also after it is scaled."""
MOST_CHARACTERS = 20_000
"""Of a text."""


@dataclass(frozen=True)
class Item:
    """One encoded input, without the batch's axis."""

    array: np.ndarray
    note: str = ""
    """What was done to the input, in words."""


@dataclass(frozen=True)
class Coding:
    """An encoder and a decoder with the words and labels that they name by number."""

    encoder: Encoder
    decoder: Decoder
    labels: Sequence[str] = ()
    vocabulary: Sequence[str] = ()
    """Tokens by number; number 0 is padding where codes are padded, and has no token: ""."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """The same the other way round, where somebody has it already."""

    @property
    def name(self) -> str:
        """What the graph calls its input."""
        return NAMES[type(self.encoder).__struct_config__.tag]  # type: ignore[index]

    @cached_property
    def number(self) -> Mapping[str, int]:
        """The number of each token."""
        return self.numbers or {token: place for place, token in enumerate(self.vocabulary) if token}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one encoded input; 0 where it may have any length."""
        encoder = self.encoder
        if isinstance(encoder, Picture):
            return encoder.shape
        if isinstance(encoder, TextCodes):
            return (encoder.length + encoder.length_in_front if encoder.padded else 0,)
        if isinstance(encoder, BagOfWords):
            return (len(self.vocabulary),)
        return (len(encoder.columns),) if isinstance(encoder, RowOfNumbers) else tuple(encoder.shape)

    # -- in -------------------------------------------------------------------------------------------------------------------------

    def encode(self, raw: Any) -> Item:
        """What a person sends, as `predict` takes it, or numbers that are encoded already. Raises Problem (cause "data")."""
        encoder = self.encoder
        if isinstance(encoder, Picture):
            return _picture(encoder, raw)
        if isinstance(encoder, TextCodes):
            return self._codes(encoder, raw) if _is_text(raw) else self._known(encoder, raw)
        if isinstance(encoder, BagOfWords):
            return Item(self._counts(encoder, typed(raw))) if _is_text(raw) else _numbers(raw, self.shape)
        if isinstance(encoder, RowOfNumbers):
            return _row(encoder, raw) if isinstance(raw, dict) or not raw else _numbers(raw, self.shape)
        assert isinstance(encoder, Tensor)
        return _numbers(raw.get("numbers") if isinstance(raw, dict) else raw, self.shape)

    def batch(self, items: Sequence[Item]) -> np.ndarray:
        """(items, …): the arrays together, codes padded with zeros to the longest of them."""
        arrays = [item.array for item in items]
        if not isinstance(self.encoder, TextCodes) or self.encoder.padded:
            return np.stack(arrays)
        together = np.zeros((len(arrays), max(1, *map(len, arrays))), np.int64)
        for row, codes in zip(together, arrays, strict=True):
            start = len(row) - len(codes) if self.encoder.side == "left" else 0
            row[start : start + len(codes)] = codes
        return together

    def tokens(self, text: str) -> list[str]:
        """A text as the encoder cuts it, known and unknown tokens."""
        kind = self.encoder.tokens if isinstance(self.encoder, TextCodes) else "review words"
        if kind == "characters":
            return list(text)
        if kind == "script words":
            from workbench.datasets import scripts

            return [word if word in self.number else word.replace("'", "").replace("’", "") for word in scripts.words(text)]
        words = imdb.words(text)
        if kind == "review words":
            return words
        known = [word for word in words if word in self.number]
        return [*known, *(" ".join(pair) for pair in pairwise(known))]

    def _codes(self, encoder: TextCodes, raw: Any) -> Item:
        unknown = [] if encoder.unknown < 0 else [encoder.unknown]
        codes = [code for token in self.tokens(typed(raw)) for code in ([self.number[token]] if token in self.number else unknown)]
        if not codes:
            raise Problem("There is no word in it that the network knows.", "", "data")
        if encoder.tokens == "review words and pairs":
            codes = sorted(set(codes))
        if encoder.last:
            codes = [code for code in codes if code <= encoder.last]
        if encoder.length and len(codes) > encoder.length:
            begin = encoder.length - encoder.length // 2 if encoder.both_ends else encoder.length
            codes = [*codes[:begin], *codes[len(codes) - (encoder.length - begin) :]]
        count = len(codes)
        if encoder.padded:
            padding = [0] * (encoder.length - count)
            codes = [*padding, *codes] if encoder.side == "left" else [*codes, *padding]
        return Item(np.array([count, *codes] if encoder.length_in_front else codes, np.int64))

    def _known(self, encoder: TextCodes, raw: Any) -> Item:
        """Codes that somebody sends encoded. Raises Problem for one that the vocabulary lacks: a graph would end at it."""
        item = _numbers(raw, self.shape, np.int64)
        most = encoder.last or len(self.vocabulary) - 1
        codes = item.array[int(encoder.length_in_front) :]
        if most > 0 and len(codes) and codes.max() > most:
            raise Problem(f"There is a code {codes.max():,}; this model knows 0 to {most:,}.", "", "data")
        if encoder.length and len(codes) > encoder.length:
            raise Problem(f"{len(codes):,} codes; this model takes {encoder.length:,} at most.", "", "data")
        return item

    def _counts(self, encoder: BagOfWords, text: str) -> np.ndarray:
        counts = np.zeros(len(self.vocabulary), np.float32)
        words = imdb.words(text)
        for word in stemmed(words) if encoder.stem else words:
            if (place := self.number.get(word)) is not None:
                counts[place] = 1 if encoder.present else counts[place] + 1
        return counts

    # -- out ------------------------------------------------------------------------------------------------------------------------

    def decode(self, output: np.ndarray) -> dict[str, Any]:
        """One row of the model's output as `{"answer", "probabilities"}`, or `{"answer", "unit"}` of a number."""
        decoder = self.decoder
        if isinstance(decoder, Number):
            return {"answer": float(output.reshape(-1)[0]) * decoder.scale + decoder.shift, "unit": decoder.unit}
        if isinstance(decoder, Binary):
            value = float(output.reshape(-1)[0])
            chance = _sigmoid(value) if decoder.of == "logit" else value
            answer = self.labels[int(chance > decoder.threshold)]
            return {"answer": answer, "probabilities": dict(zip(self.labels, (1 - chance, chance), strict=True))}
        if isinstance(decoder, Classes):
            shares = _shares(output.astype(np.float64), decoder.of)
            order = np.argsort(-shares, kind="stable")[: decoder.most] if decoder.most else np.arange(len(shares))
            named = {self.labels[place]: float(shares[place]) for place in order}
            return {"answer": self.labels[int(shares.argmax())], "probabilities": named}
        if isinstance(decoder, Drawn):
            return {"answer": png((output - decoder.low) / (decoder.high - decoder.low))}
        raise Problem("A text is written token by token: one output is no answer.")


def typed(raw: Any) -> str:
    """The text that somebody sent, alone or as {"review": …}; or a prompt. Raises Problem where there is none."""
    if isinstance(raw, dict) and isinstance(raw.get("prompt"), str) and raw["prompt"]:
        return str(raw["prompt"][:MOST_CHARACTERS])
    text = raw.get("review") if isinstance(raw, dict) else raw
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_CHARACTERS:
        raise Problem(f"The input is no review of at most {MOST_CHARACTERS:,} characters.", 'Send {"review": "I liked it."}.', "data")
    return text


def stemmed(words: Sequence[str]) -> list[str]:
    """Porter's stems of words (Porter 1980), as Snowball's original Porter stemmer makes them."""
    try:
        import snowballstemmer
    except ImportError:
        raise missing("Stemming", "snowballstemmer", "boost") from None
    return [str(stem) for stem in snowballstemmer.stemmer("porter").stemWords(list(words))]


def png(pixels: np.ndarray) -> str:
    """(channels, height, width) in [0, 1] as a PNG in base64."""
    import io

    from PIL import Image

    values = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    image = Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def _is_text(raw: Any) -> bool:
    return isinstance(raw, str | dict)


def _picture(encoder: Picture, raw: Any) -> Item:
    if isinstance(raw, dict) and isinstance(raw.get("picture"), str):
        picture = decode_picture(raw["picture"], Decoding(encoder.background, encoder.bits))
        pixels, done = seen(picture, encoder.shape, encoder.like, encoder.light)
        return Item(pixels, ", ".join(done))
    values = raw.get("pixels") if isinstance(raw, dict) else raw
    if not isinstance(values, list) or not values:
        raise Problem("The input is no picture.", 'Send {"pixels": [[0.0, 0.5, …], …]}, or {"picture": "…"}, a PNG in base64.', "data")
    try:
        pixels = np.array(values, np.float32)
    except (TypeError, ValueError):
        raise Problem("The input is no picture.", 'Send {"pixels": [[0.0, 0.5, …], …]}.', "data") from None
    flat = (int(np.prod(encoder.shape)),)
    if pixels.shape not in (encoder.shape, encoder.shape[1:] if encoder.shape[0] == 1 else encoder.shape, flat):
        wanted = list(encoder.shape[1:] if encoder.shape[0] == 1 else encoder.shape)
        raise Problem(f"The picture is {list(pixels.shape)}, where {wanted} is right.", "", "data")
    # Written so that a NaN fails it, too.
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise Problem("The picture has a number that is not from 0 to 1.", "", "data")
    return Item(pixels.reshape(encoder.shape))


def _row(encoder: RowOfNumbers, raw: Any) -> Item:
    row, columns = raw.get("row") if isinstance(raw, dict) else None, encoder.columns
    if not isinstance(row, dict) or not row:
        raise Problem("The input has no row.", f'Send {{"row": {{"{one_line(columns[0].name)}": 1.5, …}}}}.', "data")
    places = {column.name: place for place, column in enumerate(columns)}
    values = np.array([column.mean for column in columns], float)
    for name, value in row.items():
        if name not in places:
            near = nearest(str(name), places) or f". There are: {one_line(', '.join(places), 1000)}."
            raise Problem(f"There is no measurement {one_line(str(name), 80)!r}{near}", "", "data")
        # True is an int in Python, and no measurement.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST:
            raise Problem(f"{one_line(name)} is not a number.", "", "data")
        values[places[name]] = value
    mean, scale = (np.array([getattr(column, name) for column in columns]) for name in ("mean", "scale"))
    return Item(((values - mean) / scale).astype(np.float32))


def _numbers(values: Any, shape: tuple[int, ...], kind: Any = np.float32) -> Item:
    """Numbers that are encoded already; a first length of 0 is any length."""
    if not isinstance(values, list):
        raise Problem("The input is of a kind that this model does not take.", "", "data")
    if not values and not all(shape):
        raise Problem("The input is empty.", "", "data")
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise Problem("The input is not made of numbers, or its rows have different lengths.", "", "data") from None
    if len(shape) == 1 and shape[0] and array.shape != shape:
        text = f"{len(values)} numbers; this model takes {shape[0]}." if array.ndim == 1 else f"The input is {list(array.shape)}."
        raise Problem(text, f"Send {shape[0]} numbers.", "data")
    if array.ndim != len(shape) or (all(shape) and array.shape != shape) or not array.size:
        raise Problem(f"The input is {list(array.shape)}, where {list(shape)} is right.", "", "data")
    # As it is for the model: float32 has no 1e39.
    if not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise Problem("The input has a number that is too large or not finite.", "", "data")
    if kind is np.int64 and ((array != np.round(array)).any() or (array < 0).any() or (array > 2**53).any()):
        raise Problem("A code is a whole number from 0.", "", "data")
    return Item(array.astype(kind))


def _sigmoid(value: float) -> float:
    # From the side on which exp does not overflow.
    return float(1 / (1 + np.exp(-value)) if value >= 0 else np.exp(value) / (1 + np.exp(value)))


def _shares(output: np.ndarray, of: str) -> np.ndarray:
    values = output.reshape(-1)
    if of == "logits":
        exponentials = np.exp(values - values.max())
        shares: np.ndarray = exponentials / exponentials.sum()
        return shares
    return np.exp(values) if of == "log probabilities" else values
