"""Pictures and class tables as events: grids of pictures, confusion matrices, right answers by class. For any project."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from workbench.events import Images, Matrix, Table


def grid_png(images: Any, columns: int) -> bytes:
    """A PNG with the pictures row by row and no gaps, so that a tile is `width / columns` wide and can be cut out again.

    `images`: array or tensor, (number, height, width) or (number, channels, height, width) with 1 or 3 channels, in
    [0, 1]; what is outside is clipped. Places left over in the last row are black.
    """
    pixels = np.nan_to_num(_array(images).astype(np.float32))
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    number, channels, height, width = pixels.shape
    rows = math.ceil(number / columns)
    tiles = np.zeros((rows * columns, channels, height, width), np.uint8)
    tiles[:number] = np.rint(pixels.clip(0, 1) * 255)
    # (row, column, channel, y, x) → (row, y, column, x, channel)
    sheet = tiles.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    out = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(out, "PNG")
    return out.getvalue()


def pictures(tag: str, images: Any, captions: Sequence[str] = (), columns: int = 8) -> Images:
    """The event that shows pictures, as `grid_png` takes them, with a caption each, which may be empty."""
    columns = min(columns, len(images))
    return Images(tag=tag, png=grid_png(images, columns), captions=list(captions) or [""] * len(images), columns=columns)


def confusion(targets: Any, predictions: Any, classes: Sequence[str], tag: str = "confusion") -> Matrix:
    """How often each class (a row) was taken for each (a column), from two arrays of class indices."""
    number = len(classes)
    pairs = np.bincount(_array(targets) * number + _array(predictions), minlength=number**2).astype(float)
    names = list(classes)
    return Matrix(tag=tag, values=pairs.reshape(number, number).tolist(), rows=names, columns=names)


def by_class(matrix: Matrix, tag: str = "classes") -> Table:
    """Of each class of a confusion matrix: how many examples there are, and how many were named rightly."""
    rows: list[list[str | float]] = []
    for index, (name, row) in enumerate(zip(matrix.rows, matrix.values, strict=True)):
        total = sum(row)
        rows.append([name, total, row[index], row[index] / total if total else math.nan])
    return Table(tag=tag, columns=["class", "examples", "right", "accuracy"], rows=rows)


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
