"""Device-hours: for how long runs and endpoints used which device, by the working intervals of their logs, and of a budget.

Neither the queue, the start nor a pause counts. What is removed for good leaves its hours in `used.jsonl`: disk space that is freed gives
no budget back.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from workbench import files, paths, preferences
from workbench.problems import Problem, cleaned, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import family, lock
from workbench.runs.own import FOREIGN
from workbench.runs.run import Run
from workbench.runs.spans import Span
from workbench.runs.summary import summary_of

BY = ("device", "recipe", "day", "tuning", "endpoint")
"""What device-hours are summed up by."""
WARN_AT = 0.8
"""The share of a budget from which on a start warns."""
MOST_BYTES = 64 << 20
Seconds = Annotated[float, Meta(ge=0, le=1e12)]


class Use(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One interval in which a run or an endpoint used a device, or several of a kind at once."""

    began: Seconds
    """Wall time."""
    seconds: Seconds
    device: str
    """Name and title: `cuda:0 NVIDIA H200`; the title alone for several."""
    count: Annotated[int, Meta(ge=1, le=1 << 20)] = 1
    """How many devices it used at once."""
    run: str = ""
    recipe: str = ""
    tuning: str = ""
    endpoint: str = ""
    host: str = ""
    """Where this is another machine that shares the home."""
    gpu: bool = False

    @property
    def hours(self) -> float:
        """Device-hours."""
        return self.seconds * self.count / 3600


class Group(NamedTuple):
    """The device-hours of one device, recipe, day, tuning or endpoint."""

    name: str
    gpu: float
    cpu: float
    runs: int
    """Number of runs and endpoints."""

    @property
    def hours(self) -> float:
        """On all devices."""
        return self.gpu + self.cpu


class Budget(NamedTuple):
    """A budget of device-hours, and what is used of it."""

    hours: float
    used: float
    gpu: bool
    """Whether GPUs alone count: where any was used, the CPU is free."""

    @property
    def share(self) -> float:
        """Used of all; infinite for a budget of nothing."""
        return self.used / self.hours if self.hours else float("inf")

    @property
    def unit(self) -> str:
        """What is counted."""
        return "GPU-hours" if self.gpu else "device-hours"

    @property
    def warning(self) -> str:
        """From 80 % on a sentence for who starts a run; "" below."""
        if self.share < WARN_AT:
            return ""
        used, hours, left = (f"{round(figure, 1):,.9g}" for figure in (self.used, self.hours, self.hours - self.used))
        return f"{used} of the budget of {hours} {self.unit} are used, {f'{left} left' if self.used < self.hours else 'and none is left'}."


def of_run(run: Run) -> list[Use]:
    """The intervals of a run. Problem where its log or its recipe cannot be read."""
    return intervals(run, summary_of(run).spans or [], run.recipe())


def intervals(run: Run, spans: Sequence[Span], recipe: Recipe | None) -> list[Use]:
    """When a run used which device. Of several processes, of which the log names fewer devices, each one has a device of its own."""
    # What another program's log says of time was not used through dlwb, and perhaps on another machine.
    if not spans or (recipe and recipe.project == FOREIGN):
        return []
    processes = recipe.compute.processes if recipe else 1
    about = run.about()
    if "forked" in about and (origin := family.forked(run)):
        # The log of a fork begins with its parent's: what was used until then is the parent's.
        spans = [span for span in spans if span.attempt > origin.attempt]
    tuning = one_line(str(about.get("tuning") or ""), 200)
    host = elsewhere(run.lock)
    return [
        use
        for span in spans
        for use in _split(
            Use(began=span.began, seconds=span.seconds, device=span.device, run=run.id, recipe=run.stem, tuning=tuning, host=host),
            processes,
        )
    ]


def elsewhere(lock_file: Path) -> str:
    """The machine on which a run or an endpoint was last, where that is not this one."""
    host = one_line(str(lock.content(lock_file).get("host") or lock.host()), 80)
    return host if host != lock.host() else ""


def _split(use: Use, processes: int) -> list[Use]:
    """The interval on each of its devices."""
    name, _, title = one_line(use.device, 80).partition(" ")
    names = re.findall(r"cuda:\d+", name)
    if not names:
        return [msgspec.structs.replace(use, device=name or "cpu")]
    if len(names) < processes:
        return [msgspec.structs.replace(use, device=f"{processes} × {title or 'GPU'}", count=processes, gpu=True)]
    return [msgspec.structs.replace(use, device=f"{one} {title}".strip(), gpu=True) for one in names]


# -- what was removed for good ------------------------------------------------------------------------------------------------------


