"""A run of two processes is killed 20 times: each death is named within 10 s, and what was resumed each time is the run never killed.

Killed are the first process, the second one, and torchrun above them, at random moments, those before the first step included.
"""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from killing import bits, decode
from lines import comparable, folded, until

from workbench.launch import start
from workbench.runs import lock
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run
from workbench.runs.state import state_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")

KILLS = 20
SETTINGS = [
    "compute.processes=2",
    "compute.threads=1",
    "train.epochs=60",
    "train.evaluate_every=200",
    "train.log_every=20",
    "train.checkpoint_every=40",
]
NAMED = 10.0
"""Seconds."""


def victims(run: Run) -> dict[str, dict[str, int]]:
    """The processes of a run by what they are: pid and start."""
    holder = lock.content(run.lock)
    ranks = holder.get("ranks", [])
    leader = holder.get("worker", {})
    if not ranks:
        return {"torchrun or the first": leader} if leader else {}
    status = Path(f"/proc/{ranks[0]['pid']}/status").read_text()
    parent = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
    return {"first": ranks[0], "second": ranks[1], "torchrun": {"pid": parent, "ticks": lock.start_ticks(parent)}}


def test_twenty_kills(capsys: pytest.CaptureFixture[str]) -> None:
    whole = start.start("digits-mlp", SETTINGS)
    finished(whole)
    chance = random.Random(1)
    run = start.start("digits-mlp", SETTINGS)
    seconds: list[float] = []
    deaths: list[str] = []
    while len(seconds) < KILLS:
        attempt = state_of(run).attempt
        if chance.random() < 0.2:
            until(lambda: victims(run), 300)
            time.sleep(chance.uniform(0, 3))
        else:
            until(lambda: state_of(run).state == "running" or not state_of(run).alive, 300)
            aim = max(folded(run).step, 0) + chance.randrange(1, 120)
            until(lambda aim=aim: folded(run).step >= aim or not state_of(run).alive, 300)  # type: ignore[misc]
        assert state_of(run).alive, f"it ended by itself after {len(seconds)} kills: {state_of(run)}"
        name, process = chance.choice(list(victims(run).items()))
        began = time.monotonic()
        assert lock.send(process["pid"], process["ticks"], signal.SIGKILL)
        until(lambda: not state_of(run).alive, 60)
        seconds.append(time.monotonic() - began)
        state = state_of(run)
        # memory: the kernel ended another process of this machine at that time, which its count does not tell apart.
        assert state.cause in ("signal", "memory") and state.attempt == attempt, state
        deaths.append(f"{name}: {state.message}")
        start.launch(run)
    finished(run)
    with capsys.disabled():
        print(f"\n{len(seconds)} of {KILLS} named, in {sorted(seconds)[KILLS // 2]:.1f} s (median) and at most {max(seconds):.1f} s")
        print("\n".join(deaths))
    assert max(seconds) <= NAMED
    assert comparable(folded(run)) == comparable(folded(whole))
    assert last(run) == last(whole)


def finished(run: Run) -> None:
    """Wait for its end, however busy the machine is."""
    until(lambda: not state_of(run).alive, 1200)
    assert state_of(run).state == "finished", state_of(run)


def last(run: Run) -> Any:
    """The newest checkpoint, bit by bit."""
    newest = Checkpoints(run.path / "checkpoints").newest(decode)
    assert newest
    return bits(newest[1])
