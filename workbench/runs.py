"""Run directories: create, list, find, launch, ask after, command. The shell and the terminal program work through this."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from workbench import atomic, control, devices, lock, paths, trust, yaml_reader
from workbench import recipe as recipes
from workbench.events import Status
from workbench.history import History
from workbench.log import Tail
from workbench.problems import Problem, one_line
from workbench.recipe import Loaded, Recipe, dump

ENDED = ("finished", "stopped", "failed")
LIVE = ("queued", "starting", "running", "paused")
Figure = float | Literal["nan", "inf", "-inf", "None"]
"""A number as JSON can hold it; None where there is no finite one."""


PATIENCE = 5.0
"""Seconds that a run's processes may take to say who they are."""


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
            return msgspec.convert(data, Recipe)
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


def start(name: str, settings: Sequence[str] = (), device: str = "") -> Run:
    """Read a recipe, choose its device, make a run of it and launch it: what `dlwb run` and Enter do."""
    loaded = recipes.load(recipes.find(name), settings)
    kinds = loaded.schema.devices if loaded.schema else ("cpu",)
    run = create(loaded, devices.best_device(kinds, device or loaded.recipe.compute.device))
    try:
        launch(run)
    except KeyboardInterrupt:
        if state(run).alive:
            raise Problem(f"{run.id} was started all the same.", f"`dlwb stop {run.id}` ends it.") from None
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def create(loaded: Loaded, device: str) -> Run:
    """Make the run directory of a recipe that was read; nothing runs yet. `device` is resolved: cpu or cuda:N."""
    file = loaded.project_file or paths.projects() / f"{loaded.recipe.project}.py"
    source = trust.read(file) if loaded.project_file else file.read_bytes()
    recipe = msgspec.structs.replace(
        loaded.recipe,
        project="./project.py" if loaded.project_file else loaded.recipe.project,
        compute=msgspec.structs.replace(
            loaded.recipe.compute, device=device, threads=loaded.recipe.compute.threads or len(os.sched_getaffinity(0))
        ),
    )
    stem = "".join(letter if letter.isprintable() else "-" for letter in loaded.stem)
    base = f"{time.strftime('%Y-%m-%d_%H%M%S')}_{stem}"
    path = paths.runs() / base
    number = 1
    try:
        while True:
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                number += 1
                path = paths.runs() / f"{base}~{number}"
        (path / "artifacts").mkdir()
        (path / "checkpoints").mkdir()
        mirror = paths.mirror()
        about = {
            "recipe": str(loaded.path.absolute()),
            "mirror": str(mirror) if mirror else "",
            "created": time.time(),
        }
        (path / "run.json").write_text(json.dumps(about))
        (path / "project.py").write_bytes(source)
        (path / "control.jsonl").touch()
        # Last, because a directory with a recipe is a run.
        atomic.write(path / "recipe.yaml", dump(recipe).encode(), sync=False)
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        raise Problem(
            f"The run directory {path} cannot be made: {error.strerror}.",
            "Free some space or set DLWB_HOME to another disk.",
        ) from error
    return Run(path)


