"""The process above a command of a person's own: `python -m workbench.elsewhere.keeper RUN`, which `dlwb exec` starts.

It is the supervisor of any run, with a command in the worker's place: it holds the lock, copies the output, and names how the command
ended. What the worker would write, it writes: the log's first and last line, and the meters, as long as no `Run` in the command does.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import files
from workbench.elsewhere.endings import of_signal
from workbench.elsewhere.meters import TreeMeters
from workbench.elsewhere.run import UNDER, WRITER
from workbench.events import Event, Status
from workbench.launch import supervisor
from workbench.launch.supervisor import Supervisor
from workbench.problems import Problem
from workbench.runs import lock
from workbench.runs.commands import Inbox
from workbench.runs.log import EventLog

GRACE = 10.0
"""Seconds that the processes of a stopped command may take to end."""
LOOK_EVERY = 0.4
"""Seconds between two looks at the meters and at what people ask."""


class Keeper(Supervisor):
    """One command, from its start to its end."""

    WORKER = "The command"
    AFTER = "Start it again; `dlwb logs` shows what it printed."

    def _start_worker(self, handed: Mapping[str, int]) -> "subprocess.Popen[bytes]":
        self.holder["own"] = True
        about = self.run.about()
        self._write(Status(state="running", attempt=self.attempt))
        command = subprocess.Popen(
            list(map(str, about.get("command") or [])),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # What a Python prints is then seen at once, and not lost in its buffer when it is killed.
            env={**os.environ, UNDER: str(self.run.path), "PYTHONUNBUFFERED": "1"},
            cwd=str(about.get("folder") or "") or None,
            # What it starts belongs to it: a stop must not leave the Python that a shell script waits for.
            process_group=0,
        )
        self._over = threading.Event()
        self._looker = threading.Thread(target=self._look_around, args=(command,), daemon=True)
        self._looker.start()
        return command

    def _look_around(self, command: "subprocess.Popen[bytes]") -> None:
        meters = TreeMeters(command.pid)
        inbox, asked = Inbox(self.run.control, self.offset), False
        while not self._over.wait(LOOK_EVERY):
            if self.holder.get("state") != "running":
                self.holder.update(state="running", message="")
                self.lock.write(self.holder)
            asked = asked or any(request.verb == "stop" for request in inbox.poll())
            writer = self.run.path / WRITER
            if not writer.exists():
                with contextlib.suppress(Exception):  # a process may end between two looks at it
                    for event in meters.events():
                        self._write(event)
            # A `Run` in the command takes over, as steps fall back otherwise; and it lets its script save before it stops.
            if asked and not lock.is_held(writer):
                _signal_group(command.pid, signal.SIGTERM)

    def _named(self, code: int, last: str, who: str = "") -> dict[str, Any]:
        self._over.set()
        self._looker.join()
        assert self.worker
        if self._got_sigterm or self._asked_to("stop") or self._asked_to("kill"):
            _end_group(self.worker.pid, 0.0 if self._asked_to("kill") else GRACE)
        ending = self._end_of(code, last)
        self._write(Status(attempt=self.attempt, **{key: ending.get(key, "") for key in ("state", "cause", "message", "hint")}))
        return ending

    def _end_of(self, code: int, last: str) -> dict[str, Any]:
        """How it ended: as a `Run` in it says, where it could, else by its exit code or signal."""
        told = files.read_object(self.run.path / "exit.json")
        # Its `Run` sees the signal alone where it comes before the next look for commands.
        if told.get("cause") == "sigterm" and self._asked_to("stop"):
            told |= {"cause": "person", "message": "Stopped by a person."}
        if code == 0:
            return told or ({"state": "stopped", "cause": "person"} if self._asked_to("stop") else {"state": "finished"})
        if code > 0 and told.get("state") == "failed":
            return told
        if code - 128 in signal.valid_signals():
            code = 128 - code  # so a shell says that the last of its commands died of a signal
        if code > 0:
            return super()._named(code, last)
        if -code in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if told.get("state") in ("stopped", "failed"):
                return told
            if self._asked_to("stop"):
                return {"state": "stopped", "cause": "person", "signal": -code}
            if -code == signal.SIGTERM:
                said = of_signal(-code)
                return {"state": said.state, "cause": said.cause, "message": said.message, "signal": -code}
        return super()._named(code, last)

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        self._got_sigterm = True
        if self.worker is not None:
            _signal_group(self.worker.pid, signal.SIGTERM)

    def _out_of_memory(self) -> dict[str, str]:
        return {"message": "Out of memory: the kernel killed it.", "hint": "Use smaller batches, or a machine with more memory."}

    def _write(self, event: Event) -> None:
        """Append a line to the log; a full disk loses it, and the command goes on."""
        with contextlib.suppress(OSError, Problem):
            log = EventLog(self.run.path)
            try:
                log.write(event)
            finally:
                log.close()


def _signal_group(leader: int, number: int) -> bool:
    """Send a signal to a command and all that it has started in its group; False where none of them is left."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    return True


def _end_group(leader: int, grace: float) -> None:
    """End what a command has left behind."""
    deadline = time.monotonic() + grace
    while _signal_group(leader, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(leader, signal.SIGKILL)


def main(words: list[str]) -> int:
    """As the supervisor's."""
    return supervisor.main([str(Path(words[0])), "0"], Keeper)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
