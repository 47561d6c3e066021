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
from PIL import __version__ as version

from workbench.problems import Problem, one_line

LIMIT = 80_000_000
"""Most pixels of a picture: 240 MB when decoded, more than a phone's camera makes. Pillow's own warning starts at 89 million."""
ENDINGS = {".jpg", ".jpeg", ".png"}
DEEP = 16
"""Bits of a number in a picture with more than one byte for each."""
LEVELS = {"L;2": 85, "L;4": 17}
"""By Pillow's raw modes, the step between two grey values of a PNG with so few bits: Pillow scales them, but not the transparent one."""
LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
"""By Pillow's raw modes of 16-bit colour, where it keeps the upper byte of each number, the raw mode that keeps the lower one.

A pixel of grey and alpha has as many bytes as one of RGBA, which has all four: upper and lower of grey, upper and lower of alpha."""

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
            lower = _lower(source, raw, name) if f";{DEEP}" in raw and not picture.mode.startswith("I") else None
            eight, bits = _eight_bits(ImageOps.exif_transpose(picture), raw, lower, decoding.bits)
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


def _lower(source: Path | io.BytesIO, raw: str, name: str) -> tuple[Image.Image, ...]:
    """The lower bytes of 16-bit red, green and blue, or of grey. Raises Problem where this Pillow does not give them."""
    try:
        with Image.open(source, formats=("PNG",)) as picture:
            picture.tile = [picture.tile[0]._replace(args=LOWER[raw])]
            picture.load()
            bands = ImageOps.exif_transpose(picture).split()
    except (KeyError, ValueError):  # a raw mode that it does not know
        text = f"{name} has 16-bit colours, of which Pillow {version} reads the upper 8 bits alone."
        raise Problem(text, "Save it with 8 bits for each colour.", "data") from None
    return bands[1:2] if raw.startswith("LA") else bands[:3]


def _eight_bits(picture: Image.Image, raw: str, lower: tuple[Image.Image, ...] | None, bits: int) -> tuple[Image.Image, int]:
    """A picture with 8 bits for each number, and how many its largest number needs, 0 where there were no more than 8.

    `raw` is Pillow's raw mode of the file, `lower` has the lower bytes of 16-bit colours, `bits` how many to scale by; 0: as many as it
    needs.
    """
    transparent = picture.info.get("transparency")
    if picture.mode.startswith("I"):
        values = [np.asarray(picture).clip(0, 65535)]
        transparent = (transparent,) if isinstance(transparent, int) else None
    elif lower:
        # Band by band where it can be: all at once need their memory several times.
        values = [np.asarray(high).astype(np.uint16) << 8 | np.asarray(low) for high, low in zip(picture.split(), lower, strict=False)]
    else:
        if raw in LEVELS and isinstance(transparent, int):
            picture.info["transparency"] = transparent * LEVELS[raw]
        return picture, 0
    needed = max(8, *(int(band.max()).bit_length() for band in values))
    # Pillow's own conversion would clip all values above 255.
    bands = [Image.fromarray((band >> ((bits or needed) - 8)).clip(0, 255).astype(np.uint8)) for band in values]
    eight = Image.merge("RGB" if len(bands) == 3 else "L", bands)
    if isinstance(transparent, tuple):
        clear = np.logical_and.reduce([band == value for band, value in zip(values, transparent, strict=True)])
        eight.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    elif "A" in picture.getbands():
        eight.putalpha(picture.getchannel("A"))
    return eight, needed


def _opaque(picture: Image.Image, background: Background) -> tuple[Image.Image, bool]:
    """A picture in RGB, transparent parts over the background, and whether it had any."""
    if not picture.has_transparency_data:
        return picture.convert("RGB"), False
    layer = picture.convert("RGBA")
    if np.asarray(layer.getchannel("A")).min() == 255:
        return layer.convert("RGB"), False
    return Image.alpha_composite(Image.new("RGBA", layer.size, background), layer).convert("RGB"), True
