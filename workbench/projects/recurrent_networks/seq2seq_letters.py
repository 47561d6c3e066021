"""Sorts the letters of a row, sequence to sequence, with and without attention. Recipes: seq2seq-letters, -attention, -compare."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import letter_pairs
from workbench.datasets.letter_pairs import LETTERS, LONGEST, ordered
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Matrix, Scalars, Table, Text
from workbench.problems import Problem, one_line
from workbench.torchkit.attention import Attention
from workbench.torchkit.batches import InMemory
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.project import TorchProject
from workbench.torchkit.sequence_pairs import END, PAD, SPECIAL, UNKNOWN, State, Written, exact_match, greedy, mask, padded, shifted
from workbench.training.project import Field
from workbench.training.request import request as checked

SYMBOLS = SPECIAL + len(LETTERS)
COUNTED = 4
"""Letters from which on a row counts: of shorter ones too many are sorted already, so copying alone scores well on them."""
SHOWN = 12
"""Rows of the table of examples."""
SIGNS = {PAD: "·", END: "end", UNKNOWN: "?"}
"""How codes that are no letters are shown."""


def encoded(row: str) -> list[int]:
    """A row's letters as codes."""
    return [SPECIAL + LETTERS.index(letter) for letter in row]


def spelled(codes: Sequence[int]) -> str:
    """Codes as letters."""
    return "".join(LETTERS[code - SPECIAL] if code >= SPECIAL else SIGNS.get(code, "?") for code in codes)


def ideal(row: str) -> list[int]:
    """The place of the j-th smallest letter in the row: where to look for the letter that is written next."""
    return sorted(range(len(row)), key=lambda place: row[place])


