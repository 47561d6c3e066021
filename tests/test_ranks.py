"""Several processes train one run as one does: the same weights, numbers and resume; what they cannot share is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.problems import Problem
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


def left(folder: Path, case: str, processes: int, rank: int = 0) -> dict[str, Any]:
    """What a process left."""
    tree: dict[str, Any] = torch.load(folder / f"{case}-{processes}" / f"rank{rank}.pt", weights_only=True)
    return tree


@pytest.mark.parametrize(
    ("case", "processes"), [("clipping", 2), ("one-row", 2), ("one-row", 3), ("batch-norm", 2), ("gan", 2)]
)
def test_several_processes_come_to_the_weights_and_numbers_of_one(apart: Path, case: str, processes: int) -> None:
    alone, ranks = left(apart, case, 1), [left(apart, case, processes, rank) for rank in range(processes)]
    assert len(alone["numbers"]) == 8
    for name, weight in alone["weights"].items():
        assert (weight - ranks[0]["weights"][name]).abs().max() < CLOSE, name
        assert all(torch.equal(rank["weights"][name], ranks[0]["weights"][name]) for rank in ranks), name
    for (step, values), (other_step, others) in zip(alone["numbers"], ranks[0]["numbers"], strict=True):
        assert (step, list(values)) == (other_step, list(others))
        assert all(abs(values[tag] - others[tag]) < CLOSE for tag in values), (step, values, others)


@pytest.mark.parametrize(("case", "step", "what"), [("weights", 30, "has other weights"), ("batches", 1, "got other batches")])
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
