"""CIFAR-10 to 94 % in ten epochs: whitening, a dirac start, averaged weights, averaged copies. Recipes: cifar-fast, cifar-94.

The method is Jordan's (2024, "94 % on CIFAR-10 in 3.29 seconds on a single GPU"), whose numbers stand here where they are.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel

from workbench.events import Event, Scalars
from workbench.torchkit.batches import InMemory
from workbench.torchkit.cifar import CifarClassifier, CifarSettings, unit
from workbench.torchkit.optimization import step_size
from workbench.torchkit.schedules import set_rate
from workbench.training.project import Field, live

WHITENED = 5_000
"""Training pictures from which the whitening is computed."""
SOFTENING = 5e-4
"""Added to the variances by which the whitening divides: directions that hardly vary are noise, and stay small."""
RISING, FIRST, LAST = 0.23, 0.2, 0.07
"""The learning rate rises in a line from FIRST of its highest to all of it in the share RISING of the run, then falls to LAST."""
SETTLED = 0.3
"""Share of the run (3 of 9.9 epochs) in which the whitening's bias is trained, and behind which the weights are averaged."""
AVERAGED_EVERY = 5
"""Steps between two averagings."""
MEMORY = 0.95
"""What a step near the end leaves of the average; at the share p of the run MEMORY * p³ of it, so that early weights are soon forgotten."""
SHIFT = 2
"""Pixels by which training pictures are shifted at most, each way; what comes in from outside is the picture's own mirror image."""


class CifarFast(CifarClassifier):
    """A small convolutional network that learns as much as it can in few epochs."""

    network: nn.Sequential

    class Config(CifarSettings):
        channels: list[Annotated[int, Field(ge=1)]] = Field([64, 256, 256], min_length=3, max_length=3)
        """Output channels of the three groups of two convolutions; half as many take about a third of the time, and learn less."""
        learning_rate: float = step_size(11.5, "Highest step size, for 1,024 examples; higher learns faster and may diverge.")
        momentum: float = live(0.85, ge=0, lt=1)
        """Fraction of the previous update that Nesterov adds to the next one; higher smooths the path and overshoots more."""
        weight_decay: float = Field(0.0153, ge=0)
        """Strength with which each step shrinks the weights towards zero, for 1,024 examples; higher reduces overfitting."""
        bias_rate: float = Field(64.0, gt=0)
        """Learning rate of the batch norms' biases as a multiple of the others'; higher lets them move further in few steps."""
        label_smoothing: float = Field(0.2, ge=0, lt=1)
        """Share of each training label that is spread evenly over all classes; higher makes the network less confident."""

    def build_data(self) -> None:
        super().build_data()
        pixels = unit(self.splits["train"][0][:WHITENED])
        # Of training pictures alone: what is measured on the test pictures may say nothing of itself to the network before.
        self.mean, self.deviation = (value.view(1, 3, 1, 1) for value in (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))))
        number = len(self.splits["train"][1])
        side = np.random.default_rng([self.seed, 1]).random(number) < 0.5
        self.mirrored = torch.from_numpy(side).to(self.device)
        """Which pictures the first epoch mirrors; the next one mirrors the others."""

    def scaled(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.deviation

    def build_model(self) -> None:
        config = self.config
        self.network = network(config.channels, len(self.classes))
        with torch.no_grad():
            self.network.get_parameter("0.weight").copy_(whitening(self.inputs(self.splits["train"][0][:WHITENED])))
        self.network.to(self.device).to(memory_format=torch.channels_last)
        biases = [part.bias for part in self.network if isinstance(part, ShiftNorm)]
        others = [weight for weight in self.network.parameters() if weight.requires_grad and all(weight is not bias for bias in biases)]
        # A loss that is a sum over the batch, and steps that Nesterov makes 1 + 1/(1 - momentum) times as long: the settings are for
        # 1,024 examples and the whole of such a step.
        self.scale = 1024 * (1 + 1 / (1 - config.momentum))
        decay = config.weight_decay * self.train.batch_size / config.learning_rate
        groups = [
            {"params": biases, "share": config.bias_rate, "weight_decay": decay / config.bias_rate},
            {"params": others, "share": 1.0, "weight_decay": decay},
        ]
        self.optimizer = SGD(groups, lr=config.learning_rate / self.scale, momentum=config.momentum, nesterov=True, fused=True)
        self.averaged = Lookahead(self.network, use_buffers=True)
        self.steps = 0

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        mirrored = self.mirrored ^ bool(epoch % 2)
        # A last batch of a few would make batch norm's mean and deviation worthless.
        full = len(mirrored) >= self.train.batch_size
        return InMemory((*self.splits["train"], mirrored), self.train.batch_size, rng, drop_last=full)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pixels, labels, mirrored = batch  # (batch, 3, 32, 32) bytes, (batch,), (batch,)
        config = self.config
        rate = config.learning_rate * triangle(self.progress)
        set_rate(self.optimizer, rate / self.scale)
        for group in self.optimizer.param_groups:
            group["momentum"] = config.momentum
        self.network.get_parameter("0.bias").requires_grad_(self.progress < SETTLED)

        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
        inputs = self.inputs(shifted_at_random(pixels))
        # To None, not to zeros: what is no longer trained then gets no step, by its momentum neither.
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            logits = self.network(inputs)
            loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing, reduction="sum")
        loss.backward()
        self.optimizer.step()

        self.steps += 1
        if self.progress >= SETTLED and self.steps % AVERAGED_EVERY == 0:
            self.averaged.look_ahead(self.network, MEMORY**AVERAGED_EVERY * self.progress**3)
        return {"loss": loss / len(labels), "learning_rate": rate}

    def augmented(self, pixels: Tensor) -> Tensor:
        mirrored = torch.arange(len(pixels), device=pixels.device) % 2 == 1
        return shifted_at_random(torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels))

    def measured_network(self) -> nn.Module:
        """The averaged weights, as soon as there are any."""
        return self.averaged.module if self.averaged.n_averaged else self.network

    def evaluate(self, split: str) -> Iterator[Event]:
        """As all classifiers; on the test pictures `accuracy/copies`, too, where six copies of each answer together."""
        yield from super().evaluate(split)
        if split == "test":
            pixels, labels = self.splits[split]
            answers = self.logits_of_copies(pixels).argmax(1)
            yield Scalars(values={"accuracy/copies": float((answers == labels).float().mean())})

    def logits_of_copies(self, pixels: Tensor) -> Tensor:
        """The mean over a picture as it is, with weight 1/2, and moved by (-1, -1) and (1, 1) pixels, 1/4 each; and over their mirror
        images; what comes in is reflected."""
        total = torch.zeros(len(pixels), len(self.classes), device=self.device)
        for move, weight in ((0, 0.5), (-1, 0.25), (1, 0.25)):
            moved = reflected(pixels, *torch.full((2, len(pixels)), move, device=self.device))
            total += weight * (self.logits(moved) + self.logits(moved.flip(3))) / 2
        return total


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm that shifts but does not scale; its running averages take 0.4 of each batch, as there are only a few hundred."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4)
        self.register_parameter("weight", None)


