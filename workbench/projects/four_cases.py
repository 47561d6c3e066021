"""The four cases of transfer learning side by side on the same batches: new last layer, cut early, tuned whole, from scratch.

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
from workbench.torchkit.descent import Descent
from workbench.torchkit.images import pictures
from workbench.torchkit.project import TorchProject
from workbench.torchkit.summary import network_table
from workbench.training.project import Field, Own

CASES = ("last_layer", "cut_early", "tuned", "scratch")
"""The networks, in the order of the course's table: few pictures like those of ImageNet and unlike them, then many."""
SHOWN = 16
"""Pictures in a sample."""


class Optimizers(dict[str, Optimizer]):
    """One for each network, saved together."""

    def state_dict(self) -> dict[str, Any]:
        return {name: each.state_dict() for name, each in self.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, each in self.items():
            each.load_state_dict(state[name])


class FourCases(TorchProject):
    """Names what is in photographs with four networks, which differ in how much of what ImageNet taught them is kept."""

    class Config(Descent):
        data: Literal["flowers102:72px", "dogs"] | Own = "flowers102:72px"
        """which photographs (dogs: the project's dogImages, unpacked by you); or a folder of your own, ./pictures, with a folder for each
        class, or train/, valid/ and test/ with such folders in them"""
        per_class: int = Field(0, ge=0)
        """training pictures of each class, drawn by the seed; 0: all"""
        picture_size: int = Field(64, ge=32, le=1024)
        """width and height in pixels at which the networks see the middle square of a picture"""
        network: Literal["mobilenet_v2", "resnet18", "resnet50", "squeezenet1_0"] = "mobilenet_v2"
        """which of torchvision's all four are"""
        weights: Literal["published", "stand-in"] | Own = "published"
        """ImageNet's weights, of all but scratch: published, torchvision's, fetched once; stand-in, the catalogue's, from a mirror; or a
        file of yours with a state_dict, ./weights.pth"""
        cut: str = "features.7.conv.0"
        """the layer that cut_early ends after (layer2 of a resnet), averaged over the picture"""
        tuned_rate: float = Field(0.1, gt=0, le=1)
        """share of the learning rate with which the layers from ImageNet are tuned"""
        dropout: float = Field(0.2, ge=0, lt=1)
        """share of the last layer's inputs left out in each training step"""

    def build_data(self) -> None:
        config = self.config
        data = photos.read(config.data, config.picture_size)
        self.classes, self.variant = data.classes, data.variant
        self.frozen = {"last_layer": self.built(config.weights), "cut_early": self.built(config.weights, config.cut)}
        self.splits: dict[str, tuple[Tensor, ...]] = {}
        """Of each part (number, 3, side, side) bytes, what both frozen networks say of them, once and for all, and (number,) labels."""
        scales: list[tuple[Tensor, Tensor]] = []
        for name, (pixels, labels) in zip(("train", "valid", "test"), data.parts, strict=True):
            chosen = drawn(labels, config.per_class, self.seed) if name == "train" and config.per_class else np.arange(len(labels))
            photographs = torch.from_numpy(np.ascontiguousarray(pixels[chosen].transpose(0, 3, 1, 2)))
            said = [features.of(each, photographs, config.picture_size, self.device) for each in self.frozen.values()]
            # Early features are a tenth as large as late ones: on one scale both are learnt from at the same rate.
            scales = scales or [(each.mean(0), each.std(0).clamp(min=0.01 * float(each.std()))) for each in said]
            said = [(each - mean) / deviation for each, (mean, deviation) in zip(said, scales, strict=True)]
            self.splits[name] = (photographs.to(self.device), *said, torch.from_numpy(labels[chosen]).to(self.device))

    def built(self, weights: str, cut: str = "") -> backbone.Backbone:
        """The network up to its last layer, frozen, on the device."""
        source = weights if weights in ("published", "stand-in", "random") else Path(weights)
        return backbone.build(self.config.network, source, cut).to(self.device)

    def build_model(self) -> None:
        config = self.config
        # Averages of batch norm that fit ImageNet are kept; from scratch there are none yet.
        tuned, scratch = self.built(config.weights), self.built("random").train()
        for each in (tuned, scratch):
            each.network.requires_grad_(True)
        _, last, early, _ = self.splits["train"]
        below = [(nn.Identity(), last.shape[1]), (nn.Identity(), early.shape[1]), (tuned, tuned.width), (scratch, scratch.width)]
        self.networks, self.optimizers = nn.ModuleDict(), Optimizers()
        for name, (body, width) in zip(CASES, below, strict=True):
            head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, len(self.classes)))
            self.networks[name] = nn.Sequential(body, head).to(self.device)
            own = [each for each in body.parameters() if each.requires_grad]
            share = config.tuned_rate if name == "tuned" else 1.0
            groups = [{"params": each, "share": part} for each, part in ((own, share), (list(head.parameters()), 1.0)) if each]
            self.optimizers[name] = config.optimizer_of(groups)
        self.seen = 0  # pictures in all training steps so far
        with self.evaluating():
            inputs = self.inputs(*(each[:1] for each in self.splits["valid"][:-1]))
            self.once = {name: multiply_adds(each, inputs["tuned"]) for name, each in self.frozen.items()}
            self.each_time = {name: multiply_adds(network, inputs[name]) for name, network in self.networks.items()}

    def summary(self) -> Iterator[Event]:
        """The layers by the names that `cut` takes, and the last layer of the tuned network."""
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
        *given, labels = batch
        numbers: dict[str, Any] = {}
        for optimizer in self.optimizers.values():
            numbers |= self.config.pace(optimizer, self.progress)
            optimizer.zero_grad()
        smoothing = self.config.label_smoothing
        with self.autocast():
            logits = self.logits(*given)
            losses = {name: F.cross_entropy(each, labels, label_smoothing=smoothing) for name, each in logits.items()}
        # No two of them share a parameter: the gradient of the sum is each one's own.
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.seen += len(labels)
        return {**{f"loss/{name}": loss for name, loss in losses.items()}, **numbers}

    # -- what they answer ------------------------------------------------------------------------------------------------------------

    def inputs(self, pixels: Tensor, last: Tensor, early: Tensor) -> dict[str, Tensor]:
        """What each network is given: features where the layers below are frozen, else the pictures, from bytes."""
        resized = features.resized(pixels, self.config.picture_size)
        return {"last_layer": last, "cut_early": early, "tuned": resized, "scratch": resized}

    def logits(self, *given: Tensor) -> dict[str, Tensor]:
        """(number, classes) of each network."""
        return {name: self.networks[name](each) for name, each in self.inputs(*given).items()}

    def answers(self, *split: Tensor) -> dict[str, Tensor]:
        """The class that each network gives each picture, (number,)."""
        with self.autocast():
            pieces = [self.logits(*piece) for piece in zip(*(each.split(features.PIECE) for each in split), strict=True)]
        return {name: torch.cat([piece[name].argmax(1) for piece in pieces]) for name in CASES}

    def evaluate(self, split: str) -> Iterator[Event]:
        *given, labels = self.splits[split]
        right = [(each == labels).float().mean() for each in self.answers(*given).values()]
        shares = dict(zip(CASES, self.floats(right), strict=True))
        yield Scalars(values={f"accuracy/{name}": share for name, share in shares.items()})
        best = max(shares.values())
        rows: list[list[str | float]] = []
        for size, pair in (("small", CASES[:2]), ("large", CASES[2:])):
            rows.append([size, *(name.replace("_", " ") for name in pair)])
            rows.append(["accuracy", *(f"{shares[name]:.1%}{' best' * (shares[name] == best)}" for name in pair)])
            rows.append(["trained", *(f"{self.trained(name):,}" for name in pair)])
            rows.append(["GMACs", *(f"{self.spent(name) / 1e9:,.1f}" for name in pair)])
        yield Table(tag="four_cases", columns=["data", "similar", "different"], rows=rows)

    def trained(self, name: str) -> int:
        """How many parameters of a network learn."""
        return sum(each.numel() for each in self.networks[name].parameters() if each.requires_grad)

    def spent(self, name: str) -> int:
        """Multiply-adds of a network's training so far: unlike the seconds that they take, every run of it has the same."""
        # A training step is about three forward passes: one, and the gradients by inputs and by weights.
        return self.once.get(name, 0) * len(self.splits["train"][-1]) + 3 * self.each_time[name] * self.seen

    def sample(self, request: Any) -> Iterator[Event]:
        """Some of the validation pictures, each with the four answers."""
        split = self.splits["valid"]
        chosen = np.unique(np.linspace(0, len(split[0]) - 1, SHOWN).astype(int))
        pixels, *said, labels = (each[torch.from_numpy(chosen).to(self.device)] for each in split)
        answers = self.answers(pixels, *said)
        right = torch.stack([each == labels for each in answers.values()]).sum(0).tolist()
        names = [self.classes[label] for label in labels.tolist()]
        yield pictures("answers", pixels.float() / 255, [f"{name} {of}/4" for name, of in zip(names, right, strict=True)])
        given = zip(*([self.classes[answer] for answer in each.tolist()] for each in answers.values()), strict=True)
        rows: list[list[str | float]] = [[name, *each] for name, each in zip(names, given, strict=True)]
        yield Table(tag="four answers", columns=["class", *CASES], rows=rows)


def drawn(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """The places of so many examples of each class, all where it has fewer, in order."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.sort(np.concatenate([order[labels[order] == label][:per_class] for label in np.unique(labels)]))


def multiply_adds(network: nn.Module, inputs: Tensor) -> int:
    """Of the convolutions and matrix products in one forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(inputs)
    return int(counter.get_total_flops()) // 2  # it counts a multiply-add as two operations
