"""The loop of every rank but the first: the same steps on other rows, and between them what the leader says."""

import contextlib
import importlib
import json
import os
import signal
import sys
import time
import traceback
import zlib
from pathlib import Path
from typing import Any

import msgspec

from workbench.events import Status
from workbench.problems import Problem
from workbench.recipes.recipe import Recipe
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.run import Run
from workbench.training import snapshot
from workbench.training.failures import named
from workbench.training.find_project import make_project
from workbench.training.fitting import checkpoints_of
from workbench.training.loop import Loop
from workbench.training.project import Project
from workbench.training.ranks import GRACE, Lost
from workbench.training.ranks.group import Group, devices, rank
from workbench.training.ranks.shared_step import SharedStep, SharedWindow, digest


class _Steps:
    """The cadence of a follower: the leader names the next stop."""

    stop = 0
    log_at = sys.maxsize

    def stops(self, step: int, last: bool, now: float) -> bool:
        return last or step >= self.stop


class Follower(Loop):
    """Trains as the leader does, and logs, evaluates, saves nothing."""

    def __init__(self, group: Group, project: Project, recipe: Recipe, checkpoints: Checkpoints) -> None:
        self.group = group
        super().__init__(project, recipe, None, checkpoints)  # type: ignore[arg-type]
        self.shared = SharedStep(project, group)
        self.numbers = SharedWindow(project, group, self.shared.gradients)
        self.window = self.numbers
        self.cadence = _Steps()  # type: ignore[assignment]
        self._last_batch: int | None = None

    def fit(self) -> Status:
        """The leader's steps up to its end."""
        self._serve()
        last_batch = self._last_batch
        while not self.ending:
            self._train_epoch(self._batches(), last_batch)
            last_batch = None
        return self.ending

    def _between_steps(self, last: bool, now: float) -> None:
        self._serve()

    def _serve(self) -> None:
        """Do what the leader says, until it says that it goes on."""
        while not self.ending:
            order = self.group.hear()
            match order["verb"]:
                case "go":
                    self.cadence.stop = order["stop"]
                    return
                case "end":
                    self.ending = Status(state="finished")
                case "change":
                    self._change(order["settings"])
                case "numbers":
                    self.group.gather(self.numbers.taken())
                case "compare":
                    self.group.gather(self.shared.digest(self.batch))
                case "states":
                    self.group.gather(self._own(order["known"]))
                case "resume":
                    self._go_on(order["file"], order["settings"])

    def _change(self, settings: dict[str, Any]) -> None:
        self.live.change(settings)
        if any(name.startswith("config.") for name in settings):
            self.project.changed(self.project.config)

    def _own(self, known: dict[str, int]) -> dict[str, Any]:
        """What a checkpoint of the leader does not have of this process: random states, and attributes that are others than its."""
        state = {name: value for name, value in self.project.state().items() if digest(value) != known.get(name)}
        return {"random": self.project.random_state(), "state": state}

    def _go_on(self, file: str, settings: dict[str, Any]) -> None:
        """Begin at the leader's checkpoint, with this process's own part of it; `settings` are the leader's live changes so far."""
        # Dropout and noise are drawn for other rows here: from a stream of its own.
        self.project.seed_all(zlib.crc32(f"{self.project.seed}/rank {self.group.rank}".encode()))
        if not file:
            return
        newest = self.checkpoints.newest(self.project.decode_state)
        if newest is None or newest[0].file != file:
            raise Problem(f"It cannot read the checkpoint {file} that the first process reads.", "Is its disk shared?", cause="ranks")
        tree = newest[1]
        others = tree["random"].get("ranks", [])
        own: dict[str, Any] = {"random": self.project.random_state(), "state": {}}
        # Of a fork from a run with another number of processes it has nothing for this one.
        if len(others) == self.group.size - 1:
            own = others[self.group.rank - 1]
        snapshot.put_back(self, {**tree, "window": {}, "random": own["random"], "state": {**tree["state"], **own["state"]}})
        self._last_batch = tree["batch"]
        if late := {name: value for name, value in settings.items() if self.live.settings.get(name) != value}:
            self._change(late)
            self.project.set_random_state(own["random"])


def follow(path: Path) -> int:
    """Train a run as another process than the first; 0 when it ended as it should. A failure goes to the supervisor's pipe."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the leader finishes the step and saves, and this process with it
    report = int(os.environ.pop("DLWB_REPORT", "-1"))
    for name in [name for name in os.environ if name == "DLWB_LOCK" or name.startswith("DLWB_DEVICE_LOCK")]:
        with contextlib.suppress(OSError):
            os.close(int(os.environ.pop(name)))
    run = Run(path)
    try:
        _train(run)
    except Lost as error:
        print(f"Process {rank() + 1} lost another one: {error}", file=sys.stderr)
        time.sleep(GRACE)
        return 1
    except BaseException as error:
        problem = named(error, run)
        if not isinstance(error, Problem):
            traceback.print_exc()
        message = f"Process {rank() + 1} of {os.environ.get('WORLD_SIZE')}: {problem.message}"
        ending = Status(state="failed", cause=problem.cause, message=message, hint=problem.hint)
        tell(report, msgspec.to_builtins(ending))
        return 1
    return 0


def tell(report: int, ending: dict[str, Any]) -> None:
    """Write how the run ended into the supervisor's pipe; its first line counts, and a line this short is never mixed with another."""
    if report >= 0:
        with contextlib.suppress(OSError):
            os.write(report, json.dumps({name: str(value)[:800] for name, value in ending.items()}).encode() + b"\n")


def _train(run: Run) -> None:
    recipe = run.recipe()
    group = Group.join(recipe.compute.processes * recipe.compute.nodes)
    if names := devices():
        compute = msgspec.structs.replace(recipe.compute, device=names[int(os.environ.get("LOCAL_RANK", "0"))])
        recipe = msgspec.structs.replace(recipe, compute=compute)
    project = make_project(run, recipe)
    with contextlib.suppress(ImportError):
        # As in the worker: it draws from `random` when it is first imported.
        importlib.import_module("rich.style")
    # Behind the leader: so data is fetched, unpacked and computed once, and the others find it.
    group.all_built(project.build)
    Follower(group, project, recipe, checkpoints_of(run, project, lambda: 0)).fit()
    group.leave()
