"""Grids of pictures as events, from arrays or tensors: lessons show samples with them, and the preview of a data set does."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from workbench.events import Images


def grid_png(images: Any, columns: int) -> bytes:
    """A PNG with the pictures row by row and no gaps, so that a tile is `width / columns` wide and can be cut out again.

    `images`: array or tensor, (number, height, width) or (number, channels, height, width) with 1 or 3 channels, in
    [0, 1]; what is outside is clipped. Places left over in the last row are black.
    """
    # A diverged network gives NaN, which has no defined value as a byte: it is drawn black.
    pixels = np.nan_to_num(as_array(images).astype(np.float32))
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    number, channels, height, width = pixels.shape
    rows = math.ceil(number / columns)
    tiles = np.zeros((rows * columns, channels, height, width), np.uint8)
    tiles[:number] = np.rint(pixels.clip(0, 1) * 255)
    # (row, column, channel, y, x) → (row, y, column, x, channel)
    sheet = tiles.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    file = io.BytesIO()
    # Pillow has no colour mode with an axis of one channel.
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(file, "PNG")
    return file.getvalue()


def pictures(tag: str, images: Any, captions: Sequence[str] = (), columns: int = 8, cells: Sequence[tuple[int, int]] = ()) -> Images:
    """The event that shows pictures, as `grid_png` takes them, with a caption each, which may be empty.

    `cells` (row, column) of a confusion matrix name where each picture belongs.
    """
    columns = min(columns, len(images))
    texts = list(captions) or [""] * len(images)
    return Images(tag=tag, png=grid_png(images, columns), captions=texts, columns=columns, cells=list(cells))


def as_array(values: Any) -> np.ndarray:
    """An array of the values; a tensor is detached and copied from its device. So nothing here imports torch."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
