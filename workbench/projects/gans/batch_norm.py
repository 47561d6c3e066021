"""Trains one network on MNIST with and without batch normalisation, and tests it in both modes. Recipes: batch-norm, batch-norm-grid."""

import contextlib
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.datasets import images
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Classes, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Curve, Event, Scalars, Table
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory
from workbench.torchkit.classification import Predictions
from workbench.torchkit.layers import ACTIVATIONS, Activation
from workbench.torchkit.optimization import ClassifierSettings
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field

HELD_OUT = 1000
"""Of the 60,000 training digits, those to validate on: the course trains on all of them, and validates on none."""
BATCH = 64
"""Test digits that stand in a batch in training mode, as in the course."""
SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
"""Batch sizes at which the accuracy is measured in both modes."""
PIECE = 1000
"""Digits that go through the network at once in evaluation mode."""
MOMENTUM = 0.1
"""Share of each batch in the running averages, torch's own."""
BINS = 41
"""Bars of a histogram."""


class BatchNorm(TorchProject):
    """Classifies digits with a multilayer perceptron, with batch normalisation before each activation or without."""

    takes = "picture"
    datasets = ("mnist",)

    class Config(ClassifierSettings):
        batch_norm: bool = True
        """Batch normalisation between each hidden layer and its activation; the layer then has no bias."""
        hidden: list[int] = Field([512, 256], min_length=1)
        """Hidden units of each layer; more fit the training data better, and train slower."""
        activation: Activation = "relu"
        """Activation of the hidden units: relu max(0, x), tanh, or sigmoid 1/(1 + exp(-x)), whose slope is 0.25 at most."""
        deviation: float = Field(0.0, ge=0, le=10)
        """Standard deviation of all weights at the start; 0: PyTorch's own. 5 is far too much for a network without batch norm."""

    class Request(TorchProject.Request):
        batch: int = Field(BATCH, ge=2, le=1000)
        """Digits in a batch of training mode; fewer make worse statistics, as each batch is normalised by its own."""
        pass_first: bool = False
        """Go through the validation digits in training mode first, as the course's notebook does in its test: the running averages move."""
        unit: int = Field(1, ge=1, le=512)
        """Unit of the first hidden layer whose sums are counted, before and after batch norm."""

    def build_data(self) -> None:
        data = images.read("mnist")
        self.classes = data.classes
        held_out, others = data.valid[:HELD_OUT], data.valid[HELD_OUT:]
        # (number, 1, 28, 28) and (number,) on the device
        self.splits = {name: self.tensors(part.images, part.labels) for name, part in (("valid", held_out), ("test", data.test))}
        self.splits["train"] = self.tensors(
            np.concatenate((data.train.images, others.images)), np.concatenate((data.train.labels, others.labels))
        )

    def tensors(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Both on the device."""
        return torch.from_numpy(pixels).to(self.device), torch.from_numpy(labels).to(self.device)

    def build_model(self) -> None:
        config = self.config
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise([784, *config.hidden]):
            # Batch norm subtracts any bias again, and its β takes the bias's place.
            layers.append(nn.Linear(inputs, outputs, bias=not config.batch_norm))
            layers += [nn.BatchNorm1d(outputs, momentum=MOMENTUM)] if config.batch_norm else []
            layers.append(ACTIVATIONS[config.activation]())
        self.network = nn.Sequential(*layers, nn.Linear(config.hidden[-1], len(self.classes)))
        if config.deviation:
            for layer in self.network:
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, 0, config.deviation)
        self.network.to(self.device)
        self.optimizer = config.make_optimizer(self.network.parameters())

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.splits["valid"][0][: self.train.batch_size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        # Shuffled, which the course's notebook does not do. A last batch of one digit could not be normalised.
        pixels, labels = self.splits["train"]
        return InMemory((pixels, labels), self.train.batch_size, rng, drop_last=len(labels) % self.train.batch_size == 1)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch  # (batch, 1, 28, 28), (batch,)
        rates = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            # In training mode each batch norm takes the statistics of this batch, and moves its running averages a tenth to them.
            loss = F.cross_entropy(self.network(pixels), labels, label_smoothing=self.config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    def logits(self, pixels: Tensor, size: int = PIECE) -> Tensor:
        """(number, 1, 28, 28) → (number, classes), float32, so many at once; in evaluation mode the size changes nothing."""
        with self.autocast():
            return torch.cat([self.network(piece) for piece in pixels.split(size)]).float()

    @contextlib.contextmanager
    def training_mode(self) -> Iterator[None]:
        """Around a pass in training mode outside training: afterwards it is in evaluation mode, its running averages as before."""
        # The trap: such a pass moves the running averages towards the test's.
        with kept_averages(self.network):
            self.network.train()
            try:
                yield
            finally:
                self.network.eval()

    def evaluate(self, split: str) -> Iterator[Event]:
        """Loss and accuracy in evaluation mode; with batch norm, also in training mode, and after that pass has moved the averages."""
        pixels, labels = self.splits[split]
        predictions = Predictions(labels, self.logits(pixels).softmax(1), self.classes)
        rows = self.modes(pixels, labels, BATCH)
        values = {"loss": rows[0][2], "accuracy": predictions.accuracy}
        if self.config.batch_norm:
            values |= {"accuracy/training_mode": rows[1][1], "accuracy/averages_moved": rows[2][1]}
        yield Scalars(values=values)
        yield modes_table(rows)
        yield predictions.confusion

    def modes(self, pixels: Tensor, labels: Tensor, size: int) -> list[list[Any]]:
        """A row for each mode: its name, accuracy, loss, and how much the training weighs in the averages it normalises by."""
        # A last batch of one digit has no variance, and torch refuses it.
        whole = len(pixels) - (len(pixels) % size == 1)
        rows = [["evaluation" if self.config.batch_norm else "no batch norm", *scores(self.logits(pixels), labels), 1.0]]
        if self.config.batch_norm:
            with self.training_mode():
                in_training = self.logits(pixels[:whole], size)
                self.network.eval()
                after = self.logits(pixels)
            passed = math.ceil(whole / size)
            rows.append([f"training, {size} at once", *scores(in_training, labels[:whole]), 0.0])
            rows.append(["evaluation, after that pass", *scores(after, labels), (1 - MOMENTUM) ** passed])
        return rows

    def norms(self) -> list[nn.BatchNorm1d]:
        """The batch norms of the hidden layers; none without."""
        return [layer for layer in self.network if isinstance(layer, nn.BatchNorm1d)]

    def sample(self, request: Any) -> Iterator[Event]:
        """Both modes over the batch size, the rows of the modes, a unit's sums before and after batch norm, and what the layers hold."""
        pixels, labels = self.splits["valid"]
        with kept_averages(self.network):
            if request.pass_first and self.config.batch_norm:
                self.network.train()
                self.logits(pixels[: len(pixels) - (len(pixels) % request.batch == 1)], request.batch)
                self.network.eval()
            yield from self.shown(pixels, labels, request)

    def shown(self, pixels: Tensor, labels: Tensor, request: Any) -> Iterator[Event]:
        """The panels of a sample, with the running averages as they are."""
        sizes = [size for size in SIZES if size <= len(pixels)]
        for mode in ("evaluation", "training")[: 1 + self.config.batch_norm]:
            accuracies = []
            for size in sizes:
                whole = len(pixels) - (len(pixels) % size == 1)
                with self.training_mode() if mode == "training" else contextlib.nullcontext():
                    accuracies.append(scores(self.logits(pixels[:whole], size), labels[:whole])[0])
            x = [math.log2(size) for size in sizes]
            yield Curve(tag=f"accuracy by batch size/{mode} mode", x=x, y=accuracies, labels=("log2 of the batch size", "accuracy"))
        yield modes_table(self.modes(pixels, labels, request.batch))
        unit = min(request.unit, self.config.hidden[0]) - 1
        sums = self.network[1](self.network[0](pixels))
        histograms = {"sums": sums[:, unit]}
        if self.config.batch_norm:
            histograms = {"before batch norm": sums[:, unit], "after": self.network[2](sums)[:, unit]}
        for name, values in histograms.items():
            values = values.float()[values.isfinite()]  # a network that diverged has none
            counts, edges = np.histogram(values.cpu().numpy(), BINS)
            # As a density: both are then equally high where they spread equally.
            yield Curve(
                tag=f"sums of a unit/{name}",
                x=((edges[1:] + edges[:-1]) / 2).tolist(),
                y=(counts / max(1, counts.sum()) / np.maximum(np.diff(edges), 1e-12)).tolist(),
                labels=("sum", "density"),
            )
        rows: list[list[str | float]] = [
            [f"layer {place}", *(float(values.mean()) for values in (layer.running_mean, layer.running_var, layer.weight, layer.bias))]
            for place, layer in enumerate(self.norms(), 1)
            if layer.running_mean is not None and layer.running_var is not None
        ]
        if rows:
            yield Table(tag="means over units", columns=["", "running mean", "running variance", "γ", "β"], rows=rows)

    def form(self) -> dict[str, Any]:
        return {"shape": (1, 28, 28)}

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a PNG or JPEG in base64, or `{"pixels": [[…]]}`, to `{"answer": …, "probabilities": {…}}`."""
        return answered(self.serving().coding, inputs, lambda pixels: self.logits(pixels.to(self.device)))

    def serving(self) -> Serving:
        pixels, labels = self.splits["test"]
        return Serving(
            Coding(Picture(shape=(1, 28, 28), like="mnist", light=False), Classes(), self.classes),
            graph=self.network,
            examples=lambda count: sent_pictures(pixels[:count].cpu().numpy()),
            truths=lambda count: [self.classes[label] for label in labels[:count].tolist()],
        )


@contextlib.contextmanager
def kept_averages(network: nn.Module) -> Iterator[None]:
    """Running averages, and how many batches they have seen, are afterwards what they were."""
    saved = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in saved:
                buffer.copy_(value)


def scores(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy and cross-entropy."""
    return float((logits.argmax(1) == labels).float().mean()), float(F.cross_entropy(logits, labels))


def modes_table(rows: list[list[Any]]) -> Table:
    """The rows of `modes` as a table."""
    return Table(tag="modes", columns=["mode", "accuracy", "loss", "training's share"], rows=rows)
