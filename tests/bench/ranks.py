"""Two processes of one run against one process, each pinned to a core of its own.

    python tests/bench/ranks.py [TURNS]

*one* is Loop in one process on one core; *two* is Leader and Follower on two cores, with the same batches of 64 rows. *apart* is what
the machine could give at best: two processes that know nothing of each other, each on one of these cores with half of the rows. Where
that is not close to twice of *one*, the cores are not really two (two threads of one core, or a machine at work). All sides are timed in
turns, so that other work on the machine meets all of them, and ratios are made within a turn. The model is large for its number of
weights (65 million multiplications a row and 170,000 weights): what is sent is little beside what is computed. One thread each.

CPU time is that of the busiest process: where others use the machine, it says what the same steps would take alone.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch._dynamo
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog
from workbench.torchkit import InMemory, TorchProject
from workbench.training.loop import Loop
from workbench.training.ranks.follower import Follower
from workbench.training.ranks.group import Group
from workbench.training.ranks.leader import Leader

STEPS, WARM, ROWS = 16, 4, 64
GOAL = 1.7


class Pictures(TorchProject):
    """A small convolutional network on pictures that are noise."""

    def prepare(self) -> None:
        torch.set_num_threads(1)

    def build_data(self) -> None:
        self.pictures, self.labels = torch.randn(2 * ROWS, 1, 28, 28), torch.randint(10, (2 * ROWS,))

    def build_model(self) -> None:
        layers = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 96, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(96, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(1152, 10)]
        self.network = nn.Sequential(*layers)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01, fused=True)
        self.times: list[list[float]] = []

    def batches(self, epoch: int, rng: np.random.Generator) -> Any:
        return InMemory((self.pictures, self.labels), self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        pictures, labels = batch
        self.times.append([time.monotonic(), time.process_time()])
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.network(pictures), labels)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}


def train(place: int, count: int, core: int, rows: int, folder: Path) -> None:
    """One process; leaves the seconds and the CPU seconds of a step."""
    os.sched_setaffinity(0, {core})
    settings = Train(steps=STEPS, batch_size=rows, log_every=4, evaluate_every=STEPS)
    recipe = Recipe(title="bench", project="x", train=settings, compute=Compute(device="cpu", threads=1, processes=count))
    project = Pictures(Pictures.Config(), settings, recipe.compute, 1)
    project.build()
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.folder.mkdir(exist_ok=True)
    group = Group(dist.FileStore(str(folder / "store"), count), place, count) if count > 1 else None
    if group and place:
        Follower(group, project, recipe, checkpoints).fit()
    else:
        with contextlib.closing(EventLog(folder)) as log:
            (Leader(group, project, recipe, log, checkpoints) if group else Loop(project, recipe, log, checkpoints)).fit()
    first, last = project.times[WARM], project.times[-1]
    np.save(folder / f"times{place}.npy", [(end - begin) / (STEPS - 1 - WARM) for begin, end in zip(first, last, strict=True)])


def timed(side: str, cores: list[int]) -> tuple[float, float]:
    """Seconds, and CPU seconds of the busiest process, for `ROWS` rows."""
    with tempfile.TemporaryDirectory() as name:
        forks = []
        for place, core in enumerate(cores[: 1 if side == "one" else 2]):
            folder = Path(name) / (f"{place}" if side == "apart" else "run")
            folder.mkdir(exist_ok=True)
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    apart = side == "apart"
                    train(0 if apart else place, 2 if side == "two" else 1, core, ROWS // 2 if apart else ROWS, folder)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                os._exit(code)
            forks.append(pid)
        assert not any(os.waitpid(pid, 0)[1] for pid in forks)
        wall, cpu = zip(*(np.load(file) for file in Path(name).glob("*/times*.npy")), strict=True)
        return max(wall), max(cpu)


def main(turns: int = 3) -> int:
    """Print each side's times and the ratios; 0 where the goal is reached, or the cores are not two."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("It needs two cores.")
    sides: dict[str, list[tuple[float, float]]] = {"one": [], "apart": [], "two": []}
    print(f"load {os.getloadavg()[0]:.1f}, cores {cores}, torch {torch.__version__}")
    for turn in range(turns):
        for side in sorted(sides, key=lambda name: (len(name) + turn) % 3):
            sides[side].append(timed(side, cores))
    for side, times in sides.items():
        wall, cpu = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
        print(f"{side:6} {wall:7.0f} ms a step of {ROWS} rows, {cpu:6.0f} ms of CPU time in the busiest process")
    ratios = {
        (side, kind): statistics.median(one[kind] / other[kind] for one, other in zip(sides["one"], sides[side], strict=True))
        for side in ("apart", "two")
        for kind in (0, 1)
    }
    print(f"two processes: {ratios['two', 0]:.2f} times as fast as one, {ratios['two', 1]:.2f} by CPU time; goal {GOAL}")
    print(f"at best here:  {ratios['apart', 0]:.2f}, {ratios['apart', 1]:.2f} by CPU time")
    print(f"load {os.getloadavg()[0]:.1f}")
    return int(ratios["two", 0] < GOAL <= ratios["apart", 0])


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
