"""Runs as jobs of a real Slurm of one node: requeued, preempted, stopped, resumed and killed, each is the run that was never touched."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Whole, differences
from lines import at_step, folded, send, until, write
from slurm_cluster import cluster, hurrying, tool

from workbench.launch import slurm, start, submit
from workbench.launch.submit import Request
from workbench.recipes.load import load_recipe
from workbench.runs import scheduled
from workbench.runs.run import Run, list_runs
from workbench.runs.state import State, state_of

TRAIN = "{{steps: {steps}, batch_size: 10, log_every: 7, checkpoint_every: 30, evaluate_every: 50, keep_best: valid/loss}}"
ONE = ["compute.threads=1", "compute.device=cpu"]
SHELL = [sys.executable, "-m", "workbench.cli"]


@pytest.fixture(scope="module")
def slurm_folder() -> Iterator[Path]:
    with cluster() as folder:
        yield folder


@pytest.fixture(autouse=True)
def nothing_waits(slurm_folder: Path) -> Iterator[None]:
    yield
    subprocess.run(["scancel", "--me"], check=False, timeout=60)
    until(lambda: not tool("squeue", "--noheader", "--me"), 120)


def recipe(folder: Path, steps: int, sleep: float = 0.02) -> str:
    return str(write(folder, f"{{sleep: {sleep}}}", TRAIN.format(steps=steps)))


def submitted(name: str, **request: object) -> Run:
    return submit.submit(load_recipe(Path(name), ONE), Request(**request))  # type: ignore[arg-type]


def looked(run: Run) -> State:
    slurm.refresh([run])
    return state_of(run)


def job(run: Run) -> scheduled.Job:
    now = scheduled.job_of(run.path)
    assert now
    return now


def ended(run: Run, seconds: float = 400.0) -> State:
    until(lambda: not looked(run).alive, seconds)
    return state_of(run)


def dlwb(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SHELL, *words], capture_output=True, text=True, timeout=300, check=False)


def test_requeued_and_preempted_while_it_trains_it_is_the_run_that_was_never_touched(tmp_path: Path) -> None:
    name = recipe(tmp_path, 900)
    run = submitted(name, time="10m")
    at_step(run, 150)
    state = looked(run)
    assert state.words.startswith("running on ") and state.job == job(run).id
    tool("scontrol", "requeue", job(run).id)
    until(lambda: looked(run).state == "queued")
    assert "requeued" in state_of(run).message
    until(lambda: "waiting for its start time, start about" in looked(run).message, 60)
    with hurrying(job(run).id):
        at_step(run, 450)
        assert looked(run).attempt == 2
        subprocess.run(["sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"], check=True, timeout=60)
        until(lambda: looked(run).state == "queued", 60)
        state = ended(run)
    assert state.state == "finished" and state.attempt == 3 and job(run).seen.restarts == 2
    whole = Whole(start.start(name, ONE))
    assert differences(run, whole.run) == []


def test_the_signal_before_the_limit_saves_and_the_job_goes_on_in_the_next_one(tmp_path: Path) -> None:
    # Slurm sends the signal up to a minute too soon: here between 50 and 110 seconds after the start.
    name = recipe(tmp_path, 2600, sleep=0.05)
    whole = start.start(name, ONE)
    run = submitted(name, time="2m", grace=10)
    with hurrying(job(run).id):
        seen: set[str] = set()
        until(lambda: seen.add(looked(run).message) or not state_of(run).alive, 600)  # type: ignore[func-returns-value]
    state = state_of(run)
    assert state.state == "finished" and state.attempt > 1, (state, (run.path / "slurm.log").read_text())
    assert any("requeued" in message for message in seen)
    assert differences(run, Whole(whole).run) == []


def test_a_run_that_makes_no_step_within_its_limit_is_not_queued_for_ever(tmp_path: Path) -> None:
    run = submitted(recipe(tmp_path, 50, sleep=600), time="1m", grace=50)
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "time-limit")
    assert "(TIMEOUT)" in state.message or "made no step" in state.message
    assert job(run).seen.restarts == 0


def test_a_node_that_fails_gives_the_run_back_to_the_queue_and_it_is_the_same(tmp_path: Path) -> None:
    name = recipe(tmp_path, 500)
    run = submitted(name, time="10m")
    at_step(run, 150)
    node = looked(run).host
    tool("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        until(lambda: looked(run).state == "queued", 90)
    finally:
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False)  # it may be back already
    with hurrying(job(run).id):
        assert ended(run).state == "finished"
    assert state_of(run).attempt == 2
    assert differences(run, Whole(start.start(name, ONE)).run) == []


def test_stop_kill_resume_wait_and_follow_from_the_login_node(tmp_path: Path) -> None:
    name = recipe(tmp_path, 600)
    tool("sbatch", "--exclusive", "--output=/dev/null", "--wrap=sleep 600")
    done = dlwb("submit", name, "--set", "compute.threads=1", "--set", "compute.device=cpu", "--time", "10m")
    assert done.returncode == 0, done.stderr
    run = list_runs()[0]
    assert done.stdout.strip() == run.id and f"Slurm job {job(run).id}" in done.stderr
    until(lambda: "waiting for free resources" in dlwb("runs").stdout, 60)
    refused = dlwb("pause", run.id)
    assert refused.returncode == 1 and f"{run.id} is waiting for free resources" in refused.stderr
    assert dlwb("resume", run.id).returncode == 1  # it is queued already
    assert "is queued" in dlwb("delete", run.id).stderr and run.path.exists()
    # A job that waits is cancelled at once.
    assert dlwb("stop", run.id).returncode == 0
    state = state_of(run)
    assert (state.state, state.cause, state.alive) == ("stopped", "cancelled", False)
    subprocess.run(["scancel", "--me"], check=True, timeout=60)
    first = job(run).id
    assert dlwb("resume", run.id).returncode == 0 and job(run).id != first
    at_step(run, 100)
    assert dlwb("stop", run.id).returncode == 0
    assert dlwb("wait", run.id).returncode == 3
    state = state_of(run)
    assert (state.state, state.cause) == ("stopped", "person") and job(run).seen.restarts == 0
    saved = folded(run).step
    assert dlwb("resume", run.id).returncode == 0
    at_step(run, saved + 60)
    assert dlwb("kill", run.id).returncode == 0
    assert dlwb("wait", run.id).returncode == 3
    assert state_of(run).cause == "killed"
    followed = dlwb("resume", run.id, "--follow")
    assert followed.returncode == 0 and "finished" in followed.stderr
    assert differences(run, Whole(start.start(name, ONE)).run) == []


def test_a_job_that_slurm_kills_at_once_has_a_named_end(tmp_path: Path) -> None:
    run = submitted(recipe(tmp_path, 2000), time="10m")
    at_step(run, 60)
    for which in ("parent", "worker"):
        send(run, which, signal.SIGKILL)
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "job") and "FAILED" in state.message
    assert start.launch(run) == ""
    at_step(run, 120)
    tool("scancel", job(run).id)  # by hand, not by dlwb
    state = ended(run)
    assert state.state == "stopped" and state.cause in ("cancelled", "sigterm"), state
    assert folded(run).step >= 120


@pytest.mark.parametrize("home", ["plain", "with space", "per%cent %j", "quote's $HOME", "#hash é"])
def test_homes_with_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("DLWB_HOME", str(tmp_path / home))
    run = submitted(recipe(tmp_path, 3, sleep=0), time="5m")
    assert ended(run).state == "finished", (run.path / "slurm.log").read_text()


REFUSALS = [
    (["--partition", "nope"], "nvalid partition"),
    (["--memory", "900G"], "emory"),
    (["--gpus", "1"], "trains on the CPU only"),
    (["--option", "gres=gpu:3"], "generic resource"),
]


@pytest.mark.parametrize(("words", "said"), REFUSALS)
def test_a_slurm_that_refuses(tmp_path: Path, words: list[str], said: str) -> None:
    done = dlwb("submit", recipe(tmp_path, 5), *words)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr  # a sentence, and what to do
    assert list_runs() == []


def test_a_controller_that_is_down(tmp_path: Path, slurm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = submitted(recipe(tmp_path, 2000), time="10m")
    at_step(run, 30)
    assert looked(run).state == "running"
    text = (slurm_folder / "slurm.conf").read_text()
    conf = slurm_folder / "down.conf"
    conf.write_text(
        "\n".join("SlurmctldPort=1" if line.startswith("SlurmctldPort") else line for line in text.splitlines()) + "\nMessageTimeout=2\n"
    )
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        patch.setattr(slurm, "SUBMIT_PATIENCE", 40.0)
        began = time.monotonic()
        done = dlwb("submit", str(tmp_path / "line.yaml"))
        assert done.returncode == 1 and "ontroller" in done.stderr and len(done.stderr.strip().splitlines()) == 2, done.stderr
        assert list_runs() == [run]
        listed = dlwb("runs")
        assert listed.returncode == 0 and "running on" in listed.stdout and "as it told them last" in listed.stderr
        assert time.monotonic() - began < 200
    assert dlwb("kill", run.id).returncode == 0
    assert ended(run).cause == "killed"
