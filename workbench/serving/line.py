"""The line to what answers: a worker's process over a Unix socket, or the model inside this one."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol, cast

from workbench import paths
from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem
from workbench.serving.messages import Ask, Done, Frame, Frames, Label, Ready, Refused, Report, Stats, packed


class Died(Problem):
    """A process ended while its model was loaded."""


class Owner(Protocol):
    """Who asks over a line."""

    name: str
    folder: ModelFolder

    def got(self, frame: Frame) -> None:
        """A frame came."""

    def lost(self) -> None:
        """The line is closed."""


class Line(Protocol):
    """Either of them."""

    def send(self, frame: Frame) -> None:
        """Ask."""

    def close(self) -> None:
        """Ask no more."""


def start(folder: Path, log: int | None) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """A worker's process and our end of the line to it; `log` is a file for what it prints."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.serving.worker", str(folder.absolute()), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log if log is not None else subprocess.DEVNULL,
            stderr=log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # a key that stops the server first lets it answer what it has
            cwd=paths.working_folder(),
            env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        )
    return process, ours


class ProcessLine(asyncio.Protocol):
    """The line to a worker."""

    def __init__(self, owner: Owner, ready: "asyncio.Future[None]") -> None:
        self._owner, self._ready, self._frames = owner, ready, Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, frame: Frame) -> None:
        """A frame to the worker."""
        self._transport.write(packed(frame))

    def close(self) -> None:
        """The worker ends when it reads the end."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes from the worker."""
        try:
            for frame in self._frames.feed(data):
                if isinstance(frame, Ready | Refused) and not self._ready.done():
                    if isinstance(frame, Ready):
                        self._ready.set_result(None)
                    else:
                        self._ready.set_exception(Problem(frame.message, frame.hint, "data"))
                else:
                    self._owner.got(frame)
        except ValueError:  # what is no frame comes from a process that is out of its mind
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The worker is gone, or was closed."""
        if not self._ready.done():
            self._ready.set_exception(Died(f"The process of {self._owner.name} ended before it was ready."))
        self._owner.lost()


class InsideLine:
    """The model inside this process: NumPy and ONNX Runtime come into it now."""

    def __init__(self, owner: Owner) -> None:
        from workbench.serving.worker import Answerer

        self._owner, self._answerer = owner, Answerer(owner.folder)

    def send(self, frame: Frame) -> None:
        """Answer it now."""
        if isinstance(frame, Ask):
            self._owner.got(Done(self._answerer.answer(frame.requests)))
        elif isinstance(frame, Label):
            self._answerer.observer.label(frame.answer, frame.truth)
        elif isinstance(frame, Stats):
            self._owner.got(Report(self._answerer.report()))

    def close(self) -> None:
        """Nothing is to be done."""
