"""The networks that the course introduces, from lists of widths."""

import math
from collections.abc import Sequence

from torch import nn


def mlp(inputs: int, hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """Fully connected layers with ReLU and dropout after each hidden one: (batch, …) → (batch, outputs)."""
    layers: list[nn.Module] = [nn.Flatten()]  # (batch, …) → (batch, inputs)
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


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
