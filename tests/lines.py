"""A project of a person's own that the tests train: a line through points, in NumPy, with every kind of randomness that a run restores."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from workbench import __version__, paths
from workbench.launch import start as launch
from workbench.recipes import project_schemas, trust
from workbench.recipes.load import load_recipe
from workbench.runs import lock
from workbench.runs.history import History, history_of
from workbench.runs.run import Run
from workbench.runs.state import State, state_of

SLOW = "{sleep: 0.01}"
LONG = "{epochs: 500, batch_size: 10, log_every: 5, checkpoint_every: 8}"

LINE = '''
"""A line through noisy points."""

import random
import time

import numpy as np

from workbench.events import Scalars, Text
from workbench.problems import Problem
from workbench.training.project import Batches, Project, Request, Settings, live


class Line(Project):
    """A line through noisy points."""

    class Config(Settings):
        learning_rate: float = live(0.05, gt=0)
        """Step size."""
        sleep: float = 0.0
        """Seconds a step."""
        generator: bool = False
        """Batches from a plain generator."""
        careless: bool = False
        """That generator draws from the global random state, as it must not."""
        shuffled: bool = False
        """Train on targets that have nothing to do with the points."""
        event: str = ""
        """What happens at step 20."""

    class Request(Request):
        at: float = 1.0
        """Where the line is asked for."""

    def build_data(self):
        rng = np.random.default_rng(0)
        x = rng.uniform(-1, 1, 260)
        y = 2 * x + 1 + rng.normal(0, 0.1, 260)
        if self.config.shuffled:
            y[:200] = rng.permutation(y[:200])
        self.train_data, self.valid_data = (x[:200], y[:200]), (x[200:], y[200:])

    def build_model(self):
        self.weights = np.zeros(2)
        self.noise = np.random.default_rng(self.seed)
        self.steps_done = 0
        self.shape = (2,)

    def batches(self, epoch, rng):
        if not self.config.generator:
            return Batches(self.train_data, self.train.batch_size, rng)
        return self._generator(np.random if self.config.careless else rng)

    def _generator(self, rng):
        x, y = self.train_data
        for _ in range(len(x) // self.train.batch_size):
            chosen = np.array([rng.uniform() for _ in range(self.train.batch_size)]) * len(x)
            yield x[chosen.astype(int)], y[chosen.astype(int)]

    def train_step(self, batch):
        if self.config.sleep:
            time.sleep(self.config.sleep)
        self.steps_done += 1
        if self.config.event and self.steps_done == 20:
            happen(self.config.event)
        x, y = batch
        jitter = self.noise.normal(0, 0.01, len(x)) + np.random.normal(0, 0.01) + random.gauss(0, 0.01)
        error = self.weights[0] * x + self.weights[1] - y + jitter
        self.weights -= self.config.learning_rate * np.array([(error * x).mean(), error.mean()])
        loss = float((error**2).mean())
        return {"loss": float("nan") if self.config.event == "nan" and self.steps_done >= 20 else loss}

    def evaluate(self, split):
        np.random.normal(size=5), random.random(), self.noise.normal()  # looking must not change the training
        x, y = self.valid_data
        yield Scalars({"loss": float(((self.weights[0] * x + self.weights[1] - y) ** 2).mean())})

    def sample(self, request):
        np.random.normal(size=7)
        yield Text("line", f"y({request.at}) = {self.weights[0] * request.at + self.weights[1]:.4f}")

    def predict(self, inputs):
        return {"y": float(self.weights[0] * inputs["x"] + self.weights[1])}


def happen(event):
    import os, signal

    if event == "exception":
        raise ValueError("the dog ate it [/] \\x1b[31m")
    if event == "cuda":
        class OutOfMemoryError(RuntimeError):
            pass
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if event == "memory":
        raise MemoryError("Unable to allocate 9 TiB")
    if event == "data":
        raise Problem("points.csv:7 has a word where a number should be.", "Mend that line.", cause="data")
    if event == "eat":
        eaten = []
        while True:
            eaten.append(np.ones(1 << 24))
    if event == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if event == "exit":
        os._exit(7)
    if event == "fork":
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
'''

RECIPE = """
title: A line
project: ./line.py
config: {config}
train: {train}
bar: [{{metric: test/loss, at_most: 0.05}}]
"""


def write(folder: Path, config: str = "{}", train: str = "{epochs: 5, batch_size: 10, log_every: 7}", source: str = LINE) -> Path:
    """A trusted project and its recipe in `folder`; returns the recipe's path."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "line.py").write_text(source)
    (folder / "line.yaml").write_text(RECIPE.format(config=config, train=train))
    trust.trust(folder / "line.py")
    if source == LINE:
        _describe(folder / "line.py")
    return folder / "line.yaml"


_described: list[bytes] = []


def _describe(project: Path) -> None:
    """What LINE says about itself is the same in every test: its process is asked once, and each home's cache knows it."""
    kept = paths.cache_folder() / "schemas" / f"{trust.sha256(project)}-{__version__}.json"
    if _described:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(_described[0])
    else:
        project_schemas.describe(project)
        _described.append(kept.read_bytes())


def start(folder: Path, config: str = "{}", train: str = "{epochs: 5, batch_size: 10, log_every: 7}", source: str = LINE) -> Run:
    """Launch a run of it in the background."""
    return launch.start(str(write(folder, config, train, source)))


def created(folder: Path, config: str = "{}", train: str = "{epochs: 5, batch_size: 10, log_every: 7}", source: str = LINE) -> Run:
    """A run directory of it that was not launched."""
    return launch.create(load_recipe(write(folder, config, train, source)), "cpu")


def folded(run: Run) -> History:
    """The run's log as it folds now."""
    return history_of(run.events)


def comparable(history: History) -> dict[str, object]:
    """What of a history must be the same for two identical runs: everything but times and the machine's meters."""
    series = {
        tag: (list(each.steps), [repr(value) for value in each.values], list(each.epochs))
        for tag, each in history.series.items()
        if not tag.startswith("system/")
    }
    samples = {
        tag: [{**msgspec.to_builtins(event), "time": 0, "clock": 0, "file": ""} for event in each.events]
        for tag, each in history.samples.items()
    }
    marks = [(mark.step, mark.text, mark.settings) for mark in history.marks]
    return {"series": series, "samples": samples, "marks": marks, "step": history.step, "state": history.status.state}


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true; fails the test when it never is."""
    deadline, pause = time.monotonic() + seconds, 0.005
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(pause)
        pause = min(1.2 * pause, 0.05)
    raise AssertionError("it never came")


def ended(run: Run) -> State:
    until(lambda: not state_of(run).alive)
    return state_of(run)


def at_step(run: Run, step: int) -> None:
    until(lambda: folded(run).step >= step or not state_of(run).alive)


def send(run: Run, which: str, number: int) -> None:
    process = lock.content(run.lock)[which]
    assert lock.send(process["pid"], process["ticks"], number)
