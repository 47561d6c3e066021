"""Python that waits with torch imported: `python -m workbench.training.warm SOCKET`, started by `workbench.launch.waiting`.

It has no run, no CUDA context, and nothing else that is set for the process. Told to, it becomes the worker of a run, or what answers.
"""

import contextlib
import importlib
import json
import os
import runpy
import socket
import sys
import threading
import time
from pathlib import Path

MODULES = (
    "torch",
    "torchvision",
    "sklearn.datasets",
    "workbench.training.failures",
    "workbench.training.find_project",
    "workbench.training.loop",
)
"""What is imported meanwhile; neither of the two programs themselves, which run as they would from the command line."""
STREAMS = ("stdin", "stdout", "stderr")
LONGEST = 1 << 18
MOST_FILES = 64
"""Of the order: the run's lock, a pipe, and the lock of each device."""
PRIORITY = 10
"""Of the imports (setpriority(2)): beside a run on the same core they get a tenth of it."""
EASILY_KILLED = "500"
"""Added to its badness: where memory runs out, the kernel ends it rather than a run (proc(5), oom_score_adj)."""


def main(file: int) -> None:
    """Import, say so, and become what the first message says; end where the other side closes the line."""
    badness = Path("/proc/self/oom_score_adj")
    before = badness.read_text()
    with contextlib.suppress(OSError):
        badness.write_text(EASILY_KILLED)
    line = socket.socket(fileno=file)
    importing = threading.Thread(target=_import)
    importing.start()
    importing.join()
    line.send(b'{"ready": true}')
    data, files, _, _ = socket.recv_fds(line, LONGEST, MOST_FILES, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return
    line.close()
    order = json.loads(data)
    with contextlib.suppress(OSError):
        badness.write_text(before)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.environ["DLWB_TAKEN"] = str(time.monotonic())
    os.chdir(order["folder"])
    for name, file in zip(order["files"], files, strict=True):
        if name in STREAMS:
            os.dup2(file, STREAMS.index(name))
            os.close(file)
        else:
            os.environ[name] = str(file)
    sys.argv[1:] = order["arguments"]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def _import() -> None:
    # Of this thread alone, and for good: a person's process cannot go back to a higher priority.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(PRIORITY, os.getpriority(os.PRIO_PROCESS, 0)))
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    main(int(sys.argv[1]))
