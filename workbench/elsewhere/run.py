"""`from workbench import Run`: a person's own script as a run, in the lists and on the screen like any other.

    run = Run("name", {"learning_rate": 0.01})
    for step in range(1000):
        run.log({"train/loss": loss}, step)

It never raises for what the script logs, nor for a disk: the training matters more than its log. A wrong type of an argument is a
TypeError. What a sudden death (SIGKILL) takes with it is what was logged in the last half of a second.
"""

import contextlib
import os
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, time
from typing import Any

from workbench import files
from workbench.elsewhere import console, endings, folder, values
from workbench.elsewhere.meters import TreeMeters
from workbench.elsewhere.writer import MOST, Writer
from workbench.events import Event, Matrix, Scalars, Status, Tagged, Text
from workbench.problems import Problem, one_line
from workbench.runs import lock
from workbench.runs.ending import Output, keep_room, process, write_exit
from workbench.runs.log import EventLog
from workbench.runs.run import Run as Directory

UNDER = "DLWB_EXEC_RUN"
"""The environment variable with which `dlwb exec` names the run's directory to the script."""
WRITER = "writer.lock"
"""The file of a run whose lock a script holds while it writes the log: under `dlwb exec` another process writes it before and after."""
PATIENCE = 10.0
"""Seconds that the end of a script waits for its last lines to be written."""
WARNINGS = 20
"""Most sentences that a run prints about what is wrong with it."""
STEP_LIMIT = values.STEP_LIMIT


