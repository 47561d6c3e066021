"""What an endpoint's log says of drift: workers say what they have seen, late labels are compared, alarms are marked."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.events import Scalars, Table
from workbench.problems import Problem, nearest, one_line
from workbench.serving.messages import Reply
from workbench.serving.variant import Variant

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from workbench.serving.host import Host

EVERY = 1.0
"""Seconds between two questions to the workers."""
REMEMBERED = 20_000
"""Answers that wait for a label, the newest ones."""
MARKED = 5
"""Alarms of a variant that stand in the timeline at once: a text in another language drifts by every word. The tables have all."""
COLUMNS = ["variant", "what", "statistic", "from", "to", "p", "PSI", "level", "since"]
"""Of the tables `drift` and `words`; an observer's rows have all but the first."""


class Watching:
    """Drift of the variants that serve."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._answers: OrderedDict[str, tuple[Variant, str]] = OrderedDict()
        self._alarms: dict[str, set[str]] = {}
        self._marked: dict[str, set[str]] = {}
        self._written: dict[str, list[list[Any]]] = {}
        self._values: dict[str, float] = {}
        self._asking: asyncio.Task[None] | None = None
        host.router.sources.append(self._metrics)

    def saw(self, identity: str, variant: Variant | None, reply: Reply) -> None:
        """Remember an answer, for a label that comes later; of several inputs in one request no label could say which it means."""
        if variant and reply.code == 200 and reply.rows == 1 and reply.answers:
            self._answers[identity] = (variant, str(reply.answers[0]))
            if len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)

    def label(self, labels: dict[str, str]) -> str:
        """Tell the variants that answered what was right; says how many of them were known. Problem for a label that is no answer."""
        for identity, truth in labels.items():
            if identity in self._answers:
                _insist(self._answers[identity][0], truth)
        known = 0
        for identity, truth in labels.items():
            if entry := self._answers.pop(identity, None):
                known += 1
                variant, answer = entry
                variant.tell(answer, truth)
        return f"{known} of {len(labels)} labels belong to answers that are remembered"

    def look(self) -> None:
        """Ask the workers, unless they are still being asked."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        variants = list(self._host.changes.variants.values())
        drift: list[list[Any]] = []
        words: list[list[Any]] = []
        values: dict[str, float] = {}
        alarms: dict[str, set[str]] = {}
        for variant in variants:
            report = await variant.stats()
            if not report:
                continue
            drift += [[variant.name, *row] for row in report["rows"]]
            words += [[variant.name, *row] for row in report["words"]]
            values[f"drift/{variant.name}"] = float(len(report["alarms"]))
            if "accuracy" in report:
                values[f"accuracy/{variant.name}"] = report["accuracy"]
            alarms[variant.name] = set(report["alarms"])
        if values != self._values:
            self._values = values
            self._host.write(Scalars(values=values))
        for tag, rows in (("drift", drift), ("words", words)):
            if rows != self._written.get(tag, []):
                self._written[tag] = rows
                self._host.write(Table(tag=tag, columns=COLUMNS, rows=rows))
        self._mark(alarms)

    def _mark(self, alarms: dict[str, set[str]]) -> None:
        """An alarm is marked once, by what it is about: its figures change from window to window."""
        for name, texts in alarms.items():
            marked = self._marked.setdefault(name, set())
            for about in sorted(marked - {_about(text) for text in texts}):
                marked.remove(about)
                self._host.mark(f"clear: {name}: {about}")
            for text in sorted(texts):
                if _about(text) not in marked and len(marked) < MARKED:
                    marked.add(_about(text))
                    self._host.alarm(f"{name}: {text}", name)
        self._alarms = alarms
        self._marked = {name: self._marked[name] for name in alarms}

    def _metrics(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        gauge = GaugeMetricFamily("dlwb_drift_alarms", "Things that differ from the test inputs.", labels=["variant"])
        for name, texts in self._alarms.items():
            gauge.add_metric([name], len(texts))
        yield gauge


def _about(alarm: str) -> str:
    return alarm.partition(":")[0]


def _insist(variant: Variant, truth: str) -> None:
    """Problem where a model never answers so: a slip of the pen must not count as its mistake."""
    labels = variant.folder.labels()
    if not labels:
        raise Problem(f"{variant.folder.label} answers no classes, so no label can be compared with its answers.", "", "data")
    if truth not in labels:
        near = nearest(truth, labels) or f". There are: {one_line(', '.join(labels), 400)}."
        raise Problem(f"{one_line(truth, 60)!r} is no answer of {variant.folder.label}{near}", "", "data")
