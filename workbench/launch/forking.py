"""Goes on from a checkpoint of a run: in a new run with other settings (`fork`), or in that run itself (`roll_back`).

A fork has a copy of all that it stands on in its own folder: the log up to the checkpoint, the pictures of it, the checkpoint, the best
weights of then, the code, the hashes of the data. Its parent is only read, may train meanwhile, and may be deleted.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from workbench import events, files, paths
from workbench.events import Mark, Status
from workbench.formatting import count
from workbench.launch import start
from workbench.problems import Problem, one_line
from workbench.recipes import trust
from workbench.recipes.load import Loaded, load_recipe
from workbench.recipes.recipe import LIVE, Recipe, dump_recipe
from workbench.runs import directory, family, lock
from workbench.runs.checkpoint import Checkpoints, Generation
from workbench.runs.ending import write_exit
from workbench.runs.family import Branch, Forked
from workbench.runs.history import History, history_of
from workbench.runs.log import EventLog
from workbench.runs.log_prefix import prefix
from workbench.runs.run import Run
from workbench.runs.state import State, attempts, state_of

KEPT = {
    "seed": "the checkpoint holds the random states and the order of its epoch",
    "train.batch_size": "the checkpoint counts its place in the epoch in batches",
    "train.keep_best": "the checkpoint holds the best value of that metric, and how long ago it was",
}
"""Settings that cannot change from a checkpoint on, and why."""
INHERITED = ("recipe", "mirror", "device", "warning", "processor", "versions", "code", "files")
"""What a fork's run.json has of its parent's: not which comparison or tuning that was a part of."""
NAMED = 4
"""How many checkpoints a question names."""
PATIENCE = 300.0
"""Seconds that a run may take to end after it was asked to: it finishes its step."""
LOOK = 0.05
"""Seconds between two looks at it."""


class Created(NamedTuple):
    """A fork that was not launched yet."""

    run: Run
    remark: str
    """What a person has to know of it; "" where there is nothing."""


def loaded_recipe(run: Run, overrides: Sequence[str] = ()) -> Loaded:
    """A run's recipe as a fork's form and `--set` read it. Problem where a setting is wrong, or its own project file is not trusted."""
    loaded = load_recipe(run.path / "recipe.yaml", overrides, compares=False)
    if loaded.project_file:
        trust.read(loaded.project_file)
    return loaded


def kind(name: str, live: Sequence[str]) -> str:
    """What a setting may do at a checkpoint: `live`, `fixed` (it may not fit), or the reason why it stays. `live`: the project's own."""
    section, _, key = name.partition(".")
    if name in KEPT:
        return KEPT[name]
    return "live" if (section == "config" and key in live) or (section == "train" and key in LIVE) else "fixed"


def planned(run: Run, history: History, step: int, overrides: Sequence[str]) -> Forked:
    """What `config.learning_rate=0.01` and the like change at a step: what the run has there already, is no change."""
    changes = Forked(run=run.id, step=step, live={}, fixed={})
    if not overrides:
        return changes
    loaded = loaded_recipe(run, overrides)
    own = loaded.schema.live if loaded.schema else ()
    now = {**_settings(run.recipe()), **family.settings_at(history, step)}
    asked = _settings(loaded.recipe)
    folder = Path(str(run.about().get("recipe") or run.path)).parent
    for word in overrides:
        # The setting itself, where one value inside of it was named.
        name = ".".join(word.partition("=")[0].strip().split(".")[:2])
        value = paths.rooted({"": asked[name]}, folder)[""] if name.startswith("config.") else asked[name]
        if value == now.get(name) and isinstance(value, bool) == isinstance(now.get(name), bool):
            continue
        how = kind(name, own)
        if how == "live":
            changes.live[name] = value
        elif how == "fixed":
            changes.fixed[name] = [now.get(name), value]
        else:
            raise Problem(f"{name} cannot change at a checkpoint: {how}.", f"`dlwb run {run.stem} --set {one_line(word, 80)}` begins anew.")
    return changes


def _settings(recipe: Recipe) -> dict[str, Any]:
    sections = {"config": recipe.config, "train": msgspec.structs.asdict(recipe.train), "compute": msgspec.structs.asdict(recipe.compute)}
    return {"seed": recipe.seed} | {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}


# -- fork --------------------------------------------------------------------------------------------------------------------------


