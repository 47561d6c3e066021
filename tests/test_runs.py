"""Run directories that anybody may have written into: listed and asked after all the same, and nothing of theirs reaches a terminal."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from lines import created
from test_cli import dlwb

from workbench import events, files
from workbench.events import Scalars, Status
from workbench.launch import start
from workbench.problems import Problem
from workbench.recipes import trust
from workbench.runs import commands, lock, trash
from workbench.runs.run import Run, list_runs
from workbench.runs.state import attempts, state_of
from workbench.runs.summary import summary_of

ESCAPE = "\x1b]0;gotcha\x07\x1b[31m"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return created(tmp_path / "own")


def log(run: Run, *made: events.Event) -> None:
    run.events.write_bytes(events.version_line() + b"".join(map(events.encode, made)))


LOCKS = [
    '{"attempt": "x"}',
    '{"attempt": 1e400}',
    '{"attempt": [1], "host": 5}',
    '{"attempt": 1, "host": {"a": 1}, "boot": [], "worker": 7}',
    "[" * 100_000,
    "\x00" * 1023,
    "",
    '{"attempt":',
]


@pytest.mark.parametrize("content", LOCKS)
def test_any_lock_file_is_a_state(run: Run, content: str) -> None:
    run.lock.write_text(content)
    assert state_of(run).state in ("created", "away", "failed")
    assert json.loads(dlwb("runs", "--json").stdout)[0]["id"] == run.id


def test_what_a_live_lock_says_is_cleaned(run: Run) -> None:
    held = lock.Lock.take(run.lock)
    assert held
    held.write({"attempt": 1, "host": f"gpu{ESCAPE}07", "state": ESCAPE, "message": f"{ESCAPE}importing"})
    state = state_of(run)
    held.release()
    assert (state.alive, state.state, state.message, state.host) == (True, "starting", "importing", "gpu07")


@pytest.mark.parametrize(
    "content", ['{"attempt": 1, "state": "%s", "cause": "%s", "message": "%s"}', '{"attempt": 1, "state": {}}', "[" * 99_999]
)
def test_any_exit_file_is_an_ending(run: Run, content: str) -> None:
    run.lock.write_text(json.dumps({"attempt": 1, "host": lock.host(), "boot": lock.boot_id()}))
    (run.path / "exit.json").write_text(content.replace("%s", json.dumps(ESCAPE)[1:-1]))
    assert state_of(run).state == "failed"
    listed = dlwb("runs")
    assert listed.returncode == 0 and run.id in listed.stdout and "\x1b" not in listed.stdout


def test_a_pipe_or_a_huge_file_is_not_waited_for(run: Run, tmp_path: Path) -> None:
    os.mkfifo(run.path / "exit.json")
    run.lock.write_text('{"attempt": 1}')
    assert state_of(run).state == "failed"
    (tmp_path / "huge").write_bytes(b" " * (files.READ_LIMIT + 1) + b'{"a": 1}')
    assert files.read_object(tmp_path / "huge") == {}


@pytest.mark.parametrize("last", ['{"test/loss": "abc"}', '{"test/loss": [1]}', "7"])
def test_a_damaged_summary_is_made_anew(run: Run, last: str) -> None:
    log(run, Scalars({"test/loss": 0.25}, step=3))
    size = run.events.stat().st_size
    (run.path / "summary.json").write_text(f'{{"size": {size}, "last": {last}, "best": {last}}}')
    assert summary_of(run).last == {"test/loss": 0.25}


def test_a_summary_is_cleaned(run: Run) -> None:
    log(run, Scalars({"test/loss": 0.25}))
    status = run.events.stat()
    (run.path / "summary.json").write_text(
        json.dumps({"size": status.st_size, "changed": status.st_mtime_ns, "device": ESCAPE + "cpu", "spans": []})
    )
    assert summary_of(run).device == "cpu"


def test_a_log_that_cannot_be_read_loses_no_other_run(run: Run, tmp_path: Path) -> None:
    run.events.write_bytes(events.seal(b'{"format":"dlwb-events","version":99}'))
    run.lock.write_text('{"attempt": 1}')
    other = created(tmp_path / "other")
    listed = dlwb("runs")
    assert listed.returncode == 0 and run.id in listed.stdout and other.id in listed.stdout
    assert "version 99" in listed.stderr


def test_numbers_beyond_all_measure(run: Run) -> None:
    log(run, Status("running"), Scalars({"a/b": 1.0}, time=1e300, clock=1e308), Scalars({"a/b": 1.0}, clock=-1e308))
    with run.events.open("ab") as file:
        for step in (b"1" + b"0" * 400, b"9007199254740993", b"-7"):
            file.write(events.seal(b'{"type":"scalars","step":' + step + b',"values":{"a/b":2}}'))
        file.write(events.encode(Scalars({"a/b": 3.0}, clock=1e308)))
    done = dlwb("runs")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert summary_of(run).last == {"a/b": 3.0}


def test_names_that_would_steer_a_terminal_are_no_runs(run: Run) -> None:
    for name in (f"{run.id}{ESCAPE}".encode(), run.id.encode() + b"\nx", run.id.encode() + b"\xff"):
        shutil.copytree(os.fsencode(run.path), os.path.join(os.fsencode(run.path.parent), name))  # noqa: PTH118
    assert list_runs() == [run]


def test_a_recipes_name_is_made_printable(tmp_path: Path) -> None:
    from lines import write

    recipe = write(tmp_path / "own")
    strange = recipe.with_name(f"a{ESCAPE}\nb.yaml")
    recipe.rename(strange)
    done = dlwb("run", str(strange))
    assert done.returncode == 0, done.stderr
    [run] = list_runs()
    assert run.id.isprintable() and done.stdout == run.id + "\n"
    dlwb("wait", run.id)


def test_a_home_that_is_no_folder(home: Path) -> None:
    home.parent.mkdir(exist_ok=True)
    home.write_text("")
    done = dlwb("runs")
    assert done.returncode == 1 and "cannot be read: Not a directory" in done.stderr and "Traceback" not in done.stderr


def test_a_read_only_home(run: Run, home: Path) -> None:
    log(run, Scalars({"test/loss": 0.25}))
    run.lock.write_text(json.dumps({"attempt": 1, "host": lock.host()}))
    if subprocess.run(["mount", "--bind", "-o", "ro", str(home), str(home)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        listed = dlwb("runs")
        assert listed.returncode == 0 and run.id in listed.stdout, listed.stderr
        for words in (("resume", run.id), ("delete", run.id), ("run", str(run.path.parents[2] / "own" / "line.yaml"))):
            done = dlwb(*words)
            assert done.returncode == 1 and "Read-only file system" in done.stderr and "Traceback" not in done.stderr, done.stderr
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def test_a_run_that_is_gone(run: Run) -> None:
    shutil.rmtree(run.path)
    assert state_of(run).message == "Its directory is gone."
    with pytest.raises(Problem, match="is no longer a run directory"):
        start.launch(run)
    assert not run.path.exists()


def test_the_same_name_is_deleted_twice(run: Run) -> None:
    shutil.copytree(run.path, run.path.with_name("kept"))
    trash.delete(run)
    run.path.with_name("kept").rename(run.path)
    trash.delete(run)
    assert sorted(each.name for each in (run.path.parent / ".trash").iterdir()) == [run.id, f"{run.id}~2"]


def test_exactly_what_was_trusted_is_copied(tmp_path: Path) -> None:
    from lines import write

    from workbench.recipes.load import load_recipe

    loaded = load_recipe(write(tmp_path / "own"))
    (tmp_path / "own" / "line.py").write_text("print('somebody was quicker')")
    with pytest.raises(Problem, match="is not trusted"):
        start.create(loaded, "cpu")
    assert not list_runs()


def test_the_attempts_are_counted_where_the_lock_file_is_lost(run: Run) -> None:
    log(run, Status("running", attempt=3))
    run.lock.write_text("")
    assert attempts(run) == 3
    assert state_of(run).cause in ("restart", "vanished")


def test_commands_whatever_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "control.jsonl"
    path.write_bytes(b'{"id":"\xff","verb":"set"}\n{"id":"a","verb":"set","request":{"a":' + b"[" * 9999 + b"\n" + b"x" * (2 << 20))
    inbox = commands.Inbox(path)
    identity = commands.append(path, "stop")
    assert [each.id for _ in range(5) for each in inbox.poll()] == [identity]
    path.write_bytes(b"")
    assert inbox.poll() == []
    again = commands.append(path, "pause")
    assert [each.id for each in inbox.poll()] == [again]


def test_a_command_for_which_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.jsonl"
    real = os.write
    monkeypatch.setattr(commands.os, "write", lambda file, data: real(file, data[:20]))
    with pytest.raises(OSError, match="No space left"):
        commands.append(path, "stop")
    monkeypatch.undo()
    identity = commands.append(path, "stop")
    assert [each.id for each in commands.commands(path.read_bytes())] == [identity]


def test_a_stale_compiled_file_is_never_run(tmp_path: Path) -> None:
    import importlib.util
    import py_compile

    from workbench.training.find_project import find_project

    source = tmp_path / "mine.py"
    evil = tmp_path / "evil.py"
    good = "from workbench.training.project import Project\nclass Mine(Project):\n    pass\n"
    evil.write_text(good + f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    source.write_text(good)
    trust.trust(source)
    cached = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(evil), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert find_project(source).__name__ == "Mine"
    assert not (tmp_path / "ran").exists()


def test_a_damaged_run_does_not_empty_the_screens_list(run: Run, tmp_path: Path) -> None:
    from workbench.tui.models.library import Library

    (run.path / "recipe.yaml").write_text("a: [")
    other = created(tmp_path / "other")
    library = Library()
    list(library.refresh())
    assert set(library.entries) == {run.id, other.id}
