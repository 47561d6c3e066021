"""What one call of `run.log` with two numbers costs a script, beside wandb offline and TensorBoard's writer, where they are installed.

    python tests/bench/own_log.py [TURNS [CALLS]]

Each measurement is a process of its own that calls CALLS times, a millisecond apart as a quick training step would, and once more as
fast as it can. They take turns. The goal: a median of 5 µs for the caller. Start: processor time of the import and of the run's making.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOAL = 5.0
"""Microseconds."""


def dlwb() -> tuple[Callable[[int], Any], Callable[[], Any]]:
    from workbench import Run

    run = Run("bench", {"learning_rate": 0.1})
    return lambda step: run.log({"train/loss": 1 / (step + 1), "train/accuracy": 0.5}, step), run.finish


def wandb() -> tuple[Callable[[int], Any], Callable[[], Any]]:
    import wandb

    run = wandb.init(mode="offline", dir=os.environ["BENCH"], project="bench", settings=wandb.Settings(silent=True))
    return lambda step: run.log({"train/loss": 1 / (step + 1), "train/accuracy": 0.5}, step=step), run.finish


def tensorboard() -> tuple[Callable[[int], Any], Callable[[], Any]]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(os.environ["BENCH"])

    def log(step: int) -> None:
        writer.add_scalar("train/loss", 1 / (step + 1), step)
        writer.add_scalar("train/accuracy", 0.5, step)

    return log, writer.close


def nothing() -> tuple[Callable[[int], Any], Callable[[], Any]]:
    def empty(values: dict[str, float], step: int) -> None:
        pass

    return lambda step: empty({"train/loss": 1 / (step + 1), "train/accuracy": 0.5}, step), lambda: None


SIDES = {"nothing": nothing, "dlwb": dlwb, "wandb": wandb, "tensorboard": tensorboard}


def child(side: str, calls: int) -> None:
    """Call and measure; prints JSON."""
    began = time.process_time()
    log, close = SIDES[side]()
    start = time.process_time() - began
    took = []
    for step in range(calls):
        began = time.perf_counter()
        log(step)
        took.append(time.perf_counter() - began)
        time.sleep(0.001)
    began = time.perf_counter()
    for step in range(calls, 6 * calls):
        log(step)
    fast = (time.perf_counter() - began) / (5 * calls)
    close()
    took.sort()
    print(json.dumps({"median": took[calls // 2] * 1e6, "p99": took[calls * 99 // 100] * 1e6, "fast": fast * 1e6, "start": start * 1e3}))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2], int(sys.argv[3]))
    turns, calls = (int(word) for word in [*sys.argv[1:3], "5", "2000"][:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 2000)
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {turns} turns of {calls} calls", flush=True)
    for _ in range(turns):
        for side in SIDES:
            with tempfile.TemporaryDirectory() as folder:
                environment = {**os.environ, "BENCH": folder, "DLWB_HOME": str(Path(folder) / "home")}
                done = subprocess.run(
                    [sys.executable, __file__, "--child", side, str(calls)], capture_output=True, text=True, env=environment, check=False
                )
            if done.returncode == 0:
                measured[side].append(json.loads(done.stdout.splitlines()[-1]))
            elif "ModuleNotFoundError" not in done.stderr:
                sys.exit(done.stderr)
    print(f"{'µs a call':<14}{'median':>9}{'p99':>9}{'in a row':>10}{'start, ms':>11}")
    for side, runs in measured.items():
        if runs:
            middle = {name: statistics.median(each[name] for each in runs) for name in runs[0]}
            print(f"{side:<14}{middle['median']:>9.1f}{middle['p99']:>9.1f}{middle['fast']:>10.1f}{middle['start']:>11.0f}")
    cost, floor = (statistics.median(each["median"] for each in measured[side]) for side in ("dlwb", "nothing"))
    best = cost - floor
    print(f"{best:.1f} µs beyond nothing; goal: {GOAL:.0f} µs: {'met' if best <= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