class Run:
    """One run of a person's own script; also a context manager, which ends it and names the error that ended it.

    `name`: what the lists show, by default the script's. `config`: its settings, a dictionary or the like. `steps`: how many there will
    be in all, where that is known: the screen then shows how much is left.
    """

    def __init__(self, name: str = "", config: Any = None, *, steps: int = 0) -> None:
        if not isinstance(name, str):
            raise TypeError(f"The name of a run is a text, not {type(name).__name__}.")
        settings, left_out = values.settings(config)
        planned = values.step_of(steps) or 0
        self.step = 0
        """The largest step that was logged."""
        self.epoch = 0.0
        self.path: Path | None = None
        """Its directory; None where it records nothing."""
        self._last: dict[str, int] = {}
        """The newest step of each key, as it is written."""
        self._spelled: dict[str, str] = {}
        """How the keys that the script gives are written."""
        self._warned: set[str] = set()
        self._off = ""
        """Why nothing is recorded any more."""
        self._asked = False
        self._looked = False
        """Whether somebody asked it to stop, and whether the script ever looked at that."""
        self._lock: lock.Lock | None = None
        self._output: Output | None = None
        script = folder.this_script()
        title = name.strip() or (script.stem if script else "script")
        if self._is_another(title):
            return
        try:
            self._open(title, settings, planned, script)
        except (OSError, Problem) as error:
            self._off = "its directory cannot be written"
            self._warn("start", f"this run is not recorded: {error}")
            self._let_go()
            return
        if left_out:
            self._warn("config", f"{left_out} of its settings are not recorded: a run keeps {values.SETTINGS}.")

    # -- what a script calls ---------------------------------------------------------------------------------------------------

    def log(self, values_: Mapping[str, Any] | Tagged, step: Any = None, *, epoch: Any = None) -> None:
        """Log numbers by key, `split/metric` such as `train/loss`; or an event (Text, Images, Matrix, Curve …), alone or by its tag.

        `step`: a whole number; by default one more than the largest so far. The steps of a key only grow. `epoch`: how many passes over
        the data are done, with a fraction.
        """
        if self._off:
            self._ignored()
            return
        if epoch is not None:
            self.epoch = values.number(epoch) or 0.0
        if step is None:
            step = self.step + 1
        elif type(step) is not int or step < 0 or step > STEP_LIMIT:
            step = self._step(step)
            if step is None:
                return
        if type(values_) is not dict:
            if not isinstance(values_, Mapping):
                self._log_event("", values_, step)
                return
            values_ = dict(values_)
        if endings.code is not None:
            endings.goes_on()
        # All that can wait is left to the writer: here a training waits.
        for key, value in values_.items():
            if type(value) is not float or type(key) is not str:
                numbers = self._numbers(values_, step)
                break
        else:
            numbers = values_.copy()
        if step > self.step:
            self.step = step
        queue = self._queue
        queue.append((step, self.epoch, monotonic(), numbers))
        if len(queue) > MOST:
            self._writer.wait_for_room()

    def text(self, tag: str, text: str, step: Any = None, *, prompt: str = "") -> None:
        """Log a text: what the model wrote, with its prompt if it had one."""
        self.log(Text(tag=tag, text=text, prompt=prompt), self.step if step is None else step)

    def image(self, tag: str, image: Any, step: Any = None, *, captions: Sequence[str] = (), columns: int = 8) -> None:
        """Log a picture or a batch of them: bytes of a PNG, a picture of Pillow, a figure of matplotlib, an array or a tensor.

        Arrays: (height, width), with 1, 3 or 4 channels first or last, and a first axis for a batch; floats in [0, 1] or bytes.
        """
        from workbench.elsewhere.pictures import images

        if self._off:
            self._ignored()
            return
        try:
            event = images(tag, image, captions, columns)
        except TypeError:
            raise
        except Exception as error:
            self._warn(f"image {tag}", f"{tag} is left out: {one_line(str(error))}")
            return
        self.log(event, self.step if step is None else step)

    def matrix(self, tag: str, numbers: Any, step: Any = None, *, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> None:
        """Log a table of numbers, such as a confusion matrix: rows are the truth, columns the prediction."""
        self.log(Matrix(tag=tag, values=numbers, rows=list(rows), columns=list(columns)), self.step if step is None else step)

    def plan(self, steps: int) -> None:
        """Say how many steps there will be in all: the screen then shows how much is left."""
        if not self._off:
            planned = values.step_of(steps) or 0
            now = time(), monotonic()
            self._queue.append(Status(state="running", steps=planned, step=self.step, time=now[0], clock=now[1]))

    def settings(self, config: Any) -> None:
        """Add settings that are known only after the start."""
        if self._off or self.path is None:
            return
        settings, _ = values.settings(config)
        directory = Directory(self.path)
        try:
            recipe = directory.recipe()
            folder.write_recipe(directory, recipe.title, {**recipe.config, **settings}, recipe.train.steps)
        except (OSError, Problem) as error:
            self._warn("settings", f"the settings are not recorded: {error}")

    @property
    def stopping(self) -> bool:
        """Whether somebody has asked the run to stop (`dlwb stop`, `s` on its screen); a script that looks may save and end.

        One that never looks gets SIGTERM instead.
        """
        self._looked = True
        return self._asked

    @property
    def id(self) -> str:
        """The run's name for the shell, as `dlwb show` takes it; "" where nothing is recorded."""
        return self.path.name if self.path else ""

    def finish(self) -> None:
        """End the run; what ends the script does it too."""
        self._end(Status(state="finished"))

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        self._end(Status(state="finished") if error is None else endings.of_exception(error))

    def __repr__(self) -> str:
        return f"Run({self.id or 'not recorded'})"

    # -- from here on: how ------------------------------------------------------------------------------------------------------

    def _is_another(self, title: str) -> bool:
        """Whether this process is not the one to record: a later rank of several, or a spawned child that runs the script's file again."""
        rank = os.environ.get("RANK", "")
        if rank.isdigit() and int(rank) > 0:
            self._off = f"rank 0 records, and this is rank {rank}"
            self._warned.add("off")
            return True
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__mp_main__":
                self._off = "this is a child process that has imported the script"
                self._warned.add("off")
                return True
            frame = frame.f_back
        return False

    def _open(self, title: str, settings: dict[str, Any], steps: int, script: Path | None) -> None:
        attached = self._attach(title, settings, steps)
        if attached is None:
            directory = folder.make(title, settings, steps, script, [sys.executable, *sys.argv])
            self._lock = lock.Lock.take(directory.lock)
            if self._lock is None:
                raise Problem(f"The lock of {directory.id} is held by another process.")
            keep_room(directory.path / "exit.json")
            self._lock.write(folder.holder(state="running", worker=process(os.getpid())))
            self._output = Output(directory.output)
            console.copy_to(self._output)
        else:
            directory = attached
        log = EventLog(directory.path)
        log.write(Status(state="running", steps=steps))
        # Before the thread: it may be asked to stop the script at once.
        endings.watch(self._end, self._in_child)
        meters = TreeMeters(os.getpid())
        self._writer = Writer(
            log, directory.control, meters.events, self._obey, self._warn, lambda: (self.step, self.epoch), self._writable
        )
        self._queue = self._writer.queue
        self.path = directory.path

    def _attach(self, title: str, settings: dict[str, Any], steps: int) -> Directory | None:
        """The run of `dlwb exec` that this script runs under; None where there is none, or another one of its processes has it."""
        path = os.environ.get(UNDER, "")
        if not path or not os.path.isfile(f"{path}/recipe.yaml"):  # noqa: PTH113
            return None
        directory = Directory(Path(path))
        # A second run in a script, or after it in the same command, is a run of its own.
        if files.read_object(directory.path / "exit.json"):
            return None
        self._lock = lock.Lock.take(directory.path / WRITER)
        if self._lock is None:
            return None
        folder.write_recipe(directory, title, settings, steps)
        return directory

    def _step(self, step: Any) -> int | None:
        whole = values.step_of(step)
        if whole is None:
            self._warn("step", f"step {one_line(str(step), 40)} is left out: a step is between 0 and 2^53.")
        return whole

    def _numbers(self, given: Mapping[Any, Any], step: int) -> dict[str, float]:
        """The numbers of a call as they are now, since a tensor may change in place; events are logged, what is neither is left out."""
        numbers = {}
        for key, value in given.items():
            values.key_of(key)
            if isinstance(value, Event):
                self._log_event(key, value, step)
            elif value is not None:  # None: there is no figure at this step
                number = values.number(value)
                if number is None:
                    self._warn(f"value {key}", f"{_shown(key)} is left out: {one_line(type(value).__name__, 60)} is not one number.")
                else:
                    numbers[key] = number
        return numbers

    def _writable(self, step: int, numbers: dict[str, float]) -> dict[str, float]:
        """In the writer's thread: the numbers whose steps have not fallen, under keys as the log takes them."""
        last = self._last
        written = {}
        for key, number in numbers.items():
            spelled = self._spelled.get(key)
            if spelled is None:
                spelled = self._spelled[key] = values.key_of(key)
                if not spelled:
                    self._warn("empty key", "a value is left out: its key is empty.")
                elif spelled != key:
                    self._warn(f"key {spelled}", f"a key is written as {spelled}: it was too long, or held control characters.")
            if not spelled:
                continue
            if last.get(spelled, -1) > step:
                self._warn(
                    f"back {spelled}", f"{spelled} at step {step} is left out: it comes after step {last[spelled]}, and steps only grow."
                )
                continue
            last[spelled] = step
            written[spelled] = number
        return written

    def _log_event(self, tag: str, event: Any, step: int) -> None:
        if isinstance(event, Scalars):
            self.log(event.values, step)
            return
        if not isinstance(event, Tagged):
            raise TypeError(f"log takes a dictionary of numbers by key, or an event, not {type(event).__name__}.")
        copy = values.event_of(event, tag, step, self.epoch)
        copy.time, copy.clock = time(), monotonic()
        self.step = max(self.step, step)
        self._queue.append(copy)

    def _obey(self, verb: str) -> None:
        """What a person asked, in the writer's thread."""
        self._asked = True
        if verb == "stop" and not self._looked:
            # It never looks: to stop it, it has to be ended. The handler then names the end.
            import signal

            if self._output is None:  # under `dlwb exec`: the shell script that waits for this one would go on
                os.killpg(os.getpgrp(), signal.SIGTERM)
            else:
                os.kill(os.getpid(), signal.SIGTERM)

    def _end(self, ending: Status) -> None:
        """Write what is left, and how it ended."""
        if self._off or self.path is None:
            return
        self._off = "it is over"
        endings.forget(self._end, self._in_child)
        if self._asked and ending.state != "failed":
            ending = Status(state="stopped", cause="person")
        ending.step, ending.epoch = self.step, self.epoch
        if not self._writer.end(ending, PATIENCE):
            self._warn("end", f"its last lines were not written within {PATIENCE:.0f} s.")
        if self._writer.lost:
            self._warn("lost", f"{self._writer.lost} lines were lost, as the disk did not take them.")
        report = {"state": ending.state, "cause": ending.cause, "message": ending.message, "hint": ending.hint, "step": ending.step}
        with contextlib.suppress(OSError):
            write_exit(self.path, 1, report)
        self._let_go()

    def _let_go(self) -> None:
        if self._output:
            console.end(self._output)
        if self._lock:
            self._lock.release()

    def _in_child(self) -> None:
        """A forked child, such as a loader of data, is another process: the run is its parent's."""
        if not self._off:
            self._off = "a forked child does not log into its parent's run"
            self._writer.forget()

    def _ignored(self) -> None:
        self._warn("off", f"nothing is recorded: {self._off}.")

    def _warn(self, kind: str, sentence: str) -> None:
        """Print a sentence, once of each kind."""
        if kind in self._warned or len(self._warned) > WARNINGS:
            return
        self._warned.add(kind)
        with contextlib.suppress(Exception):
            sys.stderr.write(f"dlwb: {sentence}\n")  # in one piece: other processes may print too
            sys.stderr.flush()


def _shown(key: Any) -> str:
    return one_line(str(key), 60)
