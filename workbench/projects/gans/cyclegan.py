"""CycleGAN: two generators translate between two sets of pictures that are no pairs. Recipes: cyclegan-facades, cyclegan-yosemite."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.datasets import unpaired
from workbench.datasets.facades import COLOURS, TOLERANCE
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Drawn, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Event, Scalars, Table
from workbench.problems import Problem
from workbench.torchkit.adversarial import Adversarial, Moments
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory, sent
from workbench.torchkit.computed import Computed
from workbench.torchkit.own_pictures import OwnPictures
from workbench.torchkit.picture_translation import (
    JITTER,
    PIECE,
    OwnMap,
    PatchDiscriminator,
    PlaceJudge,
    TranslationSettings,
    absolute,
    as_bytes,
    initialised,
    jittered,
    nearest_label,
    numbered,
    own_map,
    patch_table,
    scaled,
    side_by_side,
    some,
)
from workbench.training.figures import pictures
from workbench.training.project import Field, OwnUnlabelled, live

SHOWN = 4
"""Test pictures of each set that are translated and back in every sample."""
NOISE = 0.1
"""Standard deviation of the noise that is added to a translated picture, in [-1, 1], before it is translated back: 13 of 255 levels."""

Row = list[str | float]


class CycleGan(Adversarial):
    """Two generators, X to Y and Y to X, each against a discriminator of its own; a picture that goes there and back must come home."""

    generator: "Translators"
    discriminator: "Discriminators"

    datasets = (
        ("mobilenet-v2-weights", {"judge": "published"}),
        ("mobilenet-v2-weights:dequantised", {"judge": "dequantised"}),
    )

    class Config(TranslationSettings, OwnPictures):
        data: Literal["yosemite", "facades"] | OwnUnlabelled = "yosemite"
        """Two sets of pictures, X and Y: summer and winter; photographs and label maps of facades; or your folder, with trainA, trainB,
        testA and testB in it."""
        residual_blocks: int = Field(6, ge=0, le=16)
        """Blocks between a generator's halvings and doublings; more translate larger parts of a picture as a whole, and train slower."""
        cycle_weight: float = live(10.0, ge=0)
        """Factor of both cycle losses; higher keeps more of each picture, and changes less of it."""

    class Request(OwnMap):
        direction: Literal["X to Y", "Y to X"] = "X to Y"
        """Which generator comes first; the other one leads back."""
        noise: float = Field(0.0, ge=0, le=0.5, json_schema_extra={"step": 0.05})
        """Standard deviation of noise that is added between the two generators; what a generator hides in faint patterns gets lost."""

    def build_data(self) -> None:
        """Both sets on the device, as bytes, and the judge."""
        config = self.config
        data = unpaired.read(config.data, config.size, config.background)
        variant = "" if config.judge == "published" else f"judge {config.judge}"
        self.variant = ", ".join(filter(None, (data.variant, variant)))
        self.names, self.paired = data.names, data.paired
        self.splits = {
            part: tuple(torch.from_numpy(images).to(self.device) for images in two)
            for part, two in (("train", data.train), ("valid", data.valid), ("test", data.test))
        }
        self.judge = PlaceJudge(config.judge, self.device)
        # Filled when first needed: who explores a run does not wait for it.
        self.yardsticks: dict[str, list[tuple[Moments, float]]] = {}
        if self.paired:
            classes, _ = nearest_label(self.splits["train"][1])
            self.commonest = int(classes.flatten().bincount(minlength=len(COLOURS)).argmax())

    def yardstick(self, split: str) -> list[tuple[Moments, float]]:
        """Of X and of Y, the judge's moments of the true pictures, and what as many others score against them."""
        if split not in self.yardsticks:
            both = zip(self.splits["train"], self.splits[split], strict=True)
            moments = [(known, len(true), self.judge.moments(true)) for known, true in both]
            self.yardsticks[split] = [(real, self.judge.distance(some(known, count), real)) for known, count, real in moments]
        return self.yardsticks[split]

    def build_model(self) -> None:
        config = self.config
        self.generator = Translators(config.generator_width, config.residual_blocks)
        self.discriminator = Discriminators(config.discriminator_width, config.halvings)
        for network in (self.generator, self.discriminator):
            network.apply(initialised)
            network.to(self.device)
        self.make_optimizers(betas=(config.beta1, 0.999))

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        x, y = (scaled(images[: self.train.batch_size]) for images in self.splits["train"])
        return {"generator": (x, y), "discriminator": (x, y)}

    def summary(self) -> Iterator[Event]:
        """The networks, and what one answer of a discriminator sees."""
        yield from super().summary()
        yield patch_table(self.discriminator.x, self.config.halvings, self.config.size)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        # Each set in an order of its own, as many of each as the smaller one has: there are no pairs.
        count = min(len(images) for images in self.splits["train"])
        both = [images[sent(rng.permutation(len(images))[:count], self.device)] for images in self.splits["train"]]
        return InMemory(both, self.train.batch_size, None)

    def train_step(self, batch: Any) -> dict[str, Any]:
        x, y = (jittered(scaled(images), self.config.size // JITTER) for images in batch)  # (batch, 3, size, size) each, in [-1, 1]
        rates = self.apply_settings()
        with self.autocast():
            drawn_x, drawn_y, back_x, back_y = self.generator(x, y)

        # Each discriminator learns to tell true pictures of its set from translated ones.
        with self.autocast():
            on_x, on_y = self.discriminator(x, y)
            on_drawn_x, on_drawn_y = self.discriminator(drawn_x.detach(), drawn_y.detach())
            loss_x = squared(on_x, 1) + squared(on_drawn_x, 0)
            loss_y = squared(on_y, 1) + squared(on_drawn_y, 0)
            # Halved, as in the paper: the discriminators learn more slowly than the generators.
            of_discriminators = (loss_x + loss_y) / 2
        self.step_discriminator(of_discriminators)

        # The generators learn to make pictures that pass for true ones of the other set, and from which the own one comes back.
        with self.autocast():
            on_drawn_x, on_drawn_y = self.discriminator(drawn_x, drawn_y)
            to_x, to_y = squared(on_drawn_x, 1), squared(on_drawn_y, 1)
            forward, backward = (back_x - x).abs().mean(), (back_y - y).abs().mean()
            of_generators = to_x + to_y + self.config.cycle_weight * (forward + backward)
        self.step_generator(of_generators)

        discriminators = {"discriminator/x": loss_x, "discriminator/y": loss_y}
        generators = {"adversarial/to_x": to_x, "adversarial/to_y": to_y}
        return {**discriminators, **generators, "cycle/forward": forward, "cycle/backward": backward, **rates}

    # -- what is measured ----------------------------------------------------------------------------------------------------------

    def evaluate(self, split: str) -> Iterator[Event]:
        """Cycle errors in [0, 2], without and with noise in the middle; Fréchet distances, see `PlaceJudge`, with their floors.

        Of facades, where held-out pictures are pairs, what no unpaired training sees: the share of pixels that get the true label, and
        the mean absolute difference from the true photograph.
        """
        x, y = self.splits[split]
        to_y, to_x = self.generator.to_y, self.generator.to_x
        drawn_y, drawn_x = self.translated(to_y, x), self.translated(to_x, y)
        values: dict[str, float] = {}
        for name, noise in (("cycle", 0.0), ("noisy_cycle", NOISE)):
            values[f"{name}/forward"] = self.cycle_error(x, to_y, to_x, noise)
            values[f"{name}/backward"] = self.cycle_error(y, to_x, to_y, noise)
        for name, drawn, (real, floor) in zip("xy", (drawn_x, drawn_y), self.yardstick(split), strict=True):
            values |= {f"frechet_{name}": self.judge.distance(drawn, real), f"frechet_{name}/real": floor}
        if not self.paired:
            yield Scalars(values=values)
            return
        accuracy, l1 = self.label_accuracy(drawn_y, y), absolute(drawn_x, x)
        # What needs no network: the commonest label everywhere, and the mean photograph; and what changes nothing.
        constant = torch.tensor(list(COLOURS.values())[self.commonest], dtype=torch.uint8, device=self.device)
        at_random = self.label_accuracy(constant.view(1, 3, 1, 1).expand_as(y), y)
        mean = self.splits["train"][0].float().mean(0, keepdim=True).round().to(torch.uint8)
        of_mean = absolute(mean.expand_as(x), x)
        values |= {"label_accuracy": accuracy, "label_accuracy/commonest": at_random, "l1": l1, "l1/mean_photograph": of_mean}
        yield Scalars(values=values)
        cycle = (values["cycle/forward"] + values["cycle/backward"]) / 2
        rows: list[Row] = [
            ["these generators", accuracy, clear(drawn_y), l1, cycle],
            ["commonest, mean", at_random, 1.0, of_mean, "–"],
            ["nothing changed", self.label_accuracy(x, y), clear(x), absolute(y, x), 0.0],
            ["the true ones", 1.0, clear(y), 0.0, "–"],
        ]
        yield Table(tag="compared", columns=["translation", "labels right", "clear", "L1 of photos", "cycle"], rows=rows)

    def translated(self, network: nn.Module, images: Tensor) -> Tensor:
        """Bytes to bytes, (number, 3, size, size)."""
        with self.autocast():
            return torch.cat([as_bytes(network(scaled(piece))) for piece in images.split(PIECE)])

    def cycled(self, images: Tensor, there: nn.Module, back: nn.Module, noise: float) -> tuple[Tensor, Tensor]:
        """Pictures in bytes, translated, with noise, and translated back; both in [-1, 1], not rounded: 255 levels would be noise, too."""
        random = torch.Generator().manual_seed(0)
        middles, homes = [], []
        with self.autocast():
            for piece in images.split(PIECE):
                middle = there(scaled(piece)).float()
                if noise:
                    # Drawn on the CPU: a GPU would draw other numbers from the same seed.
                    middle = middle + noise * torch.randn(middle.shape, generator=random).to(self.device)
                middles.append(middle)
                homes.append(back(middle).float())
        return torch.cat(middles), torch.cat(homes)

    def cycle_error(self, images: Tensor, there: nn.Module, back: nn.Module, noise: float) -> float:
        """Mean absolute difference between pictures and what came home, in [0, 2]."""
        return float((self.cycled(images, there, back, noise)[1] - scaled(images)).abs().mean())

    @staticmethod
    def label_accuracy(drawn: Tensor, true: Tensor) -> float:
        """Share of the pixels whose nearest label colour is the true map's, where the true map is within the tolerance of a colour."""
        classes, distances = nearest_label(true)
        return float((nearest_label(drawn)[0] == classes)[distances <= TOLERANCE].float().mean())

    # -- what is shown -------------------------------------------------------------------------------------------------------------

    def sample(self, request: Any) -> Iterator[Event]:
        """What is asked for, there and back; and fixed test pictures of both sets, there and back."""
        networks = (self.generator.to_y, self.generator.to_x)
        # 0 from X to Y, 1 from Y to X.
        way = int(request.direction == "Y to X")
        true: list[Tensor] = []
        if request.source == "test":
            images, partners = self.splits["test"][way], self.splits["test"][1 - way]
            place = numbered(request, len(images))
            asked, true = images[place], [partners[place]] if self.paired else []
        else:
            if request.source == "rectangles" and not (way and self.paired):
                text = "rectangles make a label map of a facade, which is no picture of the set that is translated."
                raise Problem(text, "Set direction to Y to X, on a run of facades.", "data")
            asked = own_map(request, self.config.size).to(self.device)
        middle, home = self.cycled(asked, networks[way], networks[1 - way], request.noise)
        shown = torch.cat([asked, as_bytes(middle), as_bytes(home), *true])
        error = float((home - scaled(asked)).abs().mean())
        other = self.names[1 - way]
        captions = [self.names[way], f"as {other}", f"back ±{error:.3f}", *(f"true {other}" for _ in true)]
        yield pictures("asked", shown.float() / 255, captions, columns=len(shown))
        for tag, way in (("X → Y → X", 0), ("Y → X → Y", 1)):
            own, partners = (self.splits["test"][side][:SHOWN] for side in (way, 1 - way))
            middle, home = self.cycled(own, networks[way], networks[1 - way], 0.0)
            rows = [own, as_bytes(middle), as_bytes(home), *([partners] if self.paired else [])]
            yield pictures(tag, side_by_side(rows), columns=2)

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a picture of X as a PNG or JPEG in base64, or its numbers, to `{"answer": it as one of Y, a PNG}`."""
        return answered(self.serving().coding, inputs, lambda images: self.graph()(images.to(self.device)))

    def graph(self) -> Computed:
        """The generator from X to Y for pictures in [0, 1]."""
        network = self.generator.to_y
        return Computed(lambda images: network(images * 2 - 1), generator=network)

    def serving(self) -> Serving:
        size = self.config.size
        return Serving(
            Coding(Picture(shape=(3, size, size), background=self.config.background), Drawn(low=-1, high=1)),
            graph=self.graph(),
            examples=lambda count: sent_pictures(self.splits["test"][0][:count].cpu().numpy() / np.float32(255)),
        )


# -- the networks ---------------------------------------------------------------------------------------------------------------------


class Translators(nn.Module):
    """Both generators: pictures of X and of Y, (batch, 3, size, size) each → drawn as X, as Y, and both back home, X and Y."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.to_y, self.to_x = translator(width, blocks), translator(width, blocks)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        drawn_y, drawn_x = self.to_y(x), self.to_x(y)
        return drawn_x, drawn_y, self.to_x(drawn_y), self.to_y(drawn_x)


class Discriminators(nn.Module):
    """Both discriminators, each of five convolutions where `halvings` is 3: pictures of X and of Y → two maps of answers."""

    def __init__(self, width: int, halvings: int) -> None:
        super().__init__()
        self.x, self.y = PatchDiscriminator(3, width, halvings), PatchDiscriminator(3, width, halvings)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.x(x), self.y(y)


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to their input: (batch, channels, height, width) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = maps + self.change(maps)
        return changed


def translator(width: int, blocks: int) -> nn.Sequential:
    """The course's generator, three halvings, residual blocks and three doublings: (batch, 3, size, size) → the same, in [-1, 1].

    With instance norm, as in the paper; the course has batch norm, under which a translation depends on its batch.
    """
    layers: list[nn.Module] = []
    # Without biases: the norms would subtract them again.
    for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.InstanceNorm2d(after, affine=True), nn.ReLU()]
    layers += [Residual(4 * width) for _ in range(blocks)]
    for before, after in ((4 * width, 2 * width), (2 * width, width)):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.InstanceNorm2d(after, affine=True), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())


def clear(maps: Tensor) -> float:
    """Share of the pixels, of pictures in bytes, that lie within the tolerance of a label's colour."""
    return float((nearest_label(maps)[1] <= TOLERANCE).float().mean())


def squared(answers: Tensor, target: float) -> Tensor:
    """Mean squared difference of a discriminator's answers from a target, in the place of cross-entropy (Mao et al. 2017)."""
    return (answers - target).square().mean()
