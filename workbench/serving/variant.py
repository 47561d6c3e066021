"""Variant: the router's handle of one model and its process. It batches, times out and restarts, and never looks into a body."""

import asyncio
import os
import subprocess
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem, one_line
from workbench.serving import headers
from workbench.serving.figures import Figures
from workbench.serving.line import Died, InsideLine, Line, ProcessLine, start
from workbench.serving.messages import Ask, Done, Frame, Label, Reply, Report, Request, Stats
from workbench.serving.same import same

MOST_TOGETHER = 64
"""Requests in one frame."""
MOST_BYTES = 8 << 20
"""Of bodies in one frame."""
QUEUE = 256
"""Requests that wait; more get a 503."""
QUEUE_BYTES = 64 << 20
PATIENCE = 60.0
"""Seconds after which a request gets a 504."""
DEATHS, WITHIN = 3, 30.0
"""So many deaths within so many seconds, and the variant has failed."""
START = 120.0
"""Seconds that a worker may take until its model is warm."""


class _Waiting:
    """A request that is not answered yet."""

    __slots__ = ("begin", "future", "request", "retried", "sent")

    def __init__(self, request: Request, future: "asyncio.Future[Reply]", begin: float) -> None:
        self.request, self.future, self.begin, self.sent, self.retried = request, future, begin, 0.0, False

    def answer(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)


