"""The networks that the course introduces, from lists of widths."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

Activation = Literal["relu", "tanh", "sigmoid"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}

Initialisation = Literal["default", "zeros", "ones", "uniform-01", "uniform-half", "uniform-fan-in", "normal-fan-in", "he"]
INITIALISATIONS: dict[str, Callable[[Tensor, int], object]] = {
    "zeros": lambda weight, inputs: nn.init.zeros_(weight),
    "ones": lambda weight, inputs: nn.init.ones_(weight),
    "uniform-01": lambda weight, inputs: nn.init.uniform_(weight, 0, 1),
    "uniform-half": lambda weight, inputs: nn.init.uniform_(weight, -0.5, 0.5),
    "uniform-fan-in": lambda weight, inputs: nn.init.uniform_(weight, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs)),
    "normal-fan-in": lambda weight, inputs: nn.init.normal_(weight, 0, 1 / math.sqrt(inputs)),
    "he": lambda weight, inputs: nn.init.normal_(weight, 0, math.sqrt(2 / inputs)),
}
"""How the weights of a layer with so many inputs begin. PyTorch's default is uniform-fan-in too, with biases drawn alike."""


def initialise(network: nn.Module, name: Initialisation) -> None:
    """Draws the weights of all linear layers anew and sets their biases to 0; with "default" they stay as PyTorch made them."""
    if name == "default":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            INITIALISATIONS[name](layer.weight, layer.in_features)
            nn.init.zeros_(layer.bias)


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    dropout: float,
    activation: Activation = "relu",
    initialisation: Initialisation = "default",
) -> nn.Sequential:
    """Fully connected layers, with an activation and dropout after each hidden one: (batch, …) → (batch, outputs)."""
    layers: list[nn.Module] = [nn.Flatten()]  # (batch, …) → (batch, inputs)
    for width in hidden:
        layers += [nn.Linear(inputs, width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        inputs = width
    network = nn.Sequential(*layers, nn.Linear(inputs, outputs))
    initialise(network, initialisation)
    return network


def cnn(shape: Sequence[int], groups: Sequence[Sequence[int]], hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """Groups of 3x3 convolutions, each with batch norm and ReLU, each group halving the picture; then dropout and an `mlp`.

    (batch, *shape) → (batch, outputs); `shape` is (channels, height, width), and `groups` has the channels of each convolution.
    """
    channels, *size = shape
    layers: list[nn.Module] = []
    for group in groups:
        for width in group:
            # Without a bias: batch norm would subtract it again.
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
        # The last row or column of an odd size is lost in the pooling.
        size = [length // 2 for length in size]
    return nn.Sequential(*layers, nn.Dropout(dropout), *mlp(channels * math.prod(size), hidden, outputs, dropout))
