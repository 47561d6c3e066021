"""The loop of rank 0: it alone logs, evaluates, saves and obeys, and tells the others what they have to do between two steps."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from workbench.events import Event, Status
from workbench.problems import Problem
from workbench.recipes.recipe import Train
from workbench.training.cadence import POLL, Cadence
from workbench.training.loop import Loop
from workbench.training.ranks.group import Group
from workbench.training.ranks.shared_meters import SharedMeters
from workbench.training.ranks.shared_step import SharedStep, SharedWindow, digest


class SharedCadence(Cadence):
    """A cadence by which all processes stop after the same step: the clock only decides how many steps ahead the next stop is."""

    def __init__(self, before: Cadence) -> None:
        self.__dict__.update(vars(before))
        self._arrived = 0.0
        self._planned, self._ahead = 0, 1

    def stops(self, step: int, last: bool, now: float) -> bool:
        """As the others know it: at the planned step, and at the end of an epoch."""
        return last or step >= self.stop

    def looks(self, now: float) -> bool:
        self._arrived = now
        return super().looks(now)

    def plan(self, train: Train, step: int, total: int, change_at: int, now: float) -> None:
        """Set the next stop, which is at the next logged step at the latest, and at that of the next look at the commands."""
        if step > self._planned:
            duration = max(1e-6, (self._arrived - self._since) / (step - self._planned))
            # At most twice as far as before: a step may take much longer than those before it.
            self._ahead = max(1, min(int(POLL / duration), 2 * self._ahead))
        super().plan(train, step, total, change_at, now)
        self.stop, self._planned = min(self.stop, self.log_at, step + self._ahead), step


class Leader(Loop):
    """The loop of a run with several processes. Whatever all have to do together begins with an order to the others: see `Follower`."""

    def __init__(self, group: Group, *words: Any, **named: Any) -> None:
        self.group = group
        self._between = False
        """Whether it is between two steps, and the others wait for an order."""
        self._looking = 0
        super().__init__(*words, **named)
        self.shared = SharedStep(self.project, group)
        self.window = SharedWindow(self.project, group, self.shared.gradients)
        self.meters = SharedMeters(self.meters, group.processes) if self.meters else None  # type: ignore[assignment]
        self._own_states = self.project.random_state
        self.project.random_state = self._states  # type: ignore[method-assign]

    @property
    def cadence(self) -> Cadence:
        """The shared one, whichever the loop begins with."""
        return self._cadence

    @cadence.setter
    def cadence(self, cadence: Cadence) -> None:
        self._cadence = SharedCadence(cadence)

    @property
    def terminate(self) -> bool:
        """Seen between two steps alone: the others make the steps up to the next stop."""
        return self._asked_to_end and self._between

    @terminate.setter
    def terminate(self, asked: bool) -> None:
        self._asked_to_end = asked

    def fit(self) -> Status:
        ending = super().fit()
        self.group.tell("end")
        return ending

    def change(self, settings: dict[str, Any], text: str = "", command: str = "") -> None:
        super().change(settings, text, command)
        self.group.tell("change", settings=settings)

    def _resume(self) -> tuple[int, int | None]:
        from_step, last_batch = super()._resume()
        whole = [one.file for one in self.checkpoints.generations() if one.step == from_step and one.file not in self.checkpoints.damaged]
        self.group.tell("resume", file=whole[-1] if whole else "", settings=self.live.settings)
        self._first = max(0, from_step) + 1
        return from_step, last_batch

    def _train_epoch(self, batches: Iterable[Any], last_batch: int | None) -> None:
        if self.place.step < self._first:
            self.group.tell("go", stop=self.cadence.stop)
        super()._train_epoch(batches, last_batch)

    def _between_steps(self, last: bool, now: float) -> None:
        self._between = True
        # A project that changes its weights in another way than by gradients is found out at once.
        if self.place.step == self._first:
            self._compare()
        super()._between_steps(last, now)
        self._between = False
        if not self.ending:
            self.group.tell("go", stop=self.cadence.stop)

    def _evaluate(self, split: str) -> None:
        if split == "valid" and self.place.step >= self._first:
            self._compare()
        super()._evaluate(split)

    def _compare(self) -> None:
        """Problem where the weights, or the batches, are not the same in all processes."""
        self.group.tell("compare")
        found = self.group.gather(self.shared.digest(self.batch))
        for other, (weights, batch) in enumerate(found):
            what = "got other batches" if batch != found[0][1] else "has other weights" if weights != found[0][0] else ""
            if what:
                raise Problem(
                    f"The processes differ: after step {self.place.step:,} process {other + 1} of {self.group.size} {what} than the first.",
                    "batches(epoch, rng) must draw from rng alone, and weights may only follow their gradients.",
                    cause="ranks-differ",
                )

    def _looked(self, source: Callable[[], Iterable[Event]], split: str) -> list[Event]:
        self._looking += 1
        try:
            return super()._looked(source, split)
        finally:
            self._looking -= 1

    def _states(self) -> dict[str, Any]:
        """The random states; of a checkpoint with those of the others, and what else each of them has of its own."""
        state = self._own_states()
        # The alternative is a second one for each evaluation and sample, which puts back this process's alone.
        if self._looking:
            return state
        self.group.tell("states", known={name: digest(value) for name, value in self.project.state().items()})
        return {**state, "ranks": self.group.gather(None)[1:]}

    def _wait(self) -> None:
        super()._wait()
        # The pause was no time of steps.
        if isinstance(self.cadence, SharedCadence):
            self.cadence.looked(time.monotonic())
