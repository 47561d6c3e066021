"""The process that trains: `python -m workbench.training.worker RUN`, started by the run's supervisor."""

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from workbench import preparation
from workbench.events import Answer, Status
from workbench.preparation import Stage
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import commands, lock, resuming
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.commands import Inbox
from workbench.runs.history import History
from workbench.runs.log import EventLog, Tail
from workbench.runs.run import Run
from workbench.runs.state import attempts
from workbench.training.announcing import READING, Announcer
from workbench.training.failures import named
from workbench.training.find_project import make_project
from workbench.training.fitting import checkpoints_of
from workbench.training.gpu_meters import GpuMeters
from workbench.training.loop import Loop
from workbench.training.project import Project
from workbench.training.ranks import GRACE, Lost
from workbench.training.sources import Sources

if TYPE_CHECKING:
    from workbench.training.ranks.group import Group


class Stopped(BaseException):
    """SIGTERM before the loop began."""


class Worker:
    """One attempt at a run, from taking over the lock to the report to the supervisor."""

    def __init__(self, path: Path) -> None:
        self.run = Run(path)
        self.lock, self.holder = _take_over(self.run)
        self.attempt = int(self.holder["attempt"])
        self.offset = int(os.environ.pop("DLWB_CONTROL_OFFSET", "0"))
        self.anyway = bool(os.environ.pop("DLWB_ANYWAY", ""))
        self.loop: Loop | None = None
        self._ending = False
        # Last, since the handler needs all of the above.
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def work(self) -> Status:
        """Train; never raises for what can be named."""
        log: EventLog | None = None
        try:
            log = EventLog(self.run.path)
            ending = self._train(log)
            log.close()
            return ending
        except Stopped:
            # `dlwb stop` sends SIGTERM while the run starts, when nobody reads commands yet: the command tells the two apart.
            cause, message = "sigterm", "Asked to end before its first step."
            if any(command.verb == "stop" for command in Inbox(self.run.control, self.offset).poll()):
                cause, message = "person", "Stopped by a person before its first step."
            ending = Status(state="stopped", cause=cause, message=message, attempt=self.attempt)
        except Lost as error:
            print(f"The first process lost another one: {error}", file=sys.stderr)
            # Whoever watches them all ends this one too, and knows which one died, and of what.
            time.sleep(GRACE)
            problem = Problem("Another process of this run has ended.", "Its output may say why (`dlwb logs`).", cause="signal")
            ending = Status(state="failed", cause=problem.cause, message=problem.message, hint=problem.hint, attempt=self.attempt)
        except BaseException as error:
            # A SIGTERM from here on must not interrupt the last line.
            self._ending = True
            problem = named(error, self.run)
            if not isinstance(error, Problem):
                traceback.print_exc()
            ending = Status(state="failed", cause=problem.cause, message=problem.message, hint=problem.hint, attempt=self.attempt)
        if self.loop:
            ending.step, ending.epoch = self.loop.place.step, self.loop.place.epoch
        if log is not None:
            with contextlib.suppress(Exception):  # a full disk: the supervisor's exit.json has room of its own
                log.write(ending)
                log.close()
        return ending

    def _train(self, log: EventLog) -> Status:
        past = History()
        past.fold(Tail(self.run.events).read())
        recipe = self.run.recipe()
        step = past.step if past.attempt else 0
        remarks = [one_line(str(self.run.about().get("warning", "")), 1000), resuming.look(self.run) if past.attempt else ""]
        warning = " ".join(filter(None, remarks))

        def logged(message: str, warning: str = "", stage: Stage | None = None) -> None:
            share, left = (stage.share, stage.left) if stage else (None, None)
            attempt = self.attempt
            log.write(Status(state="starting", attempt=attempt, message=message, step=step, warning=warning, share=share, left=left))

        def starting(message: str, warning: str = "") -> None:
            self._turn("starting", message)
            logged(message, warning)

        starting(f"importing {recipe.project}", warning)
        group = self._joined(recipe, starting)
        project = make_project(self.run, recipe)
        starting(READING)
        announcer = Announcer(partial(self._turn, "starting"), lambda stage: logged(stage.text, stage=stage))
        with contextlib.suppress(ImportError):
            # It draws from `random` when it is first imported, and scikit-learn imports it: after the seeding that would change all that
            # follows, where the library was not imported yet.
            importlib.import_module("rich.style")
        sources = Sources(self.run, anyway=self.anyway)
        with announcer, preparation.listening(announcer, sources.met) as prepared:
            project.build()
        changed = sources.check(prepared.sources)
        if group:
            starting(f"waiting until {group.size} processes are ready")
            group.all_built()
        # Whoever sent them may still be waiting.
        for command in self._unanswered(past):
            log.write(Answer(command=command.id, ok=False, message="The run ended before this could be done.", step=step))
        self.loop = self._loop(group)(
            project,
            recipe,
            log,
            self._checkpoints(project),
            inbox=Inbox(self.run.control, self.offset),
            meters=GpuMeters(recipe.compute.device),
            announce=self._turn,
            past=past,
            attempt=self.attempt,
            device=_title(recipe.compute.device),
            found=prepared.table(),
            cache=prepared.cache,
            changed_data=changed,
            born=_born(),
        )
        ending = self.loop.fit()
        if group:
            group.leave()
        return ending

    def _joined(self, recipe: Recipe, starting: Callable[[str], None]) -> "Group | None":
        """The group of a run with several processes, as soon as all have come; this one leads."""
        compute = recipe.compute
        if compute.processes * compute.nodes == 1:
            return None
        from workbench.training.ranks.group import Group  # imports torch

        starting(f"waiting for {compute.processes * compute.nodes} processes")
        group = Group.join(compute.processes * compute.nodes)
        self.holder["ranks"] = [{"pid": pid, "ticks": lock.start_ticks(pid)} for pid in group.processes]
        return group

    def _loop(self, group: "Group | None") -> Callable[..., Loop]:
        if group is None:
            return Loop
        from workbench.training.ranks.leader import Leader

        return partial(Leader, group)

    def _checkpoints(self, project: Project) -> Checkpoints:
        def keep_every() -> int:
            return self.loop.live.train.keep_every if self.loop else project.train.keep_every

        return checkpoints_of(self.run, project, keep_every)

    def _unanswered(self, past: History) -> list[commands.Command]:
        answered = {answer.command for answer in past.answers} | {mark.command for mark in past.marks}
        # Up to the offset at which this attempt began: what follows is for its own inbox.
        start = max(0, self.offset - commands.READ_LIMIT)
        data = commands.part(self.run.control, start, self.offset - start)
        # The end of the run was the answer to stop and kill; those of the queue were its supervisor's.
        others = (*commands.ENDING, *commands.QUEUEING)
        return [command for command in commands.commands(data) if command.id not in answered and command.verb not in others]

    def _turn(self, state: str, message: str = "", stage: Stage | None = None) -> None:
        """Say in the lock file what this run is doing, and how far it is, for lists that do not read its log."""
        share, left = (stage.share, stage.left) if stage else (None, None)
        worker = {"pid": os.getpid(), "ticks": lock.start_ticks(os.getpid())}
        self.holder.update(state=state, message=message, share=share, left=left, worker=worker)
        self.lock.write(self.holder)

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        # In the loop a step is finished and saved. Before it there is nothing to save, so a download or an import is interrupted.
        if self.loop is not None:
            self.loop.terminate = True
        elif not self._ending:
            self._ending = True
            raise Stopped


