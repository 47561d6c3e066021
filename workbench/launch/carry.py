"""Carries results over to changed code: replays a finished run of the code before with the present one, and compares every bit of both."""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench import files, paths, preparation
from workbench.events import Filed, Tagged
from workbench.launch import start
from workbench.problems import Problem, one_line
from workbench.recipes import trust, yaml_reader
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import Recipe
from workbench.runs import measured
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.checkpoint_values import values
from workbench.runs.history import History, history_of
from workbench.runs.measured import Carried
from workbench.runs.run import Run, find_run
from workbench.runs.state import state_of

SHORTER = {"train.steps", "train.epochs", "train.log_every"}
"""What a replayed run may have otherwise than the results: it is shorter then."""


def carry(references: Sequence[str], path: Path | None = None) -> Iterator[str]:
    """Carry over what these runs stand for, among the results at `path`; says a sentence for each. Problem at the first that differs."""
    for reference in references:
        yield _carry(_find(reference), path)


def _find(reference: str) -> Run:
    """A run of any home by its path, or of this one as everywhere."""
    folder = Path(reference).absolute()
    return Run(folder) if (folder / "recipe.yaml").is_file() else find_run(reference)


def code_of(run: Run) -> str:
    """The code that a run noted; of one of version 0.1 what its results have, the hash of the project's bytes."""
    return str(run.about().get("code") or trust.sha256(run.project_copy)[:16])


def _carry(run: Run, path: Path | None) -> str:
    if state_of(run).state != "finished":
        raise Problem(f"{run.id} has not finished, so it cannot be compared.", f"It is {state_of(run).state}.")
    stem, arm, loaded, _ = measured.asked(run)
    before, after = code_of(run), measured.code_of(loaded)
    if before == after:
        raise Problem(f"{run.id} was trained by the present code, so there is nothing to carry over.")
    results = measured.read(path)
    # A setting that one version does not know is no other setting: that it changes nothing is what the replay shows.
    settings = {
        measured.settings_of(loaded.recipe),
        measured.settings_of(msgspec.structs.replace(_as_written(run), train=loaded.recipe.train)),
    }
    mine = [result for result in results if (result.recipe, result.arm, result.code) == (stem, arm, before) and result.settings in settings]
    if not mine:
        raise Problem(f"No result of {stem} was measured with the code and the settings of {run.id}.", "`dlwb results` lists them.")
    _refuse_other_settings(run, loaded)
    with replayed(run, loaded) as replay:
        if text := difference(run, replay):
            raise Problem(
                f"The present code trains {stem} otherwise than {run.id}: {text}.",
                f"Its results cannot be carried over; `dlwb run {stem}` measures it anew.",
            )
        record = Carried(before=before, after=after, steps=history_of(replay.events).step, run=run.id)
    present = {"code": after, "settings": measured.settings_of(loaded.recipe)}
    carried = [
        msgspec.structs.replace(result, **present, carried=[*result.carried, record]) if result in mine else result for result in results
    ]
    measured.write(carried, path)
    count = f"{len(mine)} result{'s' if len(mine) > 1 else ''}"
    return f"{stem}: {count} carried over from code {before} to {after}; {record.steps:,} steps are equal bit for bit."


def _as_written(run: Run) -> Recipe:
    """The run's recipe as its version wrote it: no project renamed, no setting dropped."""
    return msgspec.convert(yaml_reader.read(run.path / "recipe.yaml").value, Recipe)


def _refuse_other_settings(run: Run, loaded: Loaded) -> None:
    recipe = run.recipe()
    known = loaded.schema.config.get("properties", {}) if loaded.schema else {}
    defaults = {name for name, value in loaded.recipe.config.items() if name in known and known[name].get("default") == value}
    unknown = {f"config.{name}" for name in defaults - {*recipe.config}} | {f"config.{name}" for name in {*recipe.config} - {*known}}
    other = [name for name in measured.differences(recipe, loaded.recipe) if name not in SHORTER | unknown]
    if other:
        raise Problem(f"{run.id} is no run of {run.stem} as it is now: {', '.join(other)} differ.", "Only seed and length may.")
    live = history_of(run.events).settings()
    if "train.log_every" in live and len(live) == 1:
        hint = f"Start it with --set train.log_every={live['train.log_every']}."
        raise Problem(f"{run.id} chose by the clock how often it logs, so no replay has the same log.", hint)
    if live:
        raise Problem(f"{run.id} was changed while it ran ({', '.join(live)}), which a replay does not do.")


