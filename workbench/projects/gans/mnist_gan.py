"""The course's first GAN: a generator makes digits from noise, a discriminator tells them from MNIST's. Recipe: mnist-gan."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from workbench.datasets import images
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Drawn
from workbench.encoding.kinds import Tensor as Numbers
from workbench.encoding.serving import Serving, sent_noise
from workbench.events import Event, Scalars, Table
from workbench.preparation import counted
from workbench.torchkit.adversarial import (
    Adversarial,
    AdversarialSettings,
    FrechetJudge,
    discriminator_loss,
    generator_loss,
    mean_probabilities,
)
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory
from workbench.torchkit.computed import Computed
from workbench.torchkit.optimization import step_size
from workbench.training.figures import pictures
from workbench.training.project import Field

PIXELS = 28 * 28
SAMPLES = 16


class MnistGan(Adversarial):
    """Two networks against each other on MNIST, each with an optimizer of its own, both stepped in one training step."""

    datasets = ("mnist",)

    class Config(AdversarialSettings):
        learning_rate: float = step_size(0.002, "Step size of Adam, for both networks; higher learns faster and may diverge.")
        generator: list[int] = Field([32, 64, 128], min_length=1)
        """Hidden units of each layer of the generator, from the noise to the digit; more draw finer digits and train slower."""
        discriminator: list[int] = Field([128, 64, 32], min_length=1)
        """Hidden units of each layer of the discriminator, from the digit to its answer; more make it a stronger opponent."""
        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout probability of a hidden unit in each training step, in both networks; higher weakens both."""
        negative_slope: float = Field(0.2, ge=0, lt=1)
        """Slope of LeakyReLU below zero; higher lets more gradient through where a unit is off."""
        real_label: float = Field(0.9, gt=0, le=1)
        """Target of the discriminator for a real digit; below 1 (one-sided label smoothing) keeps it from being overconfident."""

    def build_data(self) -> None:
        """60,000 digits to train on, as in the course; the 10,000 test digits, which no training sees, in two halves to measure against."""
        data = images.read("mnist")
        self.digits = torch.cat([self.scaled(part.images) for part in (data.train, data.valid)])  # (60000, 784) in [-1, 1]
        labels = torch.from_numpy(np.concatenate((data.train.labels, data.valid.labels))).to(self.device)
        held_out, held_out_labels = self.scaled(data.test.images), torch.from_numpy(data.test.labels)
        halves = {"valid": slice(0, None, 2), "test": slice(1, None, 2)}
        self.judge = trained_judge(self.digits, labels)
        self.frechet = FrechetJudge(self, self.features, {split: held_out[half] for split, half in halves.items()}, self.digits)
        self.shares = {split: held_out_labels[half].bincount(minlength=10) / len(held_out_labels[half]) for split, half in halves.items()}

    def scaled(self, pictures: np.ndarray) -> Tensor:
        """Pictures (number, 1, 28, 28) in [0, 1] as rows of 784 in [-1, 1], which is what the generator's tanh reaches, on the device."""
        return torch.from_numpy(pictures).to(self.device).reshape(-1, PIXELS).mul(2).sub_(1)

    def build_model(self) -> None:
        config = self.config
        rules = (config.negative_slope, config.dropout)
        self.generator = nn.Sequential(
            *hidden([config.noise_size, *config.generator], *rules), nn.Linear(config.generator[-1], PIXELS), nn.Tanh()
        )
        self.discriminator = nn.Sequential(*hidden([PIXELS, *config.discriminator], *rules), nn.Linear(config.discriminator[-1], 1))
        self.generator.to(self.device)
        self.discriminator.to(self.device)
        self.make_optimizers()
        self.fixed_noise = self.noise(SAMPLES)

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        size = self.train.batch_size
        return {"generator": (self.noise(size),), "discriminator": (self.digits[:size],)}

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return InMemory([self.digits], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        (real,) = batch  # (batch, 784) in [-1, 1]
        rates = self.apply_settings()

        # The discriminator learns to tell real digits from generated ones.
        with self.autocast():
            with torch.no_grad():
                # (batch, 784), without a graph: this loss trains the discriminator alone.
                fake = self.generator(self.noise(len(real)))
            # Both in one pass: none of its layers mixes examples.
            on_real, on_fake = self.discriminator(torch.cat((real, fake))).split(len(real))
            loss_of_discriminator = discriminator_loss(on_real, on_fake, self.config.real_label)
        self.step_discriminator(loss_of_discriminator)

        # The generator learns to make new ones that the discriminator takes for real.
        with self.autocast():
            # New noise, and with a graph: the gradient reaches the generator through the discriminator, whose weights stay as they are.
            loss_of_generator = generator_loss(self.discriminator(self.generator(self.noise(len(real)))))
        self.step_generator(loss_of_generator)

        losses = {"loss/generator": loss_of_generator, "loss/discriminator": loss_of_discriminator}
        return {**losses, **mean_probabilities(on_real, on_fake), **rates}

    def evaluate(self, split: str) -> Iterator[Event]:
        """The Fréchet distance between 2,000 generated digits and 5,000 real ones that no training saw; lower is better.

        Both are seen through the 64 features of a small classifier, see `FrechetJudge`. The classifier is trained at each start,
        from the same seed; where arithmetic differs (another machine, another number of threads) it differs a little, and so do the
        distances.
        """
        digits = self.generator(self.frechet.noise[split])
        features = self.features(digits)
        yield Scalars(values=self.frechet.scores(split, features))
        generated = self.judge[-1](features).argmax(1).bincount(minlength=10) / len(digits)
        rows: list[list[str | float]] = [
            [str(digit), round(share, 4), round(real, 4)]
            for digit, (share, real) in enumerate(zip(generated.tolist(), self.shares[split].tolist(), strict=True))
        ]
        yield Table(tag="classes", columns=["digit", "share of drawn", "share of real"], rows=rows)

    def features(self, digits: Tensor) -> Tensor:
        """The judge's last hidden layer for digits: (number, 64)."""
        features: Tensor = self.judge[:-1](digits)
        return features

    def sample(self, request: Any) -> Iterator[Event]:
        """Sixteen digits, always of the same noise: what one sees is the generator changing."""
        yield pictures("digits", (self.generator(self.fixed_noise) + 1).reshape(-1, 28, 28) / 2, columns=8)

    def predict(self, inputs: Any) -> Any:
        """`{"numbers": [100 numbers of noise]}` to `{"answer": a digit, a PNG in base64}`."""
        serving = self.serving()
        return answered(serving.coding, inputs, lambda noise: serving.graph(noise.to(self.device)))

    def serving(self) -> Serving:
        size = self.config.noise_size
        return Serving(
            Coding(Numbers(shape=[size]), Drawn(low=-1, high=1)),
            graph=Computed(lambda noise: self.generator(noise).unflatten(1, (1, 28, 28)), generator=self.generator),
            examples=lambda count: sent_noise(count, size),
        )


def hidden(sizes: list[int], negative_slope: float, dropout: float) -> list[nn.Module]:
    """Fully connected layers through all sizes, each with LeakyReLU and dropout."""
    return [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.LeakyReLU(negative_slope), nn.Dropout(dropout))]


def trained_judge(digits: Tensor, labels: Tensor) -> nn.Sequential:
    """A small classifier of digits (784-128-64-10), trained for two epochs from a seed of its own, about a second; test accuracy 95 %."""
    devices = [digits.device] if digits.device.type == "cuda" else []
    # The same judge in every run, and the random state of the run as it was.
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        judge = nn.Sequential(nn.Linear(PIXELS, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)).to(digits.device)
        batches = [batch.to(digits.device) for _ in range(2) for batch in torch.randperm(len(digits)).split(250)]
    optimizer = torch.optim.Adam(judge.parameters(), 0.004, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, len(batches))
    for batch in counted("training the judge", batches):
        loss = cross_entropy(judge(digits[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.requires_grad_(False)
