"""The index of a log gives back what the whole log amounts to, and is used for no other bytes than those it was made from."""

import itertools
import math
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import alive, finish, make_run, train

from workbench import files
from workbench.events import Answer, Mark, Matrix, Scalars, Status, Table, Text
from workbench.runs import folded
from workbench.runs.history import History
from workbench.runs.history import history_of as read_whole
from workbench.runs.log import EventLog
from workbench.tui.models.run_feed import Feed

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded, "LEAST", 1)


def content(history: History) -> dict[str, Any]:
    """Everything in a history, in a form in which NaN equals NaN."""
    whole: dict[str, Any] = {}
    for name, value in vars(history).items():
        if name == "series":
            kinds = [
                (one.steps.tobytes(), one.values.tobytes(), one.epochs.tobytes(), one.version, one.extremes()) for one in value.values()
            ]
            whole[name] = list(zip(value, kinds, strict=True))
        elif name == "samples":
            whole[name] = [(tag, msgspec.msgpack.encode(samples.events)) for tag, samples in value.items()]
        else:
            whole[name] = msgspec.msgpack.encode(value)
    return whole


def same(log: Path) -> None:
    assert content(folded.history_of(log)) == content(read_whole(log))


ODD = st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e-320])
VALUE = st.floats(-1e6, 1e6) | ODD
TAGS = st.sampled_from(["train/loss", "valid/loss", "train/accuracy", "test/loss", "system/cpu"])
EVENT = st.one_of(
    st.tuples(st.just("scalars"), st.dictionaries(TAGS, VALUE, min_size=1, max_size=4), st.integers(-3, 9)),
    st.tuples(st.just("rewind"), st.integers(-1, 60)),
    st.tuples(st.just("matrix"), st.lists(VALUE, min_size=2, max_size=2)),
    st.tuples(st.just("text"), st.text(max_size=8)),
    st.tuples(st.just("table"), st.lists(st.text(max_size=3) | VALUE, min_size=1, max_size=3)),
    st.tuples(st.just("mark"), VALUE),
    st.tuples(st.just("answer"), st.booleans()),
    st.tuples(st.just("raw"), st.sampled_from([b"{torn", b"no record\n", b'{"type":"new","x":1,"crc":"00000000"}\n', b"\n"])),
)


def write(folder: Path, events: list[Any], state: dict[str, int]) -> None:
    """Append these events with the worker's own writer; `raw` damages the log."""
    log = EventLog(folder)
    for kind, *rest in events:
        step = state["step"]
        if kind == "scalars":
            state["step"] = step = max(0, step + rest[1])
            log.write(Scalars(rest[0], step=step, epoch=step / 7))
        elif kind == "rewind":
            state["attempt"] += 1
            log.write(Status(state="running", attempt=state["attempt"], from_step=rest[0], steps=99, pending=[{"step": 3, "settings": {}}]))
        elif kind == "matrix":
            log.write(Matrix(tag="valid/confusion", values=[rest[0]], rows=["a"], columns=["b", "c"], step=step))
        elif kind == "text":
            log.write(Text(tag="sample/text", text=rest[0], step=step))
        elif kind == "table":
            log.write(Table(tag="test/table", columns=["x"], rows=[rest[0]], cells=[(0, 1)], step=step))
        elif kind == "mark":
            log.write(Mark(text="lr", settings={"config.learning_rate": rest[0], "x": [1, "a", None]}, command="c", step=step))
        elif kind == "answer":
            log.write(Answer(command="c", ok=rest[0], step=step))
        else:
            log.close()
            with (folder / "events.jsonl").open("ab") as file:
                file.write(rest[0])
            log = EventLog(folder)
    log.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.lists(EVENT, max_size=12), min_size=1, max_size=4), many=st.booleans())