class Variant:
    """A model under a name of the endpoint's. `ask` always returns a Reply: what goes wrong has its code in it."""

    def __init__(self, name: str, folder: ModelFolder, *, isolate: bool = True, log: int | None = None) -> None:
        """`isolate=False` answers inside this process: faster, and a body that kills it kills all. `log`: for the worker's stderr."""
        self.name, self.folder, self.isolate = name, folder, isolate
        self.takes = headers.read_types(folder.model.encoder)
        self.figures = Figures()
        self.healthy = False
        """Its model is loaded and has answered its examples, and its process lives."""
        self.failed: Problem | None = None
        """Why it will not come back."""
        self.on_event: list[Callable[[str, str], None]] = []
        """Called with `died`, `back` or `failed`, and a sentence."""
        self._log = log
        self._line: Line | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._queue: deque[_Waiting] = deque()
        self._alone: deque[_Waiting] = deque()
        self._bytes = 0
        self._out: list[_Waiting] = []
        self._scheduled = self._started = self._closing = False
        self._deaths: deque[float] = deque()
        self._killers: deque[bytes] = deque(maxlen=1024)
        self._reports: list[asyncio.Future[dict[str, Any]]] = []
        self._background: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def label(self) -> str:
        """`name:version` of its model."""
        return self.folder.label

    @property
    def pid(self) -> int:
        """Of the process that computes; 0 where there is none now."""
        if not self.isolate:
            return os.getpid()
        return self._process.pid if self._process and self._process.poll() is None else 0

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue) + len(self._alone)

    # -- life -----------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the model and compare its answers with the folder's examples. Raises Problem: this variant must not get traffic."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._open()
        except Problem as problem:
            self.failed = problem
            await self.close()
            raise
        self._started = True
        self._look()

    async def drain(self, seconds: float = 30.0) -> None:
        """Take no more requests, answer those that are there for at most so long, and close."""
        self._closing = True
        end = time.monotonic() + seconds
        while self.figures.in_flight and time.monotonic() < end:
            await asyncio.sleep(0.01)
        await self.close()

    async def close(self) -> None:
        """End the process; what still waits gets a 503."""
        self._closing, self.healthy = True, False
        if self._watch:
            self._watch.cancel()
        for task in self._background - {asyncio.current_task()}:
            task.cancel()
        line, self._line = self._line, None
        if line:
            line.close()
        await self._ended()
        self._answer_all(Reply(503, message="The model was stopped.", retry_after=1))

    async def _open(self) -> None:
        if not self.isolate:
            self._line = InsideLine(self)
        else:
            self._process, ours = start(self.folder.path, self._log)
            ready: asyncio.Future[None] = self._loop.create_future()
            process = ProcessLine(self, ready)
            await self._loop.create_connection(lambda: process, sock=ours)
            self._line = process
            try:
                async with asyncio.timeout(START):
                    await ready
            except TimeoutError:
                raise Problem(f"{self.label} was not ready after {START:.0f} seconds.") from None
        await self._compare()
        self.healthy = True
        self._flush()

    async def _compare(self) -> None:
        """Ask all examples over the same way that requests go."""
        for place, example in enumerate(self.folder.examples()):
            request = Request(f"example-{place}", msgspec.json.encode(example["input"]))
            waiting = _Waiting(request, self._loop.create_future(), time.monotonic())
            self._out = [waiting]
            assert self._line is not None
            self._line.send(Ask([request]))
            try:
                async with asyncio.timeout(PATIENCE):
                    reply = await waiting.future
            except TimeoutError:
                raise Problem(f"{self.label} does not answer its example {place + 1} within {PATIENCE:.0f} seconds.", "", "data") from None
            if self._line is None:
                raise Died("Its process ended while it answered its examples.")
            if reply.code != 200:
                raise Problem(f"{self.label} does not answer its example {place + 1}: {reply.message}", "", "data")
            answer = msgspec.json.decode(reply.body)
            if not same(answer, example["answer"]):
                said, right = (one_line(str(value.get("answer")), 60) for value in (answer, example["answer"]))
                raise Problem(
                    f"{self.label} answers its example {place + 1} with {said}, where {right} is right.", "Export it again.", "data"
                )

    async def _ended(self) -> None:
        process = self._process
        if process is None:
            return
        for _ in range(100):
            if process.poll() is not None:
                return
            await asyncio.sleep(0.01)
        process.kill()
        await asyncio.to_thread(process.wait)

    # -- requests -------------------------------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Reply:
        """The answer to one request, at the latest after 60 seconds."""
        if refused := self._refused(request):
            self.figures.count(refused.code, 0.0, time.monotonic())
            return refused
        waiting = _Waiting(request, self._loop.create_future(), time.monotonic())
        self._queue.append(waiting)
        self._bytes += len(request.body)
        self.figures.in_flight += 1
        if not self._scheduled:
            self._scheduled = True
            # What else comes in this turn of the loop goes with it.
            self._loop.call_soon(self._flush)
        try:
            reply = await waiting.future
        finally:
            self.figures.in_flight -= 1
        now = time.monotonic()
        reply.queue = (waiting.sent or now) - waiting.begin
        self.figures.count(reply.code, now - waiting.begin, now)
        return reply

    async def stats(self) -> dict[str, Any]:
        """What the worker's observer has seen; {} where nobody can say."""
        if not self.healthy or self._line is None:
            return {}
        report: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._reports.append(report)
        self._line.send(Stats())
        try:
            async with asyncio.timeout(PATIENCE):
                return await report
        except TimeoutError:
            return {}

    def tell(self, answer: str, truth: str) -> None:
        """Tell the worker what was right, where it had answered `answer`."""
        if self.healthy and self._line is not None:
            self._line.send(Label(answer, truth))

    def _refused(self, request: Request) -> Reply | None:
        if self.failed:
            return Reply(503, message=f"{self.name} has failed: {self.failed.message}", retry_after=30)
        if self._closing:
            return Reply(503, message=f"{self.name} takes no more requests.", retry_after=1)
        if not self._started:
            return Reply(503, message=f"{self.name} is still loading.", retry_after=1)
        if len(self._queue) >= QUEUE or self._bytes > QUEUE_BYTES:
            return Reply(503, message=f"{QUEUE} requests wait for {self.name} already.", retry_after=1)
        if self._killers and sha256(request.body).digest() in self._killers:
            return Reply(500, message="The model's process ended twice on this very body.")
        return None

    def _flush(self) -> None:
        """Send what waits, as long as nothing is out: what comes meanwhile is the next batch."""
        self._scheduled = False
        while self.healthy and not self._out and self._line and (self._alone or self._queue):
            batch = [self._alone.popleft()] if self._alone else self._next()
            batch = [waiting for waiting in batch if not waiting.future.done()]
            if batch:
                now = time.monotonic()
                for waiting in batch:
                    waiting.sent = now
                self._out = batch
                self._line.send(Ask([waiting.request for waiting in batch]))

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < MOST_TOGETHER:
            size += len(self._queue[0].request.body)
            if batch and size > MOST_BYTES:
                break
            waiting = self._queue.popleft()
            self._bytes -= len(waiting.request.body)
            batch.append(waiting)
        return batch

    def got(self, frame: Frame) -> None:
        """A frame from what answers."""
        if isinstance(frame, Done):
            out, self._out = self._out, []
            if self.healthy:
                self.figures.batches += 1
                self.figures.batched += len(out)
                self.figures.model_seconds += frame.replies[0].model
            for waiting, reply in zip(out, frame.replies, strict=True):
                self.figures.rows += reply.rows
                waiting.answer(reply)
            # An inside line answers at once, from within `_flush`, which goes on itself.
            if self.isolate:
                self._flush()
        elif isinstance(frame, Report) and self._reports:
            report = self._reports.pop(0)
            if not report.done():
                report.set_result(frame.report)

    def _look(self) -> None:
        """Twice a second: whoever waits too long gets a 504, and a process that holds it so long is ended."""
        late = time.monotonic() - PATIENCE
        reply = Reply(504, message=f"The model did not answer within {PATIENCE:.0f} seconds.")
        for waiting in (*self._queue, *self._alone):
            if waiting.begin < late:
                waiting.answer(reply)
        stuck = [waiting for waiting in self._out if waiting.begin < late]
        for waiting in stuck:
            waiting.answer(reply)
        if stuck and self.isolate and self._process:
            self._process.kill()
        self._watch = self._loop.call_later(0.5, self._look)

    # -- death ----------------------------------------------------------------------------------------------------------------------

    def lost(self) -> None:
        """The process is gone. What it had is asked once more, each alone, once there is a new one."""
        self._line, was_healthy, self.healthy = None, self.healthy, False
        out, self._out = self._out, []
        for report in self._reports:
            if not report.done():
                report.set_result({})
        self._reports.clear()
        if self._closing:
            return
        if not was_healthy:
            for waiting in out:
                waiting.answer(Reply(500, message="The model's process ended."))
            return
        for waiting in out:
            if waiting.future.done():
                continue
            if waiting.retried:
                self._killers.append(sha256(waiting.request.body).digest())
                waiting.answer(Reply(500, message="The model's process ended on this request, and when it was asked again."))
            else:
                waiting.retried = True
                self._alone.append(waiting)
        self._event("died", f"The process of {self.name} ended; a new one starts.")
        task = self._loop.create_task(self._again())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _again(self) -> None:
        try:
            while self._counted():
                self.figures.restarts += 1
                await self._ended()
                try:
                    await self._open()
                except Died:
                    continue
                self._event("back", f"{self.name} answers again.")
                return
        except Problem as problem:
            self._fail(problem)

    def _counted(self) -> bool:
        """Count a death; False where it was one too many."""
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - WITHIN:
            self._deaths.popleft()
        if too_many := len(self._deaths) >= DEATHS:
            self._fail(Problem(f"its process ended {len(self._deaths)} times within {WITHIN:.0f} seconds."))
        return not too_many

    def _fail(self, problem: Problem) -> None:
        self.failed, self.healthy = problem, False
        if self._process:
            self._process.kill()
        self._answer_all(Reply(503, message=f"{self.name} has failed: {problem.message}", retry_after=30))
        self._event("failed", f"{self.name} has failed: {problem.message}")

    def _answer_all(self, reply: Reply) -> None:
        for waiting in (*self._out, *self._alone, *self._queue):
            waiting.answer(reply)
        self._out = []
        self._alone.clear()
        self._queue.clear()
        self._bytes = 0

    def _event(self, kind: str, text: str) -> None:
        for hook in self.on_event:
            hook(kind, text)
