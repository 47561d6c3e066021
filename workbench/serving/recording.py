"""What is written down of the traffic: the access log, captures, and where a shadow disagrees. All of it is bounded."""

import asyncio
import contextlib
import math
import os
import random
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from workbench import files
from workbench.events import Table
from workbench.problems import one_line
from workbench.serving.messages import Reply, Request
from workbench.serving.router import Answered
from workbench.serving.variant import Variant

ACCESS_LIMIT = 16 << 20
"""Bytes of access.log; then it becomes access.log.1, which replaces the one before."""
CAPTURE_LIMIT, MOST_CAPTURES = 8 << 20, 8
"""Bytes of a file in captures/, and how many there are; the oldest one makes room."""
LARGEST_CAPTURED = 1 << 20
"""Bytes of a body that is captured."""
SHADOWS = 64
"""Copies that wait or are out at once; what comes above is not copied, and counted."""
GAP, PATIENCE = 0.005, 0.25
"""Seconds between two looks whether anybody waits for an answer, and how long copies give way to them."""
CLOSE = 0.05
"""Two regressions never give the same number."""
SHOWN = 20
"""Disagreements in the table, the newest ones."""


class Lines:
    """Appends lines to files of bounded size; they are written together, when `flush` is called."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Keep a line, newline included, until the next flush."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write what was added. A full disk loses lines; it does not stop an endpoint."""
        if not self._lines:
            return
        data, self._lines = b"".join(self._lines), []
        with contextlib.suppress(OSError):
            if self.path.exists() and self.path.stat().st_size + len(data) > self.limit:
                self.turn()
            file = files.open_plain(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(file, data)
            finally:
                os.close(file)

    def turn(self) -> None:
        """Make room: begin a new file."""
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))


class AccessLog(Lines):
    """One line a request: when, id, variant (or -), code, milliseconds, bytes of its body."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ACCESS_LIMIT)

    def saw(self, answered: Answered) -> None:
        """Note one request that was answered."""
        size = len(answered.request.body) if answered.request else 0
        line = f"{time.time():.3f} {answered.id} {answered.variant or '-'} {answered.code} {answered.seconds * 1000:.2f} {size}\n"
        self.add(line.encode())


class Captures(Lines):
    """A share of the requests with their answers, a JSON object a line; what people wrote is in it, so it is off unless asked for."""

    def __init__(self, folder: Path, share: float) -> None:
        super().__init__(folder / "captured.jsonl", CAPTURE_LIMIT)
        self.share = share
        self._chance = random.Random()

    def saw(self, request: Request, reply: Reply, variant: str) -> None:
        """Keep this request, or not."""
        if self._chance.random() >= self.share or len(request.body) > LARGEST_CAPTURED:
            return
        try:
            body: dict[str, str] = {"body": request.body.decode()}
        except UnicodeDecodeError:
            body = {"base64": b64encode(request.body).decode()}
        about = {"id": request.id, "time": round(time.time(), 3), "variant": variant, "content": request.content, "code": reply.code}
        self.add(msgspec.json.encode({**about, **body, "answers": reply.answers, "message": reply.message}) + b"\n")

    def flush(self) -> None:
        """Write what was kept."""
        if self._lines:
            self.path.parent.mkdir(exist_ok=True)
            self.path.parent.chmod(0o700)
        super().flush()

    def turn(self) -> None:
        """The files are numbered, and the oldest ones go."""
        numbers = sorted(int(path.stem) for path in self.path.parent.glob("*.jsonl") if path.stem.isdigit())
        for number in numbers[: max(0, len(numbers) + 2 - MOST_CAPTURES)]:
            (self.path.parent / f"{number:06}.jsonl").unlink()
        self.path.replace(self.path.parent / f"{numbers[-1] + 1 if numbers else 1:06}.jsonl")


class Shadow:
    """Gives one variant copies of requests that another one has answered, and notes where the two disagree."""

    def __init__(self, variant: Variant, busy: Callable[[], bool]) -> None:
        """`busy` says whether anybody waits for an answer."""
        self.variant, self._busy = variant, busy
        self.compared = self.disagreed = self.errors = self.skipped = 0
        self._newest: deque[list[str | float]] = deque(maxlen=SHOWN)
        self._waiting: list[tuple[Request, Reply, str]] = []
        self._since = 0.0
        self._out: set[asyncio.Task[None]] = set()
        with contextlib.suppress(OSError):
            # Below those whose answers somebody waits for.
            os.setpriority(os.PRIO_PROCESS, variant.pid, 10)

    def saw(self, request: Request, reply: Reply, variant: str) -> None:
        """Copy a request that `variant` has answered."""
        if len(self._waiting) + len(self._out) >= SHADOWS or not self.variant.healthy:
            self.skipped += 1
            return
        self._waiting.append((request, reply, variant))
        if len(self._waiting) == 1:
            self._since = time.monotonic()
            asyncio.get_running_loop().call_later(GAP, self._copy)

    def _copy(self) -> None:
        """Ask what waits. Not at once: copies of the first in a burst would be computed before its last is answered."""
        loop = asyncio.get_running_loop()
        if self._busy() and time.monotonic() < self._since + PATIENCE:
            loop.call_later(GAP, self._copy)
            return
        for copied in self._waiting:
            task = loop.create_task(self._ask(*copied))
            self._out.add(task)
            task.add_done_callback(self._out.discard)
        self._waiting.clear()

    async def _ask(self, request: Request, reply: Reply, variant: str) -> None:
        other = await self.variant.ask(request)
        self.compared += 1
        self.errors += other.code >= 500
        agree = (reply.code == 200) == (other.code == 200) and all(map(_agree, reply.answers, other.answers))
        if not agree:
            self.disagreed += 1
            self._newest.appendleft([request.id, variant, _said(reply), _said(other)])

    def table(self) -> Table:
        """The newest disagreements."""
        share = f"{self.disagreed} of {self.compared}"
        rows = list(self._newest) or [[f"{share} differ", "", "", ""]]
        return Table(tag="disagreements", columns=["request", "by", "answer", f"{self.variant.name}: {share} differ"], rows=rows)


def _agree(one: Any, other: Any) -> bool:
    """Whether two variants give the same answer; numbers may differ by CLOSE of their size."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE)
    return bool(one == other)


def _said(reply: Reply) -> str:
    if reply.code != 200:
        return f"{reply.code} {one_line(reply.message, 60)}".strip()
    return ", ".join(one_line(str(answer), 40) for answer in reply.answers[:3])
