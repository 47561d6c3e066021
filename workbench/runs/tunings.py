"""Tunings: what lies where in the folder of one, its trials, what the best of them reached, its state, and how one is found.

The truth are the logs of the runs and `events.jsonl`: what was proposed, and after which trials; which run tried it; how it ended.
"""

import errno
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from workbench import events, files, paths
from workbench.problems import Problem, cleaned, one_line
from workbench.recipes.recipe import Recipe, Tune
from workbench.runs import group, lock
from workbench.runs.compare import Interval, interval
from workbench.runs.directory import read_recipe
from workbench.runs.run import Run
from workbench.runs.state import State, state_of

MOST_NAMED = 12
"""Metrics that a message names."""
ENOUGH = 10
"""Finished trials without which nothing is said of the importance of a setting."""
FINISHED, PRUNED, DIVERGED, FAILED, STOPPED = "finished", "pruned", "diverged", "failed", "stopped"
"""How a trial may end: all its steps; by the pruner; by a value that became NaN or infinite; by an error; by a person."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched."""

    recipe: str
    """Path of the recipe that was started."""
    title: str
    tune: Tune
    seed: int
    """Of each trial, and of the proposals; the best is trained again with the seeds after it."""
    code: str = ""
    """Hash of the code that its runs depend on."""
    device: str = ""
    """The device asked for; "" leaves it to the recipe."""
    mirror: str = ""


# -- events.jsonl ------------------------------------------------------------------------------------------------------------------------


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """One line of `events.jsonl`."""

    time: float = 0.0
    """Seconds since the Unix epoch, for people: order is by line."""


class Parent(Record, frozen=True, kw_only=True):
    """A trial of an earlier tuning that this one learns from."""

    tuning: str
    number: int
    params: dict[str, Any]
    value: float


class Asked(Record, frozen=True, kw_only=True):
    """What was proposed for a trial, and the ended trials that the proposal is made from: it follows from them, the seed and the number."""

    trial: int
    params: dict[str, Any]
    seen: list[int]
    source: str = ""
    """Where it came from, where nobody proposed it: the trial of an earlier tuning."""


class Started(Record, frozen=True, kw_only=True):
    """Which run tries it; with `seed`, which run trains it again."""

    trial: int
    run: str
    seed: int | None = None


class Judged(Record, frozen=True, kw_only=True):
    """What the pruner noted, or decided, after an evaluation."""

    trial: int
    evaluation: int
    """1 is the first one after a training step."""
    pruned: bool
    notes: dict[str, Any] = {}
    """What it keeps of a trial: its values at the rungs."""


class Ended(Record, frozen=True, kw_only=True):
    """How a trial, or with `seed` a training of the best, ended."""

    trial: int
    state: str
    seed: int | None = None
    value: float | None = None
    """Of the metric; of one that was pruned, when that was decided."""
    evaluations: int = 0
    """After how many."""
    planned: int = 0
    """Evaluations of its whole length; 0 where that is not known."""
    step: int = 0
    seconds: float = 0.0
    """Time that it trained."""
    device: str = ""
    message: str = ""
    figures: dict[str, float] = {}
    """Its figures on the test data, of a training of the best."""


class Turned(Record, frozen=True, kw_only=True):
    """A turn of the tuning itself: `started` with its number of trials, `stopped`, `ended`, `failed`."""

    state: str
    trials: int = 0
    message: str = ""
    hint: str = ""


AnyRecord = Parent | Asked | Started | Judged | Ended | Turned


def append(path: Path, record: AnyRecord) -> None:
    """Add a line. OSError where the disk has no room for it."""
    line = events.seal(msgspec.json.encode(msgspec.structs.replace(record, time=time.time())))
    file = files.open_plain(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(file).st_size
        # A death in the middle of a write leaves half a line, which must not swallow this one.
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file)  # what was proposed and reached outlives a power failure, as the runs do
    finally:
        os.close(file)


