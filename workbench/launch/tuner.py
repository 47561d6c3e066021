"""The small process of a tuning: it proposes trials, runs them, stops what falls behind, and trains the best with new seeds. No torch.

`python -m workbench.launch.tuner TUNING TRIALS ANYWAY` holds the tuning's lock, and survives the program that started it. Whatever it
does, it notes in the tuning's events.jsonl first or finds again by what the runs note: a process that was killed at any moment is resumed
and goes on as if it had never been killed.
"""

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from workbench import files
from workbench.launch import group_process, proposing
from workbench.launch import start as launch
from workbench.launch.learning_from import value_at
from workbench.problems import Problem, nearest, one_line
from workbench.recipes.load import load_recipe
from workbench.recipes.recipe import Recipe, Tune
from workbench.recipes.yaml_reader import flow_text
from workbench.runs import lock, notes, tunings
from workbench.runs.comparisons import diverged
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.run import Run
from workbench.runs.standing import NEW_SEED
from workbench.runs.state import State, state_of
from workbench.runs.tunings import DIVERGED, FAILED, FINISHED, PRUNED, STOPPED, Asked, Ended, Judged, Started, Trial, Tuning, Turned

EVERY = 0.1
"""Seconds between two looks at the trials: a core that waits for its next trial does nothing."""
HOPELESS = 3
"""So many trials that failed, before one that did not, end a tuning: its recipe is wrong, not their settings."""
AGAIN = ("vanished", "restart", "signal", "sigterm", "person", "killed")
"""Ways in which the run of a trial may have ended while no tuner lived: it goes on from its checkpoint."""
Place = tuple[int, int | None]
"""A trial; or with a seed, the training of its settings with that seed."""


