"""The machine: `dlwb doctor`, `clean`, `delete`, `restore`, `preferences` and `notify`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import AsJson, Ended, find_group, find_run, pair
from workbench.cli.printing import print_json, put, table, tell
from workbench.problems import Problem, one_line

if TYPE_CHECKING:
    from workbench.launch.doctor.finding import Finding

SIGNS = {"ok": "✓", "warn": "!", "bad": "✗", "unknown": "?"}
COLOURS = {"ok": "32", "warn": "33", "bad": "31", "unknown": "2"}
"""Foreground of each sign, as SGR parameters (ECMA-48, 8.3.117)."""


def doctor(as_json: AsJson = False) -> None:
    """Check this machine for common problems.

    Checks GPU, torch, disk, logout and terminal. Exit code 1 where a check fails.
    """
    import shutil

    from workbench.launch.doctor import checks

    # Longer lines of prose are hard to read.
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    findings: list[tuple[str, Finding]] = []
    for part, part_findings in checks.look():
        findings += [(part, finding) for finding in part_findings]
        if not as_json:
            print(part)
            for finding in part_findings:
                _print(finding, width)
    bad, warned = (sum(finding.level == level for _, finding in findings) for level in ("bad", "warn"))
    if as_json:
        print_json([{"part": part, **_plain(finding)} for part, finding in findings])
    else:
        words = [f"{count} {name}" for count, name in ((bad, "bad"), (warned, f"warning{'s' * (warned != 1)}")) if count]
        print(f"\n{len(findings)} checks: {', '.join(words) or 'all well'}.")
    if bad:
        raise typer.Exit(1)


def _plain(finding: "Finding") -> dict[str, str]:
    return {
        "name": finding.name,
        "level": finding.level,
        "text": one_line(finding.text, 1000),
        "mend": one_line(finding.mend, 1000),
    }


def _print(finding: "Finding", width: int) -> None:
    import textwrap

    sign = SIGNS[finding.level]
    if sys.stdout.isatty():
        sign = f"\x1b[{COLOURS[finding.level]}m{sign}\x1b[0m"
    # Two spaces, the sign, a space, a name of 12, a space.
    indent = " " * 17
    text = textwrap.fill(one_line(finding.text, 1000), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    print(f"  {sign} {finding.name:<12} {text[17:]}")
    if finding.mend and finding.level != "ok":
        mend = f"→ {one_line(finding.mend, 1000)}"
        print(textwrap.fill(mend, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False))


def clean(
    empty_trash: Annotated[bool, typer.Option("--trash", help="Remove deleted runs for good.")] = False,
    older: Annotated[
        float, typer.Option(metavar="DAYS", min=0, help="With --trash: only runs that were deleted at least so many days ago.")
    ] = 0,
    checkpoints: Annotated[
        list[str] | None, typer.Option(metavar="RUN", help="Remove a run's checkpoints except the best and the newest.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what uses the disk, and free space.

    --trash and --checkpoints free space, after a question.
    """
    if empty_trash:
        _clean_trash(older, yes)
    if checkpoints:
        _clean_checkpoints(checkpoints, yes)
    if not empty_trash and not checkpoints:
        _show_disk(as_json)


def _show_disk(as_json: bool) -> None:
    """Print the runs by size, then trash, data sets, cache and free space."""
    from workbench import paths
    from workbench.files import taken
    from workbench.formatting import count, size
    from workbench.runs import disk_use, trash
    from workbench.runs.run import list_runs

    used = sorted(((disk_use.use(run), run) for run in list_runs()), key=lambda pair: -pair[0].total)
    deleted = [(taken(run.path), run) for run in trash.deleted()]
    data = [(taken(path), path.name) for path in sorted(paths.data().glob("*"))]
    cache, free = taken(paths.cache_folder()), disk_use.free()
    if as_json:
        print_json(
            {
                "runs": [{"id": run.id, "total": use.total, **use._asdict()} for use, run in used],
                "trash": [{"id": run.id, "total": total, "days": trash.days(run)} for total, run in deleted],
                "data": [{"name": one_line(name), "total": total} for total, name in data],
                "cache": cache,
                "free": free,
            }
        )
        return
    if used:
        rows = [[run.id, *(size(part) for part in (use.total, use.checkpoints, use.artifacts, use.log))] for use, run in used]
        table(["RUN", "SIZE", "CHECKPOINTS", "PICTURES", "LOG"], rows, right=4)
        print()
    largest = ", ".join(f"{one_line(name, 40)} {size(total)}" for total, name in sorted(data)[::-1][:6])
    sums = [
        ("runs", sum(use.total for use, _ in used), count(len(used))),
        ("trash", sum(total for total, _ in deleted), f"{len(deleted)} deleted; `dlwb clean --trash` empties it" if deleted else "empty"),
        ("data", sum(total for total, _ in data), largest),
        ("cache", cache, ""),
        ("free", free, one_line(str(paths.home()), 200)),
    ]
    for name, total, remark in sums:
        print(f"{name:<6} {size(total):>8}  {remark}".rstrip())


