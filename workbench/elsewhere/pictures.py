"""Pictures as scripts have them (PNG, Pillow, matplotlib, arrays, tensors) as one event of the log."""

import io
from collections.abc import Sequence
from typing import Any

from workbench.events import Images
from workbench.problems import Problem, clean

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 4096
"""Most pixels of the longer side that are kept; a larger picture is made smaller."""
MOST = 256
"""Most pictures of a batch."""


def images(tag: str, picture: Any, captions: Sequence[str] = (), columns: int = 8) -> Images:
    """The event that shows a picture, or a batch of them. TypeError where it is none; Problem where it has the wrong shape."""
    if not isinstance(tag, str):
        raise TypeError(f"The tag of a picture is a text such as 'samples/digits', not {type(tag).__name__}.")
    texts = [clean(str(caption)) for caption in captions]
    if isinstance(picture, bytes | bytearray):
        if not picture.startswith(PNG):
            raise TypeError("The bytes of a picture are those of a PNG file; give other formats as a picture of Pillow.")
        return Images(tag=tag, png=bytes(picture), captions=texts[:1])
    if callable(save := getattr(picture, "savefig", None)):  # a figure of matplotlib
        file = io.BytesIO()
        save(file, format="png")
        return Images(tag=tag, png=file.getvalue(), captions=texts[:1])
    if callable(getattr(picture, "save", None)) and hasattr(picture, "mode"):
        return Images(tag=tag, png=_png(picture), captions=texts[:1])
    batch = _batch(picture)
    columns = max(1, min(columns, len(batch)))
    return Images(tag=tag, png=_sheet(batch, columns), captions=texts[: len(batch)], columns=columns)


def _png(picture: Any) -> bytes:
    file = io.BytesIO()
    if max(picture.size) > LARGEST:
        picture = picture.copy()
        picture.thumbnail((LARGEST, LARGEST))
    (picture if picture.mode in ("1", "L", "P", "RGB", "RGBA") else picture.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def _batch(picture: Any) -> Any:
    """Bytes, (number, height, width, channels) with 1 or 3 channels, of an array or tensor in any of the usual orders of axes."""
    import numpy as np

    array = np.asarray(picture.detach().cpu().float() if hasattr(picture, "detach") else picture)
    if array.dtype == object or array.ndim < 2:
        raise TypeError(f"A picture is a PNG, a picture of Pillow, a figure or an array, not {type(picture).__name__}.")
    if array.ndim == 2 or (array.ndim == 3 and (array.shape[0] in (1, 3, 4) or array.shape[-1] in (1, 3, 4))):
        array = array[None]
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim == 4 and array.shape[-1] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise Problem(f"an array of the shape {array.shape} is no picture and no batch of them.")
    array = array[:MOST, ..., : 3 if array.shape[-1] >= 3 else 1]
    if array.dtype == np.uint8:
        return array
    numbers: Any = np.nan_to_num(array.astype(np.float32))
    # Whole numbers, and a tensor that held bytes, go up to 255.
    if array.dtype.kind in "iu" or numbers.max(initial=0) > 2:
        numbers = numbers / 255
    return np.rint(numbers.clip(0, 1) * 255).astype(np.uint8)


def _sheet(batch: Any, columns: int) -> bytes:
    """One PNG with the pictures row by row and no gaps; the last row's rest is black."""
    import numpy as np
    from PIL import Image

    number, height, width, channels = batch.shape
    rows = -(-number // columns)
    tiles = np.zeros((rows * columns, height, width, channels), np.uint8)
    tiles[:number] = batch
    # (row, column, y, x, channel) → (row, y, column, x, channel)
    sheet = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    return _png(Image.fromarray(sheet[..., 0] if channels == 1 else sheet))
