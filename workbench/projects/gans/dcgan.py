"""The course's DCGAN, which draws house numbers in colour, or digits in photographs. Recipes: dcgan-svhn, dcgan-digits-photos."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from workbench.datasets import digits_on_photos, svhn
from workbench.datasets.labelled_images import ImageData
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Drawn
from workbench.encoding.kinds import Tensor as Numbers
from workbench.encoding.serving import Serving, sent_noise
from workbench.events import Event, Images, Scalars, Table, Text
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
from workbench.torchkit.disk_cache import cached
from workbench.torchkit.optimization import step_size
from workbench.training.figures import as_array, pictures
from workbench.training.project import Field, only

CLASSES = 10
SAMPLES = 16
PAIRS = 8
"""Samples that are shown beside their nearest training picture."""
KNOWN = 10_000
"""Most training pictures among which a nearest one is sought."""
COMPARED = 500
"""Pictures whose distance to the nearest training picture is measured: the median needs no more."""
SEEN = 0.01
"""Share of the drawn pictures from which on a class counts as drawn: a tenth of its share of the digits."""
SINKS = 0.01
"""Share of its height above the losses of now by which a spike's mark sinks in a step."""
JUDGE_EPOCHS, JUDGE_BATCH, JUDGE_RATE = 3, 100, 0.003
"""How the judge is trained: by Adam, with a one-cycle schedule up to this learning rate."""


