"""Run directories: list them, find one, and how a run is or ended. The shell and the terminal program look through this."""

import os
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from workbench import atomic, lock, paths, renamed_projects, yaml_reader
from workbench.events import Status
from workbench.history import History
from workbench.log import Tail
from workbench.problems import Problem, one_line
from workbench.recipe import Recipe

ENDED = ("finished", "stopped", "failed")
MEMORY = ("system/memory", "system/gpu_memory_peak")
"""The meters of a run's own memory, on the host and on its device, GiB."""
LIVE = ("queued", "starting", "running", "paused")
Figure = float | Literal["nan", "inf", "-inf", "None"]
"""A number as JSON can hold it; None where there is no finite one."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is now."""

    state: str
    """created, queued, starting, running, paused, stopping, finished, stopped, failed, or away (on another host)."""
    alive: bool = False
    cause: str = ""
    message: str = ""
    hint: str = ""
    attempt: int = 0
    host: str = ""
    """Named where it is not this one."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run's log in a few numbers, for lists."""

    size: int
    """Bytes of the log that it was made from."""
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    started: float = 0.0
    updated: float = 0.0
    seconds: float = 0.0
    device: str = ""
    variant: str = ""
    demo: str = ""
    steps_per_epoch: int = 0
    ready: float = 0.0
    """Seconds that its first start took: imports and reading its data."""
    memory: dict[str, float] = {}
    """The most that its meters of memory showed, GiB by tag."""
    last: dict[str, Figure] = {}
    best: dict[str, Figure] = {}
    status: Status | None = None


class Run:
    """One run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Run({self.id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def id(self) -> str:
        """The directory's name: when it was made, and of which recipe."""
        return self.path.name

    @property
    def stem(self) -> str:
        """The recipe's file name without its ending."""
        return self.id.split("_", 2)[-1].partition("~")[0]

    @property
    def events(self) -> Path:
        """The log: the only truth about the run."""
        return self.path / "events.jsonl"

    @property
    def output(self) -> Path:
        """What it printed."""
        return self.path / "output.log"

    @property
    def lock(self) -> Path:
        """Held for as long as the run lives."""
        return self.path / "lock"

    @property
    def control(self) -> Path:
        """What people asked of it, a command a line."""
        return self.path / "control.jsonl"

    @property
    def project_copy(self) -> Path:
        """The source that trained it."""
        return self.path / "project.py"

    def recipe(self) -> Recipe:
        """Its recipe, every default filled in; live changes are in the log."""
        data, _, faults = yaml_reader.read(self.path / "recipe.yaml")
        try:
            if faults:
                raise msgspec.ValidationError(faults[0].text)
            return msgspec.convert(renamed_projects.current(data), Recipe)
        except msgspec.ValidationError as error:
            raise Problem(f"{self.path / 'recipe.yaml'} is damaged: {one_line(str(error))}.") from None

    def about(self) -> dict[str, Any]:
        """Where it came from: recipe file, its folder, mirror, versions."""
        return atomic.read_object(self.path / "run.json")

    def code_has_changed(self) -> bool:
        """Whether a shipped project's source is not what trained this run. A person's own file is always the run's copy."""
        try:
            name = self.recipe().project
            return not name.endswith(".py") and (paths.projects() / f"{name}.py").read_bytes() != self.project_copy.read_bytes()
        except (OSError, Problem):
            return True


def list_runs() -> list[Run]:
    """All runs, newest first."""
    try:
        names = os.listdir(paths.runs())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Problem(f"{paths.runs()} cannot be read: {error.strerror}.", "Set DLWB_HOME to a folder of yours.") from error
    # What was not named by `create` might do anything to a terminal.
    found = [Run(paths.runs() / name) for name in sorted(names, reverse=True) if name.isprintable() and not name.startswith(".")]
    return [run for run in found if os.path.exists(run.path / "recipe.yaml")]  # noqa: PTH110 - Path.exists raises for a folder that may not be read


def find(reference: str, among: list[Run] | None = None, none: str = "There is no run", hint: str = "`dlwb runs` lists them.") -> Run:
    """The run of that id, of a part of one that is unique, `last`, or a recipe's newest run; of all runs, or `among` these."""
    runs = list_runs() if among is None else among
    if reference == "last" and runs:
        return runs[0]
    exact = [run for run in runs if run.id == reference or str(run.path) == reference.rstrip("/")]
    if exact:
        return exact[0]
    same_recipe = [run for run in runs if run.stem == reference]
    if same_recipe:
        return same_recipe[0]
    matches = [run for run in runs if reference and reference in run.id]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise Problem(
            f"{one_line(reference)} may be any of {len(matches)} runs: {', '.join(run.id for run in matches[:4])} …",
            "Give more of its name.",
        )
    raise Problem(f"{none} {one_line(reference)}.", hint)