def _clean_trash(older: float, yes: bool) -> None:
    """Remove for good the runs that are in the trash for at least `older` days."""
    from workbench.files import taken
    from workbench.formatting import size
    from workbench.runs import trash

    old = [(taken(run.path), run) for run in trash.deleted() if trash.days(run) >= older]
    for total, run in old:
        print(f"{run.id}  {size(total)}  deleted {trash.days(run):.0f} days ago")
    if not old:
        tell("The trash has no run that old." if older and trash.deleted() else "The trash is empty.")
        return
    amount = sum(total for total, _ in old)
    _make_sure(f"{_number(len(old), 'run')} would be gone for good, and {size(amount)} free", yes)
    for _, run in old:
        trash.purge(run)
    tell(f"{size(amount)} freed.")


def _clean_checkpoints(references: list[str], yes: bool) -> None:
    """Remove checkpoints of ended runs, except the best, the newest and pinned ones."""
    from workbench.formatting import size
    from workbench.runs import disk_use

    with disk_use.spare_checkpoints([find_run(reference, "clean") for reference in references]) as spare:
        for checkpoint in spare:
            print(f"{checkpoint.run.id}  {one_line(checkpoint.generation.file)}  {size(checkpoint.bytes)}")
        if not spare:
            tell("There are only best, newest and pinned checkpoints, and those stay.")
            return
        amount = sum(checkpoint.bytes for checkpoint in spare)
        _make_sure(f"{_number(len(spare), 'checkpoint')} would be gone for good, and {size(amount)} free", yes)
        for checkpoint in spare:
            checkpoint.remove()
        tell(f"{size(amount)} freed.")


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _make_sure(what: str, yes: bool) -> None:
    """Ask a person, unless `yes`. Raises Problem for another answer than yes, and without a terminal to ask on."""
    if yes:
        return
    # In a script nobody answers: to remove things there needs the option.
    if not sys.stdin or not sys.stdin.isatty():
        raise Problem(f"Nothing was removed: {what}.", "--yes does it.")
    print(f"{what}. Remove? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Problem("Nothing was removed.")


def delete(run: Ended) -> None:
    """Move ended runs, alone or of one group, to the trash.

    The trash is runs/.trash in dlwb's home.
    """
    from workbench.runs import trash

    if group := find_group(run, "delete"):
        moved = trash.delete_group(group)
        tell(f"{group.id}: {_number(len(moved), 'run')} in the trash; `dlwb restore {group.id}` brings them back.")
        return
    chosen = find_run(run, "delete")
    tell(f"{chosen.id} is in the trash; `dlwb restore {trash.delete(chosen).id}` brings it back.")


def restore(
    deleted: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run in the trash, or the id of a comparison or a tuning; none: the last deleted run.")
    ] = "last",
) -> None:
    """Bring a deleted run, or a comparison's or a tuning's, back."""
    from workbench.runs import trash

    for run in trash.restore_group(deleted) or [trash.restore(deleted)]:
        put(run.id)


def preferences(preferred: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="None: show all.")] = None) -> None:
    """Show or set what you prefer: theme, budget, notices …

    An empty value takes one back: notify.webhook=
    """
    from workbench import preferences as preferring

    for word in preferred or []:
        preferring.put(*pair(word))
    for name, preference in preferring.KNOWN.items():
        choices = f"{preference.offered}: " * bool(preference.choices)
        put(f"{name}={preferring.shown(name)}  ({choices}{preference.about})")
    for fault in preferring.faults():
        tell(f"{fault} Its default holds.")


def notify(test: Annotated[bool, typer.Option("--test", help="Send one now, and say what became of it.")] = False) -> None:
    """Show how signals reach you when you are away, or try it.

    A signal is given at the end of a run, at a failure, at a bar passed, and at no step for long; at most one message a minute, which
    joins what came meanwhile. `dlwb preferences notify.command="PROGRAM ARGUMENTS"` runs a program of yours, without a shell: it gets
    DLWB_WHAT, DLWB_RUN, DLWB_RECIPE, DLWB_TEXT and DLWB_FIGURES in its environment, and all of it as JSON on its input.
    `dlwb preferences notify.webhook=https://…` sends that JSON there. The run's own supervisor does it: nobody has to be logged in.
    """
    from workbench import preferences as preferring
    from workbench.launch import notifying

    if test:
        if not notifying.ways():
            faults = preferring.faults("notify.")
            raise Problem(
                " ".join(faults) or "No way is set up by which a signal could reach you.",
                "Set one: `dlwb preferences notify.command=…`, or notify.webhook=https://….",
            )
        _, failures = notifying.test()
        for name in notifying.ways():
            failed = [failure for failure in failures if failure.startswith(f"{name}: ")]
            put(failed[0] if failed else f"{name}: sent.")
        if failures:
            raise typer.Exit(1)
        return
    for name in preferring.KNOWN:
        if name == "notice" or name.startswith("notify."):
            put(f"{name}={preferring.shown(name)}")
    for fault in preferring.faults("notify."):
        tell(f"{fault} Its default holds.")
    for failure in notifying.last_failures():
        tell(f"The last message was not sent: {failure}")
