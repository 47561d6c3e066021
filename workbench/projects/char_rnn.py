"""Learns a text character by character with a recurrent network, and writes on. Recipes: char-rnn, char-rnn-small, char-rnn-python."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import text
from workbench.events import Event, Scalars, Table, Text
from workbench.problems import Problem, one_line
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field, Settings, live

LIKELIEST = 12
"""Next characters in the table."""
CALLED = {" ": "space", "\n": "line end", "\t": "tab"}


class CharRnn(TorchProject):
    """Writes a text on, character by character."""

    can_answer = True
    takes = "text"

    class Config(Settings):
        data: str = Field("anna", min_length=1, json_schema_extra={"own": True})
        """anna, python (its library's source), or a text file of your own: ./my.txt"""
        cell: Literal["lstm", "gru"] = "lstm"
        """kind of recurrent unit"""
        embedding: int = Field(0, ge=0)
        """numbers that a character becomes; 0: one-hot, as many as there are characters"""
        hidden: int = Field(512, ge=1)
        """units in a recurrent layer"""
        layers: int = Field(2, ge=1)
        """recurrent layers"""
        dropout: float = Field(0.5, ge=0, lt=1)
        """share of a layer's outputs left out in each training step"""
        sequence: int = Field(100, ge=1)
        """characters that the gradient goes back"""
        learning_rate: float = live(0.001, gt=0)
        """length of Adam's step in the first epoch"""
        decay: float = Field(1.0, gt=0, le=1)
        """what the learning rate is multiplied by after each epoch"""
        clip: float = live(5.0, gt=0)
        """longest gradient; a longer one is scaled down to it"""
        prompt: str = Field("", max_length=1000)
        """what samples begin with; empty, or not in the text's characters: the first words that it validates on"""

    class Request(TorchProject.Request):
        prompt: str = Field("", max_length=1000)
        """what the text begins with; empty: the recipe's"""
        temperature: float = Field(1.0, ge=0, le=10)
        """below 1 surer, above 1 bolder; 0: always the likeliest character"""
        top_k: int = Field(5, ge=0)
        """how many of the likeliest characters it draws from; 0: all"""
        length: int = Field(500, ge=1, le=10_000)
        """characters to write"""

    def build_data(self) -> None:
        data = text.read(self.config.data, self.folder)
        self.variant = data.variant
        self.symbols = data.symbols
        train, valid = data.split()
        sequence, streams = self.config.sequence, self.train.batch_size
        if len(train) <= streams * sequence or len(valid) <= sequence:
            raise Problem(
                f"{len(data.codes):,} characters are too few for batches of {streams} x {sequence}.",
                "Take a smaller train.batch_size or config.sequence.",
                "data",
            )
        self.inputs, self.targets = self.streams(train, streams)
        self.valid = self.streams(valid, min(streams, (len(valid) - 1) // sequence))
        first = "".join(self.symbols[code] for code in valid[:20])
        wanted = self.config.prompt
        self.prompt = wanted if wanted and set(wanted) <= set(self.symbols) else first

    def streams(self, codes: np.ndarray, number: int) -> tuple[Tensor, Tensor]:
        """A text cut into so many pieces of whole sequences, (number, length) each: the characters, and the one after each."""
        length = (len(codes) - 1) // (number * self.config.sequence) * self.config.sequence
        whole = torch.from_numpy(codes[: number * length + 1]).to(self.device)
        return whole[:-1].view(number, length), whole[1:].view(number, length)

    def codes(self, prompt: str) -> Tensor:
        """A prompt's characters as indices, (1, characters); Problem that names those which the text does not have."""
        unknown = sorted(set(prompt) - set(self.symbols))
        if unknown:
            names = ", ".join(repr(each) for each in unknown[:10])
            raise Problem(f"The text that it learns never has {one_line(names)}.", f"It knows {one_line(self.symbols.strip(), 200)}")
        return torch.tensor([[self.symbols.index(each) for each in prompt]], device=self.device)

    def build_model(self) -> None:
        config = self.config
        self.network = Network(len(self.symbols), config).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, fused=True)
        self.epoch = 0
        # What the network remembers at the end of a batch: the next one goes on in the same streams.
        self.memory = self.network.no_memory(self.train.batch_size)

    def batches(self, epoch: int, rng: np.random.Generator) -> list[tuple[Tensor, Tensor, int]]:
        starts = range(0, self.inputs.shape[1], self.config.sequence)
        # The epoch's number goes with its first batch, where the memory is emptied.
        return [(*self.window(self.inputs, self.targets, at), epoch if at == 0 else -1) for at in starts]

    def window(self, inputs: Tensor, targets: Tensor, at: int) -> tuple[Tensor, Tensor]:
        """One sequence of every stream, (streams, sequence) each."""
        chosen = slice(at, at + self.config.sequence)
        return inputs[:, chosen], targets[:, chosen]

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, targets, begun = batch
        if begun >= 0:
            self.epoch = begun
            self.set_rate()
            self.memory.zero_()
        self.optimizer.zero_grad()
        with self.autocast():
            logits, memory = self.network(inputs, self.memory)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        # Cut off from its graph: the gradient goes back through this batch only.
        self.memory = memory.detach().float()
        return {"loss": loss, "bits": loss.detach() / math.log(2), "gradient_norm": norm}

    def set_rate(self) -> None:
        """The epoch's learning rate, into the optimizer."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.config.decay**self.epoch

    def changed(self, config: Settings) -> None:
        self.set_rate()

    def evaluate(self, split: str) -> Iterator[Event]:
        """The last 10 % of the text, in nats and in bits for each character. There is no test part, as in the course."""
        if split == "test":
            return
        inputs, targets = self.valid
        memory, losses = self.network.no_memory(len(inputs)), []
        for at in range(0, inputs.shape[1], self.config.sequence):
            piece, following = self.window(inputs, targets, at)
            logits, memory = self.network(piece, memory)
            losses.append(F.cross_entropy(logits.flatten(0, 1), following.flatten()))
        (loss,) = self.floats([torch.stack(losses).mean()])
        yield Scalars(values={"loss": loss, "bits": loss / math.log(2)})

    def sample(self, request: Any) -> Iterator[Event]:
        prompt = request.prompt or self.prompt
        logits, memory = self.read(prompt)
        rows: list[list[str | float]] = [[name, round(chance, 4)] for name, chance in self.likeliest(logits).items()]
        yield Text(tag="text", text=self.written(logits, memory, request), prompt=prompt)
        yield Table(tag="next", columns=[f"after {prompt[-20:]!r}", "probability"], rows=rows)

    def predict(self, inputs: Any) -> Any:
        """`{"prompt", "temperature", "top_k", "length"}`, each optional, to `{"text": …, "next": {character: probability}}`."""
        request = self.Request.model_validate(inputs)
        prompt = request.prompt or self.prompt
        logits, memory = self.read(prompt)
        return {"text": prompt + self.written(logits, memory, request), "next": self.likeliest(logits)}

    def read(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Logits (symbols,) of what comes after a prompt, and what the network then remembers."""
        logits, memory = self.network(self.codes(prompt), self.network.no_memory(1))
        return logits[0, -1], memory

    def likeliest(self, logits: Tensor) -> dict[str, float]:
        """The likeliest next characters with their probabilities."""
        chances, codes = logits.float().softmax(0).topk(min(LIKELIEST, len(self.symbols)))
        names = [CALLED.get(self.symbols[code], self.symbols[code]) for code in codes.tolist()]
        return dict(zip(names, chances.tolist(), strict=True))

    def written(self, logits: Tensor, memory: Tensor, request: Any) -> str:
        """Characters drawn one after the other, each read in before the next is drawn."""
        drawn = []
        for _ in range(request.length):
            code = chosen(logits.float(), request.temperature, request.top_k)
            drawn.append(self.symbols[code])
            logits, memory = self.network(torch.tensor([[code]], device=self.device), memory)
            logits = logits[0, -1]
        return "".join(drawn)


class Network(nn.Module):
    """Characters, as one-hot or embedded, through recurrent layers to the logits of the next ones."""

    def __init__(self, symbols: int, config: CharRnn.Config) -> None:
        super().__init__()
        self.symbols = symbols
        self.embedding = nn.Embedding(symbols, config.embedding) if config.embedding else None
        kind = nn.LSTM if config.cell == "lstm" else nn.GRU
        between = config.dropout if config.layers > 1 else 0.0
        self.recurrent = kind(config.embedding or symbols, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, symbols)

    def no_memory(self, streams: int) -> Tensor:
        """Zeros (states, layers, streams, hidden): an LSTM has two states, hidden and cell, a GRU one."""
        states = 2 if isinstance(self.recurrent, nn.LSTM) else 1
        layer = self.recurrent
        return torch.zeros(states, layer.num_layers, streams, layer.hidden_size, device=self.output.weight.device)

    def forward(self, codes: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(streams, sequence), and the memory before it → logits (streams, sequence, symbols), and the memory after it."""
        inputs = self.embedding(codes) if self.embedding else F.one_hot(codes, self.symbols).float()
        if isinstance(self.recurrent, nn.LSTM):
            outputs, states = self.recurrent(inputs, (memory[0], memory[1]))
            memory = torch.stack(states)
        else:
            outputs, state = self.recurrent(inputs, memory[0])
            memory = state.unsqueeze(0)
        return self.output(self.dropout(outputs)), memory


def chosen(logits: Tensor, temperature: float, top_k: int) -> int:
    """An index drawn by softmax(logits / temperature) among the `top_k` likeliest (0: among all); at temperature 0 the likeliest."""
    if temperature == 0:
        return int(logits.argmax())
    values, codes = logits.topk(min(top_k or len(logits), len(logits)))
    return int(codes[torch.multinomial((values / temperature).softmax(0), 1)])
