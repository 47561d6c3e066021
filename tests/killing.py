"""Kills the worker of a run and looks at what is left. test_kills.py does it once or twice, long/ a hundred times."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from lines import comparable

from workbench.events import AnyEvent, Scalars, Status
from workbench.launch import start
from workbench.runs import lock
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.history import History
from workbench.runs.log import Tail, read_all
from workbench.runs.run import Run
from workbench.runs.state import state_of
from workbench.training.numpy_state import decode_npz


def wait(what: Callable[[], Any], seconds: float = 300.0, pause: float = 0.005) -> Any:
    """Wait until something is true and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError("it never came")


def decode(data: bytes) -> dict[str, Any]:
    """A checkpoint's tree, of a project with torch or without."""
    if b"tree.npy" in data[:100]:
        return decode_npz(data)
    from workbench.torchkit.project import TorchProject

    return TorchProject.decode_state(None, data)  # type: ignore[arg-type]


def bits(tree: Any) -> Any:
    """A tree with every array and number as its bytes, so that == means bit by bit, NaN and the sign of zero included."""
    if isinstance(tree, dict):
        return [(key, bits(value)) for key, value in tree.items()]
    if isinstance(tree, list | tuple):
        return [bits(value) for value in tree]
    if hasattr(tree, "numpy"):
        return str(tree.dtype), bits(tree.numpy())
    if isinstance(tree, np.ndarray):
        return tree.dtype.str, tree.shape, tree.tobytes()
    return type(tree), repr(tree)


def logged(run: Run) -> bytes:
    """The bytes of a run's log; none where it was killed before it had one."""
    return run.events.read_bytes() if run.events.exists() else b""


def fold(run: Run) -> History:
    """The run's whole log, folded."""
    history = History()
    history.fold(Tail(run.events).read())
    return history


class Whole:
    """A run to its end without a kill: what every killed one has to be like."""

    def __init__(self, run: Run) -> None:
        began = time.time()
        wait(lambda: not state_of(run).alive, pause=0.05)
        assert state_of(run).state == "finished", state_of(run)
        self.run = run
        self.history = fold(run)
        events, _ = read_all(run.events)
        self.starting = next(event.time for event in events if isinstance(event, Status) and event.state == "running") - began
        self.training = events[-1].time - began - self.starting
        self.records = Counter(event.step for event in events if counts(event))
        """Records at each step."""


def counts(event: AnyEvent) -> bool:
    """Whether a record is the training's own, not the machine's or a turn of the run."""
    return not isinstance(event, Status) and not (isinstance(event, Scalars) and any(tag.startswith("system/") for tag in event.values))


