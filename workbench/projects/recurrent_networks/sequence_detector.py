"""Finds the word udacity in a stream of letters by a recurrent network. Recipes: udacity-detector, udacity-detector-cells."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Binary, TextCodes
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Matrix, Scalars, Scatter, Table
from workbench.problems import Problem, one_line
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory, sent
from workbench.torchkit.computed import Computed
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field

ALPHABET = "acdituy"
"""The letters of the word, in the order of their one-hot vectors."""
WORD = "udacity"
NEAR = ("udacita", "udcaity", *(f"udacit{letter}" for letter in ALPHABET if letter != "y"))
"""Near misses: a wrong end, two letters in the wrong order, and the word with any other last letter."""
PLANTED = np.array([[ALPHABET.index(letter) for letter in word] for word in (WORD, *NEAR)])
SHARES = (1 / 2, 1 / 6, 1 / 6, *[1 / 36] * 6)
"""How often each of them is planted: near misses as often as the word, their three kinds equally often."""
BLOCK = 25
"""Letters that one word is planted in: so the word itself stands once in 50."""
STEPS_PER_EPOCH = 100
"""The stream has no end: an epoch is so many batches."""
HELD_OUT = 100_000
"""Letters that it is judged on, of streams of each length."""
TIMES = 10
"""How many times as long as in training the other held-out streams are."""
SEEDS = {"valid": (7, 999_983, 1), "test": (7, 999_983, 2)}
"""Of the held-out streams: the training draws with two numbers, the run's seed and the epoch."""
THRESHOLD = 0.5
LETTERS = "uudacityudacita"
"""What it reads until somebody types others: the word and a near miss."""
MOST_LETTERS = 2000
MOST_UNITS = 24
"""Units whose states are shown, those that vary most: with more of them the letters beside the rows have no room."""
THRESHOLDS = np.arange(1, 100) / 100
"""Of the curve of precision and recall."""


