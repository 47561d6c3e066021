"""Trains one network on Fashion-MNIST from seven starts: zeros, ones, three uniform ones, a normal one, and PyTorch's own."""

import math
from collections.abc import Iterator
from typing import Any, Literal

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
from workbench.torchkit.layers import mlp
from workbench.torchkit.optimization import ClassifierSettings
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field

PIECE = 2000
"""Pictures that go through the network at once outside training."""
UNITS = 32
"""Hidden units whose incoming weights are shown as pictures."""
BINS = 41
"""Bars of a histogram."""


class WeightInit(TorchProject):
    """Classifies clothes with a small multilayer perceptron whose first weights are what is tried."""

    datasets = ("fashion-mnist",)

    class Config(ClassifierSettings):
        initialisation: Literal["zeros", "ones", "uniform-0-1", "uniform-0.5", "uniform-rule", "normal-rule", "default"] = "default"
        """How weights begin; -rule is ±1/√n or a deviation of 1/√n for n inputs. Biases begin at 0, except PyTorch's default."""
        hidden: list[int] = [256, 128]
        """Hidden units of each layer; more fit the training data better, and may overfit."""
        dropout: float = Field(0.2, ge=0, lt=1)
        """Dropout probability of a hidden unit in each training step; higher reduces overfitting and slows learning."""

    class Request(TorchProject.Request):
        layer: int = Field(1, ge=1, le=3)
        """Layer whose weights are counted in the histogram; 1 is the one behind the pixels."""
        examples: int = Field(500, ge=10, le=5000, json_schema_extra={"step": 100})
        """Validation pictures over which the layers' outputs are measured; more are steadier and take longer."""

    def build_data(self) -> None:
        data = images.read("fashion-mnist")
        self.classes = data.classes
        # (number, 1, 28, 28) and (number,) on the device
        self.splits = {
            name: (torch.from_numpy(part.images).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test))
        }

    def build_model(self) -> None:
        config = self.config
        self.network = mlp(784, config.hidden, len(self.classes), config.dropout)
        for layer in linear_layers(self.network):
            start(layer, config.initialisation)
        self.network.to(self.device)
        self.optimizer = config.make_optimizer(self.network.parameters())
        # What the weights began with, in one row, to be counted beside what became of them.
        self.first = torch.cat([layer.weight.detach().flatten() for layer in linear_layers(self.network)])

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.splits["train"][0][: self.train.batch_size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch  # (batch, 1, 28, 28), (batch,)
        rates = self.config.apply(self.optimizer, self.progress)
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(pixels), labels, label_smoothing=self.config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    def logits(self, pixels: Tensor) -> Tensor:
        """(number, 1, 28, 28) → (number, classes), float32."""
        with self.autocast():
            return torch.cat([self.network(piece) for piece in pixels.split(PIECE)]).float()

    def evaluate(self, split: str) -> Iterator[Event]:
        pixels, labels = self.splits[split]
        logits = self.logits(pixels)
        predictions = Predictions(labels, logits.softmax(1), self.classes)
        yield Scalars(values={"loss": float(F.cross_entropy(logits, labels)), "accuracy": predictions.accuracy})
        yield predictions.confusion

    def sample(self, request: Any) -> Iterator[Event]:
        """How the outputs of the layers spread, a histogram of weights, the first layer's weights as pictures."""
        names, spread, alike = ["pixels"], [], []
        outputs = self.splits["valid"][0][: request.examples]
        spread.append(float(outputs.std()))
        for layer in self.network:
            outputs = layer(outputs)
            if isinstance(layer, nn.ReLU):
                names.append(f"layer {len(names)}")
                spread.append(float(outputs.std()))
        names.append("classes")
        spread.append(float(outputs.std()))
        yield Curve(tag="outputs/deviation", x=[float(place) for place in range(len(spread))], y=spread, labels=("layer", "deviation"))

        layers = linear_layers(self.network)
        chosen = min(request.layer, len(layers)) - 1
        first = self.first.split([layer.weight.numel() for layer in layers])[chosen]
        before, after = first.cpu(), layers[chosen].weight.detach().flatten().cpu()
        most = max(float(before.abs().max()), float(after.abs().max()), 1e-12)
        edges = np.linspace(-most, most, BINS + 1)
        for name, weights in (("at the start", before), ("now", after)):
            share = np.histogram(weights.numpy(), edges)[0] / weights.numel()
            yield Curve(tag=f"weights/{name}", x=((edges[1:] + edges[:-1]) / 2).tolist(), y=share.tolist(), labels=("weight", "share"))

        for layer in layers:
            # Of equal units all but one are of no use: no step makes them differ.
            alike.append(len(torch.unique(layer.weight.detach(), dim=0)))
        rows: list[list[str | float]] = [
            [name, layer.in_features, rule(layer), float(layer.weight.std()), f"{different} of {layer.out_features}"]
            for name, layer, different in zip(names[1:], layers, alike, strict=True)
        ]
        yield Table(tag="layers", columns=["layer", "inputs", "1/√n", "deviation", "different units"], rows=rows)
        units = layers[0].weight.detach()[:UNITS].reshape(-1, 28, 28)
        yield pictures("first weights", 0.5 + units / (2 * units.abs().max().clamp(min=1e-12)), columns=8)

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a PNG or JPEG in base64, or `{"pixels": [[…]]}`, to `{"answer": …, "probabilities": {…}}`."""
        return answered(self.serving().coding, inputs, lambda pixels: self.logits(pixels.to(self.device)))

    def serving(self) -> Serving:
        pixels, labels = self.splits["test"]
        return Serving(
            Coding(Picture(shape=(1, 28, 28), light=False), Classes(), self.classes),
            graph=self.network,
            examples=lambda count: sent_pictures(pixels[:count].cpu().numpy()),
            truths=lambda count: [self.classes[label] for label in labels[:count].tolist()],
        )


def linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    """The fully connected layers, in their order."""
    return [layer for layer in network if isinstance(layer, nn.Linear)]


def rule(layer: nn.Linear) -> float:
    """1/√n for n inputs, the size of weights with which a sum of n products keeps about the size of one."""
    return 1 / math.sqrt(layer.in_features)


def start(layer: nn.Linear, how: str) -> None:
    """Give a layer its first weights, and biases of 0."""
    if how == "default":
        # PyTorch's own: weights and biases evenly in ±1/√n. In its source it is Kaiming's with a = √5: √(6/((1 + 5)n)).
        return
    if how in ("zeros", "ones"):
        nn.init.constant_(layer.weight, float(how == "ones"))
    elif how == "normal-rule":
        nn.init.normal_(layer.weight, 0, rule(layer))
    else:
        low, high = {"uniform-0-1": (0.0, 1.0), "uniform-0.5": (-0.5, 0.5), "uniform-rule": (-rule(layer), rule(layer))}[how]
        nn.init.uniform_(layer.weight, low, high)
    nn.init.zeros_(layer.bias)
