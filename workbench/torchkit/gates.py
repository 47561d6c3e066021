"""The gates of LSTM and GRU layers, which PyTorch's layers keep to themselves: recomputed in NumPy from their weights.

Used by gates, one cell by hand, and by char_rnn, whose runs show what their units do while they read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from workbench.events import Curve, Event, Matrix, Table
from workbench.problems import Problem

SHOWN = 32
"""Units in a panel: those whose output varies most."""
LISTED = 3
"""Units that are listed for each thing that a unit may follow."""
SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}
"""Characters that cannot be seen, in the heads of columns."""


@dataclass(frozen=True)
class Weights:
    """One layer's weights with PyTorch's order of gates in their rows: input, forget, new, output of an LSTM; reset, update, new of a GRU.

    Shapes: `inputs` (gates · units, features), `state` (gates · units, units), both biases (gates · units,).
    """

    inputs: np.ndarray
    state: np.ndarray
    input_bias: np.ndarray
    state_bias: np.ndarray
    peepholes: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of an LSTM, by gate ("forget", "learn", "use"), (units,): the weights with which it sees the long-term memory."""

    @property
    def units(self) -> int:
        """Hidden units of the layer."""
        return int(self.state.shape[1])

    @classmethod
    def of(cls, recurrent: Any, layer: int) -> "Weights":
        """Those of a layer, from 0, of a `torch.nn.LSTM` or `GRU`, in float64."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return cls(*(getattr(recurrent, f"{name}_l{layer}").detach().cpu().double().numpy() for name in names))


Values = dict[str, np.ndarray]
"""By name, the value of every unit after every input, (texts, length, units)."""


def lstm(weights: Weights, inputs: np.ndarray, short: Any = 0.0, long: Any = 0.0) -> Values:
    """(texts, length, features) → forget f, learn i and use o, which lie between 0 and 1; new N; the memories long c and short h.

    Hochreiter and Schmidhuber 1997 with the forget gate of Gers, Schmidhuber and Cummins 2000; peepholes as in Gers and Schmidhuber 2000:
    forget and learn see the long-term memory before the step, use sees the one after it.
    """
    peephole = {name: weights.peepholes.get(name, 0.0) for name in ("forget", "learn", "use")}
    short, long, steps = *_begun(weights, inputs, short, long), []
    for sums in _input_sums(weights, inputs):
        i, f, n, o = np.split(sums + short @ weights.state.T + weights.state_bias, 4, axis=-1)
        learn, forget, new = sigmoid(i + peephole["learn"] * long), sigmoid(f + peephole["forget"] * long), np.tanh(n)
        long = forget * long + learn * new
        use = sigmoid(o + peephole["use"] * long)
        short = use * np.tanh(long)
        steps.append((forget, learn, use, new, long, short))
    return _by_name(("forget", "learn", "use", "new", "long", "short"), steps)


def gru(weights: Weights, inputs: np.ndarray, working: Any = 0.0) -> Values:
    """(texts, length, features) → update z and reset r, which lie between 0 and 1; new n; the working memory h.

    PyTorch's form of Cho and others 2014: h ← z · h + (1 − z) · n, where r multiplies the state after its weights.
    """
    working, steps = _begun(weights, inputs, working)[0], []
    for sums in _input_sums(weights, inputs):
        (r, z, n), (state_r, state_z, state_n) = (
            np.split(part, 3, axis=-1) for part in (sums, working @ weights.state.T + weights.state_bias)
        )
        reset, update = sigmoid(r + state_r), sigmoid(z + state_z)
        new = np.tanh(n + reset * state_n)
        working = update * working + (1 - update) * new
        steps.append((update, reset, new, working))
    return _by_name(("update", "reset", "new", "working"), steps)


def sigmoid(sums: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−sum)), without overflow far below zero."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * sums)))


def _begun(weights: Weights, inputs: np.ndarray, *states: Any) -> list[np.ndarray]:
    """States before the first input, (texts, units) each."""
    return [np.broadcast_to(np.asarray(state, float), (len(inputs), weights.units)) for state in states]


def _input_sums(weights: Weights, inputs: np.ndarray) -> np.ndarray:
    """(length, texts, gates · units): the inputs' share of all sums at once, as only the state's has to wait for the step before."""
    return np.asarray(inputs.swapaxes(0, 1) @ weights.inputs.T + weights.input_bias)


def _by_name(names: Sequence[str], steps: Sequence[Sequence[np.ndarray]]) -> Values:
    return {name: np.stack([step[place] for step in steps], axis=1) for place, name in enumerate(names)}


def of_layer(recurrent: Any, layer: int, inputs: np.ndarray) -> Values:
    """What the gates of a layer, from 1, of a `torch.nn.LSTM` or `GRU` do as it reads; the layers before it are read through.

    `inputs` is (texts, length, features), from a state of zeros, as in evaluation: without dropout between layers. Problem for a plain RNN.
    """
    if recurrent.mode not in ("LSTM", "GRU"):
        raise Problem("A plain RNN has no gates.", "Ask a run with config.cell lstm or gru.", "data")
    outputs, values = inputs.astype(np.float64), Values()
    for number in range(layer):
        weights = Weights.of(recurrent, number)
        values = lstm(weights, outputs) if recurrent.mode == "LSTM" else gru(weights, outputs)
        outputs = values["short" if recurrent.mode == "LSTM" else "working"]
    return values


# -- panels of a trained network ------------------------------------------------------------------------------------------------------


def panels(recurrent: Any, layer: int, unit: int, inputs: np.ndarray, text: str) -> Iterator[Event]:
    """The gates and memories of a layer's most varying units over a text, (length, features) as `inputs`, and one unit's curves.

    `layer` and `unit` count from 1; unit 0 is the one that varies most. Problem where the network has no such layer or unit.
    """
    if not 1 <= layer <= recurrent.num_layers:
        raise Problem(f"layer must be from 1 to {recurrent.num_layers}, the layers of this network, not {layer}.", cause="data")
    if not 0 <= unit <= recurrent.hidden_size:
        raise Problem(f"unit must be from 0 to {recurrent.hidden_size:,}, the units of this network, not {unit:,}.", cause="data")
    values = {name: one[0] for name, one in of_layer(recurrent, layer, inputs[None]).items()}
    output = values["short" if "short" in values else "working"]
    order = np.argsort(-output.std(axis=0), kind="stable")[:SHOWN]
    names, heads = [str(place + 1) for place in order], [SIGNS.get(character, character) for character in text]
    for name in names_of(values):
        yield Matrix(tag=name, values=values[name.partition("/")[2]].T[order].tolist(), rows=names, columns=heads)
    number = unit or int(order[0]) + 1
    curves = {name.replace("gates/", ""): values[name.partition("/")[2]] for name in names_of(values) if name.startswith("gates/")}
    # As the use gate gets it: the memory itself has no bounds, and would flatten the gates.
    curves |= {"tanh of long": np.tanh(values["long"])} if "long" in values else {"working": output}
    places = [float(place) for place in range(1, len(text) + 1)]
    for name, curve in curves.items():
        yield Curve(tag=f"unit {number}/{name}", x=places, y=curve[:, number - 1].tolist(), labels=("character", ""))


def names_of(values: Values) -> list[str]:
    """The tags of the panels: gates, which lie between 0 and 1, and memories."""
    gates, memories = (("forget", "learn", "use"), ("long", "short")) if "long" in values else (("update", "reset"), ("working",))
    return [*(f"gates/{name}" for name in gates), *(f"memory/{name}" for name in memories)]


class Followed(NamedTuple):
    """Something of a text that a unit may follow."""

    name: str
    marks: Callable[[str], np.ndarray]
    """A number for each character, of what is known once it is read."""


def inside_quotes(text: str) -> np.ndarray:
    """1 inside double quotation marks, else 0; an empty line closes them, as a novel's speech may go on in the next paragraph."""
    marks, inside = np.zeros(len(text)), False
    for place, character in enumerate(text):
        if character == '"':
            inside = not inside
        elif character in "“”" or text[max(0, place - 1) : place + 1] == "\n\n":
            inside = character == "“"
        marks[place] = inside
    return marks


