"""The writing side of the log: full disks, slow disks, and what is too big for a line."""

import errno
import io
import os
import resource
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from workbench import events
from workbench.events import (
    Answer,
    AnyEvent,
    Curve,
    Images,
    Mark,
    Matrix,
    Scalars,
    Scatter,
    Status,
    Table,
    Text,
)
from workbench.problems import Problem
from workbench.runs.log import EventLog, read_all, read_rows


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens is asked here, not whether it outlives a power failure."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def test_what_is_too_big_for_a_line_becomes_an_artifact(tmp_path: Path, no_sync: None) -> None:
    random = np.random.default_rng(0)
    square, line = random.normal(size=(150, 200)), random.normal(size=10_000)
    log = EventLog(tmp_path)
    log.write(Images("i", bytes(200_000), ["x" * 100] * 100))
    log.write(Matrix("m", square.tolist(), ["r"] * 150))
    log.write(Curve("c", line.tolist(), (-line).tolist()))
    log.write(Scatter("s", line.tolist(), (-line).tolist(), ["label"] * 10_000))
    log.write(Text("t", "\x00" * 300_000))
    log.write(Table("w", ["a"], [["word" * 5000] for _ in range(100)]))
    log.write(Status(state="failed", message="m" * 300_000))
    log.write(Mark("t" * 300_000))
    log.write(Answer("id", False, "m" * 300_000))
    log.close()
    assert max(len(each) for each in (tmp_path / "events.jsonl").read_bytes().split(b"\n")) < events.LINE_LIMIT
    images, matrix, curve, scatter, text, table, *others = read_all(tmp_path / "events.jsonl")[0]
    assert (tmp_path / images.file).read_bytes() == bytes(200_000)
    assert (np.load(tmp_path / matrix.file, allow_pickle=False) == square).all()
    assert matrix.rows == ["r"] * 150
    for event in (curve, scatter):
        assert (np.load(tmp_path / event.file, allow_pickle=False) == [line, -line]).all()
        assert event.x == []
    assert text.text.endswith("(cut)")
    assert table.rows[0][0].startswith("wordword")
    assert len(others) == 3


@pytest.mark.parametrize(
    "event",
    [
        Scalars({f"train/loss/{i}": 0.1 for i in range(5000)}),
        Text("t" * 70_000, "x"),
        Matrix("m", [[0.5] * 20_000, [0.5]]),
        Curve("c", [0.5] * 20_000, [0.5] * 9_999),
        Mark("m", {"setting": "x" * 70_000}),
    ],
)
def test_what_cannot_be_kept_is_refused_and_the_log_goes_on(tmp_path: Path, no_sync: None, event: AnyEvent) -> None:
    log = EventLog(tmp_path)
    with pytest.raises(Problem) as refused:
        log.write(event)
    assert refused.value.cause == "data"
    log.write(Mark("after"))
    log.close()
    found, tail = read_all(tmp_path / "events.jsonl")
    assert [each.text for each in found] == ["after"]
    assert tail.damaged == 0
    assert not list(tmp_path.glob("artifacts/*"))


def test_a_second_writer_never_overwrites_an_artifact(tmp_path: Path, no_sync: None) -> None:
    for number in range(3):
        log = EventLog(tmp_path)
        log.write(Images("i", bytes([number])))
        log.close()
    assert [(tmp_path / event.file).read_bytes() for event in read_all(tmp_path / "events.jsonl")[0]] == [b"\0", b"\1", b"\2"]


def test_a_full_disk_is_named_and_nothing_that_was_returned_is_lost(tmp_path: Path, no_sync: None) -> None:
    """The file's size limit gives a short write and then an error, as a full disk does."""
    log = EventLog(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(Problem) as full:
            for step in range(1000):
                log.write(Scalars({"train/loss": 0.5}, step=step))
                kept.append(step)
        with pytest.raises(Problem, match="is full"):
            log.write(Images("i", bytes(20_000)))
        assert full.value.cause == "disk-full"
        assert (tmp_path / "events.jsonl").stat().st_size == 10_000
        assert_nothing_lost(tmp_path, kept)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "artifacts").iterdir())
    log.write(Mark("room again"))
    log.close()
    assert assert_nothing_lost(tmp_path, kept).text == "room again"


