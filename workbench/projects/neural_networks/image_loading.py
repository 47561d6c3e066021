"""How pictures become batches: folders as classes, resize, crop, augmentation for training alone, normalisation. Explored, not trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.datasets.pictures import ENDINGS, read_picture
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.events import Event, Table
from workbench.problems import Problem
from workbench.torchkit.augment import random_affine
from workbench.torchkit.features import resized
from workbench.training.figures import pictures
from workbench.training.project import Field, Project

CLASSES = ("cat", "dog")
EACH = 2
"""Pictures of each class that are shown, of the training and of the test pictures: four in a row."""


class ImageLoading(Project):
    """Loads photographs of cats and dogs as the course's training and test transforms do."""

    datasets = ("cats-dogs:small",)

    class Request(Project.Request):
        """How the pictures are transformed; augmentation is for the training pictures alone."""

        resize: int = Field(128, ge=64, le=256, json_schema_extra={"step": 16})
        """Pixels of a side to which each picture is scaled first; higher shows more of what there is, and above 112 nothing new."""
        crop: int = Field(112, ge=32, le=256, json_schema_extra={"step": 16})
        """Pixels of a side of the middle square that is kept; smaller cuts off more of the edges. At most resize."""
        rotation: float = Field(30.0, ge=0, le=180, json_schema_extra={"step": 5})
        """Degrees by which a training picture is rotated at random at most; higher augments more."""
        zoom: float = Field(0.2, ge=0, le=0.9, json_schema_extra={"step": 0.05})
        """Share by which a training picture is enlarged or reduced at random at most; higher augments more."""
        flip: bool = True
        """Mirrors a random half of the training pictures, left and right."""
        seed: int = Field(1, ge=0, le=100)
        """Seed of the random transforms; another one draws other angles, sizes and sides, the same one the same again."""
        mean: float = Field(0.5, ge=0, le=1, json_schema_extra={"step": 0.05})
        """What is subtracted from every colour, of 0 to 1; the course takes 0.5."""
        deviation: float = Field(0.5, ge=0.05, le=1, json_schema_extra={"step": 0.05})
        """What every colour is then divided by; smaller spreads the numbers further."""

    def build_data(self) -> None:
        self.variant = find("cats-dogs", "small").title
        root = fetch("cats-dogs", "small")["pictures"] / "Cat_Dog_data"
        self.files = {part: {name: listed(root / part / name) for name in CLASSES} for part in ("train", "test")}
        # (4, 3, height, width) bytes of each part, as they are on the disk.
        self.photos = {
            part: loaded([path for files in by_class.values() for path in files[:EACH]]) for part, by_class in self.files.items()
        }
        self.captions = [name for name in CLASSES for _ in range(EACH)]

    def sample(self, request: Any) -> Iterator[Event]:
        """Four training pictures plain and augmented, four test pictures, the numbers at each stage, and the folders."""
        if request.crop > request.resize:
            raise Problem(f"crop must be at most resize, {request.resize}.", cause="data")
        plain, test = (cropped(resized(self.photos[part], request.resize), request.crop) for part in ("train", "test"))
        yield pictures("training, plain", plain, self.captions, columns=4)
        yield pictures("training, augmented", self.augmented(plain, request), self.captions, columns=4)
        yield pictures("test, never augmented", test, self.captions, columns=4)
        yield stages(self.photos["train"], plain, request.mean, request.deviation)
        rows: list[list[str | float]] = [
            [f"{part}/{name}", len(files), place]
            for part, by_class in self.files.items()
            for place, (name, files) in enumerate(by_class.items())
        ]
        yield Table(tag="folders", columns=["folder", "pictures", "label"], rows=rows)

    def augmented(self, pixels: Tensor, request: Any) -> Tensor:
        """The pictures rotated, scaled and mirrored by draws from the request's seed."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(request.seed)
            return random_affine(pixels, rotation=request.rotation, zoom=request.zoom, flip=request.flip)


def listed(folder: Path) -> list[Path]:
    """The pictures of a class, by the numbers in their names and then by name."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS]
    return sorted(files, key=lambda path: (len(path.name), path.name))


def loaded(paths: list[Path]) -> Tensor:
    """The pictures of one size as bytes, (number, 3, height, width)."""
    return torch.from_numpy(np.stack([np.asarray(read_picture(path)) for path in paths])).permute(0, 3, 1, 2)


def cropped(pixels: Tensor, size: int) -> Tensor:
    """The middle square of each picture."""
    start = (pixels.shape[-1] - size) // 2
    return pixels[..., start : start + size, start : start + size]


def stages(photos: Tensor, plain: Tensor, mean: float, deviation: float) -> Table:
    """Shape, smallest, largest and mean number of a batch as loaded, scaled, normalised, and brought back; and how far that is off."""
    normalised = (plain - mean) / deviation
    back = normalised * deviation + mean
    batches = {"as loaded": photos.float(), "resized, cropped": plain, "normalised": normalised, "and back": back}
    rows: list[list[str | float]] = [
        [name, " x ".join(map(str, batch.shape)), *(round(float(number), 4) for number in (batch.min(), batch.max(), batch.mean()))]
        for name, batch in batches.items()
    ]
    off = float(f"{float((back - plain).abs().max()):.2g}")
    return Table(tag="a batch", columns=["stage", "shape", "least", "most", "mean"], rows=[*rows, ["back is off by", "", "", off, ""]])
