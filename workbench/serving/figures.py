"""Figures of a variant: requests by code, latency, queue, batches. Counting one request costs a microsecond; reading them may cost more."""

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Seconds; upper ends of the histogram's buckets."""
REMEMBERED = 4096
"""Latest requests of which quantiles are made."""


@dataclass
class Figures:
    """What is counted since the variant began; only the latencies are of the latest requests."""

    codes: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0
    restarts: int = 0
    batches: int = 0
    """Batches that were answered, with `batched` requests in all."""
    batched: int = 0
    rows: int = 0
    queue_seconds: float = 0.0
    model_seconds: float = 0.0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    latest: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """(when, seconds) of the latest requests."""

    def count(self, code: int, seconds: float, now: float) -> None:
        """One request that was answered at `now` (time.monotonic)."""
        self.codes[code] += 1
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.latest.append((now, seconds))

    @property
    def requests(self) -> int:
        """All that were answered, with any code."""
        return self.codes.total()

    def quantiles(self, within: float = 10.0) -> dict[str, float]:
        """p50, p95 and p99 in seconds of the requests that were answered `within` so many seconds; {} where there were none."""
        since = time.monotonic() - within
        return quantiles(seconds for when, seconds in self.latest if when >= since)


def quantiles(times: Iterable[float]) -> dict[str, float]:
    """p50, p95 and p99 of some times; {} where there are none."""
    rising = sorted(times)
    return {f"p{part}": rising[min(len(rising) - 1, len(rising) * part // 100)] for part in (50, 95, 99)} if rising else {}
