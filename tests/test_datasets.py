"""Fetching against a local server that answers well or badly, archives that try to escape, and strict readers."""

import gzip
import hashlib
import io
import resource
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from workbench import paths
from workbench.datasets import archive, bike_sharing, catalog, digits, fetch, images, mnist
from workbench.problems import Problem

CONTENT = bytes(range(256)) * 4000
"""About a megabyte: four times what is read at once."""


class Server(ThreadingHTTPServer):
    """Serves one file under several names, each in a way of its own; counts requests and bytes."""

    asked: list[str]
    sent = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
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
        one.asked = []
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
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


@pytest.mark.parametrize("name", ["good", "without-length", "elsewhere"])
def test_a_good_server_is_asked_once(monkeypatch: pytest.MonkeyPatch, server: Server, name: str) -> None:
    offer_from(monkeypatch, server, name)
    seen: list[tuple[str, int, int]] = []
    path = fetch.fetch("made", progress=lambda *report: seen.append(report))["it"]
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(paths.data())
    assert seen[-1] == ("made it", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    asked = len(server.asked)
    assert fetch.fetch("made")["it"] == path
    assert len(server.asked) == asked
    assert left() == [path.name]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing", "answered 404"),
        ("cut-off", "sent 300,000 of the 1,024,000 bytes"),
        ("says-less", "sent 300,000 of the 1,024,000 bytes"),
        ("other", "sent something else"),
        ("endless", "more than the 1,024,000 bytes"),
        ("to-http", "only https"),
        ("to-file", "answered 302"),
    ],
)
def test_a_bad_server_gives_one_sentence_and_no_file(monkeypatch: pytest.MonkeyPatch, server: Server, name: str, says: str) -> None:
    offer_from(monkeypatch, server, name)
    with pytest.raises(Problem, match=says) as caught:
        fetch.fetch("made", progress=lambda *report: None)
    assert caught.value.cause == "data"
    assert left() == []
    assert not any(path == "/good" for path in server.asked)


def test_a_server_that_announces_too_much_but_sends_it_right_is_believed_by_hash(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "says-more")
    assert fetch.fetch("made", progress=lambda *report: None)["it"].read_bytes() == CONTENT


def test_an_endless_server_is_cut_off_early(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "endless")
    with pytest.raises(Problem):
        fetch.fetch("made", progress=lambda *report: None)
    # What fits into the sockets' buffers may be sent beyond the cap, not all hundred megabytes.
    assert server.sent < 30 * len(CONTENT)


