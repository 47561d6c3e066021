"""The devices of this machine, read from NVML without torch; CUDA_VISIBLE_DEVICES is respected. `choose_device` chooses among them."""

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


def _handles() -> list[tuple[str, Any]]:
    """Each visible device with its NVML handle; raises NVML's own errors."""
    import pynvml

    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    uuids = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    return [(name, handles[int(name)] if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name)) for name in visible(uuids)]


def handle(name: str) -> Any:
    """NVML's handle of cuda:N, for the meters; None where there is none."""
    try:
        return _handles()[_place(name)][1] if name.startswith("cuda") else None
    except Exception:
        return None  # training also works without NVML


def _place(name: str) -> int:
    return int(name.partition(":")[2] or 0)


def accelerators() -> list[Device]:
    """The CUDA devices that this process may use."""
    listed: list[Device] = []
    try:
        import pynvml

        for place, (_, nvml) in enumerate(_handles()):
            name = f"cuda:{place}"
            memory = pynvml.nvmlDeviceGetMemoryInfo(nvml)
            place_of_lock = device_lock(name)
            busy = lock.is_held(place_of_lock)
            run = one_line(str(lock.content(place_of_lock).get("run", "")), 80) if busy else ""
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
    """The lock file of a device, locked while a run uses it; named by physical number, so CUDA_VISIBLE_DEVICES does not change it."""
    # 64 stands for "any number": without UUIDs in the variable, only the count matters.
    uuids = [""] * 64
    if "GPU-" in os.environ.get("CUDA_VISIBLE_DEVICES", ""):
        try:
            import pynvml

            pynvml.nvmlInit()
            uuids = [
                str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(number))) for number in range(pynvml.nvmlDeviceGetCount())
            ]
        except Exception:
            pass
    names, place = visible(uuids), _place(name)
    number = names[place] if place < len(names) else str(place)
    return paths.device_locks() / f"cuda-{re.sub(r'[^A-Za-z0-9-]', '-', number)[:100]}.lock"
