"""What the real wandb writes offline is read as it grows, to its end."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from test_open import dlwb, losses, stopped, until

from workbench.runs.run import list_runs
from workbench.runs.state import state_of

__all__ = ["stopped"]

SCRIPT = """
import sys
import time
import numpy as np
import wandb
run = wandb.init(project="p", name="real", config={"lr": 0.1, "net": {"layers": 2}}, settings=wandb.Settings(silent=True))
for step in range(300):
    run.log({"loss": 1 / (step + 1), "nested": {"a": step}})
    time.sleep(0.01)
run.log({"picture": wandb.Image(np.zeros((8, 8, 3), np.uint8)), "table": wandb.Table(columns=["a"], data=[[1]])})
print("printed")
sys.exit(3)  # wandb sees the code of this way to end
"""


def test_a_run_of_the_real_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as script:
        until(lambda: bool(list((tmp_path / "wandb").rglob("*.wandb"))), 60)
        assert dlwb("open", str(tmp_path / "wandb")).returncode == 0
        (run,) = list_runs()
        script.wait(120)
    until(lambda: not state_of(run).alive, 60)
    assert losses(run) == [1 / (step + 1) for step in range(300)]
    assert run.recipe().title == "real" and run.recipe().config["net.layers"] == 2
    assert state_of(run).state == "failed" and "exit code 3" in state_of(run).message
    log = run.events.read_text()
    assert '"type":"images","tag":"picture"' in log and '"type":"table","tag":"table"' in log and '"nested.a":299' in log
    assert "printed" in run.output.read_text()