@pytest.mark.parametrize("url", ["http://example.org/it", "ftp://127.0.0.1/it", "file:///etc/passwd"])
def test_only_https_is_fetched(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    offer(monkeypatch, url)
    with pytest.raises(Problem, match="only https"):
        fetch.fetch("made")


def test_no_network_says_so_and_names_the_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    offer(monkeypatch, f"http://127.0.0.1:{port}/good", mirror="made/it.bin")
    with pytest.raises(Problem, match=r"could not be fetched from 127\.0\.0\.1: Connection refused") as caught:
        fetch.fetch("made")
    assert "made/it.bin" in caught.value.hint


def test_no_room_is_found_before_the_first_byte(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    file = catalog.find("made").files["it"]
    entry = catalog.DataSet(
        title="Made",
        licence="none",
        source="here",
        files={"it": catalog.File(bytes=1 << 60, sha256=file.sha256, url=file.url)},
    )
    monkeypatch.setattr(catalog, "catalog", lambda: {"made": entry})
    with pytest.raises(Problem, match="no room") as caught:
        fetch.fetch("made")
    assert caught.value.cause == "disk-full"
    assert server.asked == []


def test_a_disk_that_fills_up_while_it_is_written(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        with pytest.raises(Problem, match="no room") as caught:
            fetch.fetch("made")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.cause == "disk-full"
    assert left() == []


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Server) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("DLWB_HOME", str(tmp_path / "a-file"))
    offer_from(monkeypatch, server, "good")
    with pytest.raises(Problem, match="a-file/data/made cannot be written: Not a directory"):
        fetch.fetch("made")


def test_progress_is_told_on_the_console(monkeypatch: pytest.MonkeyPatch, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    offer_from(monkeypatch, server, "good")
    fetch.fetch("made")
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == "Fetching made it: 1.0 of 1.0 MB"
    assert 2 <= len(lines) <= 11


def test_two_that_want_the_same_file_download_it_once(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch.fetch("made")["it"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and server.asked == ["/good"]


def test_the_mirror_is_looked_in_first_and_checked(monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path) -> None:
    offer_from(monkeypatch, server, "good", mirror="made/it.bin")
    file = tmp_path / "mirror" / "made" / "it.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv("DLWB_MIRROR", str(tmp_path / "mirror"))
    assert fetch.fetch("made")["it"] == file
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(Problem, match=r"it\.bin is cut short: 1,023,999 bytes"):
        fetch.fetch("made")
    file.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(Problem, match=r"it\.bin is not made it: its SHA-256"):
        fetch.fetch("made")
    assert server.asked == []


def test_what_was_downloaded_is_checked_each_time(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    path = fetch.fetch("made")["it"]
    changed = bytearray(CONTENT)
    changed[500_000] ^= 1
    path.write_bytes(changed)
    with pytest.raises(Problem, match="is not made it") as caught:
        fetch.fetch("made")
    assert "Delete it" in caught.value.hint


def test_names_that_are_not_in_the_catalogue() -> None:
    with pytest.raises(Problem, match="no data set 'mnits'"):
        fetch.fetch("mnits")
    with pytest.raises(Problem, match="no variant 'jpeg'"):
        fetch.fetch("mnist", "jpeg")


def test_a_set_that_only_its_variants_stand_in_for_names_them(mirror: Path) -> None:
    with pytest.raises(Problem, match="CelebA faces cannot be fetched") as caught:
        fetch.fetch("celeba")
    assert "lfw" in caught.value.hint
    assert fetch.fetch("digits") == {}
    assert len(list(fetch.fetch("dogs", "20-breeds")["pictures"].rglob("*.jpg"))) == 159


def test_the_catalogue_holds_only_https_and_whole_hashes() -> None:
    for name, entry in catalog.catalog().items():
        for each in [entry, *entry.variants.values()]:
            assert each.licence and each.source.startswith("http"), name
            assert each.files or each.package or entry.variants, name
            for key, file in each.files.items():
                assert file.url.startswith("https://") or (not file.url and file.mirror), (name, key)


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            made.addfile(member, io.BytesIO(content))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return out.getvalue()


def zipped_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        made.writestr(info, "/etc/passwd")
    return out.getvalue()


LIMITS = catalog.Unpack(members=4, bytes=10_000)


def unpack(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "made.archive"
    file.write_bytes(content)
    return archive.unpacked(file, tmp_path / "to", hashlib.sha256(content).hexdigest(), LIMITS)


@pytest.mark.parametrize(
    "content",
    [
        tar((member("a", tarfile.DIRTYPE), b""), (member("a/b.txt"), b"here")),
        zipped(("a/", b""), ("a/b.txt", b"here")),
    ],
    ids=["tar", "zip"],
)
def test_a_good_archive_is_unpacked_once(tmp_path: Path, content: bytes) -> None:
    folder = unpack(tmp_path, content)
    assert (folder / "a" / "b.txt").read_bytes() == b"here"
    (folder / "a" / "b.txt").write_bytes(b"kept")
    assert unpack(tmp_path, content) == folder
    assert (folder / "a" / "b.txt").read_bytes() == b"kept"
    assert [path.name for path in (tmp_path / "to").iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tar((member("../out.txt"), b"x")), "outside its folder"),
        (tar((member("a/../../out.txt"), b"x")), "outside its folder"),
        (tar((member("link", tarfile.SYMTYPE, "/etc"), b"")), "neither a file nor a folder"),
        (tar((member("link", tarfile.LNKTYPE, "/etc/passwd"), b"")), "neither a file nor a folder"),
        (tar((member("pipe", tarfile.FIFOTYPE), b"")), "neither a file nor a folder"),
        (tar((member("bomb"), bytes(10_001))), "holds more than"),
        (tar(*((member(str(number)), b"") for number in range(5))), "holds more than"),
        (tar((member("a"), b"1"), (member("a"), b"2")), "twice"),
        (tar((member("a"), bytes(range(256)) * 30))[:-200], "damaged"),
        (zipped(("../out.txt", b"x")), "outside its folder"),
        (zipped(("bomb", bytes(10_001))), "holds more than"),
        (zipped_link(), "neither a file nor a folder"),
        (zipped(("a", b"x"))[:-30], "damaged"),
        (b"no archive at all", "damaged"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_a_bad_archive_leaves_nothing(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(Problem, match=says):
        unpack(tmp_path, content)
    assert list((tmp_path / "to").iterdir()) == []
    assert not (tmp_path / "out.txt").exists()


def test_an_absolute_name_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "out.txt"
    for content in (tar((member(str(outside)), b"x")), zipped((str(outside), b"x"))):
        with pytest.raises(Problem, match="outside its folder"):
            unpack(tmp_path, content)
        assert not outside.exists()


def idx(*shape: int, values: bytes | None = None, kind: int = 8) -> bytes:
    header = bytes([0, 0, kind, len(shape)]) + np.array(shape, ">u4").tobytes()
    return header + (bytes(int(np.prod(shape))) if values is None else values)


def test_idx_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "it.gz"
    file.write_bytes(gzip.compress(idx(2, 3, values=bytes(range(6)))))
    assert mnist.read_idx(file, (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(idx(2, 3))[:-4], "cut short or damaged"),
        (gzip.compress(idx(2, 3))[:15], "cut short or damaged"),
        (b"", "no idx file"),
        (b"not gzip", "cut short or damaged"),
        (gzip.compress(idx(2, 3, kind=13)), "no idx file"),
        (gzip.compress(idx(6)), "no idx file"),
        (gzip.compress(idx(3, 2)), r"shape \(3, 2\)"),
        (gzip.compress(idx(2, 3, values=bytes(5))), "fewer values"),
        (gzip.compress(idx(2, 3, values=bytes(10_000_000))), "more values"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_a_bad_idx_file_gives_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "it.gz"
    file.write_bytes(content)
    with pytest.raises(Problem, match=says) as caught:
        mnist.read_idx(file, (2, 3))
    assert str(file) in caught.value.message and caught.value.cause == "data"


def test_digits_are_split_without_overlap() -> None:
    data = digits.read()
    assert [len(part) for part in (data.train, data.valid, data.test)] == [1078, 359, 360]
    together = np.concatenate([part.images for part in (data.train, data.valid, data.test)])
    assert together.shape == (1797, 1, 8, 8) and together.dtype == np.float32
    assert (together.min(), together.max()) == (0, 1)
    assert len(np.unique(together.reshape(1797, -1), axis=0)) == 1797
    assert min(np.bincount(data.test.labels)) > 20
    assert np.array_equal(data.train.images, digits.read().train.images)


def test_mnist_is_what_the_course_trains_on(mirror: Path) -> None:
    data = images.read("mnist")
    assert [len(part) for part in (data.train, data.valid, data.test)] == [48_000, 12_000, 10_000]
    both = np.concatenate([data.train.labels, data.valid.labels])
    assert np.bincount(both).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    mean = np.concatenate([data.train.images, data.valid.images]).mean()
    assert mean == pytest.approx(0.1307, abs=5e-5)
    with pytest.raises(Problem, match="no labelled pictures called 'mnits'"):
        images.read("mnits")


def test_bike_sharing_is_prepared_as_the_course_does(mirror: Path) -> None:
    data = bike_sharing.read()
    assert [hours.features.shape for hours in (data.train, data.valid, data.test)] == [(15435, 56), (1440, 56), (504, 56)]
    assert (data.mean, data.scale) == (pytest.approx(190.905, abs=5e-4), pytest.approx(182.102, abs=5e-4))
    assert data.valid.target.var() == pytest.approx(1.280, abs=5e-4)
    assert data.test.target.var() == pytest.approx(0.658, abs=5e-4)
    assert np.allclose(data.test.target[:, 0] * data.scale + data.mean, data.test.riders)
    assert data.train.features[:, 5:].sum(axis=1).tolist() == [5.0] * 15435
    assert data.test.days[-1] == 31 + 23 / 24
    assert np.array_equal(data.test.week_before[168:], data.test.riders[:-168])


HEADER = "dteday,season,yr,mnth,hr,holiday,weekday,weathersit,temp,hum,windspeed,cnt"
ROW = "2011-01-01,1,0,1,0,0,6,1,0.24,0.81,0,16"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([HEADER.replace("hum,", ""), ROW], "no column 'hum'"),
        ([HEADER, ROW, ROW.replace("0.81", "wet")], "line 3: hum is 'wet', not a number"),
        ([HEADER, ROW, ROW.replace("0.81", "nan")], "line 3: hum is 'nan', not a number"),
        ([HEADER, ROW, ROW, ROW + ",1"], "line 4: 13 fields, where the first line names 12"),
        ([HEADER, ROW.replace("2011-01-01,1", "2011-01-01,5")], "line 2: season is 5, where 1 to 4 is right"),
        ([HEADER, ROW], "has 1 hours, too few"),
        ([], "no column 'dteday'"),
        ([HEADER, "2011-01-01,\xff"], "is no text"),
    ],
)
def test_a_bad_table_names_its_line(tmp_path: Path, lines: list[str], says: str) -> None:
    file = tmp_path / "hour.csv"
    file.write_bytes("\n".join(lines).encode("latin-1"))
    with pytest.raises(Problem, match=says) as caught:
        bike_sharing.parse(file)
    assert str(file) in caught.value.message and caught.value.cause == "data"
