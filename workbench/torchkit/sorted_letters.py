"""What lessons that sort letters share: rows and codes, what a network writes for a row, how often it is right, by length and by place."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from workbench.datasets import letter_pairs
from workbench.datasets.letter_pairs import LETTERS, LONGEST, ordered
from workbench.encoding.serving import Serving
from workbench.events import Curve, Event, Matrix, Scalars, Table, Text
from workbench.problems import Problem, one_line
from workbench.torchkit.batches import InMemory
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


class ReadsAndWrites(Protocol):
    """A network that reads a whole sequence and writes another one."""

    def read(self, sources: Tensor) -> State:
        """Sources (n, t) → the state in which nothing is written yet."""

    def write(self, inputs: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """The next tokens (n, p) → logits (n, p, vocabulary), the state behind them, weights over the source (n, p, t or 0)."""

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One token of each sequence, as `sequence_pairs.Step`."""


class SortedLetters(TorchProject):
    """Reads a row of letters, and writes them in the order of the alphabet. A lesson gives `network` and the training step."""

    datasets = ("letter-pairs",)
    takes = "text"
    network: ReadsAndWrites

    class Request(TorchProject.Request):
        letters: str = Field("network", min_length=1, max_length=30)
        """A row of 1 to 30 letters to sort; more than 7 are longer than any row that it learned from."""

    def build_data(self) -> None:
        self.parts = letter_pairs.read().parts
        self.coded = {part: self.pairs(rows) for part, rows in self.parts.items()}

    def pairs(self, rows: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Rows as (rows, letters) codes, and their letters sorted with END behind them, (rows, letters + 1)."""
        targets = [[*encoded(ordered(row)), END] for row in rows]
        return self.sources(rows), padded(targets).to(self.device)

    def sources(self, rows: Sequence[str]) -> Tensor:
        """Rows as (rows, letters) codes."""
        return padded([encoded(row) for row in rows]).to(self.device)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return InMemory(self.coded["train"], self.train.batch_size, rng)

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def written(self, rows: Sequence[str]) -> Written:
        """What it writes for rows of letters, from these letters alone: it goes on from its own letters, not from the right ones."""
        # For each row by itself: the longest one beside it must not change its answer.
        most = [2 * len(row) + 4 for row in rows]
        return greedy(self.network.step, self.network.read(self.sources(rows)), len(rows), most)

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
        if attends(written):
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
        if attends(written):
            # Numbered, as a row that is sorted already would else have the same names on both axes.
            yield Matrix(tag="alignment/learned", values=written.weights[0].tolist(), rows=numbered(answer), columns=list(row))
            right = [[float(place == column) for column in range(len(row))] for place in ideal(row)]
            yield Matrix(tag="alignment/ideal", values=right, rows=numbered(ordered(row)), columns=list(row))
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


# -- rows -----------------------------------------------------------------------------------------------------------------------------


def encoded(row: str) -> list[int]:
    """A row's letters as codes."""
    return [SPECIAL + LETTERS.index(letter) for letter in row]


def spelled(codes: Sequence[int]) -> str:
    """Codes as letters."""
    return "".join(LETTERS[code - SPECIAL] if code >= SPECIAL else SIGNS.get(code, "?") for code in codes)


def numbered(row: str) -> list[str]:
    """The letters with their places, as names of a matrix's rows."""
    return [f"{place}. {letter}" for place, letter in enumerate(row, 1)]


def ideal(row: str) -> list[int]:
    """The place of the j-th smallest letter in the row: where to look for the letter that is written next."""
    return sorted(range(len(row)), key=lambda place: row[place])


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


# -- how good it is -------------------------------------------------------------------------------------------------------------------


def attends(written: Written) -> bool:
    """Whether the network that wrote this has weights over the row."""
    return written.weights[0].shape[1] > 0


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
