"""Endpoints as the list shows them: state, address, variants, and the figures of the last minute, from the end of each log."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from workbench.events import Scalars, decode, whole
from workbench.problems import Problem, one_line
from workbench.runs import commands
from workbench.runs.state import State
from workbench.serving.endpoint import Endpoint, list_endpoints, state_of, up

MINUTE = 60
"""Seconds that the figures are about."""
TAIL = 1 << 17
"""Bytes at the end of a log that are read: two minutes of an endpoint with two variants."""


class Part(NamedTuple):
    """A variant and its part of the traffic."""

    name: str
    label: str
    share: float
    shadow: bool


class Listed:
    """An endpoint of the list; `look` reads it again."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.state = State(state="Stopped")
        self.problem = ""
        """Why its directory cannot be read; "" when it can."""
        self.url = ""
        self.config = 0
        self.up = 0.0
        self.parts: list[Part] = []
        self.rates: list[tuple[float, float]] = []
        """(Unix time, requests a second) of the last MINUTE seconds."""
        self.figures: dict[str, float] = {}
        """The newest of each tag."""
        self.errors = 0.0
        """Requests of the last minute that ended with an error of ours."""
        self.idle: float | None = None
        """Seconds since the last request; None where its log does not say."""
        self.idle_limit = 0.0
        self._read: tuple[int, int] = (-1, 0)

    @property
    def alarms(self) -> int:
        """Things that differ from the test inputs now."""
        return int(sum(value for tag, value in self.figures.items() if tag.startswith("drift/")))

    def look(self) -> None:
        """Read its state, and its log where that has grown."""
        endpoint = self.endpoint
        self.problem = ""
        try:
            self.state, self.up = state_of(endpoint), up(endpoint)
            about, current = endpoint.about, endpoint.current
            self.url, self.config, self.idle_limit = endpoint.url, current.config, about.idle
            size, now = commands.size_of(endpoint.events), int(time.time())
            if self._read != (size, now if self.state.alive else 0):
                self._read = size, now if self.state.alive else 0
                self._fold(_newest(endpoint), time.time())
            config = endpoint.config(current.config)
            weights = current.weights or config.weights(current.share or None)
            total = sum(weights.values()) or 1.0
            self.parts = [
                Part(
                    plan.name,
                    plan.label,
                    self.figures.get(f"weight/{plan.name}", weights.get(plan.name, 0.0) / total),
                    plan.name == config.shadow,
                )
                for plan in config.variants
            ]
        except Problem as problem:
            self.problem = str(problem)

    def _fold(self, lines: list[Scalars], now: float) -> None:
        """The figures of the last minute."""
        self.figures, self.errors, self.idle = {}, 0.0, None
        self.rates = []
        for line in lines:
            self.figures |= line.values
            rate = line.values.get("rate", 0.0)
            if rate > 0:
                self.idle = max(0.0, now - line.time)
            if line.time > now - MINUTE and "rate" in line.values:
                self.rates.append((line.time, rate))
                self.errors += line.values.get("errors", 0.0)


def _newest(endpoint: Endpoint) -> list[Scalars]:
    """The scalars in the last TAIL bytes of a log."""
    end = commands.size_of(endpoint.events)
    start = max(0, end - TAIL)
    scalars: list[Scalars] = []
    for line in commands.part(endpoint.events, start, end - start).split(b"\n"):
        body = whole(line)
        event = decode(body) if body else None
        if isinstance(event, Scalars):
            scalars.append(event)
    return scalars


def refreshed(known: dict[str, Listed]) -> Iterator[dict[str, Listed]]:
    """Look at every endpoint again, one at a time; the last yield is whole. Those that are known stay the same objects."""
    listed: dict[str, Listed] = {}
    for endpoint in list_endpoints():
        entry = known.get(endpoint.id) or Listed(endpoint)
        entry.look()
        listed[endpoint.id] = entry
        yield {**known, **listed}
    yield listed


def words(entry: Listed) -> str:
    """All that the filter finds."""
    return one_line(" ".join([entry.endpoint.id, entry.state.state, entry.url, *(part.label for part in entry.parts)]), 2000)
