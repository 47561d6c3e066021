"""Routing by agreement on votes in the plane, in NumPy: squash, couplings by round, and the margin loss of capsules. Explored."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from workbench.events import Curve, Event, Scatter, Table
from workbench.events import Matrix as Numbers
from workbench.problems import Problem
from workbench.training.project import Field, Matrix, Project

PARENTS = ("face", "boat")
"""What the children vote for."""
FACE = [[2.0, 1.0], [2.0, 1.5], [1.5, 1.0], [2.0, 0.5], [-1.0, -2.0]]
BOAT = [[2.0, 0.0], [-2.0, 1.0], [0.0, 2.0], [-1.0, -2.0], [1.0, -1.0]]
"""Where each of five children thinks that the face, and the boat, is: four agree on the face, none on the boat."""
PRESENT, ABSENT, OTHERS = 0.9, 0.1, 0.5
"""Margins of the loss: a present digit's capsule is to be longer than 0.9, an absent one's shorter than 0.1, which counts half."""
SIDES = ((28, 9, 1), (20, 9, 2))
"""Side of the picture, of the filter, and stride, of the two convolutions of the network."""
TYPES, DIGITS = 32, 10
"""Types of primary capsules at each place, and parents of the network."""

Votes = Annotated[list[list[float]], Matrix((2, 6), 2, -5, 5, 0.5)]


class CapsulesRouting(Project):
    """Children vote where a whole is; those that agree are listened to."""

    class Request(Project.Request):
        face: Votes = FACE
        """Votes of the children for the face, a row (x, y) each; the more of them agree, the longer the face's capsule."""
        boat: Votes = BOAT
        """Votes of the same children for the boat, as many rows."""
        routings: int = Field(3, ge=1, le=10)
        """Rounds of routing; more make the couplings more decided, 1 leaves them equal."""
        softmax: Literal["parents", "children"] = "parents"
        """Couplings of a child over the parents sum to 1, as in the paper; or of a parent over the children, as in the course's code."""
        length: float = Field(1.0, ge=0, le=5, json_schema_extra={"step": 0.1})
        """Length of a vector before the squash; a longer one comes closer to 1, a short one to 0."""
        digit: int = Field(0, ge=0, le=DIGITS - 1)
        """Digit that is there, for the margin loss."""
        lengths: Annotated[list[list[float]], Matrix(2, 5, 0, 1, 0.1)] = [[0.5] * 5] * 2
        """Lengths of the ten digits' capsules, 0 to 4 and 5 to 9; no loss where the digit's is at least 0.9, others at most 0.1."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The votes and what becomes of them, the couplings, the lengths by round, the squash, the loss."""
        if len(request.face) != len(request.boat):
            rows = f"face has {len(request.face)} rows and boat {len(request.boat)}"
            raise Problem(f"{rows}: each child votes for both.", "Give both as many rows, 2 to 6.", "data")
        votes = np.array([request.face, request.boat])  # (parents, children, 2)
        outputs, couplings = route(votes, request.routings, request.softmax)
        yield from plane(votes, outputs[-1])
        yield coupling_table(couplings)
        rounds = [float(number) for number in range(1, request.routings + 1)]
        for parent, name in enumerate(PARENTS):
            lengths = [float(np.linalg.norm(output[parent])) for output in outputs]
            yield Curve(tag=f"length by routing/{name}", x=rounds, y=lengths, labels=("routing", "length"))
        yield squashed(request.length)
        yield margin_table(np.array(request.lengths).ravel(), request.digit)
        yield network_table()


