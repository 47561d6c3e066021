"""The course's first GAN: a generator draws digits from noise, a discriminator tells them from MNIST's. Recipe: mnist-gan."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from workbench.datasets import images
from workbench.events import Event, Scalars, Table
from workbench.torchkit.adversarial import Adversarial
from workbench.torchkit.batches import InMemory
from workbench.torchkit.frechet import frechet_distance, moments
from workbench.torchkit.images import pictures
from workbench.training.project import Field, Settings, live

PIXELS = 28 * 28
SHOWN = 16
JUDGED = 2_000
"""Digits drawn for one measurement of the Fréchet distance."""


class MnistGan(Adversarial):
    """Two networks against each other on MNIST, each with an optimizer of its own, both stepped in one training step."""

    class Config(Settings):
        learning_rate: float = live(0.002, gt=0)
        """Adam's learning rate, for both networks."""
        noise_size: int = Field(100, ge=1)
        """How many uniform random numbers in [-1, 1) a digit is drawn from."""
        generator: list[int] = Field([32, 64, 128], min_length=1)
        """Sizes of the generator's hidden layers, from the noise to the digit."""
        discriminator: list[int] = Field([128, 64, 32], min_length=1)
        """Sizes of the discriminator's hidden layers, from the digit to its answer."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Share of a hidden layer's outputs that is dropped while training, in both networks."""
        negative_slope: float = Field(0.2, ge=0, lt=1)
        """Slope of LeakyReLU below zero."""
        real_label: float = Field(0.9, gt=0, le=1)
        """What the discriminator is to say of a real digit; under 1 keeps it from being too sure."""

    def build_data(self) -> None:
        """60,000 digits to train on, as in the course; the 10,000 test digits, which no training sees, in two halves to measure against."""
        data = images.read("mnist")
        train = [self.scaled(part.images) for part in (data.train, data.valid)]
        self.digits = torch.cat(train)  # (60000, 784) in [-1, 1]
        labels = torch.from_numpy(np.concatenate((data.train.labels, data.valid.labels))).to(self.device)
        held_out, held_out_labels = self.scaled(data.test.images), torch.from_numpy(data.test.labels)

        self.judge = trained_judge(self.digits, labels)
        random = torch.Generator().manual_seed(0)
        self.held_out = {}
        with torch.no_grad():
            for split, half in (("valid", slice(0, None, 2)), ("test", slice(1, None, 2))):
                noise = (torch.rand(JUDGED, self.config.noise_size, generator=random) * 2 - 1).to(self.device)
                shares = held_out_labels[half].bincount(minlength=10) / len(held_out_labels[half])
                self.held_out[split] = (noise, moments(self.features(held_out[half])), shares)
            some = self.digits[torch.randperm(len(self.digits), generator=random)[:JUDGED].to(self.device)]
            self.real = moments(self.features(some))

    def scaled(self, pictures: np.ndarray) -> Tensor:
        """Pictures (number, 1, 28, 28) in [0, 1] as rows of 784 in [-1, 1], which is what the generator's tanh reaches, on the device."""
        return torch.from_numpy(pictures).to(self.device).reshape(-1, PIXELS).mul(2).sub_(1)

    def build_model(self) -> None:
        config = self.config
        drop = (config.negative_slope, config.dropout)
        self.generator = nn.Sequential(
            *hidden([config.noise_size, *config.generator], *drop), nn.Linear(config.generator[-1], PIXELS), nn.Tanh()
        )
        self.discriminator = nn.Sequential(*hidden([PIXELS, *config.discriminator], *drop), nn.Linear(config.discriminator[-1], 1))
        self.generator.to(self.device)
        self.discriminator.to(self.device)
        self.make_optimizers()
        self.fixed_noise = self.noise(SHOWN)

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        size = self.train.batch_size
        return {"generator": (self.noise(size),), "discriminator": (self.digits[:size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return InMemory([self.digits], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        (real,) = batch
        return self.step(real)

    def judged(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Both go through the discriminator at once: none of its layers mixes examples."""
        on_real, on_fake = self.discriminator(torch.cat((real, fake))).split(len(real))
        return on_real, on_fake

    def evaluate(self, split: str) -> Iterator[Event]:
        """The Fréchet distance between 2,000 drawn digits and 5,000 real ones that no training saw; lower is better.

        Both are seen through the 64 features of a small classifier, as the Fréchet inception distance sees photographs through
        Inception (Heusel et al. 2017). The noise is the same each time. `frechet_distance/real` is what 2,000 real training digits
        score: nothing honest goes below it. The classifier is trained anew, and the same, at each start; where arithmetic differs (another
        machine, another number of threads) it comes out a little different, and so do the distances.
        """
        noise, held_out, shares = self.held_out[split]
        digits = self.generator(noise)
        features = self.features(digits)
        distance = frechet_distance(moments(features), held_out)
        yield Scalars(values={"frechet_distance": distance, "frechet_distance/real": frechet_distance(self.real, held_out)})
        taken_for = self.judge[-1](features).argmax(1).bincount(minlength=10) / len(digits)
        rows: list[list[str | float]] = [
            [str(digit), round(drawn, 4), round(real, 4)]
            for digit, (drawn, real) in enumerate(zip(taken_for.tolist(), shares.tolist(), strict=True))
        ]
        yield Table(tag="classes", columns=["digit", "share of drawn", "share of real"], rows=rows)

    def features(self, digits: Tensor) -> Tensor:
        """What the judge's last hidden layer says of digits: (number, 64)."""
        found: Tensor = self.judge[:-1](digits)
        return found

    def sample(self, request: Any) -> Iterator[Event]:
        """Sixteen digits, always of the same noise: what one sees is the generator changing."""
        yield pictures("digits", (self.generator(self.fixed_noise) + 1).reshape(-1, 28, 28) / 2, columns=8)


def hidden(sizes: list[int], negative_slope: float, dropout: float) -> list[nn.Module]:
    """Fully connected layers through all sizes, each with LeakyReLU and dropout."""
    return [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.LeakyReLU(negative_slope), nn.Dropout(dropout))]


def trained_judge(digits: Tensor, labels: Tensor) -> nn.Sequential:
    """A small classifier of digits (784-128-64-10), trained for two passes from a seed of its own, about a second; 95 % of test digits."""
    devices = [digits.device] if digits.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        judge = nn.Sequential(nn.Linear(PIXELS, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)).to(digits.device)
        batches = [batch.to(digits.device) for _ in range(2) for batch in torch.randperm(len(digits)).split(250)]
    optimizer = torch.optim.Adam(judge.parameters(), 0.004, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, len(batches))
    for batch in batches:
        loss = cross_entropy(judge(digits[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.requires_grad_(False)