class Victim:
    """A run that is killed and resumed, and everything that has to stay true of it; an AssertionError says what did not."""

    def __init__(self, run: Run, whole: Whole) -> None:
        self.run = run
        self.whole = whole
        self.train = run.recipe().train
        self.phases: list[str] = []
        """What it was doing at each death."""
        self.redone: list[int] = []
        """Logged steps that each resume did again."""
        self._seen: list[AnyEvent] = []
        self._tail = Tail(run.events)
        self._left = b""
        """The log as the last death left it."""
        self._torn = 0
        self._from_step = -1
        """Where the attempt that runs now has to begin."""

    def kill(self, moment: str, chance: random.Random, *, supervisor: bool = False) -> bool:
        """Let it go on, end it by SIGKILL at a moment of that kind, and check what is left; False where it came to its end before."""
        attempt = wait(lambda: lock.content(self.run.lock).get("attempt"))
        if not self._wait_for(moment, chance):
            return False
        holder = wait(lambda: lock.content(self.run.lock) if "worker" in lock.content(self.run.lock) or not self._alive() else None)
        hit = lock.send(holder["worker"]["pid"], holder["worker"]["ticks"], signal.SIGKILL)
        if supervisor:
            lock.send(holder["parent"]["pid"], holder["parent"]["ticks"], signal.SIGKILL)
        wait(lambda: not lock.is_held(self.run.lock))
        state = state_of(self.run)
        if state.state == "finished":
            return False
        # memory: the kernel ended another process of this machine at that time, which its count does not tell apart.
        assert hit and state.cause in ("signal", "vanished", "memory"), state
        self._look(int(attempt))
        return True

    def resume(self) -> None:
        """Start it again."""
        start.launch(self.run)

    def finish(self) -> list[str]:
        """Let it come to its end; what is not as in the run that was never killed."""
        wait(lambda: not self._alive(), pause=0.05)
        state = state_of(self.run)
        assert state.state == "finished", state
        events, tail = read_all(self.run.events)
        self._check_log(events)
        self._check_attempt(self._attempt(events, state.attempt))
        assert tail.damaged <= self._torn, f"{tail.damaged} damaged lines, where {self._torn} kills tore one"
        return differences(self.run, self.whole.run)

    def _alive(self) -> bool:
        return lock.is_held(self.run.lock)

    def _wait_for(self, moment: str, chance: random.Random) -> bool:
        """False where it ended meanwhile. The log is read all along, as the terminal program does.

        Saves and evaluations are found by the run's own steps, as no clock foretells them: the first one caught after a random step of
        the next quarter of what is left, or else, as some are too short to be caught, whatever it does once half of that is done.
        """
        starting, training = self.whole.starting, self.whole.training
        after = {"any": chance.uniform(0, starting + training), "start-up": chance.uniform(0, starting)}.get(moment)
        since = time.monotonic()
        done = max(self._from_step, 0)
        left = self.whole.history.steps - done
        aim = done + chance.uniform(0, left / 4)
        steps: list[int] = []
        while self._alive():
            new = list(self._tail.read())
            self._seen += new
            steps += [event.step for event in new if counts(event)]
            if after is not None:
                if time.monotonic() >= since + after:
                    return True
            elif steps and steps[-1] >= aim:
                if steps[-1] >= done + left / 2:
                    return True
                if moment == "saving" and any(self.run.path.glob("checkpoints/.*.part")):
                    return True
                if moment == "evaluating" and steps.count(steps[-1]) < self.whole.records[steps[-1]]:
                    return True
            time.sleep(0.0005)
        return False

    def _look(self, attempt: int) -> None:
        """Check what a death left, and note what the next attempt has to begin with."""
        events, _ = read_all(self.run.events)
        self._check_log(events)
        mine = self._attempt(events, attempt)
        self._check_attempt(mine)
        generations = Checkpoints(self.run.path / "checkpoints").generations()
        saved = max((each.step for each in generations), default=-1)
        steps = [event.step for event in mine if counts(event)]
        # A record after a save's step was written when that save had returned.
        due = (max(steps) - 1) // self.train.checkpoint_every * self.train.checkpoint_every if steps else -1
        assert saved >= due or due == 0, f"step {max(steps)} was logged, but the newest checkpoint is of step {saved}"
        if saved > self._from_step:
            assert steps and max(steps) >= saved // self.train.log_every * self.train.log_every, f"saved step {saved}, but the log lacks it"
        if steps:
            self.redone.append(max(steps) - max(saved, 0))
        self.phases.append(self._phase(mine))
        self._from_step = saved
        self._left = logged(self.run)
        self._torn += bool(self._left) and not self._left.endswith(b"\n")

    def _check_log(self, events: list[AnyEvent]) -> None:
        """Whatever was read while it lived, and every byte that an earlier death left, is still there."""
        self._seen += self._tail.read()
        assert logged(self.run).startswith(self._left), "the log of an earlier attempt was changed"
        assert [msgspec.to_builtins(event) for event in self._seen] == [msgspec.to_builtins(event) for event in events[: len(self._seen)]]

    def _attempt(self, events: list[AnyEvent], attempt: int) -> list[AnyEvent]:
        """The records of an attempt from where it said that it runs."""
        for number, event in enumerate(events):
            if isinstance(event, Status) and event.state == "running" and event.attempt == attempt:
                return events[number:]
        return []

    def _check_attempt(self, mine: list[AnyEvent]) -> None:
        """It began at the newest checkpoint that was there, and no logged value is missing between."""
        if not mine:
            return
        assert mine[0].from_step == self._from_step, f"began at {mine[0].from_step}, with a checkpoint of {self._from_step}"  # type: ignore[union-attr]
        steps = [event.step for event in mine if isinstance(event, Scalars) and any(tag.startswith("train/") for tag in event.values)]
        every, total = self.train.log_every, self.whole.history.steps
        first = max(self._from_step, 0) // every * every + every
        wanted = [*range(first, total, every), total][: len(steps)]
        assert steps == wanted, f"logged {steps[:3]} … {steps[-3:]}, where {wanted[:3]} … {wanted[-3:]} was due"

    def _phase(self, mine: list[AnyEvent]) -> str:
        """What it was doing, by what it left."""
        folder = self.run.path / "checkpoints"
        data = {path.stem for path in folder.glob("step-*") if path.suffix != ".json"}
        if any(folder.glob(".*.part")) or data - {path.stem for path in folder.glob("step-*.json")}:
            return "saving"
        if not mine:
            return "start-up"
        steps = [event.step for event in mine if counts(event)]
        begun = self._from_step < 0 or steps  # else nothing is logged yet since it went on
        last = max(steps, default=0)
        return "evaluating" if begun and steps.count(last) < self.whole.records[last] else "training"


