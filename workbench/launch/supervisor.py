"""The small process above each worker: `python -m workbench.launch.supervisor RUN CONTROL_OFFSET DEVICE…`. No torch, about 10 MB.

It holds the run's lock, waits for the first free one of the devices, starts the worker, limits the size of its output, and writes
how it ended, so that every ending has a named cause.
"""

import contextlib
import errno
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from workbench import files, paths
from workbench.launch import signalling
from workbench.launch.device_queue import DeviceQueue
from workbench.launch.surroundings import worker_environment
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import dump_recipe
from workbench.runs import commands, lock
from workbench.runs.ending import Output, keep_room, process, write_exit
from workbench.runs.run import Run
from workbench.runs.state import attempts, whole

if TYPE_CHECKING:
    from workbench.launch.waiting import Worker

LOOK_EVERY, KILLS_EVERY = 0.5, 2.0
"""Seconds between two checks of the worker, and of the kernel's count of out-of-memory kills."""
QUEUE_EVERY = 0.2
"""Seconds between two looks for a free device."""


class Ended(Exception):
    """SIGTERM arrived while it waited for a device."""


class Supervisor:
    """One attempt at a run."""

    WORKER = "Its worker"
    """What it calls the process below it."""
    AFTER = "`dlwb resume` continues from its last checkpoint."
    """What a person can do after a death."""

    def __init__(self, run: Run, offset: int, devices: list[str], held: lock.Lock, attempt: int, waiting: "Worker | None" = None) -> None:
        self.run = run
        self.offset = offset
        self.devices = devices
        """Those that it may take, the best one first."""
        self.lock = held
        self.attempt = attempt
        self.waiting = waiting
        """A process with torch imported that waits to become the worker."""
        self.worker: subprocess.Popen[bytes] | None = None
        self.taken: list[lock.Lock] = []
        """The locks of its devices."""
        self.names: list[str] = []
        """And their names: one for each of its processes."""
        self._kills = [_oom_kills()] * 2
        self._looked = time.monotonic()
        self._signals = signalling.Watch(run, attempt)
        self._mute = False
        """Whether signals cannot be given, which is said once."""
        self._got_sigterm = False
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self.holder: dict[str, Any] = {"host": lock.host(), "boot": lock.boot_id(), "attempt": attempt}
        self.holder.update(parent=process(os.getpid()), state="queued")
        self.lock.write(self.holder)

    def watch(self) -> None:
        """Wait for the device, run the worker to its end, write exit.json."""
        try:
            self._queue()
            report = self._work()
        except Ended:
            cause = "person" if self._asked_to("stop") or self._asked_to("kill") else "sigterm"
            report = {"state": "stopped", "cause": cause, "message": "Stopped while it waited for its device."}
        except Problem as problem:
            report = {"state": "failed", "cause": problem.cause, "message": problem.message, "hint": problem.hint}
        except OSError as error:
            cause = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "error"
            message = f"Its worker could not be started: {error.strerror}{f' ({error.filename})' if error.filename else ''}."
            report = {"state": "failed", "cause": cause, "message": message}
        self.write_exit(report)
        self._signal(lambda: self._signals.end(report))

    def write_exit(self, report: dict[str, Any]) -> None:
        """Write how the run ended."""
        write_exit(self.run.path, self.attempt, report)

    def _queue(self) -> None:
        recipe = self.run.recipe()
        names = [name for name in self.devices or [recipe.compute.device] if name.startswith("cuda")]
        if not names:
            return
        queue = DeviceQueue(names, recipe.compute.processes, self.run.id)
        inbox = commands.Inbox(self.run.control, self.offset, queueing=True)
        try:
            while not (taken := queue.take()):
                if self.waiting:  # nobody knows for how long it would hold its memory
                    self.waiting.end()
                    self.waiting = None
                if self.holder.get("message") != queue.words:
                    self.holder["message"] = queue.words
                    self.lock.write(self.holder)
                if self._got_sigterm:
                    raise Ended
                time.sleep(QUEUE_EVERY)
                for command in inbox.poll():
                    queue.obey(command)
        finally:
            queue.leave()
        for name, held in taken:
            held.write({"run": self.run.id, "host": lock.host(), "device": name})
            self.taken.append(held)
            self.names.append(name)
        name = self.names[0]
        if name != recipe.compute.device:
            recipe = msgspec.structs.replace(recipe, compute=msgspec.structs.replace(recipe.compute, device=name))
            files.write(self.run.path / "recipe.yaml", dump_recipe(recipe).encode(), sync=False)

    def _work(self) -> dict[str, Any]:
        report_end, report_start = os.pipe()
        handed = {"DLWB_LOCK": self.lock.file, "DLWB_REPORT": report_start}
        handed.update({f"DLWB_DEVICE_LOCK_{place}": held.file for place, held in enumerate(self.taken)})
        self.worker = self._start_worker(handed)
        # Only the worker keeps the writing end of the pipe.
        os.close(report_start)
        if self._got_sigterm:
            self.worker.send_signal(signal.SIGTERM)
        self.holder.update(state="starting", message="", worker=process(self.worker.pid))
        self.lock.write(self.holder)
        last = copy_output(self.worker, self.run.output, self._look)
        code = self.worker.wait()
        # A child process of the project may still hold the other end open, so reading must not block.
        os.set_blocking(report_end, False)
        report = {}
        with contextlib.suppress(BlockingIOError, ValueError):
            # Of several processes the first one that failed speaks first; the others only lost it.
            report = json.loads(os.read(report_end, 1 << 16).partition(b"\n")[0])
        os.close(report_end)
        reported = {key: report[key] for key in ("state", "cause", "message", "hint", "step") if key in report}
        if not reported and (count := whole(report.get("of"))):
            return self._named(whole(report.get("code")) or code, last, f"Process {whole(report.get('rank')) + 1} of {count}")
        return reported or self._named(code, last)

    def _start_worker(self, handed: Mapping[str, int]) -> subprocess.Popen[bytes]:
        """Start the worker, or let the process that waits become it; `handed` are the files that it gets, by variable."""
        compute = self.run.recipe().compute
        environment = worker_environment(os.environ, compute.threads) | {"DLWB_CONTROL_OFFSET": str(self.offset)}
        module, arguments = "workbench.training.worker", [str(self.run.path)]
        if compute.processes * compute.nodes > 1:
            module = "workbench.training.torchrun"
            arguments.append(str(compute.processes))
            environment["DLWB_DEVICES"] = ",".join(self.names)
        if self.waiting:
            with contextlib.suppress(OSError):
                self.waiting.become(module, arguments, environment, handed)
                return self.waiting.process
            self.waiting.end()
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(handed.values()),
            env=environment | {name: str(file) for name, file in handed.items()},
            cwd=paths.working_folder(),
        )

    def _look(self) -> None:
        """Remember the kernel's count of kills for a short time, so that only a recent kill counts as the cause."""
        now = time.monotonic()
        if now > self._looked + KILLS_EVERY:
            self._looked = now
            self._kills = [self._kills[1], _oom_kills()]
        self._signal(self._signals.look)

    def _signal(self, give: Callable[[], None]) -> None:
        """Let signals be given: whatever fails in it must end neither the worker nor the report of its end."""
        try:
            give()
        except Exception as error:
            if not self._mute:
                signalling.note(self.run.output, f"No signal can be given: {error}")
            self._mute = True

    def _named(self, code: int, last: str, who: str = "") -> dict[str, Any]:
        """The ending of a worker that could not report it itself, from its exit code or signal."""
        if code >= 0:
            message = f"{who or self.WORKER} ended with exit code {code}" + (f": {last}" if last else ".")
            return {"state": "failed", "cause": "exception", "message": message, "hint": "`dlwb logs` shows more.", "code": code}
        if -code == signal.SIGTERM and self._got_sigterm:  # SIGTERM came before the worker could handle it
            cause = "person" if self._asked_to("stop") else "sigterm"
            return {"state": "stopped", "cause": cause, "message": "Asked to end before its first step."}
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
        ending = {"state": "failed", "signal": -code, "hint": self.AFTER}
        if -code == signal.SIGKILL:
            if self._asked_to("kill"):
                return {**ending, "state": "stopped", "cause": "killed", "message": "Killed by a person."}
            if _oom_kills() > self._kills[0]:
                return {**ending, "cause": "memory", **self._out_of_memory()}
        crashed = -code in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
        if crashed:
            text = f"{who or self.WORKER} crashed"
        else:
            text = f"{who} was killed from outside" if who else "Killed from outside"
        return {**ending, "cause": "signal", "message": f"{text}: {name}."}

    def _out_of_memory(self) -> dict[str, str]:
        """What the kernel's kill says about the run: before its first step no batch was the reason."""
        holder = lock.content(self.run.lock)
        if holder.get("state") == "starting":
            moment = one_line(str(holder.get("message") or "starting"))
            hint = "The batch size does not matter here: use less data, a smaller model, or a machine with more memory."
            return {"message": f"Out of memory before its first step ({moment}): the kernel killed it.", "hint": hint}
        return {
            "message": "Out of memory: the kernel killed it.",
            "hint": "Use a smaller train.batch_size, or a machine with more memory.",
        }

    def _asked_to(self, verb: str) -> bool:
        return any(command.verb == verb for command in commands.commands(commands.part(self.run.control, self.offset)))

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        self._got_sigterm = True
        if self.worker is not None:
            self.worker.send_signal(signal.SIGTERM)


