"""What a worker finds around it: environment, limits, code. One that waits may take a run only where all of it is as in a cold start."""

import hashlib
import json
import os
import re
import resource
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from workbench import paths
from workbench.launch import cgroups
from workbench.launch.devices import CUDA_ORDER

_LIMITS = [getattr(resource, name) for name in sorted(vars(resource)) if name.startswith("RLIMIT_")]
# Our own are read when they are used; the others are the terminal's and the shell's, and no library that trains reads them.
_LOOSE = re.compile(
    r"DLWB_\w+|PWD|OLDPWD|SHLVL|_|TERM\w*|COLORTERM|COLUMNS|LINES|TMUX\w*|STY|WINDOW|WINDOWID|SSH_\w+|GPG_TTY|VTE_VERSION|XDG_SESSION_ID"
)


def worker_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment of a worker that computes with so many threads."""
    return {
        **environment,
        **CUDA_ORDER,
        "PYTHONUNBUFFERED": "1",
        # NumPy's BLAS reads these once, when it is imported: 1 and 2 threads give different bits.
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
    }


def surroundings(environment: Mapping[str, str]) -> str:
    """A hash of what a process with this environment, started from here, gets and cannot change later."""
    ceilings = [cgroups.read(group / name) for group in cgroups.cgroups(Path("/")) for name in ("memory.max", "cpu.max")]
    return _digest(
        sorted((name, value) for name, value in environment.items() if not _LOOSE.fullmatch(name)),
        re.findall(r"^(?:Umask|[UG]id|Groups|Seccomp):.*", Path("/proc/self/status").read_text(), re.MULTILINE),
        [resource.getrlimit(limit) for limit in _LIMITS],
        sorted(os.sched_getaffinity(0)),
        [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)],
        sorted(str(link.readlink()) for link in Path("/proc/self/ns").iterdir()),
        [ceiling.strip() for ceiling in ceilings if ceiling and not ceiling.startswith("max")],
    )


def code() -> str:
    """A hash that changes with every source file of the workbench, with Python, and with the packages that are installed."""
    stamps: list[object] = [sys.executable, sys.version]
    for folder, _, names in os.walk(paths.projects().parent):
        for name in names:
            if name.endswith(".py"):
                file = os.path.join(folder, name)  # noqa: PTH118 - some 300 files, while a person waits
                status = os.stat(file)  # noqa: PTH116
                stamps.append((file, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
    # An installer adds and removes the folder in which it describes a package.
    for place in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        stamps.append((place, Path(place).stat().st_mtime_ns))
    return _digest(*sorted(stamps, key=str))


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
