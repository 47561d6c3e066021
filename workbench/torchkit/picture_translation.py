"""What lessons share that turn pictures into pictures: a discriminator of patches, a judge of few pictures, and label maps of your own."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn.functional import pad

from workbench.datasets.facades import COLOURS, painted
from workbench.datasets.pictures import decode_picture
from workbench.datasets.store.fetch import fetch
from workbench.events import Table
from workbench.preparation import counted
from workbench.problems import Problem
from workbench.torchkit.adversarial import Moments, frechet_distance, moments
from workbench.torchkit.optimization import LearningRate, step_size
from workbench.torchkit.pretrained import DEVIATION, MEAN, frozen
from workbench.training.project import Field, Matrix, Project, only

PIECE = 50
"""Pictures that go through a network at once outside training."""
JITTER = 16
"""A training picture is shifted by up to a sixteenth of its width; the papers enlarge it by an eighth and crop."""
JUDGE_LAYER = 13
"""Of MobileNetV2's modules: behind it are 96 channels, each at a sixteenth of the picture's width."""
WIDEST = 8
"""A layer has so many times the channels of the first one at most, as in the papers."""
HOUSE = [
    [2, 0, 0, 100, 100],
    [10, 0, 5, 100, 10],
    [3, 10, 25, 20, 20],
    [3, 40, 25, 20, 20],
    [3, 70, 25, 20, 20],
    [3, 10, 60, 20, 20],
    [4, 40, 60, 20, 40],
    [3, 70, 60, 20, 20],
]
"""A facade with a moulding, five windows and a door, as `painted` takes it."""


class TranslationSettings(LearningRate):
    """Base of a Config: the networks' widths, their optimizer, and the judge of their pictures."""

    size: Literal[64, 128] = 64
    """Width and height of a picture in pixels; 128 shows more detail, for four times the time."""
    learning_rate: float = step_size(0.0002, "Step size of Adam, for all networks; higher learns faster and may diverge.")
    beta1: float = Field(0.5, ge=0, lt=1)
    """Decay rate of Adam's average of past gradients; higher remembers longer, and with the usual 0.9 a GAN may oscillate."""
    generator_width: int = Field(64, ge=1)
    """Channels of a generator's first layer, deeper ones having up to eight times as many; more draw finer and train slower."""
    discriminator_width: int = Field(64, ge=1)
    """Channels of a discriminator's first layer, deeper ones having up to eight times as many; more make it a stronger opponent."""
    halvings: int = Field(3, ge=1, le=4)
    """Layers of stride 2 in a discriminator; more let each of its answers see a larger patch: 2 see 34 pixels, 3 see 70."""
    judge: Literal["published", "dequantised"] = "published"
    """Weights of MobileNetV2, which measures the pictures: published, torchvision's; dequantised, their stand-in out of 8-bit ones."""


class OwnMap(Project.Request):
    """Base of a Request: which picture is translated."""

    source: Literal["test", "rectangles", "picture"] = "test"
    """What is translated: a test picture; a label map of your own, made of rectangles; or a picture that you draw or open."""
    number: int = only(1, when={"source": "test"}, ge=1, le=1000, step=1)
    """Which of the test pictures, counted from 1."""
    rectangles: Annotated[list[list[float]], Matrix((1, 12), 5, 0, 100, 5)] = only(HOUSE, when={"source": "rectangles"})
    """A row for each rectangle of your label map: its label, then left, top, width and height in percent; later rows lie on top, a width
    of 0 leaves one out. Labels: 1 background, 2 facade, 3 window, 4 door, 5 cornice, 6 sill, 7 balcony, 8 blind, 9 decoration,
    10 moulding, 11 pillar, 12 shop."""
    picture: str = only("", when={"source": "picture"}, picture=True)
    """Your own picture: its middle square is taken."""


def own_map(request: OwnMap, size: int) -> Tensor:
    """The label map of the rectangles, or the picture that was opened, (1, 3, size, size) bytes on the CPU."""
    if request.source == "rectangles":
        return torch.from_numpy(painted(request.rectangles, size))[None]
    if not request.picture:
        raise Problem("picture is empty.", "Draw with the mouse, or open a picture on the pad.", "data")
    square = ImageOps.fit(decode_picture(request.picture), (size, size), Image.Resampling.BOX)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].contiguous()


def numbered(request: OwnMap, count: int) -> slice:
    """The place of the test picture that is asked for. Raises Problem where there is none."""
    if request.number > count:
        raise Problem(f"number is {request.number}, but there are {count} test pictures.", "", "data")
    return slice(request.number - 1, request.number)


# -- label maps -----------------------------------------------------------------------------------------------------------------------


