"""A person's own pictures, one folder per class: read strictly and within limits, scaled to one size, split in three."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.datasets.pictures import read_picture
from workbench.problems import Problem, one_line

MOST_CLASSES = 1000
MOST_PICTURES = 200_000
MOST_NUMBERS = 500_000_000
"""Most pixels times channels of all pictures together: 2 GB as float32."""
MOST_BYTES = 4 * MOST_NUMBERS
"""The same memory if each number is one byte."""
PARTS = ("train", "valid", "test")
NAMED = 5
"""How many unusable files a message names."""
CLUTTER = {"Thumbs.db", "desktop.ini"}
"""Files that other operating systems leave in folders of pictures, in addition to hidden files."""

Picture = tuple[str, np.ndarray]
"""The SHA-256 of the file, and (size, size, 3) bytes."""
Squares = tuple[np.ndarray, np.ndarray]
"""(number, size, size, 3) bytes, and (number,) indices into the classes."""


def read(root: Path, size: int) -> ImageData:
    """The middle square of each picture below `root`, (channels, size, size): one channel if all are grey, else three.

    `root` holds one folder per class, or train/ (and valid/, test/) with such folders. A missing part is held out from the training
    pictures: a fifth of each class, chosen by the hashes of the files, so that all copies of a file are in the same part.
    Links are not followed. Raises Problem (cause "data"), which names files that are not pictures.
    """
    parts, classes = squares(root, size, MOST_NUMBERS)
    grey = all((pixels == pixels[..., :1]).all() for pixels, _ in parts)
    split = [
        LabelledImages(pixels[..., : 1 if grey else 3].transpose(0, 3, 1, 2).astype(np.float32) / 255, labels) for pixels, labels in parts
    ]
    return ImageData(split[0], split[1], split[2], classes)


def squares(root: Path, size: int, most: int = MOST_BYTES, fewest: int = 0) -> tuple[list[Squares], list[str]]:
    """Like `read`, but bytes: train, valid and test, and the classes. At most `most` bytes; skips classes of fewer than `fewest` files."""
    shown = one_line(str(root))
    if not root.is_dir():
        raise Problem(f"There is no folder {shown}.", "It should hold a folder of pictures for each class.", "data")
    bad: list[str] = []
    try:
        listed = {part: _classes(root / part, bad) for part in PARTS if (root / part).is_dir()}
        if "train" not in listed:
            listed = {"train": _classes(root, bad)}
    except OSError as error:
        raise Problem(f"{one_line(str(error.filename))} cannot be read: {error.strerror}.", "", "data") from None
    classes = sorted(name for name, files in listed["train"].items() if len(files) >= fewest)
    if not 2 <= len(classes) <= MOST_CLASSES:
        hint = "Make one for each class, and put its pictures there: cats/1.jpg, dogs/1.jpg."
        raise Problem(f"{shown} has {len(classes) or 'no'} folders of pictures, where 2 to {MOST_CLASSES:,} are expected.", hint, "data")
    # A class without training pictures would get an index that the network never learns.
    untrained = {name for part in listed.values() for name in part} - set(listed["train"])
    if untrained:
        hint = "valid/ and test/ have train/'s classes."
        raise Problem(f"{shown} has no training pictures of the class {one_line(min(untrained), 80)}.", hint, "data")
    # Counted before the first picture is read, so that too many fail at once and not after minutes.
    number = sum(len(files) for part in listed.values() for files in part.values())
    if number > MOST_PICTURES or number * 3 * size * size > most:
        raise Problem(f"{shown} has {number:,} pictures: too many at {size}x{size}.", "Set a smaller image_size, or use fewer.", "data")

    parts = {part: [_read(listing.get(name, []), size, root, bad) for name in classes] for part, listing in listed.items()}
    if bad:
        more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        raise Problem(f"{shown} has files that cannot be used: {'; '.join(bad[:NAMED])}{more}.", "Fix or remove them.", "data")
    missing = [part for part in PARTS if part not in parts]
    split = [_set_aside(pictures, missing, name, shown) for name, pictures in zip(classes, parts["train"], strict=True)]
    for part in ("train", *missing):
        parts[part] = [assigned[part] for assigned in split]
    return [_together(parts[part], part, shown) for part in PARTS], [one_line(name, 40) for name in classes]


def _classes(folder: Path, bad: list[str]) -> dict[str, list[Path]]:
    """The files in each folder of `folder`, by the folder's name; entries that are neither file nor folder go to `bad`."""
    files: dict[str, list[Path]] = {}
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            files[entry.name] = []
            for file in _entries(Path(entry.path)):
                if file.is_file(follow_symlinks=False):
                    files[entry.name].append(Path(file.path))
                else:
                    bad.append(f"{one_line(f'{entry.name}/{file.name}', 80)} is a {_kind(file)}")
        elif not entry.is_file(follow_symlinks=False):
            bad.append(f"{one_line(entry.name, 80)} is a {_kind(entry)}")
    return files


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in CLUTTER]
    return sorted(visible, key=lambda entry: entry.name)


def _kind(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return "link, and links are not followed"
    return "folder in a class's folder" if entry.is_dir(follow_symlinks=False) else "pipe or a device"


def _read(files: Sequence[Path], size: int, root: Path, bad: list[str]) -> list[Picture]:
    pictures = []
    for file in files:
        try:
            square = ImageOps.fit(read_picture(file, size), (size, size), Image.Resampling.BILINEAR)
            with file.open("rb") as opened:
                pictures.append((hashlib.file_digest(opened, "sha256").hexdigest(), np.asarray(square)))
        except Problem as problem:
            bad.append(problem.message.replace(one_line(str(file)), one_line(str(file.relative_to(root)), 80)).rstrip("."))
    return pictures


def _set_aside(pictures: Sequence[Picture], parts: Sequence[str], name: str, shown: str) -> dict[str, list[Picture]]:
    """Split a class's training pictures: a fifth for each of `parts`, the rest for train."""
    # Ordered by hash, so the split depends neither on file names nor on the order of the disk.
    order = sorted({digest for digest, _ in pictures})
    if len(order) <= len(parts):
        text = f"{shown} has {len(order) or 'no'} different picture{'s' * (len(order) != 1)} of the class {one_line(name, 80)}"
        raise Problem(f"{text}, where {len(parts) + 1} or more are needed.", "", "data")
    fifth = max(1, len(order) // 5)
    place = {digest: [*parts, "train"][min(rank // fifth, len(parts))] for rank, digest in enumerate(order)}
    return {part: [picture for picture in pictures if place[picture[0]] == part] for part in ("train", *parts)}


def _together(pictures: Sequence[Sequence[Picture]], part: str, shown: str) -> Squares:
    """The pictures of all classes of a part as arrays."""
    if not any(pictures):
        raise Problem(f"{shown} has no pictures in {part}/.", "", "data")
    pixels = np.stack([square for group in pictures for _, square in group])
    return pixels, np.repeat(np.arange(len(pictures), dtype=np.int64), [len(group) for group in pictures])
