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
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch._dynamo
import torch._inductor.config  # noqa: F401 - what the first optimizer and `use_deterministic_algorithms` import, for seconds
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from workbench.training import failures, find_project, loop, worker  # noqa: F401 - before the fork, so that they are imported once
from workbench.training.ranks import follower, group, leader  # noqa: F401

LOOK_EVERY = 0.1
"""Seconds between two looks at the processes."""
GONE_AFTER = 5.0
"""Seconds that a killed process may take to be gone."""
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG (prctl(2))."""


class Watch(threading.Thread):
    """Passes SIGTERM on to the leader, and ends all as soon as one process has died: torchrun's agent would give the others 30 s."""

    def __init__(self, pids: Any, end: Callable[[int, int], NoReturn]) -> None:
        """`pids` are the process ids by rank, 0 until a process has begun; `end` is told rank and exit code of the one that died."""
        super().__init__(daemon=True)
        self._pids, self._end = pids, end
        self._processes: dict[int, Any] = {}
        self._asked = False

    def run(self) -> None:
        """Until this process ends."""
        while True:
            self._asked |= signal.sigtimedwait({signal.SIGTERM}, LOOK_EVERY) is not None
            # Held, since multiprocessing forgets those that have ended.
            self._processes.update((process.pid or 0, process) for process in multiprocessing.active_children())
            # The leader is on the first node; the processes of the others end with it.
            if self._asked and self._pids[0] and not node():
                self._asked = False
                _send(self._pids[0], signal.SIGTERM)
            # A minus is a signal: that one died first, where another one has ended because of it.
            if died := sorted((process.exitcode, pid) for pid, process in self._processes.items() if process.exitcode):
                for pid, process in self._processes.items():
                    if process.exitcode is None:
                        _send(pid, signal.SIGKILL)
                # The lock is free when the leader is gone, and then nothing of this attempt may be left.
                for process in self._processes.values():
                    process.join(GONE_AFTER)
                code, pid = died[0]
                self._end(list(self._pids).index(pid) if pid in self._pids else 0, code)


def node() -> int:
    """Which node of a cluster this is; 0 where there is one."""
    return int(os.environ.get("SLURM_PROCID") or 0)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def train(path: str, pids: Any) -> int:
    """What each forked process does."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    pids[int(os.environ.get("LOCAL_RANK", "0"))] = os.getpid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    code = worker.train(Path(path))
    if code:
        sys.exit(code)
    return code


def main(path: str, processes: int) -> NoReturn:
    """Run the processes to their end; how one died goes to the supervisor's pipe, behind what it may have said itself."""
    report = int(os.environ.get("DLWB_REPORT", "-1"))

    def end(code: int) -> NoReturn:
        # At once: to part from a rendezvous with nobody takes torchrun seconds.
        os._exit(code)

    def died(place: int, code: int) -> NoReturn:
        with contextlib.suppress(OSError):
            os.write(report, json.dumps({"rank": place, "of": processes, "code": code}).encode() + b"\n")
        end(1)

    # Blocked here and in all threads: the one that watches takes it. Each process unblocks it for itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    # Of several nodes, which `dlwb submit` starts, the first one is where all meet. Tried with two on one machine.
    nodes, master = int(os.environ.get("DLWB_NODES") or 1), os.environ.get("MASTER_ADDR", "")
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    if nodes == 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=processes,
        run_id=Path(path).name,
        rdzv_backend="c10d" if nodes == 1 else "static",
        rdzv_endpoint="127.0.0.1:0" if nodes == 1 else f"{master}:{os.environ.get('MASTER_PORT', '29500')}",
        rdzv_configs={} if nodes == 1 else {"rank": node()},
        local_addr="127.0.0.1" if nodes == 1 else master if not node() else None,
        max_restarts=0,
        monitor_interval=LOOK_EVERY,
        start_method="fork",
        # Else it leaves a folder behind.
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )
    pids = multiprocessing.get_context("fork").Array("i", processes)
    Watch(pids, died).start()
    try:
        elastic_launch(config, train)(path, pids)
    except ChildFailedError as error:
        place, failure = next(iter(error.failures.items()))
        died(place, failure.exitcode)
    except BaseException:
        traceback.print_exc()
        end(1)
    end(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
