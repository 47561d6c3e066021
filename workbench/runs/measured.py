"""Measured results of the recipes: runs in data/results.json, one per line, and the README's table, which is generated from them.

A result is valid for the code and the settings that it was measured with. If either has changed since, it is stale, unless it was carried
over to new code after a replay showed the same bits.
"""

import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench import files, paths
from workbench.formatting import duration, number
from workbench.listing import table
from workbench.problems import Problem, one_line
from workbench.recipes import closure
from workbench.recipes import recipe as recipes
from workbench.recipes.recipe import Loaded, Recipe
from workbench.runs import bars as verdict
from workbench.runs import runs
from workbench.runs.history import History
from workbench.runs.log import Tail

BEGIN, END = "<!-- made by `dlwb results render` -->", "<!-- end of what is made -->"


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
    plain = [{key: value for key, value in msgspec.to_builtins(result).items() if key != "carried" or value} for result in ordered]
    lines = [msgspec.json.encode(entry) for entry in plain]
    files.write(path or file(), b"[\n" + b",\n".join(lines) + b"\n]\n")


def code_of(loaded: Loaded) -> str:
    """The value of `Result.code` for the present code of the project."""
    return closure.closure_hash(loaded.project_file or paths.projects() / f"{loaded.recipe.project}.py")


def settings_of(recipe: Recipe) -> str:
    """The value of `Result.settings`. Texts, seed and device are left out: they do not decide what a run computes."""
    return hashlib.sha256(msgspec.json.encode([recipe.config, recipe.train], order="deterministic")).hexdigest()[:16]


