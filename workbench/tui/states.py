"""How the states of a run are written on screen: symbol, words, colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style

from workbench.events import CAUSES
from workbench.tui import palette

if TYPE_CHECKING:
    from workbench.runs import State

STATES: dict[str, tuple[str, Style]] = {
    "created": ("·", palette.dim),
    "queued": ("○", palette.dim),
    "starting": ("◌", palette.accent),
    "running": ("●", palette.good),
    "paused": ("‖", palette.warn),
    "stopping": ("◍", palette.warn),
    "finished": ("✓", palette.good),
    "stopped": ("■", palette.warn),
    "failed": ("✗", palette.bad),
    "away": ("◇", palette.violet),
}


def state_words(state: State) -> tuple[str, str, Style]:
    """A state as symbol, words and colour; a run that ended badly says why: `failed: out of memory …`."""
    symbol, style = STATES.get(state.state, ("?", palette.dim))
    words = state.state
    if state.state == "away":
        words = state.message
    elif state.host:
        words = f"{state.state} on {state.host}"
    elif state.state == "failed" or state.cause in ("sigterm", "patience"):
        words = f"{state.state}: {CAUSES.get(state.cause, state.cause)}" if state.cause else state.state
    return symbol, words, style
