"""Two nodes of a job played on one machine: both start the job's process, the first leads, and it is the run of one process."""

import os
import subprocess
import sys
import time

import pytest
from lines import folded, until
from slurm_cluster import free_port

from workbench.launch import start
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.runs import scheduled
from workbench.runs.run import Run
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def on_two_nodes(run: Run) -> "list[subprocess.Popen[bytes]]":
    places = {"SLURM_JOB_ID": "5", "DLWB_NODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-P", "-m", "workbench.launch.slurm_job", str(run.path)]
    environment = {**os.environ, **places, "GLOO_SOCKET_IFNAME": "lo"}
    return [subprocess.Popen(command, env={**environment, "SLURM_PROCID": str(number)}) for number in (0, 1)]


def test_two_nodes_train_what_one_process_trains() -> None:
    settings = [
        "compute.threads=1",
        "compute.device=cpu",
        "config.dropout=0",
        "train.epochs=2",
        "train.log_every=5",
        "train.checkpoint_every=20",
    ]
    whole = start.start("digits-mlp", settings)
    run = start.create(load_recipe(find_recipe("digits-mlp"), [*settings, "compute.nodes=2"]), "cpu")
    scheduled.write(run.path, scheduled.Job(id="5", seen=scheduled.Seen(state="RUNNING", time=time.time())))
    assert [process.wait(300) for process in on_two_nodes(run)] == [0, 0]
    assert state_of(run).state == "finished", state_of(run)
    until(lambda: not state_of(whole).alive, 120)
    for tag, wanted in folded(whole).series.items():
        if not tag.startswith("system/"):
            assert folded(run).last(tag) == pytest.approx(folded(whole).last(tag), abs=1e-5), (tag, wanted)
