"""Pictures as half cells (▀: front colour above, back colour below) or quarters; the Picture widget shows an Images event."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from textual.geometry import Region

from workbench.problems import Problem, one_line
from workbench.tui.charts.canvas import Canvas
from workbench.tui.charts.cells import Cells, cut, text_width

Pixels = NDArray[np.uint8]
"""Red, green, blue: shape (height, width, 3)."""

PIXEL_LIMIT = 16_000_000
"""More pixels than this are not decoded."""
UPPER_HALF = 0x2580
_QUARTERS = {"▀": "1100", "▌": "1010", "▚": "1001", "▘": "1000", "▝": "0100", "▖": "0010", "▗": "0001"}
"""The quarters of a cell that its front colour fills: upper left, upper right, lower left, lower right."""
COLORED = 1 << 63
"""Keys with this bit are a front colour (bits 24-47) on a back colour (bits 0-23)."""
OPEN = 1 << 62
"""… and with this one the back is the widget's own."""
CAPTION, NOTE = 1, 2
_SMALLEST = 8
"""Tiles with captions are not made narrower than so many pixels: fewer are shown instead."""

_CUBE = np.array([0, 95, 135, 175, 215, 255], np.float32)
# What Rich takes a terminal's 16 colours for: the dark ones, yellow being brown, and the bright ones.
_DARK = [[red, green, blue] for blue in (0, 170) for green in (0, 170) for red in (0, 170)]
_SIXTEEN = np.array([*_DARK[:3], [170, 85, 0], *_DARK[4:], *([min(255, c + 85) for c in color] for color in _DARK)], np.float32)
# Bayer's ordered dither, 4 x 4, as offsets in -0.5 … 0.5.
_BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) + 0.5) / 16 - 0.5


def decode(data: bytes, formats: tuple[str, ...] = ("PNG",)) -> Pixels:
    """The pixels of a picture. Raises Problem where it is none of these formats, is damaged, or is too large."""
    from PIL import Image, UnidentifiedImageError

    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(BytesIO(data), formats=formats) as picture,
        ):
            width, height = picture.size
            if width * height > PIXEL_LIMIT:
                raise Problem(f"The picture is too large to show: {width} x {height} pixels.", f"At most {PIXEL_LIMIT:,} are shown.")
            return np.asarray(picture.convert("RGB"))
    except Problem:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Problem("The picture is too large to show.") from None
    except UnidentifiedImageError:
        raise Problem(f"The picture is no {' or '.join(formats)}.") from None
    except Exception as error:
        # Pillow raises a dozen kinds for damaged files, SyntaxError and struct.error among them.
        raise Problem("The picture cannot be read.", one_line(str(error) or type(error).__name__, 80)) from error


def as_pixels(array: NDArray[np.generic]) -> Pixels:
    """An array of shape (height, width), (height, width, 1) or (height, width, 3) as pixels; numbers are taken as 0 … 255."""
    values = np.asarray(array)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3):
        raise Problem(f"A picture has the shape (height, width, 3), not {values.shape}.")
    if values.dtype != np.uint8:
        values = np.clip(np.nan_to_num(values.astype(np.float64)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))


