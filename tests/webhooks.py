"""A local server that takes signals as a webhook of a person's own does: it answers well, badly, elsewhere, or not at all."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Keeps what was sent to it, with the time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[dict[str, Any]] = []
        self.at: list[float] = []
        self.paths: list[str] = []
        self.patience = threading.Event()
        """Set once a silent answer may end."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        assert self.headers["Content-Type"].startswith("application/json")
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.at.append(time.monotonic())
        self.server.paths.append(self.path)
        if self.path == "/garbled":
            self.wfile.write(b"\x1b[31mSSH-2.0\r\n")
            return
        if self.path == "/trickle":
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not self.server.patience.wait(0.05):
                    self.wfile.write(b"X: y\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass
            return
        self.send_response({"/broken": 500, "/moved": 302}.get(self.path, 204))
        if self.path == "/moved":
            self.send_header("Location", f"{self.server.url}/secret-elsewhere")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def webhook() -> Iterator[Server]:
    """The server, while it runs."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.patience.set()
        server.shutdown()
        thread.join()
        server.server_close()
