"""/metrics in Prometheus's text format. The figures are counted elsewhere and only read here; no label comes from a client."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.problems import missing
from workbench.serving.figures import BOUNDS

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError:
    raise missing("Serving", "prometheus-client", "serve") from None

if TYPE_CHECKING:
    from workbench.serving.router import Router

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Source = Callable[[], Iterable[Metric]]


def text(router: "Router") -> bytes:
    """All figures of a router and its variants."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(router))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, router: "Router") -> None:
        self._router = router

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        router, table = self._router, self._router.table
        names = ["variant"]
        codes = CounterMetricFamily("dlwb_requests", "Requests that were answered.", labels=["variant", "code"])
        latency = HistogramMetricFamily("dlwb_latency_seconds", "From the whole body to its answer.", labels=names)
        gauges = {
            name: GaugeMetricFamily(f"dlwb_{name}", about, labels=names)
            for name, about in (
                ("in_progress", "Requests that are not answered yet."),
                ("queue", "Requests that wait for the worker."),
                ("healthy", "1 where the variant answers."),
                ("weight", "Share of the traffic, from 0 to 1."),
                ("rss_bytes", "Memory of the worker."),
            )
        }
        counters = {
            name: CounterMetricFamily(f"dlwb_{name}", about, labels=names)
            for name, about in (
                ("batches", "Batches that went to the worker."),
                ("batched_requests", "Requests in these batches."),
                ("inputs", "Inputs in all requests."),
                ("model_seconds", "Time in the worker, by batch."),
                ("queue_seconds", "Time that requests waited for the worker."),
                ("restarts", "New processes in the place of dead ones."),
            )
        }
        for name, variant in table.variants.items():
            figures = variant.figures
            for code, count in sorted(figures.codes.items()):
                codes.add_metric([name, str(code)], count)
            total, buckets = 0, []
            for bound, count in zip((*BOUNDS, float("inf")), figures.buckets, strict=True):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
            latency.add_metric([name], buckets, figures.seconds)
            values = (figures.in_flight, variant.queued, variant.healthy, table.shares.get(name, 0.0), rss(variant.pid))
            for gauge, value in zip(gauges.values(), values, strict=True):
                gauge.add_metric([name], float(value))
            sums = (figures.batches, figures.batched, figures.rows, figures.model_seconds, figures.queue_seconds, figures.restarts)
            for counter, value in zip(counters.values(), sums, strict=True):
                counter.add_metric([name], float(value))
        refused = CounterMetricFamily("dlwb_refused_requests", "Requests that no variant got.", labels=["code"])
        for code, count in sorted(router.refused.codes.items()):
            refused.add_metric([str(code)], count)
        yield from (codes, latency, *gauges.values(), *counters.values(), refused)
        yield GaugeMetricFamily("dlwb_router_rss_bytes", "Memory of the router.", value=rss(os.getpid()))
        yield GaugeMetricFamily("dlwb_uptime_seconds", "Since the router began.", value=time.time() - router.began)
        for source in router.sources:
            yield from source()


def rss(pid: int) -> int:
    """Resident memory of a process in bytes; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
