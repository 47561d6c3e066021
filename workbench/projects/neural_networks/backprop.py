"""Back-propagation by hand, in NumPy: one example through a small network, each term and step beside its finite difference."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from workbench.events import Curve, Event, Matrix, Scatter, Table
from workbench.problems import Problem
from workbench.training.project import Field, Project
from workbench.training.project import Matrix as MatrixField

STEPS = 50
"""Steps of gradient descent that the error's curve shows."""
NUDGE = 1e-5
"""Half the distance of a finite difference. Its error falls with the square of this, and rounding grows with its inverse."""

Weights = Annotated[list[list[float]], MatrixField((1, 3), (1, 3), -10, 10, 0.1)]
Column = Annotated[list[list[float]], MatrixField((1, 3), 1, -10, 10, 0.1)]
Row = Annotated[list[list[float]], MatrixField(1, (1, 3), -10, 10, 0.1)]


@dataclass(frozen=True)
class Pass:
    """What one forward pass of one example computes. Shapes: `sums` and `hidden` (hidden units,); the rest are single numbers."""

    sums: np.ndarray
    hidden: np.ndarray
    output_sum: float
    output: float
    error: float


@dataclass(frozen=True)
class Terms:
    """What one backward pass computes: an error term for each unit, and the step of each weight, (inputs, hidden) and (hidden,)."""

    output: float
    hidden: np.ndarray
    step1: np.ndarray
    step2: np.ndarray


class BackpropByHand(Project):
    """Follows one example forward and its error backward through a network of one hidden layer."""

    class Request(Project.Request):
        x: Row = [[0.1, 0.3]]
        """The example's inputs, one number each; a larger input moves its weights further."""
        W1: Weights = [[0.4], [-0.2]]
        """Weights to the hidden units: a row for each input, a column for each hidden unit; there are no biases."""
        W2: Column = [[0.1]]
        """Weights from the hidden units to the output: a row for each hidden unit; the error flows back through them."""
        y: float = Field(1.0, ge=0, le=1, json_schema_extra={"step": 0.1})
        """The target, a probability; the further the output lies from it, the larger is every step."""
        rate: float = Field(0.5, ge=0, le=5, json_schema_extra={"step": 0.1})
        """The learning rate: every step is multiplied by it; higher learns faster, and may overshoot."""
        activation: Literal["sigmoid", "tanh", "relu", "linear"] = "sigmoid"
        """Activation of the hidden units; the output is always a sigmoid, so that it is a probability."""
        error: Literal["squared", "cross-entropy"] = "squared"
        """Half the squared error, or the cross-entropy; with the second the output's error term has no factor ŷ(1 − ŷ)."""
        steps: int = Field(0, ge=0, le=STEPS)
        """Steps of gradient descent made so far; the tables show the next one, with the weights of that moment."""

    def sample(self, request: Any) -> Iterator[Event]:
        """The next step's forward and backward pass, the weights around it, and the error over the steps."""
        start, x = checked(request)
        history = descent(start, x, request, STEPS + 1)
        weights, (now, terms) = history[request.steps]
        yield Table(tag="forward", columns=["term", "formula", "value"], rows=forward_rows(now, request))
        rows = backward_rows(terms, request)
        yield Table(tag="backward", columns=["term", "formula", "value"], rows=rows)
        checks = backward_rows(differences(weights, x, request), request)
        rows = [[term, value, check[-1]] for (term, _, value), check in zip(rows, checks, strict=True)]
        yield Table(tag="finite differences", columns=["term", "backward", "differences"], rows=rows)
        after = history[request.steps + 1][0]
        names, columns = weight_names(*start[0].shape), ["at start", "before", "after"]
        shown = np.column_stack([flat(moment) for moment in (start, weights, after)])
        yield Matrix(tag="weights", values=shown.tolist(), rows=names, columns=columns)
        errors = [passes[0].error for _, passes in history[: STEPS + 1]]
        yield Curve(tag="error/over steps", x=list(range(len(errors))), y=errors, labels=("steps", "error"))
        yield Scatter(tag="error/now", x=[request.steps], y=[now.error], labels=["now"])


