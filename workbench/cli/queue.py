"""The queue for GPUs: `dlwb queue` and its commands `list`, `first`, `hold` and `release`."""

from typing import TYPE_CHECKING, Any

import typer

from workbench.cli.arguments import AsJson, Reference, find_run
from workbench.cli.printing import print_json, table, tell

if TYPE_CHECKING:
    from workbench.launch.queueing import Waiting


def queue(context: typer.Context, as_json: AsJson = False) -> None:
    """List what waits for a GPU on this machine; move a run to the front, hold or release it."""
    if context.invoked_subcommand is None:
        _show(as_json)


def list_(as_json: AsJson = False) -> None:
    """List the runs that wait for a GPU on this machine, what each one waits for, and about when it starts."""
    _show(as_json)


def _show(as_json: bool) -> None:
    import time

    from workbench.launch import queueing

    waiting = queueing.outlook()
    if as_json:
        print_json([_plain(one, time.time()) for one in waiting])
    elif waiting:
        rows = [
            [one.run, f"{one.place}" if one.place else "held", _devices(one), ", ".join(one.behind), "" if one.held else one.start()]
            for one in waiting
        ]
        table(["RUN", "PLACE", "DEVICE", "BEHIND", "START"], rows)
    else:
        tell("No run waits for a GPU on this machine.")


def _devices(waiting: "Waiting") -> str:
    several = f"{waiting.needs} of " if waiting.needs > 1 else ""
    return several + " or ".join(waiting.devices)


def _plain(waiting: "Waiting", now: float) -> dict[str, Any]:
    starts = None if waiting.begins is None else now + waiting.begins
    return {**waiting._asdict(), "held": waiting.held, "starts": starts}


def first(run: Reference) -> None:
    """Move a run to the front of the queue, before all others that wait."""
    _ask(run, "first")


def hold(run: Reference) -> None:
    """Hold a run in the queue: it keeps its place and takes no device until it is released."""
    _ask(run, "hold")


def release(run: Reference) -> None:
    """Release a run that is held in the queue."""
    _ask(run, "release")


def _ask(reference: str, verb: str) -> None:
    from workbench.launch import queueing

    tell(queueing.ask(find_run(reference), verb))
