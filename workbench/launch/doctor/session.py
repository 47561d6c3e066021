"""Checks of what may end a run or slow it down: a deleted folder, logind at logout, limits of memory and processors, the clock."""

import os
import resource
import time
from pathlib import Path

from workbench import paths
from workbench.formatting import gib
from workbench.launch import logind
from workbench.launch.doctor.finding import Finding
from workbench.launch.estimate import GIB

ENOUGH = 4 * GIB
"""Bytes of memory that are enough for torch and a data set of the course."""


def look() -> list[Finding]:
    """Run these checks."""
    root = Path("/")
    return [finding for finding in (folder(), logout(root), memory(root), processors(root), clock(time.time())) if finding]


def folder() -> Finding | None:
    """Whether the working directory is still there: without it torch does not find its own libraries."""
    if paths.working_folder() is None:
        return None
    text = "The folder in which this shell stands was deleted or replaced; runs start in another one."
    return Finding("folder", "warn", text, 'cd "$PWD" where it is there again, else cd to another folder.')


def logout(root: Path) -> Finding:
    """Whether runs continue after the end of an SSH session."""
    if not logind.kills_at_logout(root):
        return Finding("logout", "ok", "Runs continue after you log out.")
    ends = "logind ends your processes at logout (KillUserProcesses=yes)"
    if not logind.manager(root):
        text = f"{ends}, and your service manager does not run: runs end with your session."
        return Finding("logout", "bad", text, "Run loginctl enable-linger and log in again; or keep a session open.")
    if not logind.lingers(root):
        text = f"{ends}; dlwb starts runs in a scope of their own, which ends soon after your last session."
        return Finding("logout", "bad", text, "loginctl enable-linger keeps it.")
    return Finding("logout", "ok", f"{ends}; dlwb starts runs in a scope that stays (linger is on).")


def memory(root: Path) -> Finding:
    """The memory left for a run: the smallest of the machine's, the container's or job's, and the shell's limit."""
    limits = {"this machine": _available(root), "its cgroup (a container, a job)": cgroup_room(root)}
    limits["ulimit -v"] = float(resource.getrlimit(resource.RLIMIT_AS)[0])
    # RLIM_INFINITY is -1; values of 2**60 and more also mean that there is no limit.
    limited = {name: size for name, size in limits.items() if size is not None and 0 <= size < 2.0**60}
    if not limited:
        return Finding("memory", "unknown", "The free memory is not known.")
    tightest = min(limited, key=lambda name: limited[name])
    text = f"{gib(limited[tightest])} of memory free, by {tightest}."
    if limited[tightest] < ENOUGH:
        return Finding("memory", "warn", text, "Ask for more (--mem=16G), or close other programs; small recipes still run.")
    return Finding("memory", "ok", text)


def _available(root: Path) -> float | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return None


def cgroups(root: Path) -> list[Path]:
    """The cgroups of this process and their parents: of version 2, and of version 1's memory and cpu controllers."""
    groups: list[Path] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        base = root / "sys/fs/cgroup"
        if controllers:
            if not {"memory", "cpu"} & set(controllers.split(",")):
                continue
            base = base / next(name for name in controllers.split(",") if name in ("memory", "cpu"))
        folder = base / place.lstrip("/")
        groups += [group for group in (folder, *folder.parents) if group.is_relative_to(base)]
    return groups


def cgroup_room(root: Path) -> float | None:
    """Bytes that the tightest cgroup still allows; None without a limit."""
    rooms: list[float] = []
    for group in cgroups(root):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, now = _text(group / limit).strip(), _text(group / used).strip()
            # Version 1 writes a huge number, version 2 the word "max", where there is no limit.
            if most.isdigit() and now.isdigit() and int(most) < 2**60:
                rooms.append(max(0.0, float(int(most) - int(now))))
    return min(rooms, default=None)


def processors(root: Path) -> Finding:
    """Usable processors compared with the CPU time that the cgroup allows: more threads than that only wait."""
    cores = len(os.sched_getaffinity(0))
    shares = [float(words[0]) / float(words[1]) for group in cgroups(root) if len(words := _quota(group)) == 2]
    paid = min(shares, default=float(cores))
    if paid < cores - 0.5:
        text = f"{cores} processors are visible, but this container or job gets the CPU time of {paid:.1f}."
        return Finding("processors", "warn", text, f"--set compute.threads={max(1, round(paid))} is faster than {cores} threads that wait.")
    return Finding("processors", "ok", f"{cores} processor{'s' * (cores != 1)}.")


def _quota(group: Path) -> list[str]:
    words = _text(group / "cpu.max").split() or [_text(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    return words if len(words) == 2 and all(word.isdigit() and int(word) for word in words) else []


def clock(now: float) -> Finding | None:
    """Whether the clock was ever set: with a wrong date no certificate is valid, and nothing can be downloaded."""
    if now > time.mktime((2025, 1, 1, 0, 0, 0, 0, 0, -1)):
        return None
    return Finding(
        "clock", "bad", f"This machine's clock says {time.strftime('%Y-%m-%d', time.localtime(now))}.", "Set it: timedatectl set-ntp true."
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
