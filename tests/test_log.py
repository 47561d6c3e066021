"""The log under attack: every cut, every flipped bit, foreign and future records, readers beside a writer."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
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
    encode,
)
from workbench.problems import Problem
from workbench.runs import log
from workbench.runs.log import EventLog, Tail, read_all
from workbench.runs.rows import Row


def one_of_each() -> list[AnyEvent]:
    """A small log's events: every type, with numbers that JSON lacks and text that needs escapes."""
    return [
        Status(state="running", steps=4),
        Scalars({"train/loss": 2.25, "train/accuracy": math.nan}, step=1),
        Text("sample", 'J*"é"\n{"type":', prompt="crc"),
        Images("digits", b"\x89PNG", ["7"]),
        Curve("roc", [0.0, 1.0], [0.0, math.inf], ("a", "b")),
        Matrix("m", [[1.0, -2.0]], ["x"], ["y", "z"]),
        Scatter("s", [1.0], [2.0], ["w"]),
        Table("t", ["k", "v"], [["a", 1.5]]),
        Mark("rate 0.1", {"learning_rate": 0.1}),
        Answer("c1", False, "no"),
    ]


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens is asked here, not whether it outlives a power failure."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def small_log(tmp_path: Path, no_sync: None) -> bytes:
    (tmp_path / "run").mkdir()
    log = EventLog(tmp_path / "run")
    for event in one_of_each():
        log.write(event)
    log.close()
    return (tmp_path / "run" / "events.jsonl").read_bytes()


def keys(found: list[AnyEvent]) -> list[bytes]:
    """Events as bytes, so that NaN equals NaN."""
    return [encode(event) for event in found]


def read(path: Path, data: bytes) -> tuple[list[bytes], Tail]:
    path.write_bytes(data)
    found, tail = read_all(path)
    return keys(found), tail


def test_every_type_reads_back(tmp_path: Path, small_log: bytes) -> None:
    found, tail = read_all(tmp_path / "run" / "events.jsonl")
    assert [type(event) for event in found] == [type(event) for event in one_of_each()]
    assert (tail.damaged, tail.unknown) == (0, 0)
    for event, original in zip(found, one_of_each(), strict=True):
        original.time, original.clock = event.time, event.clock
        if isinstance(original, Images):
            assert isinstance(event, Images)
            assert (tmp_path / "run" / event.file).read_bytes() == original.png
            original.png, original.file = b"", event.file
        assert encode(event) == encode(original)


def test_every_cut_loses_only_what_is_cut_and_a_new_writer_goes_on(tmp_path: Path, small_log: bytes) -> None:
    originals, _ = read(tmp_path / "whole", small_log)
    ends = [len(line) for line in small_log.split(b"\n")[:-1]]
    ends = [sum(ends[: i + 1]) + i for i in range(len(ends))]  # where each line ends, its newline not counted
    added = Mark("after")
    folder = tmp_path / "cut"
    folder.mkdir()
    for cut in range(len(small_log) + 1):
        whole = originals[: sum(end <= cut for end in ends[1:])]
        assert read(folder / "events.jsonl", small_log[:cut])[0] == whole, cut
        log = EventLog(folder)
        log.write(added)
        log.close()
        found, tail = read_all(folder / "events.jsonl")
        assert keys(found) == [*whole, encode(added)], cut
        assert tail.damaged <= 1
        assert (folder / "events.jsonl").read_bytes().count(events.version_line().rstrip()) == 1, cut


def test_every_flipped_bit_costs_at_most_its_own_record_and_makes_none(tmp_path: Path, small_log: bytes) -> None:
    path = tmp_path / "flipped"
    originals, _ = read(path, small_log)
    file, line = os.open(path, os.O_RDWR), 0
    for place, byte in enumerate(small_log):
        others = originals if line == 0 or byte == 10 else originals[: line - 1] + originals[line:]
        for bit in range(8):
            os.pwrite(file, bytes([byte ^ 1 << bit]), place)
            found, tail = read_all(path)
            assert keys(found) == others, (place, bit)
            assert tail.damaged or place == len(small_log) - 1, (place, bit)
        os.pwrite(file, bytes([byte]), place)
        line += byte == 10
    os.close(file)


