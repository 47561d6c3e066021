"""What a person can ask of a run, in which states, and how. The keys of the run's screen and of the list use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.runs.commands import PASSIVE, QUEUEING

if TYPE_CHECKING:
    from workbench.launch.queueing import Waiting
    from workbench.runs.comparisons import Comparison
    from workbench.runs.run import Run
    from workbench.runs.state import State
    from workbench.runs.tunings import Tuning

VERBS = ("pause", "resume", "step", "stop", "kill", "sample", "set")


def refusal(state: State, verb: str) -> str:
    """Why a run in this state refuses this command; "" when it accepts it."""
    if verb == "resume":
        if state.state == "paused" or state.state in ("stopped", "failed", "created"):
            return ""
        if state.state == "finished":
            return "This run has finished all its steps; start a new run of its recipe instead."
        if state.state == "away":
            return f"This run is {state.message}: resume it there."
        return f"This run is already {state.state}."
    if not state.alive:
        if state.state == "away":
            return f"This run is {state.message}: use dlwb there."
        if state.state == "starting":
            return "Its process is starting: wait a moment."
        return f"This run has ended ({state.state}): it cannot {PASSIVE[verb]}." + (
            " r resumes it." if state.state in ("stopped", "failed") else ""
        )
    if verb in ("pause", "sample", "set") and state.state in ("queued", "starting"):
        return f"This run is {state.state}: it can {PASSIVE[verb]} when it trains."
    if verb == "step" and state.state != "paused":
        return "Only a paused run makes single steps: p pauses it first." if state.state == "running" else f"This run is {state.state}."
    if verb == "pause" and state.state == "paused":
        return "This run is already paused; r resumes it."
    if verb in ("pause", "sample", "set", "stop") and state.state == "stopping":
        return "This run is already stopping."
    return ""


def no_place(waiting: Waiting | None, verb: str) -> str:
    """Why a run cannot be held, released or moved to the front of the queue; "" when it can."""
    if waiting is None:
        return f"This run does not wait for a GPU: it cannot {PASSIVE[verb]}."
    return "This run is at the front already." if verb == "first" and waiting.place == 1 else ""


def no_endpoint(run: Run, state: State) -> str:
    """Why a run cannot become an endpoint now; "" when it can."""
    from workbench.tui.models import answering

    return "It still trains: when it has finished, v serves its best weights." if state.alive else answering.no_weights(run)


def ask(run: Run, verb: str, request: dict[str, Any] | None = None) -> tuple[str, str]:
    """Send the command; returns a sentence for the person, and the id of a command that the run will answer, or "".

    Raises Problem. It may wait for a process to start: call it from a thread.
    """
    from workbench.launch import queueing, start
    from workbench.runs import own
    from workbench.runs.state import state_of

    if verb in QUEUEING:
        return queueing.ask(run, verb), ""
    if verb in ("stop", "kill") and own.is_own_run(run):
        (start.stop if verb == "stop" else start.kill)(run)
        return own.STOPPING if verb == "stop" else own.KILLED, ""
    if verb == "stop":
        # Before the first step a run holds nothing: stopping it undoes the start, so that no empty run stays in the list.
        if not start.has_trained(run):
            return ("The start is canceled: nothing of the run is left." if start.cancel(run) else STOPPING), ""
        start.stop(run)
        return STOPPING, ""
    if verb == "kill":
        start.kill(run)
        return "Killed. Its log and checkpoints stay; r resumes from the last checkpoint.", ""
    if verb == "resume" and not state_of(run).alive:
        return start.launch(run) or "The run resumes from its last checkpoint.", ""
    return REPLIES[verb], start.command(run, verb, request)


def comparison_refusal(state: State, verb: str) -> str:
    """Why a comparison in this state refuses `stop` or `resume`; "" when it accepts it."""
    if verb == "stop":
        return "" if state.state == "running" else f"This comparison is {state.state}: there is nothing to stop."
    if state.alive:
        return f"This comparison is already {state.state}."
    return "All its runs have finished; start another comparison instead." if state.state == "finished" else ""


def ask_comparison(comparison: Comparison, verb: str) -> str:
    """Stop a comparison, or resume it; returns a sentence for the person. Raises Problem."""
    from workbench.launch import comparing, group_process

    if verb == "stop":
        group_process.stop(comparison)
        return "The comparison stops: its run finishes its step and saves a checkpoint, and no other one starts."
    comparing.begin(comparison)
    return "The comparison trains what is missing."


def tuning_refusal(state: State, verb: str) -> str:
    """Why a tuning in this state refuses `stop` or `resume`; "" when it accepts it."""
    if verb == "stop":
        return "" if state.state == "running" else f"This tuning is {state.state}: there is nothing to stop."
    if state.alive:
        return f"This tuning is already {state.state}."
    return "All its trials have ended; `dlwb tuning resume --trials N` adds more." if state.state == "finished" else ""


def ask_tuning(tuning: Tuning, verb: str) -> str:
    """Stop a tuning, or resume it; returns a sentence for the person. Raises Problem."""
    from workbench.launch import group_process
    from workbench.launch import tuning as launch

    if verb == "stop":
        group_process.stop(tuning)
        return "The tuning stops: its runs finish their steps and save checkpoints, and no other one starts."
    launch.begin(tuning)
    return "The tuning goes on."


STOPPING = "Stopping: the run finishes its step and saves a checkpoint."
REPLIES = {
    "pause": "The run pauses at its next step.",
    "resume": "The run goes on.",
    # A held key would fill the corner with notices, and every panel shows that it was done.
    "step": "",
    "sample": "A sample comes after the next step.",
    "set": "The settings change at the next step.",
}
