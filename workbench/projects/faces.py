"""The course's face GAN: a DCGAN at 32x32 or 64x64, ranked by a Fréchet distance. Recipes: faces, faces-64, faces-lfw."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim.swa_utils import AveragedModel

from workbench.datasets import faces
from workbench.datasets.store.fetch import fetch
from workbench.events import Event, Images, Scalars
from workbench.torchkit.adversarial import Adversarial
from workbench.torchkit.batches import InMemory
from workbench.torchkit.frechet import frechet_distance, moments
from workbench.torchkit.images import pictures
from workbench.torchkit.pretrained import DEVIATION, MEAN, frozen
from workbench.training.project import Field, Own, Settings, live

SHOWN = 16
PAIRS = 8
"""Samples that are shown beside their nearest training face."""
JUDGED = 2_000
"""Faces drawn for one measurement, and training faces for its floor."""
JUDGE_LAYER = 13
"""Of MobileNetV2's modules: behind it are 96 channels, each at a sixteenth of the picture's width."""
JUDGE_SIDE = 64
"""Pixels that the judge sees; smaller pictures are enlarged."""
LOOKED_AT = 20_000
"""Most training faces among which a nearest one is sought."""


class Faces(Adversarial):
    """Two convolutional networks against each other on faces, each with an optimizer of its own, both stepped in one training step."""

    class Config(Settings):
        data: Literal["celeba", "celeba:lfw"] | Own = "celeba"
        """which faces; or a folder of your own pictures, ./pictures, in folders or not"""
        size: Literal[32, 64] = 32
        """width and height of a face in pixels"""
        learning_rate: float = live(0.0002, gt=0)
        """Adam's learning rate, for both networks"""
        beta1: float = Field(0.5, ge=0, lt=1)
        """Adam's memory of past gradients; the usual 0.9 lets a GAN swing"""
        noise_size: int = Field(100, ge=1)
        """how many uniform random numbers in [-1, 1) a face is drawn from"""
        generator_width: int = Field(32, ge=1)
        """channels of the generator's last hidden layer; each one before it has twice as many"""
        discriminator_width: int = Field(32, ge=1)
        """channels of the discriminator's first layer; each one behind it has twice as many"""
        real_label: float = Field(1.0, gt=0, le=1)
        """what the discriminator is to say of a real face; under 1 keeps it from being too sure"""
        average: float = Field(0.0, ge=0, lt=1)
        """what is shown and measured is a running average of the generator's weights that keeps this share each step; 0: the weights"""
        flip: bool = False
        """mirror half of the training faces, left and right"""
        judge: Literal["published", "dequantised"] = "published"
        """weights of MobileNetV2, through which faces are measured: torchvision's, or their stand-in out of 8-bit ones"""
        compile: bool = False
        """let torch.compile fuse the networks' kernels, on a GPU: a minute at the start, faster steps"""

    class Request(Adversarial.Request):
        seed: int = Field(0, ge=0, lt=2**63)
        """where the noise comes from; 0: the run's own sixteen"""
        walk_steps: int = Field(8, ge=2, le=64)
        """faces on the way from the first noise to the second"""

    def build_data(self) -> None:
        """The faces on the device, as bytes; the judge, and what it says of held-out faces and of training faces."""
        config = self.config
        data = faces.read(config.data, config.size)
        self.faces = torch.from_numpy(data.train).to(self.device)  # (number, 3, size, size), as all faces here
        variant = "" if config.judge == "published" else config.judge
        self.variant = ", ".join(filter(None, (data.variant, variant and f"judge {variant}")))
        weights = fetch("mobilenet-v2-weights", variant)["weights"]
        self.judge = frozen("mobilenet_v2", weights, JUDGE_LAYER).to(self.device).to(memory_format=torch.channels_last)

        random = torch.Generator().manual_seed(0)
        self.held_out = {}
        with torch.no_grad():
            for split, part in (("valid", data.valid), ("test", data.test)):
                noise = (torch.rand(JUDGED, config.noise_size, generator=random) * 2 - 1).to(self.device)
                self.held_out[split] = (noise, self.features(torch.from_numpy(part[:JUDGED]).to(self.device)))
            # Shuffled: of a set by person, the first would be of few persons.
            order = torch.randperm(len(self.faces), generator=random)[:LOOKED_AT].to(self.device)
            self.looked_at = order
            self.known = self.features(self.faces[order])

    def build_model(self) -> None:
        config = self.config
        self.generator = generator(config.noise_size, config.generator_width, config.size)
        self.discriminator = discriminator(config.discriminator_width, config.size)
        for network in (self.generator, self.discriminator):
            network.apply(initialised)
            network.to(self.device).to(memory_format=torch.channels_last)
        self.averaged = None
        if config.average:
            self.averaged = AveragedModel(self.generator, avg_fn=running_average(config.average), use_buffers=True)
        self.make_optimizers(betas=(config.beta1, 0.999))
        self.fixed_noise = self.noise(SHOWN)
        if config.compile and self.device.type == "cuda":
            self.generator.compile()
            self.discriminator.compile()

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        size = self.train.batch_size
        return {"generator": (self.noise(size),), "discriminator": (scaled(self.faces[:size]),)}

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        # A last batch of one or two would make batch norm's mean and deviation worthless.
        return InMemory([self.faces], self.train.batch_size, rng, drop_last=len(self.faces) >= self.train.batch_size)

    def train_step(self, batch: Any) -> dict[str, Any]:
        real = scaled(batch[0])
        if self.config.flip:
            mirrored = torch.rand(len(real), 1, 1, 1, device=self.device) < 0.5
            real = torch.where(mirrored, real.flip(3), real)
        numbers = self.step(real)
        if self.averaged:
            self.averaged.update_parameters(self.generator)
        return numbers

    def drawn(self, noise: Tensor) -> Tensor:
        """Faces as bytes, as training faces are: (number, noise_size) → (number, 3, size, size)."""
        network = self.averaged or self.generator
        with self.autocast():
            made = torch.cat([network(piece) for piece in noise.split(500)]).float()
        return made.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)

    def features(self, pixels: Tensor) -> Tensor:
        """What the judge says of faces in bytes: the mean over the picture of each of its 96 channels, (number, 96), float32."""
        mean, deviation = (torch.tensor(each, device=self.device).view(3, 1, 1) for each in (MEAN, DEVIATION))
        found = []
        for piece in pixels.split(250):
            seen = ((piece.float() / 255 - mean) / deviation).contiguous(memory_format=torch.channels_last)
            if seen.shape[-1] < JUDGE_SIDE:
                seen = interpolate(seen, size=(JUDGE_SIDE, JUDGE_SIDE), mode="bilinear")
            found.append(self.judge(seen).mean((2, 3)))
        return torch.cat(found)

    def evaluate(self, split: str) -> Iterator[Event]:
        """The Fréchet distance between 2,000 drawn faces and up to 2,000 real ones that no training saw; lower is better.

        Both are seen by MobileNetV2, trained on ImageNet, as in the Fréchet inception distance (Heusel et al. 2017) by Inception: the
        means over the picture of the 96 channels behind its 13th block, faces enlarged to 64x64. It ranks runs with the same data, size
        and judge; it is no FID of the literature. The noise is the same each time. `frechet_distance/real` is what 2,000 training
        faces score against the same held-out ones: nothing honest goes below it.

        `nearest_distance` tells memorising: the median of the distance, in the same 96 numbers, from a drawn face to its nearest
        training face; `nearest_distance/real` from a held-out face. Drawn ones far below held-out ones are copies.
        """
        noise, real = self.held_out[split]
        made = self.features(self.drawn(noise))
        held_out = moments(real)
        few = slice(500)
        yield Scalars(
            values={
                "frechet_distance": frechet_distance(moments(made), held_out),
                "frechet_distance/real": frechet_distance(moments(self.known[:JUDGED]), held_out),
                "nearest_distance": float(self.nearest(made[few])[0].median()),
                "nearest_distance/real": float(self.nearest(real[few])[0].median()),
            }
        )

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """How far the nearest of the training faces is from each, and which one of `self.faces` it is."""
        distance, place = torch.cdist(features, self.known).min(1)
        return distance, self.looked_at[place]

    def sample(self, request: Any) -> Iterator[Event]:
        """Sixteen faces, always of the same noise; eight of them beside their nearest training face; the walk between the first two."""
        noise = self.fixed_noise
        if request.seed:
            random = torch.Generator().manual_seed(request.seed)
            noise = (torch.rand(noise.shape, generator=random) * 2 - 1).to(self.device)
        made = self.drawn(noise)
        yield pictures("faces", made.float() / 255, columns=8)
        yield self.pairs(made[:PAIRS])
        share = torch.linspace(0, 1, request.walk_steps, device=self.device)[:, None]
        walked = self.drawn(noise[:1] * (1 - share) + noise[1:2] * share)
        yield pictures("walk", walked.float() / 255, columns=request.walk_steps)

    def pairs(self, made: Tensor) -> Images:
        """Each drawn face, and right of it the training face that the judge finds nearest, with its distance."""
        distances, places = self.nearest(self.features(made))
        both = torch.stack((made, self.faces[places]), 1).flatten(0, 1)
        captions = [text for distance in distances.tolist() for text in ("drawn", f"at {distance:.2f}")]
        return pictures("nearest", both.float() / 255, captions, columns=8)


