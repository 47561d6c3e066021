"""Takes the Python that waits with torch imported, for a run or for answers, and has one wait while a terminal program is open.

It waits under a supervisor of its own (`workbench.launch.waiting`) at a Unix socket in a folder that only this person may enter. Where
nothing waits, where anything around it differs from what a cold start would give, or where it does not answer, the start is a cold one.
"""

import contextlib
import hashlib
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import paths, preferences
from workbench.launch import logind
from workbench.launch.surroundings import code, surroundings, worker_environment
from workbench.runs import lock

PATIENCE = 1.0
"""Seconds that the waiting process may take to answer."""
REST = 5.0
"""Seconds after one was taken until the next one is started: the run that took it starts first."""
THREADS = 1
"""Threads of the one that waits, as most recipes want it. A run with another number starts cold."""
LONGEST = 1 << 18
"""Most bytes of a message: one holds an environment."""
_FAILURES = (OSError, ValueError, KeyError, TypeError, RecursionError)
"""What a message may fail with: its sender was killed, or is of another version."""


def place() -> Path:
    """The socket, in a folder that only this person may enter; one for each home and each installation. OSError where there is none."""
    folder = paths.sockets()
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this person's alone")
    name = hashlib.sha256(json.dumps([str(paths.home()), sys.executable, str(paths.projects())]).encode()).hexdigest()
    return folder / f"{name[:16]}.socket"


def send(line: socket.socket, message: Mapping[str, Any], files: Sequence[int] = ()) -> None:
    """Send one message, with open files; what the machine cannot do is an OSError."""
    socket.send_fds(line, [json.dumps(message).encode()], list(files))


def receive(line: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One message with its files; {} where the other side is gone."""
    data, files, _, _ = socket.recv_fds(line, LONGEST, 8, socket.MSG_CMSG_CLOEXEC)
    message = json.loads(data) if data else {}
    if not isinstance(message, dict):
        raise ValueError("no object")
    return message, list(files)


def is_ours(line: socket.socket) -> bool:
    """Whether the process at the other end is this person's (SO_PEERCRED, unix(7))."""
    _, user, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(user == os.getuid())


def _connected() -> socket.socket | None:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.settimeout(PATIENCE)
    with contextlib.suppress(OSError):
        line.connect(str(place()))
        if is_ours(line):
            return line
    line.close()
    return None


# -- the terminal program ----------------------------------------------------------------------------------------------------------


def keep() -> None:
    """Have one wait for as long as this program lives, and another one after it was taken. Runs in a thread."""
    while preferences.get("warm") == "on":
        with contextlib.suppress(*_FAILURES), _connected() or _begun() as line:
            send(line, {"keep": True})
            line.settimeout(None)
            # Its answer comes when it was taken; nothing does where it was killed, and then memory may be short.
            if receive(line)[0].get("again"):
                time.sleep(REST)
                continue
        return


def _begun() -> socket.socket:
    """A connection to one that was started; OSError where that failed."""
    environment = dict(os.environ)
    identity = [code(), surroundings(worker_environment(environment, THREADS))]
    logind.call([sys.executable, "-P", "-m", "workbench.launch.waiting", *identity], environment)
    deadline = time.monotonic() + PATIENCE
    while (line := _connected()) is None:  # another terminal program may be starting it
        if time.monotonic() > deadline:
            raise ConnectionError("it does not wait")
        time.sleep(0.05)
    return line


def waits() -> int:
    """The id of the process that waits, with everything imported; 0 where none does."""
    try:
        file = place().with_suffix(".lock")
    except OSError:
        return 0
    worker = lock.content(file).get("worker") if lock.is_held(file) else None
    pid, ticks = (worker.get("pid"), worker.get("ticks")) if isinstance(worker, dict) else (0, 0)
    return int(pid) if isinstance(pid, int) and ticks and lock.start_ticks(pid) == ticks else 0


# -- who takes it ------------------------------------------------------------------------------------------------------------------


def launch(words: Sequence[str], environment: Mapping[str, str], threads: int) -> subprocess.CompletedProcess[str] | None:
    """Let the waiting process supervise a run, as `python -m workbench.launch.supervisor WORDS` does; None: start it cold."""
    line = _ready(worker_environment(environment, threads))
    if line is None:
        return None
    with line, contextlib.suppress(*_FAILURES):
        send(line, {"supervise": list(words), **_around(environment)})
        line.settimeout(None)  # as for a cold one: a slow disk takes its time
        reply, _ = receive(line)
        return subprocess.CompletedProcess([], reply["code"], "", reply["error"])
    return None


def answering(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, socket.socket, int, int] | None:
    """Let the waiting process answer, as `python -m workbench.training.answer ARGUMENTS` does; None: start it cold.

    Returns its process id, a connection, the pipe that it reads and the pipe that it writes. It is ended when the connection is closed, or
    anything is sent over it; at its end `{"code": …}` comes: an exit code, or minus the number of a signal.
    """
    # Its number of threads is not compared: torch sets its own, and no weights come of an answer.
    line = _ready(worker_environment(environment, THREADS))
    if line is None:
        return None
    (stdin, question), (answer, stdout) = os.pipe(), os.pipe()
    try:
        send(line, {"answer": list(arguments), **_around(environment)}, [stdin, stdout])
        if pid := receive(line)[0].get("started"):
            return int(pid), line, question, answer
    except _FAILURES:
        pass
    finally:
        os.close(stdin)
        os.close(stdout)
    for end in (question, answer):
        os.close(end)
    line.close()
    return None


def _around(environment: Mapping[str, str]) -> dict[str, Any]:
    return {"environment": dict(environment), "folder": str(paths.working_folder() or Path.cwd())}


def _ready(environment: Mapping[str, str]) -> socket.socket | None:
    """A connection to what waits, where a cold start would find the same as that did."""
    if preferences.get("warm") == "off" or (line := _connected()) is None:
        return None
    # It is asked before it is given anything: what was sent to a process that does not answer could not be taken back.
    with contextlib.suppress(*_FAILURES):
        send(line, {"code": code(), "surroundings": surroundings(environment)})
        if receive(line)[0].get("ready"):
            return line
    line.close()
    return None