def become_whole(recipe: str, settings: list[str], moments: tuple[str, ...]) -> None:
    """A run of the recipe that is killed once at a moment of each kind, and resumed each time, becomes the run that was never killed."""
    settings = [*settings, "compute.threads=1", "compute.device=cpu"]
    whole = Whole(start.start(recipe, settings))
    victim = Victim(start.start(recipe, settings), whole)
    chance = random.Random(recipe)
    for moment in moments:
        assert victim.kill(moment, chance), "it came to its end before it was killed"
        victim.resume()
    assert victim.finish() == []
    assert len(victim.phases) == len(moments)


def differences(run: Run, whole: Run) -> list[str]:
    """What of a run is not the same, bit by bit, as in one that was never interrupted."""
    found = []
    ours, theirs = comparable(fold(run)), comparable(fold(whole))
    found += [f"folded {name}" for name in theirs if ours[name] != theirs[name]]
    if pictured(run) != pictured(whole):
        found.append("artifacts")
    if loose := {path.name for path in (run.path / "checkpoints").iterdir()} - kept(run):
        found.append(f"left behind: {', '.join(loose)}")
    for which in ("newest", "best"):
        pairs = [getattr(Checkpoints(each.path / "checkpoints"), which)(decode) for each in (run, whole)]
        if pairs[0][0].step != pairs[1][0].step:
            found.append(f"step of the {which} checkpoint: {pairs[0][0].step}, not {pairs[1][0].step}")
        for name in pairs[1][1]:
            if bits(pairs[0][1][name]) != bits(pairs[1][1][name]):
                found.append(f"{name} in the {which} checkpoint")
    return found


def pictured(run: Run) -> dict[str, list[bytes]]:
    """The bytes of the artifacts that the folded history names, by tag."""
    samples = fold(run).samples
    return {
        tag: [(run.path / event.file).read_bytes() for event in each.events if getattr(event, "file", "")] for tag, each in samples.items()
    }


def kept(run: Run) -> set[str]:
    """The file names of a run's checkpoints and of their notes."""
    files = [Path(each.file) for each in Checkpoints(run.path / "checkpoints").generations()]
    return {name for file in files for name in (file.name, f"{file.stem}.json")}
