"""Facades (CMP): photographs of house fronts, each beside a map that names by colour what every pixel shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from workbench import preparation
from workbench.datasets.pictures import read_picture
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

COLOURS = {
    "background": (0, 0, 222),
    "facade": (0, 48, 255),
    "window": (0, 128, 255),
    "door": (0, 208, 255),
    "cornice": (32, 255, 223),
    "sill": (112, 255, 143),
    "balcony": (192, 255, 63),
    "blind": (255, 239, 0),
    "decoration": (255, 159, 0),
    "moulding": (255, 80, 0),
    "pillar": (255, 0, 0),
    "shop": (175, 0, 0),
}
"""The labels in the numbering of the CMP Facade Database, from 1, and their colours in pix2pix's pairs: medians of even areas."""
TOLERANCE = 29.0
"""Distance from a label's colour within which a pixel certainly has that label: half the smallest distance of two label colours.

Measured on the 400 training maps: in even areas 99 of 100 pixels lie within 13, what JPEG's compression leaves. About a third of all
pixels at 64x64 lie farther, blurred between two labels."""
FOLDERS = {"train": "train", "valid": "val", "test": "test"}


@dataclass(frozen=True)
class Pairs:
    """Photographs and their label maps, (number, 3, size, size) bytes each."""

    photos: np.ndarray
    labels: np.ndarray


def read(size: int) -> dict[str, Pairs]:
    """The pairs for `train`, `valid` and `test` (400, 100, 106), each in the order of its numbers.

    Raises Problem (cause "data") where a picture is no pair.
    """
    root = fetch("facades")["pictures"] / "facades"
    parts = {part: _read(root / folder, size) for part, folder in FOLDERS.items()}
    numbers = {part: len(pairs.photos) for part, pairs in parts.items()}
    used = f"{numbers['train']} to train, {numbers['valid']} for validation, {numbers['test']} for the test, {size}x{size}"
    preparation.found("facades", f"{sum(numbers.values())} pairs", used)
    return parts


def _read(folder: Path, size: int) -> Pairs:
    paths = sorted(folder.glob("*.jpg"), key=lambda path: (len(path.name), path.name))
    if not paths:
        raise Problem(f"{one_line(str(folder))} has no pairs.", "", "data")
    photos, labels = np.empty((2, len(paths), 3, size, size), np.uint8)
    for row, path in enumerate(preparation.counted(f"reading facades, {folder.name}", paths)):
        picture = read_picture(path)
        width, height = picture.size
        if width != 2 * height:
            raise Problem(f"{one_line(path.name)} is {width}x{height} pixels, where a pair is twice as wide as high.", "", "data")
        # A label map is not averaged: between two colours lies the colour of a third label.
        for array, left, filter in ((photos, 0, Image.Resampling.BOX), (labels, height, Image.Resampling.NEAREST)):
            half = picture.crop((left, 0, left + height, height)).resize((size, size), filter)
            array[row] = np.asarray(half).transpose(2, 0, 1)
    return Pairs(photos, labels)


def painted(rectangles: Sequence[Sequence[float]], size: int) -> np.ndarray:
    """A label map, (3, size, size) bytes: rectangles on background, later ones on top of earlier ones.

    Each is its label from 1, then left, top, width and height in percent of the picture. Raises Problem where there is no such label,
    or a rectangle leaves the picture.
    """
    picture = np.empty((3, size, size), np.uint8)
    picture[:] = np.array(COLOURS["background"])[:, None, None]
    colours = list(COLOURS.values())
    for row, (label, left, top, width, height) in enumerate(rectangles, 1):
        if label != int(label) or not 1 <= label <= len(colours):
            names = ", ".join(f"{number} {name}" for number, name in enumerate(COLOURS, 1))
            text = f"rectangles, row {row}: {label:g} is no label; they are whole numbers from 1 to {len(colours)}."
            raise Problem(text, f"They are: {names}.", "data")
        for what, start, length in (("left + width", left, width), ("top + height", top, height)):
            if start + length > 100:
                raise Problem(f"rectangles, row {row}: {what} is {start + length:g}, and may be 100 at most.", "", "data")
        rows, columns = (
            slice(round(start * size / 100), round((start + length) * size / 100)) for start, length in ((top, height), (left, width))
        )
        picture[:, rows, columns] = np.array(colours[int(label) - 1])[:, None, None]
    return picture