def _take_over(run: Run) -> tuple[lock.Lock, dict[str, Any]]:
    """The lock that the supervisor handed down, or one taken here where the worker was started by hand."""
    # Held for as long as this process lives, also where its supervisor is killed.
    for name in [name for name in os.environ if name.startswith("DLWB_DEVICE_LOCK_")]:
        if (device := _handed(name)) is not None:
            lock.Lock(device)
    if (file := _handed("DLWB_LOCK")) is not None:
        return lock.Lock(file), lock.content(run.lock)
    held = lock.Lock.take(run.lock)
    if held is None:
        raise Problem(f"{run.id} is running already.")
    return held, {"host": lock.host(), "boot": lock.boot_id(), "attempt": attempts(run) + 1}


def _born() -> float:
    """When this process began, or was taken where it had waited, by the monotonic clock."""
    if taken := os.environ.pop("DLWB_TAKEN", ""):
        return float(taken)
    # The kernel counts a process's start in ticks since the boot, time asleep included (proc_pid_stat(5)).
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - lock.start_ticks(os.getpid()) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age


def _handed(name: str) -> int | None:
    """The file that the supervisor handed down under that name; no child of this process gets it."""
    file = int(os.environ.pop(name, "-1"))
    if file < 0:
        return None
    os.set_inheritable(file, False)
    return file


def _title(device: str) -> str:
    # Never imports torch for it: a project in NumPy does without.
    if device.startswith("cuda") and "torch" in sys.modules:
        return f"{device} {sys.modules['torch'].cuda.get_device_name(device)}"
    return device


class _Unbreakable:
    """stdout that goes on when nobody reads it any more: the supervisor may be killed, the training must not be."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def several(path: Path) -> bool:
    """Whether more than one process trains the run."""
    try:
        compute = Run(path).recipe().compute
    except Problem:
        return False  # the worker says what is wrong with it
    return compute.processes * compute.nodes > 1


def train(path: Path) -> int:
    """Train a run; 0 when it ended as it should, 1 when it failed. The report goes to the supervisor's pipe."""
    if several(path) and int(os.environ.get("RANK", "0")):
        from workbench.training.ranks.follower import follow  # imports torch

        return follow(path)
    report = _handed("DLWB_REPORT")
    # A crash in C code then leaves its Python stack in the output.
    faulthandler.enable()
    sys.stdout, sys.stderr = _Unbreakable(sys.stdout), _Unbreakable(sys.stderr)
    try:
        ending = Worker(path).work()
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    if report is not None:
        # The supervisor may have been killed; the log has it, too.
        with contextlib.suppress(OSError):
            os.write(report, msgspec.json.encode(ending) + b"\n")
    if ending.state != "failed":
        return 0
    print(f"{ending.message} {ending.hint}".strip(), file=sys.stderr)
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(train(Path(sys.argv[1])))