def running_average(kept: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Of a tensor over the steps: each step keeps this share of what it was; less at first, or the untrained weights would stay in it."""

    def averaged(before: Tensor, now: Tensor, steps: Tensor | int) -> Tensor:
        # After n steps it reaches back over about n / 9 of them, as in TensorFlow's ExponentialMovingAverage.
        weight = (9 / (torch.as_tensor(steps) + 10)).clamp(min=1 - kept)
        return before.lerp(now, weight) if before.is_floating_point() else now

    return averaged


def scaled(pixels: Tensor) -> Tensor:
    """Bytes as numbers in [-1, 1], which is what the generator's tanh reaches."""
    return pixels.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def discriminator(width: int, size: int) -> nn.Sequential:
    """Convolutions that each halve the picture, down to 4x4, then one answer: (batch, 3, size, size) → (batch, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    while size > 8:
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        width, size = 2 * width, size // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 4 * 4, 1))


def generator(noise_size: int, width: int, size: int) -> nn.Sequential:
    """The way back, with transposed convolutions: (batch, noise_size) → (batch, 3, size, size) in [-1, 1]."""
    width *= size // 8
    layers: list[nn.Module] = [nn.Linear(noise_size, width * 4 * 4), nn.Unflatten(1, (width, 4, 4))]
    while size > 8:
        layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU()]
        width, size = width // 2, size // 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def initialised(layer: nn.Module) -> None:
    """Weights of convolutions and fully connected layers from a normal distribution with deviation 0.02 (Radford et al. 2016)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
