"""The machine's meters as scalars under system/: the worker samples them every few seconds, the terminal program shows them."""

import contextlib
import os
import time
from typing import Any

import psutil

from workbench.launch.devices import handle

EVERY = 2.0
"""Seconds between two readings."""


class Meters:
    """Reads this process and, on CUDA, its device."""

    def __init__(self, device: str) -> None:
        self._process = psutil.Process()
        # psutil measures between two calls, so that the first one's answer is 0.
        self._process.cpu_percent()
        self._due = time.monotonic()
        self._gpu = handle(device)

    def read(self) -> dict[str, float]:
        """The readings by tag, or {} where the last ones are still fresh.

        CPU in % of one core; load, the machine's average of a minute, in processes; memory in GiB; GPU in %, GiB, °C, W.
        """
        now = time.monotonic()
        if now < self._due:
            return {}
        self._due = now + EVERY
        memory = psutil.virtual_memory()
        values = {
            "system/cpu": self._process.cpu_percent(),
            "system/load": os.getloadavg()[0],
            "system/memory": self._process.memory_info().rss / 2**30,
            "system/memory_free": memory.available / 2**30,
        }
        if self._gpu is not None:
            values.update(_gpu_values(self._gpu))
        return values


def _gpu_values(handle: Any) -> dict[str, float]:
    import pynvml

    values: dict[str, float] = {}
    with contextlib.suppress(pynvml.NVMLError):
        # A card that lacks one of these figures still gives those before it.
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        values["system/gpu_memory"] = int(memory.used) / 2**30
        values["system/gpu_memory_total"] = int(memory.total) / 2**30
        values["system/gpu"] = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        values["system/gpu_temperature"] = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
        values["system/gpu_power"] = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000  # from milliwatts
    return values