def test_an_indexed_log_amounts_to_what_the_whole_log_does_whatever_is_in_it(pieces: list[list[Any]], many: bool, tmp_path: Path) -> None:
    folder = tmp_path / str(next(NUMBERS))
    folder.mkdir()
    state = {"step": 0, "attempt": 1}
    if many:  # enough lines for rows
        write(folder, [("scalars", {"train/loss": float(place), "valid/loss": 2.0}, 1) for place in range(150)], state)
    for events in pieces:
        write(folder, events, state)
        log = folder / "events.jsonl"
        whole = folded.Reading(log)
        for _ in whole.slices():
            pass
        plain = read_whole(log)
        assert content(whole.history) == content(plain)
        kept = whole.keep()
        assert kept or not log.stat().st_size
        again = folded.Reading(log)
        assert again.tail.damaged == whole.tail.damaged and again.tail.remark == whole.tail.remark
        assert content(again.history) == content(plain), "before a line is read"
        for _ in again.slices():
            pass
        assert content(again.history) == content(plain)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs that were written long ago: their stamps are a proof."""
    monkeypatch.setattr(folded.time, "time_ns", lambda now=time.time_ns: now() + 10 * files.UNSETTLED)


def ended_run(stem: str = "digits-mlp"):
    run = make_run(stem)
    finish(run, 400)
    return run


def test_of_a_log_at_rest_nothing_is_read_again(settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ended_run().events
    same(log)
    reading = folded.Reading(log)
    assert reading.fresh and content(reading.history) == content(read_whole(log))
    monkeypatch.setattr(folded.os, "pread", None)  # nor is it hashed
    assert not [event for events in reading.slices() for event in events] and reading.tail.caught_up


@pytest.mark.parametrize("vouched", [True, False])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_changed_byte_anywhere_makes_it_read_the_log(place: str, vouched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if vouched:
        monkeypatch.setattr(folded.time, "time_ns", lambda now=time.time_ns: now() + 10 * files.UNSETTLED)
    log = ended_run().events
    folded.history_of(log)
    assert folded.Reading(log).history.series, "the index is used"
    before, data = log.stat(), bytearray(log.read_bytes())
    where = {
        "first": data.index(b'"train/loss":') + 15,
        "middle": data.index(b'"train/loss":', len(data) // 2) + 15,
        "last": len(data) - 3,
    }[place]
    data[where] ^= 1
    with log.open("r+b") as file:  # the same file
        file.write(data)
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nobody had touched it
    reading = folded.Reading(log)
    assert not reading.history.series and not reading.fresh
    same(log)
    assert len(read_whole(log).statuses) + len(read_whole(log).series["train/loss"]) == 41, "the full reading misses one record"


@pytest.mark.parametrize("change", ["shorter", "exchanged", "gone", "longer"])
def test_a_log_that_is_another_one_now_is_read(change: str, settled: None) -> None:
    run, other = ended_run(), make_run("other")
    finish(other, 300)
    folded.history_of(run.events)
    if change == "shorter":
        os.truncate(run.events, run.events.stat().st_size - 900)
    elif change == "exchanged":
        other.events.replace(run.events)
    elif change == "gone":
        run.events.unlink()
        assert not folded.history_of(run.events).series
        return
    else:
        log = EventLog(run.path)
        log.write(Status(state="running", attempt=2, from_step=200, steps=400))
        log.write(Scalars({"train/loss": 9.0}, step=201))
        log.close()
        reading = folded.Reading(run.events)
        assert reading.history.step == 400 and not reading.fresh, "what it covers is used, and the rewind comes"
    same(run.events)


def test_a_log_that_is_changed_while_it_is_read_gets_no_index() -> None:
    run = ended_run()
    reading = folded.Reading(run.events)
    for _ in reading.slices():
        pass
    data = run.events.read_bytes()
    run.events.write_bytes(data[: len(data) // 2])
    EventLog(run.path).close()
    run.events.write_bytes(data.replace(b"loss", b"lost"))
    reading.keep()
    # Either there is none, or it is not taken for the log's.
    assert not folded.Reading(run.events).history.series
    same(run.events)


def test_a_log_that_is_changed_under_its_index_gets_no_new_one(settled: None) -> None:
    run = ended_run()
    folded.history_of(run.events)
    reading = folded.Reading(run.events)
    data = run.events.read_bytes()
    with run.events.open("r+b") as file:
        file.write(data.replace(b"train/loss", b"train/lost"))
    log = EventLog(run.path)
    log.write(Scalars({"train/loss": 9.0}, step=401))
    log.close()
    for _ in reading.slices():
        pass
    assert not reading.keep() and "train/lost" not in folded.Reading(run.events).history.series
    same(run.events)


def test_a_copied_log_keeps_its_index_by_its_bytes_alone(settled: None) -> None:
    run = ended_run()
    folded.history_of(run.events)
    data = run.events.read_bytes()
    run.events.unlink()
    run.events.write_bytes(data)
    reading = folded.Reading(run.events)
    assert not reading.fresh and reading.history.series
    same(run.events)
    assert folded.Reading(run.events).fresh, "written again, with the new stamp"


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "words", "version"])
def test_a_damaged_index_is_no_index(damage: str, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ended_run().events
    folded.history_of(log)
    [index] = folded.folder().iterdir()
    data = bytearray(index.read_bytes())
    if damage == "version":
        monkeypatch.setattr(folded, "_made_by", lambda: "another one")
    elif damage == "bit":
        for place in (2, 9, 40, len(data) // 2, len(data) - 1):
            data[place] ^= 4
            index.write_bytes(data)
            assert not folded.Reading(log).history.series, place
    else:
        index.write_bytes({"cut": bytes(data[:-9]), "empty": b"", "words": b"hello" * 99}[damage])
    assert not folded.Reading(log).history.series
    same(log)


def test_a_living_run_goes_on_from_its_index_with_its_rate(home: Path) -> None:
    run = make_run("living")
    log = train(run, 1000, 600)
    with_lock = alive(run)
    try:
        first = Feed(run)
        while first.read() or not first.caught_up:
            pass
        second = Feed(run)
        second.read()
        assert second.history.step == 600 and content(second.history) == content(first.history)
        assert list(second._pace.steps) == list(first._pace.steps) and second.rate() == first.rate() > 0
        log.write(Scalars({"train/loss": 0.5}, step=610))
        second.read()
        assert second.history.step == 610 and content(second.history) == content(read_whole(run.events))
    finally:
        log.close()
        with_lock.release()


def test_a_full_disk_or_a_closed_cache_costs_the_index_alone(home: Path) -> None:
    run = ended_run()
    home.joinpath("cache").mkdir(exist_ok=True)
    (home / "cache" / "folded").write_text("in the way")
    same(run.events)


def test_the_indexes_together_stay_below_their_bound(monkeypatch: pytest.MonkeyPatch, settled: None) -> None:
    runs = [ended_run(f"run-{place}") for place in range(4)]
    for place, run in enumerate(runs):
        folded.history_of(run.events)
        [newest] = [file for file in folded.folder().iterdir() if file == folded._file(run.events)]
        os.utime(newest, (place, place))
    size = newest.stat().st_size
    monkeypatch.setattr(folded, "MOST", 5 * size)
    folded._prune(folded.folder())
    assert len(list(folded.folder().iterdir())) == 4
    monkeypatch.setattr(folded, "MOST", 5 * size // 2)
    folded._prune(folded.folder())
    assert sorted(folded.folder().iterdir()) == sorted(folded._file(run.events) for run in runs[2:])