def read(path: Path) -> list[AnyRecord]:
    """Every whole line, in their order; what is torn or damaged is left out. Problem where the file cannot be read."""
    try:
        data = files.read_plain(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.problem(str(path), "read", error, path) from error
    return [record for line in data.split(b"\n") for piece in _pieces(line) if (record := _record(piece)) is not None]


def _pieces(line: bytes) -> Iterator[bytes]:
    body = events.whole(line)
    bodies = [body] if body is not None else map(events.whole, events.pieces(line))
    yield from (piece for piece in bodies if piece is not None)


def _record(body: bytes) -> AnyRecord | None:
    try:
        return msgspec.convert(cleaned(msgspec.json.decode(body + b"}")), AnyRecord)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


# -- what they amount to -----------------------------------------------------------------------------------------------------------------


class Trial(msgspec.Struct, kw_only=True):
    """A trial, as it is now."""

    number: int
    params: dict[str, Any]
    """Its settings, by the names of the space; a setting whose `when` does not hold is left out."""
    state: str = "asked"
    """One of the ends; before its end: asked, then as its run is: queued, starting, running, paused.

    pruning: it is being stopped; ending: its run has finished, which nobody noted yet; interrupted: a resumed tuning goes on with it.
    """
    seen: list[int] = []
    """The trials that had ended when it was proposed."""
    source: str = ""
    value: float | None = None
    """Of an ended one; None where there is no value."""
    run: str = ""
    """The run's id; "" before it was created."""
    evaluations: int = 0
    step: int = 0
    seconds: float = 0.0
    """Time that it trained, of an ended one."""
    device: str = ""
    message: str = ""
    """Why it failed."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.state in (FINISHED, PRUNED, DIVERGED, FAILED, STOPPED)

    @property
    def place(self) -> Run | None:
        """Its run; None where there is none yet, or it was deleted."""
        return place_of(self.run)


class Again(msgspec.Struct, kw_only=True):
    """A training of the best trial's settings with a new seed."""

    trial: int
    seed: int
    run: str = ""
    state: str = "asked"
    value: float | None = None
    figures: dict[str, float] = {}
    """On the test data, by tag."""
    seconds: float = 0.0
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.state in (FINISHED, DIVERGED, FAILED, STOPPED)

    @property
    def place(self) -> Run | None:
        """Its run; None where there is none yet, or it was deleted."""
        return place_of(self.run)


class Figure(NamedTuple):
    """What a tuning reached: the best trial's settings on new seeds. The best trial's own value is chosen, so it flatters."""

    trial: int
    metric: Interval
    tests: dict[str, Interval]
    """By tag, on the test data."""


class Best(NamedTuple):
    """The best value so far, after a trial ended."""

    trial: int
    """That ended."""
    value: float
    """The best so far."""
    seconds: float
    """That all trials have trained until then; 3,600 are an hour of a device."""


class Standing(NamedTuple):
    """How a tuning is now."""

    state: State
    trials: list[Trial]
    again: list[Again]
    """The trainings of the best with new seeds."""
    planned: int
    """Number of trials that it is to have."""
    best: Trial | None
    """Of the finished ones."""
    parents: list[Parent]
    progress: list[Best]
    """In the order in which trials ended."""
    figure: Figure | None
    """None until the best was trained with every new seed."""

    def count(self, *states: str) -> int:
        """Number of trials in these states."""
        return sum(trial.state in states for trial in self.trials)

    @property
    def seconds(self) -> float:
        """That all trials, and trainings of the best, have trained."""
        return sum(trial.seconds for trial in self.trials) + sum(again.seconds for again in self.again)


class Folded(NamedTuple):
    """The lines of `events.jsonl` folded, without a look at any run."""

    trials: dict[int, Trial]
    again: dict[tuple[int, int], Again]
    """By trial and seed."""
    parents: list[Parent]
    notes: dict[int, dict[str, Any]]
    """What the pruner keeps, by trial."""
    pruned: dict[int, int]
    """After which evaluation it decided to stop a trial."""
    order: list[int]
    """The trials in the order in which they ended."""
    length: int
    """Evaluations of a whole trial, by the first that told; 0 before."""
    planned: int
    turn: Turned | None


def fold(records: Iterable[AnyRecord], before: Folded | None = None) -> Folded:
    """What the lines amount to, or what they add to those before, whose lists are then these."""
    folded = before or Folded({}, {}, [], {}, {}, [], 0, 0, None)
    length, planned, turn = folded.length, folded.planned, folded.turn
    for record in records:
        if isinstance(record, Parent):
            # A process that died while it noted them notes them again.
            if (record.tuning, record.number) not in {(one.tuning, one.number) for one in folded.parents}:
                folded.parents.append(record)
        elif isinstance(record, Asked):
            fresh = Trial(number=record.trial, params=record.params, seen=record.seen, source=record.source)
            folded.trials.setdefault(record.trial, fresh)
        elif isinstance(record, Turned):
            turn, planned = record, record.trials or planned
        elif record.trial not in folded.trials:
            continue  # the line that asked for it is damaged
        elif isinstance(record, Started) and record.seed is None:
            folded.trials[record.trial].run = record.run
        elif isinstance(record, Started):
            assert record.seed is not None
            folded.again[record.trial, record.seed] = Again(trial=record.trial, seed=record.seed, run=record.run)
        elif isinstance(record, Judged):
            folded.notes.setdefault(record.trial, {}).update(record.notes)
            if record.pruned:
                folded.pruned.setdefault(record.trial, record.evaluation)
        elif record.seed is None:
            length = length or record.planned
            _end(folded.trials[record.trial], record)
            if record.trial not in folded.order:
                folded.order.append(record.trial)
        else:
            key = record.trial, record.seed
            again = folded.again.setdefault(key, Again(trial=record.trial, seed=record.seed))
            again.state, again.value, again.figures = record.state, record.value, record.figures
            again.seconds, again.message = record.seconds, record.message
    return folded._replace(length=length, planned=planned, turn=turn)


def _end(trial: Trial, record: Ended) -> None:
    trial.state, trial.value, trial.evaluations = record.state, record.value, record.evaluations
    trial.step, trial.seconds, trial.device, trial.message = record.step, record.seconds, record.device, record.message


def place_of(run: str) -> Run | None:
    """The run of that id; None where there is none, or it was deleted."""
    place = Run(paths.runs() / run)
    is_name = place.path.parent == paths.runs() and place.id != ".."  # what leads anywhere else is none of ours
    return place if is_name and os.path.exists(place.path / "recipe.yaml") else None  # noqa: PTH110


def best_of(trials: Iterable[Trial], goal: str) -> Trial | None:
    """The finished trial with the best value; the first of equal ones."""
    rated = [(trial.value, trial) for trial in trials if trial.state == FINISHED and trial.value is not None]
    if not rated:
        return None
    sign = -1 if goal == "maximize" else 1
    return min(rated, key=lambda pair: (sign * pair[0], pair[1].number))[1]


class Importance(NamedTuple):
    """How much each setting of the space decides whether a trial is among the best."""

    shares: dict[str, float]
    """By setting, the greatest first; they add up to 1. Empty where too few trials have finished."""
    trials: int
    """Finished trials that it was computed from."""


class Tuning(group.Group):
    """One directory of a tuning."""

    @property
    def events(self) -> Path:
        """What was proposed, tried and reached."""
        return self.path / "events.jsonl"

    @property
    def base(self) -> Path:
        """The recipe whose settings the trials change; its name is that of the recipe that was started."""
        named = sorted((self.path / "base").glob("*.yaml"))
        if not named:
            raise Problem(f"{self.path / 'base'} has no recipe.", "Start the tuning again.")
        return named[0]

    def plan(self) -> Plan:
        """What it searches; Problem where that cannot be read."""
        try:
            return msgspec.convert(cleaned(files.read_object(self.path / "tuning.json")), Plan)
        except msgspec.ValidationError as error:
            raise Problem(f"{self.path / 'tuning.json'} is damaged: {one_line(str(error))}.") from None

    def recipe(self) -> Recipe:
        """The recipe that was started, every default filled in."""
        return read_recipe(self.path / "recipe.yaml")

    def runs(self) -> list[str]:
        """The ids of its runs: of the trials, and of the trainings of the best."""
        folded = fold(read(self.events))
        ids = [*(trial.run for trial in folded.trials.values()), *(again.run for again in folded.again.values())]
        return [run for run in ids if run]

    def importance(self) -> Importance:
        """As its process computed it last."""
        noted = files.read_object(self.path / "importance.json")
        shares = noted.get("shares")
        try:
            return Importance(msgspec.convert(cleaned(shares), dict[str, float]), msgspec.convert(noted.get("trials"), int))
        except msgspec.ValidationError:
            return Importance({}, 0)

    def standing(self) -> Standing:
        """How it is now: alive is that its lock is held."""
        # Asked before the file: else what is written in between would look like the work of a dead process.
        alive, holder = lock.is_held(self.lock), lock.content(self.lock)
        plan, folded = self.plan(), fold(read(self.events))
        trials = [folded.trials[number] for number in sorted(folded.trials)]
        for trial in trials:
            if not trial.ended and (run := trial.place):
                trial.state = "pruning" if trial.number in folded.pruned else _unnoted(run)
        again = [folded.again[key] for key in sorted(folded.again)]
        for one in again:
            if not one.ended and (run := one.place):
                one.state = _unnoted(run)
        planned = folded.planned or plan.tune.trials
        best = best_of(trials, plan.tune.goal)
        mine = [one for one in again if best and one.trial == best.number]
        figure = _figure(best, mine, plan.tune.seeds)
        state = _state(folded, alive, holder, trials, planned, best, plan)
        return Standing(state, trials, again, planned, best, folded.parents, _progress(folded, plan.tune.goal), figure)


def _unnoted(run: Run) -> str:
    """The state of a trial whose end nobody noted, by its run."""
    state = state_of(run)
    return state.state if state.alive or state.state in ("created", "away") else "ending" if state.state == "finished" else "interrupted"


def _figure(best: Trial | None, again: Sequence[Again], seeds: int) -> Figure | None:
    """The mean over the new seeds; None while one of them has not ended. One that failed has no value."""
    values = [one.value for one in again if one.value is not None]
    if best is None or not values or len(again) < seeds or not all(one.ended for one in again):
        return None
    tags = dict.fromkeys(tag for one in again for tag in one.figures)
    tests = {tag: interval([one.figures[tag] for one in again if tag in one.figures]) for tag in tags}
    mean = interval(values)
    assert mean
    return Figure(best.number, mean, {tag: each for tag, each in tests.items() if each})


def _progress(folded: Folded, goal: str) -> list[Best]:
    steps, seconds, best = [], 0.0, None
    better = max if goal == "maximize" else min
    for number in folded.order:
        trial = folded.trials[number]
        seconds += trial.seconds
        if trial.state == FINISHED and trial.value is not None:
            best = trial.value if best is None else better(best, trial.value)
        if best is not None:
            steps.append(Best(number, best, seconds))
    return steps


def _state(folded: Folded, alive: bool, holder: dict[str, Any], trials: list[Trial], planned: int, best: Trial | None, plan: Plan) -> State:
    ended = sum(trial.ended for trial in trials)
    words = [f"{ended} of {planned} trials ended"]
    words += [f"{count} {state}" for state in (PRUNED, DIVERGED, FAILED) if (count := sum(trial.state == state for trial in trials))]
    message = ", ".join(words)
    if best is not None and best.value is not None:
        message += f"; best {plan.tune.metric} {best.value:.4g} (trial {best.number})"
    host = one_line(str(holder.get("host") or lock.host()), 80)
    elsewhere = host if host != lock.host() else ""
    if alive:
        name = "stopping" if holder.get("state") == "stopping" else "running"
        return State(state=name, alive=True, message=message, host=elsewhere)
    turn = folded.turn.state if folded.turn else ""
    resume = "`dlwb tuning resume` goes on with it."
    if holder.get("state") == "failed" and holder.get("message"):  # it could not be noted, as on a full disk
        reason, hint = (one_line(str(holder.get(name, "")), 500) for name in ("message", "hint"))
        return State(state="failed", message=f"{reason} {message}.", hint=hint or resume)
    if turn == "ended":
        return State(state="finished", message=message)
    if turn == "failed":
        assert folded.turn
        return State(state="failed", message=f"{folded.turn.message} {message}.", hint=folded.turn.hint or resume)
    if elsewhere:
        return State(state="away", message=f"on {host}, {message}", host=host)
    if turn == "stopped":
        return State(state="stopped", message=message, hint=resume)
    cause = "vanished" if holder else ""
    return State(state="failed", cause=cause, message=f"Its process was killed; {message}.", hint=resume)


def named(tags: Iterable[str]) -> str:
    """The metrics that could judge a trial, for a message."""
    chosen = sorted(tag for tag in tags if tag.partition("/")[0] not in ("system", "test"))
    return ", ".join(chosen[:MOST_NAMED]) + " …" * (len(chosen) > MOST_NAMED)


def list_tunings() -> list[Tuning]:
    """All tunings that live or have a run, newest first."""
    return group.listed(paths.tunings(), Tuning, "tuning.json", lambda one: any(map(place_of, one.runs())))


def find_tuning(reference: str, *, ends: str = "") -> Tuning | None:
    """The tuning that a reference means, see `group.find`; None where a run is meant."""
    return group.find(list_tunings(), reference, ends)
