"""Which devices this machine offers, without torch: NVML, CUDA_VISIBLE_DEVICES respected. The start of a run chooses here."""

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
    """A process that keeps memory on a device."""

    pid: int
    user: str = ""
    """Empty where it is not to be seen from here, as from inside a container."""
    memory: float = 0.0
    """Bytes; 0 where the driver does not say."""


class Device(msgspec.Struct, frozen=True):
    """One place to train."""

    name: str
    """cpu, or cuda:N as torch counts."""
    title: str
    free: float = 0.0
    """Free memory, bytes; 0 for the CPU."""
    busy: bool = False
    """Whether a run of dlwb holds it."""
    total: float = 0.0
    run: str = ""
    """The id of the run that holds it."""
    holders: tuple[Holder, ...] = ()


class Driver(msgspec.Struct, frozen=True):
    """NVIDIA's driver as NVML knows it."""

    version: str = ""
    """Empty where NVML does not answer."""
    cuda: str = ""
    """The newest CUDA that it can run, as 12.4."""
    count: int = 0
    """Devices, whether or not this process may use them."""
    error: str = ""
    """Why NVML does not answer; empty where there is no driver at all."""


def visible(uuids: Sequence[str]) -> list[str]:
    """The devices that this process may use, in torch's order: their physical numbers, or the names of MIG instances.

    CUDA_VISIBLE_DEVICES holds numbers, beginnings of UUIDs or MIG instances; a wrong word ends the list, one that comes twice empties it
    (CUDA C++ Programming Guide, environment variables).
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(len(uuids))]
    chosen: list[str] = []
    for word in (each.strip() for each in given.split(",")):
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
    """Each visible device with its NVML handle; raises whatever NVML does."""
    import pynvml

    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    uuids = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    return [(each, handles[int(each)] if each.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(each)) for each in visible(uuids)]


def handle(name: str) -> Any:
    """NVML's handle of cuda:N, for meters; None where there is none."""
    try:
        return _handles()[_place(name)][1] if name.startswith("cuda") else None
    except Exception:
        return None  # a driver without NVML trains all the same


def _place(name: str) -> int:
    return int(name.partition(":")[2] or 0)


def accelerators() -> list[Device]:
    """The CUDA devices that this process may use."""
    found: list[Device] = []
    try:
        import pynvml

        for place, (_, each) in enumerate(_handles()):
            name = f"cuda:{place}"
            memory = pynvml.nvmlDeviceGetMemoryInfo(each)
            place_of_lock = device_lock(name)
            busy = lock.is_held(place_of_lock)
            run = one_line(str(lock.content(place_of_lock).get("run", "")), 80) if busy else ""
            title = one_line(str(pynvml.nvmlDeviceGetName(each)), 60)
            found.append(Device(name, title, float(memory.free), busy, float(memory.total), run, tuple(_holders(each))))
    except Exception:
        pass  # no driver, no NVML: no such device; `driver` says why
    return found


def _holders(handle: Any) -> list[Holder]:
    import pynvml

    try:
        found = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return []
    return sorted((Holder(each.pid, _user(each.pid), float(each.usedGpuMemory or 0)) for each in found), key=lambda each: -each.memory)


def _user(pid: int) -> str:
    import pwd

    try:
        return one_line(pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name, 40)
    except (OSError, KeyError):
        return ""


def held_by(device: Device) -> str:
    """Who keeps memory on a device, the largest first: `anna 60.0 GiB, pid 812 2.0 GiB`; "" where nobody is seen."""
    sizes: dict[str, float] = {}
    for each in device.holders:
        who = each.user or f"pid {each.pid}"
        sizes[who] = sizes.get(who, 0.0) + each.memory
    return ", ".join(f"{who} {formatting.gib(size)}" if size else who for who, size in list(sizes.items())[:3])


def devices() -> list[Device]:
    """All of them, the CPU last."""
    return [*accelerators(), Device("cpu", f"CPU, {len(os.sched_getaffinity(0))} cores")]


def driver(root: Path = Path("/")) -> Driver:
    """The driver, whether or not NVML answers. `root` is where its marks in /proc and /dev are looked for."""
    try:
        import pynvml

        pynvml.nvmlInit()
        number = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        cuda = f"{number // 1000}.{number % 1000 // 10}"
        return Driver(one_line(str(pynvml.nvmlSystemGetDriverVersion()), 40), cuda, int(pynvml.nvmlDeviceGetCount()))
    except Exception as error:
        marks = ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/nvidia0")
        there = any((root / mark).exists() for mark in marks)
        return Driver(error=one_line(str(error), 200) or type(error).__name__ if there else "")


def processor() -> str:
    """The CPU's name, as Linux has it; else its architecture."""
    try:
        names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def device_lock(name: str) -> Path:
    """The lock that a run holds for as long as it uses the device; by physical number, so that CUDA_VISIBLE_DEVICES makes no difference."""
    uuids = [""] * 64
    if "GPU-" in os.environ.get("CUDA_VISIBLE_DEVICES", ""):
        try:
            import pynvml

            pynvml.nvmlInit()
            uuids = [str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(each))) for each in range(pynvml.nvmlDeviceGetCount())]
        except Exception:
            pass
    names, place = visible(uuids), _place(name)
    number = names[place] if place < len(names) else str(place)
    return paths.device_locks() / f"cuda-{re.sub(r'[^A-Za-z0-9-]', '-', number)[:100]}.lock"
