"""What answers, taken from the Python that waits with torch imported, and used as asyncio's Process is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.launch import warm

if TYPE_CHECKING:
    import socket


class WarmAnswers:
    """Its pipes, its end, and how to end it."""

    def __init__(self, pid: int, line: socket.socket, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._line = line
        self._code = asyncio.ensure_future(self._ended())

    async def wait(self) -> int:
        """Wait for its end; returns its exit code, or minus the number of a signal."""
        return await asyncio.shield(self._code)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            warm.send(self._line, {"kill": True})

    async def _ended(self) -> int:
        try:
            with self._line:
                await _readable(self._line)
                return int(warm.receive(self._line)[0]["code"])
        except (OSError, ValueError, KeyError):
            return -signal.SIGKILL  # of the process above it, and it ends with that one
        finally:
            self.stdin.close()


async def _readable(line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(line, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(line)


async def start(arguments: Sequence[str], environment: Mapping[str, str], limit: int) -> WarmAnswers | None:
    """As `python -m workbench.training.answer ARGUMENTS` with pipes, and `limit` for a line that it answers; None: start it cold."""
    # In a thread: one that does not answer is given a second.
    if (taken := await asyncio.to_thread(warm.answering, arguments, environment)) is None:
        return None
    pid, line, question, answer = taken
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit)
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(answer, "rb", 0))
    transport, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(question, "wb", 0))
    return WarmAnswers(pid, line, asyncio.StreamWriter(transport, flow, None, loop), reader)
