"""What a person may ask of a run, when, and how it is asked. Both screens' keys come here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.runs.run import Run
    from workbench.runs.state import State

PASSIVE = {"pause": "be paused", "stop": "be stopped", "kill": "be killed", "sample": "show a sample", "set": "be changed"}
VERBS = ("pause", "resume", "stop", "kill", "sample", "set")


def refusal(state: State, verb: str) -> str:
    """Why a run in this state cannot be told that; "" when it can."""
    if verb == "resume":
        if state.state == "paused" or state.state in ("stopped", "failed", "created"):
            return ""
        if state.state == "finished":
            return "All its work is done; a new run of its recipe starts from the beginning."
        if state.state == "away":
            return f"It is {state.message}: resume it there."
        return f"It is {state.state} already."
    if not state.alive:
        if state.state == "away":
            return f"It is {state.message}: ask it there."
        if state.state == "starting":
            return "Its process is being started: a moment yet."
        return f"It has ended ({state.state}), so it cannot {PASSIVE[verb]}." + (
            " r resumes it." if state.state in ("stopped", "failed") else ""
        )
    if verb in ("pause", "sample", "set") and state.state in ("queued", "starting"):
        return f"It is {state.state}: it can {PASSIVE[verb]} once it trains."
    if verb == "pause" and state.state == "paused":
        return "It is paused already; r goes on."
    if verb in ("pause", "sample", "set", "stop") and state.state == "stopping":
        return "It is stopping already."
    return ""


def ask(run: Run, verb: str, request: dict[str, Any] | None = None) -> tuple[str, str]:
    """Do it; returns what to tell the person, and the id of a command that will be answered, or "".

    Raises Problem. May wait for a process to start: call it from a thread.
    """
    from workbench.launch import start
    from workbench.runs.state import state_of

    if verb == "stop":
        if not start.has_trained(run):
            return ("The start was taken back: nothing of it is left." if start.cancel(run) else STOPPING), ""
        start.stop(run)
        return STOPPING, ""
    if verb == "kill":
        start.kill(run)
        return "Killed. What was logged and saved stays; r resumes from there.", ""
    if verb == "resume" and not state_of(run).alive:
        start.launch(run)
        return "It goes on from its last checkpoint.", ""
    return REPLIES[verb], start.command(run, verb, request)


STOPPING = "Stopping: it finishes its step and saves a checkpoint."
REPLIES = {
    "pause": "Pausing at its next step.",
    "resume": "It goes on.",
    "sample": "A sample comes after its next step.",
    "set": "It changes at its next step.",
}
