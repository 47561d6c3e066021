"""EndpointFeed: follows one endpoint for its screen: its log in slices of time, its state and configuration, and what was asked of it."""

import math
import time
from bisect import bisect_right
from typing import Any, NamedTuple

from workbench.events import Answer, Mark, Table
from workbench.problems import Problem
from workbench.runs.history import History, Series
from workbench.runs.log import Tail
from workbench.serving import operate
from workbench.serving.endpoint import About, Config, Endpoint, state_of, up
from workbench.serving.rollout import shared

SLICE = 0.012
"""Seconds of reading in one slice, as a run's feed."""
RECENT = 60
"""Seconds that the table's counts are about."""
SPANS = (60, 300, 1800, 7200, 43200, 86400, 604800)
"""Seconds that the charts may show."""
Z = 1.959964
"""The standard normal quantile of 95 %."""


class VariantFigures(NamedTuple):
    """A row of the table of variants."""

    name: str
    label: str
    slot: int
    """Its colour."""
    weight: float
    """Its part of the traffic as it is set, from 0 to 1."""
    wanted: float | None
    """The part that was asked for and is not yet set."""
    shadow: bool
    requests: float
    """In the last RECENT seconds, since the weights were changed last."""
    share: float
    """Of those of all variants, the shadow aside."""
    half: float
    """Half the width of its 95 % interval."""
    rate: float
    p50: float | None
    p99: float | None
    refused: float
    """Answers with 4xx in the last RECENT seconds."""
    errors: float
    """And with 5xx."""
    alarms: int
    restarts: int


def wilson(part: float, total: float) -> tuple[float, float]:
    """A share and half the width of its 95 % score interval (Wilson 1927)."""
    if total <= 0:
        return 0.0, 1.0
    share = part / total
    return share, Z * math.sqrt(max(0.0, share * (1 - share)) / total + Z * Z / (4 * total * total)) / (1 + Z * Z / total)


