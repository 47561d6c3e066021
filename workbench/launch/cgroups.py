"""The control groups that limit this process: a container, a job, a session."""

from pathlib import Path


def cgroups(root: Path) -> list[Path]:
    """The cgroups of this process and their parents: of version 2, and of version 1's memory and cpu controllers."""
    groups: list[Path] = []
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        base = root / "sys/fs/cgroup"
        if controllers:
            if not {"memory", "cpu"} & set(controllers.split(",")):
                continue
            base = base / next(name for name in controllers.split(",") if name in ("memory", "cpu"))
        folder = base / place.lstrip("/")
        groups += [group for group in (folder, *folder.parents) if group.is_relative_to(base)]
    return groups


def read(file: Path) -> str:
    """A system file's text; "" where it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
