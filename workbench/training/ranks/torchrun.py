"""Starts and watches the processes of a run, as `torchrun --nproc-per-node N --max-restarts 0` does: `… torchrun RUN N`.

It is torchrun's own agent. The processes are forked, so that torch is imported once for all, and the lock and the pipe of the supervisor
stay open in them, which torchrun's command closes. It restarts nothing: a death ends all, and the run resumes as the next attempt.
"""

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from workbench.training import failures, find_project, loop, worker  # noqa: F401 - before the fork, so that they are imported once
from workbench.training.ranks import follower, group, leader  # noqa: F401

LOOK_EVERY = 0.1
"""Seconds between two looks at the processes."""
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG (prctl(2))."""


class Watch(threading.Thread):
    """Passes SIGTERM on to the leader, and ends all processes as soon as one has died: torchrun's agent would give the others 30 s."""

    def __init__(self, pids: Any) -> None:
        """`pids` are the process ids by rank, 0 until a process has begun."""
        super().__init__(daemon=True)
        self.died: dict[int, int] = {}
        """Exit codes of those that ended first and not well, or minus the signal, by rank."""
        self._pids = pids
        self._processes: dict[int, Any] = {}
        self._asked = False

    def run(self) -> None:
        """Until this process ends."""
        while not self.died:
            self._asked |= signal.sigtimedwait({signal.SIGTERM}, LOOK_EVERY) is not None
            self.look()

    def look(self) -> None:
        """Pass a signal on, and note which have died."""
        # Held, since multiprocessing forgets those that have ended.
        self._processes.update((process.pid or 0, process) for process in multiprocessing.active_children())
        ranks = {pid: place for place, pid in enumerate(self._pids)}
        if self._asked and self._pids[0]:
            self._asked = False
            _send(self._pids[0], signal.SIGTERM)
        self.died = {ranks.get(pid, 0): process.exitcode for pid, process in self._processes.items() if process.exitcode}
        if self.died:
            for pid, process in self._processes.items():
                if process.exitcode is None:
                    _send(pid, signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def train(path: str, pids: Any) -> int:
    """What each forked process does."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    pids[group.rank()] = os.getpid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    code = worker.train(Path(path))
    if code:
        sys.exit(code)
    return code


def main(path: str, processes: int) -> int:
    """Run the processes to their end; how one died goes to the supervisor's pipe, behind what it may have said itself."""
    report = int(os.environ.get("DLWB_REPORT", "-1"))
    # Blocked here and in all threads: the one that watches takes it. Each process unblocks it for itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.environ |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo")}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=Path(path).name,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=LOOK_EVERY,
        start_method="fork",
    )
    pids = multiprocessing.get_context("fork").Array("i", processes)
    watch = Watch(pids)
    watch.start()
    try:
        elastic_launch(config, train)(path, pids)
        return 0
    except ChildFailedError as error:
        died = watch.died or {place: failure.exitcode for place, failure in error.failures.items()}
        place, code = next(iter(died.items()))
        if report >= 0:
            with contextlib.suppress(OSError):
                os.write(report, json.dumps({"rank": place, "of": processes, "code": code}).encode() + b"\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