Pair = tuple[np.ndarray, np.ndarray]
"""Both weight matrices: W1 (inputs, hidden), W2 (hidden,)."""


def checked(request: Any) -> tuple[Pair, np.ndarray]:
    """The weights and the inputs as arrays; Problem where their sizes do not belong together."""
    x, first, second = np.array(request.x[0]), np.array(request.W1), np.array(request.W2)[:, 0]
    if len(first) != len(x):
        raise Problem(f"W1 must have a row for each of the {len(x)} inputs in x, not {len(first)}.", cause="data")
    if len(second) != first.shape[1]:
        raise Problem(f"W2 must have a row for each of the {first.shape[1]} columns of W1, not {len(second)}.", cause="data")
    return (first, second), x


def activated(kind: str, sums: np.ndarray) -> np.ndarray:
    """The hidden units' outputs."""
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "relu": lambda sums: np.maximum(sums, 0),
        "linear": lambda sums: sums,
    }
    return functions[kind](sums)


def slope(kind: str, hidden: np.ndarray) -> np.ndarray:
    """The activation's derivative by its sums, written with its own output; ReLU's at 0 is taken as 0."""
    slopes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "sigmoid": lambda hidden: hidden * (1 - hidden),
        "tanh": lambda hidden: 1 - hidden**2,
        "relu": lambda hidden: (hidden > 0).astype(float),
        "linear": np.ones_like,
    }
    return slopes[kind](hidden)


def forward(weights: Pair, x: np.ndarray, request: Any, *, to_hidden: Any = 0.0, to_output: float = 0.0) -> Pass:
    """One forward pass. `to_hidden` and `to_output` are added to the sums: a finite difference by a sum needs them."""
    first, second = weights
    sums = x @ first + to_hidden
    hidden = activated(request.activation, sums)
    output_sum = float(hidden @ second + to_output)
    output = float(sigmoid(np.array(output_sum)))
    if request.error == "squared":
        error = (request.y - output) ** 2 / 2
    else:
        # −y log ŷ − (1 − y) log(1 − ŷ) without the logarithm of 0: log(1 + exp(h)) − y h.
        error = float(np.logaddexp(0, output_sum)) - request.y * output_sum
    return Pass(sums, hidden, output_sum, output, error)


def backward(weights: Pair, x: np.ndarray, now: Pass, request: Any) -> Terms:
    """One backward pass, from what the forward pass kept: no other forward pass is needed, whatever the number of weights.

    An error term is minus the error's derivative by a unit's sum, so a weight's step is rate · error term · what flows through the weight.
    """
    output = request.y - now.output
    if request.error == "squared":
        output *= now.output * (1 - now.output)
    # Both error terms come before any weight moves: W2 carries the error back as it was when it carried the activations forward.
    hidden = weights[1] * output * slope(request.activation, now.hidden)
    return Terms(output, hidden, request.rate * np.outer(x, hidden), request.rate * output * now.hidden)


def descent(weights: Pair, x: np.ndarray, request: Any, steps: int) -> list[tuple[Pair, tuple[Pass, Terms]]]:
    """The weights before each step and both passes there; one more than there are steps."""
    history = []
    for _ in range(steps + 1):
        now = forward(weights, x, request)
        terms = backward(weights, x, now, request)
        history.append((weights, (now, terms)))
        weights = weights[0] + terms.step1, weights[1] + terms.step2
    return history


