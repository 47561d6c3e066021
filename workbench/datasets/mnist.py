"""MNIST and Fashion-MNIST: reads their idx files, strictly, and splits as the course does."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem

CLASSES = {
    "mnist": [str(digit) for digit in range(10)],
    "fashion-mnist": ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"],
}
TRAIN, TEST = 60_000, 10_000
"""Pictures in the files of either set."""
VALID = 12_000
"""Validation pictures: 20 % of the 60,000 training pictures, as in the course."""


def read(name: str = "mnist") -> ImageData:
    """48,000 training and 12,000 validation pictures, split by one fixed shuffle, and the 10,000 test pictures, each (1, 28, 28)."""
    files = fetch(name)
    train = _labelled(files["train-images"], files["train-labels"], TRAIN)
    test = test_pictures(name)
    order = np.random.default_rng(0).permutation(len(train))
    return ImageData(train[order[VALID:]], train[order[:VALID]], test, CLASSES[name])


def test_pictures(name: str = "mnist") -> LabelledImages:
    """The 10,000 test pictures alone, read in a moment: for lessons that look at a few pictures and train on none."""
    files = fetch(name)
    return _labelled(files["test-images"], files["test-labels"], TEST)


def _labelled(images: Path, labels: Path, count: int) -> LabelledImages:
    pixels = read_idx(images, (count, 28, 28))
    numbers = read_idx(labels, (count,))
    if numbers.max() > 9:
        raise Problem(f"{labels} has a label {numbers.max()}, where 0 to 9 are expected.", "", "data")
    return LabelledImages(pixels[:, None].astype(np.float32) / 255, numbers.astype(np.int64))


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The unsigned bytes of a gzipped idx file: two zero bytes, type 8, the number of axes, their lengths as big-endian
    32-bit numbers, then the values (the format is described on the MNIST site).

    Raises Problem where the file is damaged or has another shape.
    """
    # Type 8 is unsigned byte.
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
    size = len(header) + math.prod(shape)
    try:
        with gzip.open(path) as stream:
            # One byte more than expected: a file that is too long is noticed, and a decompression bomb does no harm.
            content = stream.read(size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Problem(f"{path} is cut short or damaged: it cannot be unzipped.", "Fetch it again.", "data") from None
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}.", "", "data") from None
    if content[:4] != header[:4]:
        raise Problem(f"{path} is not an idx file of bytes with {len(shape)} axes.", "", "data")
    if content[: len(header)] != header:
        actual = tuple(np.frombuffer(content[4 : len(header)], ">u4").tolist())
        raise Problem(f"{path} holds an array of shape {actual}, where {shape} is expected.", "", "data")
    if len(content) != size:
        kind = "more" if len(content) > size else "fewer"
        raise Problem(f"{path} holds {kind} values than its header says.", "", "data")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
