"""What Optuna decides in a tuning: the next trial's settings, whether a trial is stopped early, which setting matters. No torch here.

Each answer follows from the records alone: the study is in memory and made anew, its sampler is fresh and seeded by the trial's number.
So a tuner that was killed and resumed proposes what one that never was would have.
`python -m workbench.launch.proposing` answers questions over stdin: the Gaussian process, whose torch stays out of the tuner.
"""

import hashlib
import importlib.util
import math
import os
import select
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from workbench import paths
from workbench.launch.surroundings import worker_environment
from workbench.problems import Problem, missing, one_line
from workbench.recipes import search_space
from workbench.recipes.recipe import Dimension, Tune
from workbench.recipes.yaml_reader import flow_text

if TYPE_CHECKING:
    import optuna

RANDOM_SHARE, RANDOM = 4, (3, 10)
"""Of how many trials one is random before a model proposes, and the least and most of them; Optuna's own 10 are half of a course's 20."""
DIGITS = 6
"""Significant digits of a proposed number: a person reads it, and copies it into a recipe."""
WARM_UP = 10
"""The share of a trial, 1 in so many, in which the median never stops it: at a small learning rate the first values are bad for all."""
RUNGS = 64
"""Of ASHA: the first rung is at this part of a trial's length, the next ones at 4 times as much each."""
PATIENCE = 600
"""Seconds that a Gaussian process may take for a proposal."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A trial as the proposals see it."""

    params: dict[str, Any]
    state: str
    """finished, pruned, diverged, stopped, failed, or running."""
    value: float | None = None
    values: list[float] = []
    """Of the metric, after each evaluation."""
    notes: dict[str, Any] = {}
    """What the pruner keeps of it."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be proposed: the settings of trial `number`, after these trials; `fixed` ones are given."""

    tune: Tune
    seed: int
    number: int
    past: list[Past]
    fixed: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of the Gaussian process says."""

    params: dict[str, Any] = {}
    problem: str = ""


_process: "subprocess.Popen[bytes] | None" = None
"""That process: the import of torch takes longer than a proposal."""


def refuse_missing() -> None:
    """Problem where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise missing("Tuning", "Optuna", "tune")


