"""Try a network that takes pictures: draw one or give a file, and see the probabilities of the classes."""

import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.containers import Container, Horizontal
from textual.timer import Timer
from textual.widget import Widget

from workbench.problems import Problem, one_line
from workbench.runs.run import Run
from workbench.tui import keys
from workbench.tui.charts.halfcell import Picture
from workbench.tui.keys import Key
from workbench.tui.panels.bars import Bars
from workbench.tui.panels.form import Entry
from workbench.tui.panels.pad import Pad
from workbench.tui.screens.try_it import TRYING, TryScreen

if TYPE_CHECKING:
    from textual.widgets import Input

# About twelve answers a second look continuous; every point of the mouse would be a question else.
PAUSE = 0.08
"""Seconds between two questions while a person draws."""
LARGEST = 32 << 20
"""Largest picture file, in bytes: more than a camera makes."""


class TryPictureScreen(TryScreen):
    """The pad at the left; the network's input and its answer at the right."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back to the run", "Esc"),
        Key("c,delete", "clear", "clear", "Clear the pad", "c"),
        Key("x", "erase", "eraser", "Switch between drawing and erasing; the right mouse button erases too"),
        Key("o", "open", "picture file", "Give the path of a picture file"),
        Key("space", "pen", "pen", "Put the keyboard's pen down, or lift it", "Space"),
        Key("left", "left", "", "Move the pen to the left", "←"),
        Key("right", "right", "", "Move the pen to the right", "→"),
        Key("up", "up", "", "Move the pen up", "↑"),
        Key("down", "down", "", "Move the pen down", "↓"),
        *TRYING,
    )
    BINDINGS = keys.bindings(KEYS)
    HINT = "Draw with the mouse (the right button erases), or with a pen: arrows move it, space puts it down. Or o opens a picture file."

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._picture = b""
        """The content of the picture file that is shown in place of the drawing."""
        self._timer: Timer | None = None

    def compose_form(self) -> list[Widget]:
        return [Horizontal(Pad(id="pad"), Container(Picture(id="seen"), Bars(id="bars"), id="answer"), id="try")]

    @property
    def pad(self) -> Pad:
        return self.query_one(Pad)

    @property
    def bars(self) -> Bars:
        return self.query_one(Bars)

    @on(Pad.Changed)
    def _changed(self) -> None:
        if self.pad.picture is None:
            self._picture = b""
        if self.pad.empty and not self._picture:
            self._question = None
            self.note = ""
            self._show({})
            self.tell()
        elif self._timer is None:
            self._timer = self.set_timer(PAUSE, self.reloaded)

    def reloaded(self) -> None:
        """Ask about the picture on the pad."""
        self._timer = None
        if self._picture or not self.pad.empty:
            self.ask(predict={"picture": b64encode(self._picture or self.pad.png()).decode()})

    def answered(self, outputs: dict[str, Any]) -> None:
        if not self._picture and self.pad.empty:
            return  # the pad was cleared while the network computed
        self.note = f"The network's input is at the right: {outputs['note']}." if outputs.get("note") else ""
        self._show(outputs)

    def _show(self, outputs: dict[str, Any]) -> None:
        self.bars.follow(outputs.get("probabilities") or {})
        picture = self.query_one("#seen", Picture)
        try:
            picture.show(b64decode(outputs["seen"])) if outputs.get("seen") else picture.say("")
        except ValueError:
            picture.say("The picture cannot be read.")

    # -- keys ------------------------------------------------------------------------------------------------------------------------

    def do_clear(self) -> None:
        self.pad.clear()

    def do_erase(self) -> None:
        self.pad.erasing = not self.pad.erasing
        self.notify("Erasing" if self.pad.erasing else "Drawing", timeout=2)

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

    def do_back(self) -> None:
        field = self.query("#path")
        if field:
            field.remove()
        else:
            super().do_back()

    def do_open(self) -> None:
        if not self.query("#path"):
            self.mount(Entry(id="path", placeholder="path of a PNG or JPEG picture; Esc goes back"), after="#try")
        self.set_focus(self.query_one("#path", Entry))

    def on_input_submitted(self, event: "Input.Submitted") -> None:
        event.input.remove()
        if not event.value.strip():
            return
        try:
            data = read(event.value.strip())
            self.pad.show_picture(data, self.ready.get("form", {}).get("background"))
        except Problem as problem:
            self.trouble = str(problem)
            self.tell()
            return
        self._picture = data
        self.reloaded()


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
