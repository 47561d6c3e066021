"""Spans: when a run trained, or an endpoint served, by the states in its log."""

from typing import NamedTuple

import msgspec

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


class Spans(msgspec.Struct):
    """The spans of a log, from its states in their order."""

    working: tuple[str, ...] = ("running",)
    """The states in which it works."""
    closed: list[Span] = []
    open: Status | None = None
    """The state since which it works."""
    device: str = ""

    def turn(self, status: Status, last: float) -> None:
        """Take in a state. `last` is the clock of the line before it: an attempt that nobody saw end, ended with its last line."""
        anew = self.open is not None and status.attempt != self.open.attempt
        if self.open and (anew or status.state not in self.working):
            self.closed, self.open = self.upto(last if anew else status.clock), None
        if status.state in self.working and self.open is None:
            self.open = status
        self.device = status.device or self.device

    def upto(self, clock: float) -> list[Span]:
        """The spans until a clock, which ends the one that is open."""
        if self.open is None:
            return self.closed
        # Of one clock they cannot be negative; a damaged one must not make the sum infinite.
        return [*self.closed, Span(self.open.time, max(0.0, min(clock - self.open.clock, 1e12)), self.device, self.open.attempt)]
