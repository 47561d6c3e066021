"""The process that trains: `python -m workbench.worker RUN`.

Also `--answer RUN` (JSON lines both ways), `--describe PROJECT`, and `--look DATA` (a set of the catalogue, or a path).
"""

import contextlib
import errno
import faulthandler
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from workbench import control, devices, estimate, lock
from workbench.checkpoint import Checkpoints
from workbench.control import Inbox
from workbench.datasets.fetch import progress, tell
from workbench.events import Answer, Status, spelled
from workbench.history import History
from workbench.loading import find_project, make_project
from workbench.log import EventLog, Tail, disk_full
from workbench.meters import Meters
from workbench.problems import Problem, one_line
from workbench.project import Project, Settings
from workbench.runs import Run, attempts
from workbench.training import Training


def named(error: BaseException, run: Run) -> Problem:
    """Any error as a Problem with the cause by which `dlwb runs` and the screen name it."""
    if isinstance(error, Problem):
        return error
    text = one_line(str(error))
    where = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
    if type(error).__name__ == "OutOfMemoryError":
        return Problem(f"The device's memory is full: {text}", _smaller(run, text), cause="device-memory")
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return Problem(f"Out of memory{place}: {text}", _smaller(run), cause="memory")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(Path(error.filename or run.path))
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in text:
        return Problem(
            f"The device failed{place}: {text}", "`dlwb doctor` looks at the device; the driver's log (dmesg) may say more.", cause="device"
        )
    if isinstance(error, ImportError):
        return Problem(f"{type(error).__name__}: {text}{place}.", cause="import")
    return Problem(f"{type(error).__name__}: {text}{place}.", "The traceback is in its output (`dlwb logs`).", cause="exception")


def _smaller(run: Run, text: str = "") -> str:
    """The batch size that would likely fit, from past runs and what torch said, and who else is on the device."""
    try:
        recipe = run.recipe()
    except Exception:
        return "Use a smaller batch."
    device, size = recipe.compute.device, recipe.train.batch_size
    points = estimate.points_of(recipe, device, estimate.past_runs(run.stem)) if text else {}
    others = [
        msgspec.structs.replace(each, holders=tuple(holder for holder in each.holders if holder.pid != os.getpid()))
        for each in devices.accelerators()
        if each.name == device and text
    ]
    on_it = [f" Also on it: {who}." for each in others if (who := devices.held_by(each))]
    if size == 1:
        return f"Its batches have one example already: use a smaller model or another device.{''.join(on_it)}"
    fits = estimate.after_full(text, size, points)
    return f"Batches of {fits} would likely fit: --set train.batch_size={fits}.{''.join(on_it)}"


class Stopped(BaseException):
    """SIGTERM before the loop began."""


