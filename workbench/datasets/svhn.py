"""Street View House Numbers, digits cropped to 32x32 in colour: reads MATLAB's files, strictly; the test digits are split in halves."""

import zlib
from pathlib import Path

import numpy as np

from workbench import preparation
from workbench.datasets.labelled_images import ImageData, LabelledImages
from workbench.datasets.store.fetch import fetch
from workbench.problems import Problem, one_line

SIDE = 32
"""Pixels in each direction."""


def read() -> ImageData:
    """73,257 training digits, and the 26,032 test digits in halves for validation and test, as in the course; bytes (number, 3, 32, 32).

    Raises Problem (cause "data") where a file cannot be read, or holds something else.
    """
    files = fetch("svhn")
    train, test = (_labelled(files[part]) for part in ("train", "test"))
    data = ImageData(train, test[0::2], test[1::2], [str(digit) for digit in range(10)])
    used = f"{len(train):,} to train, {len(data.valid):,} for validation, {len(data.test):,} for the test"
    preparation.found("SVHN", f"{len(train) + len(test):,} pictures of 10 classes", used)
    return data


def _labelled(path: Path) -> LabelledImages:
    """`X` (32, 32, 3, number) bytes and `y` (number, 1), in which 10 is the digit 0 (the data set's page)."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    shown = one_line(str(path))
    try:
        content = loadmat(path, variable_names=["X", "y"])
    # Of a damaged file scipy's reader says this and that, by where the damage lies.
    except (MatReadError, zlib.error, OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise Problem(f"{shown} cannot be read as a MATLAB file: {one_line(str(error), 120)}.", "Fetch it again.", "data") from None
    pixels, labels = (np.asarray(content.get(name, [])) for name in ("X", "y"))
    if pixels.dtype != np.uint8 or pixels.shape[:3] != (SIDE, SIDE, 3) or pixels.ndim != 4:
        raise Problem(f"{shown} holds no 32x32 pictures in colour as X.", "Fetch it again.", "data")
    if labels.size != pixels.shape[3] or not np.isin(labels, np.arange(1, 11)).all():
        raise Problem(f"{shown} has not one label from 1 to 10 for each of its {pixels.shape[3]:,} pictures.", "Fetch it again.", "data")
    return LabelledImages(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels.ravel().astype(np.int64) % 10)
