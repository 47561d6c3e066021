"""AlexNet, VGG and ResNet at 32 pixels, and a plain network as deep as a ResNet: why residual connections made networks deep."""

import copy
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.events import Event, Table
from workbench.problems import Problem
from workbench.torchkit.augment import Augmentation
from workbench.torchkit.batches import InMemory
from workbench.torchkit.cifar import CifarClassifier, CifarSettings, unit
from workbench.torchkit.diagnostics import gradient_events, gradient_norms
from workbench.torchkit.optimization import ClassifierSettings
from workbench.training.project import Field, only

IMAGENET, SMALL = 224, 32
"""Width and height in pixels of ImageNet's pictures, for which AlexNet and VGG were made, and of CIFAR-10's."""
JUDGED = 500
"""First training pictures whose loss gives the gradients that are shown."""


class Breakthroughs(CifarClassifier):
    """One of the networks that won ImageNet's contests of 2012 to 2015, made for small pictures."""

    class Config(CifarSettings, ClassifierSettings, Augmentation):
        network: Literal["alexnet", "vgg", "resnet", "plain"] = "resnet"
        """Kind of network: alexnet, 5 convolutions; vgg, 13 of 3x3; resnet, blocks that add to their input; plain, without adding."""
        channels: int = Field(16, ge=1, le=128)
        """Channels of the first convolution, and a multiple of it in deeper ones; twice as many take about four times as long."""
        depth: int = only(20, when={"network": ("resnet", "plain")}, ge=8, le=110)
        """Layers with weights: 8, 14, 20 and on, six more for one more block in each of three groups; deeper should fit better."""
        dropout: float = only(0.5, when={"network": ("alexnet",)}, ge=0, lt=1)
        """Dropout probability before both hidden layers of alexnet; higher reduces overfitting and slows learning."""

    class Request(CifarClassifier.Request):
        """A validation picture; and how many weights a field of view costs."""

        maps: int = Field(64, ge=1, le=512)
        """Channels that a convolution takes and gives; its weights grow with the square."""
        kernel: Literal[3, 5, 7, 9, 11] = 7
        """Width of the single kernel, in pixels, beside a stack of 3x3 kernels that see as far."""

    def build_model(self) -> None:
        config, classes = self.config, len(self.classes)
        if config.network == "alexnet":
            network = alexnet(SMALL, classes, config.channels, config.dropout)
        elif config.network == "vgg":
            network = vgg(SMALL, classes, config.channels)
        else:
            network = residual(config.depth, classes, config.channels, adds=config.network == "resnet")
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = config.make_optimizer(self.network.parameters())

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        # A last batch of a few would make batch norm's mean and deviation worthless.
        full = len(self.splits["train"][1]) >= self.train.batch_size
        return InMemory(self.splits["train"], self.train.batch_size, rng, drop_last=full)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels = batch  # (batch, 3, 32, 32) bytes, (batch,)
        rates = self.config.apply(self.optimizer, self.progress)
        pixels = self.inputs(self.augmented(unit(pixels)))
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.network(pixels), labels, label_smoothing=self.config.label_smoothing)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, **rates}

    def augmented(self, pixels: Tensor) -> Tensor:
        augmented: Tensor = self.config.augmented(pixels)
        return augmented

    def evaluate(self, split: str) -> Iterator[Event]:
        """As all classifiers; and the gradient's norm in each layer, where back-propagation through many layers may lose it."""
        yield from super().evaluate(split)
        yield from gradient_events(self.gradients())

    def gradients(self) -> list[float]:
        """The gradient's norm in each layer on the first training pictures, with batch norm as in training."""
        pixels, labels = (part[:JUDGED] for part in self.splits["train"])
        # A copy: in training mode batch norm would take these pictures into its running averages.
        network = copy.deepcopy(self.network).train()
        with torch.enable_grad():
            return gradient_norms(network, F.cross_entropy(network(self.inputs(pixels)), labels))

    def summary(self) -> Iterator[Event]:
        yield from super().summary()
        yield full_sizes()

    def sample(self, request: Any) -> Iterator[Event]:
        yield kernels(request.maps, request.kernel)
        yield from super().sample(request)


