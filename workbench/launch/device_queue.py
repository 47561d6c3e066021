"""The queue for devices: a run takes the first free ones among those it may use, after the runs that came before it.

Each run that waits has a ticket, a locked file: there is no daemon, and the ticket of a process that died is free by itself.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from workbench import paths
from workbench.launch.devices import device_lock
from workbench.problems import Problem, one_line
from workbench.runs import lock


class Ticket(NamedTuple):
    """A run's place in the queue, as its file says it; sorted as the queue is."""

    first: int
    """When a person moved it to the front, nanoseconds, as a negative number: who was moved last comes first; 0: nobody did."""
    name: str
    """Of its file: the time at which it came."""
    held: bool
    """Whether a person holds it: it keeps its place, takes nothing, and nobody waits for it."""
    run: str
    """The id of its run."""
    locks: tuple[str, ...]
    """Names of the lock files of the devices that it may take."""
    needs: int
    """How many of them it takes."""


class DeviceQueue:
    """One run's place in the queue: it takes `count` of the named devices, all at once or none."""

    def __init__(self, names: Sequence[str], count: int = 1, run: str = "") -> None:
        self.locks = {name: device_lock(name) for name in names}
        if count > len(set(self.locks.values())):
            raise Problem(f"It needs {count} devices, and may use only {len(set(self.locks.values()))} here: {', '.join(names)}.")
        self.count = count
        self._content = {"host": lock.host(), "run": run, "devices": [path.name for path in self.locks.values()], "count": count}
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        # Hidden until it is locked and says what it waits for: whoever sees an unlocked ticket removes it.
        name = f"{time.time_ns():020}-{os.getpid()}"
        hidden, self.place = folder / f".{name}", folder / name
        self._held = lock.Lock.take(hidden)
        self.mark()
        hidden.rename(self.place)

    def mark(self, *, held: bool = False, first: int = 0) -> None:
        """Say in the ticket that a person holds it, or when one moved it to the front (nanoseconds)."""
        self._content.update(held=held, first=first)
        if self._held:
            self._held.write(self._content)

    def take(self) -> list[tuple[str, lock.Lock]]:
        """Take the first `count` free devices that nobody waits for longer, and leave the queue; [] where they are not free yet.

        Nothing is kept while it waits for the rest, so runs of several devices cannot block one another.
        """
        if self._content["held"]:
            return []
        wanted = self._wanted()
        taken: list[tuple[str, lock.Lock]] = []
        for name, path in self.locks.items():
            if path.name not in wanted and (held := lock.Lock.take(path)):
                taken.append((name, held))
                if len(taken) == self.count:
                    self.leave()
                    return taken
        for _, held in taken:
            held.release()
        return []

    def leave(self) -> None:
        """Give up the place."""
        self.place.unlink(missing_ok=True)
        if self._held:
            self._held.release()

    def _wanted(self) -> set[str]:
        """The locks for which somebody waits who comes before."""
        wanted: set[str] = set()
        for ticket in tickets():
            if ticket.name == self.place.name:
                break
            if not ticket.held:
                wanted.update(ticket.locks)
        return wanted


def tickets() -> list[Ticket]:
    """The tickets of runs that wait on this machine, in their order; those of processes that were killed are removed."""
    return sorted(_tickets())


def _tickets() -> Iterator[Ticket]:
    with contextlib.suppress(FileNotFoundError):
        for path in list(_folder().iterdir()):
            if path.name.startswith("."):
                continue
            content = lock.content(path)
            # Of another machine that shares this home: its lock may be invisible from here, and its devices are not these.
            if content.get("host") != lock.host():
                continue
            if lock.is_held(path):
                devices, first, count = (content.get(name) for name in ("devices", "first", "count"))
                yield Ticket(
                    -first if type(first) is int else 0,
                    path.name,
                    content.get("held") is True,
                    one_line(str(content.get("run", "")), 200),
                    tuple(map(str, devices)) if isinstance(devices, list) else (),
                    count if type(count) is int else 1,
                )
            else:
                with contextlib.suppress(OSError):  # its process was killed
                    path.unlink()


def _folder() -> Path:
    return paths.device_locks() / "queue"
