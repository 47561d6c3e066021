"""The supervisor of the Python that waits with torch imported: `python -m workbench.launch.waiting CODE SURROUNDINGS`.

It ends with the last terminal program that keeps it, and with its worker. Whoever takes it gets both: this process supervises the run, or
waits for the end of what answers.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import preferences
from workbench.launch import supervisor, warm
from workbench.launch.surroundings import worker_environment
from workbench.launch.warm import receive, send
from workbench.runs import ending, lock
from workbench.runs.run import Run

GRACE = 5.0
"""Seconds that the terminal program which started it may take to connect."""
LOOK_EVERY = 2.0
"""Seconds between two looks at the preference."""


class Worker:
    """The process with torch imported, and the line over which it is told what to do."""

    def __init__(self) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.training.warm", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            env=worker_environment(os.environ, warm.THREADS),
            cwd="/",
        )
        theirs.close()

    def become(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], files: Mapping[str, int]) -> None:
        """Let it run a module as its program, from this process's folder. OSError where it is gone.

        `files` are handed down, each by the number in the environment variable of its name; "stdin", "stdout" and "stderr" are those.
        """
        order = {"module": module, "arguments": list(arguments), "environment": dict(environment), "folder": str(Path.cwd())}
        send(self.line, {**order, "files": list(files)}, list(files.values()))
        self.line.close()

    def end(self) -> None:
        """End it."""
        self.line.close()
        self.process.kill()
        self.process.wait()


class Waiting:
    """From the start to the order."""

    def __init__(self, listener: socket.socket, held: lock.Lock, code: str, surroundings: str) -> None:
        self.listener = listener
        self.lock = held
        self.code = code
        self.surroundings = surroundings
        self.worker = Worker()
        self.ready = False
        self.stale = False
        """Whether the code has changed since it began."""
        self.lines: list[socket.socket] = []
        self.keepers: list[socket.socket] = []
        held.write({})

    def wait(self) -> tuple[socket.socket, dict[str, Any], list[int]] | None:
        """Wait for an order, which comes with its connection and its files; None where there will be none."""
        until = time.monotonic() + GRACE
        while self.keepers or time.monotonic() < until:
            for line in select.select([self.worker.line, self.listener, *self.lines], [], [], LOOK_EVERY)[0]:
                if line is self.worker.line:
                    if not receive(line)[0]:
                        return None  # it died
                    self.ready = True
                    self.lock.write({"worker": ending.process(self.worker.process.pid)})
                    continue
                if line is self.listener:
                    self._accept()
                    continue
                try:
                    message, files = receive(line)
                except (OSError, ValueError):
                    message, files = {}, []
                if "supervise" in message or "answer" in message:
                    self.lines.remove(line)
                    return line, message, files
                if "keep" in message:
                    self.keepers.append(line)
                    until = 0.0
                elif message:
                    known = message.get("code") == self.code
                    with contextlib.suppress(OSError):
                        send(line, {"ready": known and self.ready and message.get("surroundings") == self.surroundings})
                    if not known:
                        self.stale = True
                        return None
                else:
                    line.close()
                    self.lines.remove(line)
                    self.keepers = [keeper for keeper in self.keepers if keeper is not line]
            if preferences.get("warm") == "off":
                return None
        return None

    def _accept(self) -> None:
        line, _ = self.listener.accept()
        if warm.is_ours(line):
            self.lines.append(line)
        else:
            line.close()

    def leave(self, *, again: bool) -> None:
        """Take nothing more, so that another one can wait; `again` asks the terminal programs to start one."""
        warm.place().unlink(missing_ok=True)
        self.listener.close()
        self.lock.release()
        for line in self.lines:
            with contextlib.suppress(OSError):
                if again and line in self.keepers:
                    send(line, {"again": True})
            line.close()


def supervise(line: socket.socket, order: Mapping[str, Any], worker: Worker) -> None:
    """Be the run's supervisor."""
    words = order["supervise"]
    code, message, attempt = supervisor.begin(Run(Path(words[0])), int(words[1]), words[2:], worker)
    with contextlib.suppress(OSError), line:  # whoever asked may have been killed meanwhile; the run begins all the same
        send(line, {"code": code, "error": message})
    if attempt:
        attempt.watch()


def answer(line: socket.socket, order: Mapping[str, Any], files: list[int], worker: Worker) -> None:
    """Let the worker answer until it ends, or is ended by whoever asked, or that one has gone."""
    with contextlib.suppress(OSError):
        environment = worker_environment(os.environ, warm.THREADS)
        streams = dict(zip(("stdin", "stdout", "stderr"), [*files, os.open(os.devnull, os.O_WRONLY)], strict=True))
        worker.become("workbench.training.answer", order["answer"], environment, streams)
        for file in streams.values():
            os.close(file)
        send(line, {"started": worker.process.pid})
        ended = os.pidfd_open(worker.process.pid)
        if select.select([line.fileno(), ended], [], [])[0][0] == line.fileno():
            worker.process.kill()
        send(line, {"code": worker.process.wait()})


def main(words: list[str]) -> int:
    """Fork; the child waits. The parent ends as soon as one can connect to it, or to another one that waits already."""
    signal_ready = supervisor.detach()
    place = warm.place()
    held = lock.Lock.take(place.with_suffix(".lock"))
    if held is None:
        supervisor.let_go(signal_ready, 0)
        return 0
    place.unlink(missing_ok=True)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(place))
    listener.listen()
    supervisor.let_go(signal_ready, 0)
    waiting = Waiting(listener, held, *words)
    order = waiting.wait()
    if order is None:
        waiting.worker.end()
    waiting.leave(again=order is not None or waiting.stale)
    if order:
        line, message, files = order
        os.environ.clear()
        os.environ.update(message["environment"])
        os.chdir(message["folder"])
        if "supervise" in message:
            supervise(line, message, waiting.worker)
        else:
            answer(line, message, files, waiting.worker)
        waiting.worker.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
