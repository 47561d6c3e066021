"""Measured results of the recipes: runs in data/results.json, one per line.

A result is valid for the code and the settings that it was measured with. If either has changed since, it is stale, unless it was carried
over to new code after a replay showed the same bits.
"""

import hashlib
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.problems import Problem, one_line
from workbench.recipes import closure
from workbench.recipes.find import find_recipe, project_source
from workbench.recipes.load import Loaded, load_recipe, variants
from workbench.recipes.recipe import Recipe
from workbench.runs import bars as verdict
from workbench.runs import family
from workbench.runs.comparisons import Comparison
from workbench.runs.history import History
from workbench.runs.log import Tail
from workbench.runs.run import Run, find_run, list_runs
from workbench.runs.state import state_of
from workbench.runs.summary import Summary, summarize

UNCOUNTED = frozenset({"keep_every"})
"""Settings of train that decide nothing but what stays on the disk."""


class Carried(msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """A replay of a run of the recipe with other code, equal bit for bit: a result of the old code is valid for the new code too."""

    before: str
    after: str
    steps: int
    """Number of replayed steps."""
    run: str
    """The run that was replayed."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run of a recipe with the recipe's present settings, none changed."""

    recipe: str
    arm: str = ""
    """Of a comparison: the variant that was trained."""
    seed: int
    figures: dict[str, float]
    """By metric, of the weights that it kept: metrics of the bars and of the course, keep_best, and all test metrics."""
    passed: dict[str, bool] = {}
    """By metric: whether the bar was passed, for all bars that were judged."""
    seconds: float
    """From its first step to its last test, without pauses."""
    ready: float | None = None
    """Seconds from the process's start to the first step, where a cache held what such caches hold; None where nobody recorded it."""
    cold: float | None = None
    """The same where the caches were empty, so that data was fetched and features were computed; None where it was not measured."""
    steps: int
    device: str
    processor: str = ""
    threads: int
    load: float | None = None
    """The machine's mean load average (of one minute) meanwhile; the part above `threads` was other work."""
    cpu: float | None = None
    """Mean CPU use of the run, in % of one core."""
    variant: str = ""
    """Name of the data, if it is not the course's own."""
    run: str
    code: str
    """Hash of all code that the result depends on; see `closure`."""
    settings: str
    """First 16 hexadecimal digits of the SHA-256 of config and train."""
    versions: dict[str, str] = {}
    carried: list[Carried] = []
    """How it was carried over to `code`, one entry per change of the code; empty if it was measured with `code`."""


def file() -> Path:
    """The committed file of results."""
    return paths.shipped("data") / "results.json"


def read(path: Path | None = None) -> list[Result]:
    """All results; an empty list where there is no file yet."""
    path = path or file()
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Result])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(f"{path} cannot be read: {one_line(str(error))}.", "Is it a merge conflict? Each result is on one line.") from None


def write(results: Sequence[Result], path: Path | None = None) -> None:
    """Write one result per line, sorted by recipe and seed, so that branches that measure different recipes rarely conflict."""
    ordered = sorted(results, key=lambda result: (result.recipe, result.device, result.arm, result.seed))
    # A field that few results have is left out of the lines of all others.
    few = ("arm", "carried", "ready", "cold")
    plain = [{key: value for key, value in msgspec.to_builtins(result).items() if key not in few or value} for result in ordered]
    lines = [msgspec.json.encode(entry) for entry in plain]
    files.write(path or file(), b"[\n" + b",\n".join(lines) + b"\n]\n")


def code_of(loaded: Loaded) -> str:
    """The value of `Result.code` for the present code of the project."""
    return closure.closure_hash(loaded.project_file or project_source(loaded.recipe.project))