@contextlib.contextmanager
def replayed(run: Run, loaded: Loaded) -> Iterator[Run]:
    """The same run trained by the present code to its end, in a home that is removed afterwards. Nothing computed before is used."""
    recipe = run.recipe()
    same = {"config": recipe.config, "train": recipe.train, "seed": recipe.seed, "compute": recipe.compute}
    loaded = msgspec.structs.replace(loaded, recipe=msgspec.structs.replace(loaded.recipe, **same))
    data, trusted = paths.data(), paths.trusted()
    mirror = os.environ.get("DLWB_MIRROR") or str(run.about().get("mirror") or "")
    with tempfile.TemporaryDirectory(prefix="dlwb-replay-") as folder:
        home = Path(folder)
        if data.is_dir():
            (home / "data").symlink_to(data)
        if trusted.is_file():
            (home / "trusted.json").write_bytes(trusted.read_bytes())
        with _environment(DLWB_HOME=folder, **({"DLWB_MIRROR": mirror} if mirror else {})):
            replay = start.create(loaded, recipe.compute.device)
            try:
                start.launch(replay)
                while state_of(replay).alive:
                    time.sleep(0.1)
            finally:
                if state_of(replay).alive:
                    start.kill(replay)
            ended = state_of(replay)
            if ended.state != "finished":
                raise Problem(f"The replay of {run.id} {ended.state}: {ended.message}", ended.hint)
        yield replay


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def difference(one: Run, other: Run) -> str:
    """What the second of two runs has otherwise, the earliest first; "" where they are equal.

    Compared are all numbers and samples of their logs, their artifacts' bytes, how they ended, and all values in their last and best
    checkpoints; left out are times, the machine's meters and the wording of what a run says about itself and about its data.
    """
    found: list[tuple[float, str]] = []
    logs = _contents(one), _contents(other)
    for tag in dict.fromkeys([*logs[0], *logs[1]]):
        before, now = (log.get(tag, []) for log in logs)
        place = next((place for place, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), min(len(before), len(now)))
        if place < max(len(before), len(now)):
            step = min(points[place][0] for points in (before, now) if place < len(points))
            shown = [one_line(points[place][1], 60) if place < len(points) else "nothing" for points in (before, now)]
            found.append((step, f"at step {step:,.0f} {one_line(tag, 80)} was {shown[0]} and is {shown[1]}"))
    if found:
        return min(found)[1]
    endings = _ending(history_of(one.events)), _ending(history_of(other.events))
    if endings[0] != endings[1]:
        return f"it ended with {endings[0]}, and now with {endings[1]}"
    return _difference_of_checkpoints(one, other)


def _contents(run: Run) -> dict[str, list[tuple[float, str]]]:
    """By tag, step and content of every point and sample."""
    history = history_of(run.events)
    found = {
        tag: [(step, f"{value!r} (epoch {epoch!r})") for step, value, epoch in zip(series.steps, series.values, series.epochs, strict=True)]
        for tag, series in history.series.items()
        if not tag.startswith("system/")
    }
    for tag, samples in history.samples.items():
        if tag == preparation.TAG:
            continue  # words about the data; whether they are the same, every number shows
        found[f"{tag} (sample)"] = [(event.step, _sample(run, event)) for event in samples.events]
    found["changes"] = [(mark.step, repr(mark.settings)) for mark in history.marks]
    return found


def _sample(run: Run, event: Tagged) -> str:
    content: dict[str, Any] = {**msgspec.to_builtins(event), "time": 0, "clock": 0}
    if isinstance(event, Filed) and event.file:
        content["file"] = hashlib.sha256(files.read_plain(run.path / event.file)).hexdigest()
    text = repr(content)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}"


def _ending(history: History) -> str:
    status = history.status
    about = [status.state, status.cause, f"step {history.step:,} of {history.steps:,}", history.variant, history.demo]
    return ", ".join(filter(None, about))


def _difference_of_checkpoints(one: Run, other: Run) -> str:
    kept = [Checkpoints(run.path / "checkpoints") for run in (one, other)]
    generations = [each.generations() for each in kept]
    if not all(generations):
        return "one of the two has no checkpoint to compare"
    last = [each[-1] for each in generations]
    best = [next((made for made in reversed(each) if made.best), each[-1]) for each in generations]
    for which, chosen in {"last": last, "best": best}.items():
        before, now = (each.load(made, values) for each, made in zip(kept, chosen, strict=True))
        if before is None or now is None:
            return f"the {which} checkpoint of one of the two is damaged"
        sections = {place.partition(".")[0] for place in before}
        for place in dict.fromkeys([*before, *now]):
            # A later version may save more beside what there was.
            if before.get(place) != now.get(place) and place.partition(".")[0] in sections:
                return f"in its {which} checkpoint, of step {chosen[0].step:,}, {one_line(place, 80)} is not the same"
    return ""
