"""The devices of this machine, read from NVML without torch; CUDA_VISIBLE_DEVICES is respected. `choose_device` chooses among them."""

import contextlib
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench import formatting, paths
from workbench.problems import one_line
from workbench.runs import lock

CUDA_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""The environment in which cuda:N is the same device for torch as here, whatever a person has set: by default the fastest comes first."""


class Holder(msgspec.Struct, frozen=True):
    """A process that uses memory of a device."""

    pid: int
    user: str = ""
    """Empty where this process cannot see it, for example inside a container."""
    memory: float = 0.0
    """Bytes; 0 where the driver does not say."""


class Device(msgspec.Struct, frozen=True):
    """One place to train."""

    name: str
    """`cpu`, or `cuda:N` with torch's numbers."""
    title: str
    free: float = 0.0
    """Free memory, bytes; 0 for the CPU."""
    busy: bool = False
    """Whether a run of dlwb uses it."""
    total: float = 0.0
    run: str = ""
    """The id of the run that uses it."""
    holders: tuple[Holder, ...] = ()


class Driver(msgspec.Struct, frozen=True):
    """The NVIDIA driver, as NVML reports it."""

    version: str = ""
    """Empty where NVML does not answer."""
    cuda: str = ""
    """The newest CUDA version that it supports: `12.4`."""
    count: int = 0
    """Number of devices, including those that this process may not use."""
    error: str = ""
    """Why NVML does not answer; empty where no driver is installed."""


def visible(uuids: Sequence[str]) -> list[str]:
    """The devices that this process may use, in torch's order: physical numbers, or names of MIG instances.

    CUDA_VISIBLE_DEVICES holds numbers, prefixes of UUIDs, or MIG instances. An invalid entry ends the list; a repeated one empties it
    (CUDA C++ Programming Guide, environment variables).
    """
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return [str(number) for number in range(len(uuids))]
    chosen: list[str] = []
    for word in (part.strip() for part in setting.split(",")):
        same = [number for number, uuid in enumerate(uuids) if word.startswith("GPU-") and uuid.startswith(word)]
        if word.startswith("MIG-"):
            chosen.append(word)
        elif len(same) == 1:
            chosen.append(str(same[0]))
        elif word.isascii() and word.isdigit() and int(word) < len(uuids):
            chosen.append(str(int(word)))
        else:
            break
    return chosen if len(set(chosen)) == len(chosen) else []


def _nvml_devices() -> list[tuple[str, Any]]:
    """UUID and NVML handle of each device that this process may use, in torch's order; raises NVML's own errors."""
    import pynvml

    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    # NVML promises no order, CUDA counts by the place on the bus (see CUDA_ORDER).
    with contextlib.suppress(pynvml.NVMLError):
        handles.sort(key=_place_on_bus)
    uuids = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    usable = [handles[int(name)] if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name) for name in visible(uuids)]
    return [(str(pynvml.nvmlDeviceGetUUID(handle)), handle) for handle in usable]


def _place_on_bus(handle: Any) -> tuple[int, int, int]:
    import pynvml

    info = pynvml.nvmlDeviceGetPciInfo(handle)
    return info.domain, info.bus, info.device


def handle(name: str) -> Any:
    """NVML's handle of cuda:N, for the meters; None where there is none."""
    try:
        return _nvml_devices()[_place(name)][1] if name.startswith("cuda") else None
    except Exception:
        return None  # training also works without NVML


def _place(name: str) -> int:
    return int(name.partition(":")[2] or 0)


def accelerators() -> list[Device]:
    """The CUDA devices that this process may use."""
    listed: list[Device] = []
    try:
        import pynvml

        for place, (uuid, nvml) in enumerate(_nvml_devices()):
            name = f"cuda:{place}"
            memory = pynvml.nvmlDeviceGetMemoryInfo(nvml)
            lock_file = _lock_file(uuid)
            busy = lock.is_held(lock_file)
            run = one_line(str(lock.content(lock_file).get("run", "")), 80) if busy else ""
            title = one_line(str(pynvml.nvmlDeviceGetName(nvml)), 60)
            listed.append(Device(name, title, float(memory.free), busy, float(memory.total), run, tuple(_holders(nvml))))
    except Exception:
        pass  # without a driver or NVML there is no accelerator; `driver` reports the reason
    return listed


def _holders(handle: Any) -> list[Holder]:
    import pynvml

    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return []
    return sorted(
        (Holder(process.pid, _user(process.pid), float(process.usedGpuMemory or 0)) for process in processes),
        key=lambda process: -process.memory,
    )


def _user(pid: int) -> str:
    import pwd

    try:
        return one_line(pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name, 40)
    except (OSError, KeyError):
        return ""


def held_by(device: Device) -> str:
    """Who uses memory of a device, the largest use first: `anna 60.0 GiB, pid 812 2.0 GiB`; "" where no process is visible."""
    sizes: dict[str, float] = {}
    for holder in device.holders:
        who = holder.user or f"pid {holder.pid}"
        sizes[who] = sizes.get(who, 0.0) + holder.memory
    return ", ".join(f"{who} {formatting.gib(size)}" if size else who for who, size in list(sizes.items())[:3])


def devices() -> list[Device]:
    """All devices, the CPU last."""
    return [*accelerators(), Device("cpu", f"CPU, {len(os.sched_getaffinity(0))} cores")]


def driver(root: Path = Path("/")) -> Driver:
    """The driver, also where NVML does not answer. `root` is the folder whose proc/ and dev/ are searched for its files."""
    try:
        import pynvml

        pynvml.nvmlInit()
        number = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        cuda = f"{number // 1000}.{number % 1000 // 10}"
        return Driver(one_line(str(pynvml.nvmlSystemGetDriverVersion()), 40), cuda, int(pynvml.nvmlDeviceGetCount()))
    except Exception as error:
        marks = ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/nvidia0")
        installed = any((root / mark).exists() for mark in marks)
        return Driver(error=one_line(str(error), 200) or type(error).__name__ if installed else "")


def processor() -> str:
    """The CPU's name from /proc/cpuinfo, else its architecture; and the number of cores that this process may use."""
    try:
        names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def device_lock(name: str) -> Path:
    """The lock file of a device of this machine, locked while a run uses it.

    It is named by host and UUID: numbers change with CUDA_VISIBLE_DEVICES and with the cards, and machines may share a home.
    """
    place = _place(name)
    try:
        return _lock_file(_nvml_devices()[place][0])
    except Exception:
        # Without NVML the number alone names it: 64 stands for "any number".
        numbers = visible([""] * 64)
        return _lock_file(f"cuda-{numbers[place] if place < len(numbers) else place}")


def _lock_file(device: str) -> Path:
    return paths.device_locks() / f"{re.sub(r'[^A-Za-z0-9.-]', '-', f'{lock.host()[:80]}-{device[:100]}')}.lock"
