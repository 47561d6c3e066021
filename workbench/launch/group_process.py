"""The process of a group of runs, of a comparison or a tuning: begun, stopped, its lock, its end by SIGTERM. No torch.

It survives the program that started it, starts runs like any others, and finds those again that an earlier process of its group left.
"""

import contextlib
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench import paths
from workbench.launch import choose_device, devices, estimate, logind, signalling
from workbench.launch import start as launch
from workbench.launch.supervisor import detach, let_go
from workbench.problems import Problem, one_line
from workbench.recipes import trust
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import dump_recipe
from workbench.runs import lock
from workbench.runs.ending import process
from workbench.runs.group import Group
from workbench.runs.run import Run, list_runs
from workbench.runs.signals import Signal

EVERY = 0.2
"""Seconds between two looks at the runs that train."""
PATIENCE = 5.0
"""Seconds that its process may take to write its id into the lock."""


def seconds_of(loaded: Loaded, past: Sequence[estimate.Past] | None = None) -> float | None:
    """How long a run of a recipe takes, by its past runs; None where nothing like it ran here."""
    name = launch.choose(loaded).name
    device = next(one for one in devices.devices() if one.name == name)
    live = loaded.schema.live if loaded.schema else ()
    return estimate.estimate(loaded.recipe, device, estimate.past_runs(loaded.stem) if past is None else past, live).seconds


def keep_recipe(folder: Path, loaded: Loaded, title: str, seed: int) -> None:
    """Write a recipe like any other, complete, with a copy of a person's own project beside it: no edit meanwhile makes runs differ."""
    folder.mkdir(parents=True)
    if loaded.project_file:
        (folder / "project.py").write_bytes(trust.read(loaded.project_file))
    recipe = msgspec.structs.replace(
        loaded.recipe,
        title=title,
        seed=seed,
        project="./project.py" if loaded.project_file else loaded.recipe.project,
        config=paths.rooted(loaded.recipe.config, loaded.path.parent),
    )
    (folder / loaded.path.name).write_text(dump_recipe(recipe))


def begin(group: Group, module: str, words: Sequence[str], mirror: str) -> None:
    """Start the process of a group, `python -m MODULE GROUP WORDS`; returns once it holds the lock."""
    environment = dict(os.environ)
    if mirror and "DLWB_MIRROR" not in environment:
        environment["DLWB_MIRROR"] = mirror
    done = logind.call([sys.executable, "-P", "-m", module, str(group.path.absolute()), *words], environment)
    if done.returncode == 3:
        raise Problem(f"{group.id} is running already.", f"`dlwb stop {group.id}` stops it.")
    if done.returncode:
        raise Problem(f"{group.id} could not be started: {one_line(done.stderr.strip().rpartition(chr(10))[2]) or done.returncode}.")


def stop(group: Group) -> None:
    """Ask a group to start no further run, and to stop those that train: each finishes its step and saves a checkpoint."""
    deadline = time.monotonic() + PATIENCE
    # The lock first: a process that has ended may still take signals.
    while not (lock.is_held(group.lock) and group.signal(signal.SIGTERM)):
        if not lock.is_held(group.lock):
            raise Problem(f"{group.id} is not running, so it cannot be stopped.")
        # Just after its start the lock names no process yet.
        if time.monotonic() > deadline:
            raise Problem(f"{group.id} is running, but its process is not on this machine.", "Stop it from there.")
        time.sleep(0.05)


def main(group: Group, runner: "Callable[[lock.Lock], Runner]") -> int:
    """Fork; the child takes the lock, reports that, and works. Exit code 3: the lock is held."""
    signal_ready = detach()
    try:
        held = lock.Lock.take(group.lock)
        worker = runner(held) if held else None
    except (OSError, Problem) as error:
        print(error, file=sys.stderr, flush=True)  # its last line is what a person gets to read
        return 1
    let_go(signal_ready, 0 if worker else 3)
    if worker:
        worker.work()
    return 0 if worker else 3


class Runner:
    """What the process of a group does while it holds the lock."""

    def __init__(self, group: Group, held: lock.Lock) -> None:
        self.group = group
        self.lock = held
        self.got_sigterm = False
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self.holder: dict[str, Any] = {"host": lock.host(), "process": process(os.getpid()), "state": "running"}
        self.lock.write(self.holder)

    def work(self) -> None:
        """Start runs until there is nothing to start and none that trains."""
        raise NotImplementedError

    def turn(self, state: str, **more: str) -> None:
        """Write what it does into the lock."""
        self.holder.update(more, state=state)
        self.lock.write(self.holder)

    def stop_runs(self, runs: Iterable[Run]) -> None:
        """Stop these runs; once, however often it is called."""
        if self.holder["state"] != "running":
            return
        self.turn("stopping")
        for run in runs:
            with contextlib.suppress(Problem):  # it has just ended
                launch.stop(run)

    def give_signal(self, what: str, message: str, figures: Mapping[str, float]) -> None:
        """Tell people who are away how it ended: `end` or `failure`, with what it reached."""
        text = f"{self.group.id} {'has stopped' if self.got_sigterm else 'has ended'}: {message}."
        with contextlib.suppress(OSError):  # nobody reads what this process prints
            signalling.give([Signal(what=what, run=self.group.id, recipe=self.group.stem, text=text, figures=dict(figures))])

    def unnoted(self, key: str, noted: Collection[str]) -> Iterator[tuple[Run, dict[str, Any]]]:
        """Runs of this group that were created just before the death of its process and are not noted, with what their run.json says."""
        for run in list_runs():
            about = run.about() if run.id >= self.group.stamp and run.id not in noted else {}
            if about.get(key) == self.group.id:
                yield run, about

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        self.got_sigterm = True


def gpus(run: Run) -> int:
    """Number of GPUs that a run may take; runs find a free one themselves, see DeviceQueue. 0 for the CPU."""
    return sum(name.startswith("cuda") for name in choose_device.allowed(run))


def sentence(error: OSError | Problem) -> str:
    """Why a run could not be started."""
    return one_line(str(error) if isinstance(error, Problem) else f"{error.strerror} ({error.filename})", 500)