def squash(vectors: np.ndarray) -> np.ndarray:
    """Vectors along the last axis with their direction, and lengths l²/(1 + l²): Sabour, Frosst and Hinton (2017), equation 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors * length / (1 + length**2))


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    """Shares that sum to 1 along an axis."""
    powers = np.exp(values - values.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def route(votes: np.ndarray, routings: int, over: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Votes (parents, children, numbers) → of each round the parents (parents, numbers), and the couplings (parents, children).

    The paper's procedure 1: a child is coupled more to a parent whose output its vote agrees with, by their dot product.
    """
    logits = np.zeros(votes.shape[:2])
    outputs, couplings = [], []
    for _ in range(routings):
        couplings.append(softmax(logits, 0 if over == "parents" else 1))
        outputs.append(squash(np.einsum("pc,pcx->px", couplings[-1], votes)))
        logits = logits + np.einsum("pcx,px->pc", votes, outputs[-1])
    return outputs, couplings


def margin_terms(lengths: np.ndarray, digit: int) -> np.ndarray:
    """Of each capsule its part of the loss: max(0, 0.9 - l)² for the digit that is there, 0.5 max(0, l - 0.1)² for the others."""
    terms = OTHERS * np.maximum(0, lengths - ABSENT) ** 2
    terms[digit] = max(0.0, PRESENT - lengths[digit]) ** 2
    return np.asarray(terms)


# -- what is shown --------------------------------------------------------------------------------------------------------------------


def plane(votes: np.ndarray, outputs: np.ndarray) -> Iterator[Event]:
    """The votes and the outputs of both parents, in the plane."""
    points = votes.reshape(-1, 2)
    voters = [f"votes for the {name}" for name in PARENTS for _ in range(votes.shape[1])]
    yield Scatter(
        tag="votes",
        x=[*points[:, 0].tolist(), *outputs[:, 0].tolist()],
        y=[*points[:, 1].tolist(), *outputs[:, 1].tolist()],
        labels=[*voters, *(f"{name}: output" for name in PARENTS)],
    )


def coupling_table(couplings: list[np.ndarray]) -> Numbers:
    """How much of each child goes to each parent, in the first and in the last round."""
    first, last = couplings[0], couplings[-1]
    columns = [f"{name}, {when}" for when in ("first", "last") for name in PARENTS]
    rows = [f"child {child + 1}" for child in range(first.shape[1])]
    return Numbers(tag="couplings", values=np.concatenate([first, last]).T.tolist(), rows=rows, columns=columns)


def squashed(length: float) -> Table:
    """The squash of three lengths, beside the one that is asked for."""
    rows: list[list[str | float]] = []
    for name, value in (("", 0.1), ("", 1.0), ("", 3.0), ("yours", length)):
        rows.append([name, value, float(np.linalg.norm(squash(np.array([value, 0.0]))))])
    return Table(tag="squashed lengths", columns=["", "length", "squashed"], rows=rows)


def margin_table(lengths: np.ndarray, digit: int) -> Table:
    """The loss of the digit that is there, of the nine others, and their sum."""
    terms = margin_terms(lengths, digit)
    rows: list[list[str | float]] = [
        [f"digit {digit}, longer than 0.9", float(lengths[digit]), float(terms[digit])],
        ["others, shorter than 0.1", float(np.delete(lengths, digit).max()), float(np.delete(terms, digit).sum())],
        ["margin loss", "", float(terms.sum())],
    ]
    return Table(tag="margin loss", columns=["capsules", "longest", "loss"], rows=rows)


def network_table() -> Table:
    """The sizes of the network for digits, and its first couplings, by what the softmax is over."""
    (picture, _, _), (maps, _, _) = SIDES
    places = [(side - filter_size) // stride + 1 for side, filter_size, stride in SIDES]
    children = places[-1] ** 2 * TYPES
    rows: list[list[str | float]] = [
        ["pixels a side", f"{picture} → {maps} → {places[-1]}"],
        ["primary capsules", float(children)],
        ["first coupling, over 10 parents", float(softmax(np.zeros((DIGITS, 1)), 0)[0, 0])],
        ["over the children", float(softmax(np.zeros((1, children)), 1)[0, 0])],
    ]
    return Table(tag="the network for digits", columns=["", "value"], rows=rows)
