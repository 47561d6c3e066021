"""Sorts the letters of a row, sequence to sequence, with and without attention. Recipes: seq2seq-letters, -attention, -compare."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.torchkit.attention import Attention
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.sequence_pairs import PAD, State, mask, shifted
from workbench.torchkit.sorted_letters import SYMBOLS, SortedLetters
from workbench.training.project import Field


class Seq2SeqLetters(SortedLetters):
    """An encoder reads a row of letters, and a decoder writes them in the order of the alphabet."""

    network: "Network"

    class Config(LearningRate, Clipping):
        attention: Literal["none", "dot", "general", "concat", "additive"] = "none"
        """How the decoder looks at the encoder's states: none leaves it their last one alone; the others are ways to score a place."""
        embedding: int = Field(15, ge=1)
        """Length of a letter's learned embedding vector; higher tells letters apart sooner, and costs little."""
        hidden: int = Field(50, ge=1)
        """Hidden units in each recurrent layer, of encoder and decoder; more remember longer rows, and cost time."""
        layers: int = Field(2, ge=1)
        """Number of stacked LSTM layers on each side; more are slower to train."""

    def build_model(self) -> None:
        self.network = Network(self.config).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.config.learning_rate, fused=True)

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


class Network(nn.Module):
    """An LSTM that reads, an LSTM that writes and begins with the other's last state, and attention where there is one."""

    def __init__(self, config: Seq2SeqLetters.Config) -> None:
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
            # Every place that is written asks the whole row: as so many rows, in one call.
            count = inputs.shape[1]
            keys = (part.repeat_interleave(count, 0) for part in (places, real, self.attention.prepared(places)))
            contexts, weights = (part.unflatten(0, inputs.shape) for part in self.attention(features.flatten(0, 1), *keys))
            # Luong, Pham and Manning 2015, equation 5: the state, and the mean of what it looked at, make what is written.
            features = torch.tanh(self.combined(torch.cat([contexts, features], 2)))
        return self.output(features), (hidden.transpose(0, 1), cell.transpose(0, 1), places, real), weights

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One place of `write`, for decoding: (rows,) letters → (rows, symbols), the state, (rows, letters or 0)."""
        logits, state, weights = self.write(tokens[:, None], state)
        return logits[:, 0], state, weights[:, 0]
