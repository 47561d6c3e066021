"""A pad to draw on with the mouse or the keys: light ink on a dark ground in every theme."""

import io

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from textual import events
from textual.message import Message

from workbench.tui.charts.canvas import Canvas
from workbench.tui.charts.cells import Cells
from workbench.tui.charts.halfcell import Pixels, color_style, half_cells, reduced, scaled

SIDE = 112
"""Width and height of the drawing in pixels: four for each pixel of MNIST's 28."""
BRUSH = 0.05
"""The brush's radius as a share of the side: about MNIST's stroke width when a digit fills two thirds of the pad."""
SHOWN = 512
"""Pixels of a picture's side that are enough to show it."""
GROUND, INK, PEN = (26, 33, 42), (244, 246, 250), (98, 182, 234)


class Pad(Canvas):
    """The drawing is `ink`; each change posts `Changed`."""

    BACKGROUNDS = True
    DEFAULT_CSS = "Pad { height: 1fr; width: 1fr; }"

    class Changed(Message):
        """A person drew or erased something."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ink: NDArray[np.float32] = np.zeros((SIDE, SIDE), np.float32)
        """From 0 (no ink) to 1."""
        self.picture: Pixels | None = None
        """A picture file that is shown in place of the drawing."""
        self.erasing = False
        self.pen: tuple[int, int] | None = None
        """The cell (column, row) of the keyboard's pen; None until a person uses it."""
        self.pen_down = False
        self._last: tuple[float, float] | None = None
        self._button = 0

    @property
    def rows(self) -> int:
        """Rows of the square drawing area; it has twice as many columns, because a cell is about twice as high as wide."""
        return max(1, min(self.size.height, self.size.width // 2))

    @property
    def empty(self) -> bool:
        """Whether the pad has no ink."""
        return not self.ink.any()

    def png(self) -> bytes:
        """The drawing as a grey PNG, light on black as MNIST has it."""
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray((self.ink * 255).astype(np.uint8)).save(out, "PNG")
        return out.getvalue()

    def show_picture(self, data: bytes, background: object = "white") -> None:
        """Show a PNG or JPEG in place of the drawing, transparent parts over `background`. Raises Problem for other files."""
        from workbench.datasets.pictures import Decoding, picture_of

        decoding = Decoding("black" if background == "black" else "grey" if background == "grey" else "white")
        # Decoded before the pad is cleared: a damaged file leaves the drawing as it is.
        pixels = np.asarray(picture_of(data, SHOWN, decoding))
        self.clear()
        self.picture = pixels
        self.redraw()

    def clear(self) -> None:
        """Empty the pad."""
        self.ink[:] = 0
        self.picture, self._last, self.pen_down = None, None, False
        self._changed()

    def draw(self, width: int, height: int) -> Cells:
        cells = Cells(width, height)
        rows = max(1, min(height, width // 2))
        if self.picture is not None:
            pixels = scaled(self.picture, 2 * rows, 2 * rows)
        else:
            pixels = self._drawing(2 * rows)
        codes, keys = half_cells(reduced(pixels, self.terminal_colors))
        rows, columns = min(height, codes.shape[0]), min(width, codes.shape[1])  # a pad of one column still has two
        cells.codes[:rows, :columns], cells.keys[:rows, :columns] = codes[:rows, :columns], keys[:rows, :columns]
        return cells

    def _drawing(self, side: int) -> Pixels:
        from PIL import Image

        # BOX averages: thin strokes become grey instead of vanishing between two pixels.
        share = np.asarray(Image.fromarray(self.ink).resize((side, side), Image.Resampling.BOX))[..., None]
        pixels: Pixels = (np.array(GROUND) * (1 - share) + np.array(INK) * share).astype(np.uint8)
        if self.pen:
            column, row = self.pen
            pixels[2 * row : 2 * row + 2, column] = PEN
        return pixels

    def style_for(self, key: int) -> Style:
        return color_style(key, self.rich_style) if key else self.rich_style

    # -- drawing ---------------------------------------------------------------------------------------------------------------------

    def stroke(self, column: float, row: float, *, erase: bool = False) -> None:
        """Draw a line from the end of the last one to the middle of a cell, or a dot to begin with."""
        self.picture = None
        rows = self.rows
        end = (column + 0.5) / (2 * rows) * SIDE, (row + 0.5) / rows * SIDE
        start = self._last or end
        self._last = end
        # The distance of each pixel's middle to the segment decides its ink.
        y, x = np.mgrid[:SIDE, :SIDE] + 0.5
        along, across = end[0] - start[0], end[1] - start[1]
        length = along**2 + across**2
        share = ((x - start[0]) * along + (y - start[1]) * across) / length if length else np.zeros_like(x)
        share = share.clip(0, 1)
        distance = np.hypot(x - start[0] - share * along, y - start[1] - share * across)
        # An eraser of the brush's size would leave rims.
        radius = BRUSH * SIDE * (1.8 if erase else 1)
        # A soft edge, two pixels wide, as MNIST's digits have.
        touched = (0.5 + (radius - distance) / 2).clip(0, 1).astype(np.float32)
        self.ink = np.minimum(self.ink, 1 - touched) if erase else np.maximum(self.ink, touched)
        self._changed()

    def move_pen(self, across: int, down: int) -> None:
        """Move the keyboard's pen; it draws while it is down."""
        column, row = self.pen or (self.rows, self.rows // 2)
        if self.pen:
            column = max(0, min(2 * self.rows - 1, column + across))
            row = max(0, min(self.rows - 1, row + down))
        self.pen = column, row
        if self.pen_down:
            self.stroke(column, row, erase=self.erasing)
        else:
            self.redraw()

    def drop_pen(self) -> None:
        """Put the pen down, or lift it."""
        self.pen_down = not self.pen_down
        self._last = None
        self.move_pen(0, 0)

    def _changed(self) -> None:
        self.redraw()
        self.post_message(self.Changed())

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self.pen, self.pen_down, self._last, self._button = None, False, None, event.button
        self._to(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._button:
            self._to(event)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()
        self._button, self._last = 0, None

    def _to(self, event: events.MouseEvent) -> None:
        self.stroke(event.x, event.y, erase=self.erasing or self._button != 1)
