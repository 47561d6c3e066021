"""Which devices this machine offers, without torch: NVML, CUDA_VISIBLE_DEVICES respected. The start of a run chooses here."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench import lock, paths
from workbench.problems import Problem


class Device(msgspec.Struct, frozen=True):
    """One place to train."""

    name: str
    """cpu, or cuda:N as torch counts."""
    title: str
    free: float = 0.0
    """Free memory, bytes; 0 for the CPU."""
    busy: bool = False
    """Whether a run of dlwb holds it."""


def visible(count: int) -> list[int]:
    """The physical devices that this process may use, in torch's order, by CUDA_VISIBLE_DEVICES (numbers; a wrong one ends the list)."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return list(range(count))
    chosen: list[int] = []
    for word in given.split(","):
        if not word.strip().isdigit() or int(word) >= count:
            break
        chosen.append(int(word))
    return chosen


def devices() -> list[Device]:
    """All of them, the CPU last."""
    found: list[Device] = []
    try:
        import pynvml

        pynvml.nvmlInit()
        for place, number in enumerate(visible(pynvml.nvmlDeviceGetCount())):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            name = f"cuda:{place}"
            title = pynvml.nvmlDeviceGetName(handle)
            found.append(Device(name, str(title), float(pynvml.nvmlDeviceGetMemoryInfo(handle).free), lock.is_held(device_lock(name))))
    except Exception:
        pass  # no driver, no NVML: no such device
    return [*found, Device("cpu", f"CPU, {len(os.sched_getaffinity(0))} cores")]


def processor() -> str:
    """The CPU's name, as Linux has it; else its architecture."""
    try:
        names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def device_lock(name: str) -> Path:
    """The lock that a run holds for as long as it uses the device; by physical number, so that CUDA_VISIBLE_DEVICES makes no difference."""
    _, _, place = name.partition(":")
    numbers = visible(64)
    number = numbers[int(place or 0)] if int(place or 0) < len(numbers) else int(place or 0)
    return paths.device_locks() / f"cuda-{number}.lock"


def best_device(kinds: Sequence[str] = ("cpu", "cuda"), wanted: str = "auto") -> str:
    """The device for a run: what was asked for, or the free accelerator with the most free memory, or the CPU."""
    if wanted == "cpu" or "cuda" not in kinds:
        if wanted.startswith("cuda"):
            raise Problem(f"This project trains on the CPU only, and {wanted} was asked for.", "Leave --device out.")
        return "cpu"
    accelerators = [device for device in devices() if device.name != "cpu"]
    if wanted == "auto":
        if not accelerators:
            return "cpu"
        return max(accelerators, key=lambda device: (not device.busy, device.free)).name
    name = "cuda:0" if wanted == "cuda" else wanted
    if name not in [device.name for device in accelerators]:
        have = ", ".join(device.name for device in accelerators) or "none"
        raise Problem(f"There is no device {wanted} here; accelerators: {have}.", "Use --device cpu; nvidia-smi shows what there is.")
    return name
