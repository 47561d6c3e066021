"""Tuning: `dlwb tune`, and `dlwb tuning list`, `show`, `stop` and `resume`."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import AsJson, Recipe, Settings
from workbench.cli.printing import print_json, put, table, tell
from workbench.problems import Problem, clean, one_line

if TYPE_CHECKING:
    from workbench.recipes.load import Loaded
    from workbench.runs.compare import Interval
    from workbench.runs.tunings import Plan, Standing, Trial, Tuning

Named = Annotated[str, typer.Argument(metavar="TUNING", help="A tuning: its id, a part of it, or a recipe's name (its newest tuning).")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Print each trial as it ends, and at last the result.")]
Trials = Annotated[int, typer.Option("--trials", min=0, help="Number of trials in all; 0: as the recipe says.")]


def tune(
    recipe: Recipe,
    settings: Settings = None,
    trials: Trials = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "",
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Search for better settings; prints the tuning's id.

    The recipe's `tune:` block says which settings, and what judges them. Each trial is a run like any other. At the end the best is
    trained again with new seeds: their mean is the result.
    """
    from workbench.recipes.find import find_recipe
    from workbench.recipes.load import load_recipe

    words = [*(settings or []), *([f"tune.trials={trials}"] if trials else [])]
    path = find_recipe(recipe)
    if trials and load_recipe(path, settings or []).recipe.tune is None:
        words.pop()  # that there is nothing to tune is the better message
    begin(load_recipe(path, words), device, follow, as_json)


def begin(loaded: "Loaded", device: str, follow: bool, as_json: bool) -> None:
    """Start the tuning of a recipe that is read."""
    from workbench.launch import tuning as launching
    from workbench.serving import usage

    if loaded.recipe.tune is None:
        raise Problem(
            f"{loaded.stem} has no tune: block, which says what to tune.",
            "`dlwb show boston-xgboost-tuned` shows one; `dlwb new NAME --from RECIPE` makes a copy to write one into.",
        )
    started, remarks = launching.start(loaded, device)
    print_json({"tuning": started.id}) if as_json else put(started.id)
    for remark in [*remarks, *filter(None, [usage.warning()])]:
        tell(clean(f"! {remark}"))
    if follow:
        raise typer.Exit(follow_tuning(started))


def list_(as_json: AsJson = False) -> None:
    """List the tunings, newest first."""
    from workbench.formatting import duration, number
    from workbench.runs.tunings import list_tunings

    rows, plain = [], []
    for tuning in list_tunings():
        try:
            plan, standing = tuning.plan(), tuning.standing()
        except Problem as problem:
            tell(f"{tuning.id}: {problem}")
            continue
        ended = sum(trial.ended for trial in standing.trials)
        figure = standing.figure
        best = standing.best.value if standing.best else None
        cells = [tuning.id, standing.state.state, f"{ended}/{standing.planned}", plan.tune.metric]
        cells += [number(best) if best is not None else "", _interval(figure.metric) if figure else "", duration(standing.seconds)]
        rows.append(cells)
        plain.append(_plain(tuning, plan, standing))
    if as_json:
        print_json(plain)
    elif rows:
        table(["TUNING", "STATE", "TRIALS", "METRIC", "BEST", "NEW SEEDS", "TIME"], rows)
    else:
        tell("No tunings yet: `dlwb tune boston-xgboost-tuned` starts one.")


def show(tuning: Named, as_json: AsJson = False) -> None:
    """Show a tuning: its trials, what matters, and what the best reaches with new seeds."""
    found = named(tuning)
    plan, standing = found.plan(), found.standing()
    if as_json:
        print_json(_plain(found, plan, standing))
    else:
        print_tuning(found, plan, standing)
        state = standing.state
        tell(f"{found.id} {state.words}. {state.message} {state.hint}".rstrip())


def stop(tuning: Named) -> None:
    """Stop a tuning: its trials finish their step and save a checkpoint, and no other one starts."""
    from workbench.launch import group_process

    found = named(tuning, "stop")
    group_process.stop(found)
    tell(f"{found.id} stops; `dlwb wait {found.id}` waits for it, `dlwb tuning resume {found.id}` goes on with it.")


def resume(
    tuning: Named,
    trials: Trials = 0,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on although the project's code, or its data, has changed.")] = False,
    follow: Follow = False,
) -> None:
    """Go on with a tuning that was stopped or killed; with --trials, also with one that has ended."""
    from workbench.launch import tuning as launching

    found = named(tuning)
    launching.begin(found, trials, anyway=anyway)
    put(found.id)
    if follow:
        raise typer.Exit(follow_tuning(found))