def scaled(pixels: Pixels, width: int, height: int, across: int = 1) -> Pixels:
    """The picture as large as fits into `width` x `height` pixels: whole multiples when it grows, averaged areas when it shrinks.

    Each pixel is made of `across` narrow ones beside each other.
    """
    tall, wide = pixels.shape[:2]
    if not (tall and wide and width > 0 and height > 0):
        return pixels[:0, :0]
    share = min(width / wide, height / tall)
    if share >= 1:
        return pixels.repeat(int(share), axis=0).repeat(int(share) * across, axis=1)
    from PIL import Image

    size = max(1, round(wide * share)) * across, max(1, round(tall * share))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def half_cells(pixels: Pixels) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Codes and keys of the cells that show these pixels, two rows of pixels to a row of cells."""
    tall, wide = pixels.shape[:2]
    packed = pixels.astype(np.uint64) @ np.array([1 << 16, 1 << 8, 1], np.uint64)
    if tall % 2:
        packed = np.concatenate([packed, np.zeros((1, wide), np.uint64)])
    keys = np.uint64(COLORED) | packed[0::2] << np.uint64(24) | packed[1::2]
    if tall % 2:
        keys[-1] |= np.uint64(OPEN)
    return np.full(keys.shape, UPPER_HALF, np.uint32), keys


def quarter_cells(pixels: Pixels, colors: str | None) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Codes and keys of the cells that show 2 x 2 of these pixels each: of the ways to part four in two, the one that loses least."""
    tall, wide = pixels.shape[:2]
    few = colors not in ("truecolor", "256")
    if few:
        pixels = reduced(pixels, colors)
    even = tall - tall % 2
    four = pixels[:even].reshape(even // 2, 2, wide // 2, 2, 3).swapaxes(1, 2).reshape(even // 2, wide // 2, 4, 3).astype(np.float32)
    masks = np.array([[mark == "1" for mark in marks] for marks in _QUARTERS.values()])[:, None, None, :, None]
    fronts = (four * masks).sum(3) / masks.sum(3)  # (ways, rows, columns, 3)
    backs = (four * ~masks).sum(3) / (~masks).sum(3)
    losses = ((four - np.where(masks, fronts[..., None, :], backs[..., None, :])) ** 2).sum((3, 4))
    way = losses.argmin(0)[None, ..., None]
    pairs = [np.take_along_axis(shades, way, 0)[0] for shades in (fronts, backs)]
    codes, keys = half_cells(reduced(np.stack(pairs, 1).reshape(even, wide // 2, 3).astype(np.uint8), colors, dither=not few))
    codes = np.array([ord(quarter) for quarter in _QUARTERS], np.uint32)[way[0, ..., 0]]
    if tall % 2:
        last = half_cells(reduced(pixels[-1:].reshape(1, wide // 2, 2, 3).mean(2).astype(np.uint8), colors, dither=not few))
        codes, keys = np.concatenate([codes, last[0]]), np.concatenate([keys, last[1]])
    return codes, keys


def color_style(key: int, ground: Style) -> Style:
    """The style of a key with COLORED set; `ground` gives the back of a half-open one."""
    front, back = key >> 24 & 0xFFFFFF, key & 0xFFFFFF
    if key & OPEN:
        return ground + Style(color=f"#{front:06x}")
    return _pair(front, back)


@lru_cache(1 << 14)
def _pair(front: int, back: int) -> Style:
    return Style(color=f"#{front:06x}", bgcolor=f"#{back:06x}")


def reduced(pixels: Pixels, colors: str | None, dither: bool = True) -> Pixels:
    """The picture in colours that a terminal of this kind has, the nearest of them; dithered where there are few.

    For true colour 6 bits a channel are kept: nobody sees the difference, and runs of one colour grow longer.
    """
    if colors == "truecolor":
        return pixels & np.uint8(0xFC) | pixels >> np.uint8(6)
    tall, wide = pixels.shape[:2]
    colored = pixels.astype(np.float32)
    if dither:
        noise = np.tile(_BAYER, (tall // 4 + 1, wide // 4 + 1))[:tall, :wide, None]
        # 256 colours have greys enough.
        strength = np.where(np.ptp(colored, axis=2, keepdims=True) > 24, 24, 0) if colors == "256" else 80
        colored = np.clip(colored + noise * strength, 0, 255)
    if colors == "256":
        # The cube's levels and the ramp of greys, as xterm has them; each channel of the cube is nearest by itself.
        cube = _CUBE[np.abs(colored[..., None] - _CUBE).argmin(axis=-1)]
        grey = np.clip(np.rint((colored.mean(axis=2, keepdims=True) - 8) / 10), 0, 23) * 10 + 8
        nearer = ((colored - grey) ** 2).sum(axis=2) < ((colored - cube) ** 2).sum(axis=2)
        return np.asarray(np.where(nearer[..., None], grey, cube), np.uint8)
    distance = ((colored[:, :, None, :] - _SIXTEEN) ** 2).sum(axis=3)
    return np.asarray(_SIXTEEN[distance.argmin(axis=2)], np.uint8)


@dataclass(frozen=True, slots=True)
class Layout:
    """How tiles are laid out: how many are shown, in how many columns, each in so many cells (the caption's row not counted)."""

    shown: int
    columns: int
    width: int
    height: int


def lay_out(count: int, tile: tuple[int, int], columns: int, captions: int, width: int, height: int, step: int = 1) -> Layout:
    """The layout of `count` tiles of (height, width) pixels in `width` x `height` cells, with `captions` rows for the caption of each.

    Tiles flow anew where that makes them a quarter larger, groups of `step` staying beside each other; the last ones are left out where all
    would be too small to recognise.
    """
    tall, wide = tile

    def share(shown: int, across: int) -> float:
        down = -(-shown // across)
        room = (width - (across - 1)) // across, (height - down * captions) // down * 2
        return min(room[0] / wide, room[1] / tall)

    def best(shown: int) -> int:
        grid = min(columns, shown)
        reflowed = max(range(min(step, shown), shown + 1, step), key=lambda across: share(shown, across))
        small = share(shown, grid) * wide < smallest or share(shown, reflowed) > 1.25 * share(shown, grid)
        return reflowed if small else grid

    smallest = min(wide, _SMALLEST)
    shown, across = count, best(count)
    while shown > 1 and share(shown, across) * wide < smallest:
        shown -= 1
        across = best(shown)
    down = -(-shown // across)
    return Layout(shown, across, max(0, (width - (across - 1)) // across), max(0, (height - down * captions) // down))


def tiles(pixels: Pixels, columns: int, captions: Sequence[str]) -> list[Pixels]:
    """The pictures of a grid that captions stand for, row by row; without captions the grid is one picture."""
    if not captions:
        return [pixels]
    columns = max(1, min(columns, pixels.shape[1]))
    rows = min(-(-len(captions) // columns), pixels.shape[0])
    parts = [part for row in np.array_split(pixels, rows, axis=0) for part in np.array_split(row, columns, axis=1)]
    return parts[: len(captions)]


def draw(
    pixels: Pixels,
    columns: int,
    captions: Sequence[str],
    width: int,
    height: int,
    colors: str | None,
    only: Sequence[int] | None = None,
) -> Cells:
    """A grid of pictures with a caption under each, in `width` x `height` cells; `only` names by their place those that are shown."""
    cells = Cells(width, height)
    if not (pixels.size and width > 0 and height > 0):
        return cells
    named = int(any(captions) and height >= 3)
    pictures = tiles(pixels, columns, captions)
    if only is not None:
        only = [place for place in only if place < len(pictures)]
        pictures, captions, columns = [pictures[place] for place in only], [captions[place] for place in only], len(only)
        if not pictures:
            return cells
    step = 2 if named and len(captions) > 2 and len(set(captions[::2])) == 1 else 1  # every second caption is the same: pairs
    layout = lay_out(len(pictures), pictures[0].shape[:2], columns, named, width, height, step)
    first = scaled(pictures[0], layout.width, layout.height * 2)
    longest = max(map(text_width, captions)) if named else -1
    if longest > max(first.shape[1], 13):
        taller = lay_out(len(pictures), pictures[0].shape[:2], columns, 2, width, height, step)
        if scaled(pictures[0], taller.width, taller.height * 2).shape == first.shape and taller.shown == layout.shown:
            layout, named = taller, 2
    pitch = max(first.shape[1] + 1, min(layout.width + 1, min(14, longest + 1))), -(-first.shape[0] // 2) + named
    down = -(-layout.shown // layout.columns)
    if not named and down * (pitch[1] + 1) <= height + 1:
        pitch = pitch[0], pitch[1] + 1  # a free row between them, where there is one
    for number, tile in enumerate(pictures[: layout.shown]):
        left, top = number % layout.columns * pitch[0], number // layout.columns * pitch[1]
        codes, keys = quarter_cells(scaled(tile, layout.width, layout.height * 2, 2), colors)
        rows, across = codes.shape
        place = (slice(top, min(top + rows, height)), slice(left, min(left + across, width)))
        cells.codes[place], cells.keys[place] = codes[: height - top, : width - left], keys[: height - top, : width - left]
        for row, line in enumerate(_caption(captions[number], min(pitch[0] - 1, width - left), named) if number < len(captions) else ()):
            cells.write(left, top + rows + row, line, CAPTION)
    if layout.shown < len(pictures):
        note = f"+{len(pictures) - layout.shown}"
        cells.write(width - text_width(note), height - 1, note, NOTE)
    return cells


def _caption(text: str, room: int, rows: int) -> list[str]:
    """A caption in at most so many rows: where it is too long it goes on below from its arrow, or else from a space."""
    if rows < 2 or text_width(text) <= room:
        return [cut(text, room)][:rows]
    place = text.find("→") if "→" in text else text.rfind(" ", 0, room + 1)
    first, rest = (text[:place], text[place:].strip()) if place > 0 else (text[:room], text[room:])
    return [cut(first, room), cut(rest, room)]


class Picture(Canvas):
    """One picture, or a grid of them with captions. `show` takes PNG bytes or an array; what cannot be shown is said in words."""

    BACKGROUNDS = True
    COMPONENT_CLASSES = {"picture--caption", "picture--note"}
    DEFAULT_CSS = """
    Picture {
        height: 1fr; width: 1fr; min-height: 1;
        & > .picture--caption { color: $foreground 75%; }
        & > .picture--note { color: $foreground 55%; }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._pixels: Pixels = np.zeros((0, 0, 3), np.uint8)
        self._columns = 1
        self._captions: Sequence[str] = ()
        self._only: Sequence[int] | None = None
        self._message = ""

    def show(
        self, picture: bytes | NDArray[np.generic], *, columns: int = 1, captions: Sequence[str] = (), only: Sequence[int] | None = None
    ) -> list[Region]:
        """Show a PNG, or an array of shape (height, width[, 3]), that holds `columns` pictures a row; returns the repainted regions.

        With `only`, pictures of these places, counted row by row, and no others.
        """
        try:
            self._pixels = decode(picture) if isinstance(picture, bytes) else as_pixels(picture)
            self._message = ""
        except Problem as problem:
            return self.say(str(problem))
        self._columns, self._captions, self._only = columns, tuple(captions), only
        return self.redraw()

    def say(self, message: str) -> list[Region]:
        """Show words in place of a picture."""
        self._message = message
        return self.redraw()

    def draw(self, width: int, height: int) -> Cells:
        if self._message:
            cells = Cells(width, height)
            for row, start in enumerate(range(0, len(self._message), max(1, width))):
                cells.write(0, row, self._message[start : start + width], NOTE)
            return cells
        return draw(self._pixels, self._columns, self._captions, width, height, self.terminal_colors, self._only)

    def style_for(self, key: int) -> Style:
        if key & COLORED:
            return color_style(key, self.rich_style)
        names = {CAPTION: "picture--caption", NOTE: "picture--note"}
        return self.get_component_rich_style(names[key]) if key in names else self.rich_style
