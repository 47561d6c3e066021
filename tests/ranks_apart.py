"""Trains small projects in one process and in two, each in forks of this one interpreter: `python ranks_apart.py FOLDER`.

Leaves a file of weights and logged numbers for each case and number of processes. The projects draw nothing at random, so that both
numbers of processes have to come to the same weights.
"""

import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from workbench.events import Scalars
from workbench.problems import Problem
from workbench.projects.gans.mnist_gan import MnistGan
from workbench.recipes.recipe import Compute, Recipe, Train
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.log import EventLog, read_all
from workbench.torchkit import InMemory, TorchProject
from workbench.training.loop import Loop
from workbench.training.project import Settings
from workbench.training.ranks.follower import Follower
from workbench.training.ranks.group import Group, rank, size
from workbench.training.ranks.leader import Leader

STEPS = 24


class Points(TorchProject):
    """A network that clips, accumulates over two passes, unfreezes a layer on its way, and has a layer that few rows reach."""

    class Config(Settings):
        norm: bool = False
        """Batch norm."""
        dropout: float = 0.0
        """Dropout probability, from each process's own random numbers."""
        rows: int = 50
        """Rows of the data."""
        fault: str = ""
        """What it does wrong."""

    def prepare(self) -> None:
        """One thread, and no look at what is deterministic, for which torch imports for seconds."""

    def build_data(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(self.config.rows, 5, generator=random)
        self.targets = self.inputs.sin().sum(1, keepdim=True)

    def build_model(self) -> None:
        norm = [nn.BatchNorm1d(16)] if self.config.norm else []
        # Before batch norm a bias has no gradient, and Adam would enlarge what rounding leaves of it.
        dropout = [nn.Dropout(self.config.dropout)] if self.config.dropout else []
        self.network = nn.Sequential(nn.Linear(5, 16, bias=not norm), *norm, nn.Tanh(), *dropout, nn.Linear(16, 1))
        self.rare = nn.Linear(5, 1)
        self.late = nn.Linear(5, 1).requires_grad_(False)
        self.slope = torch.ones(1, requires_grad=True)
        self.pool = torch.zeros(1)
        """What this process has seen, as a GAN's pool of pictures."""
        parts = (self.network, self.rare, self.late)
        weights = [weight for part in parts for weight in part.parameters()]
        self.optimizer, self.other = torch.optim.Adam(weights, lr=0.02), torch.optim.SGD([self.slope], lr=0.1)

    def batches(self, epoch: int, rng: np.random.Generator) -> Any:
        if self.config.fault == "batches":
            rng = np.random.default_rng([epoch, rank()])
        return InMemory((self.inputs, self.targets), self.train.batch_size, rng)

    def train_step(self, batch: Any) -> dict[str, Any]:
        inputs, targets = batch
        self.late.requires_grad_(self.progress > 0.4)
        output = self.network(inputs) * self.slope + self.late(inputs)
        few = inputs[:, 0] > 1.5
        if self.config.dropout:
            self.pool = self.pool.lerp(inputs.mean(), 0.1)
            output = output + self.pool
        loss = F.mse_loss(output, targets)
        # A penalty on the gradient of the inputs: torch.autograd.grad is no backward pass of the training.
        leaf = inputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.network(leaf).sum(), leaf, create_graph=True)
        self.optimizer.zero_grad()
        self.other.zero_grad()
        loss.backward(retain_graph=True)
        second = 0.1 * output.abs().mean() + (0.0 if self.config.norm else 0.1 * slope.square().mean())
        if few.any():
            second = second + self.rare(inputs[few]).square().sum() / len(inputs)
        second.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
        self.optimizer.step()
        self.other.step()
        if self.config.fault == "weights" and self.progress > 0.5:
            with torch.no_grad():
                self.slope.add_(inputs.mean())
        return {"loss": loss, "norm": norm, "few": inputs[few].mean() if few.any() else None}