def named(reference: str, ends: str = "") -> "Tuning":
    """The tuning that a reference means, as the one for a run is found; Problem where there is none, or more than one."""
    from workbench.runs.run import LEAST
    from workbench.runs.tunings import list_tunings

    every = list_tunings()
    exact = [one for one in every if reference in (one.id, one.stem)] or every[:1] * (reference == "last")
    found = exact[:1] or [one for one in every if reference and reference in one.id]
    if not found:
        raise Problem(f"There is no tuning {one_line(reference, 100)}.", "`dlwb tuning list` shows them.")
    if len(found) > 1 or (ends and not exact and len(reference) < LEAST):
        names = ", ".join(one.id for one in found[:4])
        raise Problem(f"{one_line(reference, 100)} is too little of a name: it may be {names}.", "Give more of its name.")
    return found[0]


def follow_tuning(tuning: "Tuning") -> int:
    """Print a line for each trial that ends, and at last what came of it; returns the exit code for its end."""
    from workbench.cli.follow import EVERY, LET_GO, wait_for_group
    from workbench.runs import lock

    plan, told = tuning.plan(), set[tuple[int, int | None]]()
    try:
        while True:
            # Asked before the trials: else what ends in between would be missed.
            alive = lock.is_held(tuning.lock)
            standing = tuning.standing()
            ended: list[tuple[tuple[int, int | None], str]] = [
                ((trial.number, None), _line(plan, trial)) for trial in standing.trials if trial.ended
            ]
            ended += [((one.trial, one.seed), f"seed {one.seed}: {_reached(plan, one)}") for one in standing.again if one.ended]
            for key, line in ended:
                if key not in told:
                    told.add(key)
                    tell(clean(line))
            if not alive:
                break
            time.sleep(EVERY)
    except KeyboardInterrupt:
        print(f"\n{tuning.id} goes on in the background. `dlwb stop {tuning.id}` stops it.", file=sys.stderr)
        return LET_GO
    print_tuning(tuning, plan, standing)
    return wait_for_group(tuning)


def _line(plan: "Plan", trial: "Trial") -> str:
    from workbench.formatting import settings

    return f"trial {trial.number}: {_reached(plan, trial)}  ({settings(trial.params)})"


def _reached(plan: "Plan", one: Any) -> str:
    from workbench.formatting import number

    if one.value is None:
        return f"{one.state}{': ' + one.message if one.message else ''}"
    return f"{plan.tune.metric} {number(one.value)}" + ("" if one.state == "finished" else f", {one.state}")


def print_tuning(tuning: "Tuning", plan: "Plan", standing: "Standing") -> None:
    """Print the trials, the trainings of the best, the result, and which setting matters."""
    from workbench.formatting import duration, number, shown
    from workbench.runs.tunings import ENOUGH

    names = list(plan.tune.space)
    best = standing.best
    rows = []
    for trial in standing.trials:
        value = "" if trial.value is None else number(trial.value) + " *" * (best is not None and trial.number == best.number)
        cells = [str(trial.number), trial.state, value, duration(trial.seconds) if trial.ended else ""]
        rows.append([*cells, *(shown(trial.params[name]) if name in trial.params else "" for name in names)])
    table(["TRIAL", "STATE", plan.tune.metric, "TIME", *(name.partition(".")[2] for name in names)], rows)
    importance = tuning.importance()
    if importance.shares:
        shares = ", ".join(f"{name.partition('.')[2]} {100 * share:.0f} %" for name, share in importance.shares.items())
        print(f"what decides whether a trial is among the best, by {importance.trials} trials: {clean(shares)}")
    elif (finished := standing.count("finished")) < ENOUGH:
        tell(f"Which setting matters is told from {ENOUGH} finished trials on; {finished} have finished.")
    if standing.figure and best and best.value is not None:
        figure = standing.figure
        mine = [one for one in standing.again if one.trial == figure.trial]
        print(f"trial {figure.trial} with {len(mine)} new seeds: {plan.tune.metric} {_interval(figure.metric)}")
        for tag, each in figure.tests.items():
            print(f"  {clean(tag)} {_interval(each)}")
        tell(f"The result is the mean over new seeds: the best trial's own {number(best.value)} was chosen, so it is too good.")


def _interval(interval: "Interval") -> str:
    from workbench.formatting import number

    if interval.low is None or interval.high is None:
        return number(interval.mean)
    return f"{number(interval.mean)} ({number(interval.low)} to {number(interval.high)})"


def _plain(tuning: "Tuning", plan: "Plan", standing: "Standing") -> dict[str, Any]:
    figure, best = standing.figure, standing.best
    result = figure and {tag: each._asdict() for tag, each in {plan.tune.metric: figure.metric, **figure.tests}.items()}
    return {
        "tuning": tuning.id,
        "state": standing.state,
        "metric": plan.tune.metric,
        "goal": plan.tune.goal,
        "planned": standing.planned,
        "trials": standing.trials,
        "best": best and best.number,
        "new_seeds": standing.again,
        "result": figure and {"trial": figure.trial, **(result or {})},
        "importance": tuning.importance().shares,
        "seconds": standing.seconds,
        "learnt_from": standing.parents,
    }
