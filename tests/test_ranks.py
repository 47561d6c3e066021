"""Several processes train one run as one does: the same weights, numbers and resume; what they cannot share is refused."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from lines import at_step, ended, folded, until

from workbench.launch import choose_device, start
from workbench.launch.devices import Device
from workbench.problems import Problem
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Compute
from workbench.runs import lock
from workbench.runs.run import Run
from workbench.runs.state import state_of
from workbench.training.ranks.group import Group
from workbench.training.ranks.rows import share

CLOSE = 1e-5


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The projects of ranks_apart.py, trained by one, two and three processes."""
    folder = tmp_path_factory.mktemp("apart")
    script = Path(__file__).with_name("ranks_apart.py")
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def left(folder: Path, case: str, processes: int, rank: int = 0, attempt: int = 1) -> dict[str, Any]:
    """What a process left."""
    tree: dict[str, Any] = torch.load(folder / f"{case}-{processes}" / f"rank{rank}-{attempt}.pt", weights_only=True)
    return tree


@pytest.mark.parametrize(("case", "processes"), [("clipping", 2), ("one-row", 2), ("one-row", 3), ("batch-norm", 2), ("gan", 2)])
def test_several_processes_come_to_the_weights_and_numbers_of_one(apart: Path, case: str, processes: int) -> None:
    alone, ranks = left(apart, case, 1), [left(apart, case, processes, rank) for rank in range(processes)]
    assert len(alone["numbers"]) == 4
    for name, weight in alone["weights"].items():
        assert (weight - ranks[0]["weights"][name]).abs().max() < CLOSE, name
        assert all(torch.equal(rank["weights"][name], ranks[0]["weights"][name]) for rank in ranks), name
    for (step, values), (other_step, others) in zip(alone["numbers"], ranks[0]["numbers"], strict=True):
        assert (step, list(values)) == (other_step, list(others))
        assert all(abs(values[tag] - others[tag]) < CLOSE for tag in values), (step, values, others)


def test_a_resumed_run_is_the_same_to_the_last_bit(apart: Path) -> None:
    """Each process has its own dropout, and what it has seen of its rows alone: both are in the checkpoint."""
    whole, again = ([left(apart, "resumed", 2, rank, attempt) for rank in (0, 1)] for attempt in (1, 2))
    assert not torch.equal(whole[0]["pool"], whole[1]["pool"])
    for one, other in zip(whole, again, strict=True):
        assert torch.equal(one["pool"], other["pool"])
        assert all(torch.equal(weight, other["weights"][name]) for name, weight in one["weights"].items())
    # The second attempt's lines follow those of the first one in the log.
    assert again[0]["numbers"][4:] == whole[0]["numbers"][2:]


@pytest.mark.parametrize(("case", "step", "what"), [("weights", 16, "has other weights"), ("batches", 1, "got other batches")])
def test_processes_that_differ_end_the_run(apart: Path, case: str, step: int, what: str) -> None:
    end = left(apart, case, 2)
    assert end["message"] == f"The processes differ: after step {step} process 2 of 2 {what} than the first."
    assert end["cause"] == "ranks-differ"


def test_a_batch_is_shared_by_rows() -> None:
    batch = (torch.arange(7), np.arange(14).reshape(7, 2))
    shares = [share(batch, rank, 3, "X") for rank in range(3)]
    assert [one.batch[0].tolist() for one in shares] == [[0, 3, 6], [1, 4], [2, 5]]
    assert [one.batch[1][:, 0].tolist() for one in shares] == [[0, 6, 12], [2, 8], [4, 10]]
    assert [one.weight for one in shares] == [3 / 7, 2 / 7, 2 / 7]
    # Fewer rows than processes: each trains on one, and each row counts once.
    few = [share({"x": torch.arange(2)}, rank, 3, "X") for rank in range(3)]
    assert [(one.batch["x"].tolist(), one.weight) for one in few] == [([0], 0.5), ([1], 0.5), ([0], 0.0)]
    assert share(torch.arange(4), 1, 2, "X").batch.tolist() == [1, 3]


@pytest.mark.parametrize("batch", [3, (torch.zeros(4, 2), True), (torch.zeros(4), torch.zeros(5)), [], None, torch.zeros(())])
def test_what_is_not_rows_is_refused(batch: Any) -> None:
    with pytest.raises(Problem, match=r"^Letters cannot be trained by several processes: its batches are more than rows"):
        share(batch, 0, 2, "Letters")


# -- real runs --------------------------------------------------------------------------------------------------------------------------


def ask(run: Run, verb: str, request: dict[str, Any] | None = None) -> str:
    """Send a command and return the answer of the run, which has to be yes."""
    ok, message = start.answer(run, start.command(run, verb, request), steps=True)
    assert ok, message
    return message


