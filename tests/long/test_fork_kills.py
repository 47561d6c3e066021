"""A fork and a roll-back that are killed at moments all through them; and forks of a network whose shape changes, with real workers."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forking import bytes_of, curves
from lines import ended, folded, start

from workbench.launch import forking
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.runs import family
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

TRAIN = "{steps: 90, batch_size: 20, log_every: 3, evaluate_every: 6, checkpoint_every: 10, keep_every: 10, keep_best: valid/loss}"


@pytest.fixture
def parent(tmp_path: Path) -> Run:
    run = start(tmp_path, train=TRAIN)
    assert ended(run).state == "finished"
    return run


KILLED = """
import os, signal, sys
from workbench.launch import forking
from workbench.runs import directory, family
from workbench.runs.run import list_runs
at, count = int(sys.argv[1]), 0
def trace(frame, event, argument):
    global count
    if event == "call" and ("/runs/" in frame.f_code.co_filename or "/files.py" in frame.f_code.co_filename):
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
parent = list_runs()[0]
branch = family.nearest(parent, 40)
sys.setprofile(trace)
{act}
sys.setprofile(None)
print(count)
"""


def killed_at(at: int, act: str) -> int:
    """Do it in a process that is killed at its so many-th call; returns how many there are, 0 where it was killed."""
    done = subprocess.run([sys.executable, "-c", KILLED.replace("{act}", act), str(at)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return int(done.stdout or 0)


def test_killed_while_it_forks_there_is_no_half_run(parent: Run) -> None:
    before, act = bytes_of(parent), "forking.create(parent, branch)"
    calls = killed_at(0, act)
    made = list_runs()[0]
    assert made != parent
    shutil.rmtree(made.path)
    for at in [calls * share // 100 for share in (20, 40, 60, 70, 80, 90, 95, 97, 98, 99)]:
        assert killed_at(at, act) == 0
        assert list_runs() == [parent] and bytes_of(parent) == before
    assert sum(1 for _ in parent.path.parent.iterdir()) > 1  # the last ones had begun


def test_killed_while_it_rolls_back_it_can_be_resumed(parent: Run) -> None:
    whole, saved = curves(parent), parent.path.parent.parent / "saved"
    shutil.copytree(parent.path, saved)
    act = "forking.start.launch = lambda *a, **k: ''\nforking.roll_back(parent, branch)"
    calls = killed_at(0, act)
    ends = set()
    for at in [calls * share // 100 for share in (50, 60, 70, 75, 80, 85, 90, 94, 97, 99)]:
        shutil.rmtree(parent.path)
        shutil.copytree(saved, parent.path)
        assert killed_at(at, act) == 0
        if state_of(parent).state == "stopped":
            launch.launch(parent)
            assert ended(parent).state == "finished"
        ends.add(folded(parent).attempt)
        assert curves(parent) == whole
    assert len(ends) > 1


def test_a_network_of_another_shape_is_refused_and_nothing_is_left() -> None:
    run = launch.start("digits-mlp", ["train.epochs=4", "train.checkpoint_every=20", "train.keep_every=20"])
    assert ended(run).state == "finished"
    for setting in ("config.hidden=[64]", "config.optimizer=adam"):
        with pytest.raises(Problem, match="The checkpoint does not fit config"):
            forking.fork(run, family.nearest(run, 40), [setting])
        assert list_runs() == [run]
    fork = forking.fork(run, family.nearest(run, 40), ["config.dropout=0.1", "config.shift=2"]).run
    assert ended(fork).state == "finished"
    assert curves(fork, 40) == curves(run, 40) and curves(fork) != curves(run)
