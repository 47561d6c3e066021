"""Reads a picture, the catalogue's or a person's own: PNG or JPEG, bounded, upright, in RGB."""

import io
import struct
import zlib
from base64 import b64decode
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from workbench.problems import Problem, one_line

LIMIT = 80_000_000
"""Most pixels that a picture may have: 240 MB once decoded, more than any phone's camera makes. Pillow warns above 89 million."""


def read_picture(path: Path, side: int = 0) -> Image.Image:
    """The picture at `path`, turned upright as its camera says, in RGB. Where `side` pixels each way are enough, a JPEG is decoded at
    an eighth, a quarter or half of its size, which is quicker.

    Raises Problem (cause "data") where there is none, where it is neither PNG nor JPEG, cut short, damaged, or too big to decode.
    """
    return _decoded(path, one_line(str(path)), side)


def decode_picture(text: str) -> Image.Image:
    """The same for a picture's bytes in base64."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:  # binascii's, or that a letter is not ASCII
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
        raise Problem(f"{name} has more than the {LIMIT:,} pixels that a picture may have.", "Make it smaller first.", "data") from None
    except UnidentifiedImageError:
        raise Problem(f"{name} is neither a PNG nor a JPEG picture.", "", "data") from None
    except OSError as error:
        # Pillow raises OSError for what it cannot decode, too, but then without a number.
        why = error.strerror if error.errno else f"it is cut short or damaged ({one_line(str(error), 80)})"
        raise Problem(f"{name} cannot be read: {why}.", "", "data") from None
    except (SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error) as error:
        raise Problem(f"{name} is damaged: {one_line(str(error), 80)}.", "", "data") from None


def eight_bits(picture: Image.Image) -> Image.Image:
    """A PNG of 16 bits a pixel as one of 8: Pillow would cut off all that is brighter than 255."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
