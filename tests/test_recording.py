"""What is written down of the traffic stays bounded, and a disk that refuses it costs nobody an answer."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from workbench.serving.messages import Reply, Request
from workbench.serving.recording import MOST_CAPTURES, AccessLog, Captures
from workbench.serving.router import Answered


def answered(number: int, body: bytes = b"{}") -> Answered:
    return Answered(f"id-{number}", "/invocations", 200, 0.0123, "3", request=Request(f"id-{number}", body), reply=Reply(200))


def test_an_access_log_keeps_the_newest_lines_in_two_files(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log")
    log.limit = 2000
    for number in range(200):
        log.saw(answered(number))
        log.flush()
    files = {path.name: path.read_text().splitlines() for path in tmp_path.iterdir()}
    assert set(files) == {"access.log", "access.log.1"}
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    ids = [int(line.split()[1][3:]) for line in files["access.log.1"] + files["access.log"]]
    assert ids == list(range(ids[0], 200)) and len(ids) > 50
    assert files["access.log"][-1].split()[2:] == ["3", "200", "12.30", "2"]


def test_captures_are_bounded_and_the_oldest_file_goes(tmp_path: Path) -> None:
    captures = Captures(tmp_path / "captures", 1.0)
    captures.limit = 1000
    seen: set[int] = set()
    for number in range(300):
        captures.saw(Request(f"id-{number}", b'{"row": 1}'), Reply(200, answers=[1.5]), "3")
        captures.flush()
        seen.add(len(list(captures.path.parent.iterdir())))
    files = sorted(captures.path.parent.iterdir())
    # One more each time, and never fewer: no file goes before there are as many as may be.
    assert seen == set(range(1, MOST_CAPTURES + 1)) and len(files) == MOST_CAPTURES
    assert sum(path.stat().st_size for path in files) <= MOST_CAPTURES * 1000
    lines = [json.loads(line) for path in [*files[:-1], captures.path] for line in path.read_text().splitlines()]
    ids = [int(line["id"][3:]) for line in lines]
    assert ids == list(range(ids[0], 300))
    assert lines[-1]["body"] == '{"row": 1}' and lines[-1]["answers"] == [1.5]


def test_captures_are_off_and_take_any_bytes(tmp_path: Path) -> None:
    none, every = Captures(tmp_path / "none", 0.0), Captures(tmp_path / "every", 1.0)
    for captures in (none, every):
        captures.saw(Request("id", b"\xff\x00"), Reply(400, message="no"), "3")
        captures.flush()
    assert not none.path.parent.exists()
    [line] = every.path.read_text().splitlines()
    assert b64decode(json.loads(line)["base64"]) == b"\xff\x00"


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_place_that_cannot_be_written_costs_no_answer(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "access.log"
    path.mkdir() if kind == "folder" else path.symlink_to(tmp_path / "elsewhere")
    log = AccessLog(path)
    log.saw(answered(1))
    log.flush()
    assert not (tmp_path / "elsewhere").exists()