def launch(run: Run, *, anyway: bool = False) -> None:
    """Start, or resume, a run in the background; returns once its parent process holds the lock.

    `anyway` resumes although the project's code is not what it was.
    """
    current = state(run)
    if current.state == "away":
        raise Problem(f"{run.id} is {current.message}.", f"Resume it from {current.host}.")
    if current.state == "finished":
        raise Problem(f"{run.id} has finished, so there is nothing left to go on with.", f"`dlwb run {run.stem}` starts another one.")
    if current.attempt and not current.alive and run.code_has_changed():
        if not anyway:
            raise Problem(
                f"The code of {run.recipe().project} has changed since {run.id} was trained, so it might not resume exactly.",
                "`dlwb resume --anyway` goes on with the new code.",
            )
        _take_new_code(run, current.attempt)
    offset = run.control.stat().st_size if run.control.exists() else 0
    environment = dict(os.environ)
    mirror = run.about().get("mirror")
    if mirror and isinstance(mirror, str) and "DLWB_MIRROR" not in environment:
        environment["DLWB_MIRROR"] = mirror
    command = [*_scope(), sys.executable, "-P", "-m", "workbench.parent", str(run.path.absolute()), str(offset)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 3:
        raise Problem(f"{run.id} is running already.", f"`dlwb run {run.stem}` starts another one.")
    if done.returncode == 4:
        raise Problem(f"{run.path} is no run directory any more.", "Was it deleted? `dlwb runs` lists what there is.")
    if done.returncode:
        raise Problem(f"{run.id} could not be started: {one_line(done.stderr.strip().rpartition(chr(10))[2]) or done.returncode}.")


def _take_new_code(run: Run, attempt: int) -> None:
    """Keep the code that trained it so far under another name, and copy what it goes on with."""
    try:
        code = (paths.projects() / f"{run.recipe().project}.py").read_bytes()
        if run.project_copy.exists():
            run.project_copy.replace(run.path / f"project.attempt{attempt}.py")
        atomic.write(run.project_copy, code)
    except OSError as error:
        raise Problem(f"The code of {run.id} cannot be replaced: {error.strerror} ({error.filename}).") from error


def _scope() -> list[str]:
    """logind may end all of a person's processes at logout; a scope under the user's service manager outlives that (systemd-run(1))."""
    if not kills_at_logout() or not shutil.which("systemd-run") or not Path(f"/run/user/{os.getuid()}/systemd/private").exists():
        return []
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"]


def kills_at_logout(folder: Path = Path("/etc/systemd")) -> bool:
    """Whether logind is told KillUserProcesses=yes (logind.conf(5); a later file in logind.conf.d wins)."""
    answer = False
    for file in [folder / "logind.conf", *sorted(folder.glob("logind.conf.d/*.conf"))]:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition("=")
            if name.strip() == "KillUserProcesses":
                answer = value.strip().lower() in ("yes", "true", "1", "on")
    return answer


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


def find(reference: str) -> Run:
    """The run of that id, of a beginning or part of one that is unique, `last`, or a recipe's newest run."""
    runs = list_runs()
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
    raise Problem(f"There is no run {one_line(reference)}.", "`dlwb runs` lists them.")


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
    said = _whole(lock.content(run.lock).get("attempt"))
    if said or not run.events.exists():
        return said
    try:
        status = summary(run).status
    except Problem:
        status = None
    return max(_whole(atomic.read_object(run.path / "exit.json").get("attempt")), status.attempt if status else 0)


def _whole(value: Any) -> int:
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
        last={tag: finite(history.last(tag)) for tag in tags},
        best={tag: finite(history.best(tag)) for tag in tags},
        status=history.status if history.statuses else None,
    )


def command(run: Run, verb: str, request: dict[str, Any] | None = None) -> str:
    """Ask a live run to do something at its next step; returns the command's id, which its Answer names."""
    current = state(run)
    if not current.alive:
        raise Problem(f"{run.id} is not running, so it cannot {verb}.", "`dlwb resume` starts it again.")
    if current.state == "queued" and verb not in ("stop", "kill"):
        raise Problem(f"{run.id} is {current.message or 'queued'}, so it cannot {verb} yet.", "It can only be stopped now.")
    return control.append(run.control, verb, request)


def stop(run: Run) -> None:
    """Ask it to finish its step, save a checkpoint, and end."""
    try:
        command(run, "stop")
    except OSError:  # a full disk has no room for a word
        _signal(run, "parent", signal.SIGTERM)
    if state(run).state in ("queued", "starting"):
        _until(run, lambda: _signal(run, "parent", signal.SIGTERM))


def kill(run: Run) -> None:
    """End it at once, without a checkpoint; what was logged and saved stays."""
    with contextlib.suppress(OSError):  # then its end is named as if it came from outside
        command(run, "kill")
    _until(run, lambda: _signal(run, "worker", signal.SIGKILL) or _signal(run, "parent", signal.SIGTERM))


def _until(run: Run, reached: Callable[[], bool]) -> None:
    """Signal it until a process of it was there to take it: just after its start the lock file names none yet."""
    deadline = time.monotonic() + PATIENCE
    while not reached() and state(run).alive:
        if time.monotonic() > deadline:
            raise Problem(f"{run.id} lives, but its lock file names no process of it.", "Look for `workbench.worker` with ps.")
        time.sleep(0.05)


def _signal(run: Run, which: str, number: int) -> bool:
    holder = lock.content(run.lock)
    if holder.get("host", lock.host()) != lock.host():
        raise Problem(f"{run.id} runs on {one_line(str(holder.get('host')))}.", "Signal it from there.")
    process = holder.get(which)
    pid, ticks = (_whole(process.get(name)) for name in ("pid", "ticks")) if isinstance(process, dict) else (0, 0)
    return pid > 0 and ticks > 0 and lock.send(pid, ticks, number)


def delete(run: Run) -> None:
    """Move an ended run into .trash/; the lock is held meanwhile, so a run that lives, or is being started, stays."""
    current = state(run)
    if current.state == "away":
        raise Problem(f"{run.id} is {current.message}.", f"Delete it from {current.host}.")
    trash = paths.runs() / ".trash"
    place, number = trash / run.id, 1
    try:
        held = lock.Lock.take(run.lock)
        if held is None:
            raise Problem(f"{run.id} is running.", f"`dlwb stop {run.id}` first.")
        try:
            trash.mkdir(exist_ok=True)
            while place.exists():
                number += 1
                place = trash / f"{run.id}~{number}"
            run.path.rename(place)
        finally:
            held.release()
    except OSError as error:
        raise Problem(f"{run.id} cannot be deleted: {error.strerror} ({error.filename}).") from error
