"""Attention by hand, in NumPy: scores by four formulas, their softmax, and the context vector. Explored, not trained."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

import numpy as np

from workbench.events import Curve, Event, Text
from workbench.events import Matrix as Numbers
from workbench.problems import Problem
from workbench.training.project import Field, Matrix, Project, only

Scoring = Literal["dot", "general", "concat", "additive"]
WITH_VECTOR = ["concat", "additive"]
IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
SIZE = (1, 6)
"""Numbers of a vector."""
MOST_SHOWN = 3
"""Products of one score that the formula writes out."""

Vector = Annotated[list[list[float]], Matrix(1, SIZE, -1000, 1000, 0.1)]
Weights = Annotated[list[list[float]], Matrix(SIZE, SIZE, -100, 100, 0.1)]

FORMULAS: dict[Scoring, str] = {
    "dot": "score(s, h) = s · h",
    "general": "score(s, h) = s · (W_a h)",
    "concat": "score(s, h) = v_a · tanh(W [s; h]), with W = [W_a U_a]",
    "additive": "score(s, h) = v_a · tanh(W_a s + U_a h)",
}
STATES: dict[Scoring, str] = {
    **dict.fromkeys(("dot", "general", "concat"), "Luong: s is the decoder's state of this step (the notes call it the encoder's)."),
    "additive": "Bahdanau: s is the decoder's state of the step before.",
}


class AttentionBasics(Project):
    """One step of a decoder looks at all hidden states of the encoder."""

    class Request(Project.Request):
        state: Vector = [[5.0, 1.0, 20.0]]
        """The decoder's state s, the query; a larger one makes all dot products larger, and the weights more decided."""
        annotations: Annotated[list[list[float]], Matrix((1, 8), SIZE, -1000, 1000, 0.1)] = [
            [3.0, 12.0, 45.0],
            [59.0, 2.0, 5.0],
            [1.0, 43.0, 5.0],
            [4.0, 3.0, 45.3],
        ]
        """The encoder's hidden states h, a row for each place of the input; the context vector is their weighted mean."""
        scoring: Scoring = "dot"
        """How a place is scored: dot and general multiply (Luong), concat and additive (Bahdanau) add below a tanh."""
        W_a: Weights = only(IDENTITY, when={"scoring": ["general", *WITH_VECTOR]})
        """Weights of s, a column for each of its numbers (general: a row, and a column for each number of h). They are learned."""
        U_a: Weights = only(IDENTITY, when={"scoring": WITH_VECTOR})
        """Weights of h, a column for each of its numbers, and as many rows as W_a; in concat both are one matrix, side by side."""
        v_a: Annotated[list[list[float]], Matrix(1, SIZE, -100, 100, 0.1)] = only([[1.0, 1.0, 1.0]], when={"scoring": WITH_VECTOR})
        """What makes one number of the tanh, as many numbers as W_a has rows; larger ones make the weights more decided."""
        temperature: float = Field(1.0, ge=0.1, le=100, json_schema_extra={"step": 0.1})
        """Divides the scores before the softmax; higher makes the weights more equal. A transformer takes √d here."""
        mask: str = Field("", max_length=50)
        """Places that are left out, as `2 4`; padding is masked like this, and gets a weight of exactly 0."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The formula with its numbers, scores, weights, weighted states and their sum, and the weights by each of the formulas."""
        state, places = np.array(request.state[0]), np.array(request.annotations)
        attended = attended_places(request.mask, len(places))
        scores = scored(request.scoring, state, places, request)
        tempered = scores / request.temperature
        weights = softmax(tempered, attended)
        names = [f"h{place}" for place in range(1, len(places) + 1)]
        yield Text(tag="formula", text=written_out(request, state, places, scores, weights))
        shown = np.where(attended, tempered, -np.inf)
        columns = ["score", f"÷ {request.temperature:g}"]
        yield Numbers(tag="scores", values=np.column_stack([scores, shown]).tolist(), rows=names, columns=columns)
        in_float32 = softmax(tempered.astype(np.float32), attended)
        naive = np.where(attended, naive_softmax(shown), 0.0)
        yield Numbers(
            tag="weights",
            values=np.column_stack([weights, in_float32, naive]).tolist(),
            rows=names,
            columns=["weight", "in float32", "naive exp"],
        )
        weighted = weights[:, None] * places
        yield Numbers(
            tag="weighted",
            values=[*weighted.tolist(), weighted.sum(0).tolist()],
            rows=[*names, "context"],
            columns=[f"number {number}" for number in range(1, places.shape[1] + 1)],
        )
        yield from compared(request, state, places, attended)