def test_two_flips_of_newlines_in_a_row(tmp_path: Path, small_log: bytes) -> None:
    originals, _ = read(tmp_path / "whole", small_log)
    head, *rest = small_log.split(b"\n")
    assert read(tmp_path / "joined", head + b"\n" + b"\x0b".join(rest))[0] == originals


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_reader_meets_each_record_once_however_the_bytes_arrive(tmp_path: Path, small_log: bytes, piece: int) -> None:
    originals, _ = read(tmp_path / "whole", small_log)
    path = tmp_path / "growing"
    tail, found = Tail(path), []
    assert list(tail.read()) == []
    with path.open("ab", buffering=0) as file:
        for start in range(0, len(small_log), piece):
            file.write(small_log[start : start + piece])
            found += tail.read()
            assert tail.caught_up
    assert keys(found) == originals
    assert tail.damaged == 0


def test_a_reader_beside_a_living_writer(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from workbench.events import Scalars, Text
from workbench.runs import log
from workbench.runs.log import EventLog
log = EventLog(Path(sys.argv[1]))
for step in range(20000):
    log.write(Text("t", "é" * (step % 300), step=step) if step % 50 == 0 else Scalars({"train/loss": step / 7}, step=step))
log.close()
"""
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    tail, steps = Tail(tmp_path / "events.jsonl"), []
    while True:
        ended = writer.poll() is not None
        steps += [event.step for event in tail.read(0.001)]
        if ended and tail.caught_up:
            break
    assert writer.returncode == 0
    assert steps == list(range(20000))
    assert tail.damaged == 0


def test_a_budget_ends_between_slices_and_nothing_is_lost(tmp_path: Path, no_sync: None) -> None:
    log = EventLog(tmp_path)
    for step in range(5000):
        log.write(Scalars({"train/loss": 0.5, "train/a_rather_long_name": 1 / 3}, step=step))
    log.close()
    tail = Tail(log.folder / "events.jsonl")
    first = [event.step for event in tail.read(0.0)]
    assert 0 < len(first) < 5000
    assert not tail.caught_up
    assert first + [event.step for event in tail.read()] == list(range(5000))


def test_numbers_that_json_lacks(tmp_path: Path, no_sync: None) -> None:
    odd = [math.nan, math.inf, -math.inf, 0.1, 5e-324, -0.0]
    log = EventLog(tmp_path)
    log.write(Scalars({f"train/{i}": value for i, value in enumerate(odd)}))
    log.write(Curve("c", odd, odd))
    log.write(Matrix("m", [odd, odd]))
    log.write(Scatter("s", odd, odd))
    log.write(Table("t", ["a"], [[value] for value in odd]))
    for value in odd:
        log.write(Table("t", ["a", "b"], [[value, "word"]]))
    log.close()
    assert b"null" not in (tmp_path / "events.jsonl").read_bytes()
    scalars, curve, matrix, scatter, table, *tables = read_all(tmp_path / "events.jsonl")[0]
    assert [repr(each.rows) for each in tables] == [repr([[value, "word"]]) for value in odd]
    want = np.array(odd).tobytes()
    for values in (scalars.values.values(), curve.x, curve.y, *matrix.values, scatter.y, [row[0] for row in table.rows]):
        assert np.array(list(values), float).tobytes() == want


def test_arrays_may_be_put_into_events(tmp_path: Path, no_sync: None) -> None:
    log = EventLog(tmp_path)
    log.write(Scalars({"train/loss": np.float32(0.5), "train/norm": np.float64("nan")}))
    log.write(Matrix("m", np.eye(3, dtype=np.float32)))
    log.write(Matrix("big", np.eye(300, dtype=np.int64)))
    log.close()
    scalars, matrix, big = read_all(tmp_path / "events.jsonl")[0]
    assert scalars.values["train/loss"] == 0.5
    assert math.isnan(scalars.values["train/norm"])
    assert matrix.values == np.eye(3).tolist()
    assert (np.load(tmp_path / big.file) == np.eye(300)).all()


HOSTILE = "a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc\x9bmd\u202ee\x00f\x7f"


CLEANED = "abcd<U+202E>ef"


def test_foreign_text_is_cleaned_when_it_is_read(tmp_path: Path, no_sync: None) -> None:
    log = EventLog(tmp_path)
    log.write(Scalars({HOSTILE: 1.0}))
    log.write(Text(HOSTILE, HOSTILE, HOSTILE))
    log.write(Images(HOSTILE, b"png", [HOSTILE]))
    log.write(Curve(HOSTILE, [1.0], [1.0], (HOSTILE, HOSTILE)))
    log.write(Matrix(HOSTILE, [[1.0]], [HOSTILE], [HOSTILE]))
    log.write(Scatter(HOSTILE, [1.0], [1.0], [HOSTILE]))
    log.write(Table(HOSTILE, [HOSTILE], [[HOSTILE]]))
    log.write(Status(state="failed", message=HOSTILE, hint=HOSTILE, device=HOSTILE))
    log.write(Mark(HOSTILE, {HOSTILE: [HOSTILE]}))
    log.write(Answer(HOSTILE, True, HOSTILE))
    log.close()

    assert (tmp_path / "events.jsonl").read_bytes().count(b"\\u001b]52") >= 20, "the file keeps what was said"

    def strings(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from (text for item in value.items() for each in item for text in strings(each))
        elif isinstance(value, list | tuple):
            yield from (text for each in value for text in strings(each))

    found, tail = read_all(tmp_path / "events.jsonl")
    assert (len(found), tail.damaged, tail.unknown) == (10, 0, 0)
    for event in found:
        members = list(msgspec.structs.asdict(event).values())
        texts = [text for text in strings(members) if text and not text.startswith("artifacts/")]
        assert texts
        assert set(texts) <= {CLEANED, "failed"}, event


def test_half_a_surrogate_pair_is_no_reason_to_stop(tmp_path: Path, no_sync: None) -> None:
    log = EventLog(tmp_path)
    log.write(Curve("\ud800", [1.0], [math.nan], ("\udfff", "y")))
    log.close()
    curve = read_all(tmp_path / "events.jsonl")[0][0]
    assert (curve.tag, curve.labels, str(curve.y)) == ("?", ("?", "y"), "[nan]")


def test_a_foreign_log_names_no_file_outside_its_run(tmp_path: Path) -> None:
    names = ["../../secret.png", "/etc/passwd", "artifacts/../x.png", "artifacts/x.png\n", "artifacts/000001.png"]
    (tmp_path / "log").write_bytes(events.version_line())
    with (tmp_path / "log").open("ab") as file:
        for name in names:
            file.write(events.seal(msgspec.json.encode({"type": "images", "tag": "i", "file": name})))
    assert [event.file for event in read_all(tmp_path / "log")[0]] == ["", "", "", "", "artifacts/000001.png"]


def test_records_of_the_future_and_of_nobody_are_counted(tmp_path: Path) -> None:
    bodies = [
        b'{"type":"hologram","tag":"x"}',
        b'{"type":"scalars","values":"of another kind"}',
        b'{"type":["scalars"]}',
        b'{"type":{}}',
        b'{"no":"type"}',
        b"{" + b"[" * 50_000 + b"}",
        b'{"type":"mark","text":"m","settings":{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}}",
        b'{"type":"scalars","values":{"a":1},"new_member":[1,{}]}',
    ]
    (tmp_path / "log").write_bytes(events.version_line() + b"".join(events.seal(body) for body in bodies))
    found, tail = read_all(tmp_path / "log")
    assert [event.values for event in found] == [{"a": 1.0}]
    assert tail.unknown == 2
    assert tail.damaged == 5
    unknown = "2 records of a type or a shape that this dlwb does not know (hologram, scalars)"
    assert tail.remark == f"Left out of the log: {unknown}; 5 records that cannot be read."


def test_a_whole_log_has_no_remark_and_unknown_types_are_cleaned_and_few(tmp_path: Path) -> None:
    bodies = [msgspec.json.encode({"type": f"{HOSTILE}{number}"}) for number in range(50)]
    (tmp_path / "log").write_bytes(events.version_line() + encode(Mark("m")))
    assert read_all(tmp_path / "log")[1].remark == ""
    with (tmp_path / "log").open("ab") as file:
        file.write(b"".join(map(events.seal, bodies)))
    remark = read_all(tmp_path / "log")[1].remark
    assert remark.startswith("Left out of the log: 50 records") and remark.endswith(" …).") and len(remark) < 200 and "\x1b" not in remark


def test_a_newer_format_is_refused_every_time(tmp_path: Path) -> None:
    line = msgspec.json.encode({"format": events.FORMAT, "version": events.VERSION + 1})
    (tmp_path / "log").write_bytes(events.seal(line) + encode(Mark("m")))
    tail = Tail(tmp_path / "log")
    for _ in range(2):
        with pytest.raises(Problem, match=r"written in version 2 of the log's format; this dlwb reads version 1\. Upgrade"):
            list(tail.read())


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is not a plain file"):
        list(Tail(tmp_path).read())
    assert list(Tail(tmp_path / "none").read()) == []


def test_garbage_without_newlines_is_read_in_bounded_memory(tmp_path: Path) -> None:
    record = encode(Mark("m"))
    (tmp_path / "log").write_bytes(bytes(3_000_000) + b"\n" + record[:-1] + bytes(1_000_000) + b"\n" + record)
    tail, longest, found = Tail(tmp_path / "log"), 0, []
    while not tail.caught_up:
        found += tail.read(0.0)
        longest = max(longest, len(tail._rest))
    assert keys(found) == [record, record]
    assert longest < 1 << 20
    assert tail.damaged


def test_what_is_wrong_among_many_plain_lines_costs_no_other_line(tmp_path: Path) -> None:
    """Plain lines are read together; one that is not as the others has each looked at alone."""
    lines = [events.encode(Scalars({"train/loss": 1 / step}, step=step)) for step in range(1, 101)]
    lines[20] = lines[20].replace(b'"step":21', b'"step":22')
    lines[40] = events.seal(b'{"type":"hologram","step":41}')
    lines[60] = b"\n"
    lines[80] = lines[80].replace(b'"crc":"', b'"crc":"0')
    path = tmp_path / "events.jsonl"
    path.write_bytes(events.version_line() + b"".join(lines))
    found, tail = read_all(path)
    assert [event.step for event in found] == [step for step in range(1, 101) if step not in (21, 41, 61, 81)]
    assert (tail.damaged, tail.unknown) == (2, 1)


def test_rows_are_the_scalars_that_read_gives_whatever_their_tags_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags that come late, lines without some of them, a broken line, text to clean: the quick way loses and changes nothing."""
    monkeypatch.setattr(log, "SLICE", 1 << 15)  # so that the log has many
    shapes = [{"train/loss": 1.5}, {"train/loss": 0.25, "train/accuracy": 1.0}, {"": 2.0, "valid/loss": 1e300}, {}]
    lines = [encode(Scalars(shapes[step // 3000 if step % 2 else 0], step=step)) for step in range(12_000)]
    for place in range(0, 12_000, 1500):
        lines[place] = encode(Mark("a", step=place))
    lines[5000] = lines[5000].replace(b'"step":5000', b'"step":5001')
    lines[8000] = encode(Scalars({"train/loss": math.inf, HOSTILE: 1.0}, step=8000))
    lines[9000] = events.seal(b'{"type":"hologram","step":9000}')
    lines[11_000:11_200] = [encode(Scalars({f"train/{step}": 1.0}, step=step)) for step in range(11_000, 11_200)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(events.version_line() + b"".join(lines))
    whole, tail = read_all(path)
    quick = Tail(path)
    found = [event for part in quick.rows() for event in part]
    assert [type(event) for event in found].count(Scalars) < 8000, "most are rows, or nothing is compared"
    assert keys([event.scalars() if isinstance(event, Row) else event for event in found]) == keys(whole)
    assert (quick.damaged, quick.unknown) == (tail.damaged, tail.unknown) == (1, 1)
