"""Steering: `dlwb pause`, `resume`, `step`, `stop`, `kill`, `wait`, `set`, `sample` and `checkpoint`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import Ended, Follow, Reference, find_group, find_run, request
from workbench.cli.printing import put, tell

if TYPE_CHECKING:
    from workbench.runs.run import Run


def _ask(run: "Run", verb: str, asked: dict[str, Any] | None = None) -> None:
    """Send a command to a live run and wait for its answer; exit code 1 where the run refuses."""
    from workbench.launch import start

    done, message = start.answer(run, start.command(run, verb, asked), steps=verb == "step")
    tell(f"{run.id}: {message or verb + ': done'}")
    if not done:
        raise typer.Exit(1)


def pause(run: Reference) -> None:
    """Pause a run: it saves a checkpoint and keeps its memory."""
    _ask(find_run(run), "pause")


def resume(
    run: Reference,
    anyway: Annotated[bool, typer.Option("--anyway", help="Resume even if the project's code, or its data, has changed.")] = False,
    follow: Follow = False,
) -> None:
    """Resume a paused or ended run, a comparison or a tuning."""
    from workbench.launch import start
    from workbench.runs.state import state_of

    if group := find_group(run):
        from workbench.cli import follow as following
        from workbench.cli.tune import follow_tuning
        from workbench.launch import comparing, tuning
        from workbench.runs.tunings import Tuning

        tuning.begin(group, anyway=anyway) if isinstance(group, Tuning) else comparing.begin(group, anyway=anyway)
        put(group.id)
        if follow:
            raise typer.Exit(follow_tuning(group) if isinstance(group, Tuning) else following.follow_comparison(group))
        return
    chosen = find_run(run)
    tail = None
    if follow:
        from workbench.cli import follow as following

        # Before the resume: no event after it can be missed.
        tail = following.at_its_end(chosen)
    if state_of(chosen).alive:
        _ask(chosen, "resume")
    else:
        if remark := start.launch(chosen, anyway=anyway):
            tell(remark)
        put(chosen.id)
    if tail:
        raise typer.Exit(following.follow(chosen, tail=tail))


def step(run: Reference, steps: Annotated[int, typer.Argument(min=1, metavar="N", help="How many steps")] = 1) -> None:
    """Make one training step of a paused run, or several."""
    _ask(find_run(run), "step", {"steps": steps})


def stop(run: Ended) -> None:
    """Stop a run after its step; it saves a checkpoint first. Of a comparison or a tuning, also start no further run."""
    from workbench.launch import start
    from workbench.runs import own

    if group := find_group(run, "stop"):
        from workbench.launch import group_process

        group_process.stop(group)
        tell(f"{group.id} stops; `dlwb wait {group.id}` waits for it, `dlwb resume {group.id}` trains what is missing.")
        return
    chosen = find_run(run, "stop")
    start.stop(chosen)
    if own.is_own_run(chosen):
        tell(f"{chosen.id}: {own.STOPPING}")
        return
    tell(f"{chosen.id} stops after its step; `dlwb wait {chosen.id}` waits for it.")


def kill(run: Ended) -> None:
    """Kill a run at once, without a checkpoint. Earlier checkpoints stay."""
    from workbench.launch import start
    from workbench.runs import own

    chosen = find_run(run, "kill")
    start.kill(chosen)
    if own.is_own_run(chosen):
        tell(f"{chosen.id}: {own.KILLED}")
        return
    tell(f"{chosen.id} was killed; `dlwb resume {chosen.id}` resumes it from its last checkpoint.")


def wait(
    runs: Annotated[list[str], typer.Argument(help="The runs to wait for.")],
    bell: Annotated[bool, typer.Option("--bell", help="At the end, ring and show a desktop notice if the terminal can.")] = False,
) -> None:
    """Wait until runs have ended. Exit code 0 when all finished, 1 when one failed, 3 when one was stopped."""
    from workbench.cli import follow

    codes = []
    for reference in runs:
        group = find_group(reference)
        codes.append(follow.wait_for_group(group) if group else follow.wait(find_run(reference), bell))
    raise typer.Exit(1 if 1 in codes else max(codes))


def set_(run: Reference, changes: Annotated[list[str], typer.Argument(help="KEY=VALUE, for example config.learning_rate=0.01")]) -> None:
    """Change live settings of a run, from its next step on."""
    from workbench.tui.models.requests import live_settings

    chosen = find_run(run)
    _ask(chosen, "set", request(changes, live_settings(chosen, chosen.recipe(), {})[0]))


def sample(
    run: Reference,
    asked: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the request: prompt='Anna'")] = None,
) -> None:
    """Take a sample now from a live run's weights."""
    from workbench.tui.models.requests import request_schema

    chosen = find_run(run)
    _ask(chosen, "sample", request(asked or [], request_schema(chosen, chosen.recipe())))


def checkpoint(run: Reference) -> None:
    """Save a checkpoint of a live run now, and keep it."""
    _ask(find_run(run), "checkpoint")