def fork(
    run: Run, branch: Branch, overrides: Sequence[str] = (), *, device: str = "", repeat: bool = True, anyway: bool = False
) -> Created:
    """Create a fork, launch it, and wait until it has taken its checkpoint over where that may not fit; see `create` and `settle`."""
    created = create(run, branch, overrides, device=device, repeat=repeat, anyway=anyway)
    remark = start.launch(created.run, anyway=anyway)
    settle(created.run)
    return created._replace(remark=" ".join(filter(None, (created.remark, remark))))


def create(
    run: Run, branch: Branch, overrides: Sequence[str] = (), *, device: str = "", repeat: bool = True, anyway: bool = False
) -> Created:
    """Create a new run that goes on from a checkpoint of another one, with these settings put over; nothing of it runs yet.

    `repeat`: what people changed in the other run after that step is changed again at the same steps. `anyway`: although the code, or the
    data, is not what trained the other run. Problem where it cannot be; the other run is only read.
    """
    _refuse_code(run, anyway, "fork")
    step, history = branch.generation.step, history_of(run.events)
    overrides = [*overrides, *([f"compute.device={device}"] if device else [])]
    changes = planned(run, history, step, overrides)
    _refuse_end(run, history, step, changes)
    recipe = _forked_recipe(run.recipe(), changes.fixed)
    about = {name: value for name, value in run.about().items() if name in INHERITED}
    if "compute.device" in changes.fixed:
        choice = start.choose(loaded_recipe(run, overrides))
        recipe = msgspec.structs.replace(recipe, compute=msgspec.structs.replace(recipe.compute, device=choice.name))
        about |= {"device": choice.requested or choice.name, "warning": choice.warning}
    source = trust.read(run.project_copy) if recipe.project.endswith(".py") else files.read_plain(run.project_copy)
    beginning = prefix(run.events, step)
    origin = msgspec.structs.replace(changes, attempt=beginning.attempt + 1, created=time.time())
    about |= {"created": origin.created, "forked": msgspec.to_builtins(origin)}
    with directory.new(paths.runs(), f"{time.strftime('%Y-%m-%d_%H%M%S')}_{run.stem}", "The fork's directory") as path:
        (path / "artifacts").mkdir()
        (path / "checkpoints").mkdir()
        best = family.best_step(history, step, recipe.train.keep_best)
        remark = _adopt(run, branch.generation, best, path)
        for name in beginning.artifacts:
            with contextlib.suppress(FileNotFoundError):  # somebody deleted it: the parent shows it as little
                _share(run.path / name, path / name)
        pending = family.later(history, step, [*changes.live, *changes.fixed], people=repeat)
        message = f"Forked from {run.id} at step {count(step)}."
        text = f"forked from {run.id}" + f": {changes.changes}" * bool(changes.changes)
        lines = _turning(history, origin.attempt, step, beginning.epoch, pending, text, changes.live, message)
        files.write(path / "events.jsonl", beginning.lines + b"".join(map(events.encode, lines)))
        with contextlib.suppress(FileNotFoundError):
            (path / "sources.json").write_bytes(files.read_plain(run.path / "sources.json"))
        (path / "run.json").write_text(json.dumps(about))
        (path / "project.py").write_bytes(source)
        (path / "control.jsonl").touch()
        # Written last: a directory counts as a run once it has a recipe. Who dies before leaves nothing that any list shows.
        files.write(path / "recipe.yaml", dump_recipe(recipe).encode())
    return Created(Run(path), remark)


def settle(run: Run) -> None:
    """Wait until a fork trains whose settings may not fit its checkpoint. Problem where they don't: then nothing of it is left."""
    origin = family.forked(run)
    if not origin or not origin.fixed:
        return
    while (state := state_of(run)).alive:
        if state.state in ("running", "paused") or (state.state == "queued" and state.message):
            return
        time.sleep(LOOK)
    if state.cause == "fit":
        start.remove(run)
        raise Problem(state.message, state.hint, state.cause)


