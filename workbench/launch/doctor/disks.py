"""Checks of dlwb's home: free space, quota, network file systems, locks, clocks; of the mirror; and for damaged runs."""

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
from workbench.runs import lock
from workbench.runs.run import list_runs
from workbench.runs.summary import summary_of

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
"""Free bytes: below the first a data set may not fit, below the second the next checkpoints may not."""
SKEW = 5.0
"""Seconds that a file server's clock may differ from this machine's."""
ELSEWHERE = "Set DLWB_HOME to a folder on another disk."


class Mount(NamedTuple):
    """Where a file system is mounted, its type and its options."""

    place: str
    kind: str
    options: str


def look() -> list[Finding]:
    """Run these checks."""
    home = paths.home()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        mount = mount_of(existing.resolve(), Path("/proc/self/mountinfo").read_text(errors="replace"))
    except OSError:
        mount = None
    findings = [writing(home), room(existing)]
    if kind := filesystem(home, mount):
        findings.append(kind)
    if full := quota(output(["quota", "-w", "-p"])):
        findings.append(full)
    findings += [finding for finding in (mirror(), damaged()) if finding]
    return findings


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """The file system of a path, from the text of /proc/self/mountinfo (proc_pid_mountinfo(5)).

    Where two are mounted at the same place, the later one hides the earlier one.
    """
    best: Mount | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if len(fields) < 6 or not rest[0]:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if path.is_relative_to(place) and (best is None or len(place) >= len(best.place)):
            best = Mount(place, rest[0], ",".join([fields[5], *rest[2:3]]))
    return best


def room(folder: Path) -> Finding:
    """Free bytes and inodes of the file system of `folder`."""
    try:
        space = os.statvfs(folder)
    except OSError as error:
        return Finding("room", "unknown", f"The free space of {folder} is not known: {error.strerror}.")
    free = float(space.f_bavail * space.f_frsize)
    text = f"{gib(free)} free in {one_line(str(folder))}"
    # f_files is 0 where a file system has no fixed number of inodes (btrfs).
    if space.f_files and space.f_favail < 1000:
        return Finding("room", "bad", f"{text}, but space for only {space.f_favail} more files.", ELSEWHERE)
    hint = f"Delete old runs (`dlwb delete RUN`, then {paths.runs() / '.trash'}). {ELSEWHERE}"
    level: Level = "bad" if free < FULL else "warn" if free < LOW else "ok"
    return Finding("room", level, f"{text}.", hint if level != "ok" else "")


def writing(home: Path) -> Finding:
    """Whether a megabyte can be written, synced and locked in the home; finds full quotas, read-only disks, file servers without locks."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home, prefix=".doctor-") as file:
            began = time.time()
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
            # The file server sets this time, so it shows the server's clock.
            written = os.fstat(file.fileno()).st_mtime
            held = lock.Lock.take(Path(file.name))
            holds = held is not None and lock.is_held(Path(file.name))
            if held:
                held.release()
    except OSError as error:
        if error.errno == errno.EDQUOT:
            return Finding(
                "home", "bad", f"Your quota is full: nothing can be written to {home}.", f"Delete some of your files. {ELSEWHERE}"
            )
        if error.errno == errno.ENOSPC:
            return Finding("home", "bad", f"The disk is full: nothing can be written to {home}.", f"Free some space. {ELSEWHERE}")
        if error.errno == errno.ENOLCK:
            return Finding("home", "bad", f"{home} does not support locks, and dlwb needs them to see which runs are alive.", ELSEWHERE)
        return Finding("home", "bad", f"{home} cannot be used: {error.strerror}.", ELSEWHERE)
    if not holds:
        return Finding("home", "bad", f"Locks have no effect on {home}: dlwb could not tell which runs are alive.", ELSEWHERE)
    if abs(written - began) > SKEW:
        text = f"The clock of the disk under {home} differs from this machine's by {abs(written - began):.0f} s."
        return Finding("home", "warn", text, "Ask for time synchronisation (chrony, ntp) on both.")
    return Finding("home", "ok", f"{home} can be written, and locks work on it.")


def filesystem(home: Path, mount: Mount | None) -> Finding | None:
    """What it means if the home lies on a network file system or in memory."""
    if mount is None:
        return None
    if mount.kind in VOLATILE:
        return Finding("disk", "warn", f"{home} lies in memory ({mount.kind}): runs are lost when the machine restarts.", ELSEWHERE)
    if mount.kind not in NETWORK and not mount.kind.startswith("nfs"):
        return Finding("disk", "ok", f"A local file system ({mount.kind}) at {mount.place}.")
    if "nolock" in mount.options.split(",") or "local_lock=all" in mount.options.split(","):
        text = f"{home} is on {mount.kind} without locks between machines: a run on another machine looks as if it had ended."
        return Finding("disk", "warn", text, f"Use one machine at a time. {ELSEWHERE}")
    text = f"{home} is on a network file system ({mount.kind}): runs of other machines are visible, and checkpoints take longer."
    return Finding("disk", "warn", text, "A local disk is faster, for example DLWB_HOME=/scratch/$USER/dlwb.")


def quota(text: str) -> Finding | None:
    """The fullest quota of the user, from the output of `quota -w -p`: blocks of 1 KiB, soft and hard limit, grace; the same for files."""
    worst: tuple[float, str] | None = None
    for line in text.splitlines():
        words = line.split()
        numbers = [word.rstrip("*") for word in words[1:]]
        for start, what in ((0, "of its space"), (4, "of its number of files")):
            used = numbers[start : start + 3]
            if len(used) == 3 and all(word.isdigit() for word in used):
                limit = int(used[1]) or int(used[2])
                if limit and (worst is None or int(used[0]) / limit > worst[0]):
                    worst = (int(used[0]) / limit, f"Your quota on {words[0]}: {int(used[0]) / limit:.0%} {what}.")
    if worst is None:
        return None
    level: Level = "bad" if worst[0] >= 1 else "warn" if worst[0] > 0.9 else "ok"
    return Finding("quota", level, worst[1], f"Delete some of your files. {ELSEWHERE}" if level != "ok" else "")


def mirror() -> Finding | None:
    """Whether the folder $DLWB_MIRROR exists."""
    folder = paths.mirror()
    if folder is None:
        return None
    if not folder.is_dir():
        text = f"DLWB_MIRROR={one_line(str(folder))} is not a folder: data is downloaded instead."
        return Finding("mirror", "warn", text, "Correct it, or unset DLWB_MIRROR.")
    return Finding("mirror", "ok", f"Data sets are first looked for in {one_line(str(folder))}.")


def damaged() -> Finding | None:
    """Runs whose recipe or log cannot be read."""
    broken: list[str] = []
    try:
        listed = list_runs()
    except Problem:
        return None  # `writing` reports the reason
    for run in listed:
        try:
            run.recipe()
            summary_of(run)
        except (Problem, OSError):
            broken.append(run.id)
    if not broken:
        return None
    text = f"{len(broken)} run{'s' * (len(broken) != 1)} cannot be read: {', '.join(broken[:3])}{' …' * (len(broken) > 3)}."
    return Finding("runs", "warn", text, "`dlwb delete RUN` moves one to the trash.")
