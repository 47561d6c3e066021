"""The only training loop. The whole step is the project's; here are counting, logging, evaluating, saving and resuming."""

import math
import os
import time
import traceback
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workbench.events import Event, Mark, Scalars, Status, placed
from workbench.problems import Problem
from workbench.recipes.recipe import Recipe
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.commands import Inbox
from workbench.runs.history import History
from workbench.runs.log import EventLog
from workbench.training import snapshot
from workbench.training.batches import planned, stream
from workbench.training.cadence import POLL, Cadence, Place
from workbench.training.early_stopping import EarlyStopping
from workbench.training.live_settings import LiveSettings, to_repeat
from workbench.training.meters import Meters
from workbench.training.metric_window import MetricWindow, refuse_not_finite
from workbench.training.obey import answer, obey
from workbench.training.project import Project, Settings
from workbench.training.stepping import Stepping


@dataclass
class Loop:
    """One attempt at a run of a project that is built: where it is, and what surrounds it."""

    project: Project
    recipe: Recipe
    log: EventLog
    checkpoints: Checkpoints
    inbox: Inbox = field(default_factory=lambda: Inbox(Path(os.devnull)))
    meters: Meters | None = None
    announce: Callable[[str], None] = lambda state: None
    """Told each new state."""
    past: History = field(default_factory=History)
    """The folded log of earlier attempts."""
    attempt: int = 1
    device: str = ""
    found: Event | None = None
    """What was found in the data, used and left out: logged once, before the first step."""
    cache: str = ""
    """Whether the preparation was cold or warm; see `workbench.preparation.Preparation`."""
    changed_data: str = ""
    """What a person lets a resumed run go on with: how its data has changed."""
    born: float | None = None
    """When the process began, by the monotonic clock; None where nobody counts the preparation."""
    terminate: bool = False
    """Set by the SIGTERM handler: finish the step, save, end."""

    def __post_init__(self) -> None:
        self.place = Place()
        self.live = LiveSettings(self.project, self.recipe.train)
        self.cadence = Cadence()
        self.stopping = EarlyStopping(self.recipe.train.keep_best)
        self.window = MetricWindow(self.project)
        self.ending: Status | None = None
        self.paused = False
        """Whether it waits between two steps until somebody asks for more; during the steps of `stepping` it stays so."""
        self.stepping: Stepping | None = None
        """The single steps that it makes though it is paused."""
        self.metrics: dict[str, float] = {}
        self._best: dict[str, Any] | None = None
        """The best state yet, until it is written."""
        self._saved_step = -1
        self.batch: Any = None

    def fit(self) -> Status:
        """Train to the end, or to where somebody stops it; returns how it ended, which is also the log's last line."""
        from_step, last_batch = self._resume()
        # Before the state is logged: its line has the planned number of steps, which follows from the number of batches.
        batches = self._batches()
        prepared = time.monotonic() - self.born if self.born is not None else 0.0
        self.turn("running", from_step=from_step, pending=self.live.pending, prepared=prepared, cache=self.cache)
        if self.changed_data:
            self.say(Mark(text=f"goes on with other data: {self.changed_data}"))
        self._repeat_changes()
        # A resumed run has these lines in its log already.
        if from_step < 0:
            if self.found:
                self.say(self.found)
            self._summarize()
            self._evaluate("valid")
            self.sample()
        # Only now does the clock begin: what came before counts neither as the duration of a step nor towards the next checkpoint.
        self.cadence = Cadence(time.monotonic())
        # Patience too: a kill in the test that follows must not give it another epoch.
        self.ending = self.ending or self._finished(self.place.reached(self.live.train))
        while not self.ending:
            self._train_epoch(batches, last_batch)
            # Only the epoch that was open at the checkpoint has steps to skip.
            last_batch = None
            if not self.ending:
                batches = self._batches()
        return self._end(self.ending)

    def _batches(self) -> Iterable[Any]:
        # A seed of its own for each epoch: a resumed run gets the same order without drawing the epochs before it.
        batches = self.project.batches(self.place.epoch, np.random.default_rng([self.project.seed, self.place.epoch]))
        # Where the iterable has no length, that of the epoch before stands in, as soon as there is one.
        self.place.per_epoch = planned(batches) or self.place.per_epoch
        return batches

    def _train_epoch(self, batches: Iterable[Any], last_batch: int | None) -> None:
        """The steps of an epoch from where it is in it; `last_batch` is the fingerprint of the last one that was trained on."""
        project, place, cadence = self.project, self.place, self.cadence
        began = place.step
        for batch, last in stream(batches, place.position, last_batch):
            # Before the step, which gives it to its schedule: the first step has 0. The division by inf is 0, too.
            project.progress = place.step / (place.total(self.live.train) or math.inf)
            self.window.add(project.train_step(batch))
            place.advance(last)
            # The clock is read once a step, and most steps take neither branch below: so the loop itself costs next to nothing.
            now = time.monotonic()
            if cadence.stops(place.step, last, now) or self.terminate:
                # A checkpoint holds its fingerprint: by it a resumed run sees whether it gets the same data.
                self.batch = batch
                self._between_steps(last, now)
                if self.ending:
                    return
            elif place.step >= cadence.log_at:
                self._log_window()
        # Else an empty data set would give empty epochs for ever.
        if place.step == began:
            raise Problem(f"Epoch {place.epoch + 1} has no batch.", "Is the data empty, or smaller than train.batch_size?", cause="data")

    def _between_steps(self, last: bool, now: float) -> None:
        """Log, evaluate, sample, obey commands, save, and check whether the run is over, each where it is due."""
        train, step = self.live.train, self.place.step
        reached = self.place.reached(train)
        due = self.cadence.due(train, step, last=last, reached=reached)
        if due.log:
            # The step is over when its numbers are read: until then a GPU may be at work on it.
            now = self._log_window()
        # What an earlier attempt chose is repeated at its step instead: a new choice, by new durations, would give another log.
        if train.log_every == 0 and self.cadence.measure(step, now) and not self.live.will_change("train.log_every"):
            # 50,000 is a guess, for as long as the length of an epoch is unknown.
            chosen = self.cadence.chosen_log_every(self.place.total(train) or 50_000)
            self.change({"train.log_every": chosen}, f"one line each {chosen} steps from here on")
        # Before saving: a checkpoint has the metrics of its own step, and the best weights are written with it.
        if due.evaluate:
            self._evaluate("valid")
        if due.sample:
            self.sample()
        # Where commands are obeyed, behind the evaluation: what comes in which order is as it was the first time.
        self._repeat_changes()
        self.ending = self._finished(reached)
        # At the end, too: whoever asked for something meanwhile still gets an answer.
        if self.ending or self.cadence.looks(now):
            for command in self.inbox.poll():
                obey(self, command)
            # Not `now`: a sample that was asked for may have taken seconds.
            self.cadence.looked(time.monotonic())
        self._heed_sigterm()
        if self.ending or self.cadence.saves(train, step, time.monotonic()):
            self.save()
        self._show_steps()
        if self.paused:
            self._wait()
        if self.stepping:
            self.stepping.before(step, self.project, self.window)
        # A person may have changed the settings just now.
        stops = (self.live.next_change(), self.stepping.stop(step) if self.stepping else 0)
        change_at = min(filter(None, stops), default=0)
        self.cadence.plan(self.live.train, step, self.place.total(self.live.train), change_at, time.monotonic())

    def _heed_sigterm(self) -> None:
        if self.terminate and not self.ending:
            self.ending = Status(state="stopped", cause="sigterm", message="Asked to end by SIGTERM; saved.")

    def _wait(self) -> None:
        """Obey commands until one lets the run go on, for good or for some steps, or ends it. SIGTERM ends a pause, too."""
        began = time.monotonic()
        while self.paused and not (self.stepping or self.ending or self.terminate):
            for command in self.inbox.poll():
                obey(self, command)
            if self.paused and not self.stepping:
                time.sleep(POLL)
        self.cadence.waited(began, time.monotonic())
        # At its end the run saves where its last step is in no checkpoint yet.
        self._heed_sigterm()

    def _show_steps(self) -> None:
        """Log what the last of the asked steps did and a sample, and answer, where they are all done, or the run ends."""
        stepping, step = self.stepping, self.place.step
        if not stepping or (step < stepping.last and not self.ending):
            return
        self.stepping = None

        def show() -> str:
            if step < stepping.last:
                return stepping.cut(step, "ended")
            self._looked(lambda: stepping.tables(self.project, self.window), "step")
            self.sample()
            return stepping.words(step, self.window)

        answer(self, stepping.command, show, harmless=True)

    def _finished(self, reached: bool) -> Status | None:
        patience = self.live.train.patience
        if self.stopping.is_over(patience):
            return Status(state="finished", cause="patience", message=f"No better {self.stopping.metric} in {patience} evaluations.")
        return Status(state="finished", cause="steps") if reached else None

    def _end(self, ending: Status) -> Status:
        """Save, measure the best weights on the test data where it ran to its end, and say how it ended."""
        # Before the best weights are loaded: a resumed run goes on from the last ones.
        if self._saved_step != self.place.step:
            self.save()
        if ending.state == "finished":
            if self.stopping.metric and (best := self.checkpoints.best(self.project.decode_state)):
                self.project.load_state(best[1]["state"])
                which = f"the best by {self.stopping.metric}" if best[0].best else "as no better ones can be read"
                ending.message = f"Tested with the weights of step {best[0].step:,}, {which}."
            self._evaluate("test")
        self.say(ending)
        return ending

    def say(self, event: Event, split: str = "") -> None:
        """Log an event at this step, its tags under `split`."""
        if isinstance(event, Status):
            event.attempt = self.attempt
        self.log.write(placed(event, self.place.step, self.place.epochs(), split))

    def turn(self, state: str, *, announce: bool = True, **more: Any) -> None:
        """Log a state with the plan, and announce it where it is a new one."""
        plan: dict[str, Any] = {"steps": self.place.total(self.live.train), "steps_per_epoch": self.place.per_epoch, "device": self.device}
        self.say(Status(state=state, variant=self.project.variant, demo=self.project.demo, **plan, **more))
        if announce:
            self.announce(state)

    def _log_window(self) -> float:
        """Log the means since the last line; returns when they were read, in seconds of the monotonic clock."""
        self.cadence.log_at = self.place.step + self.live.train.log_every
        means = self.window.close()
        read = time.monotonic()
        if not means:
            return read
        self.say(Scalars(means))
        if self.meters and (readings := self.meters.read()):
            if held := self.project.device_memory():
                readings["system/gpu_memory_peak"] = held / 2**30
            self.say(Scalars(readings))
        # After its line: the log keeps the value that ended the run.
        self._refuse_not_finite(means)
        return read

    def _refuse_not_finite(self, values: dict[str, float]) -> None:
        if self.live.train.stop_when_not_finite:
            refuse_not_finite(values, self.place.step)

    def _looked(self, source: Callable[[], Iterable[Event]], split: str) -> list[Event]:
        """Log all events of an evaluation or a sample; all before the next step, since an unfinished generator may hold gradients off."""
        # The seed depends on run, split and step alone: whether a person asked for a sample in between changes nothing.
        with self.project.looking(zlib.crc32(f"{self.project.seed}/{split}/{self.place.step}".encode())):
            events = list(source())
        for event in events:
            self.say(event, split)
        return events

    def _summarize(self) -> None:
        """Log the table of the network's layers; an error in it does not stop the training."""
        try:
            self._looked(self.project.summary, "model")
        except Exception:
            traceback.print_exc()

    def _evaluate(self, split: str) -> None:
        scalars = [event.values for event in self._looked(lambda: self.project.evaluate(split), split) if isinstance(event, Scalars)]
        measured = {tag: value for one in scalars for tag, value in one.items()}
        values = {tag: float(value) for tag, value in measured.items() if value is not None}  # NumPy's numbers fit into no checkpoint
        self.metrics.update(values)
        undefined = dict.fromkeys(measured.keys() - values.keys(), math.nan)
        for tag in undefined:
            # What was measured at an earlier step is not this one's.
            self.metrics.pop(tag, None)
        if split == "valid":
            # The untrained weights of step 0 are measured, and never the best.
            if self.place.step and self.stopping.judge(values | undefined):
                # In memory until the next checkpoint: where each evaluation is better than the one before, few of them are written.
                self._best = {"step": self.place.step, "metrics": dict(self.metrics), "tree": snapshot.take(self)}
            # Only the loss: another metric may rightly be NaN, as the AUC of a split with one class.
            self._refuse_not_finite({tag: value for tag, value in values.items() if tag == "valid/loss"})

    def sample(self, request: Settings | None = None) -> None:
        """Log a sample of the project, by a person's request or the default one."""
        asked = request or self.project.Request()
        self._looked(lambda: self.project.sample(asked), "sample")

    def save(self, *, pinned: bool = False) -> None:
        """Write a checkpoint, before it the best one where that waits in memory. Problem where a loss since the last line is not finite."""
        began = time.monotonic()
        # Weights that diverged since the last logged line must not take the place of good ones.
        self._refuse_not_finite(self.window.means())
        tree, encode, suffix, step = snapshot.take(self), self.project.encode_state, self.project.suffix, self.place.step
        best, self._best = self._best, None
        if best and best["step"] != step:
            self.checkpoints.save(encode(best["tree"]), suffix, step=best["step"], metrics=best["metrics"], best=True)
        is_best = bool(best and best["step"] == step)
        self.checkpoints.save(encode(tree), suffix, step=step, metrics=self.metrics, best=is_best, pinned=pinned)
        self._saved_step = step
        self.cadence.saved(began, time.monotonic())

    def _resume(self) -> tuple[int, int | None]:
        """Load the newest undamaged checkpoint; returns its step and its last batch's fingerprint, or (-1, None) where there is none."""
        newest = self.checkpoints.newest(self.project.decode_state) if self.attempt > 1 else None
        from_step = newest[0].step if newest else -1
        self.live.pending = to_repeat(self.past, from_step)
        self.checkpoints.rewind(from_step)
        if not newest:
            return -1, None
        tree = newest[1]
        snapshot.put_back(self, tree)
        self._saved_step = from_step
        return from_step, tree["batch"]

    def _repeat_changes(self) -> None:
        for change in self.live.due(self.place.step):
            self.change(change["settings"], change["text"])

    def change(self, settings: dict[str, Any], text: str = "", command: str = "") -> None:
        """Set live settings from here on; a Problem leaves everything as it was."""
        listed = self.live.change(settings)
        if any(name.startswith("config.") for name in settings):
            self.project.changed(self.project.config)
        self.say(Mark(text=text or listed, settings=settings, command=command))
        # So that lists and progress bars know the new plan.
        if "train.epochs" in settings or "train.steps" in settings:
            self.turn("running", announce=False)
