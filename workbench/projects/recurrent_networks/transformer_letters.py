"""Sorts the letters of a row with a small transformer: no recurrent layer, all places at once. Recipe: transformer-letters."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F

from workbench.events import Event, Matrix
from workbench.problems import Problem
from workbench.torchkit.optimization import Clipping, LearningRate, step_size
from workbench.torchkit.sequence_pairs import PAD, START, padded, shifted
from workbench.torchkit.sorted_letters import SYMBOLS, SortedLetters, numbered, spelled, typed
from workbench.torchkit.transformer import Transformer
from workbench.training.project import Field


class TransformerLetters(SortedLetters):
    """The encoder's letters look at each other; the decoder's at what it has written, and at the row."""

    network: Transformer

    class Config(LearningRate, Clipping):
        rising: ClassVar[float] = 0.1

        size: int = Field(64, ge=2, le=1024)
        """Numbers of a letter's vector, a multiple of heads; more learn finer differences, and cost time."""
        heads: int = Field(4, ge=1, le=16)
        """Heads of each attention: each looks in its own part of the vectors; more look at more places at once."""
        layers: int = Field(2, ge=1, le=12)
        """Layers of the encoder, and of the decoder; more take more steps of thought, and are slower."""
        hidden: int = Field(256, ge=1)
        """Hidden units of the feed-forward part of each layer, four times size in the first paper; more cost time."""
        dropout: float = Field(0.1, ge=0, lt=1)
        """Dropout probability behind each part; higher reduces overfitting and slows learning."""
        learning_rate: float = step_size(0.001, "Highest step size of Adam, behind the warm-up; higher learns faster and may diverge.")

    class Request(SortedLetters.Request):
        weights: Literal["row", "written", "row by row"] = "row"
        """Whose weights are shown: of the decoder over the row, or over what it has written; or of the encoder, the row over itself."""
        layer: int = Field(1, ge=1, le=12)
        """The layer whose weights are shown; an earlier one has seen less of the other letters."""
        head: int = Field(0, ge=0, le=16)
        """The head whose weights are shown; 0 is the mean of all."""

    def build_model(self) -> None:
        config = self.config
        sizes = config.size, config.heads, config.layers, config.hidden, config.dropout
        self.network = Transformer(SYMBOLS, SYMBOLS, *sizes).to(self.device)
        # The second moment forgets faster than Adam's default, as in the first paper: rates change much at the start.
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, betas=(0.9, 0.98), fused=True)

    def train_step(self, batch: Any) -> dict[str, Any]:
        sources, targets = batch  # (rows, letters), (rows, letters and END)
        rate = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            # All places at once: the causal mask hides from each place what comes behind it.
            logits = self.network(sources, shifted(targets))  # (rows, letters and END, symbols)
            # Padding is no target: it would be learnt first, and make the mean look good.
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)
        loss.backward()
        norm = self.config.clip_gradients(self.network.parameters())
        self.optimizer.step()
        return {"loss": loss, "gradient_norm": norm, **rate}

    def sample(self, request: Any) -> Iterator[Event]:
        """What every lesson on these letters shows, and the weights of one head."""
        yield from super().sample(request)
        yield self.looks(request)

    def looks(self, request: Any) -> Matrix:
        """Where a head of a layer looks, while the row is read or written."""
        if request.layer > self.config.layers or request.head > self.config.heads:
            name, most = ("layer", self.config.layers) if request.layer > self.config.layers else ("head", self.config.heads)
            raise Problem(f"{name} must be at most {most} in this network, not {getattr(request, name)}.", cause="data")
        row = typed(request.letters)
        codes = self.written([row]).codes[0]
        source = self.network.encode(self.sources([row]))
        decoded = self.network.decode(padded([[START, *codes]]).to(self.device), source)
        layers = {"row": decoded.cross, "written": decoded.own, "row by row": source.weights}[request.weights]
        heads = layers[request.layer - 1][0]  # (heads, places that look, places that are looked at)
        shares = heads.mean(0) if request.head == 0 else heads[request.head - 1]
        written = ["start", *spelled(codes)]
        columns = written if request.weights == "written" else list(row)
        # Of the decoder a row is what is written next, from all before it.
        rows = numbered(row) if request.weights == "row by row" else [*numbered(spelled(codes)), "end"]
        return Matrix(tag=f"weights/{request.weights}", values=shares.tolist(), rows=rows, columns=columns)
