"""Faces for a GAN, without labels: the stand-in for CelebA from the catalogue, or any folder of a person's own pictures."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from workbench import preparation
from workbench.datasets import picture_files
from workbench.datasets.class_folders import CLUTTER, counted, some
from workbench.datasets.pictures import ENDINGS, Background, Decoding
from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

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


def read(data: str, size: int, background: Background = "white") -> Faces:
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
    paths = files(root)
    shown = one_line(str(root))
    if len(paths) < FEWEST:
        raise Problem(f"{shown} has {len(paths)} pictures, where {FEWEST} or more are needed.", "Only JPEG and PNG files count.", "data")
    if len(paths) * 3 * size * size > MOST_BYTES:
        raise Problem(f"{shown} has {len(paths):,} pictures: too many at {size}x{size}.", "Use fewer, or a smaller size.", "data")

    pictures = picture_files.read(root, paths, size, Decoding(background), Image.Resampling.BOX)
    picture_files.refuse_equal(root, pictures)
    # Split by a hash of the name, so that adding pictures never moves one from train to test.
    names = [str(path.parent.relative_to(root)) for path in paths]
    # With few folders, a hash of the folder would make the parts very uneven.
    if len(set(names)) < FEWEST:
        names = [str(path.relative_to(root)) for path in paths]
    tenth = np.array([hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] % 10 for name in names])
    pixels = np.ascontiguousarray(pictures.pixels.transpose(0, 3, 1, 2))
    faces = Faces(pixels[tenth > 1], pixels[tenth == 0], pixels[tenth == 1], variant)
    used = f"{len(faces.train):,} to train, {len(faces.valid):,} held out for validation, {len(faces.test):,} for the test"
    preparation.found("pictures", f"{len(paths):,}", used)
    pictures.tell()
    return faces


def files(root: Path) -> list[Path]:
    """All pictures below `root`, by path; says what else lies there."""
    paths: list[Path] = []
    links: list[str] = []
    others: list[str] = []
    clutter: list[str] = []
    try:
        for folder, folders, names in os.walk(root, onerror=_raise):
            here = Path(folder)
            clutter += [name for name in (*folders, *names) if _is_clutter(name)]
            links += [str((here / name).relative_to(root)) for name in folders if (here / name).is_symlink() and not _is_clutter(name)]
            folders[:] = [name for name in folders if not _is_clutter(name)]
            for path in (here / name for name in names if not _is_clutter(name)):
                if path.is_symlink():
                    links.append(str(path.relative_to(root)))
                elif path.suffix.lower() in ENDINGS and path.is_file():
                    paths.append(path)
                else:
                    others.append(str(path.relative_to(root)))
    except OSError as error:
        raise Problem(f"{one_line(str(error.filename))} cannot be read: {error.strerror}.", "", "data") from None
    for what, left in (
        ("links, which are not followed", links),
        ("files that are neither PNG nor JPEG by their names", others),
        ("hidden files, and those of other systems", clutter),
    ):
        if left:
            preparation.found(what, counted(len(left), "file"), "", some(sorted(set(left))))
    return sorted(paths)


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER


def _raise(error: OSError) -> None:
    raise error


def _fetched(name: str, variant: str) -> Path:
    about = find(name, variant)
    if about.files:
        return fetch(name, variant)["pictures"]
    raise Problem(
        f"{about.title} cannot be fetched: its publisher states no hash.",
        f"Unpack the course's {name} archive and set config.data to its folder, or take {name}:lfw.",
        "data",
    )
