"""Pix2pix: a U-Net draws a photograph into a label map, against a discriminator of pairs. Recipes: pix2pix-facades and -small."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from workbench.datasets import facades
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Drawn, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Event, Scalars, Table
from workbench.problems import Problem
from workbench.torchkit.adversarial import Adversarial, Moments, discriminator_loss, generator_loss, mean_probabilities
from workbench.torchkit.asked import answered
from workbench.torchkit.batches import InMemory
from workbench.torchkit.computed import Computed
from workbench.torchkit.picture_translation import (
    JITTER,
    PIECE,
    WIDEST,
    OwnMap,
    PatchDiscriminator,
    PlaceJudge,
    TranslationSettings,
    absolute,
    as_bytes,
    in_label_colours,
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
from workbench.training.project import Field, live

SHOWN = 4
"""Test pairs that are drawn in every sample."""
DRAWS = 4
"""Photographs of one label map with other noise each."""
DROPPED = 3
"""Innermost doublings with dropout, as in the paper."""
COMPARED = 32
"""Side of the label maps among which the nearest one is sought, in pixels."""

Row = list[str | float]


class Pix2Pix(Adversarial):
    """Draws a photograph into a label map; the discriminator sees both, and a pixel loss keeps the drawing near the true photograph."""

    generator: "UNet"
    discriminator: PatchDiscriminator

    datasets = (
        "facades",
        ("mobilenet-v2-weights", {"judge": "published"}),
        ("mobilenet-v2-weights:dequantised", {"judge": "dequantised"}),
    )

    class Config(TranslationSettings):
        dropout: float = Field(0.5, ge=0, lt=1)
        """Dropout probability in the generator, at drawing, too: it is the only noise that the generator has; higher varies more."""
        l1: float = live(100.0, ge=0)
        """Factor of the mean absolute difference from the true photograph; higher draws nearer to it on average, and more blurred."""
        adversarial: bool = True
        """Whether a discriminator judges the drawn photographs; without it only the pixel loss is left."""

    class Request(OwnMap):
        noise: int = Field(0, ge=0, lt=2**31)
        """Seed of the dropout that is the generator's noise; another one changes little: it learns to ignore it."""

    def build_data(self) -> None:
        """The pairs on the device, as bytes, and the judge."""
        if not self.config.adversarial and not self.config.l1:
            raise Problem("Without a discriminator and with l1 0 there is nothing to learn.", "Set l1 to 100, or adversarial to true.")
        self.variant = "" if self.config.judge == "published" else f"judge {self.config.judge}"
        self.splits = {
            part: (torch.from_numpy(pairs.labels).to(self.device), torch.from_numpy(pairs.photos).to(self.device))
            for part, pairs in facades.read(self.config.size).items()
        }
        self.judge = PlaceJudge(self.config.judge, self.device)
        # Filled when first needed: who explores a run does not wait for it.
        self.yardsticks: dict[str, tuple[Moments, float, list[Row]]] = {}

    def yardstick(self, split: str) -> tuple[Moments, float, list[Row]]:
        """The judge's moments of the true photographs, what others score against them, and figures of two answers without a network."""
        if split not in self.yardsticks:
            known, photos = self.splits["train"]
            labels, true = self.splits[split]
            real = self.judge.moments(true)
            floor = self.judge.distance(some(photos, len(true)), real)
            mean = photos.float().mean(0, keepdim=True).round().to(torch.uint8).expand(len(true), -1, -1, -1)
            simple = {"mean photograph": mean, "of the nearest map": photos[most_alike(labels, known)]}
            rows: list[Row] = [[name, absolute(drawn, true), self.judge.distance(drawn, real)] for name, drawn in simple.items()]
            self.yardsticks[split] = real, floor, rows
        return self.yardsticks[split]

    def build_model(self) -> None:
        config = self.config
        self.generator = UNet(config.generator_width, config.size, config.dropout)
        # It sees six channels: the label map and a photograph.
        self.discriminator = PatchDiscriminator(6, config.discriminator_width, config.halvings)
        for network in (self.generator, self.discriminator):
            network.apply(initialised)
            network.to(self.device)
        self.make_optimizers(betas=(config.beta1, 0.999))

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        labels, photos = (scaled(part[: self.train.batch_size]) for part in self.splits["train"])
        return {"generator": (labels,), "discriminator": (labels, photos)}

    def summary(self) -> Iterator[Event]:
        """The networks, and what one answer of the discriminator sees."""
        yield from super().summary()
        yield patch_table(self.discriminator, self.config.halvings, self.config.size)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[Any]:
        return InMemory(self.splits["train"], self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        config = self.config
        # One behind the other along the channels, so that both halves are shifted and mirrored alike.
        pairs = jittered(torch.cat([scaled(part) for part in batch], 1), config.size // JITTER)
        labels, photos = pairs.split(3, 1)  # (batch, 3, size, size) each, in [-1, 1]
        losses: dict[str, Any] = self.apply_settings()
        with self.autocast():
            drawn = self.generator(labels)

        # The discriminator learns to tell pairs with a true photograph from pairs with a drawn one.
        if config.adversarial:
            with self.autocast():
                # Without the generator's graph: this loss trains the discriminator alone.
                on_real, on_drawn = self.discriminator(labels, photos), self.discriminator(labels, drawn.detach())
                # Halved, as in the paper: the discriminator learns more slowly than the generator.
                loss_of_discriminator = discriminator_loss(on_real, on_drawn, 1.0) / 2
            self.step_discriminator(loss_of_discriminator)
            losses |= {"loss/discriminator": loss_of_discriminator, **mean_probabilities(on_real, on_drawn)}

        # The generator learns to make pairs that pass for true, and to stay near the true photograph.
        with self.autocast():
            l1 = (drawn - photos).abs().mean()
            total = config.l1 * l1
            if config.adversarial:
                loss_of_generator = generator_loss(self.discriminator(labels, drawn))
                losses["loss/generator"] = loss_of_generator
                total = total + loss_of_generator
        self.step_generator(total)
        return {"l1": l1, **losses}

    def drawn(self, labels: Tensor, seed: int = 0) -> Tensor:
        """Photographs for label maps, both in bytes, (number, 3, size, size), with the noise of this seed."""
        with noisy(self.generator, seed, self.device), self.autocast():
            return torch.cat([as_bytes(self.generator(scaled(piece))) for piece in labels.split(PIECE)])

    def evaluate(self, split: str) -> Iterator[Event]:
        """Mean absolute difference from the true photographs, in [0, 2], and the Fréchet distance, see `PlaceJudge`; lower is better.

        `frechet_distance/real` is what as many true photographs of the training set score: no generator is expected below.
        """
        labels, photos = self.splits[split]
        drawn = self.drawn(labels)
        real, floor, simple = self.yardstick(split)
        l1, distance = absolute(drawn, photos), self.judge.distance(drawn, real)
        yield Scalars(values={"l1": l1, "frechet_distance": distance, "frechet_distance/real": floor})
        rows: list[Row] = [["this network", l1, distance], *simple, ["true ones, others", "–", floor]]
        yield Table(tag="compared", columns=["photographs", "L1", "Fréchet"], rows=rows)

    def sample(self, request: Any) -> Iterator[Event]:
        """The label map that is asked for and its photograph; fixed test pairs; one map with other noise; what the map's colours say."""
        labels, photos = self.splits["test"]
        if request.source == "test":
            place = numbered(request, len(labels))
            asked, true = labels[place], [photos[place]]
        else:
            asked, true = own_map(request, self.config.size).to(self.device), []
        classes, _ = nearest_label(asked)
        if request.source == "picture":
            # The generator knows these twelve colours alone.
            asked = in_label_colours(classes)
        shown = torch.cat([asked, self.drawn(asked, request.noise), *true])
        yield pictures("asked", shown.float() / 255, ["labels", "drawn", "true"][: len(shown)], columns=len(shown))
        several = torch.cat([self.drawn(asked, request.noise + draw) for draw in range(DRAWS)])
        change = several.float().std(0, correction=0).mean()
        yield pictures("other noise", several.float() / 255, [f"±{float(change):.1f}"] + [""] * (DRAWS - 1), columns=DRAWS)
        shares = one_hot(classes, len(facades.COLOURS)).float().mean((0, 1, 2)).tolist()
        named = zip(facades.COLOURS, shares, strict=True)
        rows: list[Row] = [[number, name, round(100 * share, 1)] for number, (name, share) in enumerate(named, 1)]
        yield Table(tag="labels", columns=["number", "label", "% of the map"], rows=rows)
        few = labels[:SHOWN]
        yield pictures("labels, drawn, true", side_by_side((few, self.drawn(few), photos[:SHOWN])), columns=2)

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a label map as a PNG in base64, or its numbers, to `{"answer": a photograph, a PNG}`, without noise."""
        return answered(self.serving().coding, inputs, lambda labels: self.graph()(labels.to(self.device)))

    def graph(self) -> Computed:
        """The generator for label maps in [0, 1], without its noise: the same answer every time."""
        return Computed(lambda labels: self.generator(labels * 2 - 1), generator=self.generator)

    def serving(self) -> Serving:
        size = self.config.size
        return Serving(
            Coding(Picture(shape=(3, size, size)), Drawn(low=-1, high=1)),
            graph=self.graph(),
            examples=lambda count: sent_pictures(self.splits["test"][0][:count].cpu().numpy() / np.float32(255)),
        )


class UNet(nn.Module):
    """Halves a picture down to 2x2 and doubles it again: (batch, 3, size, size) → the same, in [-1, 1] (Ronneberger et al. 2015).

    Each doubling but the first also gets what the halving of its size made, a skip connection: places need not pass through the 2x2.
    """

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        depth = size.bit_length() - 2  # 64 = 2⁶ is halved five times
        widths = [3, *(width * min(2**place, WIDEST) for place in range(depth))]
        self.halvings, self.doublings = nn.ModuleList(), nn.ModuleList()
        for place in range(depth):
            normed = 0 < place < depth - 1
            # Without a bias before a norm, which would subtract it again.
            layers: list[nn.Module] = [nn.Conv2d(widths[place], widths[place + 1], 4, 2, 1, bias=not normed)]
            if normed:
                layers.append(nn.InstanceNorm2d(widths[place + 1], affine=True))
            self.halvings.append(nn.Sequential(*layers, nn.LeakyReLU(0.2)))
        for place in reversed(range(1, depth)):
            inputs = widths[place + 1] * (1 if place == depth - 1 else 2)
            layers = [nn.ConvTranspose2d(inputs, widths[place], 4, 2, 1, bias=False), nn.InstanceNorm2d(widths[place], affine=True)]
            if place >= depth - DROPPED:
                layers.append(nn.Dropout(dropout))
            self.doublings.append(nn.Sequential(*layers, nn.ReLU()))
        self.last = nn.Sequential(nn.ConvTranspose2d(2 * width, 3, 4, 2, 1), nn.Tanh())

    def forward(self, picture: Tensor) -> Tensor:
        halved = []
        for halving in self.halvings:
            picture = halving(picture)
            halved.append(picture)
        picture = halved.pop()
        for doubling in self.doublings:
            picture = torch.cat((doubling(picture), halved.pop()), 1)
        drawn: Tensor = self.last(picture)
        return drawn


@contextlib.contextmanager
def noisy(network: nn.Module, seed: int, device: torch.device) -> Iterator[None]:
    """Dropout stays on, with draws of its own: in this GAN it is the noise that a photograph is drawn from."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    modes = [layer.training for layer in layers]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            for layer in layers:
                layer.train()
            yield
        finally:
            for layer, mode in zip(layers, modes, strict=True):
                layer.train(mode)


def most_alike(labels: Tensor, known: Tensor) -> Tensor:
    """Which of the known label maps has the same label in the most places, for each of the others: (number,)."""
    step = max(1, labels.shape[-1] // COMPARED)
    places = []
    for maps in (labels, known):
        classes, _ = nearest_label(maps[..., ::step, ::step].contiguous())
        places.append(one_hot(classes.flatten(1), len(facades.COLOURS)).float().flatten(1))
    return (places[0] @ places[1].T).argmax(1)
