"""What the projects with two networks against each other share: noise, the two optimizers, and the training step."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam

from workbench.torchkit.project import TorchProject
from workbench.torchkit.schedules import set_rate
from workbench.training.project import Settings


class Adversarial(TorchProject):
    """Two networks, each with an optimizer of its own, both stepped in one training step.

    Its Config has learning_rate, noise_size, and real_label: what the discriminator is to say of a real example.
    """

    generator: nn.Module
    """(batch, noise_size) → examples."""
    discriminator: nn.Module
    """Examples → (batch, 1): ln of the odds that each is real."""

    def make_optimizers(self, **settings: Any) -> None:
        """Adam for each network."""
        settings |= {"lr": self.config.learning_rate, "fused": True}
        self.generator_optimizer = Adam(self.generator.parameters(), **settings)
        self.discriminator_optimizer = Adam(self.discriminator.parameters(), **settings)

    def noise(self, count: int) -> Tensor:
        """Uniform noise in [-1, 1), (count, noise_size)."""
        return torch.empty(count, self.config.noise_size, device=self.device).uniform_(-1, 1)

    def judged(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """What the discriminator says of each. Apart, as batch norm would mix the two."""
        return self.discriminator(real), self.discriminator(fake)

    def step(self, real: Tensor) -> dict[str, Any]:
        """A training step of both networks; the losses, and the mean probability of being real that each kind of example was given."""
        count = len(real)

        # The discriminator: real examples are to be called real_label, drawn ones 0.
        with self.autocast():
            with torch.no_grad():
                fake = self.generator(self.noise(count))
            on_real, on_fake = self.judged(real, fake)
            real_loss = binary_cross_entropy_with_logits(on_real, torch.full_like(on_real, self.config.real_label))
            discriminator_loss = real_loss + binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        self.discriminator_optimizer.zero_grad()
        discriminator_loss.backward()
        self.discriminator_optimizer.step()

        # The generator: newly drawn examples are to be called 1.
        with self.autocast():
            drawn = self.discriminator(self.generator(self.noise(count)))
            generator_loss = binary_cross_entropy_with_logits(drawn, torch.ones_like(drawn))
        self.generator_optimizer.zero_grad()
        # Gradients for the generator alone: the discriminator's would be thrown away.
        generator_loss.backward(inputs=list(self.generator.parameters()))
        self.generator_optimizer.step()

        return {
            "loss/generator": generator_loss,
            "loss/discriminator": discriminator_loss,
            "probability/real": on_real.detach().sigmoid().mean(),
            "probability/fake": on_fake.detach().sigmoid().mean(),
        }

    def changed(self, config: Settings) -> None:
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            set_rate(optimizer, self.config.learning_rate)
