"""The meters of a GPU beyond memory and use: power, clocks, memory bandwidth, and what slows it down; the worker samples them.

A file of its own, beside the meters that results depend on: these change no figure, and no result is stale for them.
"""

import contextlib
from typing import Any

from workbench.training.meters import Meters


class GpuMeters(Meters):
    """All meters: those of the process, and of its GPU where it has one."""

    def read(self) -> dict[str, float]:
        """The readings by tag, as `Meters.read`, and of a GPU those that its driver gives; what it does not give is left out, and not 0.

        gpu_bandwidth, % of the time in which its memory was read or written; gpu_power and gpu_power_limit, W; gpu_clock, gpu_clock_max and
        gpu_memory_clock, MHz; gpu_slowed, the bits of `workbench.runs.slowdowns`; gpu_temperature, °C.
        """
        readings = super().read()
        if readings and self._gpu is not None:
            readings.update(gpu_readings(self._gpu))
        return readings


def gpu_readings(handle: Any) -> dict[str, float]:
    """What NVML tells of a device, each figure by itself: a card or a driver that lacks one gives the others (NVML API, Device Queries)."""
    import pynvml

    def reasons() -> float:
        try:
            return float(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
        except pynvml.NVMLError_FunctionNotFound:  # drivers before 535 have it under its old name
            return float(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))

    figures = {
        "gpu_bandwidth": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).memory,
        "gpu_temperature": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "gpu_power": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,  # from milliwatts
        "gpu_power_limit": lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "gpu_clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "gpu_clock_max": lambda: pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "gpu_memory_clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
        "gpu_slowed": reasons,
    }
    readings = {}
    for name, read in figures.items():
        with contextlib.suppress(pynvml.NVMLError):
            readings[f"system/{name}"] = float(read())
    return readings
