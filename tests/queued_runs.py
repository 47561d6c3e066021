"""Runs that wait in the queue for GPUs, without a process of their own: a thread of the test is their supervisor."""

import threading
import time

from made_runs import holder, make_run

from workbench import paths
from workbench.launch.device_queue import DeviceQueue
from workbench.launch.devices import device_lock
from workbench.runs import commands, lock

PAIR = ("cuda:0", "cuda:1")


def busy(name: str, run: str = "") -> lock.Lock:
    """A device in use by somebody else."""
    paths.device_locks().mkdir(parents=True, exist_ok=True)
    held = lock.Lock.take(device_lock(name))
    assert held
    held.write({"run": run, "host": lock.host(), "device": name})
    return held


class Waits(threading.Thread):
    """The supervisor of a run that waits, and obeys, until it is ended, or for a minute."""

    def __init__(self, name: str, stamp: str = "2026-11-23_015358") -> None:
        super().__init__(daemon=True)
        self.run_ = make_run(name, stamp=stamp)
        held = lock.Lock.take(self.run_.lock)
        assert held
        self.held = held
        self.queue = DeviceQueue(PAIR, run=self.run_.id)
        self.ended = threading.Event()
        self.held.write(holder("queued", message=self.queue.words))
        self.start()

    def run(self) -> None:
        """Obey."""
        inbox, deadline = commands.Inbox(self.run_.control, queueing=True), time.monotonic() + 60
        while not self.ended.wait(0.02) and time.monotonic() < deadline:
            for command in inbox.poll():
                self.queue.obey(command)
                self.held.write(holder("queued", message=self.queue.words))
        self.queue.leave()
        self.held.release()

    def end(self) -> None:
        """Leave the queue."""
        self.ended.set()
        self.join()
