"""Pictures with a label each, split in three: what an image classifier or a GAN trains on, by the data set's name."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.problems import Problem


@dataclass(frozen=True)
class LabelledImages:
    """`images` (number, channels, height, width), float32 in [0, 1]; `labels` (number,), int64, an index into the classes."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: slice | np.ndarray) -> "LabelledImages":
        return LabelledImages(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class ImageData:
    """A data set of labelled pictures. `valid` was taken from the training examples; `test` is only for the end."""

    train: LabelledImages
    valid: LabelledImages
    test: LabelledImages
    classes: list[str]


def read(name: str, size: int = 32) -> ImageData:
    """`digits`, `mnist`, `fashion-mnist`, or a path to a folder of a person's own, whose pictures become `size` pixels wide and high.

    Raises Problem where there is none of that name or its files can't be used.
    """
    from workbench.datasets import digits, folder, mnist

    if "/" in name:
        return folder.read(Path(name), size)
    if name == "digits":
        return digits.read()
    if name in mnist.CLASSES:
        return mnist.read(name)
    known = ", ".join(["digits", *mnist.CLASSES])
    raise Problem(f"There are no labelled pictures called {name!r}.", f"There are: {known}.", "data")
