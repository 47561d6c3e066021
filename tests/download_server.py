"""A local server for the tests of downloads: it answers well, badly, or in parts; and the catalogue's one made data set."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workbench import paths
from workbench.datasets.store import catalog

CONTENT = bytes(range(256)) * 4000
"""About a megabyte: four times what is read at once."""


class Server(ThreadingHTTPServer):
    """Serves one file under several names, each in a way of its own; counts requests and bytes."""

    asked: list[str]
    ranges: list[str | None]
    sent = 0
    patience = threading.Event()
    """Set once a stalling answer may end."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.ranges.append(self.headers["Range"])
        answer = getattr(self, self.path[1:].replace("-", "_").partition(".")[0], None)
        if answer is None:
            self.send_error(404)
        else:
            try:
                answer()
            except (BrokenPipeError, ConnectionResetError):
                pass

    def reply(self, content: bytes, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        for start in range(0, len(content), 4096):
            self.wfile.write(content[start : start + 4096])
            self.server.sent += 4096

    def good(self) -> None:
        self.reply(CONTENT, len(CONTENT))

    def without_length(self) -> None:
        self.reply(CONTENT, None)

    def part(self, tag: str, most: int, content: bytes = CONTENT) -> None:
        """At most so many bytes from where the Range begins, for whoever's If-Range names this version; else from the beginning."""
        start = 0
        if self.headers["Range"] and self.headers["If-Range"] in (None, tag):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + most])
        self.server.sent += most

    def by_thirds(self) -> None:
        self.part('"one"', 400_000)

    def rest(self) -> None:
        self.part('"one"', len(CONTENT))

    def other_version(self) -> None:
        self.part('"two"', len(CONTENT))

    def no_ranges(self) -> None:
        self.reply(CONTENT, len(CONTENT))

    def other_part(self) -> None:
        if self.headers["Range"]:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 0-9/{len(CONTENT)}")
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(CONTENT[:10])
        else:
            self.part('"one"', len(CONTENT))

    def lies(self, content_range: str, content: bytes) -> None:
        """Answers a Range with this Content-Range and content; else well."""
        if not self.headers["Range"]:
            return self.part('"one"', len(CONTENT))
        self.send_response(206)
        self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def other_bytes(self) -> None:
        self.lies(f"bytes 500000-{len(CONTENT) - 1}/{len(CONTENT)}", CONTENT[:524_000])

    def other_total(self) -> None:
        self.lies("bytes 500000-600000/99", CONTENT[500_000:])

    def no_number(self) -> None:
        self.lies("bytes many-more/all", CONTENT[500_000:])

    def later_part(self) -> None:
        self.lies(f"bytes 600000-{len(CONTENT) - 1}/{len(CONTENT)}", CONTENT[600_000:])

    def endless_part(self) -> None:
        self.lies(f"bytes 500000-{len(CONTENT) - 1}/{len(CONTENT)}", CONTENT * 50)

    def unasked_part(self) -> None:
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 500000-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(CONTENT[500_000:])

    def length_in_words(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "a lot")
        self.end_headers()
        self.wfile.write(CONTENT)

    def negative_length(self) -> None:
        self.reply(CONTENT, -5)

    def no_such_part(self) -> None:
        if self.headers["Range"]:
            self.send_error(416)
        else:
            self.part('"one"', len(CONTENT))

    def stalls(self) -> None:
        self.part('"one"', 300_000)
        self.server.patience.wait(20)

    def slowly(self) -> None:
        self.part('"one"', 300_000)
        self.server.patience.wait(20)
        self.wfile.write(CONTENT[300_000:])

    def drips(self) -> None:
        self.part('"one"', 0)
        for place in range(0, len(CONTENT), 2):
            self.wfile.write(CONTENT[place : place + 2])
            if self.server.patience.wait(0.02):
                return

    def silent_at_the_end(self) -> None:
        self.reply(CONTENT, len(CONTENT) + 1)
        self.server.patience.wait(20)

    def says_nothing(self) -> None:
        self.server.patience.wait(20)

    def round_and_round(self) -> None:
        self.redirect(f"http://127.0.0.1:{self.server.server_port}/round-and-round")

    def cut_off(self) -> None:
        self.reply(CONTENT[:300_000], len(CONTENT))

    def says_less(self) -> None:
        self.reply(CONTENT, 300_000)

    def says_more(self) -> None:
        self.reply(CONTENT, len(CONTENT) + 1)

    def other(self) -> None:
        self.reply(CONTENT[::-1], len(CONTENT))

    def endless(self) -> None:
        self.reply(CONTENT * 100, None)

    def elsewhere(self) -> None:
        self.redirect(f"http://127.0.0.1:{self.server.server_port}/good")

    def to_http(self) -> None:
        # A name for this very server: only the rule keeps it from being followed.
        self.redirect(f"http://localhost:{self.server.server_port}/good")

    def to_file(self) -> None:
        self.redirect("file:///etc/passwd")

    def to_ftp(self) -> None:
        self.redirect("ftp://127.0.0.1/it")

    def to_data(self) -> None:
        self.redirect("data:,it")

    def to_nothing(self) -> None:
        self.redirect("")

    def to_control_signs(self) -> None:
        self.redirect("https://127.0.0.1:1/\x1b]0;evil\x07 x")

    def further(self) -> None:
        """Each time another address, without end."""
        self.redirect(f"http://127.0.0.1:{self.server.server_port}/further.{len(self.server.asked)}")

    def no_answer(self) -> None:
        self.wfile.write(b"\x1b[31mno HTTP at all\r\n\r\n")

    def endless_headers(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 100_000)

    def redirect(self, where: str) -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    with Server(("127.0.0.1", 0), Handler) as one:
        one.asked, one.ranges = [], []
        one.patience.clear()
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.patience.set()
        one.shutdown()
        thread.join()


def offer(monkeypatch: pytest.MonkeyPatch, url: str = "", content: bytes = CONTENT, **more: object) -> None:
    """Put a data set of one file into the catalogue."""
    file = catalog.File(bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), url=url, **more)
    entry = catalog.DataSet(title="Made", licence="none", source="here", files={"it": file})
    monkeypatch.setattr(catalog, "catalog", lambda: {"made": entry})


def offer_from(monkeypatch: pytest.MonkeyPatch, server: Server, name: str, **more: object) -> None:
    offer(monkeypatch, f"http://127.0.0.1:{server.server_port}/{name}", **more)


def left() -> list[str]:
    """What a download left behind, but for its lock."""
    return sorted(path.name for path in paths.data().rglob("*") if path.is_file() and path.suffix != ".lock")


def put_part(content: bytes, version: str = '"one"') -> None:
    """What an interrupted download of `made` leaves behind."""
    folder = paths.data() / "made"
    folder.mkdir(parents=True)
    for file in catalog.find("made").files.values():
        name = Path(file.url).name
        (folder / f".{name}.part").write_bytes(content)
        (folder / f".{name}.version").write_text(version)
