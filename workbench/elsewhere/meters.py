"""The meters of a process that dlwb's worker does not run, and of all its children: a script with its loaders of data."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.events import Event, Scalars, Status

if TYPE_CHECKING:
    import psutil

    from workbench.training.meters import Meters

LOOK_EVERY = 10.0
"""Seconds between two looks for the device that the processes use."""


class TreeMeters:
    """`read` gives what `Meters` gives, with CPU and memory summed over a process and its children."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.device = ""
        """The CUDA device that one of them uses, with its title; `cpu` where the machine has none; "" as long as none is used."""
        self._meters: Meters | None = None
        self._processes: dict[int, psutil.Process] = {}
        self._looked = 0.0

    def events(self) -> Iterator[Event]:
        """The readings as events, where it is time for them, and once the device."""
        before = self.device
        if values := self.read():
            yield Scalars(values)
        if self.device != before:
            yield Status(state="running", device=self.device)

    def read(self) -> dict[str, float]:
        """The readings by tag, or {} where the last ones are still fresh."""
        # Here, in a thread of its own, and not while a script starts: these imports take longer than all the rest.
        from workbench.training.meters import Meters

        now = time.monotonic()
        if self._meters is None:
            self._meters = Meters("cpu")
        if not self.device and now >= self._looked + LOOK_EVERY:
            self._looked = now
            with contextlib.suppress(Exception):  # a library that is being imported, or a driver that fails
                name, self.device = self._used()
                if name.startswith("cuda"):
                    self._meters = Meters(name)
        if values := self._meters.read():
            with contextlib.suppress(Exception):  # a process may end between two looks at it
                values |= self._sums()
        return values

    def _sums(self) -> dict[str, float]:
        import psutil

        root = self._processes.get(self.pid) or psutil.Process(self.pid)
        # Kept from look to look: psutil measures the use of a CPU between two calls.
        self._processes = {process.pid: self._processes.get(process.pid, process) for process in [root, *root.children(recursive=True)]}
        cpu, memory = 0.0, 0
        for process in self._processes.values():
            with contextlib.suppress(psutil.Error):
                cpu += process.cpu_percent()
                memory += process.memory_info().rss
        return {"system/cpu": cpu, "system/memory": memory / 2**30}

    def _used(self) -> tuple[str, str]:
        """Name and title of the first device on which NVML sees one of the processes, or that torch uses here; "" where there is none."""
        import psutil

        from workbench.launch import devices

        accelerators = devices.accelerators()
        if not accelerators:
            return "cpu", "cpu"
        pids = {self.pid}
        with contextlib.suppress(psutil.Error):
            pids |= {process.pid for process in psutil.Process(self.pid).children(recursive=True)}
        for device in accelerators:
            if pids & {holder.pid for holder in device.holders}:
                return device.name, f"{device.name} {device.title}"
        # In a container NVML may see no process of it.
        torch: Any = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            return accelerators[0].name, f"{accelerators[0].name} {accelerators[0].title}"
        return "", ""
