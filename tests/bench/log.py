"""What logging costs a training step of 5 ms that logs four scalars every step, and whether the step sees the disk's sync.

    python tests/bench/log.py [PAIRS [STEPS]]

Each measurement is a process of its own that runs the loop on a project whose step is a fixed amount of NumPy work, some 5 ms, with real
EventLog, Checkpoints, Inbox and Meters on the disk. *on* logs every step; *off* is the same loop with no line due before its end; *slow*
is *on* with every fsync of the process made 50 ms slower by a preloaded library (a second or so apart, so one step in 200 meets one, five
times as many as p99.9 leaves out); *waits* is the control: *slow*, with the sync moved into write(), which p99.9 must see. They take
turns. Extra time is what passes between two steps beyond the median of *off*'s. The step's own time, where the sync thread could disturb
it too, is in the ratio of the whole times on/off. One thread for BLAS.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

STEP = 0.005
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
int fsync(int file) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    usleep(50000);
    return real(file);
}
"""


def child(side: str, steps: int, repeats: int) -> None:
    """Train once and print, as JSON, the seconds between steps, those of the whole, and those of one fsync."""
    import numpy as np

    from workbench.events import Event
    from workbench.recipes.recipe import Compute, Recipe, Train
    from workbench.runs.checkpoint import Checkpoints
    from workbench.runs.commands import Inbox
    from workbench.runs.log import EventLog
    from workbench.training.loop import Loop
    from workbench.training.meters import Meters
    from workbench.training.project import Project

    class Busy(Project):
        """A step of fixed work that returns four numbers, and notes how long it waited for its turn."""

        def build_model(self) -> None:
            self.matrix = np.random.default_rng(0).normal(size=(64, 64))
            self.left = 0.0

        def batches(self, epoch: int, rng: Any) -> Iterable[int]:
            return range(steps)

        def train_step(self, batch: int) -> dict[str, float]:
            gaps.append(time.perf_counter() - self.left)
            for _ in range(repeats):
                self.matrix @ self.matrix
            values = {"loss": 1 / (batch + 1), "loss/aside": 2.5, "accuracy": batch / steps, "rate": 0.01}
            self.left = time.perf_counter()
            return values

    class Waiting(EventLog):
        """A log that syncs once a second too, but in the step."""

        synced = 0.0

        def write(self, event: Event) -> None:
            super().write(event)
            if time.monotonic() > self.synced + 1:
                os.fsync(self._file)
                self.synced = time.monotonic()

    gaps: list[float] = []
    folder = Path(tempfile.mkdtemp())
    (folder / "checkpoints").mkdir()
    train = Train(epochs=1, log_every=steps + 1 if side == "off" else 1, checkpoint_every=10 * steps)
    project = Busy(Busy.Config(), train, Compute(), 1)
    project.build()
    log = (Waiting if side == "waits" else EventLog)(folder)
    began = time.perf_counter()
    inbox = Inbox(folder / "control.jsonl")
    Loop(
        project, Recipe(title="x", project="x", train=train), log, Checkpoints(folder / "checkpoints"), inbox=inbox, meters=Meters("cpu")
    ).fit()
    whole = project.left - began
    log.close()
    began = time.perf_counter()
    with (folder / "events.jsonl").open("rb+") as file:
        lines = file.read().count(b'"train/loss"')
        os.fsync(file.fileno())
    synced = time.perf_counter() - began
    shutil.rmtree(folder)
    print(json.dumps({"gaps": gaps[1:], "whole": whole / steps, "sync": synced, "lines": lines}))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def calibrated() -> int:
    """How many products of two 64 x 64 matrices take the step's time here, at best."""
    import numpy as np

    matrix = np.random.default_rng(0).normal(size=(64, 64))
    best = 1.0
    for _ in range(50):
        began = time.perf_counter()
        for _ in range(20):
            matrix @ matrix
        best = min(best, (time.perf_counter() - began) / 20)
    return round(STEP / best)


def main() -> None:
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    pairs, steps = (int(word) for word in [*sys.argv[1:3], "10", "1000"][:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 1000)
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in ("off", "on", "slow", "waits")}
    with tempfile.TemporaryDirectory() as folder:
        source, shim = Path(folder, "slow.c"), Path(folder, "slow.so")
        source.write_text(SHIM)
        compiler = shutil.which("cc") or sys.exit("Needs a C compiler, for the slow sync.")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], check=True)
        repeats = calibrated()
        print(f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {pairs} turns of {steps} steps", flush=True)
        for turn in range(pairs):
            for side in sorted(found, reverse=bool(turn % 2)):
                environment = {**os.environ, **({"LD_PRELOAD": str(shim)} if side in ("slow", "waits") else {})}
                command = [sys.executable, __file__, "--child", side, str(steps), str(repeats)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found[side].append(json.loads(done.stdout))
    gaps = {side: [gap for each in runs for gap in each["gaps"]] for side, runs in found.items()}
    base = statistics.median(gaps["off"])
    print(f"{'':<7}{'lines':>7}{'step':>9}{'one fsync':>11}   extra time between two steps, in µs: median, mean, p99, p99.9, most")
    extra = {side: [gap - base for gap in values] for side, values in gaps.items()}
    for side, runs in found.items():
        values = extra[side]
        said = [statistics.median(values), statistics.mean(values), *(percentile(values, share) for share in (0.99, 0.999)), max(values)]
        step, sync = (statistics.median(each[key] for each in runs) * 1000 for key in ("whole", "sync"))
        numbers = "".join(f"{value * 1e6:>9.0f}" for value in said)
        print(f"{side:<7}{sum(each['lines'] for each in runs):>7}{step:>6.2f} ms{sync:>8.1f} ms{numbers}")
    cost = (statistics.mean(extra["on"]) - statistics.mean(extra["off"])) / STEP
    by_pair = [
        (statistics.mean(on["gaps"]) - statistics.mean(off["gaps"])) / STEP for on, off in zip(found["on"], found["off"], strict=True)
    ]
    ratios = [on["whole"] / off["whole"] - 1 for on, off in zip(found["on"], found["off"], strict=True)]
    verdict = "met" if statistics.median(by_pair) < 0.01 else "MISSED"
    print(f"cost of logging per 5 ms step: {cost:.2%} in the mean, by pair {min(by_pair):.2%} to {max(by_pair):.2%}, ", end="")
    print(f"median {statistics.median(by_pair):.2%}; goal under 1%: {verdict}")
    print(f"whole time on / off - 1, by pair: median {statistics.median(ratios):+.1%}, {min(ratios):+.1%} to {max(ratios):+.1%}")
    seen = {side: percentile(extra[side], 0.999) for side in extra}
    hidden = seen["slow"] < 0.025 < seen["waits"]
    print(f"p99.9 with a sync of 50 ms: {seen['slow'] * 1e3:.2f} ms (control, which waits for it: {seen['waits'] * 1e3:.1f} ms): ", end="")
    print("it does not see the sync" if hidden else "IT SEES THE SYNC, or the control does not")


if __name__ == "__main__":
    main()
