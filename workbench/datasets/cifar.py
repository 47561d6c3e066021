"""CIFAR-10 from its binary files, or from the copy as JPEG that stands in for it: read strictly, shuffled before the split."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.datasets.pictures import read_picture
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.datasets.store.stored import named
from workbench.problems import Problem, one_line

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIDE = 32
"""Pixels in each direction."""
HELD_OUT = 0.2
"""Share of the 50,000 training pictures that validate, as in the course."""


Cache = Callable[[str, str, Callable[[], np.ndarray]], np.ndarray]
"""Kind, key, and how to compute an array: `torchkit.disk_cache.cached`, for instance."""


def read(
    reference: str = "cifar10:jpeg",
    held_out: float = HELD_OUT,
    per_class: int = 0,
    cache: Cache = lambda kind, key, compute: compute(),
) -> ImageData:
    """The pictures of `cifar10` or `cifar10:jpeg` as bytes, (number, 3, 32, 32): the share `held_out` of the training pictures validates.

    `per_class` leaves at most so many training pictures of each class; 0 all. To decode the copies takes ten seconds, which a `cache`
    saves. Raises Problem (cause "data") for a file that is damaged.
    """
    name, variant = named(reference)
    folder = fetch(name, variant)["pictures"]
    if variant == "jpeg":
        train, test = _copies(folder / "cifar10", cache, find(name, variant).files["pictures"].sha256)
    else:
        train, test = _binary(folder / "cifar-10-batches-bin")
    # The copy is ordered by class: its last fifth alone would be trucks and ships.
    order = np.random.default_rng(0).permutation(len(train))
    number = round(len(train) * held_out)
    data = ImageData(train[order[number:]], train[order[:number]], test, CLASSES)
    if per_class:
        data = replace(data, train=data.train.first_of_each(per_class))
    used = f"{len(data.train):,} to train, {number:,} for validation, {len(test):,} for the test"
    preparation.found(find(name, variant).title, f"{len(train) + len(test):,} pictures of 10 classes", used)
    return data


def _binary(folder: Path) -> tuple[LabelledImages, LabelledImages]:
    """Rows of 3,073 bytes: a label, then the planes of red, green and blue, row by row (as the data set's page describes them)."""
    batches = [_rows(folder / f"data_batch_{number}.bin") for number in range(1, 6)]
    train, test = np.concatenate(batches), _rows(folder / "test_batch.bin")
    train_part, test_part = (LabelledImages(rows[:, 1:].reshape(-1, 3, SIDE, SIDE), rows[:, 0].astype(np.int64)) for rows in (train, test))
    return train_part, test_part


def _rows(file: Path) -> np.ndarray:
    shown, width = one_line(str(file)), 1 + 3 * SIDE**2
    try:
        content = np.fromfile(file, np.uint8)
    except OSError as error:
        raise Problem(f"{shown} cannot be read: {error.strerror}.", "", "data") from None
    if not len(content) or len(content) % width:
        raise Problem(f"{shown} has {len(content):,} bytes, where a multiple of {width:,} is expected.", "Fetch it again.", "data")
    rows = content.reshape(-1, width)
    if rows[:, 0].max() > 9:
        raise Problem(f"{shown} has a label {rows[:, 0].max()}, where 0 to 9 are expected.", "Fetch it again.", "data")
    return rows


def _copies(folder: Path, cache: Cache, sha256: str) -> tuple[LabelledImages, LabelledImages]:
    """Files in {train,test}/CLASS/, of the archive with this hash."""
    parts = [[(path, label) for label, name in enumerate(CLASSES) for path in _files(folder / part / name)] for part in ("train", "test")]
    train, test = (np.array([label for _, label in files], np.int64) for files in parts)
    pixels = cache("pictures", sha256, lambda: _decoded([path for files in parts for path, _ in files]))
    return LabelledImages(pixels[: len(train)], train), LabelledImages(pixels[len(train) :], test)


def _decoded(paths: list[Path]) -> np.ndarray:
    pixels = np.empty((len(paths), 3, SIDE, SIDE), np.uint8)
    for place, path in enumerate(paths):
        if place % 500 == 0:
            preparation.progress("reading pictures", place, len(paths))
        picture = read_picture(path)
        if picture.size != (SIDE, SIDE):
            size = "x".join(map(str, picture.size))
            raise Problem(f"{one_line(str(path))} has {size} pixels, where {SIDE}x{SIDE} is expected.", "Fetch it again.", "data")
        pixels[place] = np.asarray(picture).transpose(2, 0, 1)
    return pixels


def _files(folder: Path) -> list[Path]:
    # By name: the order of a disk is another one on each machine, and the split would be, too.
    files = sorted(folder.glob("*.jpg"))
    if not files:
        raise Problem(f"{one_line(str(folder))} has no pictures.", "Fetch it again.", "data")
    return files
