"""Two sets of pictures that belong to one another without pairs: Yosemite in summer and in winter, facades, or a person's own folders."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from workbench import preparation
from workbench.datasets import facades, faces, picture_files
from workbench.datasets.pictures import Background, Decoding
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

LAYOUTS = (("trainA", "trainB", "testA", "testB"), ("summer", "winter", "test_summer", "test_winter"))
"""Folders of X, Y and the test's X and Y: as CycleGAN's own archives have them, and as the course's."""
FEWEST = 10
"""Fewest pictures of a folder: a tenth of the training ones is for validation."""
Two = tuple[np.ndarray, np.ndarray]
"""Pictures of X and of Y, (number, 3, size, size) bytes each."""


@dataclass(frozen=True)
class Unpaired:
    """Pictures of X and Y, in other numbers and in no common order, except that `paired` held-out ones are pairs."""

    names: tuple[str, str]
    """What a picture of X and one of Y is called."""
    train: Two
    valid: Two
    test: Two
    paired: bool
    variant: str


def read(data: str, size: int, background: Background = "white") -> Unpaired:
    """`yosemite`, `facades`, or a path to a folder with the folders of one of `LAYOUTS`; of each picture the middle square.

    Raises Problem (cause "data") where there are too few pictures, or one cannot be read.
    """
    if data == "facades":
        return _facades(size)
    if data == "yosemite":
        root, names = fetch("yosemite")["pictures"] / "summer2winter_yosemite", ("summer", "winter")
    else:
        root, names = Path(data), ("A", "B")
    layout = next((layout for layout in LAYOUTS if all((root / folder).is_dir() for folder in layout)), None)
    if layout is None:
        hint = f"It needs the folders {', '.join(LAYOUTS[0])}, or {', '.join(LAYOUTS[1])}."
        raise Problem(f"{one_line(str(root))} holds no two sets of pictures.", hint, "data")
    train_x, train_y, test_x, test_y = (_folder(root / folder, size, background) for folder in layout)
    numbers = f"{len(train_x):,} and {len(train_y):,} to train, a tenth of them for validation, {len(test_x):,} and {len(test_y):,} to test"
    preparation.found("pictures of X and Y", f"{sum(map(len, (train_x, train_y, test_x, test_y))):,}", numbers)
    held_out = [np.arange(len(pictures)) % 10 == 0 for pictures in (train_x, train_y)]
    return Unpaired(
        names=names,
        train=(train_x[~held_out[0]], train_y[~held_out[1]]),
        valid=(train_x[held_out[0]], train_y[held_out[1]]),
        test=(test_x, test_y),
        paired=False,
        variant="" if data == "yosemite" else one_line(root.name),
    )


def _folder(folder: Path, size: int, background: Background) -> np.ndarray:
    paths = faces.files(folder)
    if len(paths) < FEWEST:
        raise Problem(f"{one_line(str(folder))} has {len(paths)} pictures, where {FEWEST} or more are needed.", "", "data")
    if len(paths) * 3 * size * size > faces.MOST_BYTES:
        raise Problem(f"{one_line(str(folder))} has {len(paths):,} pictures: too many at {size}x{size}.", "Use fewer.", "data")
    squares = picture_files.read(folder, paths, size, Decoding(background), Image.Resampling.BOX)
    picture_files.refuse_equal(folder, squares)
    return np.ascontiguousarray(squares.pixels.transpose(0, 3, 1, 2))


def _facades(size: int) -> Unpaired:
    """Photographs of the first half of the training pairs, label maps of the second: no training picture has its partner there."""
    parts = facades.read(size)
    half = len(parts["train"].photos) // 2
    preparation.found("training pairs", f"{2 * half}", f"the photographs of 1 to {half}, the label maps of {half + 1} to {2 * half}")
    valid, test = ((parts[part].photos, parts[part].labels) for part in ("valid", "test"))
    return Unpaired(
        names=("photograph", "label map"),
        train=(parts["train"].photos[:half], parts["train"].labels[half : 2 * half]),
        valid=valid,
        test=test,
        paired=True,
        variant="facades without pairs in place of Yosemite",
    )
