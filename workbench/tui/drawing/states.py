"""How the states of a run and of an endpoint look on screen: symbol, words, colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style

from workbench.events import CAUSES
from workbench.tui.drawing import palette

if TYPE_CHECKING:
    from workbench.runs.state import State

# Each state has a symbol of its own, so that nobody needs to tell colours apart.
STATES = {
    "created": ("·", "dim"),
    "queued": ("○", "dim"),
    "starting": ("◌", "accent"),
    "running": ("●", "good"),
    "paused": ("‖", "warn"),
    "stopping": ("◍", "warn"),
    "finished": ("✓", "good"),
    "stopped": ("■", "warn"),
    "failed": ("✗", "bad"),
    "away": ("◇", "violet"),
    "Creating": ("◌", "accent"),
    "InService": ("●", "good"),
    "Updating": ("◍", "accent"),
    "RollingBack": ("◍", "warn"),
    "Stopped": ("■", "dim"),
    "Deleted": ("·", "dim"),
    "Failed": ("✗", "bad"),
    "damaged": ("✗", "bad"),
}


def state_style(state: str) -> Style:
    """The colour of a state."""
    style: Style = getattr(palette, STATES.get(state, ("", "dim"))[1])
    return style


def state_words(state: State) -> tuple[str, str, Style]:
    """A state as symbol, words and colour; a failed run gives the reason: `failed: out of memory …`."""
    symbol = STATES.get(state.state, ("?", ""))[0]
    words = state.state
    if state.state == "away":
        words = state.message
    elif state.host:
        words = f"{state.state} on {state.host}"
    # A person who stops a run knows why; these causes came from elsewhere.
    elif state.state in ("failed", "Failed") or state.cause in ("sigterm", "patience"):
        words = f"{state.state}: {CAUSES.get(state.cause, state.cause)}" if state.cause else state.state
    return symbol, words, state_style(state.state)
