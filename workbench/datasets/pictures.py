"""Reads a picture from the catalogue or a person: PNG or JPEG, limited in size, upright, transparent parts over a background, in RGB."""

import io
import struct
import zlib
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from workbench.problems import Problem, one_line

LIMIT = 80_000_000
"""Most pixels of a picture: 240 MB when decoded, more than a phone's camera makes. Pillow's own warning starts at 89 million."""
ENDINGS = {".jpg", ".jpeg", ".png"}
DEEP = 16
"""Bits of a number in a picture with more than one byte for each."""
LEVELS = {"L;2": 85, "L;4": 17}
"""By Pillow's raw modes, the step between two grey values of a PNG with so few bits: Pillow scales them, but not the transparent one."""

Background = Literal["white", "grey", "black"]
"""What lies under the transparent parts of a picture."""


@dataclass(frozen=True)
class Decoding:
    """How the pictures of a set become RGB, the same for each of them and for those that a trained network is asked about."""

    background: Background = "white"
    bits: int = 0
    """Bits that the numbers of 16-bit pictures use, 8 to 16; 0: as many as the picture's own largest number needs."""


PLAIN = Decoding()


@dataclass(frozen=True)
class Decoded:
    """A picture in RGB, and what its file was like."""

    image: Image.Image
    size: tuple[int, int]
    """Width and height of the file's picture; `image` may be smaller, as `read_picture` says."""
    transparent: bool
    """Whether any pixel was not opaque."""
    bits: int
    """Bits that its largest number needs, 8 to 16; 0 where the file has at most 8 for each."""
    frames: int
    """Pictures in the file; only the first one is read."""


def read_picture(path: Path, side: int = 0, decoding: Decoding = PLAIN) -> Image.Image:
    """The picture at `path` in RGB, rotated by its EXIF orientation. If `side` pixels in each direction are enough, a JPEG is decoded at an
    eighth, a quarter or half of its size, which is faster.

    Raises Problem (cause "data") where there is none, or it is neither PNG nor JPEG, is cut short, damaged, or too large to decode.
    """
    return decoded(path, one_line(str(path)), side, decoding).image


def decode_picture(text: str, decoding: Decoding = PLAIN) -> Image.Image:
    """The same for a picture's bytes in base64."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:  # binascii's own error, or a character that is not ASCII
        raise Problem("The picture is not in base64.", "", "data") from None
    return picture_of(data, 0, decoding)


def picture_of(data: bytes, side: int = 0, decoding: Decoding = PLAIN) -> Image.Image:
    """The same for the content of a picture's file."""
    return decoded(io.BytesIO(data), "The picture", side, decoding).image


def decoded(source: Path | io.BytesIO, name: str, side: int, decoding: Decoding) -> Decoded:
    """A picture and what its file was like; `name` is what messages call it."""
    try:
        with Image.open(source, formats=("PNG", "JPEG")) as picture:
            width, height = picture.size
            if width * height > LIMIT:
                raise Image.DecompressionBombError
            raw = str(picture.tile[0].args) if picture.tile else ""
            # A PNG may be an animation. A JPEG with several pictures holds small or three-dimensional copies of the same one.
            frames = int(getattr(picture, "n_frames", 1)) if picture.format == "PNG" else 1
            if side:
                picture.draft(None, (2 * side, 2 * side))  # does nothing to a PNG
            picture.load()
            eight, bits = _eight_bits(ImageOps.exif_transpose(picture), raw, decoding.bits)
            opaque, transparent = _opaque(eight, decoding.background)
            return Decoded(opaque, (width, height), transparent, bits, frames)
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


def _eight_bits(picture: Image.Image, raw: str, bits: int) -> tuple[Image.Image, int]:
    """A picture with 8 bits for each number, and how many its largest number needs, 0 where there were no more than 8.

    `raw` is Pillow's raw mode of the file, `bits` how many to scale by; 0: as many as it needs.
    """
    transparent = picture.info.get("transparency")
    if picture.mode.startswith("I"):
        values = np.asarray(picture).clip(0, 65535)
        needed = max(8, int(values.max()).bit_length())
        # Pillow's own conversion would clip all values above 255.
        grey = Image.fromarray((values >> ((bits or needed) - 8)).clip(0, 255).astype(np.uint8))
        if isinstance(transparent, int):
            grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        return grey, needed
    if raw in LEVELS and isinstance(transparent, int):
        picture.info["transparency"] = transparent * LEVELS[raw]
    if f";{DEEP}" not in raw:
        return picture, 0
    # In colour, or with alpha, Pillow reads the upper 8 of 16 bits.
    if isinstance(transparent, tuple):
        picture.info["transparency"] = tuple(value >> 8 for value in transparent)
        picture = picture.convert("RGBA")
    bands = picture.split()
    needed = 8 + max(int(np.asarray(band).max()).bit_length() for band in bands[:3])
    missing = DEEP - (bits or needed)
    brighter = [band.point([min(255, value << missing) for value in range(256)]) for band in bands[:3]]
    return Image.merge(picture.mode, [*brighter, *bands[3:]]), needed


def _opaque(picture: Image.Image, background: Background) -> tuple[Image.Image, bool]:
    """A picture in RGB, transparent parts over the background, and whether it had any."""
    if not picture.has_transparency_data:
        return picture.convert("RGB"), False
    layer = picture.convert("RGBA")
    if np.asarray(layer.getchannel("A")).min() == 255:
        return layer.convert("RGB"), False
    return Image.alpha_composite(Image.new("RGBA", layer.size, background), layer).convert("RGB"), True
