"""The thread that writes a script's log: the script only appends to a queue, and never waits for a disk.

What stands in the queue when the process is killed is lost: at most what was logged in the last half of a second.
"""

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from workbench.elsewhere.values import scalars
from workbench.events import Answer, Event, Status
from workbench.problems import Problem, one_line
from workbench.runs import commands
from workbench.runs.log import EventLog

EVERY = 0.2
"""Seconds between two looks at the queue; with a slow disk, well within the half second that is promised."""
COMMANDS_EVERY = 0.4
"""Seconds between two looks for commands."""
AGAIN = 1.0
"""Seconds until a line that the disk refused is tried again."""
MOST = 100_000
"""Calls that wait in the queue; a script that logs faster than a disk takes it waits for the writer then."""

Logged = tuple[int, float, float, dict[str, float]] | Event
"""(step, epoch, clock, values) of one call, or an event."""


class Writer:
    """Takes what is in `queue` to the log, reads the meters and commands, and at the end writes the last line."""

    def __init__(
        self,
        log: EventLog,
        control: Path,
        meters: Callable[[], Iterable[Event]],
        obey: Callable[[str], None],
        warn: Callable[[str, str], None],
        place: Callable[[], tuple[int, float]],
        writable: Callable[[int, dict[str, float]], dict[str, float]],
    ) -> None:
        self.queue: deque[Logged] = deque()
        self.lost = 0
        """Calls that could not be written."""
        self._log = log
        self._inbox = commands.Inbox(control)
        self._meters = meters
        self._obey = obey
        self._warn = warn
        self._place = place
        self._writable = writable
        self._refused: list[bytes] = []
        """Lines that the disk did not take."""
        self._retry = 0.0
        self._commands_due = 0.0
        self._ending: Status | None = None
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.thread = threading.Thread(target=self._work, name="dlwb-log", daemon=True)
        self.thread.start()

    def end(self, ending: Status, patience: float) -> bool:
        """Write what is left and this last line; False where that takes longer than `patience` seconds. Safe in a signal handler."""
        self._ending = ending
        self.nudge()
        self.thread.join(patience)
        if self.thread.is_alive():
            return False
        wake, waker = self._wake, self._waker
        # First: another thread of the script must not write into a file that gets the same number.
        self._waker = -1
        os.close(wake)
        os.close(waker)
        return True

    def nudge(self) -> None:
        """Wake the thread."""
        # Not an Event: a signal handler that interrupts its `set` and calls it again would wait for itself.
        with contextlib.suppress(OSError):  # a full pipe wakes it too
            os.write(self._waker, b"!")

    def wait_for_room(self) -> None:
        """Of a script that logs faster than the log can be written: wait until half of the queue is written, or for some seconds."""
        self.nudge()
        deadline = time.monotonic() + 5.0
        while len(self.queue) > MOST // 2 and self.thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        # Its disk is full, or hangs: memory must not fill up too.
        while len(self.queue) > MOST:
            with contextlib.suppress(IndexError):
                self.queue.popleft()
                self.lost += 1

    def forget(self) -> None:
        """In a forked child: the thread is not there, and what waits in the queue is the parent's to write."""
        self.queue.clear()

    def _work(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                if select.select([self._wake], [], [], EVERY)[0]:
                    os.read(self._wake, 4096)
            ending = self._ending
            try:
                self._drain()
                self._look_around()
            except Exception as error:  # whatever it is, the script goes on, and the next lines are tried
                self._warn("writer", f"a part of the log could not be written: {type(error).__name__}: {one_line(str(error))}")
            if ending is not None:
                self._close(ending)
                return

    def _drain(self) -> None:
        if self._refused:
            if time.monotonic() < self._retry and self._ending is None:
                return
            refused, self._refused = self._refused, []
            for place, line in enumerate(refused):
                if not self._append(line):
                    self._refused = refused[place:]
                    return
        # No more than what is there now: a script that logs without a pause must not keep the thread from its commands and its end.
        for _ in range(len(self.queue)):
            if self._refused or not self.queue:
                return
            logged = self.queue.popleft()
            for event in self._events(logged):
                try:
                    line = self._log.line(event)
                except (OSError, Problem) as error:
                    # Its picture, or its arrays: they are not kept for a second try, as they may be large.
                    self.lost += 1
                    self._warn("disk", str(error))
                    continue
                if not self._append(line):
                    self._refused.append(line)

    def _events(self, logged: Logged) -> Iterator[Event]:
        if isinstance(logged, Event):
            yield logged
        else:
            step, epoch, clock, values = logged
            # The script looks at one clock alone; the other, which is for people, is as far from it as it is now.
            if values := self._writable(step, values):
                yield from scalars(values, step, epoch, clock + time.time() - time.monotonic(), clock)

    def _append(self, line: bytes) -> bool:
        try:
            self._log.append(line)
            return True
        except (OSError, Problem) as error:
            self._retry = time.monotonic() + AGAIN
            self._warn("disk", f"{error} What is logged is kept in memory, and written as soon as there is room.")
            return False

    def _look_around(self) -> None:
        now = time.monotonic()
        for event in self._meters():
            self._write(event)
        if now >= self._commands_due:
            self._commands_due = now + COMMANDS_EVERY
            for command in self._inbox.poll():
                self._write(self._answered(command))

    def _answered(self, command: commands.Command) -> Answer:
        if command.verb not in commands.ENDING:
            return Answer(command=command.id, ok=False, message="A script of your own is only stopped and killed from outside.")
        self._obey(command.verb)
        return Answer(command=command.id)

    def _write(self, event: Event) -> None:
        """Write one of the thread's own events now; without room for it, it is left out."""
        event.step, event.epoch = self._place()
        with contextlib.suppress(OSError, Problem):
            self._log.write(event)

    def _close(self, ending: Status) -> None:
        self.lost += len(self._refused) + len(self.queue)
        with contextlib.suppress(OSError, Problem):
            self._log.write(ending)
        with contextlib.suppress(OSError):
            self._log.close()