def removed() -> list[Use]:
    """The intervals of what was removed for good; a line that a crash has torn is passed over."""
    try:
        data = files.read_plain(paths.used(), MOST_BYTES)
    except OSError:
        return []
    uses: list[Use] = []
    for line in data.splitlines():
        try:
            uses.append(msgspec.convert(cleaned(msgspec.json.decode(line)), Use))
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            continue
    # A crash between the note and the removal leads to a second note.
    return list(dict.fromkeys(uses))


def keep(uses: Sequence[Use]) -> None:
    """Note the intervals of something before it is removed for good. OSError where they cannot be written."""
    if not uses:
        return
    data = b"".join(msgspec.json.encode(use) + b"\n" for use in uses)
    file = files.open_plain(paths.used(), os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(file).st_size
        torn = size and os.pread(file, 1, size - 1) != b"\n"
        os.write(file, b"\n" * bool(torn) + data)
        os.fsync(file)
    finally:
        os.close(file)


# -- sums ---------------------------------------------------------------------------------------------------------------------------


def since(uses: Iterable[Use], moment: float) -> list[Use]:
    """The intervals from a moment on; one that began before it is cut."""
    cut = []
    for use in uses:
        if (end := use.began + use.seconds) > moment:
            began = max(use.began, moment)
            cut.append(msgspec.structs.replace(use, began=began, seconds=end - began))
    return cut


def by(uses: Iterable[Use], what: str) -> list[Group]:
    """The hours summed up by one of BY: days in their order, others with the most hours first; what belongs to none is left out."""
    names: Callable[[Use], str] = lambda use: getattr(use, what)  # noqa: E731
    if what == "day":
        uses, names = [part for use in uses for part in _days(use)], lambda use: _day(use.began)
    elif what == "device":
        names = lambda use: use.device + (f" on {use.host}" if use.host else "")  # noqa: E731
    hours: dict[str, list[float]] = {}
    owners: dict[str, set[tuple[str, str]]] = {}
    for use in uses:
        if name := names(use):
            sums = hours.setdefault(name, [0.0, 0.0])
            sums[not use.gpu] += use.hours
            owners.setdefault(name, set()).add((use.run, use.endpoint))
    groups = [Group(name, gpu, cpu, len(owners[name])) for name, (gpu, cpu) in hours.items()]
    return sorted(groups, key=lambda group: group.name if what == "day" else (-group.hours, group.name))


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def _days(use: Use) -> list[Use]:
    """The interval, cut at each midnight of this machine's time zone."""
    parts: list[Use] = []
    began, end = use.began, use.began + use.seconds
    while began < end and len(parts) < 10_000:
        day = time.localtime(began)
        # A day of the calendar: with a change to summer time it has 23 hours.
        midnight = time.mktime((day.tm_year, day.tm_mon, day.tm_mday + 1, 0, 0, 0, 0, 0, -1))
        stop = min(end, max(midnight, began + 60))
        parts.append(msgspec.structs.replace(use, began=began, seconds=stop - began))
        began = stop
    return parts


def total(uses: Iterable[Use]) -> Group:
    """All of them."""
    uses = list(uses)
    gpu = sum(use.hours for use in uses if use.gpu)
    cpu = sum(use.hours for use in uses if not use.gpu)
    return Group("total", gpu, cpu, len({(use.run, use.endpoint) for use in uses}))


def preferred() -> float | None:
    """The budget that a person prefers, device-hours; None where there is none."""
    text = preferences.get("budget")
    return None if text == "off" else float(text)


def budget(uses: Iterable[Use], hours: float | None = None) -> Budget | None:
    """What is used of a budget, by default of the one that a person prefers; None where there is none."""
    hours = preferred() if hours is None else hours
    whole = total(uses)
    return None if hours is None else Budget(hours, whole.gpu or whole.cpu, bool(whole.gpu))


def moment(text: str, now: float | None = None) -> float:
    """The moment that a person means: a date (2026-11-01), `today`, or an age: 12h, 7d, 3w. Raises Problem for anything else."""
    now = time.time() if now is None else now
    day = time.localtime(now)
    if text == "today":
        return time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))
    if age := re.fullmatch(r"(\d{1,6}) ?(h|d|w)", text):
        return now - int(age[1]) * {"h": 3600, "d": 86400, "w": 604800}[age[2]]
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%d"))
    except (ValueError, OverflowError):
        raise Problem(
            f"{one_line(text, 40)} is no date and no age.", "Write a date as 2026-11-01, `today`, or an age: 12h, 7d, 3w."
        ) from None