def _forked_recipe(recipe: Recipe, fixed: Mapping[str, list[Any]]) -> Recipe:
    values = {name: pair[1] for name, pair in fixed.items()}

    def section(part: str) -> dict[str, Any]:
        return {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{part}.")}

    recipe = msgspec.structs.replace(
        recipe,
        config={**recipe.config, **section("config")},
        train=msgspec.structs.replace(recipe.train, **section("train")),
        compute=msgspec.structs.replace(recipe.compute, **section("compute")),
    )
    # Bars are those of the recipe's own data.
    recipe = msgspec.structs.replace(recipe, bar=[], reference=[]) if "config.data" in values else recipe
    threads = recipe.compute.threads or len(os.sched_getaffinity(0))
    return msgspec.structs.replace(recipe, compute=msgspec.structs.replace(recipe.compute, threads=threads))


def _adopt(run: Run, generation: Generation, best: int | None, path: Path) -> str:
    """Take the checkpoint, and the best weights of then, into a fork's folder; returns a remark. Problem where it is not whole."""
    theirs, ours = Checkpoints(run.path / "checkpoints"), Checkpoints(path / "checkpoints")
    name = f"The checkpoint of step {count(generation.step)} of {run.id}"
    try:
        # Pinned: however long the fork trains, it can be rolled back to where it began.
        if ours.adopt(generation, theirs, pinned=True) is None:
            raise Problem(f"{name} is damaged.", _other(run, generation))
    except FileNotFoundError:
        raise Problem(f"{name} is gone by now: the run has dropped it.", "Choose another one.") from None
    for one in theirs.generations() if best not in (None, generation.step) else []:
        with contextlib.suppress(FileNotFoundError):
            if one.best and one.step == best and ours.adopt(one, theirs):
                return ""
    return _best_remark(best, ours.generations())


def _other(run: Run, damaged: Generation) -> str:
    before = [generation.step for generation in family.kept(run) if generation.step < damaged.step]
    return f"The one before is of step {count(before[-1])}." if before else "It is the first one: there is no other before."


def _share(source: Path, path: Path) -> None:
    """Give a file that nobody writes again a second name; a copy where the disk knows no such."""
    try:
        os.close(files.open_plain(source))
        os.link(source, path, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        path.write_bytes(files.read_plain(source))


def _turning(
    history: History,
    attempt: int,
    step: int,
    epoch: float,
    pending: list[dict[str, Any]],
    text: str,
    live: dict[str, Any],
    message: str,
) -> list[events.Event]:
    """The lines with which a log goes back to a step: an attempt of its own that ends at once. The next one is the worker's.

    Its `pending` is what that one repeats, and the mark's settings are what it sets at once: see `training.live_settings`.
    """
    plan: dict[str, Any] = {"steps": history.steps, "steps_per_epoch": history.steps_per_epoch, "attempt": attempt}
    now: dict[str, Any] = {"step": step, "epoch": epoch, "time": time.time(), "clock": time.monotonic()}
    return [
        Status(state="running", from_step=step, pending=pending, **plan, **now),
        Mark(text=text, settings=live, **now),
        Status(state="stopped", cause="person", message=message, attempt=attempt, **now),
    ]


# -- roll back ---------------------------------------------------------------------------------------------------------------------


def roll_back(run: Run, branch: Branch, overrides: Sequence[str] = (), *, repeat: bool = True, anyway: bool = False) -> str:
    """Let a run itself go on from one of its checkpoints, with these live settings; returns a remark, or "".

    One that lives is stopped first. Its later checkpoints go; its log keeps all, and its history drops what came after the step. A death
    on the way leaves a run that resumes from the newest checkpoint it still has. `repeat` and `anyway` as for `create`.
    """
    state = _refuse_away(run)
    _refuse_code(run, anyway, "roll back")
    generation, history = branch.generation, history_of(run.events)
    step = generation.step
    changes = planned(run, history, step, overrides)
    if changes.fixed:
        names = ", ".join(changes.fixed)
        raise Problem(f"{names} cannot change while a run trains, so {run.id} cannot go on with it.", "Fork it: a new run can.")
    _refuse_end(run, history, step, changes)
    checkpoints = Checkpoints(run.path / "checkpoints")
    name = f"The checkpoint of step {count(step)} of {run.id}"
    try:
        if state.alive:
            # What the run saves on its way to the end must not take the place of the one to go on from.
            generation = checkpoints.pin(generation)
            _end(run)
        held = _taken(run)
    except FileNotFoundError:
        raise Problem(f"{name} is gone by now: the run has dropped it.", "Choose another one.") from None
    except OSError as error:
        raise files.problem(run.id, "rolled back", error) from error
    try:
        if checkpoints.load(generation, lambda data: {}) is None:
            raise Problem(f"{name} is damaged.", _other(run, generation))
        history = history_of(run.events)  # with what it logged until it ended
        remark = _rewind(run, held, checkpoints, generation, history, changes, repeat=repeat)
        if not branch.generation.pinned and generation.pinned:
            checkpoints.pin(generation, pinned=False)
    except OSError as error:
        raise files.problem(run.id, "rolled back", error) from error
    finally:
        held.release()
    return " ".join(filter(None, (remark, start.launch(run, anyway=anyway))))


def question(run: Run, branch: Branch) -> str:
    """What a roll-back does, in sentences: for whoever is asked before it."""
    step = branch.generation.step
    reached = history_of(run.events).step
    later = [one for one in Checkpoints(run.path / "checkpoints").generations() if one.step > step]
    sentences = [f"{run.id} goes on from its {branch.words}."]
    if state_of(run).alive:
        sentences.append("It is stopped first.")
    if reached > step:
        sentences.append(f"Steps {count(step + 1)} to {count(reached)} leave its curves; its log keeps them.")
    if later:
        steps = ", ".join(count(one.step) for one in later[:NAMED]) + " …" * (len(later) > NAMED)
        sentences.append(f"Its checkpoints of steps {steps} go." if len(later) > 1 else f"Its checkpoint of step {steps} goes.")
    if pinned := [one for one in later if one.pinned]:
        sentences.append(
            f"A person keeps {'that' if len(pinned) == 1 else 'those'} of step {', '.join(count(one.step) for one in pinned)}."
        )
    return " ".join(sentences)


def _rewind(
    run: Run, held: lock.Lock, checkpoints: Checkpoints, generation: Generation, history: History, changes: Forked, *, repeat: bool
) -> str:
    step, attempt = generation.step, attempts(run) + 1
    message = f"Rolled back to step {count(step)}."
    beginning = prefix(run.events, step)
    # First the run is one that was stopped, also where it had finished: from whatever checkpoint it then has, it can be resumed.
    held.write({**lock.content(run.lock), "attempt": attempt, "state": "stopped"})
    write_exit(run.path, attempt, {"state": "stopped", "cause": "person", "message": message})
    # The newest first: a death between two leaves what is newest of those before.
    for later in reversed(checkpoints.generations()):
        if later.step > step or (later.step == step and later.time > generation.time):
            checkpoints.drop(later)
    pending = family.later(history, step, list(changes.live), people=repeat)
    text = f"rolled back to step {count(step)}" + f": {changes.changes}" * bool(changes.changes)
    log = EventLog(run.path)
    try:
        for line in _turning(history, attempt, step, beginning.epoch, pending, text, changes.live, message):
            log.write(line)
    finally:
        log.close()
    best = family.best_step(history, step, run.recipe().train.keep_best)
    if remark := _best_remark(best, checkpoints.generations()):
        # What was the best before that would now be taken for it.
        for older in checkpoints.generations():
            if older.best:
                checkpoints.unmark(older)
    return remark


def _end(run: Run) -> None:
    """Stop a run and wait for its end."""
    start.stop(run)
    deadline = time.monotonic() + PATIENCE
    while state_of(run).alive:
        if time.monotonic() > deadline:
            raise Problem(f"{run.id} has not ended for {PATIENCE:.0f} s.", "It finishes its step first; roll it back when it has ended.")
        time.sleep(LOOK)


def _taken(run: Run) -> lock.Lock:
    held = lock.Lock.take(run.lock)
    if held is None:
        raise Problem(f"{run.id} is running.", "Somebody has just resumed it.")
    return held


# -- what is refused ---------------------------------------------------------------------------------------------------------------


def _refuse_away(run: Run) -> State:
    state = state_of(run)
    if state.state == "away" or (state.alive and state.host):
        raise Problem(f"{run.id} is on {state.host}, so it cannot be rolled back from here.", "Use dlwb there; a fork of it can run here.")
    return state


def _refuse_code(run: Run, anyway: bool, verb: str) -> None:
    if not anyway and (changed := run.changed_code()):
        named = ", ".join(changed[: start.NAMED]) + " …" * (len(changed) > start.NAMED)
        raise Problem(
            f"The code of {run.recipe().project} has changed since {run.id} was trained ({named}), so it might not go on exactly.",
            f"`dlwb {verb.replace(' ', '')} --anyway` goes on with the new code.",
        )


def _refuse_end(run: Run, history: History, step: int, changes: Forked) -> None:
    longer = {"train.epochs", "train.steps"} & {*changes.live}
    if history.steps and step >= history.steps and not longer:
        raise Problem(f"Step {count(step)} is the last one of {run.id}, so nothing is left to train.", "Raise train.epochs or train.steps.")


def _best_remark(best: int | None, generations: Sequence[Generation]) -> str:
    """That the best weights of then are no longer kept: without a better evaluation from there on, others are tested."""
    if best is None or any(one.best and one.step == best for one in generations):
        return ""
    return f"Its best weights until there, of step {count(best)}, are gone: if none are better from there on, the last ones are tested."