def seed_of(seed: int, number: int) -> int:
    """The seed of a trial's sampler, from that of the tuning: neighbours have nothing in common."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def propose(question: Question) -> dict[str, Any]:
    """The settings of a trial. Those of a Gaussian process come from a process of their own."""
    tune = question.tune
    if tune.sampler == "grid":
        return search_space.grid(tune.space, question.seed)[question.number]
    if tune.sampler == "gp" and sum(past.state == "finished" for past in question.past) >= randoms(tune):
        return _elsewhere(question)
    return _propose(question)


def randoms(tune: Tune) -> int:
    """Number of trials before a model proposes."""
    return min(max(tune.trials // RANDOM_SHARE, RANDOM[0]), RANDOM[1])


def _propose(question: Question) -> dict[str, Any]:
    tune, seed = question.tune, seed_of(question.seed, question.number)
    optuna = _optuna()
    sampler: Any
    if tune.sampler == "random":
        sampler = optuna.samplers.RandomSampler(seed=seed)
    elif tune.sampler == "gp":
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=randoms(tune))
    else:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=randoms(tune), multivariate=True, constant_liar=True)
    study = _study(tune, sampler)
    for past in question.past:
        study.add_trial(_frozen(tune, past))
    if question.fixed:
        study.enqueue_trial({name: _inward(tune.space[name], value) for name, value in question.fixed.items()})
    trial = study.ask()
    params: dict[str, Any] = {}
    for name in search_space.in_order(tune.space):
        dimension = tune.space[name]
        if search_space.holds(dimension.when, params):
            params[name] = _suggested(trial, name, dimension)
    return params


def _suggested(trial: "optuna.Trial", name: str, dimension: Dimension) -> Any:
    if dimension.choose is not None:
        words = list(map(flow_text, dimension.choose))
        return dimension.choose[words.index(trial.suggest_categorical(name, words))]
    assert dimension.range
    low, high = dimension.range
    if dimension.whole is not None:
        return trial.suggest_int(name, int(low), int(high), step=int(dimension.step or 1), log=dimension.log)
    value = trial.suggest_float(name, low, high, step=dimension.step, log=dimension.log)
    return min(max(float(f"{value:.{12 if dimension.step else DIGITS}g}"), low), high)


def _elsewhere(question: Question) -> dict[str, Any]:
    """Ask the process of the Gaussian process, which is of the worker's kind: its threads are pinned, and torch is in no other.

    It keeps nothing between two questions but what it has imported, and ends with this one.
    """
    global _process
    if _process is None or _process.poll() is not None:
        _process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.launch.proposing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=worker_environment(os.environ, 1),
            cwd=paths.working_folder(),
        )
    assert _process.stdin and _process.stdout
    # A Gaussian process asks for the last values alone; among the others may be some for which JSON has no number.
    asked = msgspec.structs.replace(question, past=[msgspec.structs.replace(past, values=[]) for past in question.past])
    try:
        _process.stdin.write(msgspec.json.encode(asked) + b"\n")
        _process.stdin.flush()
        answered = select.select([_process.stdout], [], [], PATIENCE)[0]
        answer = msgspec.json.decode(_process.stdout.readline(), type=Answer) if answered else Answer(problem=f"no answer for {PATIENCE} s")
    except (OSError, msgspec.MsgspecError):
        answer = Answer(problem="its process has ended")
    space = question.tune.space
    if not answer.problem and not (
        answer.params and all(name in space and contains(space[name], value) for name, value in answer.params.items())
    ):
        # As where dlwb was upgraded while it ran.
        answer = Answer(problem="its answer lies outside the space")
    if answer.problem:
        _process.kill()
        _process.wait()
        raise Problem(f"The Gaussian process made no proposal: {one_line(answer.problem, 200)}.", "Take sampler: tpe.")
    return answer.params


class Judge:
    """Decides which trials are stopped early. It is fed every evaluation of every trial, in the order of the evaluations."""

    def __init__(self, tune: Tune, length: int) -> None:
        """`length` is the number of evaluations of a whole trial."""
        optuna = _optuna()
        self.tune = tune
        pruner: Any
        if tune.pruner == "median":
            pruner = optuna.pruners.MedianPruner(n_warmup_steps=math.ceil(length / WARM_UP))
        elif tune.pruner == "asha":
            pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, length // RUNGS))
        else:
            pruner = optuna.pruners.HyperbandPruner(max_resource=max(length, 1))
        self._trial = optuna.trial.Trial
        self._states = optuna.trial.TrialState
        self._study = _study(tune, optuna.samplers.RandomSampler(seed=0), pruner)
        self._live: dict[int, Any] = {}
        self._told: dict[int, int] = {}
        """Evaluations of a live trial that were told."""

    def add(self, number: int, past: Past) -> None:
        """A trial, in the order of their numbers; one that runs is then fed by `judge`."""
        assert number == len(self._study.trials)
        live = past.state == "running"
        self._study.add_trial(_frozen(self.tune, msgspec.structs.replace(past, values=[]) if live else past))
        if live:
            self._live[number] = self._trial(self._study, self._study.trials[number]._trial_id)
            self._told[number] = 0

    def judge(self, number: int, values: Sequence[float]) -> tuple[int, bool, dict[str, Any]]:
        """Tell the values of a running trial so far, of which the first are known.

        Returns after which evaluation something was noted or decided (0: nothing), whether it is to be stopped, and the notes.
        """
        trial = self._live[number]
        before = dict(self._study.trials[number].system_attrs)
        while self._told[number] < len(values):
            self._told[number] += 1
            trial.report(values[self._told[number] - 1], self._told[number])
            pruned = trial.should_prune()
            notes = {name: value for name, value in self._study.trials[number].system_attrs.items() if before.get(name) != value}
            if pruned or notes:
                return self._told[number], pruned, notes
        return 0, False, {}

    def end(self, number: int, past: Past) -> None:
        """A running trial has ended."""
        trial = self._live.pop(number)
        if past.state == "finished":
            self._study.tell(trial, past.value)
        else:
            self._study.tell(trial, state=self._states.FAIL if past.state == "failed" else self._states.PRUNED)


def importance(tune: Tune, finished: Sequence[Past]) -> dict[str, float]:
    """How much each setting decides whether a trial is among the best, by PED-ANOVA (arXiv 2304.10255); the shares add up to 1.

    It compares where the best lie with where all lie: the best tenth, but at least 5 trials, and at most half of them.
    """
    optuna = _optuna()
    study = _study(tune, optuna.samplers.RandomSampler(seed=0))
    for past in finished:
        study.add_trial(_frozen(tune, past))
    best = min(max(0.1, 5 / len(finished)), 0.5)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items() if math.isfinite(share)}


def _optuna() -> Any:
    import optuna  # its import takes as long as all the rest of the tuner's start

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # What it announces as experimental is tested here.
    warnings.filterwarnings("ignore", module="optuna")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def _study(tune: Tune, sampler: Any, pruner: Any = None) -> Any:
    optuna = _optuna()
    # The name decides the bracket of a Hyperband trial.
    storage = optuna.storages.InMemoryStorage()
    pruner = pruner or optuna.pruners.NopPruner()
    return optuna.create_study(study_name="tuning", storage=storage, direction=tune.goal, sampler=sampler, pruner=pruner)


def _frozen(tune: Tune, past: Past) -> Any:
    """A trial as Optuna keeps it.

    One that diverged counts as pruned with NaN, the worst there is: a failed one would teach nothing, and the same would be tried again.
    """
    optuna = _optuna()
    states = optuna.trial.TrialState
    state = {"finished": states.COMPLETE, "failed": states.FAIL, "running": states.RUNNING}.get(past.state, states.PRUNED)
    values = [*past.values, math.nan] if past.state == "diverged" else past.values
    space = {name: tune.space[name] for name in past.params}
    return optuna.trial.create_trial(
        state=state,
        value=past.value if state == states.COMPLETE else None,
        params={name: _inward(space[name], value) for name, value in past.params.items()},
        distributions={name: _distribution(dimension) for name, dimension in space.items()},
        intermediate_values=dict(enumerate(values, 1)),
        system_attrs=past.notes,
    )


def _inward(dimension: Dimension, value: Any) -> Any:
    """A value as Optuna knows it: of a choice the words, as lists are no choices to it."""
    return flow_text(value) if dimension.choose is not None else value


def _distribution(dimension: Dimension) -> Any:
    optuna = _optuna()
    if dimension.choose is not None:
        return optuna.distributions.CategoricalDistribution(tuple(map(flow_text, dimension.choose)))
    assert dimension.range
    low, high = dimension.range
    if dimension.whole is not None:
        return optuna.distributions.IntDistribution(int(low), int(high), log=dimension.log, step=int(dimension.step or 1))
    return optuna.distributions.FloatDistribution(low, high, log=dimension.log, step=dimension.step)


def contains(dimension: Dimension, value: Any) -> bool:
    """Whether a setting may have this value."""
    if dimension.choose is not None:
        return flow_text(value) in map(flow_text, dimension.choose)
    if isinstance(value, bool) or not isinstance(value, int | float) or dimension.range is None:
        return False
    low, high = dimension.range
    on_grid = not dimension.step or abs((value - low) / dimension.step - round((value - low) / dimension.step)) < 1e-8
    return low <= value <= high and on_grid and (dimension.whole is None or float(value).is_integer())


def clipped(space: Mapping[str, Dimension], params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of another tuning, moved into the ranges of this one; what cannot be moved there is left to be proposed."""
    moved = {}
    for name, value in params.items():
        dimension = space.get(name)
        if dimension is None:
            continue
        if dimension.range is not None and isinstance(value, int | float) and not isinstance(value, bool):
            low, high = dimension.range
            step = dimension.step or (1 if dimension.whole is not None else 0)
            value = min(max(value, low), high)
            value = low + step * round((value - low) / step) if step else value
            value = round(value) if dimension.whole is not None else float(value)
        if contains(dimension, value):
            moved[name] = value
    return moved


def main() -> int:
    """Answer each question on stdin, a line each."""
    for line in sys.stdin.buffer:
        try:
            answer = Answer(params=_propose(msgspec.json.decode(line, type=Question)))
        except Exception as error:
            answer = Answer(problem=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
