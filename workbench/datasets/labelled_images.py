"""The types of labelled pictures: what every reader of them returns."""

from dataclasses import dataclass

import numpy as np


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
