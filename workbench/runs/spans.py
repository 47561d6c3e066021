"""Spans: when a run trained, or an endpoint served, by the states in its log."""

from collections.abc import Collection
from typing import NamedTuple

from workbench.events import Status


class Span(NamedTuple):
    """A time in which it worked: it did not wait, start or pause."""

    began: float
    """Wall time, seconds."""
    seconds: float
    """By the monotonic clock, so that neither sleep nor a changed clock counts."""
    device: str = ""
    """On what, as `cuda:0 NVIDIA H200`; several as `cuda:0,cuda:1 NVIDIA H200`."""
    attempt: int = 1


class Spans:
    """The spans of a log, from its states in their order."""

    def __init__(self, working: Collection[str] = ("running",)) -> None:
        self.working = working
        """The states in which it works."""
        self._closed: list[Span] = []
        self._open: Status | None = None
        """The state since which it works."""
        self._device = ""

    def turn(self, status: Status, last: float) -> None:
        """Take in a state. `last` is the clock of the line before it: an attempt that nobody saw end, ended with its last line."""
        anew = self._open is not None and status.attempt != self._open.attempt
        if self._open and (anew or status.state not in self.working):
            self._closed, self._open = self.upto(last if anew else status.clock), None
        if status.state in self.working and self._open is None:
            self._open = status
        self._device = status.device or self._device

    def upto(self, clock: float) -> list[Span]:
        """The spans until a clock, which ends the one that is open."""
        if self._open is None:
            return self._closed
        # Of one clock they cannot be negative; a damaged one must not make the sum infinite.
        return [*self._closed, Span(self._open.time, max(0.0, min(clock - self._open.clock, 1e12)), self._device, self._open.attempt)]