def alexnet(side: int, classes: int, channels: int, dropout: float) -> nn.Sequential:
    """Five convolutions, two hidden layers with dropout (Krizhevsky 2012, as torchvision has it: 64 channels first).

    Pictures of 224 pixels begin with 11x11 in steps of 4 and are pooled 3x3; for 32 pixels that is 5x5 in steps of 1, pooled 2x2.
    """
    c = channels
    first = nn.Conv2d(3, c, 11, 4, 2) if side == IMAGENET else nn.Conv2d(3, c, 5, 1, 2)
    kernel, places = (3, 6 * 6) if side == IMAGENET else (2, 4 * 4)
    return nn.Sequential(
        *(first, nn.ReLU(), nn.MaxPool2d(kernel, 2)),
        *(nn.Conv2d(c, 3 * c, 5, padding=2), nn.ReLU(), nn.MaxPool2d(kernel, 2)),
        *(nn.Conv2d(3 * c, 6 * c, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(6 * c, 4 * c, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(4 * c, 4 * c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel, 2)),
        *(nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * c * places, 64 * c), nn.ReLU()),
        *(nn.Dropout(dropout), nn.Linear(64 * c, 64 * c), nn.ReLU(), nn.Linear(64 * c, classes)),
    )


def vgg(side: int, classes: int, channels: int) -> nn.Sequential:
    """Thirteen 3x3 convolutions in five groups that each halve the picture (VGG-16, Simonyan and Zisserman 2015: 64 channels first).

    For 32 pixels it has batch norm, without which so deep a network hardly begins to learn, and one linear layer in place of three.
    """
    layers: list[nn.Module] = []
    small, inputs = side == SMALL, 3
    for multiple, number in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
        for _ in range(number):
            width = multiple * channels
            layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=not small), *([nn.BatchNorm2d(width)] if small else []), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    flat, hidden = inputs * (side // 32) ** 2, 64 * channels
    if small:
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, classes))
    head = (nn.Linear(flat, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout())
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Linear(hidden, classes))


def residual(depth: int, classes: int, channels: int, *, adds: bool) -> nn.Sequential:
    """Three groups of blocks of two 3x3 convolutions at 32, 16 and 8 pixels (He et al. 2016, section 4.2); `adds` False: a plain network.

    Raises Problem where the depth is not 6n + 2: a first convolution, 2n in each group, a linear layer.
    """
    if depth % 6 != 2:
        raise Problem(f"config.depth is {depth}, which is not 8, 14, 20 or another 6n + 2.", f"Take {depth - (depth - 2) % 6}.")
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    inputs = channels
    for group in range(3):
        width = channels * 2**group
        for _ in range((depth - 2) // 6):
            layers.append(Block(inputs, width, adds))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


class Block(nn.Module):
    """relu(x + F(x)), F of two 3x3 convolutions with batch norm; without `adds` relu(F(x)). More channels halve height and width."""

    def __init__(self, inputs: int, outputs: int, adds: bool) -> None:
        super().__init__()
        self.adds, self.more = adds, outputs - inputs
        self.first = nn.Conv2d(inputs, outputs, 3, 2 if self.more else 1, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        change: Tensor = self.second_norm(self.second(F.relu(self.first_norm(self.first(maps)))))
        return F.relu(self.shortcut(maps) + change if self.adds else change)

    def shortcut(self, maps: Tensor) -> Tensor:
        """What goes past the block, without weights: every second pixel, and new channels of zeros, where the block has more of them."""
        return F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more)) if self.more else maps


def full_sizes() -> Table:
    """Parameters of the networks as they were for ImageNet; nothing is allocated for them."""
    from torchvision.models import resnet152

    with torch.device("meta"):
        networks = {
            "AlexNet, 2012": alexnet(IMAGENET, 1000, 64, 0.5),
            "VGG-16, 2014": vgg(IMAGENET, 1000, 64),
            "ResNet-152, 2015": resnet152(weights=None),
        }
    rows = [[name, sum(weight.numel() for weight in network.parameters())] for name, network in networks.items()]
    return Table(tag="for ImageNet", columns=["network", "parameters"], rows=rows)


def kernels(channels: int, kernel: int) -> Table:
    """Weights of one kernel, and of the stack of 3x3 kernels that sees as many pixels: each after the first sees two more, each way one."""
    number = (kernel - 1) // 2
    rows: list[list[str | float]] = [
        [f"1 of {kernel}x{kernel}", kernel, kernel**2 * channels**2],
        [f"{number} of 3x3", 1 + 2 * number, number * 9 * channels**2],
    ]
    return Table(tag="weights", columns=["convolutions", "pixels seen", "weights"], rows=rows)