class SortedLetters(TorchProject):
    """An encoder reads a row of letters, and a decoder writes them in the order of the alphabet."""

    datasets = ("letter-pairs",)
    takes = "text"

    class Config(LearningRate, Clipping):
        attention: Literal["none", "dot", "general", "concat", "additive"] = "none"
        """How the decoder looks at the encoder's states: none leaves it their last one alone; the others are ways to score a place."""
        embedding: int = Field(15, ge=1)
        """Length of a letter's learned embedding vector; higher tells letters apart sooner, and costs little."""
        hidden: int = Field(50, ge=1)
        """Hidden units in each recurrent layer, of encoder and decoder; more remember longer rows, and cost time."""
        layers: int = Field(2, ge=1)
        """Number of stacked LSTM layers on each side; more are slower to train."""

    class Request(TorchProject.Request):
        letters: str = Field("network", min_length=1, max_length=30)
        """A row of 1 to 30 letters to sort; more than 7 are longer than any row that it learned from."""

    def build_data(self) -> None:
        self.parts = letter_pairs.read().parts
        self.coded = {part: self.pairs(rows) for part, rows in self.parts.items()}

    def pairs(self, rows: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Rows as (rows, letters) codes, and their letters sorted with END behind them, (rows, letters + 1)."""
        targets = [[*encoded(ordered(row)), END] for row in rows]
        return padded([encoded(row) for row in rows]).to(self.device), padded(targets).to(self.device)

    def build_model(self) -> None:
        self.network = Network(self.config).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.config.learning_rate, fused=True)

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return InMemory(self.coded["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        sources, targets = batch  # (rows, letters), (rows, letters and END)
        rate = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            # Teacher forcing: the decoder is told the right letter before each one, whatever it would have written itself.
            logits, _, _ = self.network.write(shifted(targets), self.network.read(sources))  # (rows, letters and END, symbols)
            # Padding is no target: it would be learnt first, and make the mean look good.
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)
        loss.backward()
        # Between backward and step; the norm before clipping is logged, as it shows exploding gradients.
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "gradient_norm": norm, **rate}

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def written(self, rows: Sequence[str]) -> Written:
        """What it writes for rows of letters, from these letters alone: it goes on from its own letters, not from the right ones."""
        sources = padded([encoded(row) for row in rows]).to(self.device)
        return greedy(self.network.step, self.network.read(sources), len(rows), [2 * len(row) + 4 for row in rows])

    def evaluate(self, split: str) -> Iterator[Event]:
        """Rows that are right in every letter, beside what copying the row would give, and how often it looked at the right place."""
        rows = self.parts[split]
        written = self.written(rows)
        right, answers = [ordered(row) for row in rows], [spelled(codes) for codes in written.codes]
        lengths = sorted({len(row) for row in rows})
        loss, forced = self.forced(split)
        values: dict[str, Any] = {
            "loss": loss,
            "exact_match": exact_match(*where(answers, right, range(COUNTED, 1 + lengths[-1]))),
            "exact_match/copied": exact_match(*where(rows, right, range(COUNTED, 1 + lengths[-1]))),
            "letters_right": sum(map(letters_right, answers, right)) / sum(len(row) + 1 for row in right),
            # The trap: with the right letters before it, a decoder looks better than it is.
            "letters_right/told": forced,
        }
        if self.network.attention is not None:
            values["looked_right"] = looked_right(rows, written)
        yield Scalars(values=values)
        for series, given in (("written", answers), ("copied", rows)):
            shares = [exact_match(*where(given, right, [length])) for length in lengths]
            yield Curve(tag=f"by_length/{series}", x=list(map(float, lengths)), y=shares, labels=("letters", "exact match"))

    def forced(self, split: str) -> tuple[float, float]:
        """The cross-entropy, and the share of letters that are right, where the decoder is told the right letter before each."""
        sources, targets = self.coded[split]
        logits, _, _ = self.network.write(shifted(targets), self.network.read(sources))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)
        real = mask(targets)
        right = ((logits.argmax(2) == targets) & real).sum() / real.sum()
        loss_value, right_share = self.floats([loss, right])
        return loss_value, right_share

    def sample(self, request: Any) -> Iterator[Event]:
        """A typed row sorted, where it looked beside where it should, and rows of the validation part."""
        row = typed(request.letters)
        written = self.written([row])
        answer = spelled(written.codes[0])
        yield Text(tag="answer", prompt=row, text=verdict(row, answer))
        if self.network.attention is not None:
            # Numbered, as a row that is sorted already would else have the same names on both axes.
            rows = [f"{place}. {letter}" for place, letter in enumerate(answer, 1)]
            yield Matrix(tag="alignment/learned", values=written.weights[0].tolist(), rows=rows, columns=list(row))
            right = [[float(place == column) for column in range(len(row))] for place in ideal(row)]
            rows = [f"{place}. {letter}" for place, letter in enumerate(ordered(row), 1)]
            yield Matrix(tag="alignment/ideal", values=right, rows=rows, columns=list(row))
        examples = [row for row in self.parts["valid"] if len(row) >= COUNTED][:SHOWN]
        answers = [spelled(codes) for codes in self.written(examples).codes]
        table: list[list[str | float]] = [
            [row, ordered(row), answer, "yes" if answer == ordered(row) else "no"] for row, answer in zip(examples, answers, strict=True)
        ]
        yield Table(tag="examples", columns=["row", "sorted", "written", "right"], rows=table)

    def predict(self, inputs: Any) -> Any:
        """`{"letters": "cab"}` to `{"answer": "abc", "note": …}`."""
        asked: Any = checked(self, inputs if isinstance(inputs, dict) else {"letters": inputs})
        row = typed(asked.letters)
        answer = spelled(self.written([row]).codes[0])
        return {"answer": answer, "note": verdict(row, answer)}

    def serving(self) -> Serving:
        raise Problem(
            "It reads a whole row before it writes the first letter: no coding of the served models does both.", "T explores it here."
        )


def typed(letters: str) -> str:
    """A typed row in lower case; Problem that names the signs which are no letters from a to z."""
    row = letters.strip().lower()
    wrong = sorted(set(row) - set(LETTERS))
    if wrong or not row:
        shown = ", ".join(one_line(repr(sign), 20) for sign in wrong[:10])
        raise Problem(
            f"letters may have the letters a to z only, not {shown}." if wrong else "letters is empty.", "Type 1 to 30 letters.", "data"
        )
    return row


def verdict(row: str, answer: str) -> str:
    """The answer in words, beside the right one."""
    text = f"{answer or 'nothing'}: right" if answer == ordered(row) else f"{answer or 'nothing'}: wrong, right is {ordered(row)}"
    return f"{text}; {len(row)} letters are longer than trained ({LONGEST})" if len(row) > LONGEST else text


def where(answers: Sequence[str], right: Sequence[str], lengths: Container[int]) -> tuple[list[str], list[str]]:
    """Those answers whose rows have so many letters, and what is right for them."""
    chosen = [(answer, truth) for answer, truth in zip(answers, right, strict=True) if len(truth) in lengths]
    return [answer for answer, _ in chosen], [truth for _, truth in chosen]


def letters_right(answer: str, right: str) -> int:
    """How many of the right row's letters the answer has at their places; its end counts as a letter."""
    return sum(one == other for one, other in zip(answer, right, strict=False)) + (len(answer) == len(right))


def looked_right(rows: Sequence[str], written: Written) -> float:
    """The share of written letters for which the most weight lay on the smallest letter that is left; of equal letters any is right."""
    hits = [
        row[int(weights.argmax())] == wanted
        for row, places in zip(rows, written.weights, strict=True)
        for weights, wanted in zip(places[:, : len(row)], ordered(row), strict=False)
    ]
    return sum(hits) / max(1, len(hits))


class Network(nn.Module):
    """An LSTM that reads, an LSTM that writes and begins with the other's last state, and attention where there is one."""

    def __init__(self, config: SortedLetters.Config) -> None:
        super().__init__()
        size = config.hidden
        self.encoder_embedding = nn.Embedding(SYMBOLS, config.embedding)
        self.encoder = nn.LSTM(config.embedding, size, config.layers, batch_first=True)
        self.decoder_embedding = nn.Embedding(SYMBOLS, config.embedding)
        self.decoder = nn.LSTM(config.embedding, size, config.layers, batch_first=True)
        self.attention = None if config.attention == "none" else Attention(config.attention, size, size, size)
        if self.attention is not None:
            self.combined = nn.Linear(2 * size, size, bias=False)
        self.output = nn.Linear(size, SYMBOLS)

    def read(self, sources: Tensor) -> State:
        """(rows, letters) codes → hidden and cell state (rows, layers, hidden), all states of the top layer, the mask of letters."""
        real, inputs = mask(sources), self.encoder_embedding(sources)
        hidden = inputs.new_zeros(self.encoder.num_layers, len(sources), self.encoder.hidden_size)
        cell, outputs = hidden, []
        for place in range(sources.shape[1]):
            output, (next_hidden, next_cell) = self.encoder(inputs[:, place : place + 1], (hidden, cell))
            # Behind its end a row's state stays as it is: else the longest row of the batch would change the answer to a short one.
            going = real[None, :, place, None]
            hidden, cell = torch.where(going, next_hidden, hidden), torch.where(going, next_cell, cell)
            outputs.append(output)
        return hidden.transpose(0, 1), cell.transpose(0, 1), torch.cat(outputs, 1), real

    def write(self, inputs: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """(rows, places) letters before each place → logits (rows, places, symbols), the state, weights (rows, places, letters or 0)."""
        hidden, cell, places, real = state
        before = hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous()
        features, (hidden, cell) = self.decoder(self.decoder_embedding(inputs), before)
        weights = features.new_zeros(*inputs.shape, 0)
        if self.attention is not None:
            prepared = self.attention.prepared(places)
            looks = [self.attention(query, places, real, prepared) for query in features.unbind(1)]
            weights = torch.stack([weights for _, weights in looks], 1)
            # Luong, Pham and Manning 2015, equation 5: the state, and the mean of what it looked at, make what is written.
            contexts = torch.stack([context for context, _ in looks], 1)
            features = torch.tanh(self.combined(torch.cat([contexts, features], 2)))
        return self.output(features), (hidden.transpose(0, 1), cell.transpose(0, 1), places, real), weights

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One place of `write`, for decoding: (rows,) letters → (rows, symbols), the state, (rows, letters or 0)."""
        logits, state, weights = self.write(tokens[:, None], state)
        return logits[:, 0], state, weights[:, 0]
