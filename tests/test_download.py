"""Fetching against a local server that answers well, badly, or in parts; each file is right or not there."""

import lzma
import resource
import socket
import threading
from pathlib import Path

import pytest
from download_server import CONTENT, Server, left, offer, offer_from, server

from workbench import paths
from workbench.datasets.store import catalog, download, fetch
from workbench.preparation import Console, listening
from workbench.problems import Problem
from workbench.recipes.find import shipped_and_own
from workbench.recipes.load import load_recipe

__all__ = ["server"]


@pytest.mark.parametrize("name", ["good", "without-length", "elsewhere"])
def test_a_good_server_is_asked_once(monkeypatch: pytest.MonkeyPatch, server: Server, name: str) -> None:
    offer_from(monkeypatch, server, name)
    seen: list[tuple[str, int, int]] = []
    with listening(lambda *report: seen.append(report)):
        path = fetch.fetch("made")["it"]
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(paths.data())
    *fetching, checking = seen
    assert fetching[-1] == ("fetching made it", len(CONTENT), len(CONTENT))
    assert checking == ("checking made it", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in fetching] == sorted({done for _, done, _ in fetching})
    asked = len(server.asked)
    assert fetch.fetch("made")["it"] == path
    assert len(server.asked) == asked
    assert left() == [path.name]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing", "answered 404"),
        ("other", "sent other content"),
        ("endless", "more than the 1,024,000 bytes"),
        ("to-http", "only https"),
        ("to-file", "answered 302"),
        ("round-and-round", "answered 302"),
        ("to-ftp", "only https|answered 302"),
        ("to-data", "only https|answered 302"),
        ("further", "answered 302"),
        ("to-nothing", "answered 302|only https"),
    ],
)
def test_a_bad_server_gives_one_sentence_and_no_file(monkeypatch: pytest.MonkeyPatch, server: Server, name: str, says: str) -> None:
    offer_from(monkeypatch, server, name)
    with pytest.raises(Problem, match=says) as caught:
        fetch.fetch("made")
    assert caught.value.cause == "data"
    assert left() == []
    assert not any(path == "/good" for path in server.asked)


@pytest.mark.parametrize(("name", "says"), [("says-nothing", "silent for"), ("drips", r"it sent [\d,]+ bytes in \d+ seconds")])
def test_a_server_that_stalls_is_let_go(monkeypatch: pytest.MonkeyPatch, server: Server, name: str, says: str) -> None:
    monkeypatch.setattr(download, "_PATIENCE", 0.5)
    offer_from(monkeypatch, server, name)
    with pytest.raises(Problem, match=says):
        fetch.fetch("made")


def test_silence_after_the_last_byte_does_no_harm(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(download, "_PATIENCE", 0.5)
    offer_from(monkeypatch, server, "silent-at-the-end")
    assert fetch.fetch("made")["it"].read_bytes() == CONTENT


def test_a_server_that_announces_too_much_but_sends_it_right_is_believed_by_hash(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "says-more")
    assert fetch.fetch("made")["it"].read_bytes() == CONTENT


def test_an_endless_server_is_cut_off_early(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "endless")
    with pytest.raises(Problem):
        fetch.fetch("made")
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
    with pytest.raises(Problem, match="no space") as caught:
        fetch.fetch("made")
    assert caught.value.cause == "disk-full"
    assert server.asked == []


def test_a_disk_that_fills_up_while_it_is_written(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        with pytest.raises(Problem, match="no space") as caught:
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
    with listening(Console(patience=0.0)):
        fetch.fetch("made")
    lines = capfd.readouterr().err.splitlines()
    assert lines[-2:] == ["fetching made it: 100 %", "checking made it: 100 %"]
    assert 3 <= len(lines) <= 12


def test_two_that_want_the_same_file_download_it_once(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "good")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch.fetch("made")["it"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and server.asked == ["/good"]


def test_many_that_want_what_cannot_be_had_are_each_told(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """Each takes lock and folder away, while others wait for just that lock."""
    offer_from(monkeypatch, server, "missing")
    told: list[str] = []

    def want() -> None:
        with pytest.raises(Problem) as caught:
            fetch.fetch("made")
        told.append(caught.value.message)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == 8 and all("answered 404" in each for each in told)
    assert not (paths.data() / "made").exists()


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


def test_a_packed_file_of_the_mirror_is_unpacked_once(monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path) -> None:
    offer_from(monkeypatch, server, "good", mirror="it.txt.xz")
    packed = tmp_path / "mirror" / "it.txt.xz"
    packed.parent.mkdir()
    monkeypatch.setenv("DLWB_MIRROR", str(packed.parent))
    for content, says in [
        (lzma.compress(CONTENT + b"x" * 10_000_000), "too long: 1,0"),
        (lzma.compress(CONTENT[::-1]), "is not made it"),
        (lzma.compress(CONTENT)[:-20], "damaged"),
        (b"no xz", "damaged"),
    ]:
        packed.write_bytes(content)
        with pytest.raises(Problem, match=says) as caught:
            fetch.fetch("made")
        assert "it.txt.xz" in str(caught.value)
        assert left() == []
    packed.write_bytes(lzma.compress(CONTENT))
    path = fetch.fetch("made")["it"]
    assert path == paths.data() / "made" / "it.txt" and path.read_bytes() == CONTENT
    packed.unlink()
    assert fetch.fetch("made")["it"] == path and server.asked == []


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
    assert len(list(fetch.fetch("dogs", "21-breeds")["pictures"].rglob("*.jpg"))) == 159


def test_the_catalogue_holds_only_https_and_whole_hashes() -> None:
    for name, entry in catalog.catalog().items():
        for each in [entry, *entry.variants.values()]:
            assert each.licence and each.source.startswith("http"), name
            assert each.files or each.package or entry.variants, name
            for key, file in each.files.items():
                assert file.url.startswith("https://") or (not file.url and file.mirror), (name, key)


def test_every_recipe_that_trains_uses_a_data_set() -> None:
    """But the four rows of XOR, and letters that are drawn from the machine's own fonts."""
    without = set()
    for path in shipped_and_own():
        loaded = load_recipe(path, describe=False)
        assert loaded.schema
        if loaded.trains and not catalog.uses(loaded.schema.datasets, loaded.recipe.config):
            without.add(path.stem)
    drawn = {"gan-1d", "gan-ring", "simple-rnn", "udacity-detector", "udacity-detector-cells"}
    assert without == {"xor", "letters", "letters-rates"} | drawn
