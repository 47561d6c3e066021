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


def pictures(tag: str, images: Any, captions: Sequence[str] = (), columns: int = 8, cells: Sequence[tuple[int, int]] = ()) -> Images:
    """The event that shows pictures, as `grid_png` takes them, with a caption each, which may be empty; `cells` as of `examples`."""
    columns = min(columns, len(images))
    texts = list(captions) or [""] * len(images)
    return Images(tag=tag, png=grid_png(images, columns), captions=texts, columns=columns, cells=list(cells))


def confusion(targets: Any, predictions: Any, classes: Sequence[str], tag: str = "confusion") -> Matrix:
    """How often each class (a row) was taken for each (a column), from two arrays of class indices."""
    number = len(classes)
    pairs = np.bincount(_array(targets) * number + _array(predictions), minlength=number**2).astype(float)
    names = list(classes)
    return Matrix(tag=tag, values=pairs.reshape(number, number).tolist(), rows=names, columns=names)


def examples(targets: Any, predictions: Any, chances: Any, each: int = 3, most: int = 300) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Which examples to show for the cells of a confusion matrix, and the (row, column) of each.

    `chances` (number,) are the probabilities of the predictions. The surest mistakes of each cell come first, as they say most about
    what was learnt, and of what was right the least sure. At most `each` for a cell and `most` in all: the first of every cell before
    its second.
    """
    targets, predictions, chances = _array(targets), _array(predictions), _array(chances)
    order = np.argsort(np.where(targets == predictions, chances, -chances), kind="stable")
    cells = np.stack([targets, predictions], 1)[order]
    # Sorted by cell, an example's rank is its distance from where its cell begins.
    by_cell = np.lexsort((np.arange(len(cells)), cells[:, 1], cells[:, 0]))
    starts = np.r_[True, (np.diff(cells[by_cell], axis=0) != 0).any(1)]
    places = np.arange(len(cells))
    rank = places - np.maximum.accumulate(np.where(starts, places, 0))
    kept = by_cell[rank < each][np.argsort(rank[rank < each], kind="stable")][:most]
    kept = kept[np.lexsort((kept, cells[kept, 1], cells[kept, 0]))]
    return order[kept], [(int(row), int(column)) for row, column in cells[kept]]


def by_class(matrix: Matrix, tag: str = "classes") -> Table:
    """Of each class of a confusion matrix: how many examples there are, and how many were named rightly."""
    rows: list[list[str | float]] = []
    for index, (name, row) in enumerate(zip(matrix.rows, matrix.values, strict=True)):
        total = sum(row)
        rows.append([name, total, row[index], row[index] / total if total else math.nan])
    return Table(tag=tag, columns=["class", "examples", "right", "accuracy"], rows=rows)


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