class Dcgan(Adversarial):
    """A generator of transposed convolutions against a discriminator of strided ones, on 32x32 pictures of digits in colour."""

    datasets = (
        ("mnist", {"data": "digits-photos"}),
        ("cifar10", {"data": "digits-photos", "photos": "cifar10"}),
        ("cifar10:jpeg", {"data": "digits-photos", "photos": "cifar10:jpeg"}),
    )

    class Config(AdversarialSettings):
        data: Literal["svhn", "digits-photos"] = "svhn"
        """Pictures: svhn, house numbers from the street; digits-photos, their stand-in, MNIST's digits in photographs of CIFAR-10."""
        photos: Literal["cifar10", "cifar10:jpeg"] = only("cifar10:jpeg", when={"data": "digits-photos"})
        """Photographs behind the digits: cifar10, fetched from its publisher; cifar10:jpeg, a lossily compressed copy, from a mirror."""
        learning_rate: float = step_size(0.0002, "Step size of Adam, for both networks; higher learns faster and may diverge.")
        beta1: float = Field(0.5, ge=0, lt=1)
        """Decay rate of Adam's average of past gradients; higher remembers longer, and with the usual 0.9 a GAN may oscillate."""
        generator_width: int = Field(32, ge=1)
        """Channels of the generator's last hidden layer, each layer before it having twice as many; more draw finer and train slower."""
        discriminator_width: int = Field(32, ge=1)
        """Channels of the discriminator's first layer, each layer behind it having twice as many; more make it a stronger opponent."""
        real_label: float = Field(1.0, gt=0, le=1)
        """Target of the discriminator for a real picture; below 1 (one-sided label smoothing) keeps it from being overconfident."""

    class Request(Adversarial.Request):
        seed: int = Field(0, ge=0, lt=2**63)
        """Seed of the noise; 0: the run's own sixteen."""
        walk_steps: int = Field(8, ge=2, le=64)
        """Pictures on the walk from the first noise to the second; more make smaller steps."""

    def build_data(self) -> None:
        """The training pictures on the device, as bytes; the judge, and its features of held-out and of training pictures."""
        data = self.read()
        self.pictures = torch.from_numpy(data.train.images).to(self.device)  # (number, 3, 32, 32), as all pictures here
        self.judge = judge(data, self.device)
        parts = {"valid": data.valid, "test": data.test}
        held_out = {split: torch.from_numpy(np.ascontiguousarray(part.images)) for split, part in parts.items()}
        self.frechet = FrechetJudge(self, self.features, held_out, self.pictures, KNOWN)
        self.shares = {split: np.bincount(part.labels, minlength=CLASSES) / len(part) for split, part in parts.items()}
        answers = as_array(self.classes_of(self.frechet.real["valid"]))
        self.judged_right = float(np.mean(answers == data.valid.labels))

    def read(self) -> ImageData:
        """The pictures that the settings name, and what stands beside every figure."""
        if self.config.data == "svhn":
            return svhn.read()
        self.variant = digits_on_photos.title(self.config.photos)
        return digits_on_photos.read(self.config.photos, cached)

    def build_model(self) -> None:
        config = self.config
        self.generator = generator(config.noise_size, config.generator_width)
        self.discriminator = discriminator(config.discriminator_width)
        for network in (self.generator, self.discriminator):
            network.to(self.device).to(memory_format=torch.channels_last)
        self.make_optimizers(betas=(config.beta1, 0.999))
        self.fixed_noise = self.noise(SAMPLES)
        self.spikes = torch.zeros(2, device=self.device)

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        size = self.train.batch_size
        return {"generator": (self.noise(size),), "discriminator": (scaled(self.pictures[:size]),)}

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        # A last batch of one or two would make batch norm's mean and deviation worthless.
        return InMemory([self.pictures], self.train.batch_size, rng, drop_last=len(self.pictures) >= self.train.batch_size)

    def train_step(self, batch: Any) -> dict[str, Any]:
        real = scaled(batch[0])  # (batch, 3, 32, 32)
        rates = self.apply_settings()

        # The discriminator learns to tell real pictures from drawn ones.
        with self.autocast():
            with torch.no_grad():
                # (batch, 3, 32, 32), without a graph: this loss trains the discriminator alone.
                fake = self.generator(self.noise(len(real)))
            # In two passes: in one, batch norm would mix the two kinds, and what is drawn would change the answers to what is real.
            on_real, on_fake = self.discriminator(real), self.discriminator(fake)
            loss_of_discriminator = discriminator_loss(on_real, on_fake, self.config.real_label)
        self.step_discriminator(loss_of_discriminator)

        # The generator learns to draw new ones that the discriminator takes for real.
        with self.autocast():
            # New noise, and with a graph: the gradient reaches the generator through the discriminator, whose weights stay as they are.
            loss_of_generator = generator_loss(self.discriminator(self.generator(self.noise(len(real)))))
        self.step_generator(loss_of_generator)

        # What is logged are means over many steps, in which a spike of one step would not be seen.
        losses = torch.stack((loss_of_discriminator, loss_of_generator)).detach().float()
        self.spikes = torch.maximum(losses, self.spikes.lerp(losses, SINKS))
        marks = {"spikes/discriminator": self.spikes[0], "spikes/generator": self.spikes[1]}
        named = {"loss/generator": loss_of_generator, "loss/discriminator": loss_of_discriminator}
        return {**named, **marks, **mean_probabilities(on_real, on_fake), **rates}

    def generated(self, noise: Tensor) -> Tensor:
        """Pictures as bytes, as training pictures are: (number, noise_size) → (number, 3, 32, 32)."""
        with self.autocast():
            # In pieces: the activations of thousands of pictures would not fit.
            images = torch.cat([self.generator(piece) for piece in noise.split(500)]).float()
        return images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)

    def features(self, pixels: Tensor) -> Tensor:
        """The judge's last hidden layer for pictures in bytes: (number, 64), float32."""
        pieces = counted("features of pictures", pixels.split(1000))
        return torch.cat([self.judge[:-1](scaled(piece.to(self.device))) for piece in pieces])

    def classes_of(self, features: Tensor) -> Tensor:
        """The digit that the judge takes each for: features (number, 64) → (number,)."""
        answers: Tensor = self.judge[-1](features).argmax(1)
        return answers

    def evaluate(self, split: str) -> Iterator[Event]:
        """The Fréchet distance between 2,000 drawn pictures and the real ones that no training saw; lower is better.

        Both are seen through the 64 features of a small convolutional classifier of the same data, see `FrechetJudge`: it ranks runs on
        these data, and is no FID of the literature. The same classifier says which digits are drawn. `nearest_distance` tells memorising:
        the median of the distance from a drawn picture to its nearest training picture; `nearest_distance/real` from a held-out one.
        """
        features = self.features(self.generated(self.frechet.noise[split]))
        shares = as_array(self.classes_of(features).bincount(minlength=CLASSES) / len(features))
        yield Scalars(
            values={
                **self.frechet.scores(split, features),
                "nearest_distance": float(self.frechet.nearest(features[:COMPARED])[0].median()),
                "nearest_distance/real": float(self.frechet.nearest(self.frechet.real[split][:COMPARED])[0].median()),
                "digits_drawn": float(np.sum(shares >= SEEN)),
            }
        )
        rows: list[list[str | float]] = [
            [str(digit), round(float(share), 4), round(float(real), 4)]
            for digit, (share, real) in enumerate(zip(shares, self.shares[split], strict=True))
        ]
        yield Table(tag="classes", columns=["digit", "share of drawn", "share of real"], rows=rows)

    def sample(self, request: Any) -> Iterator[Event]:
        """Sixteen pictures, always of the same noise; eight of them beside their nearest training picture; the walk between two of them."""
        noise = self.fixed_noise
        if request.seed:
            noise = self.seeded_noise(SAMPLES, torch.Generator().manual_seed(request.seed))
        images = self.generated(noise)
        yield pictures("drawn", images.float() / 255, columns=8)
        yield self.pairs(images[:PAIRS])
        share = torch.linspace(0, 1, request.walk_steps, device=self.device)[:, None]
        walk = self.generated(noise[:1] * (1 - share) + noise[1:2] * share)
        yield pictures("walk", walk.float() / 255, columns=request.walk_steps)

    def pairs(self, images: Tensor) -> Images:
        """Each drawn picture, and right of it the training picture that the judge finds nearest, with its distance."""
        distances, places = self.frechet.nearest(self.features(images))
        both = torch.stack((images, self.pictures[places]), 1).flatten(0, 1)
        captions = [text for distance in distances.tolist() for text in ("drawn", f"at {distance:.2f}")]
        return pictures("nearest", both.float() / 255, captions, columns=8)

    def summary(self) -> Iterator[Event]:
        yield from super().summary()
        weights = sum(weight.numel() for weight in self.judge.parameters())
        text = (
            f"A convolutional classifier of the training pictures, {weights:,} parameters; {self.judged_right:.1%} of held-out ones right."
        )
        yield Text(tag="judge", text=text)

    def predict(self, inputs: Any) -> Any:
        """`{"numbers": [100 numbers of noise]}` to `{"answer": a picture, a PNG in base64}`."""
        return answered(self.serving().coding, inputs, lambda noise: self.generated(noise.to(self.device)).float() / 127.5 - 1)

    def serving(self) -> Serving:
        size = self.config.noise_size
        return Serving(
            Coding(Numbers(shape=[size]), Drawn(low=-1, high=1)), graph=self.generator, examples=lambda count: sent_noise(count, size)
        )


