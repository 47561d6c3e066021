"""Pictures as half cells (▀: front colour above, back colour below) or quarter cells; the Picture widget shows an Images event."""

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

# 4000 x 4000: 48 MB decoded, far more than any terminal shows.
PIXEL_LIMIT = 16_000_000
"""Most pixels of a picture that is decoded."""
UPPER_HALF = 0x2580
_QUARTERS = {"▀": "1100", "▌": "1010", "▚": "1001", "▘": "1000", "▝": "0100", "▖": "0010", "▗": "0001"}
"""Which quarters the front colour fills: upper left, upper right, lower left, lower right. Their complements exchange front and back."""
COLORED = 1 << 63
"""Keys with this bit hold a front colour (bits 24-47) on a back colour (bits 0-23)."""
OPEN = 1 << 62
"""… and with this bit the back colour is the widget's own."""
CAPTION, NOTE = 1, 2
_SMALLEST = 8
"""Smallest width of a tile with a caption, in pixels; where all would be narrower, fewer tiles are shown."""

# The six levels of a channel in xterm's colours 16-231.
_CUBE = np.array([0, 95, 135, 175, 215, 255], np.float32)
# The 16 colours of a terminal as Rich defines them: eight dark ones (dark yellow is brown) and eight bright ones.
_DARK = [[red, green, blue] for blue in (0, 170) for green in (0, 170) for red in (0, 170)]
_SIXTEEN = np.array([*_DARK[:3], [170, 85, 0], *_DARK[4:], *([min(255, c + 85) for c in color] for color in _DARK)], np.float32)
# Bayer's ordered dither (1973), 4 x 4, as offsets in -0.5 … 0.5. Error diffusion would let the whole picture flicker with each change.
_BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) + 0.5) / 16 - 0.5


def decode(data: bytes) -> Pixels:
    """The pixels of a PNG, as a run's log has it. Raises Problem for another format, a damaged file, or too many pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        with (
            # Pillow only warns of pictures of 90 to 180 million pixels, which take seconds and hundreds of MB.
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(BytesIO(data), formats=("PNG",)) as picture,
        ):
            width, height = picture.size
            # The header is enough for this: nothing is decoded yet.
            if width * height > PIXEL_LIMIT:
                raise Problem(f"The picture is too large to show: {width} x {height} pixels.", f"The limit is {PIXEL_LIMIT:,} pixels.")
            return np.asarray(picture.convert("RGB"))
    except Problem:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Problem("The picture is too large to show.") from None
    except UnidentifiedImageError:
        raise Problem("The file is not a PNG picture.") from None
    except Exception as error:
        # Pillow raises a dozen kinds of exceptions for damaged files, SyntaxError and struct.error among them.
        raise Problem("The picture cannot be read.", one_line(str(error) or type(error).__name__, 80)) from error


def as_pixels(array: NDArray[np.generic]) -> Pixels:
    """Pixels from an array of shape (height, width), (height, width, 1) or (height, width, 3) with values from 0 to 255."""
    values = np.asarray(array)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3):
        raise Problem(f"A picture must have the shape (height, width, 3), not {values.shape}.")
    if values.dtype != np.uint8:
        values = np.clip(np.nan_to_num(values.astype(np.float64)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))


def scaled(pixels: Pixels, width: int, height: int, across: int = 1) -> Pixels:
    """The picture, as large as fits into `width` x `height` pixels: it grows by whole multiples and shrinks by averaging areas.

    Each pixel becomes `across` narrow ones beside each other.
    """
    tall, wide = pixels.shape[:2]
    if not (tall and wide and width > 0 and height > 0):
        return pixels[:0, :0]
    share = min(width / wide, height / tall)
    if share >= 1:
        # No interpolation: a person wants to see the pixels that the network sees.
        return pixels.repeat(int(share), axis=0).repeat(int(share) * across, axis=1)
    from PIL import Image

    size = max(1, round(wide * share)) * across, max(1, round(tall * share))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def half_cells(pixels: Pixels) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Codes and keys of the cells that show these pixels: two rows of pixels in each row of cells."""
    tall, wide = pixels.shape[:2]
    packed = pixels.astype(np.uint64) @ np.array([1 << 16, 1 << 8, 1], np.uint64)
    if tall % 2:
        packed = np.concatenate([packed, np.zeros((1, wide), np.uint64)])
    keys = np.uint64(COLORED) | packed[0::2] << np.uint64(24) | packed[1::2]
    if tall % 2:
        keys[-1] |= np.uint64(OPEN)
    return np.full(keys.shape, UPPER_HALF, np.uint32), keys


