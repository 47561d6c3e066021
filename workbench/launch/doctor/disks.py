"""The doctor on dlwb's home: room, quota, network file systems, locks, clocks; the mirror; runs that are damaged."""

import errno
import os
import re
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from workbench import paths
from workbench.formatting import gib
from workbench.launch.doctor.finding import Finding, Level, output
from workbench.launch.estimate import GIB
from workbench.problems import Problem, one_line
from workbench.runs import lock, runs

NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "fuse.sshfs",
    "9p",
    "afs",
    "glusterfs",
    "fuse.glusterfs",
    "panfs",
)
VOLATILE = ("tmpfs", "ramfs")
LOW, FULL = 5 * GIB, 0.5 * GIB
"""Free bytes below which a data set may not fit, and below which checkpoints soon do not."""
SKEW = 5.0
"""Seconds that a file server's clock may differ from ours."""
ELSEWHERE = "Set DLWB_HOME to a folder on another disk."


class Mount(NamedTuple):
    """Where a file system is mounted, and of what type."""

    place: str
    kind: str
    options: str


def look() -> list[Finding]:
    """All of it."""
    home = paths.home()
    there = next(each for each in (home, *home.parents) if each.exists())
    try:
        mount = mount_of(there.resolve(), Path("/proc/self/mountinfo").read_text(errors="replace"))
    except OSError:
        mount = None
    findings = [writing(home), room(there)]
    if kind := filesystem(home, mount):
        findings.append(kind)
    if full := quota(output(["quota", "-w", "-p"])):
        findings.append(full)
    findings += [each for each in (mirror(), damaged()) if each]
    return findings


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """The file system that a path lies on, from the text of /proc/self/mountinfo (proc_pid_mountinfo(5)).

    Of two that are mounted at one place the later one covers the other.
    """
    best: Mount | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if len(fields) < 6 or not rest[0]:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        if path.is_relative_to(place) and (best is None or len(place) >= len(best.place)):
            best = Mount(place, rest[0], ",".join([fields[5], *rest[2:3]]))
    return best


def room(folder: Path) -> Finding:
    """Free bytes and inodes."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return Finding("room", "unknown", f"The room on {folder} is not known: {error.strerror}.")
    free = float(found.f_bavail * found.f_frsize)
    text = f"{gib(free)} free in {one_line(str(folder))}"
    if found.f_files and found.f_favail < 1000:
        return Finding("room", "bad", f"{text}, but room for {found.f_favail} more files only.", ELSEWHERE)
    mend = f"Delete old runs (`dlwb delete RUN`, then {paths.runs() / '.trash'}). {ELSEWHERE}"
    level: Level = "bad" if free < FULL else "warn" if free < LOW else "ok"
    return Finding("room", level, f"{text}.", mend if level != "ok" else "")


def writing(home: Path) -> Finding:
    """Whether a megabyte can be written there, synced and locked: full quotas, read-only disks, file servers without locks."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home, prefix=".doctor-") as file:
            began = time.time()
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
            written = os.fstat(file.fileno()).st_mtime
            held = lock.Lock.take(Path(file.name))
            holds = held is not None and lock.is_held(Path(file.name))
            if held:
                held.release()
    except OSError as error:
        if error.errno == errno.EDQUOT:
            return Finding(
                "home", "bad", f"Your quota is full: nothing can be written to {home}.", f"Delete something of yours. {ELSEWHERE}"
            )
        if error.errno == errno.ENOSPC:
            return Finding("home", "bad", f"The disk is full: nothing can be written to {home}.", f"Free some space. {ELSEWHERE}")
        if error.errno == errno.ENOLCK:
            return Finding("home", "bad", f"{home} has no locks, and a run is alive as long as it holds one.", ELSEWHERE)
        return Finding("home", "bad", f"{home} cannot be used: {error.strerror}.", ELSEWHERE)
    if not holds:
        return Finding("home", "bad", f"Locks do not hold on {home}: dlwb could not tell which runs live.", ELSEWHERE)
    if abs(written - began) > SKEW:
        text = f"The clock of the disk under {home} differs from this machine's by {abs(written - began):.0f} s."
        return Finding("home", "warn", text, "Ask for time synchronisation (chrony, ntp) on both.")
    return Finding("home", "ok", f"{home} can be written, and locks hold on it.")


def filesystem(home: Path, mount: Mount | None) -> Finding | None:
    """What a network or a volatile file system under the home means."""
    if mount is None:
        return None
    if mount.kind in VOLATILE:
        return Finding("disk", "warn", f"{home} lies in memory ({mount.kind}): runs are lost at a restart.", ELSEWHERE)
    if mount.kind not in NETWORK and not mount.kind.startswith("nfs"):
        return Finding("disk", "ok", f"A local file system ({mount.kind}) at {mount.place}.")
    if "nolock" in mount.options.split(",") or "local_lock=all" in mount.options.split(","):
        text = f"{home} is on {mount.kind} without locks between machines: a run on another one looks as if it had ended."
        return Finding("disk", "warn", text, f"Use one machine at a time. {ELSEWHERE}")
    text = f"{home} is on a network file system ({mount.kind}): runs of other machines are seen, checkpoints take longer."
    return Finding("disk", "warn", text, "A local disk is faster: DLWB_HOME=/scratch/$USER/dlwb, where there is one.")


def quota(text: str) -> Finding | None:
    """The fullest of a person's quotas, from `quota -w -p`: blocks of 1 KiB, soft and hard limit, grace; the same for files."""
    worst: tuple[float, str] | None = None
    for line in text.splitlines():
        words = line.split()
        numbers = [word.rstrip("*") for word in words[1:]]
        for start, what in ((0, "of its room"), (4, "of its number of files")):
            used = numbers[start : start + 3]
            if len(used) == 3 and all(word.isdigit() for word in used):
                limit = int(used[1]) or int(used[2])
                if limit and (worst is None or int(used[0]) / limit > worst[0]):
                    worst = (int(used[0]) / limit, f"Your quota on {words[0]}: {int(used[0]) / limit:.0%} {what}.")
    if worst is None:
        return None
    level: Level = "bad" if worst[0] >= 1 else "warn" if worst[0] > 0.9 else "ok"
    return Finding("quota", level, worst[1], f"Delete something of yours. {ELSEWHERE}" if level != "ok" else "")


def mirror() -> Finding | None:
    """Whether $DLWB_MIRROR is there."""
    folder = paths.mirror()
    if folder is None:
        return None
    if not folder.is_dir():
        text = f"DLWB_MIRROR={one_line(str(folder))} is no folder: data is downloaded instead."
        return Finding("mirror", "warn", text, "Correct it, or unset DLWB_MIRROR.")
    return Finding("mirror", "ok", f"Data is looked for in {one_line(str(folder))} first.")


def damaged() -> Finding | None:
    """Runs whose recipe or log cannot be read."""
    broken: list[str] = []
    try:
        listed = runs.list_runs()
    except Problem:
        return None  # `writing` said why
    for run in listed:
        try:
            run.recipe()
            runs.summary(run)
        except (Problem, OSError):
            broken.append(run.id)
    if not broken:
        return None
    text = f"{len(broken)} run{'s' * (len(broken) != 1)} cannot be read: {', '.join(broken[:3])}{' …' * (len(broken) > 3)}."
    return Finding("runs", "warn", text, "`dlwb delete RUN` moves one to the trash.")