def assert_nothing_lost(folder: Path, kept: list[int]) -> AnyEvent:
    """A write that failed may still have left its whole record, only without the newline."""
    found, tail = read_all(folder / "events.jsonl")
    assert [event.step for event in found][: len(kept)] == kept
    assert len(found) <= len(kept) + 2
    assert tail.damaged <= 1
    return found[-1]


def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        (disk / "ballast").write_bytes(bytes(16_384))
        log, kept = EventLog(disk), []
        with pytest.raises(Problem, match="is full") as full:
            for step in range(10_000):
                log.write(Scalars({"train/loss": 0.5}, step=step))
                kept.append(step)
        assert full.value.cause == "disk-full"
        assert_nothing_lost(disk, kept)
        (disk / "ballast").unlink()
        log.write(Mark("room again"))
        log.close()
        assert assert_nothing_lost(disk, kept).text == "room again"
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(("number", "named"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_other_trouble_with_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_sync: None, number: int, named: bool) -> None:
    log = EventLog(tmp_path)

    def fails(file: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fails)
        with pytest.raises(Problem if named else OSError):
            log.write(Mark("lost"))
    log.write(Mark("kept"))
    log.close()
    assert [event.text for event in read_all(tmp_path / "events.jsonl")[0]] == ["kept"]


def test_a_slow_sync_delays_no_write_and_the_last_one_follows_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, release, sizes = threading.Event(), threading.Event(), []

    def slow(file: int) -> None:
        sizes.append(os.fstat(file).st_size)
        syncing.set()
        assert release.wait(30)

    monkeypatch.setattr(os, "fsync", slow)
    log = EventLog(tmp_path)
    log.write(Mark("first"))
    assert syncing.wait(30)
    for step in range(1000):
        log.write(Scalars({"train/loss": 0.5}, step=step))
    assert len(sizes) == 1, "the first sync is still under way, and a thousand writes have returned"
    release.set()
    log.write(Mark("last"))
    log.close()
    assert sizes[-1] == (tmp_path / "events.jsonl").stat().st_size


def test_rows_in_an_artifact_are_read_back_and_damage_is_a_value_error(tmp_path: Path) -> None:
    """Whatever bit of the header flips: NumPy's own parser raises more than ValueError, and np.load allocates what a header names."""
    rows = [[1.0, float("nan"), -3.5], [float("inf"), 0.1, 2.0]]
    file, padded = io.BytesIO(), "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }".ljust(117).encode() + b"\n"
    np.save(file, np.array(rows))
    before = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + np.array(rows).tobytes()
    path = tmp_path / "000001.npy"
    for data in (file.getvalue(), before):  # NumPy's, and what runs of dlwb 0.1 hold
        path.write_bytes(data)
        assert np.array_equal(read_rows(path), rows, equal_nan=True)
    transposed, single = io.BytesIO(), io.BytesIO()
    np.save(transposed, np.array(rows).T)
    np.save(single, np.array(rows, np.float32))
    huge = before.replace(b"(2, 3), }      ", b"(2, 30000000)}")
    others = [b"", before[:-1], before + b"\0", before[:-8], b"PK" + before, transposed.getvalue(), single.getvalue(), huge]
    for place in range(8 * 120):
        flipped = bytearray(before)
        flipped[place // 8] ^= 1 << place % 8
        others.append(bytes(flipped))
    refused = 0
    for data in others:
        path.write_bytes(data)
        try:
            assert read_rows(path).size == 6
        except ValueError:
            refused += 1
    assert refused > 500
    for data in others[:8]:
        path.write_bytes(data)
        with pytest.raises(ValueError):
            read_rows(path)