class Watched:
    """The log of a run that trains."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tail, self.history = Tail(run.events), History()

    @classmethod
    def whole(cls, run: Run) -> "Watched":
        """All that it has logged."""
        watched = cls(run)
        watched.read()
        return watched

    def read(self) -> None:
        """Take in what is new."""
        for rows in self.tail.rows():
            self.history.fold(rows)

    def values(self, metric: str) -> list[float]:
        """The metric after each evaluation that followed a training step."""
        series = self.history.series.get(metric)
        return [value for step, value in zip(series.steps, series.values, strict=True) if step > 0] if series else []

    def planned(self, metric: str) -> int:
        """How many of them there will be; 0 where that is not known."""
        series = self.history.series.get(metric)
        steps = [step for step in series.steps if step > 0] if series else []
        return round(self.history.steps / steps[0]) if steps and self.history.steps else 0


class Hopeless(Exception):
    """Nothing can come of this tuning: a sentence and a hint."""


class Tuner(group_process.Runner):
    """Proposes trials and trains them."""

    def __init__(self, tuning: Tuning, held: lock.Lock, trials: int, anyway: bool) -> None:
        super().__init__(tuning, held)
        self.tuning = tuning
        self.anyway = anyway
        self.plan = tuning.plan()
        self.tune = self.plan.tune
        self.base = tuning.base
        self.folded = tunings.fold(tunings.read(tuning.events))
        self.live: dict[Place, Watched] = {}
        self.judge: proposing.Judge | None = None
        self.values: dict[int, list[float]] = {}
        """The metric of each ended trial after each evaluation that counts."""
        self.unnoted_runs: dict[Place, Run] = {}
        self._note(Turned(state="started", trials=trials))
        self._take_up()

    def work(self) -> None:
        """Run trials until there are as many as planned, then the best with new seeds."""
        try:
            self._work()
        except Hopeless as reason:
            self._finish("failed", *reason.args)
        except (OSError, Problem) as error:
            # Not in events.jsonl: the disk may be full. The lock's file has its room.
            message, hint = (error.message, error.hint) if isinstance(error, Problem) else (f"{group_process.sentence(error)}.", "")
            self.stop_runs([watched.run for watched in self.live.values()])
            self.turn("failed", message=message, hint=hint)

    def _work(self) -> None:
        room = self.tune.parallel
        while True:
            for place in list(self.live):
                self._look(place)
            if self.got_sigterm:
                self.stop_runs([watched.run for watched in self.live.values()])
            elif len(self.live) < room and (following := self._next()):
                if run := self._start(following):
                    self.live[following] = Watched(run)
                    if gpus := group_process.gpus(run):
                        room = min(self.tune.parallel, gpus)
                continue
            if not self.live:
                break
            time.sleep(EVERY)
        self._finish("stopped" if self.got_sigterm else "ended")

    def _finish(self, state: str, message: str = "", hint: str = "") -> None:
        runs = [watched.run for watched in self.live.values()]
        self.stop_runs(runs)
        while any(state_of(run).alive for run in runs):
            time.sleep(EVERY)
        self._note(Turned(state=state, message=message, hint=hint))
        self.turn(state)
        standing = self.tuning.standing()
        best, figure = standing.best, standing.figure
        figures = {self.tune.metric: best.value} if best and best.value is not None else {}
        figures |= {f"{self.tune.metric} on new seeds": figure.metric.mean} if figure else {}
        self.give_signal("failure" if state == "failed" else "end", " ".join(filter(None, (message, standing.state.message))), figures)

    # -- what is next ------------------------------------------------------------------------------------------------------------------

    def _next(self) -> Place | None:
        """What is to be trained next; None where there is nothing to start now."""
        waiting = [trial.number for trial in self.folded.trials.values() if not trial.ended and (trial.number, None) not in self.live]
        if waiting:
            return min(waiting), None
        if (number := len(self.folded.trials)) < self.folded.planned:
            self._ask(number)
            return number, None
        if any(seed is None for _, seed in self.live):
            return None  # the best is not known yet
        best = tunings.best_of(self.folded.trials.values(), self.tune.goal)
        if best is None:
            raise Hopeless("No trial finished, so there is no best one.", "The trials' runs say why; `dlwb runs` lists them.")
        for seed in range(self.plan.seed + 1, self.plan.seed + 1 + self.tune.seeds):
            again = self.folded.again.get((best.number, seed))
            if not (again and again.ended) and (best.number, seed) not in self.live:
                return best.number, seed
        return None

    def _ask(self, number: int) -> None:
        """Propose a trial from those that have ended, and note it with them."""
        parents, source, fixed = self.folded.parents, "", {}
        if self.tune.kind == "transfer":
            if number < len(parents):
                fixed, source = parents[number].params, f"{parents[number].tuning} trial {parents[number].number}"
            parents = []
        past = [proposing.Past(params=parent.params, state=FINISHED, value=parent.value) for parent in parents]
        past += [self._past(self.folded.trials[other]) for other in range(number)]
        question = proposing.Question(tune=self.tune, seed=self.plan.seed, number=number, past=past, fixed=fixed)
        seen = sorted(self.folded.order)
        self._note(Asked(trial=number, params=proposing.propose(question), seen=seen, source=source))
        if self.judge:
            self.judge.add(number, self._past(self.folded.trials[number]))

    def _past(self, trial: Trial) -> proposing.Past:
        state = trial.state if trial.ended else "running"
        values, kept = self.values.get(trial.number, []), self.folded.notes.get(trial.number, {})
        return proposing.Past(params=trial.params, state=state, value=trial.value, values=values, notes=kept)

    # -- runs --------------------------------------------------------------------------------------------------------------------------

    def _start(self, place: Place) -> Run | None:
        """The run of a trial, started or resumed; None where it has ended already, or cannot be started, which is noted."""
        number, seed = place
        try:
            run = self._run_of(place) or self._found_again(place)
            if run and self._is_over(place, run):
                return None
            run = run or self._create(place)
            if not state_of(run).alive:
                launch.launch(run, anyway=self.anyway)
            return run
        except (OSError, Problem) as error:
            self._end(place, Ended(trial=number, seed=seed, state=FAILED, message=group_process.sentence(error)))
            return None

    def _run_of(self, place: Place) -> Run | None:
        number, seed = place
        if seed is None:
            return self.folded.trials[number].place
        again = self.folded.again.get((number, seed))
        return again.place if again else None

    def _is_over(self, place: Place, run: Run) -> bool:
        """Whether the run of a trial ended while no tuner lived, so that it is not resumed; its end is then noted."""
        state = state_of(run)
        if state.alive:
            return False
        watched = Watched.whole(run)
        self._judge(place, watched)
        is_pruned = place[1] is None and place[0] in self.folded.pruned
        resumable = state.state == "created" or (state.state in ("stopped", "failed") and state.cause in AGAIN)
        if resumable and not is_pruned:
            return False
        self._conclude(place, watched, state)
        return True

    def _create(self, place: Place) -> Run:
        number, seed = place
        loaded = load_recipe(self.base, settings(self.folded.trials[number].params, self.plan.seed if seed is None else seed))
        belongs: dict[str, Any] = {"tuning": self.tuning.id, "trial": number}
        title = f"trial {number}" if seed is None else f"trial {number}, seed {seed}"
        loaded = msgspec.structs.replace(loaded, recipe=msgspec.structs.replace(loaded.recipe, title=f"{title}: {loaded.recipe.title}"))
        run = launch.create(loaded, *launch.choose(loaded, self.plan.device), belongs if seed is None else {**belongs, "seed": seed})
        self._note(Started(trial=number, seed=seed, run=run.id))
        self._tag(place, run)
        return run

    def _tag(self, place: Place, run: Run) -> None:
        number, seed = place
        notes.tag(run, [f"trial-{number}" if seed is None else f"{NEW_SEED}{seed}", self.tuning.stem[: notes.TAG_LENGTH]])

    def _found_again(self, place: Place) -> Run | None:
        """The run of a trial that an earlier process created just before its death, and did not note."""
        run = self.unnoted_runs.pop(place, None)
        # A record that was lost with the power may have asked for another trial of that number.
        if run is None or any(value_at(run.recipe(), name) != value for name, value in self.folded.trials[place[0]].params.items()):
            return None
        self._note(Started(trial=place[0], seed=place[1], run=run.id))
        self._tag(place, run)
        return run

    def _take_up(self) -> None:
        """Find out what earlier processes left: their runs, and what ended trials measured."""
        noted = {trial.run for trial in self.folded.trials.values()} | {again.run for again in self.folded.again.values()}
        for run, about in self.unnoted("tuning", noted):
            number, seed = about.get("trial"), about.get("seed")
            if isinstance(number, int) and isinstance(seed, int | None):
                self.unnoted_runs[number, seed] = run
        for trial in self.folded.trials.values():
            if trial.ended and (tried := trial.place):
                self.values[trial.number] = Watched.whole(tried).values(self.tune.metric)[: trial.evaluations]
        self._begin_judging()

    # -- how it goes, and how it ends --------------------------------------------------------------------------------------------------

    def _look(self, place: Place) -> None:
        """Read what a run has logged since; note its end, or stop it where it falls behind."""
        watched = self.live[place]
        state = state_of(watched.run)  # before reading: else the last lines of a run that ends in between would be missed
        try:
            watched.read()
        except Problem as problem:  # its log cannot be read
            if not state.alive:
                del self.live[place]
                self._end(place, Ended(trial=place[0], seed=place[1], state=FAILED, message=group_process.sentence(problem)))
            return
        before = place[0] in self.folded.pruned
        self._judge(place, watched)
        if not state.alive:
            del self.live[place]
            self._conclude(place, watched, state)
        elif not before and place[1] is None and place[0] in self.folded.pruned:
            self._prune(watched.run)

    def _prune(self, run: Run) -> None:
        try:
            launch.stop(run)
            notes.tag(run, ["pruned"])
        except Problem:
            pass  # it has just ended, or has many tags

    def _begin_judging(self) -> None:
        """Once it is known how long a trial is, those that fall behind can be told."""
        if self.judge is None and self.folded.length and self.tune.pruner != "none":
            self.judge = proposing.Judge(self.tune, self.folded.length)
            for number, trial in sorted(self.folded.trials.items()):
                past = self._past(trial)
                if not trial.ended or past.notes or not past.values:
                    self.judge.add(number, past)
                    continue
                # It ended before there was a pruner: what it reached is what the next ones are measured by.
                self.judge.add(number, msgspec.structs.replace(past, state="running"))
                while (told := self.judge.judge(number, past.values))[0]:
                    self._note(Judged(trial=number, evaluation=told[0], pruned=False, notes=told[2]))
                self.judge.end(number, past)

    def _judge(self, place: Place, watched: Watched) -> None:
        """Tell the pruner what a trial has reached; what it notes and decides is kept, as the next decisions depend on it.

        What it decides counts from the evaluation on that it saw, however far the run has come by then: how quickly a tuner looks, or
        that there was none for a while, decides nothing.
        """
        number, seed = place
        if self.judge is None or seed is not None or number in self.folded.pruned:
            return
        values = watched.values(self.tune.metric)
        while number not in self.folded.pruned:
            evaluation, pruned, kept = self.judge.judge(number, values)
            if not evaluation:
                return
            self._note(Judged(trial=number, evaluation=evaluation, pruned=pruned, notes=kept))

    def _conclude(self, place: Place, watched: Watched, state: State) -> None:
        """Note how the run of a trial ended."""
        (number, seed), run, history = place, watched.run, watched.history
        values = watched.values(self.tune.metric)
        ended = Ended(
            trial=number,
            seed=seed,
            state=STOPPED,
            evaluations=len(values),
            planned=watched.planned(self.tune.metric),
            step=history.step,
            seconds=round(history.seconds, 3),
            device=history.device,
            message=one_line(state.message, 500),
        )
        evaluation = self.folded.pruned.get(number) if seed is None else None
        if evaluation is not None:
            value = values[evaluation - 1] if evaluation <= len(values) and math.isfinite(values[evaluation - 1]) else None
            ended = msgspec.structs.replace(ended, state=PRUNED, value=value, evaluations=evaluation)
        elif diverged(state):
            ended = msgspec.structs.replace(ended, state=DIVERGED)
        elif state.state == "finished":
            ended = self._finished(ended, run.recipe(), history)
        elif state.state == "failed":
            ended = msgspec.structs.replace(ended, state=FAILED)
        elif self.got_sigterm:
            return  # it was stopped with the tuning, and goes on with it
        self._end(place, ended)

    def _finished(self, ended: Ended, recipe: Recipe, history: History) -> Ended:
        value = reached(recipe, self.tune, history)
        if value is None:
            message = f"{self.tune.metric} was never logged."
            return msgspec.structs.replace(ended, state=FAILED, message=message)
        if not math.isfinite(value):
            return msgspec.structs.replace(ended, state=DIVERGED)
        # The test data are asked for the trainings of the best alone: what is chosen by them would be too good.
        tests = {tag: history.last(tag) for tag in history.series if tag.startswith("test/") and ended.seed is not None}
        figures = {tag: last for tag, last in tests.items() if last is not None and math.isfinite(last)}
        return msgspec.structs.replace(ended, state=FINISHED, value=value, message="", figures=figures)

    def _end(self, place: Place, ended: Ended) -> None:
        """Note an end, and what follows from it; ends the tuning where nothing can come of it."""
        number, seed = place
        run = self._run_of(place)
        if seed is None and run:
            self.values[number] = Watched.whole(run).values(self.tune.metric)[: ended.evaluations]
        self._note(ended)
        if seed is not None:
            return
        if self.judge:
            self.judge.end(number, self._past(self.folded.trials[number]))
        self._begin_judging()
        self._weigh()
        self._refuse(ended, run)

    def _weigh(self) -> None:
        """Compute anew which setting matters."""
        finished = [self._past(trial) for trial in self.folded.trials.values() if trial.state == FINISHED]
        if len(finished) >= tunings.ENOUGH:
            shares = proposing.importance(self.tune, finished)
            files.write(self.tuning.path / "importance.json", msgspec.json.encode({"shares": shares, "trials": len(finished)}), sync=False)

    def _refuse(self, ended: Ended, run: Run | None) -> None:
        trials = [trial for trial in self.folded.trials.values() if trial.ended]
        if any(trial.state != FAILED for trial in trials):
            return
        if run and state_of(run).state == "finished":
            logged = Watched.whole(run).history.series
            said = f"{self.tune.metric} is never logged: {run.id} logs {tunings.named(logged)}{nearest(self.tune.metric, logged) or '.'}"
            raise Hopeless(said, "Mend tune.metric, and start it again.")
        if len(trials) >= HOPELESS:
            raise Hopeless(f"Its first {len(trials)} trials failed; the last: {ended.message}", "Mend the recipe, and start it again.")

    def _note(self, record: tunings.AnyRecord) -> None:
        tunings.append(self.tuning.events, record)
        self.folded = tunings.fold([record], self.folded)


def settings(params: Mapping[str, Any], seed: int) -> list[str]:
    """The settings of a trial as they are put over its recipe."""
    return [*(f"{name}={flow_text(value)}" for name, value in params.items()), f"seed={seed}"]


def reached(recipe: Recipe, tune: Tune, history: History) -> float | None:
    """A run's value of the metric, of the weights that it keeps: the best of what `keep_best` names, else the last; None without one."""
    series = history.series.get(tune.metric)
    if not series:
        return None
    if tune.metric != recipe.train.keep_best:
        return series.values[-1]
    finite = list(filter(math.isfinite, series.values))
    return (max if tune.goal == "maximize" else min)(finite) if finite else math.nan


def main(words: list[str]) -> int:
    """Run the tuning in a process of its own; exit codes as `group_process.main`."""
    tuning, trials, anyway = Tuning(Path(words[0])), int(words[1]), words[2] == "anyway"
    return group_process.main(tuning, lambda held: Tuner(tuning, held, trials, anyway))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
