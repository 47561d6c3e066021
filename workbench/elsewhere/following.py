"""Follows the logs of other programs: a small process that writes what they hold into run directories of dlwb, as they grow. No torch.

`python -m workbench.elsewhere.following RUN …` takes the runs' locks, reports that, and reads on until each log has ended or has been
silent for long. Nothing is ever written to the logs themselves.
"""

import contextlib
import json
import os
import signal
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench import files
from workbench.elsewhere import folder
from workbench.elsewhere.found import Ending, Source, remark
from workbench.elsewhere.growing import Replaced
from workbench.elsewhere.sources import source_of
from workbench.events import Answer, Event, Scalars, Status
from workbench.launch import logind
from workbench.problems import Problem, one_line
from workbench.runs import commands, lock
from workbench.runs.ending import Output, keep_room, write_exit
from workbench.runs.log import EventLog
from workbench.runs.own import FOREIGN
from workbench.runs.run import Run, list_runs
from workbench.runs.state import attempts, state_of

EVERY = 0.3
"""Seconds between two looks at the logs."""
SILENCE = 600.0
"""Seconds without a new byte after which a log counts as ended, where its writer does not say it: wandb's own screen waits as long."""
ASK_EVERY = 5.0
"""Seconds between two looks at whether a log is silent."""
LINES = 1 << 18
"""Bytes that are appended at once."""


def open_sources(sources: Sequence[Source]) -> list[Run]:
    """The run that shows each log: the one that showed it before, or a new one. Problem where one cannot be made."""
    known = {str(opened(run).get("path", "")): run for run in reversed(list_runs())}
    runs = []
    for source in sources:
        path = str(source.path.resolve())
        if path not in known:
            about = {"opened": {"path": path, "kind": source.kind}}
            known[path] = folder.make(source.name, source.config, 0, None, ["dlwb", "open", path], project=FOREIGN, more=about)
        runs.append(known[path])
    return runs


def opened(run: Run) -> dict[str, Any]:
    """The log that a run shows: its path and kind; {} for any other run."""
    value = run.about().get("opened")
    return value if isinstance(value, dict) else {}


def begin(runs: Sequence[Run]) -> None:
    """Start the process that follows the logs of these runs; what another one follows, or has ended with nothing new, is left alone."""
    due = [run for run in runs if not lock.is_held(run.lock) and _has_news(run)]
    if not due:
        return
    command = [sys.executable, "-P", "-m", "workbench.elsewhere.following", *(str(run.path.absolute()) for run in due)]
    done = logind.call(command, dict(os.environ))
    if done.returncode:
        reason = one_line(done.stderr.strip().rpartition("\n")[2]) or f"exit code {done.returncode}"
        raise Problem(f"{due[0].id} cannot be followed: {reason}.")


def _has_news(run: Run) -> bool:
    """Whether its log has changed since it was read to its end."""
    return state_of(run).state in ("created", "failed") or files.read_object(run.path / "read.json").get("stamp") != _stamp(run)


def _stamp(run: Run) -> list[list[Any]]:
    """Names, sizes and times of the files of its log."""
    path = Path(str(opened(run).get("path", "")))
    named = [path] if path.is_file() else sorted(path.rglob("*.tfevents.*"))
    stamps = []
    for file in named:
        with contextlib.suppress(OSError):
            about = file.stat()
            stamps.append([file.name, about.st_size, about.st_mtime_ns])
    return stamps


