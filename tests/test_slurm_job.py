"""What the process on the node of a Slurm job decides: real workers, with Slurm's programs played."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lines
import pytest
from lines import created, until
from pretend_slurm import Programs, noted, programs, row

from workbench import files
from workbench.launch import start
from workbench.runs.state import state_of

__all__ = ["programs"]

LONG = "{epochs: 500, batch_size: 10, log_every: 5, checkpoint_every: 8}"


class OnNode:
    """A run whose job runs here, with Slurm's programs played."""

    def __init__(self, folder: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, source: str = lines.LINE) -> None:
        self.run, self.programs = created(folder, lines.SLOW, LONG, source), programs
        noted(self.run, state="RUNNING", time=time.time())
        monkeypatch.setenv("SLURM_JOB_ID", "12")
        programs.says("scontrol")

    def process(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-P", "-m", "workbench.launch.slurm_job", str(self.run.path)])

    def sigterm(self, state: str = "RUNNING", restarts: int = 0, left: float = 60.0, why: str = "None") -> dict[str, Any]:
        """Start it, send SIGTERM at step 20 while Slurm says that of its job; how it ended."""
        self.programs.says("squeue", out=row("12", state, restarts, end=str(int(time.time() + left + 30))))
        before = lines.folded(self.run).step if self.run.events.exists() else 0
        process = self.process()
        until(lambda: lines.folded(self.run).step >= before + 20 if self.run.events.exists() else False)
        self.programs.says("squeue", out=row("12", state, restarts, end=str(int(time.time() + left)), why=why))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        return files.read_object(self.run.path / "exit.json")


def test_near_its_time_limit_a_run_saves_and_is_queued_again(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    node = OnNode(tmp_path, programs, monkeypatch)
    ended = node.sigterm()
    assert (ended["cause"], ended["requeued"]) == ("time-limit", True)
    assert programs.calls("scontrol") == ["requeue 12"]
    saved = lines.folded(node.run).step
    assert saved >= 20 and state_of(node.run).state == "queued"
    # The next attempt goes on from there; Slurm refuses to queue it again.
    programs.says("scontrol", err="slurm_requeue error: Requested operation is presently disabled for job 12\n", code=1)
    process = node.process()
    until(lambda: lines.folded(node.run).step > saved + 10 and state_of(node.run).attempt == 2)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    state = state_of(node.run)
    assert (state.state, state.cause) == ("stopped", "time-limit") and "was not queued again" in state.message, state


def test_who_stops_a_run_or_takes_its_node_is_told_apart(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    node = OnNode(tmp_path, programs, monkeypatch)
    ended = node.sigterm("COMPLETING", restarts=1)
    assert (ended["cause"], ended["requeued"]) == ("preempted", True)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    ended = node.sigterm("COMPLETING", restarts=1, left=0)  # the end of a job that is cancelled is now
    assert (ended["cause"], "requeued" in ended) == ("cancelled", False)
    ended = node.sigterm(restarts=1, left=3000)
    assert (ended["cause"], "requeued" in ended) == ("sigterm", False)
    # A person's wish counts, also near the limit.
    programs.says("squeue", out=row("12", "RUNNING", 1, end=str(int(time.time() + 60))))
    process = node.process()
    until(lambda: state_of(node.run).attempt == 4 and state_of(node.run).state == "running")
    start.commands.append(node.run.control, "stop")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert state_of(node.run).cause == "person"
    assert programs.calls("scontrol") == []


def test_a_run_without_a_step_within_its_limit_is_not_queued_for_ever(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = lines.LINE.replace("rng = np.random.default_rng(0)", "rng = np.random.default_rng(0); time.sleep(60)")
    node = OnNode(tmp_path, programs, monkeypatch, source=slow)
    programs.says("squeue", out=row("12", "RUNNING", end=str(int(time.time() + 60))))
    process = node.process()
    until(lambda: state_of(node.run).message.startswith("reading"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 1
    state = state_of(node.run)
    assert (state.state, state.cause) == ("failed", "time-limit") and "made no step" in state.message, state
    assert programs.calls("scontrol") == []


def test_code_that_changed_while_a_job_waited_is_not_trained(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    node = OnNode(tmp_path, programs, monkeypatch)
    node.run.project_copy.write_text(lines.LINE.replace("0.05", "0.06"))
    assert node.process().wait(60) == 1
    state = state_of(node.run)
    assert state.state == "failed" and "has changed since" in state.message and "--anyway" in state.hint
