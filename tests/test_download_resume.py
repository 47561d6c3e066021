"""Downloads that were interrupted: what is here stays, only the rest is asked for, and what is put together is checked."""

import pytest
from download_server import CONTENT, Server, left, offer_from, put_part, server

from workbench import paths
from workbench.datasets.store import download, fetch
from workbench.preparation import listening
from workbench.problems import Problem

__all__ = ["server"]


@pytest.mark.parametrize("name", ["cut-off", "says-less"])
def test_a_server_that_stops_early_leaves_its_part(monkeypatch: pytest.MonkeyPatch, server: Server, name: str) -> None:
    offer_from(monkeypatch, server, name)
    with pytest.raises(Problem, match="sent 300,000 of the 1,024,000 bytes") as caught:
        fetch.fetch("made")
    assert caught.value.cause == "data" and "300,000 of its 1,024,000 bytes are already here" in caught.value.hint
    assert left() == [f".{name}.part", f".{name}.version"]
    # It asked for the rest, was sent the beginning again, got no further, and gave up.
    assert server.ranges == [None, "bytes=300000-"]


def test_a_download_that_is_cut_again_and_again_is_put_together(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "by-thirds")
    assert fetch.fetch("made")["it"].read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=400000-", "bytes=800000-"]
    assert left() == ["by-thirds"]


@pytest.mark.parametrize(
    ("name", "part", "version", "ranges"),
    [
        ("rest", CONTENT[:500_000], '"one"', ["bytes=500000-"]),
        ("rest", CONTENT[:500_000], "", ["bytes=500000-"]),
        ("rest", CONTENT[:500_000], "bad\nheader: \x01", ["bytes=500000-"]),
        ("other-version", CONTENT[:500_000], '"one"', ["bytes=500000-"]),
        ("no-ranges", CONTENT[:500_000], '"one"', ["bytes=500000-"]),
        ("no-such-part", CONTENT[:500_000], '"one"', ["bytes=500000-", None]),
        ("rest", bytes(500_000), '"one"', ["bytes=500000-", None]),
        ("rest", CONTENT, '"one"', []),
        ("rest", CONTENT[::-1], '"one"', [None]),
        ("rest", CONTENT + b"more", '"one"', [None]),
    ],
)
def test_a_download_goes_on_where_an_earlier_one_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, server: Server, name: str, part: bytes, version: str, ranges: list[str | None]
) -> None:
    offer_from(monkeypatch, server, name)
    put_part(part, version)
    assert fetch.fetch("made")["it"].read_bytes() == CONTENT
    assert server.ranges == ranges
    assert left() == [name]


def test_only_what_is_missing_is_sent(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "rest")
    put_part(CONTENT[:-10])
    seen: list[tuple[str, int, int]] = []
    with listening(lambda *report: seen.append(report)):
        fetch.fetch("made")
    assert [done for what, done, _ in seen if what == "fetching made it"] == [len(CONTENT)]


def test_another_part_than_was_asked_for_is_not_taken(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "other-part")
    put_part(CONTENT[:500_000])
    with pytest.raises(Problem, match="another part"):
        fetch.fetch("made")
    assert (paths.data() / "made" / ".other-part.part").read_bytes() == CONTENT[:500_000]


@pytest.mark.parametrize("name", ["other-bytes", "other-total"])
def test_a_part_with_other_bytes_than_it_says_is_found_by_its_hash(monkeypatch: pytest.MonkeyPatch, server: Server, name: str) -> None:
    offer_from(monkeypatch, server, name)
    put_part(CONTENT[:500_000])
    assert fetch.fetch("made")["it"].read_bytes() == CONTENT
    assert left() == [name]


@pytest.mark.parametrize("name", ["no-number", "later-part"])
def test_a_part_from_another_place_is_refused_and_what_came_before_stays(
    monkeypatch: pytest.MonkeyPatch, server: Server, name: str
) -> None:
    offer_from(monkeypatch, server, name)
    put_part(CONTENT[:500_000])
    with pytest.raises(Problem, match="another part"):
        fetch.fetch("made")
    assert (paths.data() / "made" / f".{name}.part").read_bytes() == CONTENT[:500_000]


def test_an_endless_part_is_cut_off(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "endless-part")
    put_part(CONTENT[:500_000])
    with pytest.raises(Problem, match=r"more than the 1,024,000 bytes"):
        fetch.fetch("made")
    assert server.sent < 30 * len(CONTENT)


@pytest.mark.parametrize("name", ["length-in-words", "negative-length"])
def test_a_length_that_is_none_does_no_harm(monkeypatch: pytest.MonkeyPatch, server: Server, name: str) -> None:
    offer_from(monkeypatch, server, name)
    try:
        assert fetch.fetch("made")["it"].read_bytes() == CONTENT
    except Problem as problem:
        assert "it sent" in problem.message
    assert not [path for path in left() if not path.startswith(".") and path != name]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unasked-part", "another part than was asked for"),
        ("no-answer", "could not be fetched"),
        ("endless-headers", "could not be fetched"),
    ],
)
def test_no_answer_of_a_kind_that_exists_is_one_sentence(monkeypatch: pytest.MonkeyPatch, server: Server, name: str, says: str) -> None:
    offer_from(monkeypatch, server, name)
    with pytest.raises(Problem, match=says):
        fetch.fetch("made")


class LetGo(BaseException):
    """As SIGTERM or Ctrl-C ends a download."""


def test_what_came_before_somebody_let_go_is_kept(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    offer_from(monkeypatch, server, "rest")

    def let_go(what: str, done: int, total: int) -> None:
        if done > 300_000:
            raise LetGo

    with pytest.raises(LetGo), listening(let_go):
        fetch.fetch("made")
    came = (paths.data() / "made" / ".rest.part").read_bytes()
    assert 300_000 < len(came) < len(CONTENT) and CONTENT.startswith(came)
    assert fetch.fetch("made")["it"].read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(came)}-"]


def test_a_server_that_stalls_midway_is_asked_for_the_rest(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(download, "_PATIENCE", 0.5)
    offer_from(monkeypatch, server, "stalls")
    assert fetch.fetch("made")["it"].read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
