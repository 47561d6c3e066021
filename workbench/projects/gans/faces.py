"""The course's face GAN: a DCGAN at 32x32 or 64x64, ranked by a Fréchet distance. Recipes: faces, faces-64, faces-lfw."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from workbench.datasets import faces
from workbench.datasets.store.fetch import fetch
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Drawn
from workbench.encoding.kinds import Tensor as Numbers
from workbench.encoding.serving import Serving, sent_noise
from workbench.events import Event, Images, Scalars
from workbench.preparation import counted
from workbench.torchkit.adversarial import (
    JUDGED,
    Adversarial,
    AdversarialSettings,
    FrechetJudge,
    discriminator_loss,
    generator_loss,
    mean_probabilities,
)
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory
from workbench.torchkit.optimization import step_size
from workbench.torchkit.own_pictures import OwnPictures
from workbench.torchkit.pretrained import DEVIATION, MEAN, frozen
from workbench.torchkit.running_average import RunningAverage
from workbench.training.figures import pictures
from workbench.training.project import Field, OwnUnlabelled

SAMPLES = 16
PAIRS = 8
"""Samples that are shown beside their nearest training face."""
JUDGE_LAYER = 13
"""Of MobileNetV2's modules: behind it are 96 channels, each at a sixteenth of the picture's width."""
JUDGE_SIDE = 64
"""Pixels that the judge sees; smaller pictures are enlarged."""
KNOWN = 20_000
"""Most training faces among which a nearest one is sought."""
COMPARED = 500
"""Faces whose distance to the nearest training face is measured: the median needs no more."""


class Faces(Adversarial):
    """Two convolutional networks against each other on faces, each with an optimizer of its own, both stepped in one training step."""

    datasets = (
        ("mobilenet-v2-weights", {"judge": "published"}),
        ("mobilenet-v2-weights:dequantised", {"judge": "dequantised"}),
    )

    class Config(AdversarialSettings, OwnPictures):
        data: Literal["celeba", "celeba:lfw"] | OwnUnlabelled = "celeba"
        """Data set of faces; or a folder of your own pictures, ./pictures, in folders or not."""
        size: Literal[32, 64] = 32
        """Width and height of a face in pixels; 64 shows more detail and takes longer."""
        learning_rate: float = step_size(0.0002, "Step size of Adam, for both networks; higher learns faster and may diverge.")
        beta1: float = Field(0.5, ge=0, lt=1)
        """Decay rate of Adam's average of past gradients; higher remembers longer, and with the usual 0.9 a GAN may oscillate."""
        generator_width: int = Field(32, ge=1)
        """Channels of the generator's last hidden layer, each layer before it having twice as many; more draw finer and train slower."""
        discriminator_width: int = Field(32, ge=1)
        """Channels of the discriminator's first layer, each layer behind it having twice as many; more make it a stronger opponent."""
        real_label: float = Field(1.0, gt=0, le=1)
        """Target of the discriminator for a real face; below 1 (one-sided label smoothing) keeps it from being overconfident."""
        average: float = Field(0.0, ge=0, lt=1)
        """Decay of the exponential moving average of the generator's weights, which then is what is shown and measured; higher averages
        over more steps; 0: the weights themselves."""
        flip: bool = False
        """Mirror a random half of the training faces, left and right: data augmentation."""
        judge: Literal["published", "dequantised"] = "published"
        """Weights of MobileNetV2, which measures the faces: published, torchvision's; dequantised, their stand-in out of 8-bit ones."""
        compile: bool = False
        """Let torch.compile fuse the networks' kernels, on a GPU: a minute at the start, faster steps."""

    class Request(Adversarial.Request):
        seed: int = Field(0, ge=0, lt=2**63)
        """Seed of the noise; 0: the run's own sixteen."""
        walk_steps: int = Field(8, ge=2, le=64)
        """Faces on the walk from the first noise to the second; more make smaller steps."""

    def build_data(self) -> None:
        """The faces on the device, as bytes; the judge, and its features of held-out faces and of training faces."""
        config = self.config
        data = faces.read(config.data, config.size, config.background)
        self.faces = torch.from_numpy(data.train).to(self.device)  # (number, 3, size, size), as all faces here
        variant = "" if config.judge == "published" else config.judge
        self.variant = ", ".join(filter(None, (data.variant, variant and f"judge {variant}")))
        weights = fetch("mobilenet-v2-weights", variant)["weights"]
        self.judge = frozen("mobilenet_v2", weights, JUDGE_LAYER).to(self.device).to(memory_format=torch.channels_last)
        self.mean, self.deviation = (torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, DEVIATION))
        held_out = {"valid": torch.from_numpy(data.valid[:JUDGED]), "test": torch.from_numpy(data.test[:JUDGED])}
        self.frechet = FrechetJudge(self, self.features, held_out, self.faces, KNOWN)

    def build_model(self) -> None:
        config = self.config
        self.generator = generator(config.noise_size, config.generator_width, config.size)
        self.discriminator = discriminator(config.discriminator_width, config.size)
        for network in (self.generator, self.discriminator):
            network.apply(initialised)
            network.to(self.device).to(memory_format=torch.channels_last)
        self.averaged = None
        if config.average:
            self.averaged = RunningAverage(self.generator, config.average)
        self.make_optimizers(betas=(config.beta1, 0.999))
        self.fixed_noise = self.noise(SAMPLES)
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
        real = scaled(batch[0])  # (batch, 3, size, size)
        if self.config.flip:
            mirrored = torch.rand(len(real), 1, 1, 1, device=self.device) < 0.5
            real = torch.where(mirrored, real.flip(3), real)
        rates = self.apply_settings()

        # The discriminator learns to tell real faces from generated ones.
        with self.autocast():
            with torch.no_grad():
                # (batch, 3, size, size), without a graph: this loss trains the discriminator alone.
                fake = self.generator(self.noise(len(real)))
            # In two passes, as batch norm would mix the two kinds.
            on_real, on_fake = self.discriminator(real), self.discriminator(fake)
            loss_of_discriminator = discriminator_loss(on_real, on_fake, self.config.real_label)
        self.step_discriminator(loss_of_discriminator)

        # The generator learns to make new ones that the discriminator takes for real.
        with self.autocast():
            # New noise, and with a graph: the gradient reaches the generator through the discriminator, whose weights stay as they are.
            loss_of_generator = generator_loss(self.discriminator(self.generator(self.noise(len(real)))))
        self.step_generator(loss_of_generator)

        if self.averaged:
            self.averaged.update_parameters(self.generator)
        losses = {"loss/generator": loss_of_generator, "loss/discriminator": loss_of_discriminator}
        return {**losses, **mean_probabilities(on_real, on_fake), **rates}

    def generated(self, noise: Tensor) -> Tensor:
        """Faces as bytes, as training faces are: (number, noise_size) → (number, 3, size, size)."""
        network = self.averaged or self.generator
        with self.autocast():
            # In pieces: the activations of thousands of faces would not fit.
            images = torch.cat([network(piece) for piece in noise.split(500)]).float()
        return images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)

    def features(self, pixels: Tensor) -> Tensor:
        """The judge's features of faces in bytes: the mean over the picture of each of its 96 channels, (number, 96), float32."""
        features = []
        for piece in counted("features of faces", pixels.split(250)):
            inputs = ((piece.to(self.device).float() / 255 - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
            if inputs.shape[-1] < JUDGE_SIDE:
                # Small faces would leave the judge hardly a place behind its four halvings.
                inputs = interpolate(inputs, size=(JUDGE_SIDE, JUDGE_SIDE), mode="bilinear")
            features.append(self.judge(inputs).mean((2, 3)))
        return torch.cat(features)

    def evaluate(self, split: str) -> Iterator[Event]:
        """The Fréchet distance between 2,000 generated faces and up to 2,000 real ones that no training saw; lower is better.

        Both are seen by MobileNetV2, trained on ImageNet, see `FrechetJudge`: the means over the picture of the 96 channels behind its 13th
        block, faces enlarged to 64x64.

        `nearest_distance` tells memorising: the median of the distance, in the same 96 numbers, from a generated face to its nearest
        training face; `nearest_distance/real` from a held-out face. Generated ones far below held-out ones are copies.
        """
        judge = self.frechet
        features = self.features(self.generated(judge.noise[split]))
        yield Scalars(
            values={
                **judge.scores(split, features),
                "nearest_distance": float(judge.nearest(features[:COMPARED])[0].median()),
                "nearest_distance/real": float(judge.nearest(judge.real[split][:COMPARED])[0].median()),
            }
        )

    def sample(self, request: Any) -> Iterator[Event]:
        """Sixteen faces, always of the same noise; eight of them beside their nearest training face; the walk between the first two."""
        noise = self.fixed_noise
        if request.seed:
            noise = self.seeded_noise(SAMPLES, torch.Generator().manual_seed(request.seed))
        images = self.generated(noise)
        yield pictures("faces", images.float() / 255, columns=8)
        yield self.pairs(images[:PAIRS])
        share = torch.linspace(0, 1, request.walk_steps, device=self.device)[:, None]
        walk = self.generated(noise[:1] * (1 - share) + noise[1:2] * share)
        yield pictures("walk", walk.float() / 255, columns=request.walk_steps)

    def pairs(self, images: Tensor) -> Images:
        """Each generated face, and right of it the training face that the judge finds nearest, with its distance."""
        distances, places = self.frechet.nearest(self.features(images))
        both = torch.stack((images, self.faces[places]), 1).flatten(0, 1)
        captions = [text for distance in distances.tolist() for text in ("drawn", f"at {distance:.2f}")]
        return pictures("nearest", both.float() / 255, captions, columns=8)

    def predict(self, inputs: Any) -> Any:
        """`{"numbers": [100 numbers of noise]}` to `{"answer": a face, a PNG in base64}`."""
        return answered(self.serving().coding, inputs, lambda noise: self.generated(noise.to(self.device)).float() / 127.5 - 1)

    def serving(self) -> Serving:
        size = self.config.noise_size
        return Serving(
            Coding(Numbers(shape=[size]), Drawn(low=-1, high=1)),
            graph=self.averaged.module if self.averaged else self.generator,
            examples=lambda count: sent_noise(count, size),
        )


def scaled(pixels: Tensor) -> Tensor:
    """Bytes as numbers in [-1, 1], which is what the generator's tanh reaches."""
    return pixels.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def discriminator(width: int, size: int) -> nn.Sequential:
    """Convolutions that each halve the picture, down to 4x4, then one answer: (batch, 3, size, size) → (batch, 1)."""
    # Kernel 4, stride 2, padding 1: exactly half the size. No batch norm in the first layer (Radford et al. 2016).
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    while size > 8:
        # Without a bias: batch norm would subtract it again.
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        width, size = 2 * width, size // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 4 * 4, 1))


def generator(noise_size: int, width: int, size: int) -> nn.Sequential:
    """The reverse, with transposed convolutions that each double the picture: (batch, noise_size) → (batch, 3, size, size) in [-1, 1]."""
    width *= size // 8
    layers: list[nn.Module] = [nn.Linear(noise_size, width * 4 * 4), nn.Unflatten(1, (width, 4, 4))]
    while size > 8:
        layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU()]
        width, size = width // 2, size // 2
    # No batch norm in the last layer (Radford et al. 2016), which gives colours.
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def initialised(layer: nn.Module) -> None:
    """Weights of convolutions and fully connected layers from a normal distribution with deviation 0.02 (Radford et al. 2016)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
