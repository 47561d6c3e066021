"""The four cases of transfer learning side by side on the same batches: new last layer, cut early, fine-tuned, from scratch.

Recipe: four-cases.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from workbench.datasets import photos
from workbench.events import Event, Scalars, Table
from workbench.torchkit import backbone, features
from workbench.torchkit.batches import InMemory
from workbench.torchkit.optimization import ClassifierSettings
from workbench.torchkit.own_pictures import OwnPictures
from workbench.torchkit.project import TorchProject
from workbench.torchkit.summary import network_table
from workbench.training.figures import pictures
from workbench.training.project import Field, Own

CASES = ("last_layer", "cut_early", "tuned", "scratch")
"""The networks, in the order of the course's table: few pictures like those of ImageNet and unlike them, then many."""
SAMPLES = 16
"""Pictures in a sample."""


class Optimizers(dict[str, Optimizer]):
    """One for each network, saved together."""

    def state_dict(self) -> dict[str, Any]:
        return {name: optimizer.state_dict() for name, optimizer in self.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, optimizer in self.items():
            optimizer.load_state_dict(state[name])


class FourCases(TorchProject):
    """Classifies photographs with four networks, which differ in how many of ImageNet's weights they keep."""

    datasets = (
        ("mobilenet-v2-weights", {"weights": "published"}),
        ("mobilenet-v2-weights:dequantised", {"weights": "stand-in"}),
    )

    class Config(ClassifierSettings, OwnPictures):
        data: Literal["flowers102:72px", "dogs"] | Own = "flowers102:72px"
        """Data set of photographs (dogs: the project's dogImages, unpacked by you); or a folder of your own, ./pictures, with a folder for
        each class, or train/, valid/ and test/ with such folders in them."""
        per_class: int = Field(0, ge=0)
        """Training pictures of each class, drawn by the seed; 0: all. Fewer favour the cases that train little."""
        picture_size: int = Field(64, ge=32, le=1024)
        """Width and height in pixels to which the middle square of a picture is resized; higher shows more detail and takes longer."""
        network: Literal["mobilenet_v2", "resnet18", "resnet50", "squeezenet1_0"] = "mobilenet_v2"
        """Architecture of all four networks, by torchvision's name."""
        weights: Literal["published", "stand-in"] | Own = "published"
        """Weights pre-trained on ImageNet, of all but scratch: published, torchvision's, fetched once; stand-in, the catalogue's, from a
        mirror; or a file of yours with a state_dict, ./weights.pth."""
        cut: str = "features.7.conv.0"
        """Layer that cut_early ends after (layer2 of a resnet), averaged over the picture."""
        tuned_rate: float = Field(0.1, gt=0, le=1)
        """Share of the learning rate for the pre-trained layers; higher adapts them faster, and forgets more of ImageNet."""
        dropout: float = Field(0.2, ge=0, lt=1)
        """Dropout probability of the last layer's inputs in each training step; higher reduces overfitting and slows learning."""

    def build_data(self) -> None:
        config = self.config
        data = photos.read(config.data, config.picture_size, config.background)
        self.classes, self.variant = data.classes, data.variant
        self.frozen = {"last_layer": self.pretrained(config.weights), "cut_early": self.pretrained(config.weights, config.cut)}
        self.splits: dict[str, tuple[Tensor, ...]] = {}
        """Of each split (number, 3, side, side) bytes, the features of both frozen networks, and (number,) labels."""
        photographs, truths = [], []
        for number, (pixels, labels) in enumerate(data.parts):
            # The first part is the training part.
            chosen = drawn(labels, config.per_class, self.seed) if number == 0 and config.per_class else np.arange(len(labels))
            photographs.append(torch.from_numpy(np.ascontiguousarray(pixels[chosen].transpose(0, 3, 1, 2))))
            truths.append(torch.from_numpy(labels[chosen]).to(self.device))
        inputs = [self.scaled(features.of(network, photographs, config.picture_size, self.device)) for network in self.frozen.values()]
        for name, pixels, last, early, truth in zip(("train", "valid", "test"), photographs, *inputs, truths, strict=True):
            self.splits[name] = (pixels.to(self.device), last, early, truth)

    @staticmethod
    def scaled(parts: list[Tensor]) -> list[Tensor]:
        """Features (number, width) of train, valid and test, standardised by those of train.

        Early features are a tenth as large as late ones: on one scale the same learning rate suits both.
        """
        train = parts[0]
        # clamp: a feature that hardly varies is not blown up by its deviation.
        mean, deviation = train.mean(0), train.std(0).clamp(min=0.01 * float(train.std()))
        return [(values - mean) / deviation for values in parts]

    def pretrained(self, weights: str, cut: str = "") -> backbone.Backbone:
        """The network up to its last layer, frozen, on the device; with `weights` "random" it is not trained at all."""
        source = weights if weights in ("published", "stand-in", "random") else Path(weights)
        return backbone.build(self.config.network, source, cut).to(self.device)

    def build_model(self) -> None:
        config = self.config
        # Fine-tuned, batch norm keeps ImageNet's running averages; from scratch there are none yet.
        tuned, scratch = self.pretrained(config.weights), self.pretrained("random").train()
        tuned.network.requires_grad_(True)
        scratch.network.requires_grad_(True)
        _, last, early, _ = self.splits["train"]
        bodies = [(nn.Identity(), last.shape[1]), (nn.Identity(), early.shape[1]), (tuned, tuned.width), (scratch, scratch.width)]
        self.networks, self.optimizers = nn.ModuleDict(), Optimizers()
        for name, (body, width) in zip(CASES, bodies, strict=True):
            head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, len(self.classes)))
            self.networks[name] = nn.Sequential(body, head).to(self.device)
            trained = [weight for weight in body.parameters() if weight.requires_grad]
            share = config.tuned_rate if name == "tuned" else 1.0
            groups = [{"params": weights, "share": part} for weights, part in ((trained, share), (list(head.parameters()), 1.0)) if weights]
            self.optimizers[name] = config.make_optimizer(groups)
        self.seen = 0  # pictures in all training steps so far
        with self.evaluating():
            inputs = self.inputs(*(values[:1] for values in self.splits["valid"][:-1]))
            self.once = {name: multiply_adds(network, inputs["tuned"]) for name, network in self.frozen.items()}
            self.each_time = {name: multiply_adds(network, inputs[name]) for name, network in self.networks.items()}

    def summary(self) -> Iterator[Event]:
        """The layers by the names that `cut` takes, and the last layer of the fine-tuned network."""
        tuned: Any = self.networks["tuned"]
        pixels = features.resized(self.splits["valid"][0][:2], self.config.picture_size)
        table = network_table({"network": tuned[0].network, "head": tuned[1]}, {"network": (pixels,), "head": (tuned[0](pixels),)})
        if table:
            yield table

    def batches(self, epoch: int, rng: np.random.Generator) -> InMemory:
        size, split = self.train.batch_size, self.splits["train"]
        # A last batch of one picture may have no deviation for batch norm.
        return InMemory(split, size, rng, drop_last=len(split[0]) > size)

    def train_step(self, batch: Any) -> dict[str, Any]:
        # (batch, 3, side, side) bytes, (batch, width) features of both frozen networks, (batch,) labels.
        *inputs, labels = batch
        rates: dict[str, Any] = {}
        for optimizer in self.optimizers.values():
            rates |= self.config.apply(optimizer, self.progress)
            optimizer.zero_grad()
        smoothing = self.config.label_smoothing
        with self.autocast():
            losses = {name: F.cross_entropy(logits, labels, label_smoothing=smoothing) for name, logits in self.logits(*inputs).items()}
        # No two of them share a parameter: the gradient of the sum is each one's own.
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.seen += len(labels)
        return {**{f"loss/{name}": loss for name, loss in losses.items()}, **rates}

    # -- what they answer ------------------------------------------------------------------------------------------------------------

    def inputs(self, pixels: Tensor, last: Tensor, early: Tensor) -> dict[str, Tensor]:
        """What each network is given: features where the layers below are frozen, else the pictures, from bytes."""
        resized = features.resized(pixels, self.config.picture_size)
        return {"last_layer": last, "cut_early": early, "tuned": resized, "scratch": resized}

    def logits(self, *inputs: Tensor) -> dict[str, Tensor]:
        """(number, classes) of each network."""
        return {name: self.networks[name](values) for name, values in self.inputs(*inputs).items()}

    def answers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The class that each network gives each picture, (number,)."""
        with self.autocast():
            pieces = [self.logits(*piece) for piece in zip(*(values.split(features.PIECE) for values in inputs), strict=True)]
        return {name: torch.cat([piece[name].argmax(1) for piece in pieces]) for name in CASES}

    def evaluate(self, split: str) -> Iterator[Event]:
        *inputs, labels = self.splits[split]
        right = [(answers == labels).float().mean() for answers in self.answers(*inputs).values()]
        accuracy = dict(zip(CASES, self.floats(right), strict=True))
        yield Scalars(values={f"accuracy/{name}": value for name, value in accuracy.items()})
        best = max(accuracy.values())
        rows: list[list[str | float]] = []
        for size, pair in (("small", CASES[:2]), ("large", CASES[2:])):
            rows.append([size, *(name.replace("_", " ") for name in pair)])
            rows.append(["accuracy", *(f"{accuracy[name]:.1%}{' best' * (accuracy[name] == best)}" for name in pair)])
            rows.append(["trained", *(f"{self.trained(name):,}" for name in pair)])
            rows.append(["GMACs", *(f"{self.spent(name) / 1e9:,.1f}" for name in pair)])
        yield Table(tag="four_cases", columns=["data", "similar", "different"], rows=rows)

    def trained(self, name: str) -> int:
        """Number of a network's parameters that are trained."""
        return sum(weight.numel() for weight in self.networks[name].parameters() if weight.requires_grad)

    def spent(self, name: str) -> int:
        """Multiply-adds of a network's training so far: unlike the seconds that they take, every run of it has the same."""
        # A training step is about three forward passes: one, and the gradients by inputs and by weights.
        return self.once.get(name, 0) * len(self.splits["train"][-1]) + 3 * self.each_time[name] * self.seen

    def sample(self, request: Any) -> Iterator[Event]:
        """Some of the validation pictures, each with the four answers."""
        split = self.splits["valid"]
        chosen = np.unique(np.linspace(0, len(split[0]) - 1, SAMPLES).astype(int))
        *inputs, labels = (values[chosen] for values in split)
        answers = self.answers(*inputs)
        right = torch.stack([values == labels for values in answers.values()]).sum(0).tolist()
        names = [self.classes[label] for label in labels.tolist()]
        captions = [f"{name} {number}/4" for name, number in zip(names, right, strict=True)]
        yield pictures("answers", inputs[0].float() / 255, captions)
        by_picture = zip(*([self.classes[answer] for answer in values.tolist()] for values in answers.values()), strict=True)
        rows: list[list[str | float]] = [[name, *four] for name, four in zip(names, by_picture, strict=True)]
        yield Table(tag="four answers", columns=["class", *CASES], rows=rows)


def drawn(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Indices of so many examples of each class, all where it has fewer, in order."""
    # From the seed alone: a resumed run gets the same pictures.
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.sort(np.concatenate([order[labels[order] == label][:per_class] for label in np.unique(labels)]))


def multiply_adds(network: nn.Module, inputs: Tensor) -> int:
    """Of the convolutions and matrix products in one forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(inputs)
    return int(counter.get_total_flops()) // 2  # it counts a multiply-add as two operations
