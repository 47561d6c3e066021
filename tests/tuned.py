"""Tunings of a line through points, for tests: written, started, waited for, and resumed in this very process."""

import signal
from pathlib import Path
from typing import Any

from lines import LINE, until, write

from workbench.launch import proposing, tuning
from workbench.launch.tuner import Tuner, Watched
from workbench.recipes.load import load_recipe
from workbench.runs import lock, tunings
from workbench.runs.tunings import Tuning

APART = LINE.replace("self.weights[1] - y) ** 2).mean())})", "self.weights[1] - y) ** 2).mean()) + (split == 'test')})")
"""The same with another loss on the test data."""
assert APART != LINE
QUICK = "{epochs: 4, batch_size: 10, log_every: 10}"
SPACE = """
    config.learning_rate: {float: [0.01, 0.5], log: true}
    train.batch_size: {int: [5, 20], step: 5}
"""


def recipe(folder: Path, *, space: str = SPACE, train: str = QUICK, source: str = LINE, config: str = "{}", **more: Any) -> Path:
    """A line through points whose settings are tuned."""
    file = write(folder, config, train, source)
    about = {"metric": "valid/loss", "goal": "minimize", "trials": 4, "seeds": 1, **more}
    lines = "".join(f"  {name}: {value}\n" for name, value in about.items())
    file.write_text(f"{file.read_text()}tune:\n{lines}  space:{space}")
    return file


def started(file: Path, *overrides: str) -> Tuning:
    return tuning.start(load_recipe(file, overrides))[0]


def over(chosen: Tuning) -> str:
    """Wait for its end; returns its state."""
    until(lambda: not lock.is_held(chosen.lock), 300)
    return chosen.standing().state.state


def resumed_here(chosen: Tuning, trials: int) -> None:
    """What its process does, in this one."""
    before = signal.getsignal(signal.SIGTERM)
    held = lock.Lock.take(chosen.lock)
    assert held
    try:
        Tuner(chosen, held, trials, False).work()
    finally:
        held.release()
        signal.signal(signal.SIGTERM, before)


def outcome(chosen: Tuning) -> list[Any]:
    """What two tunings must have in common to be the same: proposals, values and ends of all trials, and the figure."""
    standing = chosen.standing()
    trials = [(trial.number, trial.params, trial.state, trial.value, trial.evaluations) for trial in standing.trials]
    again = [(one.trial, one.seed, one.state, one.value, one.figures) for one in standing.again]
    return [trials, again, standing.best and standing.best.number, standing.figure, chosen.importance()]


def replayed(chosen: Tuning) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Of each trial, what was proposed, and what is proposed from the records of the trials that had ended then."""
    plan, folded = chosen.plan(), tunings.fold(tunings.read(chosen.events))
    pairs = []
    for number, trial in sorted(folded.trials.items()):
        past = []
        for other in range(number):
            one = folded.trials[other]
            ended = other in trial.seen
            values = Watched.whole(one.place).values(plan.tune.metric)[: one.evaluations] if ended and one.place else []
            state, value = (one.state, one.value) if ended else ("running", None)
            past.append(proposing.Past(params=one.params, state=state, value=value, values=values))
        question = proposing.Question(tune=plan.tune, seed=plan.seed, number=number, past=past)
        pairs.append((trial.params, proposing.propose(question)))
    return pairs
