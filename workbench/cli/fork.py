"""Going on from a checkpoint: `dlwb fork` in a new run, `dlwb rollback` in the run itself."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import AsJson, Ended, Follow, Reference, Settings, find_run
from workbench.cli.printing import print_json, put, tell
from workbench.problems import Problem

if TYPE_CHECKING:
    from workbench.runs.family import Branch
    from workbench.runs.run import Run

Without = Annotated[
    bool, typer.Option("--without-later", help="Leave out what people changed after that step; else it is changed again at its steps.")
]
Anyway = Annotated[bool, typer.Option("--anyway", help="Go on even if the project's code, or its data, has changed.")]


def fork(
    run: Reference,
    at: Annotated[
        int | None, typer.Option("--at", metavar="STEP", min=0, help="The newest checkpoint up to this step; else the last.")
    ] = None,
    settings: Settings = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; else that of the run.")] = "",
    without_later: Without = False,
    anyway: Anyway = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Go on from a checkpoint of a run in a new one.

    The run itself stays as it is, and may train meanwhile. The fork has its curves up to the checkpoint, then its own. Live settings
    change there; others are the fork's own, and those that do not fit the checkpoint are refused. Prints the fork's id.
    """
    from workbench.cli import follow as following
    from workbench.launch import forking
    from workbench.runs import family

    parent = find_run(run)
    branch = family.nearest(parent, at)
    done = forking.fork(parent, branch, settings or [], device=device, repeat=not without_later, anyway=anyway)
    tell(f"Forked from the {branch.words} of {parent.id}.")
    if done.remark:
        tell(done.remark)
    if not (follow and as_json):
        print_json(_described(done.run, parent, branch)) if as_json else put(done.run.id)
    if follow:
        raise typer.Exit(following.follow(done.run, as_json))


def rollback(
    run: Ended,
    at: Annotated[int, typer.Option("--at", metavar="STEP", min=0, help="The newest checkpoint up to this step.")],
    settings: Settings = None,
    without_later: Without = False,
    anyway: Anyway = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Go back to a checkpoint of a run, after a question.

    The run itself goes on from there. A live run is stopped first. Its curves after that step go, and so do the later checkpoints; its
    log keeps all. Live settings may be other ones from there on. A fork leaves the run as it is.
    """
    from workbench.cli import follow as following
    from workbench.launch import forking
    from workbench.runs import family

    chosen = find_run(run, "roll back")
    branch = family.nearest(chosen, at)
    if not yes:
        _ask(chosen, branch)
    tail = following.at_its_end(chosen) if follow else None
    remark = forking.roll_back(chosen, branch, settings or [], repeat=not without_later, anyway=anyway)
    tell(f"Rolled back to the {branch.words}.")
    if remark:
        tell(remark)
    if not (follow and as_json):
        print_json(_described(chosen, chosen, branch)) if as_json else put(chosen.id)
    if tail:
        raise typer.Exit(following.follow(chosen, as_json, tail=tail))


def _described(run: "Run", parent: "Run", branch: "Branch") -> dict[str, object]:
    return {"run": run.id, "parent": parent.id, "step": branch.generation.step, "asked": branch.asked}


def _ask(run: "Run", branch: "Branch") -> None:
    """Ask a person. Raises Problem for another answer than yes, and without a terminal to ask on."""
    from workbench.launch import forking

    what = forking.question(run, branch)
    if not sys.stdin or not sys.stdin.isatty():
        raise Problem(f"Nothing was rolled back: {what}", "--yes does it.")
    print(f"{what} Roll back? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Problem("Nothing was rolled back.")