def nearest_label(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The label, from 0, of the nearest colour, and its distance: (number, 3, height, width) bytes → (number, height, width) each."""
    colours = torch.tensor(list(COLOURS.values()), dtype=torch.float32, device=pixels.device)
    pieces = [torch.cdist(piece.float().flatten(2).transpose(1, 2), colours).min(2) for piece in pixels.split(PIECE)]
    shape = (len(pixels), *pixels.shape[2:])
    return torch.cat([piece[1] for piece in pieces]).view(shape), torch.cat([piece[0] for piece in pieces]).view(shape)


def in_label_colours(labels: Tensor) -> Tensor:
    """Labels from 0 as colours: (number, height, width) → (number, 3, height, width) bytes."""
    colours = torch.tensor(list(COLOURS.values()), dtype=torch.uint8, device=labels.device)
    return colours[labels].permute(0, 3, 1, 2).contiguous()


# -- pictures -------------------------------------------------------------------------------------------------------------------------


def scaled(pixels: Tensor) -> Tensor:
    """Bytes as numbers in [-1, 1], which is what a generator's tanh reaches."""
    return pixels.float().div(127.5).sub(1)


def as_bytes(pictures: Tensor) -> Tensor:
    """The reverse."""
    return pictures.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def absolute(drawn: Tensor, true: Tensor) -> float:
    """Mean absolute difference of pictures in bytes, in the units of [-1, 1] that training has."""
    return float((drawn.float() - true.float()).abs().mean() / 127.5)


def jittered(pictures: Tensor, margin: int) -> Tensor:
    """(batch, channels, size, size) → the same, each shifted by up to `margin` pixels each way, and half of them mirrored, at random.

    All channels of a picture alike: a pair, one behind the other along the channels, stays a pair. What comes in is mirrored at the edge.
    """
    number, _, size, _ = pictures.shape
    device = pictures.device
    framed = pad(pictures, [margin] * 4, mode="reflect")
    steps = torch.arange(size, device=device)
    down, across = torch.randint(0, 2 * margin + 1, (2, number, 1), device=device)
    mirrored = torch.rand(number, 1, device=device) < 0.5
    rows, columns = steps + down, torch.where(mirrored, steps.flip(0), steps) + across  # (batch, size) each
    places = torch.arange(number, device=device)[:, None, None]
    return framed[places, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


# -- networks -------------------------------------------------------------------------------------------------------------------------


def initialised(layer: nn.Module) -> None:
    """Weights of convolutions from a normal distribution with deviation 0.02, as in both papers; biases 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class PatchDiscriminator(nn.Module):
    """Answers for every patch whether it is real: `halvings` layers of stride 2 and two of stride 1, all 4x4 (Isola et al. 2017).

    Pictures (batch, channels, size, size), several of them one behind the other along the channels → (batch, 1, map, map) logits.
    Instance norm in the place of batch norm: with one picture in a batch they are the same, and no answer depends on other pictures.
    """

    def __init__(self, channels: int, width: int, halvings: int) -> None:
        super().__init__()
        widths = [width * min(2**place, WIDEST) for place in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for place, (before, after) in enumerate(pairwise(widths), 1):
            stride = 2 if place < halvings else 1
            # Without a bias: the norm would subtract it again.
            layers += [nn.Conv2d(before, after, 4, stride, 1, bias=False), nn.InstanceNorm2d(after, affine=True), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, *pictures: Tensor) -> Tensor:
        answers: Tensor = self.layers(torch.cat(pictures, 1))
        return answers


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """Its convolutions in their order."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def receptive_field(network: nn.Module) -> int:
    """Side of the square of pixels that one answer comes from, counted from the last convolution back: r → (r − 1) · stride + kernel."""
    side = 1
    for layer in reversed(convolutions(network)):
        side = (side - 1) * layer.stride[0] + layer.kernel_size[0]
    return side


def map_side(network: nn.Module, size: int) -> int:
    """Side of its map of answers for pictures of a size: w → ⌊(w + 2 padding − kernel) / stride⌋ + 1 for each convolution."""
    for layer in convolutions(network):
        size = (size + 2 * int(layer.padding[0]) - layer.kernel_size[0]) // layer.stride[0] + 1
    return size


def patch_table(network: PatchDiscriminator, halvings: int, size: int) -> Table:
    """What one answer of the discriminator sees, and how many answers there are, beside those of pix2pix at 256 and 128 pixels."""
    paper = PatchDiscriminator(1, 1, 3)
    rows: list[list[str | float]] = []
    for name, kind, layers, side in (
        ("this one", network, halvings, size),
        ("pix2pix", paper, 3, 256),
        ("at 128 pixels", paper, 3, 128),
        ("with 2 halvings", PatchDiscriminator(1, 1, 2), 2, 128),
    ):
        places = map_side(kind, side)
        rows.append([name, layers, side, receptive_field(kind), f"{places}x{places}"])
    return Table(tag="patches", columns=["discriminator", "halvings", "picture", "patch", "answers"], rows=rows)


# -- the judge ------------------------------------------------------------------------------------------------------------------------


class PlaceJudge:
    """Measures how far drawn pictures are from real ones by the Fréchet distance between features at every place of both.

    The features are 96 channels of a frozen MobileNetV2, trained on ImageNet. A hundred pictures are too few for the covariance of 96
    numbers, so each of their places is an example of its own: 16 in 64 pixels. It ranks runs on the same data, and is no FID of the
    literature, which has another network, and one example for each picture.
    """

    def __init__(self, weights: str, device: torch.device) -> None:
        """`weights`: published or dequantised."""
        path = fetch("mobilenet-v2-weights", "" if weights == "published" else weights)["weights"]
        network = frozen("mobilenet_v2", path, JUDGE_LAYER)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.mean, self.deviation = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, DEVIATION))

    @torch.no_grad()
    def moments(self, pixels: Tensor) -> Moments:
        """Mean and covariance of the features of pictures in bytes, (number, 3, size, size)."""
        features = []
        for piece in counted("features of pictures", pixels.split(PIECE)):
            inputs = ((piece.float() / 255 - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
            features.append(self.network(inputs).permute(0, 2, 3, 1).flatten(0, 2))
        return moments(torch.cat(features))

    def distance(self, drawn: Tensor, real: Moments) -> float:
        """From drawn pictures in bytes to real ones; lower is better."""
        return frechet_distance(self.moments(drawn), real)


def some(pictures: Tensor, count: int) -> Tensor:
    """So many of the pictures, always the same: for the distance from real ones to real ones, below which no generator is expected."""
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))[:count]
    return pictures[order.to(pictures.device)]


def side_by_side(pictures: Sequence[Tensor]) -> Any:
    """Pictures of equal numbers in bytes, each row of them one tile, in [0, 1]: they stay together however many fit into a row."""
    return torch.cat(list(pictures), 3).float() / 255
