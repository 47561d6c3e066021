"""A class's results as one table: what `dlwb runs --json` writes of a run, read again from each student's file."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from workbench import files
from workbench.problems import Problem, cleaned, one_line
from workbench.recipes.load import Loaded
from workbench.recipes.recipe import Recipe, Train
from workbench.runs import bars, family, measured
from workbench.runs.commands import Inbox
from workbench.runs.export.formats import as_words
from workbench.runs.family import Forked
from workbench.runs.history import history_of
from workbench.runs.index import Look
from workbench.runs.notes import Notes
from workbench.runs.run import Run
from workbench.runs.state import State
from workbench.runs.summary import Summary

HINT = "A student writes one with `dlwb runs --json > NAME.json`."


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What of its recipe decides what a run computes."""

    project: str
    seed: int
    config: dict[str, Any]
    train: Train


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A run as `dlwb runs --json` writes it."""

    id: str
    state: State
    summary: Summary
    bars: list[dict[str, Any]] = []
    notes: Notes = Notes()
    recipe: Settings | None
    """None where the run's recipe is damaged."""
    changed: dict[str, Any]
    """Settings that were changed while it ran, by name."""
    code: str
    """Hash of all code that trained it; "" where nobody recorded it."""
    forked: Forked | None = None
    """What it was forked from; None where it is no fork."""


def exported(look: Look) -> Exported:
    """The run as it is handed in."""
    recipe = look.recipe
    judged = bars.judge(recipe, look.summary) if recipe else []
    # Only a log tells which changes took effect, and reading one takes long: so only where somebody asked for one, or forked it.
    forked = family.forked(look.run)
    asked = forked or any(command.verb == "set" for command in Inbox(look.run.control).poll())
    return Exported(
        id=look.run.id,
        state=look.state,
        summary=look.summary,
        bars=[{"metric": outcome.bar.metric, "value": outcome.value, "passed": outcome.passed} for outcome in judged],
        notes=look.notes,
        recipe=Settings(project=recipe.project, seed=recipe.seed, config=recipe.config, train=recipe.train) if recipe else None,
        changed=_changed_settings(look.run, forked) if asked else {},
        code=str(look.run.about().get("code", "")),
        forked=forked,
    )


def _changed_settings(run: Run, forked: Forked | None) -> dict[str, Any]:
    fixed = forked.fixed if forked else {}
    return {**{name: pair[1] for name, pair in fixed.items()}, **history_of(run.events).settings()}


def read(file: Path) -> list[Exported]:
    """The runs of a student's file, every text cleaned. Problem, in one sentence, where it is damaged or something else."""
    shown = one_line(str(file), 200)
    try:
        return msgspec.convert(cleaned(msgspec.json.decode(files.read_plain(file, follow=True))), list[Exported])
    except OSError as error:
        raise Problem(f"{shown} cannot be read: {one_line(error.strerror or str(error))}.") from None
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Problem(f"{shown} is not what `dlwb runs --json` writes: {one_line(str(error), 160)}.", HINT) from None


class Row(NamedTuple):
    """A student's figure for a bar of a recipe; without one, where nothing of it was handed in."""

    student: str
    recipe: str
    metric: str = ""
    figure: float | None = None
    bar: str = ""
    passed: str = ""
    """yes, no, or why it is not judged."""
    seed: int | None = None
    device: str = ""
    date: str = ""
    changed: str = ""
    """What differs from the recipe that was handed out: settings by name, the code; "" where nothing does."""
    run: str = ""


def names(student_files: Sequence[Path]) -> list[str]:
    """Students by the names of their files; with the folder where two have the same."""
    stems = [one_line(file.stem, 60) for file in student_files]
    return [
        stem if stems.count(stem) == 1 else one_line(f"{file.parent.name}/{stem}", 80)
        for file, stem in zip(student_files, stems, strict=True)
    ]


def rows(student: str, runs: Sequence[Exported], recipes: Sequence[Loaded]) -> list[Row]:
    """What a student reached in each recipe, in their order: of a run that passes, else of one with the recipe's own settings."""
    table: list[Row] = []
    for loaded in recipes:
        mine = [run for run in runs if Run(Path(run.id)).stem == loaded.stem and run.state.state == "finished" and run.recipe]
        if not mine:
            table.append(Row(student, loaded.stem, passed="nothing handed in"))
            continue
        code = measured.code_of(loaded)
        best = max(mine, key=lambda run: _rank(run, loaded, code))
        table += _rows(student, best, loaded, code)
    return table


def _rank(run: Exported, loaded: Loaded, code: str) -> tuple[bool, bool, float, str]:
    judged = bars.judge(loaded.recipe, run.summary)
    metric = next((outcome.bar.metric for outcome in judged), bars.headline(loaded.recipe, run.summary))
    value = bars.figure(loaded.recipe, run.summary, metric) if metric else None
    worth = float("-inf") if value is None or value != value else value if bars.is_higher_better(loaded.recipe, metric) else -value
    return bool(judged) and all(outcome.passed for outcome in judged), not _changed(run, loaded, code), worth, run.id


def _changed(run: Exported, loaded: Loaded, code: str) -> str:
    assert run.recipe
    ran = Recipe(title="-", project=run.recipe.project, config=run.recipe.config, train=run.recipe.train)
    # log_every changes what is logged, not what is computed.
    settings = [*measured.differences(ran, loaded.recipe), *run.changed]
    different = [one_line(name, 60) for name in dict.fromkeys(settings) if name != "train.log_every"]
    if not run.code:
        different.append("code unknown")
    elif run.code != code:
        different.append("code")
    return ", ".join(different)


def _rows(student: str, run: Exported, loaded: Loaded, code: str) -> list[Row]:
    assert run.recipe
    recipe, summary = loaded.recipe, run.summary
    why = "not judged: a demo" if summary.demo else f"not judged: {one_line(summary.variant, 60)}" if summary.variant else ""
    judged = [(outcome.bar.metric, outcome.value, bars.wanted(outcome.bar), outcome.passed) for outcome in bars.judge(recipe, summary)]
    metric = bars.headline(recipe, summary)
    judged = judged or [(metric, bars.figure(recipe, summary, metric) if metric else None, "", None)]
    return [
        Row(
            student,
            loaded.stem,
            metric,
            value,
            wanted,
            "yes" if passed else "no" if passed is not None else why or ("not measured" if wanted else "no bar"),
            run.recipe.seed,
            one_line(summary.device, 60),
            _day(summary.started),
            _changed(run, loaded, code),
            one_line(run.id, 100),
        )
        for metric, value, wanted, passed in judged
    ]


def _day(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if moment else ""
    except (OverflowError, ValueError, OSError):
        return "?"


def to_csv(table: Sequence[Row]) -> str:
    """The table for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in table:
        writer.writerow(["" if value is None else as_words(value) if isinstance(value, str) else value for value in row])
    return text.getvalue()
