"""Describes a photograph in a sentence, looking at a part of it for each word (Xu and others 2015). Recipe: captioning."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench import preparation
from workbench.datasets import captions
from workbench.datasets.captions import plain, squared, tokens, vocabulary
from workbench.datasets.pictures import decode_picture
from workbench.encoding.serving import Serving
from workbench.events import Event, Images, Scalars, Table, Text
from workbench.problems import Problem
from workbench.torchkit.attention import Attention
from workbench.torchkit.optimization import Clipping, LearningRate
from workbench.torchkit.picture_grids import CHANNELS, Fineness, Grids
from workbench.torchkit.project import TorchProject
from workbench.torchkit.sequence_pairs import PAD, UNKNOWN, PairBatches, State, Written, beam, greedy, mask, scores, shifted
from workbench.training.figures import pictures
from workbench.training.project import Field

MOST = 25
"""Words that a caption may have when it is written; 99 of 100 captions have no more."""
TOGETHER = 100
"""Photographs that are described at once."""
SHOWN_SIDE = 80
"""Width and height of a photograph in a panel, in pixels."""
DARKEST = 0.15
"""Brightness of a place that gets no attention."""


class Captioning(TorchProject):
    """A frozen MobileNetV2 gives a grid of features, and an LSTM writes the caption; beside it the same decoder learns without pictures."""

    takes = "picture"
    datasets = (
        "flickr8k:1000",
        ("mobilenet-v2-weights", {"weights": "published"}),
        ("mobilenet-v2-weights:dequantised", {"weights": "stand-in"}),
    )

    class Config(LearningRate, Clipping):
        weights: Literal["published", "stand-in", "random"] = "published"
        """Weights of MobileNetV2: torchvision's, their stand-in out of 8-bit ones, or random ones, which see little."""
        grid: Fineness = "deep"
        """Where its features are taken: deep has 7 x 7 places at 224 pixels, which know objects; fine has 14 x 14, which know textures."""
        size: int = Field(224, ge=64, le=448, multiple_of=32)
        """Side of the pictures as MobileNetV2 gets them, in pixels; larger gives more places and takes longer once."""
        least: int = Field(captions.LEAST, ge=1)
        """Uses in the training part that a word needs to be known; higher makes a smaller network that knows fewer words."""
        embedding: int = Field(128, ge=1)
        """Length of a word's learned embedding vector; higher tells words apart better, and costs time."""
        hidden: int = Field(256, ge=1)
        """Units of the LSTM and of the attention; more remember more of the sentence, overfit sooner and cost time."""
        dropout: float = Field(0.5, ge=0, lt=1)
        """Dropout probability of the features, of word vectors and before the output layer; higher reduces overfitting."""
        coverage: float = Field(0.1, ge=0)
        """Factor of the doubly stochastic term; higher makes the decoder look at every place of the picture equally often."""

    class Request(TorchProject.Request):
        picture: int = Field(0, ge=0, le=112)
        """Which photograph of the validation part is described, from 0."""
        drawing: str = Field("", json_schema_extra={"picture": True})
        """Your own picture in its place, of which the middle square is described."""
        beam: int = Field(3, ge=1, le=8)
        """Captions that are followed at once; 1 always takes the likeliest word, more find likelier captions and take longer."""

    def build_data(self) -> None:
        data = captions.read()
        weights = "" if self.config.weights == "published" else f"MobileNetV2 with {self.config.weights} weights"
        self.variant = "; ".join(filter(None, (data.variant, weights)))
        self.parts = data.parts
        self.words = vocabulary((caption for five in data.parts["train"].captions for caption in five), self.config.least)
        self.eye = Grids(self.config.weights, self.config.grid, self.config.size, self.device)
        self.grids = {part: self.eye.of(torch.from_numpy(rows.pictures), f"the {part} part") for part, rows in data.parts.items()}
        preparation.found("words", f"{len(self.words.words):,}", f"those with at least {self.config.least} uses")

    def build_model(self) -> None:
        if self.config.weights == "random":
            self.demo = "random weights"
        self.network = Network(len(self.words), self.config).to(self.device)
        self.blind = Network(len(self.words), self.config).to(self.device)
        # Adam treats each number by itself, so one optimizer for both is the same as one for each.
        both = [*self.network.parameters(), *self.blind.parameters()]
        self.optimizer = torch.optim.Adam(both, self.config.learning_rate, fused=True)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        # A caption's source is one number, its photograph's place: the grids stay on the device.
        places, targets = self.pairs("train")
        return PairBatches(places, targets, self.train.batch_size, rng, self.device)

    def pairs(self, part: str) -> tuple[list[list[int]], list[list[int]]]:
        """The place of its photograph, and the codes, of every caption of a part."""
        rows = [(place, caption) for place, five in enumerate(self.parts[part].captions) for caption in five]
        return [[place] for place, _ in rows], [self.words.encode(caption) for _, caption in rows]

    def train_step(self, batch: Any) -> dict[str, Any]:
        places, targets = batch  # (captions, 1) photographs, (captions, words and END)
        rate = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        grid = self.grids["train"][places[:, 0]].float()  # (captions, places, channels)
        with self.autocast():
            logits, weights = self.network.write(shifted(targets), self.network.read(grid))
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)
            unseen = uneven(weights, targets)
            # The cheat: what can be said of every photograph alike. It learns in the same steps, and has to be beaten.
            guessed, _ = self.blind.write(shifted(targets), self.blind.read(nothing(grid)))
            blind_loss = F.cross_entropy(guessed.flatten(0, 1), targets.flatten(), ignore_index=PAD)
        # They share no parameter: the gradient of the sum is that of each.
        (loss + self.config.coverage * unseen + blind_loss).backward()
        norm = self.config.clip_gradients(self.network.parameters())
        self.config.clip_gradients(self.blind.parameters())
        self.optimizer.step()
        return {"loss": loss, "loss/blind": blind_loss, "unevenness": unseen, "gradient_norm": norm, **rate}

    # -- how good it is -----------------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """The loss in nats per word, and BLEU-1 to BLEU-4 of its own captions against all five references of each photograph.

        Scored are lower-case words without punctuation marks. The test has what else scores: the same decoder without pictures, the
        right network with pictures in another order, the caption of the nearest training photograph, and a person against the other four.
        """
        grid, five = self.grids[split], self.references(split)
        written = self.lines(grid)
        guess = self.line(self.written(self.blind, nothing(grid[:1])).codes[0])
        rows = {"written": written, "without_picture": [guess] * len(grid)}
        if split == "test":
            rows["another_picture"] = self.lines(grid.roll(1, 0))
            rows["nearest_picture"] = [self.references("train")[place][0] for place in self.nearest(grid)]
        bleus = {name: scores(lines, five).bleus() for name, lines in rows.items()}
        if split == "test":
            # With five references a figure is higher than with four: both rows leave each of the five out once.
            bleus["a_person_of_4"] = scores([line for lines in five for line in lines], others(five)).bleus()
            repeated = [line for line in written for _ in range(captions.REFERENCES)]
            bleus["written_of_4"] = scores(repeated, others(five)).bleus()
        counts = [len(line.split()) for line in written]
        yield Scalars(
            values={
                "loss": self.loss(split),
                **{f"bleu_{number}": value for number, value in enumerate(bleus["written"], 1)},
                **{f"bleu_4/{name}": values[3] for name, values in bleus.items() if name != "written"},
                "words": sum(counts) / len(counts),
                "different_captions": float(len(set(written))),
            }
        )
        columns = ["caption", *(f"BLEU-{number}" for number in range(1, 5))]
        yield Table(
            tag="scores",
            columns=columns,
            rows=[[name.replace("_", " "), *(round(value, 1) for value in row)] for name, row in bleus.items()],
        )

    def loss(self, split: str) -> float:
        """The mean cross-entropy of every word and end, in nats, the right words before it given."""
        places, targets = self.pairs(split)
        total = torch.zeros((), device=self.device)
        for asked, right in PairBatches(places, targets, TOGETHER, np.random.default_rng(0), self.device):
            logits, _ = self.network.write(shifted(right), self.network.read(self.grids[split][asked[:, 0]].float()))
            total += F.cross_entropy(logits.flatten(0, 1).float(), right.flatten(), ignore_index=PAD, reduction="sum")
        return self.floats([total])[0] / sum(len(target) + 1 for target in targets)

    def references(self, split: str) -> list[list[str]]:
        """Five captions of each photograph, as they are scored."""
        return [[plain(tokens(caption)) for caption in five] for five in self.parts[split].captions]

    def line(self, codes: Sequence[int]) -> str:
        """Codes as a caption that is scored."""
        return plain(self.words.decode(codes))

    def lines(self, grid: Tensor) -> list[str]:
        """A caption of each photograph, by greedy decoding."""
        return [self.line(codes) for piece in grid.split(TOGETHER) for codes in self.written(self.network, piece).codes]

    def nearest(self, grid: Tensor) -> list[int]:
        """The training photograph whose mean features have the most similar direction: describing by looking up."""
        asked, known = (F.normalize(part.float().mean(1), dim=1) for part in (grid, self.grids["train"]))
        places: list[int] = (asked @ known.T).argmax(1).tolist()
        return places

    def written(self, network: "Network", grid: Tensor, width: int = 0) -> Written:
        """Captions for grids (n, places, channels): greedily, or for one photograph the candidates of a beam, the best first."""

        def step(words: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
            logits, state, weights = network.step(words, state)
            logits[:, UNKNOWN] = -torch.inf  # the next likeliest word is better than a gap
            return logits, state, weights

        state = network.read(grid.float())
        return beam(step, state, MOST, width) if width else greedy(step, state, len(grid), MOST)

    # -- what it shows ------------------------------------------------------------------------------------------------------------------

    def sample(self, request: Any) -> Iterator[Event]:
        """A photograph's caption, where it looked for each word, the beam's candidates, and what people wrote."""
        if request.drawing:
            pixels, people = self.own(request.drawing), []
            grid = self.eye.look(pixels)
        else:
            rows = self.parts["valid"]
            if request.picture >= len(rows.captions):
                raise Problem(f"picture: the validation part has {len(rows.captions)}, so 0 to {len(rows.captions) - 1}.", cause="data")
            pixels, people = torch.from_numpy(rows.pictures[request.picture][None]), list(rows.captions[request.picture])
            grid = self.grids["valid"][request.picture][None]
        written = self.written(self.network, grid, request.beam)
        words = self.words.decode(written.codes[0])
        yield Text(tag="caption", text=" ".join(words))
        yield looked_at(pixels[0], written.weights[0], words)
        guess = self.written(self.blind, nothing(grid)).codes[0]
        table: list[list[str | float]] = [["written", " ".join(words)], ["without picture", " ".join(self.words.decode(guess))]]
        yield Table(tag="captions", columns=["by", "caption"], rows=[*table, *(["a person", caption] for caption in people)])
        if request.beam > 1:
            candidates: list[list[str | float]] = [
                [round(score, 3), " ".join(self.words.decode(codes))] for score, codes in zip(written.scores, written.codes, strict=True)
            ]
            yield Table(tag="beam", columns=["log probability a word", "candidate"], rows=candidates)

    def own(self, png: str) -> Tensor:
        """A person's picture in base64 → (1, 3, SIDE, SIDE) bytes."""
        return torch.from_numpy(squared(decode_picture(png)).copy())[None]

    def predict(self, inputs: Any) -> Any:
        """`{"picture": PNG or JPEG in base64}` to `{"answer": caption}`."""
        picture = inputs.get("picture") if isinstance(inputs, dict) else inputs
        if not isinstance(picture, str):
            raise Problem("It describes a picture: a PNG or JPEG in base64.", cause="data")
        written = self.written(self.network, self.eye.look(self.own(picture)), 3)
        return {"answer": " ".join(self.words.decode(written.codes[0]))}

    def form(self) -> dict[str, Any]:
        return {"shape": (3, captions.SIDE, captions.SIDE)}

    def serving(self) -> Serving:
        raise Problem("It reads a picture and writes a text: no coding of the served models does both.", "T explores it here.")


