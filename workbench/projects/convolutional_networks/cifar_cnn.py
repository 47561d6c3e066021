"""Classifies CIFAR-10 as the course does: three convolutions, with augmented pictures or without; or a perceptron, which sees no places."""

from typing import Annotated, Any, Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.torchkit.augment import Augmentation
from workbench.torchkit.batches import InMemory
from workbench.torchkit.cifar import SHAPE, CifarClassifier, CifarSettings, unit
from workbench.torchkit.layers import mlp
from workbench.torchkit.optimization import ClassifierSettings
from workbench.training.project import Field, only


class CifarCnn(CifarClassifier):
    """Ten classes of small colour pictures."""

    class Config(CifarSettings, ClassifierSettings, Augmentation):
        model: Literal["cnn", "mlp"] = "cnn"
        """Kind of network: cnn, three convolutions and two fully connected layers; mlp, fully connected layers alone."""
        channels: list[Annotated[int, Field(ge=1)]] = only([16, 32, 64], when={"model": "cnn"}, min_length=1, max_length=5)
        """Output channels of each 3x3 convolution, behind which the picture is halved; more see more kinds of patterns."""
        hidden: list[Annotated[int, Field(ge=1)]] = [500]
        """Hidden units of each fully connected layer; more fit the training data better, and may overfit."""
        dropout: float = Field(0.25, ge=0, lt=1)
        """Dropout probability before and behind each hidden layer; higher reduces overfitting and slows learning."""

    def build_model(self) -> None:
        config, classes = self.config, len(self.classes)
        if config.model == "cnn":
            network = convolutions(config.channels, config.hidden, classes, config.dropout)
        else:
            network = mlp(int(np.prod(SHAPE)), config.hidden, classes, config.dropout)
        self.network = network.to(self.device)
        self.optimizer = config.make_optimizer(self.network.parameters())

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch  # (batch, 3, 32, 32) bytes, (batch,)
        rates = self.config.apply(self.optimizer, self.progress)
        # Only here: the course's code augments its validation pictures, too, and so measures other pictures than it is asked about.
        pixels = self.inputs(self.augmented(unit(pixels)))
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(pixels), labels, label_smoothing=self.config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    def augmented(self, pixels: Tensor) -> Tensor:
        """Before the scaling, so that what comes in from outside a picture is black."""
        augmented: Tensor = self.config.augmented(pixels)
        return augmented


def convolutions(channels: list[int], hidden: list[int], classes: int, dropout: float) -> nn.Sequential:
    """3x3 convolutions with ReLU and max pooling, then fully connected layers: (batch, 3, 32, 32) → (batch, classes)."""
    depth, height, width = SHAPE
    layers: list[nn.Module] = []
    for outputs in channels:
        layers += [nn.Conv2d(depth, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        depth, height, width = outputs, height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), *mlp(depth * height * width, hidden, classes, dropout)[1:])
