"""The processes of one run: how they find one another, what the leader tells the others, and what it hears from them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from workbench.problems import Problem
from workbench.training.ranks import Lost

PATIENCE = 120.0
"""Seconds that a process may take to come: it has only to be started, nothing is built before all are there."""
LONG = timedelta(days=365)
"""The others wait for the leader through evaluations and pauses. A death needs no time limit: it closes the connection."""
OF_A_STEP = timedelta(minutes=30)
"""The longest wait for the gradients of another process: far longer than any step."""
LOOK_EVERY = 0.05
"""Seconds between two looks while the processes wait for one another. Between them Python heeds signals, which it does not in C++."""


def size() -> int:
    """How many processes train this run, as torchrun says in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is; 0 leads."""
    return int(os.environ.get("RANK", "0"))


def devices() -> list[str]:
    """The device of each process of this machine, as the supervisor gave them; none on the CPU."""
    return [name for name in os.environ.get("DLWB_DEVICES", "").split(",") if name]


class Group:
    """All processes of the run. What it sends is Python's pickle, between processes of one person and one run."""

    def __init__(self, store: Store, rank: int, size: int, patience: float = PATIENCE) -> None:
        """Wait until all have come. Problem (cause "ranks") that names one which did not."""
        self.rank, self.size, self._store = rank, size, store
        store.set(f"came/{rank}", str(os.getpid()))
        deadline = time.monotonic() + patience
        self.processes = [int(self.wait(f"came/{other}", deadline, other)) for other in range(size)]
        """Their process ids, by rank."""
        dist.init_process_group("gloo", store=PrefixStore("run", store), rank=rank, world_size=size, timeout=LONG)
        on_gpu = bool(devices())
        # Devices of its own for each process: NCCL refuses one that two share.
        backend = "nccl" if on_gpu and len(set(devices())) == len(devices()) else "gloo"
        self._steps = cast(dist.ProcessGroup, dist.new_group(backend=backend, timeout=OF_A_STEP))
        self._flags = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=OF_A_STEP)) if backend == "nccl" else self._steps

    @classmethod
    def join(cls, wanted: int, patience: float = PATIENCE) -> "Group":
        """Join the others by torchrun's variables of the environment; `wanted` is how many the recipe says."""
        mine, count = rank(), size()
        if count != wanted:
            raise Problem(
                f"This run is trained by {wanted} processes, and {count} {'was' if count == 1 else 'were'} started.",
                "On one machine `dlwb run` and `dlwb resume` start them; on several nodes it is untested: "
                "torchrun --nnodes … -m workbench.training.worker RUN.",
                cause="ranks",
            )
        address, port = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "29500"))
        try:
            store = TCPStore(address, port, count, mine == 0, timedelta(seconds=patience), wait_for_workers=False)
        except (RuntimeError, OSError) as error:
            text = str(error).partition("\n")[0]
            raise Problem(f"Process {mine + 1} of {count} cannot reach the first one: {text}", cause="ranks") from error
        return cls(store, mine, count, patience)

    def wait(self, key: str, deadline: float | None = None, other: int = 0) -> bytes:
        """The value of a key, as soon as another process has set it."""
        with self._found():
            while not self._store.check([key]):
                if deadline is not None and time.monotonic() > deadline:
                    raise Problem(
                        f"Process {other + 1} of {self.size} did not come: the run waited for it, and has trained nothing.",
                        "Its output may say why (`dlwb logs`); `dlwb resume` starts all of them again.",
                        cause="ranks",
                    )
                time.sleep(LOOK_EVERY)
            return bytes(self._store.get(key))

    def all_built(self, build: Callable[[], None] = lambda: None) -> None:
        """Wait until the data and the model of all are built: the leader's first, so that the others find what it fetched and computed."""
        if self.rank:
            self.wait("built/0")
        build()
        with self._found():
            self._store.set(f"built/{self.rank}", "1")
        for other in range(self.size):
            self.wait(f"built/{other}")

    @contextmanager
    def _found(self) -> Iterator[None]:
        """A connection that another process has closed as `Lost`."""
        try:
            yield
        except RuntimeError as error:
            raise Lost(str(error).partition("\n")[0]) from error

    # -- between two steps: the leader speaks ------------------------------------------------------------------------------------------

    def tell(self, verb: str, **more: Any) -> None:
        """Give the others an order; the leader's side of `hear`."""
        with self._found():
            dist.broadcast_object_list([{"verb": verb, **more}], src=0)

    def hear(self) -> dict[str, Any]:
        """The leader's next order."""
        heard: list[Any] = [None]
        with self._found():
            dist.broadcast_object_list(heard, src=0)
        order: dict[str, Any] = heard[0]
        return order

    def gather(self, value: Any) -> list[Any]:
        """The values of all, by rank, at the leader; elsewhere nothing."""
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        with self._found():
            dist.gather_object(value, values, dst=0)
        return values or []

    # -- within a step: all alike ------------------------------------------------------------------------------------------------------

    def sum(self, tensor: torch.Tensor) -> None:
        """The sum over all processes, in place; the same bits everywhere."""
        with self._found():
            dist.all_reduce(tensor, dist.ReduceOp.SUM, self._steps)

    def any(self, flags: torch.Tensor) -> None:
        """The largest over all processes, in place; of numbers on the CPU."""
        with self._found():
            dist.all_reduce(flags, dist.ReduceOp.MAX, self._flags)

    def leave(self) -> None:
        """Part, once all are here: the leader holds the store that the others look at."""
        with self._found():
            dist.barrier()
        dist.destroy_process_group()
