"""Measured results of the recipes: runs in data/results.json, one per line, and the README's table, which is generated from them.

A result is valid for the code and the settings that it was measured with. If either has changed since, it is stale, unless it was carried
over to new code after a replay showed the same bits.
"""

import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from workbench import files, paths
from workbench.formatting import duration, number
from workbench.problems import Problem, one_line
from workbench.recipes import closure
from workbench.recipes.find import find_recipe, project_source
from workbench.recipes.load import Loaded, load_recipe
from workbench.recipes.recipe import Recipe
from workbench.runs import bars as verdict
from workbench.runs import family
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
    ordered = sorted(results, key=lambda result: (result.recipe, result.device, result.seed))
    # A field that few results have is left out of the lines of all others.
    few = ("carried", "ready", "cold")
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


def measure(run: Run) -> Result:
    """The run as a result; Problem where it did not finish, is a demo, or does not match the present recipe."""
    if (origin := family.forked(run)) and origin.fixed:
        raise Problem(f"{run.id} was forked with other settings, so it is not a result.", f"It is a {origin.words}.")
    recipe, loaded = run.recipe(), load_recipe(find_recipe(run.stem))
    if state_of(run).state != "finished":
        raise Problem(f"{run.id} has not finished, so it is not a result.", f"It is {state_of(run).state}.")
    if recipe.compute.processes * recipe.compute.nodes > 1:
        raise Problem(f"{run.id} was trained by several processes, and results are those of one.", f"`dlwb run {run.stem}` measures it.")
    history = History()
    history.fold(Tail(run.events).read())
    if history.demo:
        raise Problem(f"{run.id} is a demo, which is not a result: {history.demo}.")
    if (code := run.about().get("code")) != code_of(loaded):
        raise Problem(f"{run.id} was trained by code that has changed since.", f"`dlwb run {run.stem}` measures it again.")
    # log_every only changes what is logged, not what is computed.
    other = [*differences(recipe, loaded.recipe), *(name for name in history.settings() if name != "train.log_every")]
    if other:
        raise Problem(f"{run.id} does not match the present recipe {run.stem}: {', '.join(other)} differ.", "Only the seed may differ.")
    summary = summarize(history, 0)
    judged = verdict.judge(recipe, summary)
    machine = run.about()
    return Result(
        recipe=run.stem,
        seed=recipe.seed,
        figures=_figures(recipe, summary),
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


def _figures(recipe: Recipe, summary: Summary) -> dict[str, float]:
    """By metric, the most important first: of bars and of the course, test metrics, keep_best; else the last training losses."""
    named = [*_named(recipe), *(tag for tag in summary.last if tag.startswith("test/")), recipe.train.keep_best]
    named = [tag for tag in dict.fromkeys(named) if tag in summary.last] or [tag for tag in summary.last if tag.startswith("train/")]
    return {tag: value for tag in named if (value := verdict.figure(recipe, summary, tag)) is not None}


def _named(recipe: Recipe) -> list[str]:
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
        for run in [run for run in list_runs() if run.stem == stem and state_of(run).state == "finished"]:
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


def _replaced(old: Result, new: Result) -> bool:
    if (old.recipe, old.device, old.threads) != (new.recipe, new.device, new.threads):
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
    if any(result.settings != settings_of(loaded.recipe) for result in results):
        return "stale: settings changed"
    return "stale: code changed" if any(result.code != code_of(loaded) for result in results) else ""


def groups(results: Sequence[Result]) -> list[list[Result]]:
    """Groups of results that may be averaged: seeds of one recipe on one device with the same data."""
    grouped: dict[Any, list[Result]] = {}
    for result in results:
        grouped.setdefault((result.recipe, result.device, result.threads, result.variant), []).append(result)
    return list(grouped.values())


class Figure(NamedTuple):
    """What the seeds of a recipe reached in one metric, as tables show it; "" where there is nothing to say."""

    name: str
    mean: str
    range: str
    """From the lowest to the highest of its seeds."""
    seeds: int
    bars: str
    course: str


def figures(recipe: Recipe, seeds: list[Result]) -> list[Figure]:
    """The metrics of one group that its recipe names, else the first that was measured."""
    shown = [metric for metric in _named(recipe) if metric in seeds[0].figures] or list(seeds[0].figures)[:1]
    rows = []
    for metric in shown:
        values = [result.figures[metric] for result in seeds if metric in result.figures]
        bars = []
        for bar in recipe.bar:
            if bar.metric == metric:
                count = sum(map(bar.passed, values))
                how = f"passed by {count} of {len(values)}" if len(values) > 1 else "passed" if count else "missed"
                bars.append(f"{verdict.wanted(bar)} {'not judged' if seeds[0].variant else how}")
        course = [
            number(reference.value) + " (others)" * (reference.whose != "course")
            for reference in recipe.reference
            if reference.metric == metric
        ]
        spread = f"{number(min(values))}–{number(max(values))}" if len(values) > 1 else ""
        name = verdict.short_name(metric).replace("_", " ")
        rows.append(Figure(name, number(statistics.fmean(values)), spread, len(values), "; ".join(bars), "; ".join(course)))
    return rows


def whole_time(seeds: Sequence[Result]) -> str:
    """The median time from the process's start to the last test, `0:14 (25:02 cold)`; `0:11 + preparation` where that was not recorded."""
    training = statistics.median(result.seconds for result in seeds)
    warm, cold = [result.ready for result in seeds if result.ready], [result.cold for result in seeds if result.cold]
    first_time = f"{duration(training + statistics.median(cold))} cold" if cold else ""
    if warm:
        return duration(training + statistics.median(warm)) + (f" ({first_time})" if first_time else "")
    return first_time or f"{duration(training)} + preparation"


def wall_time(seeds: list[Result]) -> str:
    """`whole_time`; for runs on the CPU of 10 s or more also the median CPU time, which other work on the machine affects less."""
    took = whole_time(seeds)
    shares = [result.seconds * result.cpu / 100 for result in seeds if result.cpu and result.seconds >= 10 and result.device == "cpu"]
    return f"{took} (CPU {duration(statistics.median(shares))})" if shares else took


def machine(result: Result) -> str:
    """What it was trained on, and with how many threads."""
    return result.device if result.device != "cpu" else f"CPU, {result.threads} thread{'s' if result.threads > 1 else ''}"


def markdown(results: Sequence[Result]) -> str:
    """The README's table of these results, and a sentence on the machine."""
    folder = paths.shipped("recipes")
    explored: list[str] = []
    lines = ["| recipe | what | here | bar | time | on | course |", "|---|---|---|---|---|---|---|"]
    for path in sorted(folder.rglob("*.yaml"), key=lambda source: source.relative_to(folder).parts):
        loaded = load_recipe(path, describe=False)
        recipe = loaded.recipe
        if not loaded.trains:
            explored.append(f"`{path.stem}` ({recipe.title})")
            continue
        mine = groups([result for result in results if result.recipe == path.stem])
        for seeds in mine:
            rows = figures(recipe, seeds)
            reached = [f"{row.name} {row.mean}" + (f" ({row.range}, {row.seeds} seeds)" if row.range else "") for row in rows]
            reached += [f"with {seeds[0].variant}"] if seeds[0].variant else []
            cells = ["; ".join(reached), "; ".join(row.bars for row in rows if row.bars), wall_time(seeds), machine(seeds[0])]
            cells.append("; ".join(row.course for row in rows if row.course))
            lines.append(f"| `{path.stem}` | {recipe.title} | {' | '.join(cells)} |")
        if not mine:
            lines.append(f"| `{path.stem}` | {recipe.title} | not measured | | | | |")
    answers = f"Explored, with nothing to train: {', '.join(explored)}."
    return "\n".join([*lines, "", answers, "", _conditions(results)])


def _conditions(results: Sequence[Result]) -> str:
    """Sentences on the machine, from what the runs recorded."""
    if not results:
        return "Nothing is measured yet."
    machines = sorted({result.processor for result in results if result.processor})
    loads = [result.load for result in results if result.load is not None]
    versions = sorted({result.versions["torch"] for result in results if "torch" in result.versions})
    sentence = f"Measured on {' and '.join(machines) or 'machines unknown'}"
    sentence += f" with PyTorch {' and '.join(versions)}" if versions else ""
    sentence += f", other work beside it (load average {min(loads):.1f} to {max(loads):.1f})" if loads else ""
    sentence += ". Time is from the start of the process to the last test, the median of the seeds; cold is the first time, when data is"
    sentence += " fetched and features are computed that later runs find; where the time before the first step was not recorded, it says"
    sentence += " `+ preparation`; CPU is what the run had of the processors from its first step on."
    return f"{sentence} Each run stands in `data/results.json`."
