"""A router behind uvicorn: connections that dawdle, what is no HTTP, half-closed sockets, and an end that loses no request."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from workbench.problems import missing
from workbench.serving.router import BODY_SECONDS, Router

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:
    raise missing("Serving", "uvicorn[standard]", "serve") from None

T = TypeVar("T")
DRAIN = 30.0
"""Seconds that requests in flight have when the server is told to stop."""
IDLE = 75.0
"""Seconds that a connection may stay open between two requests."""
CONNECTIONS = 2000
LONGEST_HEAD = 64 << 10
"""Bytes of a request's line and headers."""
UNREAD = 30.0
"""Seconds that a client may leave its answer unread."""


class Connection(HttpToolsProtocol):
    """A client's connection."""

    began = 0.0
    """When the request that is coming in began, or the connection; 0 while none is."""
    head = 0
    """Bytes of headers that are not complete yet; -1 after they are."""
    moved = False
    """Whether the bytes that came last completed headers or a body."""
    unread = 0.0
    """Since when the client has not read all of its answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.began = time.monotonic()
        if len(self.connections) > CONNECTIONS:
            self.say(503, f"{CONNECTIONS:,} connections are open already.")

    def data_received(self, data: bytes) -> None:
        self.moved = False
        super().data_received(data)
        if self.head >= 0 and not self.moved:
            self.head += len(data)
            if self.head > LONGEST_HEAD:
                self.say(400, f"The headers have more than {LONGEST_HEAD >> 10} KiB.")

    def on_headers_complete(self) -> None:
        self.head, self.moved = -1, True
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        self.began = time.monotonic()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self.began, self.head, self.moved = 0.0, 0, True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self.say(400, "This is no HTTP/1.1 request.")

    def eof_received(self) -> bool:  # type: ignore[override]
        # Who has sent a whole request and then closes its own half still waits for the answer.
        if self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        return False

    def late(self, now: float) -> None:
        """Close it where a request does not come to its end, or an answer is not read. The router itself answers for a late body."""
        if not self.transport.get_write_buffer_size():
            self.unread = 0.0
        elif not self.unread:
            self.unread = now
        elif now - self.unread > UNREAD:
            self.transport.abort()
            return
        if self.began and now - self.began > BODY_SECONDS + 2:
            if self.cycle is None or self.cycle.response_complete:
                self.say(408, f"The request was not here after {BODY_SECONDS:.0f} seconds.")
            else:
                self.transport.close()

    def say(self, code: int, text: str) -> None:
        """An answer to what never became a request."""
        if not self.transport.is_closing():
            body = msgspec.json.encode({"error": text, "message": text})
            phrase = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}[code]
            head = f"HTTP/1.1 {code} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Signals are ours: uvicorn would stop listening before /ping could say that the server stops."""
        yield


async def serve(router: Router, listening: socket.socket, stop: asyncio.Event) -> None:
    """Answer on a socket until `stop` is set; then /ping says 503, and what is in flight has 30 seconds."""
    config = uvicorn.Config(
        router,
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(IDLE),
        timeout_graceful_shutdown=2,
    )
    server = _Uvicorn(config)
    running = asyncio.ensure_future(server.serve(sockets=[listening]))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not running.done() and not stopping.done():
            await asyncio.wait((running, stopping), timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            now = time.monotonic()
            for connection in list(server.server_state.connections):
                if isinstance(connection, Connection):
                    connection.late(now)
        router.draining = True
        end = time.monotonic() + DRAIN
        while router.in_flight and time.monotonic() < end:
            await asyncio.sleep(0.02)
    finally:
        stopping.cancel()
        server.should_exit = True
        await running


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run a server's coroutine on uvicorn's event loop; SIGTERM and SIGINT set the event that it gets."""

    async def with_signals() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await main(stop)

    factory = uvicorn.Config("", loop="auto").get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(with_signals())