def copy_output(process: "subprocess.Popen[bytes]", path: Path, look: Callable[[], None]) -> str:
    """Copy what a process prints to a file of bounded size until it ends; returns its last line. `look` is called every LOOK_EVERY."""
    assert process.stdout
    last, looked = b"", time.monotonic()
    stream = process.stdout.fileno()
    output = Output(path)
    while True:
        ended = process.poll() is not None
        if not ended and time.monotonic() > looked + LOOK_EVERY:  # also of one that prints all the time
            looked = time.monotonic()
            look()
        if not select.select([stream], [], [], 0 if ended else LOOK_EVERY)[0]:
            if ended:
                break  # a child process of the project may hold the pipe open without limit
            continue
        data = os.read(stream, 1 << 16)
        if not data:
            break
        last = (last + data)[-2000:]
        output.write(data)
    output.close()
    lines = [line for line in last.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _oom_kills() -> int:
    """How often this machine's kernel has killed a process for lack of memory, in any cgroup (proc_vmstat(5), oom_kill)."""
    with contextlib.suppress(OSError):
        if count := re.search(r"^oom_kill (\d+)", Path("/proc/vmstat").read_text(), re.MULTILINE):
            return int(count[1])
    return 0


def begin(
    run: Run, offset: int, devices: list[str], waiting: "Worker | None" = None, *, kind: Callable[..., Supervisor] = Supervisor
) -> tuple[int, str, Supervisor | None]:
    """Take the run's lock. Returns 0 and a supervisor, or 3: the lock is held; 4: this is not a run; 1 with a sentence."""
    try:
        held = lock.Lock.take(run.lock)
        # Between opening and locking the file, the run may have been moved into the trash together with its lock.
        if held and not (os.path.samestat(os.fstat(held.file), os.stat(run.lock)) and (run.path / "recipe.yaml").exists()):  # noqa: PTH116
            raise FileNotFoundError
    except FileNotFoundError:
        return 4, "", None
    except OSError as error:
        return _refused(error, run.lock)
    if held is None:
        return 3, "", None
    before = attempts(run)
    supervisor = kind(run, offset, devices, held, before + 1, waiting)
    try:
        keep_room(run.path / "exit.json")
    except OSError as error:
        with contextlib.suppress(OSError):
            held.write({**supervisor.holder, "attempt": before})  # this attempt never started
        return _refused(error, run.path / "exit.json")
    return 0, "", supervisor


def _refused(error: OSError, file: Path) -> tuple[int, str, None]:
    return 1, str(files.problem(str(file), "written", error, file)), None


def detach() -> int:
    """Go on in a child process with a session of its own; returns a pipe: the parent ends with the exit code that is written to it."""
    ready, signal_ready = os.pipe()
    if os.fork():
        os.close(signal_ready)
        answer = os.read(ready, 1)
        sys.exit(answer[0] if answer else 1)
    os.close(ready)
    os.setsid()
    return signal_ready


def let_go(signal_ready: int, code: int) -> None:
    """End the parent with that exit code, and have no terminal and no pipe of its any more."""
    os.write(signal_ready, bytes([code]))
    os.close(signal_ready)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def main(words: list[str], kind: type[Supervisor] = Supervisor) -> int:
    """Fork; the child takes the lock, reports that, and supervises the run. The exit codes are those of `begin`."""
    signal_ready = detach()
    code, message, supervisor = begin(Run(Path(words[0])), int(words[1]), words[2:], kind=kind)
    if message:
        print(message, file=sys.stderr, flush=True)  # the last line on stderr is what a person gets to read
    let_go(signal_ready, code)
    if supervisor:
        supervisor.watch()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