class Scale(nn.Module):
    """Multiplies by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


class Lookahead(AveragedModel):
    """A running average of the weights from which the training goes on each time (Zhang et al. 2019)."""

    @torch.no_grad()
    def look_ahead(self, model: nn.Module, memory: float) -> None:
        """Keep the share `memory` of the average, none the first time, and write the new average into the network."""
        mine, theirs = ([*part.parameters(), *part.buffers()] for part in (self.module, model))
        averages, weights = zip(*(pair for pair in zip(mine, theirs, strict=True) if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(averages, weights, 1 - memory if self.n_averaged else 1.0)
        torch._foreach_copy_(weights, averages)
        self.n_averaged += 1


def network(channels: list[int], classes: int) -> nn.Sequential:
    """Whitening to 24 channels, three groups of two convolutions, a linear layer: (batch, 3, 32, 32) → (batch, classes)."""
    # 2x2 without padding: 31x31, which the three poolings of the groups take to 15, 7 and 3.
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 2), nn.GELU()]
    layers[0].weight.requires_grad_(False)
    inputs = 24
    for width in channels:
        layers += [conv(inputs, width), nn.MaxPool2d(2), ShiftNorm(width), nn.GELU(), conv(width, width), ShiftNorm(width), nn.GELU()]
        inputs = width
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(inputs, classes, bias=False), Scale(1 / 9))


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution whose first filters pass their input on unchanged (a dirac start): at first a deep network is a shallow one."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:inputs])
    return layer


def whitening(pixels: Tensor) -> Tensor:
    """Filters, (24, 3, 2, 2), whose 12 answers on 2x2 patches of such pictures are uncorrelated and of variance 1, and their negatives.

    They are the eigenvectors of the patches' covariance, divided by the root of the eigenvalue, which is `SOFTENING` larger.
    """
    total, count = torch.zeros(12, 12, dtype=torch.float64, device=pixels.device), 0
    for piece in pixels.split(500):
        patches = F.unfold(piece, 2).transpose(1, 2).reshape(-1, 12).double()
        total += patches.T @ patches
        count += len(patches)
    variances, directions = torch.linalg.eigh(total / count)
    rows = directions.T / (variances + SOFTENING).sqrt()[:, None]
    half = rows.float().view(12, 3, 2, 2)
    # With its negative, as an activation keeps of each only the positive half.
    return torch.cat([half, -half])


def triangle(done: float) -> float:
    """Share of the highest learning rate at the share `done` of the run."""
    if done < RISING:
        return FIRST + (1 - FIRST) * done / RISING
    return 1 - (1 - LAST) * (done - RISING) / (1 - RISING)


def shifted_at_random(pixels: Tensor) -> Tensor:
    """Each picture moved by draws of its own, down and across."""
    down, across = torch.randint(-SHIFT, SHIFT + 1, (2, len(pixels)), device=pixels.device)
    return reflected(pixels, down, across)


def reflected(pixels: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """(number, channels, height, width), each picture moved by its own (number,) pixels; what comes in mirrors what is inside the edge."""
    number, channels, height, width = pixels.shape
    rows = (torch.arange(height, device=pixels.device) - down[:, None]).abs()
    columns = (torch.arange(width, device=pixels.device) - across[:, None]).abs()
    # Behind the last row, too.
    rows, columns = height - 1 - (height - 1 - rows).abs(), width - 1 - (width - 1 - columns).abs()
    pixels = pixels.gather(2, rows[:, None, :, None].expand(number, channels, height, width))
    return pixels.gather(3, columns[:, None, None, :].expand(number, channels, height, width))