def settings_of(recipe: Recipe) -> str:
    """The value of `Result.settings`. Texts, seed and device are left out: they do not decide what a run computes."""
    # Which checkpoints stay does not either; without it the value is that of results which are older than this setting.
    train = {name: value for name, value in msgspec.structs.asdict(recipe.train).items() if name not in UNCOUNTED}
    config = msgspec.json.encode(recipe.config, order="deterministic")
    return hashlib.sha256(b"[%b,%b]" % (config, msgspec.json.encode(train))).hexdigest()[:16]


class Asked(NamedTuple):
    """What a run may be a result of."""

    stem: str
    arm: str
    """Of a comparison: the variant."""
    loaded: Loaded
    """The recipe as it is now, of a comparison that of the variant."""
    metric: str
    """What a comparison compares."""


def asked(run: Run) -> Asked:
    """What a run may be a result of; Problem where there is no such recipe, or no such variant any more."""
    arm = str(run.about().get("variant") or "")
    stem = _started_by(run)
    loaded = load_recipe(find_recipe(stem))
    if not loaded.recipe.compare:
        return Asked(stem, "", loaded, "")  # several seeds of a recipe that compares nothing are its results as others are
    if arm not in (known := variants(loaded)):
        words = f"has no variant {one_line(arm, 60)} now" if arm else "is a comparison, of which it is no part"
        raise Problem(f"{run.id} is no result: {stem} {words}.", f"`dlwb run {stem}` trains {', '.join(known)}.")
    return Asked(stem, arm, known[arm], verdict.compared(loaded.recipe))


