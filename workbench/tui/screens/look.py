"""A preview of a data set before training: sizes, classes, samples, as `preview_data` prints them. Opens from the list of data sets."""

import subprocess
import sys
from typing import ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.strip import Strip

from workbench import paths, preparation
from workbench.events import Images, Table, Tagged, Text, decode
from workbench.problems import clean, one_line
from workbench.tui import keys
from workbench.tui.charts.halfcell import Picture
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.sheet import sheet_lines
from workbench.tui.screens.key_screen import KeyScreen

NARROW = 100
FOUND = "What is found, used and left out"
LINE_LIMIT = 64_000_000
"""Longest line to read, in bytes: a grid of pictures is one line."""


class LookScreen(KeyScreen):
    """Pictures at the left or above; tables and texts beside or below them."""

    DEFAULT_CSS = """
    LookScreen #look { height: 1fr; layout: horizontal; padding: 0 1; }
    LookScreen.tall #title { margin-bottom: 1; }
    LookScreen #title { height: 1; }
    LookScreen #pictures { width: 55%; display: none; }
    LookScreen #pictures.some { display: block; }
    LookScreen #words { width: 1fr; }
    LookScreen #pictures.some Picture { width: 1fr; height: 1fr; }
    LookScreen .beside { border-left: solid $frame; padding: 0 0 0 1; margin-left: 1; }
    LookScreen.narrow #look { layout: vertical; }
    LookScreen.narrow #pictures { width: 100%; height: 50%; }
    LookScreen.narrow .beside { border-left: none; border-top: solid $frame; padding: 0; margin: 0; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back to the list", "Esc"),
        Key("up", "up", "", "Scroll up", "↑"),
        Key("down", "down", "scroll", "Scroll down", "↓"),
        Key("pageup", "page_up", "", "Scroll one page up", "PgUp"),
        Key("pagedown", "page_down", "", "Scroll one page down", "PgDn"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, reference: str, title: str) -> None:
        super().__init__()
        self.reference, self.title_words = reference, title
        self.shown: list[Tagged] = []
        self.wrong = ""
        self.reading = True
        self.doing = ""
        """How far the reading is, in words."""
        self._process: subprocess.Popen[bytes] | None = None

    def compose(self) -> ComposeResult:
        yield Lines(id="title")
        with Container(id="look"):
            with Container(id="pictures"):
                yield Picture()
            yield Lines(id="words")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#title", Lines).source = self._title
        self.query_one("#words", Lines).source = self._words
        self.run_worker(self._read, thread=True)

    def on_unmount(self) -> None:
        if self._process:
            self._process.kill()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.set_class(event.size.width < NARROW, "narrow")
        self._fill()

    def _read(self) -> None:
        """Run the reader's process and take its lines. Runs in a thread."""
        # A process of its own: readers of data sets may need torch, which this program never imports.
        command = [sys.executable, "-m", "workbench.training.preview_data", self.reference]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=paths.working_folder()
        ) as process:
            self._process = process
            assert process.stdout
            while line := process.stdout.readline(LINE_LIMIT):
                if self.is_running:
                    self.app.call_from_thread(self._take, line)
            code = process.wait()
        if self.is_running:
            self.app.call_from_thread(self._ended, code)

    def _take(self, line: bytes) -> None:
        # A line ends with a closing brace; `decode` takes an event without it, as the log has it.
        event = decode(line.rstrip()[:-1])
        if isinstance(event, Tagged):
            self.shown.append(event)
            if isinstance(event, Images):
                self.query_one("#pictures").add_class("some")
                self.query_one("#words").add_class("beside")
                self.query_one(Picture).show(event.png, columns=event.columns, captions=event.captions)
        else:
            try:
                reply = msgspec.json.decode(line, type=dict[str, object])
            except msgspec.DecodeError:
                return
            self.doing = clean(str(reply.get("doing", "")))
            if not reply.get("ok", True):
                self.wrong = clean(f"{reply.get('message', '')} {reply.get('hint', '')}".strip())
        self._fill()

    def _ended(self, code: int) -> None:
        self.reading = False
        if code and not self.wrong:
            self.wrong = f"The reader ended with exit code {code}; `python -m workbench.training.preview_data {self.reference}` says more."
        self._fill()

    def _fill(self) -> None:
        for panel in self.query(Lines):
            panel.rebuild()

    def _title(self, width: int) -> list[Strip]:
        left: list[strips.Part] = [(f" {one_line(self.title_words)}", palette.bold), (f"  {self.reference}", palette.accent)]
        return [strips.line(width, left, [(f"◌ {self.doing or 'reading'} ", palette.accent)] if self.reading else [])]

    def _words(self, width: int) -> list[Strip]:
        lines: list[Strip] = []
        # What a person has to know before training comes first, though it is known last.
        for event in sorted(self.shown, key=lambda event: event.tag != preparation.TAG):
            if isinstance(event, Table | Text):
                heading = FOUND if event.tag == preparation.TAG else event.tag.capitalize()
                body = sheet_lines(event, width - 1)
                lines += [strips.line(width, [(heading, palette.heading)]), *body, strips.line(width, [])]
        if self.wrong:
            lines += strips.paragraph(self.wrong, width - 1, palette.bad)
        elif self.reading and not lines:
            lines.append(strips.line(width, [("Reading the data set …", palette.dim)]))
        return lines

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def do_back(self) -> None:
        self.dismiss()

    def _scroll(self, rows: int) -> None:
        self.query_one("#words", Lines).scroll_by(rows)

    def do_up(self) -> None:
        self._scroll(-1)

    def do_down(self) -> None:
        self._scroll(1)

    def do_page_up(self) -> None:
        self._scroll(-max(1, self.query_one("#words").size.height - 2))

    def do_page_down(self) -> None:
        self._scroll(max(1, self.query_one("#words").size.height - 2))
