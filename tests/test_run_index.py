"""The index of runs is never stale: whatever changes in a run, the next list shows it; and what it knows, it does not read again."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import alive, finish, make_run
from odd_files import a_run

from workbench import files, paths
from workbench.events import Scalars
from workbench.runs import index, lock, notes, trash
from workbench.runs.index import Look
from workbench.runs.log import EventLog
from workbench.runs.run import Run, list_runs
from workbench.runs.summary import kept_summary, summary_of


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep also what was written just now, as if it were old: the tests do not wait for clocks."""
    monkeypatch.setattr(files, "UNSETTLED", -(10**12))


def looked() -> list[Look]:
    return index.look_at(list_runs())


def anew() -> list[Look]:
    return [index._look_anew(run) for run in list_runs()]


def log_more(run: Run) -> None:
    log = EventLog(run.path)
    log.write(Scalars({"test/accuracy": 0.5}, step=21))
    log.close()


def log_other(run: Run) -> None:
    """Another log of the very same length, and with the same time of its last change."""
    status = run.events.stat()
    content = run.events.read_bytes()
    run.events.write_bytes(content.replace(b"digits", b"strings"[:6]))
    os.utime(run.events, ns=(status.st_atime_ns, status.st_mtime_ns))


def exit_other(run: Run) -> None:
    (run.path / "exit.json").write_text(json.dumps({"state": "failed", "cause": "memory", "message": "Out of it.", "attempt": 1}))


def exit_gone(run: Run) -> None:
    (run.path / "exit.json").unlink()


def exit_exchanged(run: Run) -> None:
    """A rename, with the time of the old file: only the inode and the time of the rename tell."""
    file = run.path / "exit.json"
    status = file.stat()
    other = file.with_name("other")
    other.write_text(file.read_text().replace("stopped", "failed "))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)


def lock_other(run: Run) -> None:
    run.lock.write_text(json.dumps({"attempt": 2, "host": lock.host(), "boot": lock.boot_id()}))


def recipe_other(run: Run) -> None:
    file = run.path / "recipe.yaml"
    file.write_text(file.read_text().replace("at_least: 0.95", "at_least: 0.99"))


def recipe_damaged(run: Run) -> None:
    (run.path / "recipe.yaml").write_text("a: [")


def noted(run: Run) -> None:
    notes.note(run, "another")


def tagged(run: Run) -> None:
    notes.tag(run, ["good"])


def log_gone(run: Run) -> None:
    run.events.unlink()


def deleted(run: Run) -> None:
    trash.delete(run)


def exchanged(run: Run) -> None:
    """Another run under the same name."""
    run.path.rename(run.path.parents[1] / "away")
    finish(make_run(stamp="2026-11-24_000000"), 40, accuracy=0.1)
    (run.path.parent / "2026-11-24_000000_digits-mlp").rename(run.path)


CHANGES = [log_more, log_other, exit_other, exit_gone, exit_exchanged, lock_other, recipe_other, recipe_damaged, noted, tagged, log_gone]
CHANGES += [deleted, exchanged]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_in_a_run_the_next_list_shows_it(change: Callable[[Run], None]) -> None:
    run = a_run()
    a_run("2026-11-22_000000")
    before = looked()
    assert looked() == before == anew()
    change(run)
    now = anew()
    assert looked() == now and looked() == now
    assert change is log_other or now != before


def test_a_run_that_lives_is_asked_each_time_and_not_kept() -> None:
    run = a_run()
    looked()
    held = alive(run, "running", attempt=2)
    assert looked()[0].state.state == "running"
    held.write({"attempt": 2, "state": "paused"})
    assert looked()[0].state.state == "paused"
    held.release()
    assert looked() == anew() and not looked()[0].state.alive


def test_a_lock_that_is_taken_and_let_go_changes_no_file_and_is_seen() -> None:
    run = a_run()
    looked()
    held = lock.Lock.take(run.lock)
    assert held and looked()[0].state.alive
    held.release()
    assert not looked()[0].state.alive


def test_what_is_known_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [a_run(f"2026-11-22_00000{number}") for number in range(5)]
    before = looked()
    read: list[Run] = []
    real = index._look_anew
    monkeypatch.setattr(index, "_look_anew", lambda run: read.append(run) or real(run))
    assert looked() == before and read == []
    log_more(runs[3])
    looked()
    assert read == [runs[3]]


def test_what_changed_just_now_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UNSETTLED", 2 * 10**9)
    a_run()
    os.utime(next(paths.runs().iterdir()) / "notes.json")
    looked()
    kept = files.read_packed(index._file(), index._Kept, index.MOST_BYTES)
    assert kept is None or kept.entries == {}


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 99, None])
def test_a_damaged_index_is_made_anew(damage: bytes | None) -> None:
    a_run()
    before = looked()
    file = index._file()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    assert looked() == before
    assert file.read_bytes() == content


def test_other_code_and_another_start_of_the_machine_make_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run()
    (run.path / "exit.json").unlink()
    run.lock.write_text(json.dumps({"attempt": 2, "host": lock.host(), "boot": lock.boot_id()}))
    assert looked()[0].state.cause == "vanished"
    monkeypatch.setattr(lock, "boot_id", lambda: "another")
    assert looked()[0].state.cause == "restart"


def test_a_disk_without_room_for_the_index_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    a_run()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    assert looked() == anew() and not index._file().exists()


def test_a_summary_beside_a_log_counts_only_for_that_very_log() -> None:
    run = a_run()
    summary_of(run)
    assert kept_summary(run)
    content = run.events.read_bytes()
    time.sleep(0.02)  # the clocks of file systems tick every few milliseconds
    run.events.write_bytes(content.replace(b"0.978", b"0.123"))
    assert kept_summary(run) is None and "test/accuracy" not in summary_of(run).last  # its line is damaged now
    path = Path(run.path / "summary.json")
    assert json.loads(path.read_text())["changed"] == run.events.stat().st_mtime_ns