def scaled(pixels: Tensor) -> Tensor:
    """Bytes as numbers in [-1, 1], which is what the generator's tanh reaches."""
    return pixels.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


# -- networks ------------------------------------------------------------------------------------------------------------------


def discriminator(width: int) -> nn.Sequential:
    """Convolutions that each halve the picture, without pooling: (batch, 3, 32, 32) → (batch, 1)."""
    # Kernel 4, stride 2, padding 1: exactly half the size. No batch norm in the first layer (Radford et al. 2016).
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for channels in (width, 2 * width):
        # Without a bias: batch norm would subtract it again.
        layers += [nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * 4 * 4, 1))


def generator(noise_size: int, width: int) -> nn.Sequential:
    """The reverse, with transposed convolutions that each double the picture: (batch, noise_size) → (batch, 3, 32, 32) in [-1, 1]."""
    layers: list[nn.Module] = [nn.Linear(noise_size, 4 * width * 4 * 4), nn.Unflatten(1, (4 * width, 4, 4))]
    for channels in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(channels // 2), nn.ReLU()]
    # No batch norm in the last layer (Radford et al. 2016), which gives colours.
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def judge(data: ImageData, device: torch.device) -> nn.Sequential:
    """A small classifier of these pictures, trained once for each data set from a seed of its own, and kept on the disk."""
    # The same judge in every run, and the random state of the run as it was.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        network = nn.Sequential(
            *(layer for sizes in ((3, 16), (16, 32), (32, 64)) for layer in (nn.Conv2d(*sizes, 3, 2, 1), nn.ReLU())),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 64),
            nn.ReLU(),
            nn.Linear(64, CLASSES),
        ).to(device)
        batches = [batch for _ in range(JUDGE_EPOCHS) for batch in torch.randperm(len(data.train)).split(JUDGE_BATCH)]

    def trained() -> np.ndarray:
        pixels, labels = (torch.from_numpy(array).to(device) for array in (data.train.images, data.train.labels))
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, JUDGE_RATE, len(batches))
        for batch in counted("training the judge", [batch.to(device) for batch in batches]):
            optimizer.zero_grad()
            cross_entropy(network(scaled(pixels[batch])), labels[batch]).backward()
            optimizer.step()
            schedule.step()
        return as_array(parameters_to_vector(network.parameters()))

    key = hashlib.sha256(f"{network} {JUDGE_EPOCHS} {JUDGE_BATCH} {JUDGE_RATE}".encode())
    for array in (data.train.images, data.train.labels):
        key.update(np.ascontiguousarray(array).data)
    weights = torch.from_numpy(cached("judge", key.hexdigest(), trained)).to(device)
    vector_to_parameters(weights, network.parameters())
    return network.requires_grad_(False)
