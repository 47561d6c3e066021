"""Whether a picture shows a dog or a person: what the course's application asks before it names a breed.

A dog is what the network trained on ImageNet takes for one of its classes 151 to 268, as in the course. The course finds people with
OpenCV's cascade of Haar features; here a logistic regression is trained on the same frozen network's features of faces (LFW) against
flowers and the run's own dogs. LFW has nothing but the faces of people in the news, close and from the front: a person far away, or from
behind, is missed, and the regression has never seen what is neither a person, nor a flower, nor a dog. Only `transfer` uses this file.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from workbench.datasets.pictures import read_picture
from workbench.datasets.store.fetch import fetch
from workbench.events import Table
from workbench.problems import Problem
from workbench.torchkit import features
from workbench.torchkit.backbone import Backbone

DOGS = (151, 268)
"""ImageNet's first and last breed of dogs."""
SIDE = 64
"""Pixels to which all pictures are resized first: the faces have no more, and sharpness must not tell them from dogs."""
TRAINED, HELD_OUT = 600, 300
"""Pictures of each kind that the regression is trained on, and that it is measured on."""
WEIGHT_DECAY = 1e-2
"""Of the regression's weights."""


class DogOrPerson:
    """Two detectors on one frozen network. `dogs` and `unseen_dogs` are (number, 3, side, side) bytes, to train on and to measure on."""

    def __init__(self, backbone: Backbone, size: int, dogs: Tensor, unseen_dogs: Tensor, device: torch.device) -> None:
        self.backbone, self.size, self.device = backbone.to(device), size, device
        self.unseen = {"dogs": unseen_dogs}
        self.weights: Tensor | None = None
        """(width + 1,), of the person detector; None where there are no faces to train on."""
        try:
            people, unseen_people = _people()
            flowers, unseen_flowers = (_some(_flowers(part), number) for part, number in (("train", TRAINED), ("valid", HELD_OUT)))
        except Problem:
            return
        self.unseen |= {"people's faces": unseen_people, "flowers": unseen_flowers}
        spread = np.unique(np.linspace(0, len(dogs) - 1, TRAINED).astype(int))
        seen = [small(pictures) for pictures in (people, dogs[torch.from_numpy(spread)], flowers)]
        parts = features.of(self.backbone, seen, self.size, self.device)
        # 1e-6: a unit that no picture excites has no deviation.
        self.mean, self.deviation = torch.cat(parts).mean(0), torch.cat(parts).std(0) + 1e-6
        truth = torch.cat([torch.ones(len(parts[0])), torch.zeros(len(parts[1]) + len(parts[2]))]).to(device)
        self.weights = _regression(self._scaled(torch.cat(parts)), truth)

    def dog(self, pictures: Tensor) -> Tensor:
        """(number, 3, side, side) bytes → (number,) whether ImageNet's likeliest class is a breed of dogs."""
        pieces = (features.resized(piece.to(self.device), self.size) for piece in pictures.split(features.PIECE))
        best = torch.cat([self.backbone.imagenet(piece).argmax(1) for piece in pieces])
        return (best >= DOGS[0]) & (best <= DOGS[1])

    def person(self, pictures: Tensor) -> Tensor:
        """The same → (number,) whether the regression takes it for a person's face; never, where it could not be trained."""
        if self.weights is None:
            return torch.zeros(len(pictures), dtype=torch.bool, device=self.device)
        pieces = [self.backbone(features.resized(piece.to(self.device), self.size)) for piece in small(pictures).split(features.PIECE)]
        return self._scaled(torch.cat(pieces)) @ self.weights > 0

    def table(self) -> Table:
        """Of pictures that neither was trained on, how many each detector takes for what it looks for."""
        rows: list[list[str | float]] = []
        for name, pictures in self.unseen.items():
            rows.append([name, len(pictures), int(self.dog(pictures).sum()), int(self.person(pictures).sum())])
        return Table(tag="detectors", columns=["pictures of", "number", "taken for a dog", "taken for a person"], rows=rows)

    def describe(self, pixels: Tensor, breed: str) -> str:
        """What one picture, (1, 3, side, side) bytes, shows, dogs first, as in the course; `breed` is its likeliest one."""
        if self.dog(pixels)[0]:
            return f"a dog, most like: {breed}"
        if self.person(pixels)[0]:
            return f"a person, who looks most like: {breed}"
        return "neither a dog nor a person" if self.weights is not None else "no dog; people are not told, without faces to learn from"

    def _scaled(self, inputs: Tensor) -> Tensor:
        """(number, width) → (number, width + 1): standardised, and a 1 for the bias."""
        scaled = (inputs - self.mean) / self.deviation
        return torch.cat([scaled, torch.ones_like(scaled[:, :1])], 1)


def small(pictures: Tensor) -> Tensor:
    """(number, 3, side, side) bytes → (number, 3, SIDE, SIDE) bytes."""
    return (features.resized(pictures, SIDE) * 255).round().to(torch.uint8)


def _people() -> tuple[Tensor, Tensor]:
    """A picture each of TRAINED people, and of HELD_OUT others; Problem where the faces cannot be had."""
    root = fetch("celeba", "lfw")["pictures"] / "lfw_faces"
    # By a hash of the name: an order that is neither alphabetical nor changes with the files of others.
    people = sorted(root.iterdir(), key=lambda person: hashlib.sha256(person.name.encode()).digest())
    files = [min(person.iterdir()) for person in people[: TRAINED + HELD_OUT]]
    return _some(files[:TRAINED], TRAINED), _some(files[TRAINED:], HELD_OUT)


def _flowers(part: str) -> list[Path]:
    return sorted((fetch("flowers102", "72px")["pictures"] / "flower_data" / part).rglob("*.jpg"))


def _some(files: list[Path], number: int) -> Tensor:
    """So many of them, evenly spread, as (number, 3, SIDE, SIDE) bytes."""
    chosen = [files[int(place)] for place in np.unique(np.linspace(0, len(files) - 1, number).astype(int))]
    squares = [np.asarray(ImageOps.fit(read_picture(file, SIDE), (SIDE, SIDE), Image.Resampling.BILINEAR)) for file in chosen]
    return torch.from_numpy(np.stack(squares).transpose(0, 3, 1, 2).copy())


def _regression(inputs: Tensor, truth: Tensor) -> Tensor:
    """Weights of a logistic regression by L-BFGS: (number, width), (number,) → (width,); both classes count the same in all."""
    weights = torch.zeros(inputs.shape[1], device=inputs.device, requires_grad=True)
    share = truth.mean()
    balance = torch.where(truth > 0, 0.5 / share, 0.5 / (1 - share))
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        # The last weight is the bias: it makes nothing overfit, so it is not decayed.
        value = F.binary_cross_entropy_with_logits(inputs @ weights, truth, balance) + WEIGHT_DECAY * weights[:-1].square().sum()
        value.backward()
        return value.item()

    # The caller may be evaluating, where gradients are off.
    with torch.enable_grad():
        optimizer.step(loss)
    return weights.detach()
