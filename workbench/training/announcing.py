"""Tells how far a preparation is: in the run's lock for the lists and screens, in its log for those who follow it, and in its output."""

import threading
import time
from collections.abc import Callable
from typing import Self

from workbench.preparation import Console, Pace, Stage

SHOW_EVERY, LOG_EVERY = 0.5, 2.0
"""Seconds between two changes of the lock, and between two lines of the log, which keeps them all."""
READING = "reading its data"
"""What a run does where no reader says more."""


class Announcer:
    """Hears each piece of a preparation, thousands a second, and passes on twice a second what a person can read.

    In a thread of its own: the last piece before a long silence is told too, and the time left falls meanwhile.
    """

    def __init__(self, show: Callable[[str, Stage | None], None], log: Callable[[Stage], None]) -> None:
        """`show` replaces what stands on the screens; `log` adds a line. Both are called by the thread, until `__exit__` returns."""
        self._show, self._log = show, log
        self._latest: tuple[str, int, int, float] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, name="announcer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self, what: str, done: int, total: int) -> None:
        """What readers call, through `preparation.progress`."""
        self._latest = what, done, total, time.monotonic()

    def _pass_on(self) -> None:
        pace, console, shown, logged_at = Pace(), Console(), READING, -LOG_EVERY
        while not self._over.wait(SHOW_EVERY):
            if self._latest is None:
                continue
            what, done, total, at = self._latest
            stage = pace.stage(what, done, total, at)
            now = time.monotonic()
            # What comes next may be silent: it must not stand there at 100 %.
            ended = 0 < total <= done
            if stage.left is not None:
                stage = stage._replace(left=max(0.0, stage.left - (now - at)))
            text = READING if ended else stage.text
            if text == shown:
                continue
            shown = text
            self._show(text, None if ended else stage)
            console.print(stage, now - pace.began)
            if not ended and now - logged_at >= LOG_EVERY:
                logged_at = now
                self._log(stage)