@pytest.mark.usefixtures("nothing_is_left")
def test_a_run_of_two_processes_is_steered_killed_named_and_resumed() -> None:
    settings = ["compute.processes=2", "train.epochs=600", "train.checkpoint_every=100", "train.evaluate_every=100", "train.log_every=10"]
    run = start.start("digits-mlp", settings)
    # Before its first step: so it waits after it, and every run that is asked this makes the same steps.
    start.command(run, "pause")
    assert "step 60" in ask(run, "step", {"steps": 59})
    ask(run, "set", {"config.learning_rate": 0.05})
    ask(run, "sample")
    assert "kept: step 60" in ask(run, "checkpoint")
    ask(run, "resume")
    ranks = lock.content(run.lock)["ranks"]
    assert len({process["pid"] for process in ranks}) == 2
    at_step(run, 150)
    began = time.monotonic()
    assert lock.send(ranks[1]["pid"], ranks[1]["ticks"], signal.SIGKILL)
    state = ended(run)
    assert time.monotonic() - began < 10
    assert (state.state, state.cause) == ("failed", "signal")
    assert state.message == "Process 2 of 2 was killed from outside: SIGKILL."
    until(lambda: not any(lock.start_ticks(process["pid"]) == process["ticks"] for process in ranks), 5)

    start.launch(run)
    until(lambda: state_of(run).state == "running")
    at_step(run, folded(run).step + 20)
    history = folded(run)
    assert history.statuses[-1].from_step >= 100
    # SIGTERM reaches torchrun; the leader ends between two steps, and the other process with it.
    holder = lock.content(run.lock)
    assert lock.send(holder["parent"]["pid"], holder["parent"]["ticks"], signal.SIGTERM)
    state = ended(run)
    assert (state.state, state.cause) == ("stopped", "sigterm")
    history = folded(run)
    assert history.settings()["config.learning_rate"] == 0.05
    # The processes were compared after the first step of each attempt and at each evaluation, or it would have ended otherwise.
    losses = history.series["valid/loss"].values
    assert len(losses) > 1 and losses[-1] < losses[0]


def test_a_process_that_never_comes_is_named(tmp_path: Path) -> None:
    """`torchrun` without its second process: the first one waits, and then says which one is missing."""
    store = dist.FileStore(str(tmp_path / "store"), 2)
    with pytest.raises(Problem, match=r"^Process 2 of 2 did not come: the run waited for it, and has trained nothing\.") as caught:
        Group(store, 0, 2, patience=0.2)
    assert caught.value.cause == "ranks"


def test_as_many_processes_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(Problem, match="This run is trained by 2 processes, and 1 was started"):
        Group.join(2)


# -- what is refused --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "settings", "words"),
    [
        ("bike-sharing", ["compute.processes=2"], "bike_sharing does not compute with PyTorch, so it has one process"),
        ("boston-xgboost", ["compute.processes=2"], "boosting does not compute with PyTorch"),
        ("keras-mnist-mlp", ["compute.processes=2"], "keras_classifier does not compute with PyTorch"),
        ("style-transfer", ["compute.processes=2"], "style_transfer cannot be trained by several processes: it has one picture"),
        ("digits-mlp", ["compute.processes=2", "train.batch_size=1"], "a batch of 1 rows is too small for 2 processes"),
        ("digits-mlp", ["compute.processes=65"], "must be at most 64, not 65"),
        ("digits-mlp", ["compute.processes=2", "compute.device=cuda:0"], "cuda:0 is one GPU, and each process needs one of its own"),
    ],
)
def test_what_several_processes_cannot_train_is_refused_before_the_start(stem: str, settings: list[str], words: str) -> None:
    with pytest.raises(Problem, match=re.escape(words)):
        load_recipe(find_recipe(stem), settings)


def test_nodes_are_a_matter_of_a_cluster() -> None:
    with pytest.raises(Problem, match=r"compute\.nodes is 2, and a run that is started here has this machine alone"):
        start.choose(load_recipe(find_recipe("digits-mlp"), ["compute.nodes=2"]))


def test_each_process_needs_a_gpu_of_its_own() -> None:
    one = [Device("cuda:0", "A"), Device("cuda:1", "A")]
    assert choose_device.crowd(Compute(processes=2), "cuda:0", "auto", one) == ""
    with pytest.raises(Problem, match=r"compute\.processes is 3, each on a GPU of its own, and this machine has 2"):
        choose_device.crowd(Compute(processes=3), "cuda:0", "auto", one)
    with pytest.raises(Problem, match="cuda:1 is one GPU"):
        choose_device.crowd(Compute(processes=2), "cuda:1", "cuda:1", one)
    assert "60 processes share" in choose_device.crowd(Compute(processes=60), "cpu", "auto", [])
