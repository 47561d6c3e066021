"""Bell and desktop notice of the terminal program: at most one a minute; what comes within the minute is joined into one."""

import time

from workbench import terminal
from workbench.runs import signals

MINUTE = 60.0
"""Seconds between two bells."""
NAMED = 3
"""How many of the joined texts a notice says."""


class Ringing:
    """What there is to ring for, and when it was rung last."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._rung = -MINUTE
        self._stamp = time.time_ns()
        """Of the newest signal that was read: those before this program opened are no news."""

    def add(self, text: str) -> None:
        """Something to ring for."""
        self._texts.append(text)

    def meanwhile(self) -> list[signals.Signal]:
        """The new signals of runs that go on: their ends are seen by their locks, also where nobody could give a signal."""
        new = signals.since(self._stamp)
        self._stamp = max([self._stamp, *(stamp for stamp, _ in new)])
        return [signal for _, signal in new if signal.what in ("bar", "stall")]

    def due(self, how: str) -> str:
        """The sequence for the terminal, by the preference `notice`; "" where nothing is to be rung, or not yet."""
        if not self._texts or time.monotonic() < self._rung + MINUTE:
            return ""
        texts, self._texts = self._texts, []
        if how == "off":
            return ""
        self._rung = time.monotonic()
        more = f"; and {len(texts) - NAMED} more" * (len(texts) > NAMED)
        return terminal.BELL + (terminal.notice("; ".join(texts[:NAMED]) + more) if how == "notice" else "")