class EndpointFeed:
    """Everything that the screen of an endpoint knows."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.history = History()
        self.tail = Tail(endpoint.events)
        self.log_problem = ""
        """Why the log cannot be read."""
        self.problem = ""
        """Why its directory cannot be read; "" when it can."""
        self.about = About()
        self.url = ""
        self.number = 0
        """Of its configuration."""
        self.config: Config | None = None
        self.up = 0.0
        self.asked: dict[str, str] = {}
        """The verbs of the commands that were sent from here and are not answered yet, by their ids."""
        self.wanted: dict[str, float] = {}
        """The shares that keys asked for and that are still to be sent."""
        self._sent: dict[str, float] = {}
        """Those that were sent and not answered yet."""
        self._slots: dict[str, int] = {}
        self.look()

    @property
    def caught_up(self) -> bool:
        return self.tail.caught_up or bool(self.log_problem)

    def read(self, budget: float | None = SLICE) -> int:
        """Read the log for about `budget` seconds; returns the number of new events."""
        before = self.history.version
        try:
            for events in self.tail.rows(budget):
                self.history.fold(events)
        except Problem as problem:
            self.log_problem = str(problem)
        return self.history.version - before

    def look(self) -> None:
        """Look at its state and configuration again."""
        endpoint = self.endpoint
        self.problem = ""
        try:
            self.state, self.up = state_of(endpoint), up(endpoint)
            self.about, self.url = endpoint.about, endpoint.url
            number = endpoint.current.config
            if number != self.number or self.config is None:
                self.config, self.number = endpoint.config(number), number
        except Problem as problem:
            self.problem = str(problem)

    # -- commands -------------------------------------------------------------------------------------------------------------------

    def send(self, verb: str, request: dict[str, Any] | None = None) -> None:
        """Ask the endpoint for something; `answers` says what became of it. Raises Problem where nobody would read it."""
        self.asked[operate.send(self.endpoint, verb, request)] = verb

    def awaits(self, verb: str = "") -> bool:
        """Whether a command of this screen, or one with this verb, is not answered yet."""
        return verb in self.asked.values() if verb else bool(self.asked)

    def answers(self) -> list[tuple[str, Answer]]:
        """The new answers to commands from here, each once, with its verb."""
        ours = [answer for answer in self.history.answers[-200:] if answer.command in self.asked] if self.asked else []
        answers = [(self.asked.pop(answer.command), answer) for answer in ours if answer.command in self.asked]
        if not self.awaits("weights"):
            self._sent = {}
        return answers

    def shift(self, name: str, by: float) -> None:
        """Want a larger or smaller share for a variant; the others have what is left. `push` sends it."""
        shadow = self.config.shadow if self.config else ""
        shares = self.wanted or self._sent or {key: share for key, share in self.weights().items() if key != shadow}
        share = round(min(1.0, max(0.0, shares.get(name, 0.0) + by)), 4)
        new = shared(shares, {name: share})
        self.wanted = {key: new[key] for key in (*shares, name)}

    def push(self) -> None:
        """Send the shares that are wanted, unless others are on their way: of a held key's presses the last one counts."""
        if self.wanted and not self.awaits("weights"):
            self._sent, self.wanted = self.wanted, {}
            self.send("weights", {"weights": self._sent})

    # -- figures --------------------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, float]:
        """The part of the traffic of each variant, as the newest change of the router's table says."""
        table = self.table("variants")
        if table is None:
            return {}
        return {str(row[0]): float(row[2]) for row in table.rows if len(row) > 2 and isinstance(row[2], int | float)}

    def table(self, tag: str) -> Table | None:
        """The newest table of this tag; None where there is none, or it has no rows."""
        samples = self.history.samples.get(tag)
        latest = samples.latest if samples else None
        return latest if isinstance(latest, Table) and latest.rows else None

    @property
    def now(self) -> float:
        """Seconds since it was made; of one that does not run, its last second."""
        return max(0.0, time.time() - self.about.created) if self.state.alive and self.about.created else float(self.history.step)

    def window(self, span: float) -> tuple[float, float]:
        """The seconds that the charts show. It moves in thirds, so that the curves stand still in between."""
        third = span / 3
        begin = max(0.0, math.floor(self.now / third) * third - 2 * third)
        return begin, begin + span

    def slot(self, name: str) -> int:
        """The colour of a variant: it keeps it."""
        return self._slots.setdefault(name, len(self._slots))

    def latest(self, tag: str) -> float | None:
        """The newest value of a scalar, where it is not older than RECENT."""
        series = self.history.series.get(tag)
        return series.values[-1] if series and series.steps[-1] > self.now - RECENT else None

    def since_change(self) -> float:
        """The second at which the weights were changed last."""
        marks = self.history.marks
        for before, mark in zip(marks[-2::-1], marks[:0:-1], strict=True):
            if _weights(before) != _weights(mark):
                return mark.step
        return marks[0].step if marks else -1

    def variants(self) -> list[VariantFigures]:
        """The rows of the table of variants."""
        if self.config is None:
            return []
        series, weights = self.history.series, self.weights()
        recent = self.now - RECENT
        since = max(recent, self.since_change())
        shadow = self.config.shadow
        requests = {plan.name: _sum(series.get(f"rate/{plan.name}"), since) for plan in self.config.variants}
        total = sum(count for name, count in requests.items() if name != shadow)
        rows = []
        for plan in self.config.variants:
            name = plan.name
            share, half = (0.0, 1.0) if name == shadow else wilson(requests[name], total)
            rows.append(
                VariantFigures(
                    name=name,
                    label=plan.label,
                    slot=self.slot(name),
                    weight=weights.get(name, 0.0),
                    wanted=(self.wanted or self._sent).get(name),
                    shadow=name == shadow,
                    requests=requests[name],
                    share=share,
                    half=half,
                    rate=self.latest(f"rate/{name}") or 0.0,
                    p50=self.latest(f"p50/{name}"),
                    p99=self.latest(f"p99/{name}"),
                    refused=_sum(series.get(f"4xx/{name}"), recent),
                    errors=_sum(series.get(f"errors/{name}"), recent),
                    alarms=int(self.history.last(f"drift/{name}") or 0),
                    restarts=int(self.latest(f"restarts/{name}") or 0),
                )
            )
        return rows

    def served(self, begin: float) -> list[str]:
        """The variants with requests since then, those that are gone as well, in the order of their colours."""
        names = [tag.removeprefix("rate/") for tag, series in self.history.series.items() if tag.startswith("rate/") and series]
        living = [name for name in names if self.history.series[f"rate/{name}"].steps[-1] >= begin]
        return sorted(living, key=self.slot)


def _weights(mark: Mark) -> dict[str, Any]:
    return {name: value for name, value in mark.settings.items() if name.startswith("weight/")}


def _sum(series: Series | None, since: float) -> float:
    """The sum of the values after a step."""
    return sum(series.values[bisect_right(series.steps, since) :]) if series else 0.0
