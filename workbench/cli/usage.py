"""`dlwb usage`: device-hours by device, recipe, day, tuning and endpoint, and what is left of a budget."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.arguments import AsJson
from workbench.cli.printing import print_json, table, tell
from workbench.formatting import hours
from workbench.problems import Problem, nearest, one_line

if TYPE_CHECKING:
    from workbench.runs.usage import Group

ROWS = 12
"""Most rows of each table where all are shown."""


def usage(
    by: Annotated[str, typer.Option("--by", metavar="device|recipe|day|tuning|endpoint", help="Only this table, and all of it.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="DATE", help="From then on: 2026-11-01, today, or an age: 12h, 7d, 3w.")] = "",
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="HOURS", min=0, help="Compare with so many hours, and not with `preferences`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show for how long your runs and endpoints used which device.

    Counted is the time in which a run trained or an endpoint served; neither the queue, the start nor a pause. Runs in the trash count,
    and those that were removed for good. `dlwb preferences budget=100` sets a budget: from 80 % of it on, a start warns. Where GPUs were
    used, only their hours count against it.
    """
    from workbench.runs import usage as using
    from workbench.serving import usage as collecting

    if by and by not in using.BY:
        raise Problem(f"Usage by {one_line(by, 40)} is not known{nearest(by, using.BY) or '.'}", f"By: {', '.join(using.BY)}.")
    uses = collecting.collect()
    if since:
        uses = using.since(uses, using.moment(since))
    whole, limit = using.total(uses), using.budget(uses, budget)
    groups = {name: using.by(uses, name) for name in ([by] if by else using.BY)}
    if as_json:
        print_json(
            {
                "total": _plain(whole),
                "budget": limit and {**limit._asdict(), "unit": limit.unit, "warning": limit.warning},
                "by": {name: [_plain(group) for group in listed] for name, listed in groups.items()},
            }
        )
        return
    if not uses:
        tell("Nothing was used yet." if not since else "Nothing was used since then.")
    for name, listed in groups.items():
        if listed:
            _print(name, listed, len(listed) if by else ROWS)
        elif by and uses:
            tell(f"Nothing of it belongs to any {by}.")
    if uses:
        print(f"total  {_words(whole)}")
    if limit:
        print(f"budget {hours(limit.used)} of {limit.hours:g} {limit.unit}, {limit.share:.0%}" if limit.hours else "budget none")
        if limit.warning:
            tell(f"! {limit.warning}")


def _print(name: str, groups: "list[Group]", most: int) -> None:
    # Of days the newest are of interest, of all others those with the most hours.
    listed = groups[-most:] if name == "day" else groups[:most]
    gpu, cpu = any(group.gpu for group in listed), any(group.cpu for group in listed)
    head = [name.upper(), *(["GPU"] if gpu else []), *(["CPU"] if cpu else []), "RUNS"]
    rows = []
    for group in listed:
        # An empty cell is easier to pass over than "0 h".
        figures = [hours(used) if used else "" for used, shown in ((group.gpu, gpu), (group.cpu, cpu)) if shown]
        rows.append([group.name, *figures, str(group.runs)])
    table(head, rows, right=len(head) - 1)
    if len(groups) > len(listed):
        rest = len(groups) - len(listed)
        print(f"and {rest} more: `dlwb usage --by {name}`")
    print()


def _words(group: "Group") -> str:
    parts = [f"{hours(used)} on {where}" for used, where in ((group.gpu, "GPUs"), (group.cpu, "the CPU")) if used]
    return ", ".join(parts) or "0 h"


def _plain(group: "Group") -> dict[str, Any]:
    return {**group._asdict(), "hours": group.hours}
