"""Run directories: create, list, find, launch, ask after, command. The shell and the terminal program work through this."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench import atomic, control, devices, lock, paths, trust, yaml_reader
from workbench import recipe as recipes
from workbench.events import Status
from workbench.history import History
from workbench.log import Tail
from workbench.problems import Problem, one_line
from workbench.recipe import Loaded, Recipe, dump

ENDED = ("finished", "stopped", "failed")


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
    last: dict[str, float | str] = {}
    best: dict[str, float | str] = {}
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
        return _json(self.path / "run.json")

    def code_has_changed(self) -> bool:
        """Whether a shipped project's source is not what trained this run. A person's own file is always the run's copy."""
        try:
            name = self.recipe().project
            return not name.endswith(".py") and (paths.projects() / f"{name}.py").read_bytes() != self.project_copy.read_bytes()
        except (OSError, Problem):
            return True


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes().decode("utf-8", "replace"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def start(name: str, settings: Sequence[str] = (), device: str = "") -> Run:
    """Read a recipe, choose its device, make a run of it and launch it: what `dlwb run` and Enter do."""
    loaded = recipes.load(recipes.find(name), settings)
    kinds = loaded.schema.devices if loaded.schema else ("cpu",)
    run = create(loaded, devices.best_device(kinds, device or loaded.recipe.compute.device))
    launch(run)
    return run


def create(loaded: Loaded, device: str) -> Run:
    """Make the run directory of a recipe that was read; nothing runs yet. `device` is resolved: cpu or cuda:N."""
    source = loaded.project_file or paths.projects() / f"{loaded.recipe.project}.py"
    if loaded.project_file and not trust.is_trusted(loaded.project_file):
        raise Problem(
            f"{loaded.project_file} is not trusted, so it was not run.", f"`dlwb trust {loaded.project_file}` if you know what it does."
        )
    recipe = msgspec.structs.replace(
        loaded.recipe,
        project="./project.py" if loaded.project_file else loaded.recipe.project,
        compute=msgspec.structs.replace(
            loaded.recipe.compute, device=device, threads=loaded.recipe.compute.threads or len(os.sched_getaffinity(0))
        ),
    )
    base = f"{time.strftime('%Y-%m-%d_%H%M%S')}_{loaded.stem}"
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
        shutil.copyfile(source, path / "project.py")
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
    if current.attempt and not current.alive and run.code_has_changed():
        if not anyway:
            raise Problem(
                f"The code of {run.recipe().project} has changed since {run.id} was trained, so it might not resume exactly.",
                "`dlwb resume --anyway` goes on with the new code.",
            )
        run.project_copy.replace(run.path / f"project.attempt{current.attempt}.py")
        shutil.copyfile(paths.projects() / f"{run.recipe().project}.py", run.project_copy)
    offset = run.control.stat().st_size if run.control.exists() else 0
    environment = dict(os.environ)
    mirror = run.about().get("mirror")
    if mirror and "DLWB_MIRROR" not in environment:
        environment["DLWB_MIRROR"] = mirror
    command = [*_scope(), sys.executable, "-P", "-m", "workbench.parent", str(run.path.absolute()), str(offset)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 3:
        raise Problem(f"{run.id} is running already.", f"`dlwb run {run.stem}` starts another one.")
    if done.returncode:
        raise Problem(f"{run.id} could not be started: {one_line(done.stderr.strip().rpartition(chr(10))[2]) or done.returncode}.")


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
    found = [Run(paths.runs() / name) for name in sorted(names, reverse=True) if not name.startswith(".")]
    return [run for run in found if (run.path / "recipe.yaml").exists()]


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
    attempt = int(holder.get("attempt", 0))
    elsewhere = holder.get("host", "") if holder.get("host", lock.host()) != lock.host() else ""
    if lock.is_held(run.lock):
        return State(
            state=str(holder.get("state", "starting")),
            alive=True,
            attempt=attempt,
            host=elsewhere,
            message=str(holder.get("message", "")),
        )
    if not attempt:
        return State(state="created", message="never started")
    ended = _json(run.path / "exit.json")
    if ended.get("attempt") == attempt:
        return State(
            state=str(ended.get("state", "failed")),
            cause=str(ended.get("cause", "")),
            message=one_line(str(ended.get("message", "")), 1000),
            hint=one_line(str(ended.get("hint", "")), 1000),
            attempt=attempt,
        )
    if elsewhere:
        return State(
            state="away",
            attempt=attempt,
            host=elsewhere,
            message=f"on {one_line(elsewhere)}, last line {_age(run)} ago",
        )
    status = summary(run).status
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
    except FileNotFoundError:
        return 0


def kept_summary(run: Run) -> Summary | None:
    """What summary.json says, or None where the log has grown since; an empty summary where there is no log."""
    size = log_size(run)
    if not size:
        return Summary(size=0)
    try:
        kept = msgspec.json.decode((run.path / "summary.json").read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError):
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

    def finite(value: float | None) -> float | str:
        return value if value is not None and value - value == 0 else str(value)

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
    if not state(run).alive:
        raise Problem(f"{run.id} is not running, so it cannot {verb}.", "`dlwb resume` starts it again.")
    return control.append(run.control, verb, request)


def stop(run: Run) -> None:
    """Ask it to finish its step, save a checkpoint, and end."""
    command(run, "stop")
    if state(run).state in ("queued", "starting"):
        _signal(run, "parent", signal.SIGTERM)


def kill(run: Run) -> None:
    """End it at once, without a checkpoint; what was logged and saved stays."""
    command(run, "kill")
    if not _signal(run, "worker", signal.SIGKILL):
        _signal(run, "parent", signal.SIGTERM)


def _signal(run: Run, which: str, number: int) -> bool:
    holder = lock.content(run.lock)
    if holder.get("host") != lock.host():
        raise Problem(f"{run.id} runs on {one_line(str(holder.get('host')))}.", "Signal it from there.")
    process = holder.get(which) or {}
    return bool(process) and lock.send(int(process["pid"]), int(process["ticks"]), number)


def delete(run: Run) -> None:
    """Move an ended run into .trash/; the lock is held meanwhile, so a run that lives, or is being started, stays."""
    current = state(run)
    if current.state == "away":
        raise Problem(f"{run.id} is {current.message}.", f"Delete it from {current.host}.")
    held = lock.Lock.take(run.lock)
    if held is None:
        raise Problem(f"{run.id} is running.", f"`dlwb stop {run.id}` first.")
    try:
        trash = paths.runs() / ".trash"
        trash.mkdir(exist_ok=True)
        run.path.rename(trash / run.id)
    finally:
        held.release()
