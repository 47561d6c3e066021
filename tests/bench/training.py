"""Speed of the workbench's loop against a bare PyTorch loop over the same batches in memory, and against the course's way.

    DLWB_MIRROR=<folder with the real data sets> python tests/bench/training.py [PAIRS [RECIPE …]]

*workbench* is fit() as a worker calls it: EventLog, Checkpoints, Inbox and Meters are real ones on the disk, and saving, the last
checkpoint included, is in its time. *bare* is a loop written out: the same permutation, index_select, fused optimizer and batches, no
`.item()`, nothing logged. *course* is the notebooks' loop: torchvision's MNIST, ToTensor, a DataLoader, `loss.item()` each step.
What a project measures and shows is left out on all sides: evaluate and sample yield nothing here, though fit() still calls them on
their cadence. One thread for torch and OpenMP. The sides are timed in turns, in a new order each time; ratios are made within a turn.
Both loops must reach the very same weights, bit by bit, or the script ends with an error: they did the same work.
"""

import gzip
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.nn.functional as F

from workbench.datasets.store.fetch import fetch
from workbench.events import Event
from workbench.projects.convolutional_networks.image_classifier import ImageClassifier
from workbench.recipes.find import find_recipe
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Recipe
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.commands import Inbox
from workbench.runs.log import EventLog, read_all
from workbench.training.loop import Loop
from workbench.training.meters import Meters

GOAL = 0.95
CASES: dict[str, tuple[str, list[str], bool]] = {
    "digits-mlp": ("digits-mlp", ["train.epochs=250"], False),
    "digits-mlp, log_every chosen by itself": ("digits-mlp", ["train.epochs=250", "train.log_every=0"], False),
    "mnist-mlp, batches of 20": ("mnist-mlp", ["train.epochs=1"], True),
    "mnist-mlp, batches of 128": ("mnist-mlp", ["train.epochs=4", "train.batch_size=128"], True),
}
"""Recipe, settings, and whether the course has a loop for it."""


class Silent(ImageClassifier):
    """The project without what it measures and shows."""

    def evaluate(self, split: str) -> Iterator[Event]:
        return iter(())

    def sample(self, request: Any) -> Iterator[Event]:
        return iter(())


def made(name: str, settings: list[str]) -> tuple[Silent, Recipe]:
    """A recipe's project, built, and its recipe; keep_best needs what is not measured here."""
    loaded = load_recipe(find_recipe(name), [*settings, 'train.keep_best=""', "compute.threads=1", "compute.device=cpu"])
    recipe = loaded.recipe
    project = Silent(Silent.Config.model_validate(recipe.config), recipe.train, recipe.compute, recipe.seed)
    project.build()
    return project, recipe


def workbench_loop(project: Silent, recipe: Recipe, folder: Path) -> None:
    """One attempt, as workbench.training.worker begins and ends it."""
    log = EventLog(folder)
    Loop(project, recipe, log, Checkpoints(folder / "checkpoints"), inbox=Inbox(folder / "control.jsonl"), meters=Meters("cpu")).fit()
    log.close()


def bare_loop(project: Silent) -> None:
    """The least that PyTorch needs for the same training."""
    network, optimizer, size = project.network, project.optimizer, project.train.batch_size
    pixels, labels = project.splits["train"]
    for epoch in range(project.train.epochs):
        order = torch.from_numpy(np.random.default_rng([project.seed, epoch]).permutation(len(labels)))
        for chosen in order.split(size):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(pixels.index_select(0, chosen)), labels.index_select(0, chosen))
            loss.backward()
            optimizer.step()


def course_loader(batch_size: int, folder: Path) -> Any:
    """The course's loader: 48,000 of MNIST's pictures through a SubsetRandomSampler, no workers."""
    from torch.utils.data import DataLoader, SubsetRandomSampler
    from torchvision import datasets, transforms

    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in fetch("mnist").values():
        (raw / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    pictures = datasets.MNIST(folder, train=True, transform=transforms.ToTensor())
    return DataLoader(pictures, batch_size=batch_size, sampler=SubsetRandomSampler(range(48_000)), num_workers=0)


def course_loop(project: Silent, loader: Any) -> None:
    """The training part of the course's notebook."""
    network = project.network
    optimizer = torch.optim.SGD(network.parameters(), lr=project.config.learning_rate)
    for _ in range(project.train.epochs):
        train_loss = 0.0
        for data, target in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(data), target)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * data.size(0)


def timed(project: Silent, loop: Callable[[], None]) -> tuple[float, float, list[torch.Tensor]]:
    """Wall and processor seconds of a loop that begins from the recipe's seed, and the weights it reached."""
    project.seed_all(project.seed)
    project.build_model()
    began, worked = time.perf_counter(), time.process_time()
    loop()
    taken = time.perf_counter() - began, time.process_time() - worked
    return *taken, [weight.detach().clone() for weight in project.network.parameters()]


def measure(name: str, pairs: int, folder: Path) -> None:
    """Time one case and print its line."""
    stem, settings, has_course = CASES[name]
    project, recipe = made(stem, settings)
    loader = course_loader(recipe.train.batch_size, folder / f"course-{recipe.train.batch_size}") if has_course else None
    run = folder / "run"

    def one_run() -> None:
        run.mkdir(parents=True)
        (run / "checkpoints").mkdir()
        workbench_loop(project, recipe, run)

    loops: dict[str, Callable[[], None]] = {"workbench": one_run, "bare": lambda: bare_loop(project)}
    if loader:
        loops["course"] = lambda: course_loop(project, loader)
    wall: dict[str, list[float]] = {side: [] for side in loops}
    worked: dict[str, list[float]] = {side: [] for side in loops}
    lines = 0
    for turn in range(-1, pairs):  # the first warms everything up and is not counted
        weights = {}
        for side in sorted(loops, reverse=bool(turn % 2)):
            seconds, processor, weights[side] = timed(project, loops[side])
            if turn >= 0:
                wall[side].append(seconds)
                worked[side].append(processor)
        if not all(torch.equal(one, other) for one, other in zip(weights["workbench"], weights["bare"], strict=True)):
            sys.exit(f"{name}: the two loops did not reach the same weights.")
        lines = len(read_all(run / "events.jsonl")[0])
        shutil.rmtree(run)
    steps = recipe.train.epochs * -(-len(project.splits["train"][1]) // recipe.train.batch_size)
    per_step = {side: statistics.median(times) / steps * 1e6 for side, times in wall.items()}
    said = ", ".join(f"{side} {value:.0f} µs" for side, value in per_step.items())
    print(f"\n{name}: {steps:,} steps, {lines} lines logged; median per step: {said}")
    for side in sorted(loops.keys() - {"workbench"}):
        for clock, times in (("wall", wall), ("processor", worked)):
            ratios = [other / ours for other, ours in zip(times[side], times["workbench"], strict=True)]
            middle = statistics.median(ratios)
            verdict = "" if side == "course" else f"   goal {GOAL}: {'met' if middle >= GOAL else 'MISSED'}"
            print(
                f"  workbench's speed / {side}'s, {clock:<9} median {middle:.3f}, {min(ratios):.3f} to {max(ratios):.3f}{verdict}",
                flush=True,
            )


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    wanted = [name for name in CASES if not sys.argv[2:] or name.split(",")[0] in sys.argv[2:]]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; torch {torch.__version__}; {pairs} turns")
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            measure(name, pairs, Path(folder) / name.replace(" ", "-"))


if __name__ == "__main__":
    main()
