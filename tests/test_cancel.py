"""A start that is taken back leaves nothing: whatever it was doing, from the shell and in code. One that has trained is only stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lines import LINE, LONG, SLOW, at_step, created, ended, folded, start, until, write

from workbench import paths
from workbench.launch import devices
from workbench.launch import start as launch
from workbench.recipes.load import load_recipe
from workbench.runs import lock
from workbench.runs.run import Run, find_run, list_runs
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

WAITING = LINE.replace("rng = np.random.default_rng(0)", "rng = np.random.default_rng(0)\n        time.sleep(60)", 1)
DEAF = WAITING.replace("time.sleep(60)", "import signal\n        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        time.sleep(60)", 1)


def processes(words: str) -> list[str]:
    """Command lines on this machine that have these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if words in line:
                found.append(line)
    return found


def nothing_remains(run: Run) -> None:
    assert not os.listdir(paths.runs())
    until(lambda: not processes(run.id))


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3, 1.0])
def test_a_start_taken_back_at_any_moment_leaves_nothing(tmp_path: Path, pause: float) -> None:
    run = start(tmp_path, source=WAITING)
    time.sleep(pause)
    assert launch.cancel(run)
    nothing_remains(run)


def test_one_that_hears_nothing_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path, source=DEAF)
    until(lambda: state_of(run).message == "reading its data")
    time.sleep(0.3)
    monkeypatch.setattr(launch, "PATIENCE", 0.5)
    assert launch.cancel(run)
    nothing_remains(run)


def test_one_that_was_only_made_or_waits_for_its_device(tmp_path: Path) -> None:
    run = created(tmp_path)
    assert launch.cancel(run)
    nothing_remains(run)
    place = devices.device_lock("cuda:0")
    place.parent.mkdir(parents=True, exist_ok=True)
    held = lock.Lock.take(place)
    assert held
    run = launch.create(load_recipe(write(tmp_path)), "cuda:0")
    launch.launch(run)
    until(lambda: state_of(run).message == "waiting for cuda:0")
    assert launch.cancel(run)
    nothing_remains(run)
    held.release()


def test_one_that_has_trained_is_stopped_and_can_go_on(tmp_path: Path) -> None:
    run = start(tmp_path, SLOW, LONG)
    at_step(run, 5)
    assert not launch.cancel(run)
    assert ended(run).cause == "person"
    step = folded(run).step
    assert step >= 5
    launch.launch(run)
    at_step(run, step + 5)
    assert not launch.cancel(run) and ended(run).attempt == 2
    failed = start(tmp_path / "failing", source=LINE.replace("def build_model", "def built_model"))
    ended(failed)
    assert not launch.cancel(failed) and failed.path.is_dir(), "what ended by itself is there to be looked at"


def test_ctrl_c_before_the_first_step_takes_a_followed_start_back(tmp_path: Path) -> None:
    recipe = write(tmp_path, source=WAITING)
    command = [sys.executable, "-m", "workbench.cli", "run", str(recipe), "--follow"]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert following.stdout and following.stderr
    run = find_run(following.stdout.readline().strip())
    until(lambda: state_of(run).message == "reading its data")
    os.killpg(following.pid, signal.SIGINT)
    said = following.stderr.read()
    assert following.wait() == 130 and "nothing of the run is left" in said and "Traceback" not in said
    nothing_remains(run)


@pytest.mark.parametrize("pause", [0.15, 0.25, 0.35, 0.5])
def test_ctrl_c_while_it_is_being_started(tmp_path: Path, pause: float) -> None:
    command = [sys.executable, "-m", "workbench.cli", "run", str(write(tmp_path, source=WAITING))]
    starting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(pause)
    os.killpg(starting.pid, signal.SIGINT)
    said, _ = starting.communicate()
    assert [run.id for run in list_runs()] == said.split(), "a run is there exactly where its id was printed"
