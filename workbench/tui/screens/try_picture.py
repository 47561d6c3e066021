"""Try a network that takes pictures: draw one or give a file, and see the probabilities of the classes."""

from base64 import b64decode, b64encode
from typing import Any, ClassVar

from textual import on
from textual.containers import Container, Horizontal
from textual.timer import Timer
from textual.widget import Widget

from workbench.problems import Problem
from workbench.runs.run import Run
from workbench.tui import keys
from workbench.tui.charts.halfcell import Picture
from workbench.tui.keys import Key
from workbench.tui.panels.bars import Bars
from workbench.tui.panels.pad import Pad
from workbench.tui.screens.drawing import DRAWING, DrawingKeys
from workbench.tui.screens.try_it import TRYING, TryScreen

# About twelve answers a second look continuous; every point of the mouse would be a question else.
PAUSE = 0.08
"""Seconds between two questions while a person draws."""


class TryPictureScreen(DrawingKeys, TryScreen):
    """The pad at the left; the network's input and its answer at the right."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back to the run", "Esc"),
        *DRAWING,
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

    def opened(self, data: bytes) -> None:
        self.pad.show_picture(data, self.ready.get("form", {}).get("background"))
        self._picture = data
        self.reloaded()

    def wrong(self, problem: Problem) -> None:
        self.trouble = str(problem)
        self.tell()

    def _show(self, outputs: dict[str, Any]) -> None:
        self.bars.follow(outputs.get("probabilities") or {})
        picture = self.query_one("#seen", Picture)
        try:
            picture.show(b64decode(outputs["seen"])) if outputs.get("seen") else picture.say("")
        except ValueError:
            picture.say("The picture cannot be read.")