def attended_places(mask: str, places: int) -> np.ndarray:
    """Whether each place is attended to, (places,); Problem for what is no place, and where none is left."""
    words = re.split(r"[\s,]+", mask.strip()) if mask.strip() else []
    numbers = [int(word) if re.fullmatch("[0-9]{1,3}", word) else 0 for word in words]
    if not all(1 <= number <= places for number in numbers):
        raise Problem(f"mask must name places from 1 to {places}, as `2 4`.", "Nothing masks none.", "data")
    attended = ~np.isin(np.arange(1, places + 1), numbers)
    if not attended.any():
        raise Problem("mask leaves no place to attend to.", "Leave at least one place out of it.", "data")
    return attended


def scored(scoring: Scoring, state: np.ndarray, places: np.ndarray, request: Any) -> np.ndarray:
    """The score of every place, (places,), by one formula; Problem where the sizes do not belong together."""
    query, keys = len(state), places.shape[1]
    if scoring == "dot":
        if query != keys:
            raise Problem(
                f"dot needs vectors of one size, but state has {query} numbers and annotations {keys}.", "Take scoring: general.", "data"
            )
        return np.asarray(places @ state)
    first, second, vector = np.array(request.W_a), np.array(request.U_a), np.array(request.v_a)[0]
    if scoring == "general":
        sized("W_a", first, (query, keys))
        return np.asarray(places @ first.T @ state)
    hidden = len(first)
    sized("W_a", first, (hidden, query))
    sized("U_a", second, (hidden, keys))
    if len(vector) != hidden:
        raise Problem(f"v_a must have a number for each of the {hidden} rows of W_a, not {len(vector)}.", cause="data")
    if scoring == "additive":
        return np.asarray(np.tanh(first @ state + places @ second.T) @ vector)
    # The state beside each place, (places, query + keys), and one matrix for both.
    joined = np.column_stack([np.tile(state, (len(places), 1)), places])
    return np.asarray(np.tanh(joined @ np.column_stack([first, second]).T) @ vector)


def sized(name: str, weights: np.ndarray, shape: tuple[int, int]) -> None:
    """Problem where a matrix does not have so many rows and columns."""
    if weights.shape != shape:
        wanted, has = ("x".join(map(str, size)) for size in (shape, weights.shape))
        raise Problem(f"{name} must have {wanted} numbers beside these vectors, not {has}.", cause="data")


def softmax(scores: np.ndarray, attended: np.ndarray) -> np.ndarray:
    """Shares exp(score) / Σ exp(score) of the places that are attended to; exactly 0 for the others. In the scores' own precision.

    The largest score is subtracted first, which changes no share: exp(929) is beyond float64.
    """
    powers = np.where(attended, np.exp(np.minimum(scores - scores[attended].max(), 0)), 0).astype(scores.dtype)
    return np.asarray(powers / powers.sum())


def naive_softmax(scores: np.ndarray) -> np.ndarray:
    """The same as it is written, which overflows: ∞ / ∞ is not a number."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        powers = np.exp(scores)
        return np.asarray(powers / powers.sum())


def compared(request: Any, state: np.ndarray, places: np.ndarray, attended: np.ndarray) -> Iterator[Event]:
    """The weights over the places by each formula that these sizes allow: concat's and additive's are the same."""
    for scoring in get_args(Scoring):
        try:
            scores = scored(scoring, state, places, request)
        # The chosen formula has been computed by now; another one may need other sizes.
        except Problem:
            continue
        shares = softmax(scores / request.temperature, attended)
        numbers = list(map(float, range(1, len(places) + 1)))
        yield Curve(tag=f"weights by formula/{scoring}", x=numbers, y=shares.tolist(), labels=("place", "weight"))


def written_out(request: Any, state: np.ndarray, places: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> str:
    """The formula, its numbers for the first place, and what is done with the scores."""
    lines = [FORMULAS[request.scoring], STATES[request.scoring]]
    if request.scoring == "dot":
        products = [f"{query:g}·{key:g}" for query, key in zip(state, places[0], strict=True)]
        lines.append(f"score of h1 = {' + '.join(products[:MOST_SHOWN])}{' + …' if len(products) > MOST_SHOWN else ''} = {scores[0]:.6g}")
    else:
        lines.append(f"score of h1 = {scores[0]:.6g}")
    below = "" if request.temperature == 1 else f" / {request.temperature:g}"
    lines += [
        f"weight = exp(score{below}) / sum over the places; h1: {weights[0]:.6f}",
        f"context = sum of weight · h = ({', '.join(f'{number:.6f}' for number in weights @ places)})",
    ]
    return "\n".join(lines)
