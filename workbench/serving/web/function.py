"""`python -m workbench.serving.web.function FILE SOCKET`: a function host. Events and results are JSON lines.

A file that this person trusts runs in environments: processes that stay warm between events, take one at a time, and are killed past
the time limit. What is said of an event: how long it took, and how long its environment took to start where it was cold.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

from workbench.problems import Problem, one_line
from workbench.recipes import trust
from workbench.serving.web import HANDLERS

SECONDS, MEGABYTES = 3.0, 256
START_SECONDS = 20.0
"""Until a cold environment must be ready."""
ENVIRONMENTS = 4
"""That run at once; further events wait."""
LINE = 8 << 20
"""Longest event or result in bytes."""


def source_of(path: Path) -> bytes:
    """The bytes of a handler: a shipped one, or one that this person trusts. Problem for any other."""
    return path.read_bytes() if path.resolve().parent == HANDLERS else trust.read(path)


class Host:
    """Runs one function."""

    def __init__(self, file: Path, name: str, seconds: float, megabytes: int) -> None:
        self.source, self.file, self.name = source_of(file).decode(), str(file), name
        self.seconds, self.megabytes = seconds, megabytes
        self._warm: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()
        self._room = asyncio.Semaphore(ENVIRONMENTS)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a line, its result, and so on."""
        # A line beyond the limit is a ValueError; cancelled is what waits when the host ends.
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(json.dumps(await self.invoke(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def invoke(self, line: bytes) -> dict[str, Any]:
        """`{"ok", "result" | "type" and "message", "milliseconds", "start"}` of one event."""
        try:
            asked = json.loads(line)
            event, identity = asked["event"], str(asked["id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"ok": False, "type": "Event", "message": "This is no event."}
        async with self._room:
            begin, started = time.monotonic(), 0.0
            process = self._warm.pop() if self._warm else None
            if process is None or process.returncode is not None:
                try:
                    process, started = await self._started()
                except Problem as problem:
                    return {"ok": False, "type": "Init", "message": problem.message, "milliseconds": 0.0, "start": 0.0}
                begin = time.monotonic()
            about = {"id": identity, "name": self.name, "memory": self.megabytes, "seconds": self.seconds}
            told = await self._exchanged(process, {"event": event, "context": about}, self.seconds)
            took = (time.monotonic() - begin) * 1000
            if told is None:
                await self._ended(process)
                late = took >= self.seconds * 1000
                message = (
                    f"The function was ended after {self.seconds:g} s." if late else "The function's process died; it may lack memory."
                )
                told = {"ok": False, "type": "Timeout" if late else "Exit", "message": message}
            else:
                self._warm.append(process)
            return {**told, "milliseconds": took, "start": started}

    async def _started(self) -> tuple[asyncio.subprocess.Process, float]:
        """A new environment, and how many milliseconds it took."""
        begin = time.monotonic()
        words = [sys.executable, "-P", "-m", "workbench.serving.web.environment", str(self.megabytes)]
        pipe = asyncio.subprocess.PIPE
        # A session of its own: what the function starts ends with it, and a Ctrl-C is not for it.
        process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, limit=LINE, start_new_session=True)
        self._all.add(process)
        told = await self._exchanged(process, {"source": self.source, "file": self.file}, START_SECONDS)
        if told is None or not told.get("ok"):
            await self._ended(process)
            why = one_line(f"{told.get('type')}: {told.get('message')}", 300) if told else "it was not ready in time"
            raise Problem(f"The function {one_line(self.file)} cannot start: {why}.")
        return process, (time.monotonic() - begin) * 1000

    async def _exchanged(self, process: asyncio.subprocess.Process, line: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """What the environment says to a line; None where it dies, says nothing in time, or no JSON."""
        assert process.stdin and process.stdout
        try:
            async with asyncio.timeout(seconds):
                process.stdin.write(json.dumps(line).encode() + b"\n")
                await process.stdin.drain()
                told = json.loads(await process.stdout.readline())
                return told if isinstance(told, dict) else None
        except (TimeoutError, ConnectionError, ValueError):
            return None

    async def _ended(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def close(self) -> None:
        """End the environments."""
        for process in list(self._all):
            await self._ended(process)


def end_with_parent() -> None:
    """End with SIGTERM once standard input ends, where that is a pipe: whoever held it is gone, even by SIGKILL."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):

        def wait() -> None:
            while os.read(0, 1 << 16):
                pass
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, daemon=True).start()


async def serve(host: Host, place: Path) -> None:
    """Answer on a Unix socket until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    place.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(host.answer, place, limit=LINE)
    finally:
        os.umask(before)
    print("ready", flush=True)
    await stop.wait()
    server.close()
    await host.close()
    place.unlink(missing_ok=True)


def main() -> int:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--name", default="predict")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    options = parser.parse_args()
    end_with_parent()

    async def run() -> None:
        await serve(Host(options.file, options.name, options.seconds, options.megabytes), options.socket)

    try:
        asyncio.run(run())
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
