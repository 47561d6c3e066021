"""Parity: whether an exported graph answers real inputs as the network does, at several batches and lengths, and raw to final answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.encoding.answers import MOST, difference
from workbench.encoding.coding import Coding, Item
from workbench.encoding.kinds import Classes, NextToken, Number, TextCodes
from workbench.encoding.writing import zeros
from workbench.problems import Problem

BATCHES = (1, 3, 64)

STEPS = 12
"""Tokens after each of which a language model is compared."""

Steps = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Codes (texts, 1) and states → logits and the states after."""
Network = Callable[[np.ndarray], np.ndarray]
"""A batch of encoded inputs to its outputs."""


@dataclass(frozen=True)
class Parity:
    """What was compared."""

    difference: float
    """Largest absolute difference of an output; of a number with a unit, in proportion where it is above 1."""
    inputs: int
    """Real inputs that were compared."""
    lengths: tuple[int, ...] = ()
    """Of texts: the lengths at which batches were compared."""


def compare(coding: Coding, items: Sequence[Item], network: Network, graph: Network) -> Parity:
    """Compare all items in batches of 1, 3 and 64, texts in the order of their length too. Raises Problem where any output differs."""
    worst, lengths = 0.0, set[int]()
    # Sorted, whole batches of the shortest and of the longest texts: a graph that is frozen at one length fails there.
    orders = [list(items)]
    ragged = isinstance(coding.encoder, TextCodes) and not coding.encoder.padded
    if ragged:
        orders.append(sorted(items, key=lambda item: len(item.array)))
    for order in orders:
        for size in BATCHES:
            pieces = [order[start : start + size] for start in range(0, len(order), size)]
            # Of batches of one and three a few dozen show all that there is to see: the first, the middle and the last.
            for piece in _spread(pieces, 24 if size < max(BATCHES) else len(pieces)):
                batch = coding.batch(piece)
                expected, got = network(batch), graph(batch)
                where = f"a batch of {len(piece)}" + (f" with {batch.shape[1]} tokens" if ragged else "")
                if expected.shape != got.shape:
                    raise Problem(f"The graph answers {where} with {list(got.shape)}, where {list(expected.shape)} is right.")
                difference = _largest(coding, expected, got) if expected.size else 0.0
                worst = max(worst, difference)
                # Written so that a NaN fails it, too.
                if not difference <= MOST:
                    raise Problem(f"The graph's answers to {where} differ by {difference:.2g} from the network's, more than {MOST:g}.")
                _same_classes(coding, expected, got, where)
                if ragged:
                    lengths.add(batch.shape[1])
    return Parity(worst, len(items), tuple(sorted({min(lengths), sorted(lengths)[len(lengths) // 2], max(lengths)})) if lengths else ())


def compare_steps(coding: Coding, items: Sequence[Item], network: Steps, graph: Steps) -> Parity:
    """As `compare`, of a language model: its outputs and states after each of some tokens, in batches of 1, 3 and 64 texts."""
    decoder = coding.decoder
    assert isinstance(decoder, NextToken)
    worst = 0.0
    lengths = sorted({1, decoder.window // 2 or 1, decoder.window or 1})
    for size in BATCHES:
        for start in range(0, min(len(items), 4 * size), size):
            piece = items[start : start + size]
            codes = np.stack([np.resize(item.array, max(STEPS, decoder.window)) for item in piece])
            ours = theirs = zeros(decoder, len(piece))
            # Each goes on from its own state, so that an error in it grows.
            for place in range(len(lengths) if decoder.window else STEPS):
                taken = codes[:, : lengths[place]] if decoder.window else codes[:, place : place + 1]
                expected, got = network([taken, *ours]), graph([taken, *theirs])
                for one, other in zip(expected, got, strict=True):
                    if one.shape != other.shape:
                        raise Problem(f"The graph answers {len(piece)} texts with {list(other.shape)}, where {list(one.shape)} is right.")
                    difference = float(np.abs(one - other).max())
                    worst = max(worst, difference)
                    if not difference <= MOST:
                        raise Problem(
                            f"The graph differs by {difference:.2g} from the network after {place + 1} steps of {len(piece)} texts."
                        )
                ours, theirs = expected[1:], got[1:]
    return Parity(worst, len(items), tuple(lengths) if decoder.window else ())


def _largest(coding: Coding, expected: np.ndarray, got: np.ndarray) -> float:
    distance = np.abs(expected - got)
    # float32 holds seven digits: 900 riders an hour are rounded at 0.0001.
    return float((distance / np.maximum(1, np.abs(expected)) if isinstance(coding.decoder, Number) else distance).max())


def _same_classes(coding: Coding, expected: np.ndarray, got: np.ndarray, where: str) -> None:
    if not isinstance(coding.decoder, Classes):
        return
    flat = expected.reshape(len(expected), -1)
    first, second = flat.argmax(1), got.reshape(len(got), -1).argmax(1)
    rows = np.arange(len(flat))
    # Two classes that lie closer than the rounding are a tie.
    if ((first != second) & (flat[rows, first] - flat[rows, second] > MOST)).any():
        raise Problem(f"The graph answers {where} with another class than the network.")


def same_answers(raws: Sequence[Any], answers: Sequence[Any], asked: Callable[[Any], Any]) -> None:
    """Compare final answers to raw inputs with those of the project's `predict`. Raises Problem at the first that differs."""
    for place, (raw, answer) in enumerate(zip(raws, answers, strict=True), 1):
        if text := difference(asked(raw), answer):
            raise Problem(f"The exported model answers test input {place} otherwise than the project: {text}.")


def _spread(pieces: list[Any], most: int) -> list[Any]:
    if len(pieces) <= most:
        return pieces
    return [pieces[place] for place in np.linspace(0, len(pieces) - 1, most).astype(int)]
