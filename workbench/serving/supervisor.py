"""The small process above an endpoint's server, `python -m workbench.serving.supervisor ENDPOINT`: it starts a dead one again.

It holds the endpoint's lock and its listening socket. So the port stays open while there is no server: a client that connects meanwhile
waits for its answer and is not refused; only connections that were open at the death are lost.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

from workbench import files, paths
from workbench.launch.supervisor import copy_output, detach, let_go
from workbench.problems import Problem, one_line
from workbench.runs import lock
from workbench.runs.ending import keep_room, process, write_exit
from workbench.runs.state import whole
from workbench.serving.endpoint import Endpoint, list_endpoints, state_of

BACKLOG = 2048
"""Connections that wait while there is no server; the kernel may allow fewer (net.core.somaxconn)."""
DEATHS, WITHIN = 5, 60.0
"""So many deaths in so many seconds are the end: the server would die again."""
PAUSE = 0.5
"""Seconds before a start that follows another one closely."""


class Supervisor:
    """One attempt at an endpoint: from its start to its stop."""

    def __init__(self, endpoint: Endpoint, held: lock.Lock, listening: socket.socket, attempt: int) -> None:
        self.endpoint = endpoint
        self.lock = held
        self.listening = listening
        self.attempt = attempt
        self.server: subprocess.Popen[bytes] | None = None
        self._got_sigterm = False
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self.holder: dict[str, Any] = {"host": lock.host(), "boot": lock.boot_id(), "attempt": attempt, "began": time.time()}
        self.holder.update(parent=process(os.getpid()), state="Creating")
        self.lock.write(self.holder)

    def watch(self) -> None:
        """Run the server until it ends as it should, or dies too often; write exit.json."""
        deaths: list[float] = []
        death = ""
        while True:
            try:
                code, last, report = self._serve(death)
            except OSError as error:
                report = {"state": "Failed", "cause": "error", "message": f"Its server could not be started: {error.strerror}."}
            if not report and self._got_sigterm:
                report = {"state": "Stopped", "cause": "sigterm", "message": "Asked to end by SIGTERM."}
            if not report:
                name = signal.Signals(-code).name if -code in signal.valid_signals() else f"exit code {code}"
                death = f"The server was ended by {name}" + (f": {one_line(last, 200)}" if last and code > 0 else ".")
                deaths = [*(moment for moment in deaths if moment > time.monotonic() - WITHIN), time.monotonic()]
                if len(deaths) < DEATHS:
                    time.sleep(PAUSE * (len(deaths) > 1))
                    continue
                hint = f"`dlwb endpoint logs {self.endpoint.id}` shows more."
                message = f"The server died {DEATHS} times in {WITHIN:.0f} s. {death}"
                report = {"state": "Failed", "cause": "exception", "message": message, "hint": hint}
            write_exit(self.endpoint.path, self.attempt, report)
            return

    def _serve(self, death: str) -> tuple[int, str, dict[str, Any]]:
        """One life of the server: its exit code, its last line, and its report where it ended as it should."""
        report_end, report_start = os.pipe()
        handed = {"DLWB_LOCK": self.lock.file, "DLWB_REPORT": report_start, "DLWB_SOCKET": self.listening.fileno()}
        self.server = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.serving.host", str(self.endpoint.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(handed.values()),
            env={**os.environ, "PYTHONUNBUFFERED": "1", "DLWB_DEATH": death, **{name: str(file) for name, file in handed.items()}},
            cwd=paths.working_folder(),
        )
        os.close(report_start)
        if self._got_sigterm:
            self.server.send_signal(signal.SIGTERM)
        self.holder.update(worker=process(self.server.pid), state="Creating")
        self.lock.write(self.holder)
        last = copy_output(self.server, self.endpoint.output, lambda: None)
        code = self.server.wait()
        os.set_blocking(report_end, False)  # a worker of its own may still hold the other end
        report: Any = {}
        with contextlib.suppress(BlockingIOError, ValueError):
            report = json.loads(os.read(report_end, 1 << 16))
        os.close(report_end)
        return code, last, report if isinstance(report, dict) else {}

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        self._got_sigterm = True
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)


def listen(endpoint: Endpoint) -> socket.socket:
    """A listening socket at an endpoint's address. Problem where it cannot be had."""
    host, port = endpoint.about.host, endpoint.about.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = reason.partition(" (while")[0]
        hint = _who(endpoint, port) if error.args[0] in (errno.EADDRINUSE, errno.EACCES) else ""
        raise Problem(f"Port {port} of {one_line(host, 80)} cannot be used: {reason}.", hint) from None


def _who(asking: Endpoint, port: int) -> str:
    """Which endpoint of ours listens there."""
    for endpoint in list_endpoints():
        with contextlib.suppress(Problem):
            if endpoint != asking and state_of(endpoint).alive and endpoint.about.port == port:
                return f"The endpoint {endpoint.id} listens there; choose another with --port."
    return "Choose another with --port."


def main(path: Path) -> int:
    """Fork; the child takes the lock and the port, reports that, and watches. Exit code 3: the lock is held; 1: a sentence on stderr."""
    signal_ready = detach()
    endpoint = Endpoint(path)
    supervisor = held = None
    try:
        held = lock.Lock.take(endpoint.lock)
        if held is None:
            os.write(signal_ready, b"\x03")
            return 3
        attempt = whole(lock.content(endpoint.lock).get("attempt")) + 1
        listening = listen(endpoint)
        keep_room(endpoint.path / "exit.json")
        supervisor = Supervisor(endpoint, held, listening, attempt)
    except Problem as problem:
        print(problem, file=sys.stderr, flush=True)  # the last line on stderr is what a person gets to read
    except OSError as error:
        print(files.problem(str(path), "used", error, path), file=sys.stderr, flush=True)
    if held and not supervisor:
        held.release()  # before the parent ends: who started it may remove the directory
    let_go(signal_ready, 0 if supervisor else 1)
    if supervisor:
        supervisor.watch()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
