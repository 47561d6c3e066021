"""Reads a picture from the catalogue or a person: PNG or JPEG, limited in size, upright, in RGB."""

import io
import struct
import zlib
from base64 import b64decode
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from workbench.problems import Problem, one_line

LIMIT = 80_000_000
"""Most pixels of a picture: 240 MB when decoded, more than a phone's camera makes. Pillow's own warning starts at 89 million."""


def read_picture(path: Path, side: int = 0) -> Image.Image:
    """The picture at `path` in RGB, rotated by its EXIF orientation. If `side` pixels in each direction are enough, a JPEG is decoded at an
    eighth, a quarter or half of its size, which is faster.

    Raises Problem (cause "data") where there is none, or it is neither PNG nor JPEG, is cut short, damaged, or too large to decode.
    """
    return _decoded(path, one_line(str(path)), side)


def decode_picture(text: str) -> Image.Image:
    """The same for a picture's bytes in base64."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:  # binascii's own error, or a character that is not ASCII
        raise Problem("The picture is not in base64.", "", "data") from None
    return _decoded(io.BytesIO(data), "The picture", 0)


def _decoded(source: Path | io.BytesIO, name: str, side: int) -> Image.Image:
    try:
        with Image.open(source, formats=("PNG", "JPEG")) as picture:
            width, height = picture.size
            if width * height > LIMIT:
                raise Image.DecompressionBombError
            if side:
                picture.draft(None, (2 * side, 2 * side))  # does nothing to a PNG
            picture.load()
            return eight_bits(ImageOps.exif_transpose(picture)).convert("RGB")
    except FileNotFoundError:
        raise Problem(f"There is no picture {name}.", "", "data") from None
    except Image.DecompressionBombError:
        raise Problem(
            f"{name} has more than {LIMIT:,} pixels, the most that a picture may have.", "Make it smaller first.", "data"
        ) from None
    except UnidentifiedImageError:
        raise Problem(f"{name} is neither a PNG nor a JPEG picture.", "", "data") from None
    except OSError as error:
        # Pillow raises OSError also for data that it cannot decode, but then without an errno.
        why = error.strerror if error.errno else f"it is cut short or damaged ({one_line(str(error), 80)})"
        raise Problem(f"{name} cannot be read: {why}.", "", "data") from None
    except (SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error) as error:
        raise Problem(f"{name} is damaged: {one_line(str(error), 80)}.", "", "data") from None


def eight_bits(picture: Image.Image) -> Image.Image:
    """A 16-bit PNG as 8 bits per pixel. Pillow's own conversion would clip all values above 255."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
