"""fit(): the only training loop. The whole step is the project's; here are counting, logging, evaluating, saving, obeying, resuming."""

import math
import time
import traceback
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from pydantic import ValidationError

from workbench.events import Answer, Event, Mark, Scalars, Status, placed
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs.checkpoint import Checkpoints, Tree
from workbench.runs.commands import Command, Inbox
from workbench.runs.history import History, higher_is_better
from workbench.runs.log import EventLog
from workbench.training.batches import fingerprint, planned, stream
from workbench.training.live_settings import LiveSettings, to_repeat
from workbench.training.meters import Meters
from workbench.training.metric_window import Window, mean, steps_a_line
from workbench.training.project import Project, Settings

POLL = 0.05
"""Seconds between two looks at the commands."""
MEASURED_STEPS = 50
SAVE_EVERY, SAVE_SHARE = 5.0, 50
"""By the clock: at least 5 s between two checkpoints, and 50 times what one takes, so that they cost under 2 %."""


class Training:
    """One attempt at a run: where it is, and what surrounds it."""

    def __init__(
        self,
        project: Project,
        recipe: Recipe,
        log: EventLog,
        checkpoints: Checkpoints,
        *,
        inbox: Inbox | None = None,
        meters: Meters | None = None,
        announce: Callable[[str], None] = lambda state: None,
        past: History | None = None,
        attempt: int = 1,
        device: str = "",
    ) -> None:
        """`project` is built; `past` is the folded log of earlier attempts; `announce` is told each new state."""
        self.project = project
        self.recipe = recipe
        self.live = LiveSettings(project, recipe.train)
        self.log = log
        self.checkpoints = checkpoints
        self.inbox = inbox
        self.meters = meters
        self.announce = announce
        self.past = past or History()
        self.attempt = attempt
        self.device = device
        self.step = 0
        self.epoch = 0
        self.position = 0
        """Batches of the open epoch that are done."""
        self.per_epoch = 0
        self.terminate = False
        """Set by the SIGTERM handler: finish the step, save, end."""
        self._ending: Status | None = None
        self._window = Window(project)
        self._pending: list[dict[str, Any]] = []
        self._best: float | None = None
        self._best_tree: Tree | None = None
        self._stale = 0
        self._metrics: dict[str, float] = {}
        self._durations: list[float] = []
        self._due = 0
        """The step after which there is more to do than to log."""
        self._log_at = 0
        self._look_at = 0.0
        self._save_at = 0.0
        self._saved_step = -1
        self._batch: Any = None

    # -- the loop -----------------------------------------------------------------------------------------------------------------

    def fit(self) -> Status:
        """Train to the end, or to where somebody stops it; returns how it ended, which is also the log's last line."""
        from_step, last_batch = self._resume()
        batches = self._batches()
        self._say(Status(state="running", from_step=from_step, pending=self._pending, **self._plan()))
        self.announce("running")
        self._apply_pending()
        if from_step < 0:
            self._summarize()
            self._evaluate("valid")
            self._sample()
        self._save_at = time.monotonic() + SAVE_EVERY
        # Patience too: a kill in the test that follows must not give it another epoch.
        self._ending = self._ending or self._reached() or self._out_of_patience()
        while not self._ending:
            began = self.step
            before = time.perf_counter()
            for batch, last in stream(batches, self.position, last_batch):
                self.project.progress = self.step / (self._total() or math.inf)
                self._window.add(self.project.train_step(batch))
                self.step += 1
                if last:
                    self.per_epoch = self.position + 1
                    self.epoch, self.position = self.epoch + 1, 0
                else:
                    self.position += 1
                now = time.perf_counter()
                if self.step >= self._due or last or now >= self._look_at or self.terminate:
                    if self.live.train.log_every == 0:  # then this is so after each step
                        self._durations.append(now - before)
                    self._batch = batch
                    self._boundary(last, look=now >= self._look_at)
                    before = time.perf_counter()
                    if self._ending:
                        break
                elif self.step >= self._log_at:
                    self._log_window()
            if self.step == began:
                raise Problem(f"Epoch {self.epoch + 1} has no batch.", "Is the data empty, or smaller than train.batch_size?", cause="data")
            last_batch = None
            if not self._ending:
                batches = self._batches()
        return self._end(self._ending)

    def _boundary(self, last: bool, look: bool) -> None:
        """Between two steps: log, evaluate, sample, obey, save, and see whether it is over, each where it is due."""
        train, step = self.live.train, self.step
        reached = self._reached()
        if reached or step % (train.log_every or 1) == 0:
            self._log_window()
        if train.log_every == 0 and step >= MEASURED_STEPS:
            known = any("train.log_every" in change["settings"] for change in self._pending)
            if not known:
                self._choose_log_every()
        evaluated = reached or (step % train.evaluate_every == 0 if train.evaluate_every else last)
        if evaluated:
            self._evaluate("valid")
        if step % train.sample_every == 0 if train.sample_every else evaluated:
            self._sample()
        self._apply_pending()
        reached = self._out_of_patience() or reached
        self._ending = reached
        if look or reached:
            self._obey()
            self._look_at = time.perf_counter() + POLL
        if self.terminate and not self._ending:
            self._ending = Status(state="stopped", cause="sigterm", message="Asked to end by SIGTERM; saved.")
        due = step % train.checkpoint_every == 0 if train.checkpoint_every else time.monotonic() >= self._save_at
        if due or self._ending:
            self._save()
        train = self.live.train  # a person may have changed it just now
        self._due = self._total() or step + 1_000_000
        measuring = train.log_every == 0
        for every in (measuring, train.evaluate_every, train.sample_every, train.checkpoint_every):
            if every:
                self._due = min(self._due, step - step % every + every)
        if self._pending:
            self._due = min(self._due, self._pending[0]["step"])
        self._log_at = step - step % (train.log_every or 1) + (train.log_every or 1)

    def _reached(self) -> Status | None:
        total = self._total()
        done = self.step >= total if total else self.epoch >= self.live.train.epochs
        return Status(state="finished", cause="steps") if done else None

    def _out_of_patience(self) -> Status | None:
        train = self.live.train
        if not train.patience or self._stale < train.patience:
            return None
        return Status(state="finished", cause="patience", message=f"No better {train.keep_best} in {train.patience} evaluations.")

    def _total(self) -> int:
        return self.live.train.steps or self.live.train.epochs * self.per_epoch

    def _plan(self) -> dict[str, Any]:
        return {
            "steps": self._total(),
            "steps_per_epoch": self.per_epoch,
            "device": self.device,
            "variant": self.project.variant,
            "demo": self.project.demo,
        }

    def _end(self, ending: Status) -> Status:
        """Save, measure the best weights on the test data where it ran to its end, and say how it ended."""
        if self._saved_step != self.step:
            self._save()
        if ending.state == "finished":
            if self.live.train.keep_best:
                best = self.checkpoints.best(self.project.decode_state)
                if best:
                    self.project.load_state(best[1]["state"])
                    which = f"the best by {self.live.train.keep_best}" if best[0].best else "as no better ones can be read"
                    ending.message = f"Tested with the weights of step {best[0].step:,}, {which}."
            self._evaluate("test")
        self._say(ending)
        return ending

    # -- batches -------------------------------------------------------------------------------------------------------------------

    def _batches(self) -> Iterable[Any]:
        batches = self.project.batches(self.epoch, np.random.default_rng([self.project.seed, self.epoch]))
        self.per_epoch = planned(batches) or self.per_epoch
        return batches

    # -- logging, evaluating, sampling -----------------------------------------------------------------------------------------------

    def _say(self, event: Event, split: str = "") -> None:
        if isinstance(event, Status):
            event.attempt = self.attempt
        self.log.write(placed(event, self.step, self._epochs(), split))

    def _epochs(self) -> float:
        return self.epoch + (self.position / self.per_epoch if self.per_epoch else 0.0)

    def _log_window(self) -> None:
        self._log_at = self.step + self.live.train.log_every
        means = self._window.close()
        if not means:
            return
        self._say(Scalars(means))
        if self.meters and (readings := self.meters.read()):
            if held := self.project.device_memory():
                readings["system/gpu_memory_peak"] = held / 2**30
            self._say(Scalars(readings))
        self._refuse_not_finite(means)

    def _refuse_not_finite(self, values: dict[str, float]) -> None:
        if all(map(math.isfinite, values.values())) or not self.live.train.stop_when_not_finite:
            return
        for tag, value in values.items():
            if not math.isfinite(value):
                raise Problem(
                    f"{tag} became {value} at or before step {self.step}.",
                    "A lower learning rate often helps; the last good checkpoint is kept.",
                    cause="not-finite",
                )

    def _choose_log_every(self) -> None:
        chosen = steps_a_line(self._durations, self._total() or 50_000)
        self._change({"train.log_every": chosen}, f"one line each {chosen} steps from here on")

    def _drained(self, source: Callable[[], Iterable[Event]], kind: str) -> list[Event]:
        """All events of an evaluation or a sample, made under random state of their own, so that looking never changes the training."""
        state = self.project.random_state()
        self.project.seed_all(zlib.crc32(f"{self.project.seed}/{kind}/{self.step}".encode()))
        try:
            with self.project.evaluating():
                return list(source())
        finally:
            self.project.set_random_state(state)

    def _summarize(self) -> None:
        """What the network is; whatever goes wrong there is no reason not to train."""
        try:
            for event in self._drained(self.project.summary, "model"):
                self._say(event, "model")
        except Exception:
            traceback.print_exc()

    def _evaluate(self, split: str) -> None:
        values: dict[str, float] = {}
        for event in self._drained(lambda: self.project.evaluate(split), split):
            self._say(event, split)
            if isinstance(event, Scalars):
                values |= {tag: float(value) for tag, value in event.values.items()}  # NumPy's numbers fit into no checkpoint
        self._metrics.update(values)
        if split == "valid" and self.step:
            self._judge(values)
        self._refuse_not_finite({tag: value for tag, value in values.items() if tag == "valid/loss"} if split == "valid" else {})

    def _judge(self, values: dict[str, float]) -> None:
        """Whether this is the best yet; then its state is kept, and written with the next checkpoint."""
        metric = self.live.train.keep_best
        if not metric:
            return
        if metric not in values:
            raise Problem(f"train.keep_best names {metric}, which is not measured.", f"Measured are: {', '.join(values) or 'none'}.")
        value = values[metric]
        better = math.isfinite(value) and (self._best is None or (value > self._best if higher_is_better(metric) else value < self._best))
        if better:
            self._best, self._stale = value, 0
            self._best_tree = {"step": self.step, "metrics": dict(self._metrics), "tree": self._tree(check=False)}
        else:
            self._stale += 1

    def _sample(self, request: Settings | None = None) -> None:
        wanted = request or self.project.Request()
        for event in self._drained(lambda: self.project.sample(wanted), "sample"):
            self._say(event, "sample")

    # -- checkpoints ----------------------------------------------------------------------------------------------------------------

    def _tree(self, *, check: bool = True) -> Tree:
        window = self._window.floats()
        if check:
            self._refuse_not_finite({f"train/{name}": mean(values) for name, values in window.items()})
        return {
            "version": 1,
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "per_epoch": self.per_epoch,
            "batch": fingerprint(self._batch) if self.position and self._batch is not None else None,
            "window": window,
            "settings": dict(self.live.settings),
            "best": self._best,
            "stale": self._stale,
            "metrics": dict(self._metrics),
            "random": self.project.random_state(),
            "state": self.project.state(),
        }

    def _save(self, *, pinned: bool = False) -> None:
        """Write a generation, after the best one that waits to be written."""
        began = time.monotonic()
        tree = self._tree()
        encode, suffix = self.project.encode_state, self.project.suffix
        best, self._best_tree = self._best_tree, None
        if best and best["step"] != self.step:
            self.checkpoints.save(encode(best["tree"]), suffix, step=best["step"], metrics=best["metrics"], best=True)
        self.checkpoints.save(
            encode(tree), suffix, step=self.step, metrics=self._metrics, best=bool(best and best["step"] == self.step), pinned=pinned
        )
        self._saved_step = self.step
        now = time.monotonic()
        self._save_at = now + max(SAVE_EVERY, SAVE_SHARE * (now - began))

    def _resume(self) -> tuple[int, int | None]:
        """Put the newest whole checkpoint back; returns its step and the fingerprint of its last batch, or -1 to begin anew."""
        found = self.checkpoints.newest(self.project.decode_state) if self.attempt > 1 else None
        from_step = found[0].step if found else -1
        self._pending = to_repeat(self.past, from_step)
        self.checkpoints.rewind(from_step)
        if not found:
            return -1, None
        tree = found[1]
        self.step, self.epoch, self.position, self.per_epoch = (tree[name] for name in ("step", "epoch", "position", "per_epoch"))
        self._best, self._stale = tree["best"], tree["stale"]
        self._metrics = dict(tree["metrics"])
        self.live.change(tree["settings"])
        self.project.load_state(tree["state"])
        self._window.load(tree["window"])
        self._saved_step = self.step
        wanted = {name: value for mark in self.past.marks if mark.step <= from_step for name, value in mark.settings.items()}
        late = {name: value for name, value in wanted.items() if self.live.settings.get(name) != value}
        if late:
            self.live.change(late)
            self.project.changed(self.project.config)
        self.project.set_random_state(tree["random"])
        return from_step, tree["batch"]

    # -- what people ask ------------------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        for command in self.inbox.poll() if self.inbox else []:
            self._do(command)

    def _do(self, command: Command) -> None:
        """Apply one command at this step, and answer it."""
        ok, message = True, ""
        try:
            if command.verb == "stop":
                self._ending = self._ending or Status(state="stopped", cause="person", message="Stopped by a person; saved.")
            elif command.verb == "pause":
                self._say(Answer(command=command.id, message="paused"))
                self._pause()
                return
            elif command.verb == "resume":
                message = "It is not paused."
            elif command.verb == "sample":
                self._sample(self.project.Request.model_validate(command.request))
            elif command.verb == "set":
                self._change(command.request, command=command.id)
            elif command.verb == "checkpoint":
                self._save(pinned=True)
                message = f"kept: step {self.step}"
            elif command.verb != "kill":
                ok, message = False, f"{one_line(command.verb, 40)} is not a command."
        except Problem as problem:
            if problem.cause == "disk-full":
                raise
            ok, message = False, str(problem)
        except ValidationError as error:
            first = error.errors()[0]
            ok, message = False, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except Exception as error:
            if command.verb != "sample":
                raise
            traceback.print_exc()
            ok, message = False, f"{type(error).__name__}: {one_line(str(error))}"
        self._say(Answer(command=command.id, ok=ok, message=message))

    def _pause(self) -> None:
        self._save()
        self._say(Status(state="paused", **self._plan()))
        self.announce("paused")
        while not self._ending and not self.terminate:
            for command in self.inbox.poll() if self.inbox else []:
                if command.verb == "resume":
                    self._say(Answer(command=command.id, message="goes on"))
                    self._say(Status(state="running", from_step=self.step, **self._plan()))
                    self.announce("running")
                    return
                if command.verb == "pause":
                    self._say(Answer(command=command.id, message="It is paused already."))
                else:
                    self._do(command)
            time.sleep(POLL)

    def _apply_pending(self) -> None:
        while self._pending and self._pending[0]["step"] <= self.step:
            change = self._pending.pop(0)
            self._change(change["settings"], change["text"])

    def _change(self, settings: dict[str, Any], text: str = "", command: str = "") -> None:
        """Set live settings from here on; a Problem leaves everything as it was."""
        before = {name: self.live.value(name) for name in settings}
        self.live.change(settings)
        if any(name.startswith("config.") for name in settings):
            self.project.changed(self.project.config)
        listed = ", ".join(f"{name.partition('.')[2]} {before[name]} → {value}" for name, value in settings.items())
        self._say(Mark(text=text or listed, settings=settings, command=command))
        if "train.epochs" in settings or "train.steps" in settings:
            self._say(Status(state="running", **self._plan()))


def fit(project: Project, recipe: Recipe, log: EventLog, checkpoints: Checkpoints, **surroundings: Any) -> Status:
    """Train `project`, built, by `recipe`; see Training for what may surround it."""
    return Training(project, recipe, log, checkpoints, **surroundings).fit()