class SameNoise(MnistGan):
    """The lesson's GAN on digits made up, with the same noise for the same row whatever the number of processes."""

    drawn = number = 0
    prepare = Points.prepare

    def build_data(self) -> None:
        self.digits = torch.rand(50, 784, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def build_model(self) -> None:
        super().build_model()
        self.number = self.drawn = 0

    def noise(self, count: int) -> torch.Tensor:
        self.drawn += 1
        seed = torch.Generator().manual_seed(1000 * self.number + self.drawn)
        rows = torch.rand(BATCH, self.config.noise_size, generator=seed) * 2 - 1
        return rows[rank() :: size()][:count]

    def train_step(self, batch: Any) -> dict[str, Any]:
        self.number, self.drawn = self.number + 1, 0
        return super().train_step(batch)

    evaluate = TorchProject.evaluate
    sample = TorchProject.sample


BATCH = 16
CASES: dict[str, tuple[type[TorchProject], dict[str, Any]]] = {
    # The last batch of each epoch has two rows, or a single one: fewer than processes.
    "clipping": (Points, {}),
    "one-row": (Points, {"rows": 49}),
    "batch-norm": (Points, {"norm": True, "rows": 51}),
    "gan": (SameNoise, {"dropout": 0.0, "generator": [16], "discriminator": [16]}),
}
RESUMED: dict[str, tuple[type[TorchProject], dict[str, Any]]] = {"resumed": (Points, {"dropout": 0.5, "rows": 51})}
FAULTS = {"weights": (Points, {"fault": "weights"}), "batches": (Points, {"fault": "batches"})}


def train(case: str, place: int, processes: int, folder: Path, attempt: int = 1) -> None:
    """One process of a case; its second attempt goes on from step 12."""
    os.environ |= {"RANK": str(place), "WORLD_SIZE": str(processes)}
    kind, config = (CASES | FAULTS | RESUMED)[case]
    settings = Train(steps=STEPS, batch_size=BATCH, log_every=6, evaluate_every=8, checkpoint_every=12)
    recipe = Recipe(title=case, project="x", train=settings, compute=Compute(device="cpu", threads=1, processes=processes))
    project = kind(kind.Config.model_validate(config), settings, recipe.compute, 1)
    project.build()
    checkpoints = Checkpoints(folder / "checkpoints")
    ends: dict[str, Any] = {}
    if processes == 1:
        with contextlib.closing(EventLog(folder)) as log:
            Loop(project, recipe, log, checkpoints).fit()
    else:
        group = Group(dist.FileStore(str(folder / f"store{attempt}"), processes), place, processes)
        if place:
            Follower(group, project, recipe, checkpoints).fit()
        else:
            with contextlib.closing(EventLog(folder)) as log:
                try:
                    Leader(group, project, recipe, log, checkpoints, attempt=attempt).fit()
                except Problem as problem:
                    if case in CASES:
                        raise
                    ends = {"message": problem.message, "cause": problem.cause}
        if not ends:
            group.leave()
    state = {name: value.detach() for name, value in project.network.state_dict().items()} if kind is Points else {}
    weights = {**{name: value.detach() for name, value in project.trained_arrays().items()}, **state}
    events = read_all(folder / "events.jsonl")[0] if not place else []
    numbers = [(event.step, event.values) for event in events if isinstance(event, Scalars)]
    torch.save({"weights": weights, "numbers": numbers, "pool": getattr(project, "pool", 0), **ends}, folder / f"rank{place}-{attempt}.pt")


def apart(cases: list[str], processes: int, folder: Path, attempt: int = 1) -> list[int]:
    """All processes of these cases, each a fork, which makes one case after the other; returns how each ended."""
    forks = []
    for case in cases:
        (folder / f"{case}-{processes}" / "checkpoints").mkdir(parents=True, exist_ok=True)
    for place in range(processes):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                for case in cases:
                    train(case, place, processes, folder / f"{case}-{processes}", attempt)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        forks.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in forks]


if __name__ == "__main__":
    torch.set_num_threads(1)
    whole = {1: list(CASES), 2: [*CASES, *RESUMED], 3: ["one-row"]}
    for processes, cases in whole.items():
        codes = apart(cases, processes, Path(sys.argv[1]))
        assert not any(codes), f"{processes} processes ended with {codes}"
    for file in Path(sys.argv[1]).glob("resumed-2/checkpoints/step-*24.*"):
        file.unlink()
    assert apart(list(RESUMED), 2, Path(sys.argv[1]), 2) == [0, 0]
    for case in FAULTS:
        apart([case], 2, Path(sys.argv[1]))
