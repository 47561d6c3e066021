"""Writes a text on, token by token: the loop around a model that makes one step, the same for a project's `predict` and for serving."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from workbench.datasets import scripts
from workbench.encoding.coding import Coding, typed
from workbench.encoding.kinds import NextToken, TextCodes
from workbench.problems import Problem, one_line

NAMES = {" ": "space", "\n": "line end", "\t": "tab"}
"""How characters that cannot be seen are shown."""
MOST_LIKELY = 12
"""Likeliest next tokens that an answer names."""
MOST_NAMED = 10
"""Unknown tokens that a message names."""
MOST_CHARACTERS = 1000
"""Of a prompt."""

Step = Callable[[np.ndarray, list[np.ndarray]], tuple[np.ndarray, list[np.ndarray]]]
"""Codes (texts, tokens) and the state's arrays before them → logits of the next token (texts, vocabulary), and the state after."""


def zeros(decoder: NextToken, texts: int = 1) -> list[np.ndarray]:
    """The state before a text begins."""
    return [np.zeros((texts, *shape), np.float32) for shape in decoder.states.values()]


def written(coding: Coding, raw: Any, step: Step) -> dict[str, Any]:
    """`{"prompt", "temperature", "top_k", "length", "seed"}`, a prompt alone, or its text → `{"answer": the whole text, "next"}`.

    `next` has the likeliest tokens right after the prompt, by name with their probabilities. Raises Problem (cause "data").
    """
    decoder = coding.decoder
    assert isinstance(decoder, NextToken) and isinstance(coding.encoder, TextCodes)
    asked = raw if isinstance(raw, dict) else {"prompt": raw}
    if unknown := asked.keys() - {"prompt", "temperature", "top_k", "length", "seed"}:
        raise Problem(f"A request has no {one_line(str(min(unknown, key=str)), 60)!r}.", 'Send {"prompt": "…", "length": 100}.', "data")
    temperature = _number(asked, "temperature", decoder.temperature, 0, 10)
    top_k = int(_number(asked, "top_k", decoder.top_k, 0, 1_000_000, whole=True))
    length = int(_number(asked, "length", decoder.length, 1, decoder.most, whole=True))
    random = np.random.default_rng(int(_number(asked, "seed", 0, 0, 2**63 - 1, whole=True)))
    prompt = prompt_codes(coding, asked)
    codes = [*decoder.before, *prompt]
    state = zeros(decoder)
    if decoder.window:
        logits, state = step(np.array([codes[-decoder.window :]], np.int64), state)
    else:
        for code in codes:
            logits, state = step(np.array([[code]], np.int64), state)
    following = likeliest(coding, logits[0])
    new: list[int] = []
    for place in range(length):
        # Codes begin at 1: 0 is padding.
        new.append(1 + draw(logits[0], temperature, top_k, random))
        if place < length - 1:
            fed = [*codes, *new][-decoder.window :] if decoder.window else new[-1:]
            logits, state = step(np.array([fed], np.int64), state)
    return {"answer": text_of(coding, [*prompt, *new]), "next": following}


def prompt_codes(coding: Coding, asked: Mapping[str, Any]) -> list[int]:
    """The codes of a prompt's tokens. Problem that names those which the vocabulary lacks."""
    prompt = asked.get("prompt")
    if not isinstance(prompt, str) or not prompt or len(prompt) > MOST_CHARACTERS:
        raise Problem(f"The input has no prompt of 1 to {MOST_CHARACTERS:,} characters.", 'Send {"prompt": "…"}.', "data")
    tokens = coding.tokens(typed(asked))
    if unknown := sorted({token for token in tokens if token not in coding.number}):
        names = ", ".join(one_line(repr(token), 40) for token in unknown[:MOST_NAMED])
        raise Problem(f"The text that it learns from never has {names}.", "", "data")
    return [coding.number[token] for token in tokens]


def likeliest(coding: Coding, logits: np.ndarray) -> dict[str, float]:
    """The likeliest next tokens by name with their probabilities, the likeliest first; logits (vocabulary,)."""
    shares = _softmax(logits)
    order = np.argsort(-shares, kind="stable")[:MOST_LIKELY]
    tokens = [coding.vocabulary[1 + int(place)] for place in order]
    return {NAMES.get(token) or one_line(token, 40): float(shares[place]) for token, place in zip(tokens, order, strict=True)}


def draw(logits: np.ndarray, temperature: float, top_k: int, random: np.random.Generator) -> int:
    """A place of logits (tokens,), drawn from softmax(logits / temperature) among the `top_k` largest, 0: all; at 0 the largest."""
    if temperature == 0:
        return int(logits.argmax())
    places = np.argsort(-logits, kind="stable")[: top_k or None]
    shares = _softmax(logits[places] / temperature)
    return int(places[min(int(np.searchsorted(shares.cumsum(), random.random(), "right")), len(places) - 1)])


def text_of(coding: Coding, codes: Sequence[int]) -> str:
    """Codes as the text that they stand for."""
    tokens = [coding.vocabulary[code] for code in codes]
    assert isinstance(coding.encoder, TextCodes)
    return scripts.line_ends(tokens) if coding.encoder.tokens == "script words" else "".join(tokens)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    shares: np.ndarray = powers / powers.sum()
    return shares


def _number(asked: Mapping[str, Any], name: str, default: float, low: float, high: float, *, whole: bool = False) -> float:
    value = asked.get(name, default)
    # True is an int in Python. Written so that a NaN fails it, too.
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not is_number or (whole and value != int(value)):
        raise Problem(f"{name} is a{' whole' * whole} number from {low:,} to {high:,}.", "", "data")
    return value  # type: ignore[no-any-return]