class Worker:
    """One attempt at a run, from taking over the lock to the report to the parent."""

    def __init__(self, path: Path) -> None:
        self.run = Run(path)
        self.lock, self.holder = _take_over(self.run)
        self.attempt = int(self.holder["attempt"])
        self.offset = int(os.environ.pop("DLWB_CONTROL_OFFSET", "0"))
        self.training: Training | None = None
        self._ending = False
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def work(self) -> Status:
        """Train; never raises for what can be named."""
        log: EventLog | None = None
        try:
            log = EventLog(self.run.path)
            ending = self._train(log)
        except Stopped:
            ending = Status(state="stopped", cause="sigterm", message="Asked to end before its first step.", attempt=self.attempt)
            if any(each.verb == "stop" for each in Inbox(self.run.control, self.offset).poll()):
                ending = Status(state="stopped", cause="person", message="Stopped by a person before its first step.", attempt=self.attempt)
        except BaseException as error:
            self._ending = True
            problem = named(error, self.run)
            if not isinstance(error, Problem):
                traceback.print_exc()
            ending = Status(state="failed", cause=problem.cause, message=problem.message, hint=problem.hint, attempt=self.attempt)
        else:
            log.close()
            return ending
        if log is not None:
            step, epoch = (self.training.step, self.training.epoch) if self.training else (0, 0)
            ending.step, ending.epoch = step, epoch
            with contextlib.suppress(Exception):  # a full disk: the parent's exit.json has room of its own
                log.write(ending)
                log.close()
        return ending

    def _train(self, log: EventLog) -> Status:
        past = History()
        past.fold(Tail(self.run.events).read())
        recipe = self.run.recipe()
        self._turn("starting", f"importing {recipe.project}")
        step = past.step if past.attempt else 0
        warning = one_line(str(self.run.about().get("warning", "")), 1000)
        log.write(Status(state="starting", attempt=self.attempt, message=f"importing {recipe.project}", step=step, warning=warning))
        project = make_project(self.run, recipe)
        self._turn("starting", "reading its data")
        log.write(Status(state="starting", attempt=self.attempt, message="reading its data", step=step))
        told = progress.set(self._fetching)
        project.build()
        progress.reset(told)
        for command in self._unanswered(past):
            log.write(Answer(command=command.id, ok=False, message="The run ended before this could be done.", step=step))
        self.training = Training(
            project,
            recipe,
            log,
            Checkpoints(self.run.path / "checkpoints"),
            inbox=Inbox(self.run.control, self.offset),
            meters=Meters(recipe.compute.device),
            announce=self._turn,
            past=past,
            attempt=self.attempt,
            device=_title(recipe.compute.device),
        )
        return self.training.fit()

    def _unanswered(self, past: History) -> list[control.Command]:
        answered = {answer.command for answer in past.answers} | {mark.command for mark in past.marks}
        data = self.run.control.read_bytes()[: self.offset] if self.run.control.exists() else b""
        return [each for each in control.commands(data) if each.id not in answered and each.verb not in ("stop", "kill")]

    def _turn(self, state: str, message: str = "") -> None:
        """Say in the lock file what this run is doing, for lists that do not read its log."""
        self.holder.update(state=state, message=message, worker={"pid": os.getpid(), "ticks": lock.start_ticks(os.getpid())})
        self.lock.write(self.holder)

    def _fetching(self, name: str, done: int, total: int) -> None:
        """Say in the lock file, and on the console, how far a download is: it may take longer than the training."""
        tell(name, done, total)
        message = f"fetching {name}: {done * 100 // total} %" if done < total else "reading its data"
        if message != self.holder.get("message"):
            self._turn("starting", message)

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        if self.training is not None:
            self.training.terminate = True
        elif not self._ending:
            self._ending = True
            raise Stopped


def _take_over(run: Run) -> tuple[lock.Lock, dict[str, Any]]:
    """The lock that the parent handed down, or one taken here where the worker was started by hand."""
    device = os.environ.pop("DLWB_DEVICE_LOCK", "")
    if device:
        os.set_inheritable(int(device), False)
        lock.Lock(int(device))
    handed = os.environ.pop("DLWB_LOCK", "")
    if handed:
        os.set_inheritable(int(handed), False)
        return lock.Lock(int(handed)), lock.content(run.lock)
    held = lock.Lock.take(run.lock)
    if held is None:
        raise Problem(f"{run.id} is running already.")
    attempt = attempts(run) + 1
    return held, {"host": lock.host(), "boot": lock.boot_id(), "attempt": attempt}


def _title(device: str) -> str:
    if device.startswith("cuda") and "torch" in sys.modules:
        return f"{device} {sys.modules['torch'].cuda.get_device_name(device)}"
    return device


class _Unbreakable:
    """stdout that goes on when nobody reads it any more: the parent may be killed, the training must not be."""

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


def train(path: Path) -> int:
    """Train a run; 0 when it ended as it should, 1 when it failed. The report goes to the parent's pipe."""
    report = int(os.environ.pop("DLWB_REPORT", "-1"))
    if report >= 0:
        os.set_inheritable(report, False)
    faulthandler.enable()
    sys.stdout, sys.stderr = _Unbreakable(sys.stdout), _Unbreakable(sys.stderr)
    try:
        ending = Worker(path).work()
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    if report >= 0:
        with contextlib.suppress(OSError):
            os.write(report, msgspec.json.encode(ending))
    if ending.state == "failed":
        print(f"{ending.message} {ending.hint}".strip(), file=sys.stderr)
    return 1 if ending.state == "failed" else 0