def quarter_cells(pixels: Pixels, colors: str | None) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Codes and keys of the cells that show 2 x 2 pixels each: two colours and the split of the four pixels with the least error."""
    tall, wide = pixels.shape[:2]
    few = colors not in ("truecolor", "256")
    # First reduced, then split: a mean of two of 16 colours would be a third one, which the terminal lacks.
    if few:
        pixels = reduced(pixels, colors)
    even = tall - tall % 2
    four = pixels[:even].reshape(even // 2, 2, wide // 2, 2, 3).swapaxes(1, 2).reshape(even // 2, wide // 2, 4, 3).astype(np.float32)
    masks = np.array([[mark == "1" for mark in marks] for marks in _QUARTERS.values()])[:, None, None, :, None]
    # The mean colour of a group has the least squared error.
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
    """The style of a key with COLORED; `ground` gives the back colour of a key with OPEN."""
    front, back = key >> 24 & 0xFFFFFF, key & 0xFFFFFF
    if key & OPEN:
        return ground + Style(color=f"#{front:06x}")
    return _pair(front, back)


# Pictures repeat few pairs of colours, and building a Rich style takes microseconds.
@lru_cache(1 << 14)
def _pair(front: int, back: int) -> Style:
    return Style(color=f"#{front:06x}", bgcolor=f"#{back:06x}")


def reduced(pixels: Pixels, colors: str | None, dither: bool = True) -> Pixels:
    """The picture in the nearest colours that the terminal has; dithered where these are few.

    True colour keeps 6 bits of each channel: nobody sees the difference, and longer runs of one colour need fewer bytes.
    """
    if colors == "truecolor":
        # The upper bits are repeated below, so that white stays 255.
        return pixels & np.uint8(0xFC) | pixels >> np.uint8(6)
    tall, wide = pixels.shape[:2]
    colored = pixels.astype(np.float32)
    if dither:
        noise = np.tile(_BAYER, (tall // 4 + 1, wide // 4 + 1))[:tall, :wide, None]
        # 256 colours have enough greys: pixels whose channels differ by up to 24 need no dither. 24 and 80 are a little less
        # than the steps between the colours of the two tables, 40 and 85.
        strength = np.where(np.ptp(colored, axis=2, keepdims=True) > 24, 24, 0) if colors == "256" else 80
        colored = np.clip(colored + noise * strength, 0, 255)
    if colors == "256":
        # xterm's colour cube and its ramp of 24 greys (8, 18, … 238). In the cube each channel is rounded by itself.
        cube = _CUBE[np.abs(colored[..., None] - _CUBE).argmin(axis=-1)]
        grey = np.clip(np.rint((colored.mean(axis=2, keepdims=True) - 8) / 10), 0, 23) * 10 + 8
        nearer = ((colored - grey) ** 2).sum(axis=2) < ((colored - cube) ** 2).sum(axis=2)
        return np.asarray(np.where(nearer[..., None], grey, cube), np.uint8)
    distance = ((colored[:, :, None, :] - _SIXTEEN) ** 2).sum(axis=3)
    return np.asarray(_SIXTEEN[distance.argmin(axis=2)], np.uint8)


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout of tiles: how many, in how many columns, and the cells of each (without the row of its caption)."""

    shown: int
    columns: int
    width: int
    height: int


def lay_out(count: int, tile: tuple[int, int], columns: int, captions: int, width: int, height: int, step: int = 1) -> Layout:
    """The layout of `count` tiles of (height, width) pixels in `width` x `height` cells, with `captions` rows for each caption.

    The number of columns changes where that makes tiles at least a quarter larger; groups of `step` tiles stay together. The last tiles
    are left out where all of them would be too small to recognise.
    """
    tall, wide = tile

    def share(shown: int, across: int) -> float:
        down = -(-shown // across)
        room = (width - (across - 1)) // across, (height - down * captions) // down * 2
        return min(room[0] / wide, room[1] / tall)

    def best(shown: int) -> int:
        grid = min(columns, shown)
        reflowed = max(range(min(step, shown), shown + 1, step), key=lambda across: share(shown, across))
        # Below a quarter the project's own columns stay: its rows may mean something (a class, a network).
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
    """The pictures of a grid, row by row, one for each caption; without captions the grid is one picture."""
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
    """A grid of pictures with a caption under each, in `width` x `height` cells; `only` gives the indices of the pictures to show."""
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
    # Two rows for captions, but only where the pictures do not shrink for it.
    if longest > max(first.shape[1], 13):
        taller = lay_out(len(pictures), pictures[0].shape[:2], columns, 2, width, height, step)
        if scaled(pictures[0], taller.width, taller.height * 2).shape == first.shape and taller.shown == layout.shown:
            layout, named = taller, 2
    # The distance from tile to tile: wide enough for captions of up to 13 letters even under narrow pictures.
    pitch = max(first.shape[1] + 1, min(layout.width + 1, min(14, longest + 1))), -(-first.shape[0] // 2) + named
    down = -(-layout.shown // layout.columns)
    if not named and down * (pitch[1] + 1) <= height + 1:
        pitch = pitch[0], pitch[1] + 1  # a free row between the pictures, where there is room
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
    """A caption in at most `rows` rows; a long one is broken before its arrow, or else at a space."""
    if rows < 2 or text_width(text) <= room:
        return [cut(text, room)][:rows]
    place = text.find("→") if "→" in text else text.rfind(" ", 0, room + 1)
    first, rest = (text[:place], text[place:].strip()) if place > 0 else (text[:room], text[room:])
    return [cut(first, room), cut(rest, room)]


class Picture(Canvas):
    """One picture, or a grid of pictures with captions. `show` takes PNG bytes or an array; where that fails it shows the reason."""

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
        """Show a PNG, or an array of shape (height, width[, 3]), with `columns` pictures in each row; returns the repainted regions.

        With `only`, show only the pictures with these indices, counted row by row.
        """
        try:
            self._pixels = decode(picture) if isinstance(picture, bytes) else as_pixels(picture)
            self._message = ""
        except Problem as problem:
            return self.say(str(problem))
        self._columns, self._captions, self._only = columns, tuple(captions), only
        return self.redraw()

    def say(self, message: str) -> list[Region]:
        """Show a message in place of a picture."""
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
