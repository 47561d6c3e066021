"""The types of labelled pictures, which all readers of pictures return."""

from dataclasses import dataclass

import numpy as np

from workbench.datasets.pictures import PLAIN, Decoding


@dataclass(frozen=True)
class LabelledImages:
    """`images` (number, channels, height, width), float32 in [0, 1], or bytes where a reader says so; `labels` (number,), int64, an index
    into the classes."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: slice | np.ndarray) -> "LabelledImages":
        return LabelledImages(self.images[chosen], self.labels[chosen])

    def first_of_each(self, number: int) -> "LabelledImages":
        """The first `number` examples of each class, or all of a class that has fewer, in their order."""
        places = [np.flatnonzero(self.labels == label)[:number] for label in np.unique(self.labels)]
        return self[np.sort(np.concatenate(places))]


@dataclass(frozen=True)
class ImageData:
    """A data set of labelled pictures. `valid` was held out from the training examples; `test` is used only at the end of a run."""

    train: LabelledImages
    valid: LabelledImages
    test: LabelledImages
    classes: list[str]
    decoding: Decoding = PLAIN
    """How pictures of a person's own were decoded, and further ones are to be."""