def describe(name: str) -> int:
    """Print what a project's settings and requests may be, as one JSON object."""
    try:
        kind = find_project(Path(name) if name.endswith(".py") else name)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    said = {
        "config": _schema(kind.Config),
        "request": _schema(kind.Request),
        "devices": kind.devices,
        "can_answer": kind.can_answer,
        "takes": kind.takes,
        "about": (inspect.getdoc(kind) or "").partition("\n")[0],
    }
    print(json.dumps(said))
    return 0


def _schema(settings: type[Settings]) -> dict[str, Any]:
    """A class's own settings in their order, before those that it shares with others."""
    schema = settings.model_json_schema()
    own = list(inspect.get_annotations(settings))
    order = sorted(schema["properties"], key=lambda name: own.index(name) if name in own else len(own))
    return {**schema, "properties": {name: schema["properties"][name] for name in order}}


def answer(path: Path) -> int:
    """Load a run's best weights and answer JSON lines: `{"id", "predict": inputs}` or `{"id", "sample": request}` → `{"id", "ok", …}`.

    Before it is ready, lines `{"doing": "reading its data"}` say what it is at.
    `{"id", "reload": true}` takes the best weights that there are by now, and answers with their step.
    """
    run = Run(path)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the project prints must not stand between the answers

    def doing(what: str) -> None:
        print(json.dumps({"doing": what}), file=out)

    try:
        recipe = run.recipe()
        recipe = msgspec.structs.replace(recipe, compute=msgspec.structs.replace(recipe.compute, device="cpu"))
        project = make_project(run, recipe)
        project.build(doing)
        doing("loading its weights")
        step = _load_best(project, run)
        about = {"demo": project.demo, "variant": project.variant, "takes": project.takes, "form": project.form()}
    except BaseException as error:
        print(json.dumps({"ok": False, "message": str(named(error, run))}), file=out)
        return 1
    print(json.dumps({"ok": True, "ready": True, "step": step, **about}), file=out)
    for line in sys.stdin:
        print(json.dumps(_answered(project, line, run)), file=out)
    return 0


def _load_best(project: Project, run: Run) -> int:
    """Returns the step that the weights are of."""
    found = Checkpoints(run.path / "checkpoints").best(project.decode_state)
    if found is None:
        raise Problem(f"{run.id} has no checkpoint to answer from.", "Let it train until its first one.")
    project.load_state(found[1]["state"])
    return found[0].step


def look(reference: str) -> int:
    """Print what a data set, or a person's own file or folder, holds: `{"ok", "title"}`, then an event on each line."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        module = importlib.import_module("workbench.datasets.look")
        title = module.title(reference)
        print(json.dumps({"ok": True, "title": title}), file=out)
        for event in module.look(reference):
            print(msgspec.json.encode(spelled(msgspec.to_builtins(event))).decode(), file=out)
    except Exception as error:
        if not isinstance(error, Problem):
            traceback.print_exc()
        problem = error if isinstance(error, Problem) else Problem(f"{type(error).__name__}: {one_line(str(error))}.")
        print(json.dumps({"ok": False, "message": problem.message, "hint": problem.hint}), file=out)
        return 1
    return 0


def _answered(project: Project, line: str, run: Run) -> dict[str, Any]:
    try:
        asked = json.loads(line)
        identity = asked.get("id")
    except (ValueError, AttributeError):
        return {"ok": False, "message": "A request is one JSON object on one line."}
    try:
        if asked.get("reload"):
            return {"id": identity, "ok": True, "step": _load_best(project, run)}
        with project.evaluating():
            if "predict" in asked:
                return {"id": identity, "ok": True, "outputs": project.predict(asked["predict"])}
            request = project.Request.model_validate(asked.get("sample") or {})
            shown = [msgspec.to_builtins(event) for event in project.sample(request)]
            return {"id": identity, "ok": True, "events": shown}
    except ValidationError as error:
        first = error.errors()[0]
        return {"id": identity, "ok": False, "message": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}
    except Exception as error:
        if not isinstance(error, Problem):
            traceback.print_exc()
        return {"id": identity, "ok": False, "message": str(named(error, run))}


def main(words: list[str]) -> int:
    """See the module's docstring."""
    if len(words) == 2 and words[0] == "--describe":
        return describe(words[1])
    if len(words) == 2 and words[0] == "--answer":
        return answer(Path(words[1]))
    if len(words) == 2 and words[0] == "--look":
        return look(words[1])
    if len(words) == 1:
        return train(Path(words[0]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
