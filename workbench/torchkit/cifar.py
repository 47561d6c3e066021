"""What lessons on CIFAR-10 share: one split, as bytes on the device; one permutation of the pixels; and what is measured and shown.

The network and the training step stand in the lesson's own file.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from workbench.datasets import cifar
from workbench.datasets.cifar import SIDE
from workbench.datasets.store.catalog import find
from workbench.datasets.store.stored import named
from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Classes, Picture
from workbench.encoding.serving import Serving, sent_pictures
from workbench.events import Curve, Event, Matrix, Scalars, Table
from workbench.problems import Problem
from workbench.torchkit.asked import answered
from workbench.torchkit.classification import Predictions
from workbench.torchkit.computed import Computed
from workbench.torchkit.disk_cache import cached
from workbench.torchkit.project import TorchProject
from workbench.training.figures import pictures
from workbench.training.project import Field, Settings

PIECE = 1000
"""Pictures that go through the network at once outside training."""
SHAPE = (3, SIDE, SIDE)
COLOURS = ("red", "green", "blue")
WINDOW = 8
"""Rows and columns of a picture whose values are shown as numbers."""
SHOWN = 64
"""Validation pictures that one can choose from."""
VERSIONS = 8
"""Augmented versions of a picture in a row."""
FILTERS = 32
"""Filters of the first layer that are shown."""
FILTER_SIDE = 9
"""Pixels to which small filters are enlarged, in whole multiples."""
FARTHEST = 6
"""Most pixels by which pictures are moved to see what it costs."""
MOVED = 4
"""Pixels of the movement whose cost is a figure."""
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
PERMUTED_BY = 0
"""Seed of the one permutation: the same in all runs, so that they can be compared."""


class CifarSettings(Settings):
    """Base of a Config: which pictures there are, and in which order the network gets their pixels."""

    data: Literal["cifar10", "cifar10:jpeg"] = "cifar10:jpeg"
    """Pictures: cifar10, the data set itself, fetched from its publisher; cifar10:jpeg, its copy with lossy compression, from a mirror."""
    held_out: float = Field(cifar.HELD_OUT, ge=0.01, le=0.9)
    """Share of the 50,000 training pictures that is held out to validate; more measures better, and leaves fewer to train on."""
    per_class: int = Field(0, ge=0)
    """Training pictures of each class, the first ones; 0 takes all. Fewer are learnt sooner, and overfit more."""
    permute_pixels: bool = False
    """Puts the pixels of every picture in another order, the same for all: what lies side by side no longer belongs together."""
    moved: int = Field(0, ge=0, le=10_000)
    """Pictures of an evaluation that are also moved by 1 to 6 pixels, to see what that costs; each takes 24 more passes. 0: none."""


class CifarClassifier(TorchProject):
    """Base of the lessons: `build_model` makes `self.network`, (batch, 3, 32, 32) → (batch, 10). Its Config inherits `CifarSettings`."""

    takes = "picture"
    network: nn.Module

    class Request(TorchProject.Request):
        """A validation picture, its values, and what the network says."""

        picture: int = Field(0, ge=0, le=SHOWN - 1)
        """Which of the first validation pictures is shown."""
        channel: Literal["red", "green", "blue"] = "red"
        """Colour whose values stand in the matrix."""
        row: int = Field(12, ge=0, le=SIDE - WINDOW)
        """First row of the pixels in the matrix; higher looks further down."""
        column: int = Field(12, ge=0, le=SIDE - WINDOW)
        """First column of the pixels in the matrix; higher looks further right."""

    def build_data(self) -> None:
        config = self.config
        data = cifar.read(config.data, config.held_out, config.per_class, cached)
        self.classes = data.classes
        about = find(*named(config.data))
        self.variant = f"{about.title} in place of {about.stand_in_for}" if about.stand_in_for else ""
        # Bytes, (number, 3, 32, 32), and (number,): a quarter of the memory of floats.
        self.splits = {
            name: (torch.from_numpy(part.images).to(self.device), torch.from_numpy(part.labels).to(self.device))
            for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test))
        }
        order = np.random.default_rng(PERMUTED_BY).permutation(SIDE * SIDE)
        self.order = torch.from_numpy(order).to(self.device) if config.permute_pixels else None

    # -- what a network gets -------------------------------------------------------------------------------------------------------

    def scaled(self, pixels: Tensor) -> Tensor:
        """[0, 1] → [-1, 1], by a mean and a standard deviation of 0.5, as in the course."""
        return (pixels - 0.5) / 0.5

    def inputs(self, pixels: Tensor) -> Tensor:
        """Pictures as bytes, or in [0, 1], as the network gets them: scaled, and permuted where the lesson says so."""
        scaled = self.scaled(unit(pixels))
        if self.order is not None:
            # The same places for all three colours of a pixel.
            scaled = scaled.flatten(2).index_select(2, self.order).view_as(scaled)
        return scaled.contiguous(memory_format=torch.channels_last)

    def augmented(self, pixels: Tensor) -> Tensor:
        """Pictures in [0, 1] as training changes them at random; a lesson that augments says how."""
        return pixels

    def measured_network(self) -> nn.Module:
        """The network that is measured and asked: a lesson that averages its weights names the average."""
        return self.network

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        return {"network": (self.inputs(self.splits["train"][0][: self.train.batch_size]),)}

    def logits(self, pixels: Tensor) -> Tensor:
        """Pictures as bytes or in [0, 1], (number, 3, 32, 32) → (number, 10), float32."""
        network = self.measured_network()
        with self.autocast():
            return torch.cat([network(self.inputs(piece)) for piece in pixels.split(PIECE)]).float()

    # -- what is measured ----------------------------------------------------------------------------------------------------------

    def summary(self) -> Iterator[Event]:
        """The table of the layers, and what a picture costs."""
        yield from super().summary()
        with FlopCounterMode(display=False) as counter:
            self.network(self.inputs(self.splits["train"][0][:1]))
        numbers = {
            "parameters": sum(weight.numel() for weight in self.network.parameters()),
            # A multiplication and an addition are two operations.
            "multiply-adds of a picture": counter.get_total_flops() // 2,
        }
        yield Table(tag="cost", columns=["what", "number"], rows=[[what, number] for what, number in numbers.items()])

    def evaluate(self, split: str) -> Iterator[Event]:
        pixels, labels = self.splits[split]
        logits = self.logits(pixels)
        predictions = Predictions(labels, logits.softmax(1), self.classes)
        yield Scalars(values={"loss": float(F.cross_entropy(logits, labels)), "accuracy": predictions.accuracy})
        yield from predictions.tables()
        chosen, cells = predictions.examples(most=200)
        yield pictures("confusion/examples", unit(pixels[chosen]), predictions.captions(chosen), columns=16, cells=cells)
        if self.config.moved:
            yield from self.moved(pixels[: self.config.moved], labels[: self.config.moved])

    def moved(self, pixels: Tensor, labels: Tensor) -> Iterator[Event]:
        """Accuracy on pictures moved by 0 to 6 pixels, the mean of four directions; the figure `moved_drop` is what 4 pixels cost."""
        accuracies = []
        for distance in range(FARTHEST + 1):
            ways = [shifted(pixels, down * distance, across * distance) for down, across in DIRECTIONS[: 4 if distance else 1]]
            right = torch.stack([self.logits(way).argmax(1) == labels for way in ways])
            accuracies.append(float(right.float().mean()))
        yield Scalars(values={"moved_drop": accuracies[0] - accuracies[MOVED]})
        distances = [float(distance) for distance in range(FARTHEST + 1)]
        yield Curve(tag="accuracy of moved pictures", x=distances, y=accuracies, labels=("pixels", "accuracy"))

    # -- what is shown -------------------------------------------------------------------------------------------------------------

    def sample(self, request: Any) -> Iterator[Event]:
        """A picture and its three colours, some of its values, what the network says, augmented versions, and the first layer's filters."""
        pixels, labels = self.splits["valid"]
        if request.picture >= len(labels):
            raise Problem(f"There are {len(labels)} validation pictures: picture is 0 to {len(labels) - 1}.", cause="data")
        one = pixels[request.picture : request.picture + 1]
        predictions = Predictions(labels[request.picture][None], self.logits(one).softmax(1), self.classes)
        yield planes(one[0], predictions.captions()[0])
        yield window(one[0], request)
        likeliest = np.argsort(-predictions.probabilities[0], kind="stable")[:5]
        rows: list[list[str | float]] = [[self.classes[label], round(float(predictions.probabilities[0, label]), 4)] for label in likeliest]
        yield Table(tag="answer", columns=["class", "probability"], rows=rows)
        versions = self.augmented(unit(one).expand(VERSIONS, -1, -1, -1))
        if not torch.equal(versions, unit(one).expand_as(versions)):
            yield pictures("augmented", versions)
        yield pictures("first layer", filters(self.network))

    def form(self) -> dict[str, Any]:
        return {"shape": SHAPE}

    def predict(self, inputs: Any) -> Any:
        """`{"picture": "…"}`, a PNG or JPEG in base64: its middle at 32x32. Returns `{"answer", "probabilities", "seen", "note"}`."""
        return answered(self.serving().coding, inputs, lambda pixels: self.logits(pixels.to(self.device)))

    def serving(self) -> Serving:
        network = self.measured_network()
        pixels, labels = self.splits["test"]
        return Serving(
            Coding(Picture(shape=SHAPE), Classes(), self.classes),
            graph=Computed(lambda pixels: network(self.inputs(pixels)), network=network),
            examples=lambda count: sent_pictures(unit(pixels[:count]).cpu().numpy()),
            truths=lambda count: [self.classes[label] for label in labels[:count].tolist()],
        )