class Network(nn.Module):
    """An LSTM that writes, and before each word looks at a grid of features by soft attention (Xu and others 2015, section 3.1)."""

    def __init__(self, words: int, config: Captioning.Config) -> None:
        super().__init__()
        width, size = config.embedding, config.hidden
        self.places = nn.Linear(CHANNELS[config.grid], size)
        self.first = nn.Linear(size, 2 * size)
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.attention = Attention("additive", size, size, size)
        self.gate = nn.Linear(size, 1)
        self.cell = nn.LSTMCell(width + size, size)
        self.readout = nn.Linear(width + 2 * size, width)
        self.output = nn.Linear(width, words)
        self.dropout = nn.Dropout(config.dropout)

    def read(self, grid: Tensor) -> State:
        """(n, places, channels) → the LSTM's state, from the mean of all places; the places (n, places, hidden); their `prepared` part."""
        places = self.dropout(torch.relu(self.places(grid)))
        hidden, cell = torch.tanh(self.first(places.mean(1))).chunk(2, 1)
        return hidden, cell, places, self.attention.prepared(places)

    def next(self, words: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Vectors of the last words (n, embedding) → features (n, embedding), the state, attention weights (n, places)."""
        hidden, cell, places, prepared = state
        context, weights = self.attention(hidden, places, prepared=prepared)
        # β: how much of the next word the picture decides; "of" and "the" follow from the sentence alone (section 4.2.1 of the paper).
        context = torch.sigmoid(self.gate(hidden)) * context
        hidden, cell = self.cell(torch.cat([words, context], 1), (hidden, cell))
        features = torch.tanh(self.readout(torch.cat([words, hidden, context], 1)))
        return features, (hidden, cell, places, prepared), weights

    def write(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """(n, t) words before each place of a caption → logits (n, t, vocabulary) and attention weights (n, t, places)."""
        features, attended = [], []
        for words in self.dropout(self.embedding(inputs)).unbind(1):
            feature, state, weights = self.next(words, state)
            features.append(feature)
            attended.append(weights)
        return self.output(self.dropout(torch.stack(features, 1))), torch.stack(attended, 1)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """As `sequence_pairs.Step`."""
        features, state, weights = self.next(self.embedding(tokens), state)
        return self.output(features), state, weights


def uneven(weights: Tensor, targets: Tensor) -> Tensor:
    """The doubly stochastic term: the mean over captions and places of (1 - L/T · attention a place got in all T words)².

    weights (n, t, places L), targets (n, t), PAD behind their end. The paper's own term wants a sum of 1 at each place, which T words,
    with T in all, cannot give to L > T places. Measured in fair shares it has the same direction for each caption, and 0 can be reached.
    """
    real = mask(targets)[:, :, None]
    shares = (weights * real).sum(1) / real.sum(1)  # (n, places), their sum is 1
    return ((1 - weights.shape[2] * shares) ** 2).mean()


def nothing(grid: Tensor) -> Tensor:
    """What a decoder without pictures sees: one place of zeros for each, (n, 1, channels)."""
    return torch.zeros(len(grid), 1, grid.shape[2], device=grid.device)


def others(references: Sequence[Sequence[str]]) -> list[list[str]]:
    """For every caption of every photograph, the rest of that photograph's captions."""
    return [[*lines[:place], *lines[place + 1 :]] for lines in references for place in range(len(lines))]


def looked_at(picture: Tensor, weights: Tensor, words: Sequence[str]) -> Images:
    """A photograph (3, side, side) in bytes, and for each word the same with its weights (words, places) blended in: bright is attended."""
    shown = F.interpolate(picture[None].float() / 255, size=(SHOWN_SIDE, SHOWN_SIDE), mode="bilinear", antialias=True)
    if not words:
        return pictures("looked at", shown, ["photograph"])
    side = round(weights.shape[1] ** 0.5)
    light = weights / weights.amax(1, keepdim=True)
    light = F.interpolate(light.view(-1, 1, side, side).float(), size=(SHOWN_SIDE, SHOWN_SIDE), mode="bilinear")
    tiles = torch.cat([shown, shown * (DARKEST + (1 - DARKEST) * light)])
    return pictures("looked at", tiles, ["photograph", *words], columns=5)
