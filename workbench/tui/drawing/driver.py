"""The driver between Textual and the terminal: the terminal's true size, its keys without crash or backlog, its state at every end."""

import contextlib
import os
import selectors
import shutil
import signal
import termios
import time
from collections import deque
from types import FrameType
from typing import Any

from textual import events
from textual.app import ScreenStackError, UnknownModeError
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from workbench.tui.drawing.reader import FLOOD, Reader

PATIENCE = 0.05
"""Most seconds that a key waits for the one before it: a screen that reads a long log is never at rest."""
PACE = 0.002
"""Seconds between two looks whether it is at rest."""
# Paste, wrapping, size reports, mouse, keyboard protocol, alternate screen, cursor, focus, colours: what Textual's own stop sends, at once.
RESTORE = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
)


class Terminal(LinuxDriver):
    """Textual's own driver, but for what it takes from the terminal and how it ends."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: deque[Message] = deque()
        self._delivered = 0.0
        self._planned = False

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        for ending in (signal.SIGHUP, signal.SIGTERM):
            if signal.getsignal(ending) == signal.SIG_DFL:  # `nohup` ignores SIGHUP, and means it
                signal.signal(ending, self._end)

    def _end(self, ending: int, frame: FrameType | None) -> None:
        """Give the terminal back, and end as the signal says. At once: the event loop may be busy, or the terminal gone."""
        with contextlib.suppress(OSError):
            os.set_blocking(2, False)  # a terminal that nobody reads must not keep the program
            os.write(2, RESTORE)
        if self.attrs_before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        with contextlib.suppress(OSError):
            os.set_blocking(2, True)  # the shell has the same open file
        signal.signal(ending, signal.SIG_DFL)
        signal.raise_signal(ending)

    # -- size --------------------------------------------------------------------------------------------------------------------

    def _get_terminal_size(self) -> tuple[int, int]:
        # The terminal itself comes first: a container exports COLUMNS and LINES, and they stay as they are when its window changes.
        for file in (self.fileno, 2):
            with contextlib.suppress(OSError):
                columns, rows = os.get_terminal_size(file)
                if columns and rows:  # a serial line says 0 x 0
                    return columns, rows
        return shutil.get_terminal_size().columns, shutil.get_terminal_size().lines

    # -- keys --------------------------------------------------------------------------------------------------------------------

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except Exception as error:
            self._app.call_later(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Read what the terminal sends, until the driver stops."""
        from textual.widgets import Input  # costly to import: the first list is painted meanwhile

        reader = Reader()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(0.1):
                    try:
                        data = os.read(self.fileno, 1 << 16)
                    except OSError:
                        data = b""
                    if not data:
                        return  # it is gone, and to ask it again would be an endless loop
                    for event in reader.feed(data, typing=any(isinstance(listener, Input) for listener in self._listeners())):
                        self.process_message(event)
                for event in reader.tick():
                    self.process_message(event)

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.Resize):
            # Only the terminal's device is believed: text that somebody pastes may look like a report of its size.
            size = Size(*self._get_terminal_size())
            message = events.Resize(size, size, pixel_size=message.pixel_size)
        super().process_message(message)

    def send_message(self, message: Message) -> None:
        self._waiting.append(message)
        if len(self._waiting) > FLOOD:
            # The app is far behind: only the newest keys count, so that it answers the last one at once.
            keys = [waiting for waiting in tuple(self._waiting) if isinstance(waiting, events.Key | events.MouseMove)]
            for old in keys[: -FLOOD // 2]:
                with contextlib.suppress(ValueError):  # the app has taken it meanwhile
                    self._waiting.remove(old)
        if not self._planned:
            self._planned = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        """Give the app what waits, as fast as it takes it: then each key reaches the screen that the key before it opened."""
        # Before the loop: what the thread of the keys adds after the loop's last look plans another delivery.
        self._planned = False
        while self._waiting:
            now = time.monotonic()
            if self._is_busy() and now - self._delivered < PATIENCE:
                self._planned = True
                self._loop.call_later(PACE, self._deliver)
                return
            self._delivered = now
            with contextlib.suppress(IndexError):
                self._app.post_message(self._waiting.popleft())

    def _is_busy(self) -> bool:
        return any(pump.message_queue_size for pump in (self._app, *self._listeners()))

    def _listeners(self) -> list[Screen[Any] | Widget]:
        """The screen and the field that take the next key."""
        try:
            screen = self._app.screen
        except (ScreenStackError, UnknownModeError):  # the app begins or ends
            return []
        return [screen, *([screen.focused] if screen.focused else [])]
