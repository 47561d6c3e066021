"""The networks that the course introduces, from lists of widths."""

from collections.abc import Sequence

from torch import nn


def mlp(inputs: int, hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """Fully connected layers with ReLU and dropout after each hidden one: (batch, …) → (batch, outputs)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def cnn(shape: Sequence[int], groups: Sequence[Sequence[int]], hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """Groups of 3x3 convolutions, each with batch norm and ReLU, each group halving the picture; then dropout and an `mlp`.

    (batch, *shape) → (batch, outputs); `shape` is (channels, height, width), and `groups` has the channels of each convolution.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    for group in groups:
        for wanted in group:
            # A bias would be taken out again by the batch norm.
            layers += [nn.Conv2d(channels, wanted, 3, padding=1, bias=False), nn.BatchNorm2d(wanted), nn.ReLU()]
            channels = wanted
        layers.append(nn.MaxPool2d(2))
        height, width = height // 2, width // 2
    return nn.Sequential(*layers, nn.Dropout(dropout), *mlp(channels * height * width, hidden, outputs, dropout))
