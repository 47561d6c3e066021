"""Faces for a GAN, without labels: the stand-in for CelebA from the catalogue, or any folder of a person's own pictures."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from workbench.datasets.pictures import read_picture
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

ENDINGS = {".jpg", ".jpeg", ".png"}
FEWEST = 100
MOST_BYTES = 4_000_000_000
"""Most bytes in memory of all pictures together."""


@dataclass(frozen=True)
class Faces:
    """Each part is (number, 3, size, size) bytes; `variant` names the data in results, "" for the course's own."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    variant: str


def read(data: str, size: int) -> Faces:
    """The middle square of each picture of `celeba`, `celeba:lfw`, or a path. A tenth each is held out for validation and test.

    Where the pictures lie in many folders (LFW has one for each person), all pictures of a folder stay together, so no person is both in
    the training set and in a held-out set. Raises Problem (cause "data") where there are too few pictures, or one cannot be read.
    """
    if "/" in data:
        root, variant = Path(data), one_line(Path(data).name)
        if not root.is_dir():
            raise Problem(f"There is no folder {one_line(data)}.", "Give a folder of pictures, in folders or not.", "data")
    else:
        name, _, kind = data.partition(":")
        root, about = _fetched(name, kind), find(name, kind)
        variant = f"{about.title} in place of {about.stand_in_for}" if about.stand_in_for else ""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and not path.is_symlink() and path.is_file())
    shown = one_line(str(root))
    if len(paths) < FEWEST:
        raise Problem(f"{shown} has {len(paths)} pictures, where {FEWEST} or more are needed.", "Only JPEG and PNG files count.", "data")
    if len(paths) * 3 * size * size > MOST_BYTES:
        raise Problem(f"{shown} has {len(paths):,} pictures: too many at {size}x{size}.", "Use fewer, or a smaller size.", "data")

    pixels = np.empty((len(paths), size, size, 3), np.uint8)
    for place, path in enumerate(paths):
        # Filled in place: a list of arrays would need the memory twice.
        pixels[place] = np.asarray(ImageOps.fit(read_picture(path, size), (size, size), Image.Resampling.BOX))
    # Split by a hash of the name, so that adding pictures never moves one from train to test.
    names = [str(path.parent.relative_to(root)) for path in paths]
    # With few folders, a hash of the folder would make the parts very uneven.
    if len(set(names)) < FEWEST:
        names = [str(path.relative_to(root)) for path in paths]
    tenth = np.array([hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] % 10 for name in names])
    pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return Faces(pixels[tenth > 1], pixels[tenth == 0], pixels[tenth == 1], variant)


def _fetched(name: str, variant: str) -> Path:
    about = find(name, variant)
    if about.files:
        return fetch(name, variant)["pictures"]
    raise Problem(
        f"{about.title} cannot be fetched: its publisher states no hash.",
        f"Unpack the course's {name} archive and set config.data to its folder, or take {name}:lfw.",
        "data",
    )
