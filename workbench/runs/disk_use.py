"""Where the disk went, and what can go: `dlwb clean`. Nothing is removed without a yes."""

import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from workbench import paths
from workbench.files import taken
from workbench.formatting import count, size
from workbench.listing import print_json, table
from workbench.problems import Problem, one_line
from workbench.runs import lock, runs, trash
from workbench.runs.checkpoint import Checkpoints
from workbench.runs.runs import Run


class Use(NamedTuple):
    """Bytes on the disk of one run."""

    checkpoints: int
    artifacts: int
    log: int
    rest: int

    @property
    def total(self) -> int:
        return sum(self)


def use(run: Run) -> Use:
    """What a run takes, by kind."""
    checkpoints, artifacts = taken(run.path / "checkpoints"), taken(run.path / "artifacts")
    log = taken(run.events)
    return Use(checkpoints, artifacts, log, taken(run.path) - checkpoints - artifacts - log)


def show(as_json: bool) -> None:
    """Print runs by size, then the trash, data sets, the cache, and what is free."""
    used = sorted(((use(run), run) for run in runs.list_runs()), key=lambda each: -each[0].total)
    deleted = [(taken(run.path), run) for run in trash.deleted()]
    data = [(taken(path), path.name) for path in sorted(paths.data().glob("*"))]
    cache = taken(paths.cache_folder())
    free = _free()
    if as_json:
        print_json(
            {
                "runs": [{"id": run.id, "total": each.total, **each._asdict()} for each, run in used],
                "trash": [{"id": run.id, "total": total, "days": trash.days(run)} for total, run in deleted],
                "data": [{"name": one_line(name), "total": total} for total, name in data],
                "cache": cache,
                "free": free,
            }
        )
        return
    if used:
        rows = [[run.id, *(size(part) for part in (each.total, each.checkpoints, each.artifacts, each.log))] for each, run in used]
        table(["RUN", "SIZE", "CHECKPOINTS", "PICTURES", "LOG"], rows, right=4)
        print()
    sums = [
        ("runs", sum(each.total for each, _ in used), f"{count(len(used))}"),
        ("trash", sum(total for total, _ in deleted), f"{len(deleted)} deleted; `dlwb clean --trash` empties it" if deleted else "empty"),
        (
            "data",
            sum(total for total, _ in data),
            ", ".join(f"{one_line(name, 40)} {size(total)}" for total, name in sorted(data)[::-1][:6]),
        ),
        ("cache", cache, ""),
        ("free", free, one_line(str(paths.home()), 200)),
    ]
    for name, total, remark in sums:
        print(f"{name:<6} {size(total):>8}  {remark}".rstrip())


def _free() -> int:
    place = paths.home()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def clean_trash(older: float, yes: bool) -> None:
    """Remove the deleted runs for good that have been in the trash for at least so many days."""
    found = [(taken(run.path), run) for run in trash.deleted() if trash.days(run) >= older]
    for total, run in found:
        print(f"{run.id}  {size(total)}  deleted {trash.days(run):.0f} days ago")
    if not found:
        print("The trash has nothing that old." if older and trash.deleted() else "The trash is empty.", file=sys.stderr)
        return
    amount = sum(total for total, _ in found)
    _sure(f"{_runs(len(found))} would be gone for good, and {size(amount)} free", yes)
    for _, run in found:
        trash.purge(run)
    print(f"{size(amount)} freed.", file=sys.stderr)


def clean_checkpoints(chosen: Sequence[Run], yes: bool) -> None:
    """Remove what ended runs can do without: all checkpoints but the best, the newest, and pinned ones."""
    locks: list[lock.Lock] = []
    try:
        found = []
        for run in dict.fromkeys(chosen):
            if runs.state(run).state == "away" or (held := lock.Lock.take(run.lock)) is None:
                raise Problem(
                    f"{run.id} is {runs.state(run).message or 'running'}, so its checkpoints stay.", "Clean it once it has ended."
                )
            locks.append(held)
            kept = Checkpoints(run.path / "checkpoints")
            found += [(kept.size(each), kept, each, run) for each in kept.spare()]
        for total, _, each, run in found:
            print(f"{run.id}  {one_line(each.file)}  {size(total)}")
        if not found:
            print("Only best, newest and pinned checkpoints are there, and those stay.", file=sys.stderr)
            return
        amount = sum(total for total, *_ in found)
        _sure(f"{len(found)} checkpoint{'s' * (len(found) != 1)} would be gone for good, and {size(amount)} free", yes)
        for _, kept, each, _ in found:
            kept.drop(each)
        print(f"{size(amount)} freed.", file=sys.stderr)
    finally:
        for held in locks:
            held.release()


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _sure(what: str, yes: bool) -> None:
    """Ask, unless the command line said yes already; without a terminal to ask on it says how to."""
    if yes:
        return
    if not sys.stdin or not sys.stdin.isatty():
        raise Problem(f"Nothing was removed: {what}.", "--yes does it.")
    print(f"{what}. Remove? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Problem("Nothing was removed.")
