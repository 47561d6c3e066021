"""A run's log in a few numbers, for lists: kept beside it, and computed again only when the log has grown."""

from typing import Literal

import msgspec

from workbench import files
from workbench.events import Status
from workbench.runs import lock
from workbench.runs.history import History, history_of
from workbench.runs.run import Run
from workbench.runs.spans import Span

MEMORY = ("system/memory", "system/gpu_memory_peak")
"""The meters of a run's own memory, on the host and on its device, GiB."""


Figure = float | Literal["nan", "inf", "-inf", "None"]
"""A number as JSON can hold it; None where there is no finite one."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run's log in a few numbers, for lists."""

    size: int
    """Bytes of the log that it was made from."""
    changed: int = 0
    """When that log was changed last, nanoseconds: a log that was exchanged may have the same size."""
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    started: float = 0.0
    updated: float = 0.0
    seconds: float = 0.0
    device: str = ""
    variant: str = ""
    demo: str = ""
    steps_per_epoch: int = 0
    ready: float = 0.0
    """Seconds that its first start took: imports, reading its data, features. `seconds` holds them too."""
    cache: str = "unknown"
    """Whether that was `cold`, `warm` or `partly` so; "" where nothing of it is kept for the next run; unknown where nobody recorded it."""
    memory: dict[str, float] = {}
    """The most that its meters of memory showed, GiB by tag."""
    last: dict[str, Figure] = {}
    best: dict[str, Figure] = {}
    status: Status | None = None
    spans: list[Span] | None = None
    """When it trained; None in a summary of an earlier version, which is then made anew."""


def summary_of(run: Run) -> Summary:
    """The log in a few numbers; kept in summary.json, and computed again only when the log has grown."""
    stored = kept_summary(run)
    if stored is not None:
        return stored
    # Before the log is read: what is appended meanwhile makes the summary out of date, never wrong.
    size = log_size(run)
    history = history_of(run.events)
    summary = summarize(history, size)
    # Of a live run it would be out of date with the next line.
    return summary if lock.is_held(run.lock) else keep_summary(run, summary)


def log_size(run: Run) -> int:
    """Bytes of the log; 0 where there is none yet."""
    return _log_stamp(run).size


def _log_stamp(run: Run) -> files.Stamp:
    return files.stamp(run.events)


def kept_summary(run: Run) -> Summary | None:
    """What summary.json says, or None where the log has grown since; an empty summary where there is no log."""
    log = _log_stamp(run)
    if not log.size:
        return Summary(size=0)
    try:
        stored = msgspec.convert(files.read_object(run.path / "summary.json"), Summary)
    except msgspec.ValidationError:
        return None
    return stored if (stored.size, stored.changed) == (log.size, log.mtime) and stored.spans is not None else None


def keep_summary(run: Run, summary: Summary) -> Summary:
    """Write summary.json, for the next list; returns what it says."""
    log = _log_stamp(run)
    if log.size != summary.size:
        return summary  # it has grown meanwhile
    summary = msgspec.structs.replace(summary, changed=log.mtime)
    try:
        # Not synced: after a power failure it is made again.
        files.write(run.path / "summary.json", msgspec.json.encode(summary), sync=False)
    except OSError:
        pass  # a list is no reason to fail on a full disk
    return summary


def _first_running(history: History) -> Status | None:
    return next((status for status in history.statuses if status.state == "running"), None)


def _ready(history: History) -> float:
    first = _first_running(history)
    if first and first.prepared:
        return first.prepared
    # Within one attempt only: between two may lie days, and a monotonic clock begins anew with the machine.
    return max(0.0, first.clock - history.statuses[0].clock) if first and first.attempt == history.statuses[0].attempt else 0.0


def summarize(history: History, size: int) -> Summary:
    """A folded history in a few numbers."""

    def finite(value: float | None) -> Figure:
        # The difference is not 0 for NaN and infinity, for which JSON has no numbers.
        return value if value is not None and value - value == 0 else str(value)  # type: ignore[return-value]

    tags = [tag for tag in history.series if not tag.startswith("system/")]
    return Summary(
        size=size,
        step=history.step,
        steps=history.steps,
        epoch=history.epoch,
        started=history.started,
        updated=history.updated,
        seconds=history.seconds,
        device=history.device,
        variant=history.variant,
        demo=history.demo,
        steps_per_epoch=history.steps_per_epoch,
        ready=_ready(history),
        cache=first.cache if (first := _first_running(history)) and first.prepared else "unknown",
        memory={tag: extremes[1] for tag in MEMORY if tag in history.series and (extremes := history.series[tag].extremes())},
        last={tag: finite(history.last(tag)) for tag in tags},
        best={tag: finite(history.best(tag)) for tag in tags},
        status=history.status if history.statuses else None,
        spans=history.spans,
    )