def state(run: Run) -> State:
    """How a run is now: alive is that its lock is held; how it ended is what its parent wrote."""
    holder = lock.content(run.lock)
    attempt = attempts(run)
    host = one_line(str(holder.get("host") or lock.host()), 80)
    elsewhere = host if host != lock.host() else ""
    if lock.is_held(run.lock):
        said = holder.get("state")
        return State(
            state=said if said in LIVE else "starting",
            alive=True,
            attempt=attempt,
            host=elsewhere,
            message=one_line(str(holder.get("message", ""))),
        )
    if not run.path.is_dir():
        return State(state="failed", cause="vanished", message="Its directory is gone.")
    if not attempt:
        return State(state="created", message="never started")
    ended = atomic.read_object(run.path / "exit.json")
    if ended.get("attempt") == attempt:
        said = ended.get("state")
        return State(
            state=said if said in ENDED else "failed",
            cause=one_line(str(ended.get("cause", "")), 40),
            message=one_line(str(ended.get("message", "")), 1000),
            hint=one_line(str(ended.get("hint", "")), 1000),
            attempt=attempt,
        )
    if elsewhere:
        return State(
            state="away",
            attempt=attempt,
            host=elsewhere,
            message=f"on {elsewhere}, last line {_age(run)} ago",
        )
    try:
        status = summary(run).status
    except Problem:
        status = None  # a log that cannot be read says nothing about the end
    if status and status.state in ENDED and status.attempt == attempt:
        return State(state=status.state, cause=status.cause, message=status.message, hint=status.hint, attempt=attempt)
    if holder.get("boot") != lock.boot_id():
        return State(
            state="failed",
            cause="restart",
            message="The machine was restarted.",
            hint="`dlwb resume` goes on from its last checkpoint.",
            attempt=attempt,
        )
    return State(
        state="failed",
        cause="vanished",
        message="Its processes were killed from outside, all at once.",
        hint="`dlwb resume` goes on from its last checkpoint; `dlwb doctor` looks for logind's KillUserProcesses.",
        attempt=attempt,
    )


def attempts(run: Run) -> int:
    """How often it was started; from what else is there when the lock file is damaged, since two attempts of one number would mix."""
    said = whole(lock.content(run.lock).get("attempt"))
    if said or not run.events.exists():
        return said
    try:
        status = summary(run).status
    except Problem:
        status = None
    return max(whole(atomic.read_object(run.path / "exit.json").get("attempt")), status.attempt if status else 0)


def whole(value: Any) -> int:
    """The whole number that a file of a run should hold; 0 for anything else."""
    return value if type(value) is int else 0


def _age(run: Run) -> str:
    try:
        return f"{time.time() - run.events.stat().st_mtime:.0f} s"
    except OSError:
        return "?"


def summary(run: Run) -> Summary:
    """The log in a few numbers; kept in summary.json, and made anew only when the log has grown."""
    kept = kept_summary(run)
    if kept is not None:
        return kept
    size = log_size(run)
    history = History()
    history.fold(Tail(run.events).read())
    made = summarize(history, size)
    if not lock.is_held(run.lock):
        keep_summary(run, made)
    return made


def log_size(run: Run) -> int:
    """Bytes of the log; 0 where there is none yet."""
    try:
        return run.events.stat().st_size
    except OSError:
        return 0


def kept_summary(run: Run) -> Summary | None:
    """What summary.json says, or None where the log has grown since; an empty summary where there is no log."""
    size = log_size(run)
    if not size:
        return Summary(size=0)
    try:
        kept = msgspec.convert(atomic.read_object(run.path / "summary.json"), Summary)
    except msgspec.ValidationError:
        return None
    return kept if kept.size == size else None


def keep_summary(run: Run, made: Summary) -> None:
    """Write summary.json, for the next list."""
    try:
        atomic.write(run.path / "summary.json", msgspec.json.encode(made), sync=False)
    except OSError:
        pass  # a list is no reason to fail on a full disk


def _ready(history: History) -> float:
    first = next((each for each in history.statuses if each.state == "running"), None)
    return max(0.0, first.clock - history.statuses[0].clock) if first and first.attempt == history.statuses[0].attempt else 0.0


def summarize(history: History, size: int) -> Summary:
    """A folded history in a few numbers."""

    def finite(value: float | None) -> Figure:
        return value if value is not None and value - value == 0 else str(value)  # type: ignore[return-value]

    tags = [tag for tag in history.series if not tag.startswith("system/")]
    return Summary(
        size=size,
        step=history.step,
        steps=history.steps,
        epoch=history.epoch,
        started=history.started,
        updated=history.updated,
        seconds=history.seconds,
        device=history.device,
        variant=history.variant,
        demo=history.demo,
        steps_per_epoch=history.steps_per_epoch,
        ready=_ready(history),
        memory={tag: found[1] for tag in MEMORY if tag in history.series and (found := history.series[tag].extremes())},
        last={tag: finite(history.last(tag)) for tag in tags},
        best={tag: finite(history.best(tag)) for tag in tags},
        status=history.status if history.statuses else None,
    )
