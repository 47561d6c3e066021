"""What screens with a pad share: their keys, and opening a picture file; and a pad over another screen, for a picture of a request."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.screen import ModalScreen

from workbench.problems import Problem, one_line
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.panels.form import Entry
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.pad import Pad
from workbench.tui.screens.key_screen import OwnScreen

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.widgets import Input

LARGEST = 32 << 20
"""Largest picture file, in bytes: more than a camera makes."""

DRAWING: tuple[Key, ...] = (
    Key("c,delete", "clear", "clear", "Clear the pad", "c"),
    Key("x", "erase", "eraser", "Switch between drawing and erasing; the right mouse button erases too"),
    Key("o", "open", "picture file", "Give the path of a picture file"),
    Key("space", "pen", "pen", "Put the keyboard's pen down, or lift it", "Space"),
    Key("left", "left", "", "Move the pen to the left", "←"),
    Key("right", "right", "", "Move the pen to the right", "→"),
    Key("up", "up", "", "Move the pen up", "↑"),
    Key("down", "down", "", "Move the pen down", "↓"),
)
"""The keys of a screen with a pad."""


class DrawingKeys:
    """The actions of these keys on a screen with a Pad."""

    @property
    def _screen(self) -> Screen[Any]:
        return cast("Screen[Any]", self)

    @property
    def pad(self) -> Pad:
        return self._screen.query_one(Pad)

    def opened(self, data: bytes) -> None:
        """Take the content of a picture file. Raises Problem where it is none."""

    def wrong(self, problem: Problem) -> None:
        """Say why a file was not taken."""

    def do_clear(self) -> None:
        self.pad.clear()

    def do_erase(self) -> None:
        self.pad.erasing = not self.pad.erasing
        self._screen.notify("Erasing" if self.pad.erasing else "Drawing", timeout=2)

    def do_pen(self) -> None:
        self.pad.drop_pen()

    def do_left(self) -> None:
        self.pad.move_pen(-1, 0)

    def do_right(self) -> None:
        self.pad.move_pen(1, 0)

    def do_up(self) -> None:
        self.pad.move_pen(0, -1)

    def do_down(self) -> None:
        self.pad.move_pen(0, 1)

    def do_open(self) -> None:
        screen = self._screen
        if not screen.query("#path"):
            screen.mount(Entry(id="path", placeholder="path of a PNG or JPEG picture; Esc goes back"), before=screen.query_one(KeyBar))
        screen.set_focus(screen.query_one("#path", Entry))

    def do_back(self) -> None:
        path = self._screen.query("#path")
        if path:
            path.remove()
        else:
            self._screen.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.input.remove()
        if event.value.strip():
            try:
                self.opened(read(event.value.strip()))
            except Problem as problem:
                self.wrong(problem)


class DrawScreen(DrawingKeys, ModalScreen[str | None], OwnScreen[str | None]):
    """Returns the drawing, or the picture file, as base64; "" for an empty pad, None where nothing changes."""

    DEFAULT_CSS = """
    DrawScreen { align: center middle; background: $ground 60%; }
    DrawScreen > #pad { width: 66; height: 32; max-width: 96%; max-height: 88%; border: round $frame; border-title-color: $accent-color; }
    DrawScreen > KeyBar { dock: bottom; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "take", "take it", "Take this picture", "⏎"),
        Key("escape", "back", "cancel", "Go back without a change", "Esc"),
        *DRAWING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._picture = b""
        """The content of the picture file that is shown in place of the drawing."""

    def compose(self) -> ComposeResult:
        pad = Pad(id="pad")
        pad.border_title = f" {one_line(self._title, 60)}: draw with the mouse, or with arrows and space "
        yield pad
        yield KeyBar()

    def refusal(self, name: str) -> str:
        """No key is ever refused here."""
        return ""

    def on_pad_changed(self) -> None:
        if self.pad.picture is None:
            self._picture = b""

    def opened(self, data: bytes) -> None:
        self.pad.show_picture(data)
        self._picture = data

    def wrong(self, problem: Problem) -> None:
        self.notify(str(problem), severity="warning", markup=False, timeout=6)

    def do_take(self) -> None:
        data = self._picture or (b"" if self.pad.empty else self.pad.png())
        self.dismiss(b64encode(data).decode())


def read(text: str) -> bytes:
    """The bytes of a picture file. Raises Problem where it cannot be read, or is too large."""
    path = Path(text).expanduser()
    name = one_line(text, 200)
    try:
        # O_NONBLOCK: a named pipe would wait for a writer, and the screen with it.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as opened:
            data = opened.read(LARGEST + 1) or b""
    except (OSError, ValueError) as error:
        raise Problem(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(data) > LARGEST:
        raise Problem(f"{name} is larger than {LARGEST >> 20} MB.", "Make it smaller first.")
    return data
