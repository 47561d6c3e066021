"""`dlwb open`: the log of another program is a run in the list, followed as it grows by a process of its own, and never written to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import made_logs
import pytest
from made_logs import WandbLog, history

from workbench.elsewhere import following, sources
from workbench.launch import start
from workbench.problems import Problem
from workbench.runs import lock, usage
from workbench.runs.history import history_of
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of
from workbench.runs.summary import summary_of


def dlwb(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def losses(run: Run) -> list[float]:
    """The losses as the screens fold them."""
    series = history_of(run.events).series.get("loss")
    return list(series.values) if series else []


@pytest.fixture(autouse=True)
def stopped(home: Path) -> Iterator[None]:
    yield
    for run in list_runs():
        if lock.is_held(run.lock):
            start.kill(run)


def opened(path: Path) -> Run:
    (source,) = sources.sources(path)
    (run,) = following.open_sources([source])
    following.begin([run])
    return run


def test_a_growing_file_is_a_living_run_and_its_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.5\n")
    before = path.stat()
    done = dlwb("open", str(path), "--json")
    (about,) = json.loads(done.stdout)
    run = Run(list_runs()[0].path)
    assert about == {"run": run.id, "kind": "CSV", "path": str(path)}
    until(lambda: losses(run) == [0.5])
    assert state_of(run).state == "running" and path.stat().st_mtime_ns == before.st_mtime_ns
    with path.open("a") as file:
        file.write("2,0.25\n3,0.1")
    until(lambda: losses(run) == [0.5, 0.25])
    with path.open("a") as file:
        file.write("25\n")
    until(lambda: losses(run) == [0.5, 0.25, 0.125])
    # Opened again it is the same run, and nobody reads it twice.
    assert opened(path) == run and len(list_runs()) == 1
    refused = dlwb("pause", run.id)
    assert refused.returncode == 1 and "another program's log" in refused.stderr
    assert dlwb("stop", run.id).returncode == 0
    until(lambda: not state_of(run).alive)
    assert state_of(run).state == "stopped" and "No longer read" in state_of(run).message


def test_a_reader_that_was_killed_begins_again_and_shows_nothing_twice(tmp_path: Path) -> None:
    log = WandbLog(tmp_path / "offline-run-1" / "run-a.wandb")
    log.append(made_logs.run("named", {"lr": 0.1}), *(history(step, loss=float(step)) for step in range(2000)))
    run = opened(tmp_path)
    until(lambda: len(losses(run)) == 2000)
    os.kill(lock.content(run.lock)["parent"]["pid"], signal.SIGKILL)
    until(lambda: not lock.is_held(run.lock))
    assert state_of(run).state == "failed"
    log.append(history(2000, loss=7.0), made_logs.ended(0))
    assert opened(tmp_path) == run
    until(lambda: state_of(run).state == "finished")
    assert losses(run) == [*map(float, range(2000)), 7.0]
    assert run.recipe().title == "named" and run.recipe().config == {"lr": 0.1}
    assert summary_of(run).spans and not usage.of_run(run), "its hours are no use of this machine's devices"
    # Ended and unchanged: there is nothing to read.
    following.begin([run])
    assert not lock.is_held(run.lock)


def test_how_its_script_ended_is_how_it_ended(tmp_path: Path) -> None:
    log = WandbLog(tmp_path / "run-b.wandb")
    log.append(history(1, loss=1.0), made_logs.ended(1))
    run = opened(tmp_path)
    until(lambda: not state_of(run).alive and state_of(run).state != "created")
    assert state_of(run).words == "failed: an error in its code" and "exit code 1" in state_of(run).message


def test_a_file_written_anew_replaces_what_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.5\n2,0.4\n")
    run = opened(path)
    until(lambda: losses(run) == [0.5, 0.4])
    path.write_text("step,loss,accuracy\n1,0.6,0\n")
    until(lambda: losses(run) == [0.6])


def test_an_old_log_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.5\n2,0.2")  # perhaps 0.25: it may be torn
    os.utime(path, (1.7e9, 1.7e9))
    run = opened(path)
    until(lambda: state_of(run).state == "stopped")
    assert "Nothing new for 10 minutes" in state_of(run).message and losses(run) == [0.5]
    assert "Its last line has no end, and is left out." in state_of(run).message


def test_a_log_that_is_none_after_all_is_named_in_the_run(tmp_path: Path) -> None:
    (tmp_path / "run-c.wandb").write_bytes(b"no log at all")
    run = opened(tmp_path)
    until(lambda: state_of(run).state == "failed")
    assert "not a wandb log" in state_of(run).message


def test_bad_paths_are_one_sentence(tmp_path: Path) -> None:
    done = dlwb("open", str(tmp_path))
    assert done.returncode == 1 and "holds no log" in done.stderr and "Traceback" not in done.stderr and not list_runs()
    with pytest.raises(Problem):
        sources.sources(tmp_path / "nothing")


def test_steps_that_go_back_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n5,0.5\n3,9.0\n6,0.4\n")
    run = opened(tmp_path / "metrics.csv")
    until(lambda: losses(run) == [0.5, 0.4])
    until(lambda: "1 of values whose step goes back" in run.output.read_text())
