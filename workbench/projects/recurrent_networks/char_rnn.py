"""Learns a text character by character with a recurrent network, and writes on. Recipes: char-rnn and its relatives."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import text
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import NextToken, TextCodes
from workbench.encoding.serving import Serving
from workbench.events import Event, Scalars, Text
from workbench.problems import one_line
from workbench.torchkit import gates, language
from workbench.torchkit.asked import written_on
from workbench.torchkit.computed import Step
from workbench.torchkit.optimization import Clipping, step_size
from workbench.torchkit.project import TorchProject
from workbench.torchkit.schedules import set_rate
from workbench.training.figures import as_array
from workbench.training.project import Field, only

NAMES = {" ": "space", "\n": "line end", "\t": "tab"}
"""How characters that cannot be seen are shown in a table."""
FIRST = 20
"""Characters of the validation part that samples begin with where the recipe's prompt cannot be used."""
READ = (8, 256)
"""Texts of the validation part, and characters of each, in which units are looked for that follow something: a second's work at most."""
SAMPLE_ONLY: dict[str, Any] = {"sample_only": True}
"""Of a field that `predict` does not know."""


class CharRnn(TorchProject):
    """Writes a text on, character by character."""

    datasets = (("python-source", {"data": "python"}),)
    takes = "text"

    class Config(Clipping):
        data: str = Field("anna", min_length=1, json_schema_extra={"own": True})
        """Text to learn from: anna, python (the standard library's source), or a text file of your own as ./my.txt."""
        cell: Literal["lstm", "gru", "rnn"] = "lstm"
        """Kind of recurrent cell: an LSTM has a cell beside its hidden state, a GRU three quarters of its weights, an RNN no gates."""
        embedding: int = Field(0, ge=0)
        """Length of a character's learned embedding vector; 0 feeds one-hot vectors, as long as the alphabet."""
        hidden: int = Field(512, ge=1)
        """Hidden units in each recurrent layer; more learn longer patterns, and cost time and overfit sooner."""
        layers: int = Field(2, ge=1)
        """Number of stacked recurrent layers; more are slower to train and may learn more abstract patterns."""
        dropout: float = Field(0.5, ge=0, lt=1)
        """Dropout probability between recurrent layers and before the output layer; higher reduces overfitting and slows learning."""
        sequence: int = Field(100, ge=1)
        """Characters in a training window; the gradient goes back no further, so higher learns longer dependencies at more memory."""
        learning_rate: float = step_size(0.001, "Step size of Adam in the first epoch; higher learns faster and may diverge.")
        decay: float = Field(1.0, gt=0, le=1)
        """Factor that multiplies the learning rate after each epoch; 1 keeps it constant, lower shrinks the steps sooner."""
        prompt: str = Field("", max_length=1000)
        """Text that samples begin with; if empty or with characters that the data lacks, the validation text's beginning is used."""

    class Request(TorchProject.Request):
        shows: Literal["text", "gates"] = Field("text", json_schema_extra=SAMPLE_ONLY)
        """What a sample shows: the text that it writes on, or what the gates of a layer do while it reads the prompt."""
        prompt: str = Field("", max_length=1000)
        """Text to continue, or to read; empty takes the recipe's prompt."""
        layer: int = Field(1, ge=1, le=8, json_schema_extra={**SAMPLE_ONLY, "when": {"shows": ["gates"]}})
        """Recurrent layer whose gates are shown; a higher one reads what the layer below puts out."""
        unit: int = Field(0, ge=0, le=4096, json_schema_extra={**SAMPLE_ONLY, "when": {"shows": ["gates"]}})
        """Unit whose curves are shown, counted from 1; 0 takes the one whose output varies most."""
        temperature: float = only(1.0, when={"shows": "text"}, ge=0, le=10)
        """Divides the logits before the softmax: lower writes more predictably, higher more varied; 0 always takes the likeliest."""
        top_k: int = only(5, when={"shows": "text"}, ge=0)
        """Number of likeliest characters to draw from; higher is more varied, 0 draws from all."""
        length: int = only(500, when={"shows": "text"}, ge=1, le=10_000)
        """Number of characters to write."""

    def build_data(self) -> None:
        data = text.read(self.config.data, self.folder)
        self.variant = data.variant
        self.symbols = data.symbols
        train, valid = data.split()
        sequence, streams = self.config.sequence, self.train.batch_size
        language.check_length(train, valid, streams, sequence, "characters", "train.batch_size or config.sequence")
        self.inputs, self.targets = language.streams(torch.from_numpy(train).to(self.device), streams, sequence)
        # A short validation part has fewer streams, so that each still has a whole sequence.
        valid_streams = min(streams, (len(valid) - 1) // sequence)
        self.valid = language.streams(torch.from_numpy(valid).to(self.device), valid_streams, sequence)
        prompt = self.config.prompt
        usable = prompt and set(prompt) <= set(self.symbols)
        self.prompt = prompt if usable else "".join(self.symbols[code] for code in valid[:FIRST])

    def build_model(self) -> None:
        config = self.config
        self.network = Network(len(self.symbols), config).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, fused=True)
        self.epoch = 0
        # The hidden state at the end of a batch, (states, layers, streams, hidden): the next batch goes on in the same streams.
        self.memory = language.zero_state(self.network.recurrent, self.train.batch_size)

    # -- training -----------------------------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, rng: np.random.Generator) -> list[tuple[Tensor, Tensor, int]]:
        # The epoch's number goes with its first batch, before which the hidden state is reset.
        windows = language.windows(self.inputs, self.targets, self.config.sequence)
        return [(*window, epoch if place == 0 else -1) for place, window in enumerate(windows)]

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, targets, begun = batch  # (streams, sequence) each
        if begun >= 0:
            self.epoch = begun
            # The streams begin anew, so nothing came before.
            self.memory.zero_()
        # From the epoch alone, so that a resumed run has the same rate.
        set_rate(self.optimizer, self.config.learning_rate * self.config.decay**self.epoch)
        self.optimizer.zero_grad()
        with self.autocast():
            logits, memory = self.network(inputs, self.memory)  # (streams, sequence, symbols)
            # Every place of every stream is one example: (streams * sequence, symbols).
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        # Between backward and step; the norm before clipping is logged, as it shows exploding gradients.
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        # Detached: backpropagation through time is truncated at the window's beginning.
        self.memory = memory.detach().float()
        return {"loss": loss, "bits": language.bits(loss.detach()), "gradient_norm": norm}

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """Cross-entropy of the last 10 % of the text, in nats and in bits per character. There is no test part, as in the course."""
        if split == "test":
            return
        inputs, targets = self.valid
        memory, losses = language.zero_state(self.network.recurrent, len(inputs)), []
        for window, following in language.windows(inputs, targets, self.config.sequence):
            logits, memory = self.network(window, memory)
            losses.append(F.cross_entropy(logits.flatten(0, 1), following.flatten()))
        (loss,) = self.floats([torch.stack(losses).mean()])
        yield Scalars(values={"loss": loss, "bits": language.bits(loss)})

    def sample(self, request: Any) -> Iterator[Event]:
        """A text after the prompt, and the likeliest characters right after it; or the gates over the prompt."""
        prompt = request.prompt or self.prompt
        if request.shows == "gates":
            yield from self.reading(prompt, request)
            return
        written, following = self.write(prompt, request)
        yield Text(tag="text", text=written, prompt=prompt)
        yield language.next_table(repr(prompt[-20:]), following)

    def reading(self, text: str, request: Any) -> Iterator[Event]:
        """What a layer's gates do while it reads a text, and which of its units follow something in the validation text."""
        recurrent, (number, length) = self.network.recurrent, READ
        read = as_array(self.network.vectors(self.encoded(text)))[0]
        yield from gates.panels(recurrent, request.layer, request.unit, read, text)
        codes = self.valid[0][:number, :length]
        texts = ["".join(self.symbols[code] for code in row) for row in codes.tolist()]
        yield gates.followers(recurrent, request.layer, as_array(self.network.vectors(codes)), texts)

    def predict(self, inputs: Any) -> Any:
        """`{"prompt", "temperature", "top_k", "length"}`, each optional, to `{"text": …, "next": {character: probability}}`."""
        return written_on(self.serving(), inputs, self.prompt)

    def serving(self) -> Serving:
        recurrent = self.network.recurrent
        valid = self.valid[0]

        def logits(codes: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
            outputs, after = self.network(codes, memory)
            return outputs[:, -1], after

        def prompts(count: int) -> list[Any]:
            texts = valid.flatten()[: count * FIRST].view(-1, FIRST).tolist()
            return [{"prompt": "".join(self.symbols[code] for code in text), "temperature": 0, "length": 40} for text in texts]

        request, shape = (
            self.Request.model_validate({}),
            [2 if self.config.cell == "lstm" else 1, recurrent.num_layers, recurrent.hidden_size],
        )
        decoder = NextToken(
            states={"memory": shape}, most=10_000, temperature=request.temperature, top_k=request.top_k, length=request.length
        )
        coding = Coding(TextCodes(tokens="characters"), decoder, vocabulary=["", *self.symbols])
        return Serving(coding, graph=Step(logits, self.network), examples=prompts)

    def write(self, prompt: str, request: Any) -> tuple[str, dict[str, float]]:
        """What it writes after a prompt, and the likeliest first characters with their probabilities."""
        logits, memory = self.step(self.encoded(prompt), None)
        following = language.likeliest(logits[0].softmax(0), lambda code: NAMES.get(self.symbols[code], self.symbols[code]))
        codes = [int(code) for code in language.generate(self.step, logits, memory, request)]
        return "".join(self.symbols[code] for code in codes), following

    def encoded(self, prompt: str) -> Tensor:
        """A prompt as (1, characters); Problem that names the characters that the text lacks."""
        index = {symbol: code for code, symbol in enumerate(self.symbols)}
        hint = f"It has {one_line(self.symbols.strip(), 200)}"
        return torch.tensor([language.encode(prompt, index, hint)], device=self.device)

    def step(self, codes: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """(texts, characters) and the hidden state before them → logits of the next character, (texts, symbols), and the state after."""
        if memory is None:
            memory = language.zero_state(self.network.recurrent, len(codes))
        logits, memory = self.network(codes, memory)
        return logits[:, -1].float(), memory


class Network(nn.Module):
    """Characters, one-hot or embedded, through recurrent layers to the logits of the next character."""

    def __init__(self, symbols: int, config: CharRnn.Config) -> None:
        super().__init__()
        self.symbols = symbols
        self.embedding = nn.Embedding(symbols, config.embedding) if config.embedding else None
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[config.cell]
        # PyTorch warns of dropout in a single layer, where there is nothing for it to do.
        between = config.dropout if config.layers > 1 else 0.0
        self.recurrent = kind(config.embedding or symbols, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, symbols)

    def vectors(self, codes: Tensor) -> Tensor:
        """(streams, sequence) → what the recurrent layers read, (streams, sequence, embedding or symbols)."""
        vectors: Tensor = self.embedding(codes) if self.embedding else F.one_hot(codes, self.symbols).float()
        return vectors

    def forward(self, codes: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(streams, sequence) and the state before → logits (streams, sequence, symbols) and the state after."""
        outputs, memory = language.recur(self.recurrent, self.vectors(codes), memory)
        return self.output(self.dropout(outputs)), memory
