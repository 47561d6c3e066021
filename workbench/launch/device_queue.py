"""The queue for devices: a run takes the first one that is free among those it may use, after the runs that came before it."""

import contextlib
import os
import time
from collections.abc import Sequence

from workbench import paths
from workbench.launch.devices import device_lock
from workbench.runs import lock


class DeviceQueue:
    """One run's place in the queue: a locked file that is named for the time at which it came, and says which devices it waits for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.locks = {name: device_lock(name) for name in names}
        folder = paths.device_locks() / "queue"
        folder.mkdir(parents=True, exist_ok=True)
        # Hidden until it is locked and says what it waits for: whoever sees an unlocked place removes it.
        name = f"{time.time_ns():020}-{os.getpid()}"
        hidden, self.place = folder / f".{name}", folder / name
        self._held = lock.Lock.take(hidden)
        if self._held:
            self._held.write({"host": lock.host(), "devices": [path.name for path in self.locks.values()]})
        hidden.rename(self.place)

    def take(self) -> tuple[str, lock.Lock] | None:
        """Take the first free device that nobody waits for longer, and leave the queue; None where there is none yet."""
        wanted = self._wanted()
        for name, path in self.locks.items():
            if path.name not in wanted and (held := lock.Lock.take(path)):
                self.leave()
                return name, held
        return None

    def leave(self) -> None:
        """Give up the place."""
        self.place.unlink(missing_ok=True)
        if self._held:
            self._held.release()

    def _wanted(self) -> set[str]:
        """The locks for which somebody waits who came before."""
        wanted: set[str] = set()
        for path in sorted(self.place.parent.iterdir()):
            if path.name >= self.place.name or path.name.startswith("."):
                continue
            content = lock.content(path)
            # Of another machine that shares this home: its lock may be invisible from here, and its devices are not these.
            if content.get("host") != lock.host():
                continue
            if lock.is_held(path):
                devices = content.get("devices")
                wanted.update(devices if isinstance(devices, list) else [])
            else:
                with contextlib.suppress(OSError):  # its process was killed
                    path.unlink()
        return wanted
