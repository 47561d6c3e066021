"""The queue for devices: a run takes the first free ones among those it may use, after the runs that came before it.

Each run that waits has a ticket, a locked file: there is no daemon, and the ticket of a process that died is free by itself.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench import paths
from workbench.launch.devices import accelerators, device_lock
from workbench.problems import Problem, one_line
from workbench.runs import lock
from workbench.runs.commands import Command
from workbench.runs.state import whole


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
    devices: tuple[str, ...]
    """Their names and titles, as in a log: `cuda:0 NVIDIA H200`."""
    needs: int
    """How many of them it takes."""


class DeviceQueue:
    """One run's place in the queue: it takes `count` of the named devices, all at once or none."""

    def __init__(self, names: Sequence[str], count: int = 1, run: str = "") -> None:
        self.locks = {name: device_lock(name) for name in names}
        if count > (here := len(set(self.locks.values()))):
            raise Problem(
                f"It needs {count} devices at once, and may use {here} here: {', '.join(names)}.", "`dlwb doctor` lists the devices."
            )
        self.count = count
        titles = {device.name: device.title for device in accelerators()}
        self._content: dict[str, Any] = {
            "host": lock.host(),
            "run": run,
            "devices": [path.name for path in self.locks.values()],
            "names": [f"{name} {titles.get(name, '')}".strip() for name in names],
            "count": count,
            "held": False,
            "first": 0,
        }
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        # Later than every other one, also where the clock was set back.
        newest = max((int(number) for ticket in tickets() if (number := ticket.name.partition("-")[0]).isdecimal()), default=0)
        # Hidden until it is locked and says what it waits for: whoever sees an unlocked ticket removes it.
        name = f"{max(time.time_ns(), newest + 1):020}-{os.getpid()}"
        hidden, self.place = folder / f".{name}", folder / name
        self._held = lock.Lock.take(hidden)
        if self._held:
            self._held.write(self._content)
        hidden.rename(self.place)

    @property
    def words(self) -> str:
        """What its run waits for, as the lists say it."""
        held = self._content["held"]
        several = f"{self.count} of " if self.count > 1 else ""
        return f"{'held in the queue' if held else 'waiting'} for {several}{' or '.join(self.locks)}"

    def obey(self, command: Command) -> None:
        """Do what a person asked of its run: hold it, release it, or move it to the front."""
        if command.verb == "first":
            first = command.request.get("first")
            self._content["first"] = first if type(first) is int and 0 <= first < 1 << 63 else 0
        else:
            self._content["held"] = command.verb == "hold"
        if self._held:
            self._held.write(self._content)

    def take(self) -> list[tuple[str, lock.Lock]]:
        """Take the first `count` free devices that nobody waits for longer, and leave the queue; [] where they are not free yet.

        Nothing is kept while it waits for the rest, so runs of several devices cannot block one another.
        """
        free = [(name, path) for name, path in self.locks.items() if not lock.is_held(path)]
        # The tickets are read only where something is free: a hundred runs that wait would read a hundred each, all the time.
        if self._content["held"] or len(free) < self.count:
            return []
        wanted = self._wanted()
        taken: list[tuple[str, lock.Lock]] = []
        for name, path in free:
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
                locks, names = (content.get(name) for name in ("devices", "names"))
                yield Ticket(
                    -whole(content.get("first")),
                    path.name,
                    content.get("held") is True,
                    one_line(str(content.get("run", "")), 200),
                    tuple(map(str, locks)) if isinstance(locks, list) else (),
                    tuple(one_line(str(name), 80) for name in names) if isinstance(names, list) else (),
                    max(1, whole(content.get("count"))),
                )
            else:
                with contextlib.suppress(OSError):  # its process was killed
                    path.unlink()


def _folder() -> Path:
    return paths.device_locks() / "queue"
