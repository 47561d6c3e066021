"""What lessons with a generator and a discriminator share: settings, noise, two optimizers, the losses, and the Fréchet distance as judge.

The two training steps stand in the lesson's own file.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam, Optimizer

from workbench.torchkit.optimization import LearningRate
from workbench.torchkit.project import TorchProject
from workbench.training.project import Field

JUDGED = 2_000
"""Examples drawn for one measurement of the Fréchet distance, and training examples for its floor."""

Moments = tuple[Tensor, Tensor]


class AdversarialSettings(LearningRate):
    """Base of a GAN's Config."""

    noise_size: int = Field(100, ge=1)
    """Uniform random numbers in [-1, 1) that an example is generated from; more allow more variety."""


class Adversarial(TorchProject):
    """Two networks against each other, each with an optimizer of its own. Its Config inherits `AdversarialSettings`."""

    generator: nn.Module
    """(batch, noise_size) → examples."""
    discriminator: nn.Module
    """Examples → (batch, 1): logits of the probability that each is real."""
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer

    def make_optimizers(self, **settings: Any) -> None:
        """Adam for each network."""
        settings |= {"lr": self.config.learning_rate, "fused": True}
        self.generator_optimizer = Adam(self.generator.parameters(), **settings)
        self.discriminator_optimizer = Adam(self.discriminator.parameters(), **settings)

    def apply_settings(self) -> dict[str, float]:
        """Give both optimizers what they need for the next step, as `LearningRate.apply`."""
        self.config.apply(self.generator_optimizer, self.progress)
        rates: dict[str, float] = self.config.apply(self.discriminator_optimizer, self.progress)
        return rates

    def noise(self, count: int) -> Tensor:
        """Uniform noise in [-1, 1), (count, noise_size)."""
        return torch.empty(count, self.config.noise_size, device=self.device).uniform_(-1, 1)

    def seeded_noise(self, count: int, random: torch.Generator) -> Tensor:
        """The same from a generator of its own on the CPU: the run's random state stays as it is."""
        # Drawn on the CPU: a GPU would draw other numbers from the same seed.
        return (torch.rand(count, self.config.noise_size, generator=random) * 2 - 1).to(self.device)

    def step_discriminator(self, loss: Tensor) -> None:
        """One step of the discriminator down the gradient of its loss."""
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()

    def step_generator(self, loss: Tensor) -> None:
        """One step of the generator down the gradient of its loss."""
        self.generator_optimizer.zero_grad()
        # Gradients for the generator alone: the discriminator's would be thrown away.
        loss.backward(inputs=list(self.generator.parameters()))
        self.generator_optimizer.step()


def discriminator_loss(on_real: Tensor, on_fake: Tensor, real_label: float) -> Tensor:
    """Binary cross-entropy of the discriminator's logits: real examples have the target `real_label`, generated ones 0.

    A target below 1 is one-sided label smoothing (Salimans et al. 2016).
    """
    # From logits: the logarithm of a sigmoid that has rounded to 0 would be infinite.
    real_loss = binary_cross_entropy_with_logits(on_real, torch.full_like(on_real, real_label))
    return real_loss + binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))


def generator_loss(on_fake: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator's logits, where the generated examples are to be taken for real (target 1).

    The non-saturating loss, -log D(G(z)), of Goodfellow et al. (2014): its gradient is large as long as the discriminator wins.
    """
    return binary_cross_entropy_with_logits(on_fake, torch.ones_like(on_fake))


def mean_probabilities(on_real: Tensor, on_fake: Tensor) -> dict[str, Tensor]:
    """The mean probability of being real that the discriminator gives each kind of example, as numbers to log."""
    return {"probability/real": on_real.detach().sigmoid().mean(), "probability/fake": on_fake.detach().sigmoid().mean()}


# -- the judge ----------------------------------------------------------------------------------------------------------


class FrechetJudge:
    """Measures how far generated examples are from held-out real ones, by the Fréchet distance between features of both.

    As the Fréchet inception distance (Heusel et al. 2017) with another network than Inception: it ranks runs with the same data and
    features, and is no FID of the literature. The noise is the same at each measurement. `frechet_distance/real` is what JUDGED
    training examples score against the same held-out ones: no generator is expected below that floor.
    """

    def __init__(
        self, project: Adversarial, features: Callable[[Tensor], Tensor], held_out: dict[str, Tensor], train: Tensor, known: int = 0
    ) -> None:
        """`held_out` has the real examples of each split, `train` the training examples, `features` makes (number, features) of either.

        Features of `known` training examples are kept, for whoever looks for a nearest one; JUDGED at least.
        """
        # A seed that is not the run's: all runs are measured with the same noise.
        random = torch.Generator().manual_seed(0)
        self.noise: dict[str, Tensor] = {}
        """Of each split (JUDGED, noise_size)."""
        self.real: dict[str, Tensor] = {}
        """Features of each split's held-out examples."""
        with torch.no_grad():
            for split, examples in held_out.items():
                self.noise[split] = project.seeded_noise(JUDGED, random)
                self.real[split] = features(examples)
            # Shuffled: the first of a data set may be of few kinds.
            self.places = torch.randperm(len(train), generator=random)[: known or JUDGED].to(project.device)
            """Which training examples `known` are."""
            self.known = features(train[self.places])
            """Their features, (known, features)."""

    def scores(self, split: str, generated: Tensor) -> dict[str, float]:
        """The distance from features of examples that were generated from `noise[split]`, and its floor; numbers to log."""
        real = moments(self.real[split])
        return {
            "frechet_distance": frechet_distance(moments(generated), real),
            "frechet_distance/real": frechet_distance(moments(self.known[:JUDGED]), real),
        }

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """How far the nearest of the known training examples is from each, and which training example it is."""
        distance, place = torch.cdist(features, self.known).min(1)
        return distance, self.places[place]


def moments(features: Tensor) -> Moments:
    """Mean (features,) and covariance (features, features) of features (number, features), in double precision."""
    # The distance is a small difference of large sums: float32 would lose its digits.
    features = features.double()
    return features.mean(0), features.T.cov()


def frechet_distance(one: Moments, other: Moments) -> float:
    """Between two normal distributions: |m1 - m2|² + trace(C1 + C2 - 2 (C1 C2)^½) (Dowson and Landau 1982).

    C1 C2 has the eigenvalues of the symmetric C1^½ C2 C1^½, and those are not negative.
    """
    (mean, covariance), (other_mean, other_covariance) = one, other
    values, vectors = torch.linalg.eigh(covariance)
    # Rounding makes the smallest eigenvalues a little negative.
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    distance = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * cross
    return float(distance)