def since_line_break(text: str) -> np.ndarray:
    """Characters since the last line break, or since the beginning."""
    places = np.arange(len(text))
    breaks = np.where(np.array([character == "\n" for character in text], bool), places, -1)
    return np.asarray(places - np.maximum.accumulate(breaks), float)


FOLLOWED = (Followed("inside quotation marks", inside_quotes), Followed("since line break", since_line_break))


def followers(recurrent: Any, layer: int, inputs: np.ndarray, texts: Sequence[str]) -> Table:
    """Which units of a layer, from 1, follow something in the texts, by the correlation r of their long-term or working memory with it.

    They are chosen on the first half of each text; r of the other half says whether that was chance. `inputs`: (texts, length, features).
    """
    values = of_layer(recurrent, layer, inputs)
    memory = values["long" if "long" in values else "working"]
    rows: list[list[str | float]] = []
    for name, marks_of in FOLLOWED:
        marks, half = np.array([marks_of(text) for text in texts]), memory.shape[1] // 2
        chosen_on, other = (correlations(memory[:, part], marks[:, part]) for part in (slice(half), slice(half, None)))
        varying = np.flatnonzero(np.isfinite(chosen_on) & np.isfinite(other))
        if not len(varying):
            rows.append([name, "–", "not in this text", "–"])
            continue
        for unit in varying[np.argsort(-np.abs(chosen_on[varying]), kind="stable")][:LISTED]:
            rows.append([name, str(unit + 1), round(float(chosen_on[unit]), 3), round(float(other[unit]), 3)])
    return Table(tag="units that follow", columns=["the text is", "unit", "r", "r, other half"], rows=rows)


def correlations(values: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Pearson's r of each unit, (texts, length, units) with (texts, length) → (units,); NaN where one of both does not vary."""
    units, one = values.reshape(-1, values.shape[-1]), marks.ravel()
    units, one = units - units.mean(axis=0), one - one.mean()
    spread = np.sqrt((units**2).sum(axis=0) * (one**2).sum())
    found: np.ndarray = np.divide(units.T @ one, spread, out=np.full(len(spread), np.nan), where=spread > 1e-12)
    return found
