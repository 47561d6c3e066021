"""What people ask of a live run, applied between two steps: each command once, and answered by an event."""

import time
import traceback
from typing import Any, Protocol

from pydantic import ValidationError

from workbench.events import Answer, Event, Status
from workbench.problems import Problem, first_fault, one_line
from workbench.runs.commands import Command, Inbox
from workbench.training.cadence import POLL, Place
from workbench.training.project import Project, Settings


class Obedient(Protocol):
    """The loop, as commands need it."""

    project: Project
    inbox: Inbox
    place: Place
    ending: Status | None
    terminate: bool

    def say(self, event: Event, split: str = "") -> None: ...
    def sample(self, request: Settings | None = None) -> None: ...
    def change(self, settings: dict[str, Any], text: str = "", command: str = "") -> None: ...
    def save(self, *, pinned: bool = False) -> None: ...
    def turn(self, state: str, *, announce: bool = True, **more: Any) -> None: ...


def obey(loop: Obedient, command: Command) -> None:
    """Apply one command at this step, and answer it."""
    ok = True
    try:
        message = _do(loop, command)
    except Problem as problem:
        # Without room for a checkpoint or a line the run has to end.
        if problem.cause == "disk-full":
            raise
        ok, message = False, str(problem)
    except ValidationError as error:
        ok, message = False, first_fault(error)
    except Exception as error:
        # Only a sample is sure to have changed nothing: after an error in anything else nobody knows the state.
        if command.verb != "sample":
            raise
        traceback.print_exc()
        ok, message = False, f"{type(error).__name__}: {one_line(str(error))}"
    if message is not None:
        loop.say(Answer(command=command.id, ok=ok, message=message))


def _do(loop: Obedient, command: Command) -> str | None:
    """What to answer; None where that is done already."""
    match command.verb:
        case "stop":
            loop.ending = loop.ending or Status(state="stopped", cause="person", message="Stopped by a person; saved.")
        case "pause":
            _pause(loop, command)
            return None
        case "resume":
            return "It is not paused."
        case "sample":
            loop.sample(loop.project.Request.model_validate(command.request))
        case "set":
            loop.change(command.request, command=command.id)
        case "checkpoint":
            loop.save(pinned=True)
            return f"kept: step {loop.place.step}"
        case "kill":  # its supervisor's and the kernel's matter
            pass
        case _:
            raise Problem(f"{one_line(command.verb, 40)} is not a command.")
    return ""


def _pause(loop: Obedient, command: Command) -> None:
    """Save and wait; other commands are obeyed meanwhile."""
    # Answered before the checkpoint, which may take seconds.
    loop.say(Answer(command=command.id, message="paused"))
    loop.save()
    loop.turn("paused")
    # SIGTERM ends a pause, too: the loop then saves.
    while not loop.ending and not loop.terminate:
        for asked in loop.inbox.poll():
            if asked.verb == "resume":
                loop.say(Answer(command=asked.id, message="goes on"))
                return loop.turn("running", from_step=loop.place.step)
            if asked.verb == "pause":
                loop.say(Answer(command=asked.id, message="It is paused already."))
            else:
                obey(loop, asked)
        time.sleep(POLL)
