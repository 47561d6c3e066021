"""The figures of each second of an endpoint, by variant and in all, as scalars of its log."""

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from workbench.events import Scalars
from workbench.serving.figures import Figures, quantiles

if TYPE_CHECKING:
    from workbench.serving.host import Host

IDLE_EVERY = 10.0
"""Seconds between two lines while nobody asks: a day of them is 8,640."""
WITHIN = 10.0
"""Seconds whose latencies make the quantiles."""


class Seconds:
    """What has changed since the second before."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._before: dict[str, dict[str, float]] = {}
        self._when = time.monotonic()
        self._wrote = -IDLE_EVERY
        self._disagreed = 0

    def write(self, *, last: bool = False) -> None:
        """Write a line; while nobody asks and nothing changes, only now and then, and at the end."""
        now = time.monotonic()
        seconds, self._when = max(1e-3, now - self._when), now
        host = self._host
        values: dict[str, float] = {}
        totals = {"rate": 0.0, "errors": 0.0, "4xx": 0.0, "queue": 0.0}
        times: list[float] = []
        # Those that are on their way out answer what they have.
        changes = host.changes
        every = [*changes.leaving, *changes.variants.values()]
        for variant in every:
            name, figures = variant.name, variant.figures
            since = self._since(f"{name} {id(figures)}", figures)
            latest = [took for when, took in figures.latest if when >= now - WITHIN]
            own = {
                "rate": since["requests"] / seconds,
                "errors": since["errors"],
                "4xx": since["refused"],
                "queue": float(variant.queued),
            }
            # A shadow answers nobody: what the clients have is what counts.
            if name != changes.config.shadow:
                times += latest
                for key, value in own.items():
                    totals[key] += value
            own |= _milliseconds(latest)
            if since["batches"]:
                own["batch"] = since["batched"] / since["batches"]
                own["compute"] = 1000 * since["model"] / since["batches"]
            own |= {"weight": changes.share(variant), "restarts": float(figures.restarts)}
            own["requests"] = float(figures.requests)
            values |= {f"{key}/{name}": round(value, 4) for key, value in own.items()}
        refused = self._since("refused", host.router.refused)
        totals["rate"] += refused["requests"] / seconds
        totals["4xx"] += refused["refused"]
        totals["errors"] += refused["errors"]
        values |= {key: round(value, 4) for key, value in (totals | _milliseconds(times)).items()}
        values["requests"] = float(host.answers)
        values["memory"] = round(_memory([os.getpid(), *(variant.pid for variant in every)]) / 2**20, 1)
        busy = totals["rate"] or totals["queue"]
        if busy or last or now >= self._wrote + IDLE_EVERY:
            # Also the first second without a request: else a chart would draw a slope down to the next line.
            self._wrote = now if not busy else now - IDLE_EVERY
            host.write(Scalars(values=values))
        if changes.shadow and changes.shadow.disagreed != self._disagreed:
            self._disagreed = changes.shadow.disagreed
            host.write(changes.shadow.table())

    def _since(self, key: str, figures: Figures) -> dict[str, float]:
        current = {
            "requests": float(figures.requests),
            "errors": float(sum(count for code, count in figures.codes.items() if code >= 500)),
            "refused": float(sum(count for code, count in figures.codes.items() if 400 <= code < 500)),
            "batches": float(figures.batches),
            "batched": float(figures.batched),
            "model": figures.model_seconds,
        }
        before = self._before.get(key, dict.fromkeys(current, 0.0))
        self._before[key] = current
        return {name: value - before[name] for name, value in current.items()}


def _milliseconds(times: Iterable[float]) -> dict[str, float]:
    return {name: 1000 * value for name, value in quantiles(times).items()}


def _memory(processes: list[int]) -> int:
    """Bytes that processes hold, together (proc_pid_statm(5))."""
    total = 0
    for pid in dict.fromkeys(processes):
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - each second
                total += int(file.read().split()[1])
        except (OSError, IndexError):
            continue
    return total * os.sysconf("SC_PAGE_SIZE")