def measure(run: runs.Run) -> Result:
    """The run as a result; Problem where it did not finish, is a demo, or does not match the present recipe."""
    recipe, loaded = run.recipe(), recipes.load(recipes.find(run.stem))
    if runs.state(run).state != "finished":
        raise Problem(f"{run.id} has not finished, so it is not a result.", f"It is {runs.state(run).state}.")
    events = list(Tail(run.events).read())
    history = History()
    history.fold(events)
    if history.demo:
        raise Problem(f"{run.id} is a demo, which is not a result: {history.demo}.")
    if (code := run.about().get("code")) != code_of(loaded):
        raise Problem(f"{run.id} was trained by code that has changed since.", f"`dlwb run {run.stem}` measures it again.")
    # log_every only changes what is logged, not what is computed.
    other = [*differences(recipe, loaded.recipe), *(name for name in history.settings() if name != "train.log_every")]
    if other:
        raise Problem(f"{run.id} does not match the present recipe {run.stem}: {', '.join(other)} differ.", "Only the seed may differ.")
    summary = runs.summarize(history, 0)
    judged = verdict.judge(recipe, summary)
    first = next(index for index, event in enumerate(events) if getattr(event, "state", "") == "running")
    # Time is counted from the state `running`, without the wait for a device and the start.
    training = History()
    training.fold(events[first:])
    machine = run.about()
    return Result(
        recipe=run.stem,
        seed=recipe.seed,
        figures=_figures(recipe, summary),
        passed={outcome.bar.metric: outcome.passed for outcome in judged if outcome.passed is not None},
        seconds=round(training.seconds, 3),
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
        different += [f"{section}.{key}" for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
    return different


def _figures(recipe: Recipe, summary: runs.Summary) -> dict[str, float]:
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
    measured, sentences = [measure(runs.find(reference)) for reference in references], []
    if recipe:
        stem = recipes.find(recipe).stem
        for run in [run for run in runs.list_runs() if run.stem == stem and runs.state(run).state == "finished"]:
            try:
                measured.append(measure(run))
            except Problem as problem:
                sentences.append(f"{problem.message} It is left out.")
        if not measured:
            raise Problem(f"There is no finished run of {stem} with its present code and settings.", f"`dlwb run {stem}` starts one.")
    results = read(path)
    # The newest last, so that it replaces an older one with the same seed.
    for new in sorted(measured, key=lambda result: result.run):
        for old in [result for result in results if _replaced(result, new)]:
            results.remove(old)
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


def _cells(recipe: Recipe, seeds: list[Result]) -> tuple[str, str, str, str]:
    """The table cells of one group: figures, bars, time and the course's figures."""
    shown = [metric for metric in _named(recipe) if metric in seeds[0].figures] or list(seeds[0].figures)[:1]
    figures, bars, course = [], [], []
    for metric in shown:
        values = [result.figures[metric] for result in seeds if metric in result.figures]
        mean = statistics.fmean(values)
        spread = f" ({number(min(values))} to {number(max(values))}, {len(values)} seeds)" if len(values) > 1 else ""
        name = verdict.short_name(metric).replace("_", " ")
        figures.append(f"{name} {number(mean)}{spread}")
        for bar in recipe.bar:
            if bar.metric == metric:
                count = sum(map(bar.passed, values))
                how = "passed" if count == len(values) else f"passed by {count} of {len(values)}" if count else "missed"
                how = "not judged" if seeds[0].variant else how
                bars.append(f"{verdict.wanted(bar)} {how}")
        course += [
            number(reference.value) + " (others)" * (reference.whose != "course")
            for reference in recipe.reference
            if reference.metric == metric
        ]
    if seeds[0].variant:
        figures.append(f"with {seeds[0].variant}")
    return "; ".join(figures), "; ".join(bars), _time(seeds), "; ".join(course)


def _time(seeds: list[Result]) -> str:
    """The median time; for runs on the CPU of 10 s or more also the median CPU time, which other work on the machine affects less."""
    took = duration(statistics.median(result.seconds for result in seeds))
    shares = [result.seconds * result.cpu / 100 for result in seeds if result.cpu and result.seconds >= 10 and result.device == "cpu"]
    return f"{took} (CPU {duration(statistics.median(shares))})" if shares else took


def _on(result: Result) -> str:
    return result.device if result.device != "cpu" else f"CPU, {result.threads} thread{'s' if result.threads > 1 else ''}"


def show(as_json: bool) -> None:
    """Print every recipe with its measured figures, and whether they are still valid."""
    from workbench.listing import print_json

    results = read()
    if as_json:
        print_json(results)
        return
    rows = []
    for path in recipes.shipped_and_own():
        try:
            loaded = recipes.load(path)
        except Problem:
            continue  # `dlwb list` reports what is wrong with it
        mine = groups([result for result in results if result.recipe == path.stem])
        rows += [[path.stem, *_cells(loaded.recipe, group), _on(group[0]), stale(group, loaded)] for group in mine]
        if not mine:
            rows.append([path.stem, "not measured", "", "", "", "", ""])
    table(["RECIPE", "FIGURE", "BAR", "TIME", "COURSE", "ON", ""], rows)


def rendered(text: str, results: Sequence[Result]) -> str:
    """The README's text with the table of these results between its two markers; Problem where the markers are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Problem("The README has no place for the results.", f"The table goes between {BEGIN} and {END}.")
    folder = paths.shipped("recipes")
    lines = ["| recipe | what | here | bar | time | on | course |", "|---|---|---|---|---|---|---|"]
    for path in sorted(folder.rglob("*.yaml"), key=lambda source: source.relative_to(folder).parts):
        recipe = recipes.load(path, describe=False).recipe
        mine = groups([result for result in results if result.recipe == path.stem])
        for seeds in mine:
            figures, bar, time, course = _cells(recipe, seeds)
            lines.append(f"| `{path.stem}` | {recipe.title} | {figures} | {bar} | {time} | {_on(seeds[0])} | {course} |")
        if not mine:
            lines.append(f"| `{path.stem}` | {recipe.title} | not measured | | | | |")
    lines += ["", _conditions(results)]
    return f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{after}"


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
    sentence += ". Time is from the first step to the last test, the median of the seeds; in brackets what the run had of the processors."
    return f"{sentence} Each run stands in `data/results.json`."


def render(check: bool, readme: Path | None = None, path: Path | None = None) -> None:
    """Write the README's table again; with `check`, only raise Problem where it does not match the results."""
    readme = readme or paths.shipped("data").parent / "README.md"
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise Problem(
            f"{readme} cannot be read: {error.strerror}.", "The table can only be written in a checkout of the repository."
        ) from None
    expected = rendered(text, read(path))
    if expected != text and check:
        raise Problem(f"The table of {readme.name} does not match the results.", "`dlwb results render` writes it.")
    if expected != text:
        files.write(readme, expected.encode())
