"""Checks of what may end a run or slow it down: a deleted folder, logind at logout, limits of memory and processors, the clock."""

import os
import re
import resource
import time
from pathlib import Path

from workbench import paths, preferences
from workbench.formatting import gib, size
from workbench.launch import logind, warm
from workbench.launch.cgroups import cgroups, read
from workbench.launch.doctor.finding import Finding
from workbench.launch.estimate import GIB

ENOUGH = 4 * GIB
"""Bytes of memory that are enough for torch and a data set of the course."""


def look() -> list[Finding]:
    """Run these checks."""
    root = Path("/")
    findings = (folder(), logout(root), memory(root), processors(root), waiting(), clock(time.time()))
    return [finding for finding in findings if finding]


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
    for line in read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return None


def cgroup_room(root: Path) -> float | None:
    """Bytes that the tightest cgroup still allows; None without a limit."""
    rooms: list[float] = []
    for group in cgroups(root):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, now = read(group / limit).strip(), read(group / used).strip()
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
    several = f"; up to {cores} processes can train one run (compute.processes)" if cores > 1 else ""
    return Finding("processors", "ok", f"{cores} processor{'s' * (cores != 1)}{several}.")


def _quota(group: Path) -> list[str]:
    words = read(group / "cpu.max").split() or [read(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    return words if len(words) == 2 and all(word.isdigit() and int(word) for word in words) else []


def waiting() -> Finding:
    """Whether a Python with torch waits for the next run, and how much memory it takes."""
    if preferences.get("warm") == "off":
        return Finding("warm", "ok", "No Python with torch waits for runs; `dlwb preferences warm=on` lets one wait while dlwb is open.")
    # Pss counts what is shared with other processes, as the libraries with a run, by shares (proc_pid_smaps(5)).
    if share := re.search(r"^Pss: +(\d+) kB", read(Path(f"/proc/{warm.waits()}/smaps_rollup")), re.MULTILINE):
        text = f"A Python with torch waits for the next run, with {size(float(share[1]) * 1024)} of memory"
        return Finding("warm", "ok", f"{text}; `dlwb preferences warm=off` ends it.")
    return Finding("warm", "ok", "No Python with torch waits for the next run; one does while dlwb is open.")


def clock(now: float) -> Finding | None:
    """Whether the clock was ever set: with a wrong date no certificate is valid, and nothing can be downloaded."""
    if now > time.mktime((2025, 1, 1, 0, 0, 0, 0, 0, -1)):
        return None
    return Finding(
        "clock", "bad", f"This machine's clock says {time.strftime('%Y-%m-%d', time.localtime(now))}.", "Set it: timedatectl set-ntp true."
    )