class SequenceDetector(TorchProject):
    """Says at every letter whether the word udacity has just ended."""

    takes = "text"

    class Config(LearningRate, Clipping):
        cell: Literal["rnn", "gru", "lstm"] = "rnn"
        """Kind of recurrent cell: rnn, tanh units; gru, with three times its weights; lstm, with four times, and a state that is kept."""
        hidden: int = Field(32, ge=1, le=512)
        """Hidden units, the memory of the letters before; fewer than some 8 cannot hold seven letters, more take longer."""
        length: int = Field(100, ge=1, le=1000)
        """Letters of a training stream; the gradient goes back to its beginning, so more are slower."""
        loss: Literal["cross-entropy", "squared"] = "cross-entropy"
        """What is minimised: binary cross-entropy; or the squared error of the notes, which hardly moves while the output is near 0."""

    class Request(TorchProject.Request):
        letters: str = Field(LETTERS, min_length=1, max_length=MOST_LETTERS)
        """The letters that it reads, of a c d i t u y; capitals count as small ones."""
        threshold: float = Field(THRESHOLD, ge=0.01, le=0.99, json_schema_extra={"step": 0.01})
        """An output from here on counts as an alarm; higher has fewer false alarms and more misses."""
        read: int = Field(0, ge=0, le=MOST_LETTERS)
        """How many letters it has read, to follow it step by step; 0, or more than there are, reads all."""

    # -- data ---------------------------------------------------------------------------------------------------------------------------

    def build_data(self) -> None:
        self.held_out = {}
        """By split, the streams of the training's length, and those of ten times the length: codes (streams, letters) each."""
        for split, seed in SEEDS.items():
            lengths = (self.config.length, self.config.length * TIMES)
            self.held_out[split] = [streams(np.random.default_rng((*seed, length)), HELD_OUT // length, length) for length in lengths]

    def build_model(self) -> None:
        self.network = Network(self.config.cell, self.config.hidden).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.config.learning_rate, fused=True)

    def on_device(self, codes: np.ndarray) -> tuple[Tensor, Tensor]:
        """Codes and targets, (streams, letters) each."""
        return sent(codes, self.device), sent(ends_in(codes, WORD).astype(np.float32), self.device)

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        codes = streams(rng, STEPS_PER_EPOCH * self.train.batch_size, self.config.length)
        return InMemory(self.on_device(codes), self.train.batch_size, None)

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (sent(self.held_out["valid"][0][: self.train.batch_size], self.device),)}

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def train_step(self, batch: Any) -> dict[str, Any]:
        codes, targets = batch  # (streams, letters) each
        rates = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        loss = self.loss(self.network(codes), targets)
        loss.backward()
        # Between backward and step; the norm before clipping is logged, as it shows exploding gradients.
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "gradient_norm": norm, **rates}

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over all letters of all streams."""
        if self.config.loss == "squared":
            return F.mse_loss(logits.sigmoid(), targets)
        return F.binary_cross_entropy_with_logits(logits, targets)

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """Loss, F1 and accuracy on held-out streams as long as in training, F1 on ten times as long ones; rules without a network."""
        values: dict[str, Any] = {}
        rows: list[list[str | float]] = []
        curves = []
        for place, codes in enumerate(self.held_out[split]):
            letters, targets = self.on_device(codes)
            logits = self.network(letters)
            truth, outputs = ends_in(codes, WORD), logits.sigmoid().cpu().numpy()
            judged = Judged(outputs >= THRESHOLD, truth)
            if place == 0:
                values |= {"loss": float(self.loss(logits, targets)), "f1": judged.f1, "accuracy": judged.accuracy}
            else:
                values["f1/long"] = judged.f1
            rows.append(["network" if place == 0 else f"network, {TIMES} times as long", *judged.cells()])
            curves.append(precision_recall(outputs, truth, f"{codes.shape[1]:,} letters"))
        codes = self.held_out[split][0]
        truth = ends_in(codes, WORD)
        rules = {
            "is y": ends_in(codes, "y"),
            "ends in ity": ends_in(codes, "ity"),
            "never": np.zeros_like(truth),
            "automaton": accepted(codes),
        }
        rows += [[name, *Judged(alarms, truth).cells()] for name, alarms in rules.items()]
        yield Scalars(values=values)
        yield Table(tag="detections", columns=["by", "hits", "missed", "false", "accuracy", "F1"], rows=rows)
        yield from curves

    def sample(self, request: Any) -> Iterator[Event]:
        """The output along typed letters, where it is an alarm, the hidden states, and the weights of the folded network."""
        letters = checked(request.letters)[: request.read or None]
        codes = coded(letters)
        states, logits = self.network.unfolded(sent(codes[None], self.device))
        outputs, truth = logits[0].sigmoid().double().cpu().numpy(), ends_in(codes, WORD)
        places = list(range(1, len(letters) + 1))
        if truth.any():
            ends = (np.flatnonzero(truth) + 1.0).tolist()
            yield Scatter(tag="output/udacity ends", x=ends, y=[1.0] * len(ends), labels=["udacity ends"] * len(ends))
        yield Curve(tag="output/strip", x=list(map(float, places)), y=outputs.tolist(), labels=("letter", "output"))
        yield Curve(tag="output/threshold", x=[1, len(letters)], y=[request.threshold] * 2, labels=("letter", "output"))
        yield found(letters, outputs, truth, request.threshold)
        states = states[0]
        units = states.std(0, correction=0).topk(min(MOST_UNITS, self.config.hidden)).indices.sort().values
        rows = [f"{place} {letter}" for place, letter in zip(places, letters, strict=True)]
        yield Matrix(tag="states", values=states[:, units].tolist(), rows=rows)
        # A column for each unit; of a GRU or an LSTM those of its gates one after the other, as torch stacks them.
        weights = self.network.recurrent
        yield Matrix(tag="W_x", values=weights.weight_ih_l0.T.tolist(), rows=list(ALPHABET))
        yield Matrix(tag="W_s", values=weights.weight_hh_l0.T.tolist())
        yield Matrix(tag="W_y", values=self.network.output.weight.tolist())

    def summary(self) -> Iterator[Event]:
        yield from super().summary()
        windows = len(ALPHABET) ** len(WORD)
        rows: list[list[str | float]] = [
            ["letters between two planted words", float(2 * BLOCK)],
            ["letters between two near misses", float(2 * BLOCK)],
            ["windows of seven letters", f"{windows:,}"],
            ["accidental words in 10,000 letters", round(10_000 / windows, 4)],
        ]
        yield Table(tag="stream", columns=["of the stream", "number"], rows=rows)

    # -- asked elsewhere ----------------------------------------------------------------------------------------------------------------

    def last(self, codes: Tensor) -> Tensor:
        """(texts, letters) codes from 1, 0 is padding on the right → (texts,) logits at the last letter of each."""
        logits = self.network((codes - 1).clamp(min=0))
        place = ((codes > 0).sum(1, keepdim=True) - 1).clamp(min=0)
        at_last: Tensor = logits.gather(1, place)[:, 0]
        return at_last

    def predict(self, inputs: Any) -> Any:
        """Letters, or `{"letters": "uudacity"}`, to `{"answer": "udacity" or "no", "probabilities", "note"}`: the note has all places."""
        letters = inputs.get("letters", LETTERS) if isinstance(inputs, dict) else inputs
        if not isinstance(letters, str) or not 0 < len(letters) <= MOST_LETTERS:
            raise Problem(f"The input is no text of 1 to {MOST_LETTERS:,} letters.", 'Send {"letters": "uudacity"}.', "data")
        letters = checked(letters)
        answer = answered(self.serving().coding, letters, lambda codes: self.last(codes.to(self.device)))
        alarms = self.network(sent(coded(letters)[None], self.device))[0] > 0
        places = ", ".join(str(place + 1) for place in alarms.nonzero()[:, 0].tolist())
        return {**answer, "note": f"It ends after the letters {places}." if places else "It ends nowhere in these letters."}

    def serving(self) -> Serving:
        coding = Coding(TextCodes(tokens="characters"), Binary(), ["no", WORD], ["", *ALPHABET])

        def texts(count: int) -> list[str]:
            codes = self.held_out["test"][0][:count]
            ends = [np.flatnonzero(row) for row in ends_in(codes, WORD)]
            # Every other one stops where its first word ends: else hardly any would.
            stops = [int(places[0]) + 1 if place % 2 and len(places) else len(codes[0]) for place, places in enumerate(ends)]
            return ["".join(ALPHABET[code] for code in row[:stop]) for row, stop in zip(codes, stops, strict=True)]

        return Serving(
            coding,
            graph=Computed(self.last, network=self.network),
            examples=texts,
            truths=lambda count: [WORD if text.endswith(WORD) else "no" for text in texts(count)],
            # The other exporter makes the length of this recurrent layer a constant.
            exporter="legacy",
        )


class Network(nn.Module):
    """One-hot letters through a recurrent layer to one logit at each letter."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        kinds: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        self.recurrent = kinds[cell](len(ALPHABET), hidden, batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def unfolded(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """(streams, letters) → the hidden states (streams, letters, hidden) from a state of zeros on, and the logits (streams, letters)."""
        states, _ = self.recurrent(F.one_hot(codes, len(ALPHABET)).float())
        return states, self.output(states)[..., 0]

    def forward(self, codes: Tensor) -> Tensor:
        """(streams, letters) → logits (streams, letters)."""
        return self.unfolded(codes)[1]


# -- streams ------------------------------------------------------------------------------------------------------------------------------


def streams(rng: np.random.Generator, count: int, length: int) -> np.ndarray:
    """(count, length) codes: uniform letters, with the word or a near miss somewhere in every 25 of them."""
    blocks = -(-length // BLOCK)
    codes = rng.integers(0, len(ALPHABET), (count, blocks, BLOCK))
    words = PLANTED[rng.choice(len(PLANTED), (count, blocks), p=SHARES)]  # (count, blocks, 7)
    starts = rng.integers(0, BLOCK - len(WORD) + 1, (count, blocks, 1))
    np.put_along_axis(codes, starts + np.arange(len(WORD)), words, 2)
    return codes.reshape(count, -1)[:, :length].copy()


def coded(letters: str) -> np.ndarray:
    """(letters,) codes."""
    return np.array([ALPHABET.index(letter) for letter in letters])


def ends_in(codes: np.ndarray, word: str) -> np.ndarray:
    """(…, letters) → bool of the same shape: whether the word ends at each letter, planted or by accident."""
    ends = np.zeros(codes.shape, bool)
    if codes.shape[-1] >= len(word):
        windows = np.lib.stride_tricks.sliding_window_view(codes, len(word), -1)
        ends[..., len(word) - 1 :] = (windows == coded(word)).all(-1)
    return ends


def automaton() -> np.ndarray:
    """(8, 7): the next state by state and letter; a state is how many letters of the word have just been read."""

    def following(state: int, letter: str) -> int:
        read = WORD[:state] + letter
        return max(size for size in range(len(WORD) + 1) if read.endswith(WORD[:size]))

    return np.array([[following(state, letter) for letter in ALPHABET] for state in range(len(WORD) + 1)])


def accepted(codes: np.ndarray) -> np.ndarray:
    """Where the automaton of eight states says that the word has ended: (streams, letters) → bool; the best detector there is."""
    table, state = automaton(), np.zeros(len(codes), int)
    ends = np.zeros(codes.shape, bool)
    for place in range(codes.shape[1]):
        state = table[state, codes[:, place]]
        ends[:, place] = state == len(WORD)
    return ends


def checked(letters: str) -> str:
    """Typed letters as small ones. Problem that names the first one of another alphabet, and its place."""
    for place, letter in enumerate(letters, 1):
        if letter.lower() not in ALPHABET:
            text = f"letters: {one_line(repr(letter), 20)} at position {place:,} is none of {' '.join(ALPHABET)}."
            raise Problem(text, "It knows the letters of udacity alone, without spaces.", "data")
    return letters.lower()


# -- how good it is -----------------------------------------------------------------------------------------------------------------------


class Judged:
    """Alarms beside the truth, both bool of one shape."""

    def __init__(self, alarms: np.ndarray, truth: np.ndarray) -> None:
        self.hits, self.missed, self.false = (int(part.sum()) for part in (alarms & truth, ~alarms & truth, alarms & ~truth))
        self.accuracy = float((alarms == truth).mean())

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, 2 hits / (2 hits + missed + false); None where there is neither a word nor an alarm."""
        total = 2 * self.hits + self.missed + self.false
        return 2 * self.hits / total if total else None

    def cells(self) -> list[str | float]:
        """Of a table of detections."""
        f1 = self.f1
        return [f"{self.hits:,}", f"{self.missed:,}", f"{self.false:,}", self.accuracy, "" if f1 is None else f1]