def unit(pixels: Tensor) -> Tensor:
    """Bytes as numbers in [0, 1]; others as they are."""
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


def shifted(pixels: Tensor, down: int, across: int) -> Tensor:
    """Pictures, (…, height, width), moved by so many pixels; what comes in repeats the row or the column at the edge."""
    height, width = pixels.shape[-2:]
    rows = (torch.arange(height, device=pixels.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=pixels.device) - across).clamp(0, width - 1)
    return pixels.index_select(-2, rows).index_select(-1, columns)


def planes(picture: Tensor, caption: str) -> Event:
    """A picture in bytes, (3, height, width), and beside it each of its colours alone, with its mean."""
    alone = torch.eye(3, device=picture.device)[:, :, None, None] * unit(picture)
    means = [f"{name}, mean {mean:.0f}" for name, mean in zip(COLOURS, picture.float().mean((1, 2)).tolist(), strict=True)]
    return pictures("colours", torch.cat([unit(picture)[None], alone]), [caption, *means], columns=4)


def window(picture: Tensor, request: Any) -> Matrix:
    """Some rows and columns of one colour of a picture in bytes, as its numbers from 0 to 255."""
    rows, columns = (range(start, start + WINDOW) for start in (request.row, request.column))
    part = picture[COLOURS.index(request.channel), rows.start : rows.stop, columns.start : columns.stop]
    # With names of their own: equal ones on both sides would make it a confusion matrix.
    names = [f"y{row}" for row in rows], [f"x{column}" for column in columns]
    return Matrix(tag="values", values=part.float().tolist(), rows=names[0], columns=names[1])


def filters(network: nn.Module) -> Tensor:
    """The first layer's filters as pictures, (number, 3, height, width): each from its lowest weight, 0, to its highest, 1."""
    weights = next(weight.detach() for weight in network.parameters() if weight.dim() > 1)[:FILTERS]
    low, high = weights.flatten(1).amin(1)[:, None], weights.flatten(1).amax(1)[:, None]
    # A fully connected layer has a weight for each colour of each pixel: its filters are as large as pictures.
    side = weights.shape[2:] if weights.dim() == 4 else (SIDE, SIDE)
    shown = ((weights.flatten(1) - low) / (high - low).clamp(min=1e-12)).view(len(weights), 3, *side)
    # A filter of 2x2 pixels would be a dot on the screen.
    larger = max(1, FILTER_SIDE // shown.shape[-1])
    return shown.repeat_interleave(larger, 2).repeat_interleave(larger, 3)