class Follower:
    """Writes one log into its run, as far as it has been written."""

    def __init__(self, run: Run, held: lock.Lock) -> None:
        self.run = run
        self._lock = held
        self._attempt = attempts(run)
        self.path = Path(str(opened(run).get("path", "")))
        keep_room(run.path / "exit.json")
        self._log = EventLog(run.path)
        self._output = Output(run.output)
        self._inbox = commands.Inbox(run.control, commands.size_of(run.control))
        self._grew = 0.0
        """When it was last seen to grow, on this machine's clock: that of the files' machine may differ."""
        self._asked = float("-inf")
        self._told = ""
        self.over = False
        self._restart()

    def _restart(self) -> None:
        """Read the log from its beginning; what the run showed of it before is void."""
        self.source = source_of(self.path)
        self._first = self._clock = 0.0
        self._step, self._epoch = 0, 0.0
        self._steps: dict[str, int] = {}
        self._said: tuple[Any, ...] = ()
        self._write(Status(state="running", from_step=-1, attempt=self._next_attempt()))

    def _next_attempt(self) -> int:
        """A log rewinds with an attempt that is new."""
        self._attempt += 1
        self._lock.write(folder.holder(self._attempt, state="running"))
        return self._attempt

    def look(self) -> None:
        """Take over what is new; end where its writer has ended, or has been silent for long."""
        try:
            self._obey()
            if not self.over:
                self._take()
        except Replaced:
            self._restart()
        except Ending as ending:
            failed = ending.code != 0
            message = f"Its script ended with exit code {ending.code}." if failed else ""
            self.end(Status(state="failed" if failed else "finished", cause="exception" if failed else "", message=message))
        except (Problem, OSError) as problem:
            self.end(Status(state="failed", cause="data", message=one_line(str(problem), 500)))
        else:
            if not self.over and self._is_silent():
                torn = " Its last line has no end, and is left out." if self.source.unfinished else ""
                message = f"Nothing new for {SILENCE / 60:.0f} minutes: its program has ended, or hangs.{torn}"
                self.end(Status(state="stopped", message=message))

    def _take(self) -> None:
        lines = bytearray()
        before = self._step
        try:
            for event in self.source.events():
                self._place(event)
                if isinstance(event, Scalars) and not self._forward(event):
                    continue
                lines += self._log.line(event)
                if len(lines) > LINES:
                    self._log.append(bytes(lines))
                    lines.clear()
        finally:
            # Also what stands before its ending.
            if lines:
                self._log.append(bytes(lines))
                self._grew = time.time() if before else 0.0
            if printed := self.source.printed():
                self._output.write(printed)
            self._describe()

    def _place(self, event: Event) -> None:
        """Give it a time where its log has none, and durations that its times tell."""
        event.time = event.time or self._modified()
        self._first = self._first or event.time
        # Event files are read one after the other, and each begins anew.
        event.clock = self._clock = max(self._clock, event.time - self._first)
        if isinstance(event, Status):
            event.attempt = self._next_attempt()
            self._steps = {tag: min(step, event.from_step) for tag, step in self._steps.items()}
        self._step, self._epoch = event.step, max(self._epoch, event.epoch)

    def _forward(self, event: Scalars) -> bool:
        """Leave out values whose step is before the last one of their tag: curves go forward. False where none is left."""
        values = {tag: value for tag, value in event.values.items() if self._steps.get(tag, -1) <= event.step}
        if len(values) < len(event.values):
            self.source.left_out["values whose step goes back"] += len(event.values) - len(values)
            event.values = values
        self._steps.update(dict.fromkeys(values, event.step))
        return bool(values)

    def _write(self, event: Event) -> None:
        """Append an event of our own, on the clock of the log: durations are those of its program."""
        event.time, event.clock = time.time(), self._clock
        self._log.append(self._log.line(event))

    def _describe(self) -> None:
        said = (self.source.name, dict(self.source.config))
        if said != self._said:
            folder.write_recipe(self.run, self.source.name, self.source.config, 0, FOREIGN)
            self._said = said
        if (left_out := remark(self.source)) and left_out != self._told:
            self._told = left_out
            self._output.write(f"dlwb: {left_out}\n".encode())

    def _obey(self) -> None:
        for command in self._inbox.poll():
            ends = command.verb in commands.ENDING
            answer = Answer(command=command.id, ok=ends, message="" if ends else "dlwb only reads this log: its program is not dlwb's.")
            self._write(answer)
            if ends:
                self.end(Status(state="stopped", cause="person", message="No longer read; its program goes on."))

    def _modified(self) -> float:
        times = [stamp[2] for stamp in _stamp(self.run)]
        return max(times) / 1e9 if times else time.time()

    def _is_silent(self) -> bool:
        # Not at every look: it asks for the times of all files.
        if (now := time.monotonic()) < self._asked + ASK_EVERY:
            return False
        self._asked = now
        return time.time() - max(self._modified(), self._grew) > SILENCE

    def end(self, status: Status) -> None:
        """Write the last line and how it ended, and free the run."""
        status.step, status.epoch, status.attempt = self._step, self._epoch, self._attempt
        with contextlib.suppress(OSError, Problem):
            self._write(status)
            self._log.close()
        with contextlib.suppress(OSError):
            write_exit(
                self.run.path, self._attempt, {"state": status.state, "cause": status.cause, "message": status.message, "step": self._step}
            )
            files.write(self.run.path / "read.json", json.dumps({"stamp": _stamp(self.run)}).encode(), sync=False)
        self._output.close()
        self._lock.release()
        self.over = True


def follow(followers: list[Follower]) -> None:
    """Look at every log in turn until all are over; SIGTERM ends it."""
    asked: list[int] = []

    def on_sigterm(number: int, frame: types.FrameType | None) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, on_sigterm)
    while followers and not asked:
        for follower in followers:
            follower.look()
        followers = [follower for follower in followers if not follower.over]
        time.sleep(EVERY)
    for follower in followers:
        follower.end(Status(state="stopped", cause="signal", message="No longer read: its reader was ended."))


def main(paths: list[str]) -> int:
    """Fork; the child takes the locks, reports that, and follows."""
    ready, signal_ready = os.pipe()
    if os.fork():
        os.close(signal_ready)
        answer = os.read(ready, 1)
        return answer[0] if answer else 1
    os.close(ready)
    os.setsid()
    try:
        runs = [Run(Path(path)) for path in paths]
        held = [(run, lock.Lock.take(run.lock)) for run in runs]
        followers = [Follower(run, taken) for run, taken in held if taken]  # what another process follows is left to it
    except (OSError, Problem) as error:
        print(error, file=sys.stderr, flush=True)  # its last line is what a person gets to read
        return 1
    os.write(signal_ready, b"\x00")
    os.close(signal_ready)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    follow(followers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