def precision_recall(outputs: np.ndarray, truth: np.ndarray, name: str) -> Curve:
    """Precision over recall as the threshold falls; a threshold without an alarm has no precision, and no point."""
    judged = [(threshold, Judged(outputs >= threshold, truth)) for threshold in THRESHOLDS[::-1].tolist()]
    points = [(threshold, at) for threshold, at in judged if at.hits + at.false and at.hits + at.missed]
    recall = [at.hits / (at.hits + at.missed) for _, at in points]
    precision = [at.hits / (at.hits + at.false) for _, at in points]
    return Curve(tag=f"precision/{name}", x=recall, y=precision, at=[threshold for threshold, _ in points], labels=("recall", "precision"))


def found(letters: str, outputs: np.ndarray, truth: np.ndarray, threshold: float) -> Table:
    """A row for every alarm and every word, and the highest output that is neither."""
    alarms = outputs >= threshold
    shown = np.flatnonzero(alarms | truth).tolist()
    quiet = np.flatnonzero(~(alarms | truth))
    if len(quiet):
        shown.append(int(quiet[outputs[quiet].argmax()]))
    verdicts = {(True, True): "hit", (False, True): "miss", (True, False): "false alarm", (False, False): "highest below"}
    rows: list[list[str | float]] = [
        [
            str(place + 1),
            letters[max(0, place + 1 - len(WORD)) : place + 1],
            f"{outputs[place]:.4f}",
            verdicts[bool(alarms[place]), bool(truth[place])],
        ]
        for place in shown
    ]
    return Table(tag="found", columns=["at", "letters", "output", "verdict"], rows=rows)