def measure(run: Run) -> Result:
    """The run as a result; Problem where it did not finish, is a demo, or does not match the present recipe."""
    if (origin := family.forked(run)) and origin.fixed:
        raise Problem(f"{run.id} was forked with other settings, so it is not a result.", f"It is a {origin.words}.")
    stem, arm, loaded, metric = asked(run)
    recipe = run.recipe()
    if state_of(run).state != "finished":
        raise Problem(f"{run.id} has not finished, so it is not a result.", f"It is {state_of(run).state}.")
    if recipe.compute.processes * recipe.compute.nodes > 1:
        raise Problem(f"{run.id} was trained by several processes, and results are those of one.", f"`dlwb run {stem}` measures it.")
    history = History()
    history.fold(Tail(run.events).read())
    if history.demo:
        raise Problem(f"{run.id} is a demo, which is not a result: {history.demo}.")
    if (code := run.about().get("code")) != code_of(loaded):
        raise Problem(f"{run.id} was trained by code that has changed since.", f"`dlwb run {stem}` measures it again.")
    # log_every only changes what is logged, not what is computed.
    other = [*differences(recipe, loaded.recipe), *(name for name in history.settings() if name != "train.log_every")]
    if other:
        raise Problem(f"{run.id} does not match the present recipe {stem}: {', '.join(other)} differ.", "Only the seed may differ.")
    summary = summarize(history, 0)
    judged = verdict.judge(recipe, summary)
    machine = run.about()
    return Result(
        recipe=stem,
        arm=arm,
        seed=recipe.seed,
        figures=_figures(recipe, summary, metric),
        passed={outcome.bar.metric: outcome.passed for outcome in judged if outcome.passed is not None},
        seconds=round(history.seconds - summary.ready, 3),
        ready=round(summary.ready, 3) if summary.cache in ("", "warm") else None,
        cold=round(summary.ready, 3) if summary.cache == "cold" else None,
        steps=history.step,
        device=history.device,
        processor=str(machine.get("processor", "")),
        threads=recipe.compute.threads,
        load=_mean(history, "system/load"),
        cpu=_mean(history, "system/cpu"),
        variant=history.variant,
        run=run.id,
        code=code,
        settings=settings_of(recipe),
        versions=dict(machine.get("versions") or {}),
    )


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Names of the settings that differ between two recipes."""
    different = []
    for section in ("config", "train"):
        mine, theirs = (msgspec.to_builtins(getattr(recipe, section)) for recipe in (one, other))
        different += [f"{section}.{key}" for key in sorted({*mine, *theirs} - UNCOUNTED) if mine.get(key) != theirs.get(key)]
    return different


def _figures(recipe: Recipe, summary: Summary, compared: str) -> dict[str, float]:
    """By metric, the most important first: what is compared, of bars and of the course, test metrics, keep_best; else training losses."""
    tags = [compared, *named(recipe), *(tag for tag in summary.last if tag.startswith("test/")), recipe.train.keep_best]
    tags = [tag for tag in dict.fromkeys(tags) if tag in summary.last] or [tag for tag in summary.last if tag.startswith("train/")]
    found = {tag: verdict.figure(recipe, summary, tag) for tag in tags}
    # Of a run that went on after it diverged the loss is NaN, which JSON cannot say; the accuracy is that of guessing, and stays.
    return {tag: value for tag, value in found.items() if value is not None and math.isfinite(value)}


def named(recipe: Recipe) -> list[str]:
    """The metrics of its bars and of its references."""
    return list(dict.fromkeys([*(bar.metric for bar in recipe.bar), *(reference.metric for reference in recipe.reference)]))


def _mean(history: History, tag: str) -> float | None:
    series = history.series.get(tag)
    return round(statistics.fmean(series.values), 2) if series else None


def collect(references: Sequence[str], recipe: str = "", path: Path | None = None) -> list[str]:
    """Add these runs, and every finished run of `recipe` that matches its present state, to the results; returns a sentence for each.

    Results of a recipe with other code or settings are removed as soon as there is one with the present code and settings.
    """
    measured, sentences = [measure(find_run(reference)) for reference in references], []
    if recipe:
        stem = find_recipe(recipe).stem
        for run in [run for run in list_runs() if _started_by(run) == stem and state_of(run).state == "finished"]:
            try:
                measured.append(measure(run))
            except Problem as problem:
                sentences.append(f"{problem.message} It is left out.")
        if not measured:
            raise Problem(f"There is no finished run of {stem} with its present code and settings.", f"`dlwb run {stem}` starts one.")
    results = read(path)
    # The newest last, so that it replaces an older one with the same seed.
    for result in sorted(measured, key=lambda result: result.run):
        new = result
        for old in [result for result in results if _replaced(result, new)]:
            results.remove(old)
            if (old.code, old.settings) == (new.code, new.settings):
                # One run is cold or warm: what the other kind took stays known.
                new = msgspec.structs.replace(new, ready=new.ready or old.ready, cold=new.cold or old.cold)
            if old.run != new.run:
                sentences.append(f"{old.run} is removed.")
        results.append(new)
        sentences.append(f"{new.run} is added.")
    write(results, path)
    return sentences


def _started_by(run: Run) -> str:
    comparison = str(run.about().get("comparison") or "")
    return Comparison(paths.comparisons() / comparison).stem if comparison else run.stem


def _replaced(old: Result, new: Result) -> bool:
    if (old.recipe, old.arm, old.device, old.threads) != (new.recipe, new.arm, new.device, new.threads):
        return False
    return old.seed == new.seed or (old.code, old.settings) != (new.code, new.settings)


def drop(names: Sequence[str], path: Path | None = None) -> None:
    """Remove the results of these runs."""
    results = read(path)
    unknown = [name for name in names if name not in [result.run for result in results]]
    if unknown:
        raise Problem(f"There is no result of {', '.join(map(one_line, unknown))}.", "`dlwb results --json` shows the runs' ids.")
    write([result for result in results if result.run not in names], path)


def stale(results: Sequence[Result], loaded: Loaded) -> str:
    """Why these results are not valid for the present recipe; "" if they are."""
    arms = variants(loaded) if loaded.recipe.compare else {"": loaded}
    if any(result.arm not in arms or result.settings != settings_of(arms[result.arm].recipe) for result in results):
        return "stale: settings changed"
    codes = {name: code_of(arm) for name, arm in arms.items()}
    return "stale: code changed" if any(result.code != codes[result.arm] for result in results) else ""
