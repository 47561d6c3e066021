"""The doctor on what may end a run or hold it back: logind at logout, limits of memory and processors, the clock."""

import os
import resource
import time
from pathlib import Path

from workbench.formatting import gib
from workbench.launch import logind
from workbench.launch.doctor.finding import Finding
from workbench.launch.estimate import GIB

ENOUGH = 4 * GIB
"""Bytes of memory that torch with a data set of the course is content with."""


def look() -> list[Finding]:
    """All of it."""
    root = Path("/")
    return [each for each in (logout(root), memory(root), processors(root), clock(time.time())) if each]


def logout(root: Path) -> Finding:
    """Whether runs outlive the end of an SSH session."""
    if not logind.kills_at_logout(root):
        return Finding("logout", "ok", "Runs go on after you log out.")
    ends = "logind ends what you leave behind at logout (KillUserProcesses=yes)"
    if not logind.manager(root):
        text = f"{ends}, and no service manager of yours runs: runs end with your session."
        return Finding("logout", "bad", text, "loginctl enable-linger, log in again; or keep a session open.")
    if not logind.lingers(root):
        text = f"{ends}; dlwb starts runs in a scope of their own, which ends soon after your last session."
        return Finding("logout", "bad", text, "loginctl enable-linger keeps it.")
    return Finding("logout", "ok", f"{ends}; dlwb starts runs in a scope that stays (linger is on).")


def memory(root: Path) -> Finding:
    """The memory that is left for a run: the machine's, the container's or job's, the shell's limit."""
    limits = {"this machine": _available(root), "its cgroup (a container, a job)": cgroup_room(root)}
    limits["ulimit -v"] = float(resource.getrlimit(resource.RLIMIT_AS)[0])
    known = {name: size for name, size in limits.items() if size is not None and 0 <= size < 2.0**60}
    if not known:
        return Finding("memory", "unknown", "The free memory is not known.")
    tightest = min(known, key=lambda name: known[name])
    text = f"{gib(known[tightest])} of memory free, by {tightest}."
    if known[tightest] < ENOUGH:
        return Finding("memory", "warn", text, "Ask for more (--mem=16G), or close something; small recipes still run.")
    return Finding("memory", "ok", text)


def _available(root: Path) -> float | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return None


def cgroups(root: Path) -> list[Path]:
    """This process's own groups and those above, of version 2 and of version 1's memory controller."""
    found: list[Path] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        base = root / "sys/fs/cgroup"
        if controllers:
            if not {"memory", "cpu"} & set(controllers.split(",")):
                continue
            base = base / next(name for name in controllers.split(",") if name in ("memory", "cpu"))
        folder = base / place.lstrip("/")
        found += [each for each in (folder, *folder.parents) if each.is_relative_to(base)]
    return found


def cgroup_room(root: Path) -> float | None:
    """What the tightest group still allows, bytes; None where none limits it."""
    rooms: list[float] = []
    for group in cgroups(root):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, now = _text(group / limit).strip(), _text(group / used).strip()
            if most.isdigit() and now.isdigit() and int(most) < 2**60:
                rooms.append(max(0.0, float(int(most) - int(now))))
    return min(rooms, default=None)


def processors(root: Path) -> Finding:
    """Processors that may be used, against those that a group's quota pays for: more threads than that only wait."""
    cores = len(os.sched_getaffinity(0))
    shares = [float(words[0]) / float(words[1]) for group in cgroups(root) if len(words := _quota(group)) == 2]
    paid = min(shares, default=float(cores))
    if paid < cores - 0.5:
        text = f"{cores} processors are seen, but this container or job gets the time of {paid:.1f}."
        return Finding("processors", "warn", text, f"--set compute.threads={max(1, round(paid))} is faster than {cores} that wait.")
    return Finding("processors", "ok", f"{cores} processor{'s' * (cores != 1)}.")


def _quota(group: Path) -> list[str]:
    words = _text(group / "cpu.max").split() or [_text(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    return words if len(words) == 2 and all(word.isdigit() and int(word) for word in words) else []


def clock(now: float) -> Finding | None:
    """A clock that was never set: then no certificate is valid, and nothing can be downloaded."""
    if now > time.mktime((2025, 1, 1, 0, 0, 0, 0, 0, -1)):
        return None
    return Finding(
        "clock", "bad", f"This machine thinks it is {time.strftime('%Y-%m-%d', time.localtime(now))}.", "Set it: timedatectl set-ntp true."
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
