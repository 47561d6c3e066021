"""Two networks of PyTorch before any training: their layers and parameters, and what they answer to a digit. Explored, not trained."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from workbench.datasets import mnist
from workbench.events import Curve, Event, Scalars, Table
from workbench.torchkit.layers import Activation, mlp
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field

BATCH = 64
"""Digits that go through the network at once, the first of the test set."""
NETWORKS: dict[str, tuple[list[int], Activation]] = {
    "784-256-10, sigmoid": ([256], "sigmoid"),
    "784-128-64-10, ReLU": ([128, 64], "relu"),
}


class PytorchNetworks(TorchProject):
    """Builds an untrained network and shows it a digit."""

    datasets = ("mnist",)

    class Request(TorchProject.Request):
        """Which network, and which digit it is shown."""

        network: Literal["784-256-10, sigmoid", "784-128-64-10, ReLU"] = "784-128-64-10, ReLU"
        """Layers by their number of units, and the activation of the hidden ones; the last layer has a score for each of ten digits."""
        seed: int = Field(1, ge=0, le=100)
        """Seed of the weights; another one gives other answers, as far from the truth."""
        digit: int = Field(0, ge=0, le=BATCH - 1)
        """Which digit of the batch is shown."""

    def build_data(self) -> None:
        digits = mnist.test_pictures()[slice(BATCH)]
        # (batch, 1, 28, 28), in [-1, 1] as the course has it: mean 0.5 and standard deviation 0.5 are subtracted and divided by.
        self.pixels = ((torch.from_numpy(digits.images) - 0.5) / 0.5).to(self.device)
        self.labels = torch.from_numpy(digits.labels).to(self.device)

    def network(self, name: str, seed: int) -> nn.Sequential:
        """The named network, with weights of this seed."""
        hidden, activation = NETWORKS[name]
        # Aside: the run's own random numbers stay as they are.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return mlp(28 * 28, hidden, 10, 0.0, activation).to(self.device)

    def sample(self, request: Any) -> Iterator[Event]:
        """The digit, its ten probabilities, the layers with their parameters, and the loss on the batch."""
        network = self.network(request.network, request.seed)
        logits = network(self.pixels)  # (batch, 10)
        probabilities = logits.softmax(1)
        shares = probabilities[request.digit]
        likeliest = f"{int(shares.argmax())} {float(shares.max()):.0%}, is {int(self.labels[request.digit])}"
        yield pictures("digit", self.pixels[request.digit : request.digit + 1] / 2 + 0.5, [likeliest])
        yield Curve(tag="probabilities", x=list(range(10)), y=shares.tolist(), labels=("digit", "probability"))
        loss = float(F.cross_entropy(logits, self.labels))
        deviation = float((probabilities.sum(1) - 1).abs().max())
        accuracy = float((probabilities.argmax(1) == self.labels).float().mean())
        yield layers(network)
        # Of a batch of 64 digits; the probabilities of each sum to 1, but for the last digit of 32 bits.
        yield Scalars(
            values={"loss": loss, "loss of guessing, ln 10": math.log(10), "accuracy": accuracy, "sum of a row off by": deviation}
        )


def layers(network: nn.Sequential) -> Table:
    """Each fully connected layer: the shapes of its weights and biases, and how many parameters these are."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    rows: list[list[str | float]] = [
        [f"layer {place}", f"{layer.out_features} x {layer.in_features}", layer.out_features, layer.weight.numel() + layer.bias.numel()]
        for place, layer in enumerate(linear, 1)
    ]
    total = sum(weight.numel() for weight in network.parameters())
    return Table(tag="layers", columns=["layer", "weights", "biases", "parameters"], rows=[*rows, ["total", "", "", total]])