def differences(weights: Pair, x: np.ndarray, request: Any) -> Terms:
    """The same terms by central differences of the error: two forward passes for each of them. Only a check of `backward`."""

    def fall(lower: Pass, upper: Pass) -> float:
        return (lower.error - upper.error) / (2 * NUDGE)

    def nudged(moves: list[Pair]) -> np.ndarray:
        return np.array([fall(*(forward((first + s * a, second + s * b), x, request) for s in (-1, 1))) for a, b in moves])

    first, second = weights
    units = NUDGE * np.eye(len(second))
    hidden = [fall(*(forward(weights, x, request, to_hidden=sign * unit) for sign in (-1, 1))) for unit in units]
    output = fall(*(forward(weights, x, request, to_output=sign * NUDGE) for sign in (-1, 1)))
    first_moves = [((NUDGE * np.eye(first.size)[place]).reshape(first.shape), np.zeros_like(second)) for place in range(first.size)]
    step1 = request.rate * nudged(first_moves).reshape(first.shape)
    step2 = request.rate * nudged([(np.zeros_like(first), unit) for unit in units])
    return Terms(output, np.array(hidden), step1, step2)


Rows = list[list[str | float]]


def digits(*values: float) -> list[str | float]:
    """Six significant digits, as a table rounds to four decimals, and these steps begin at the fourth."""
    return [f"{value:.6g}" for value in values]


def forward_rows(now: Pass, request: Any) -> Rows:
    """Every number of the forward pass with its formula."""
    name = {"sigmoid": "σ", "tanh": "tanh", "relu": "max(0, ·)", "linear": "1 ·"}[request.activation]
    error = "(y − ŷ)² / 2" if request.error == "squared" else "−y ln ŷ − (1−y) ln(1−ŷ)"
    marks = unit_marks(len(now.sums))
    rows: Rows = []
    for mark, total, hidden in zip(marks, now.sums, now.hidden, strict=True):
        rows.append([f"h{mark}", "sum of w x", *digits(total)])
        rows.append([f"a{mark}", f"{name}(h{mark})" if name in ("σ", "tanh") else name.replace("·", f"h{mark}"), *digits(hidden)])
    return [*rows, ["o", "sum of W a", *digits(now.output_sum)], ["ŷ", "σ(o)", *digits(now.output)], ["E", error, *digits(now.error)]]


def backward_rows(terms: Terms, request: Any) -> Rows:
    """Every number of the backward pass with its formula."""
    marks = unit_marks(len(terms.hidden))
    derivative = {"sigmoid": "a(1−a)", "tanh": "(1−a²)", "relu": "[h > 0]", "linear": "1"}[request.activation]
    output = "(y−ŷ) ŷ(1−ŷ)" if request.error == "squared" else "y − ŷ"
    rows: Rows = [["δ output", output, *digits(terms.output)]]
    rows += [[f"δ hidden{mark}", f"W δ {derivative}", *digits(term)] for mark, term in zip(marks, terms.hidden, strict=True)]
    rows += [[f"step W{mark}", "rate δ a", *digits(step)] for mark, step in zip(marks, terms.step2, strict=True)]
    names = weight_names(*terms.step1.shape)
    return [*rows, *([f"step {name}", "rate δ x", *digits(step)] for name, step in zip(names, terms.step1.ravel(), strict=False))]


def unit_marks(number: int) -> list[str]:
    """Indices of the hidden units; none where there is only one."""
    return [str(unit + 1) for unit in range(number)] if number > 1 else [""]


def weight_names(inputs: int, hidden: int) -> list[str]:
    """w with the input's and the hidden unit's index, then W with the hidden unit's: the order of `flat`."""
    return [f"w{row + 1}{mark}" for row in range(inputs) for mark in unit_marks(hidden)] + [f"W{mark}" for mark in unit_marks(hidden)]


def flat(weights: Pair) -> np.ndarray:
    """All weights in one row, W1's by rows and then W2's."""
    return np.concatenate([weights[0].ravel(), weights[1]])


def sigmoid(sums: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−sum)), without overflow far below zero; the notes leave out the minus."""
    return 0.5 * (1 + np.tanh(0.5 * sums))
