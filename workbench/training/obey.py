"""What people ask of a live run, applied between two steps: each command once, and answered by an event."""

import traceback
from collections.abc import Callable
from typing import Any, Protocol

from pydantic import ValidationError

from workbench.events import Answer, Event, Status
from workbench.problems import Problem, first_fault, one_line
from workbench.runs.commands import Command, Inbox
from workbench.training.cadence import Place
from workbench.training.project import Project, Settings
from workbench.training.stepping import Stepping, wanted


class Obedient(Protocol):
    """The loop, as commands need it."""

    project: Project
    inbox: Inbox
    place: Place
    ending: Status | None
    paused: bool
    stepping: Stepping | None

    def say(self, event: Event, split: str = "") -> None: ...
    def sample(self, request: Settings | None = None) -> None: ...
    def change(self, settings: dict[str, Any], text: str = "", command: str = "") -> None: ...
    def save(self, *, pinned: bool = False) -> None: ...
    def turn(self, state: str, *, announce: bool = True, **more: Any) -> None: ...


def obey(loop: Obedient, command: Command) -> None:
    """Apply one command at this step, and answer it."""
    answer(loop, command.id, lambda: _do(loop, command), harmless=command.verb == "sample")


def answer(loop: Obedient, command: str, act: Callable[[], str | None], *, harmless: bool) -> None:
    """Do what a command asks, and answer it with what `act` says, or with its error; None where the answer comes later, or came already.

    After any error in what is `harmless` the run goes on, as it has changed nothing; after others nobody knows its state.
    """
    ok = True
    try:
        message = act()
    except Problem as problem:
        # Without room for a checkpoint or a line the run has to end.
        if problem.cause == "disk-full":
            raise
        ok, message = False, str(problem)
    except ValidationError as error:
        ok, message = False, first_fault(error)
    except Exception as error:
        if not harmless:
            raise
        traceback.print_exc()
        ok, message = False, f"{type(error).__name__}: {one_line(str(error))}"
    if message is not None:
        loop.say(Answer(command=command, ok=ok, message=message))


def _do(loop: Obedient, command: Command) -> str | None:
    """What to answer; None where that is done already."""
    match command.verb:
        case "stop":
            loop.ending = loop.ending or Status(state="stopped", cause="person", message="Stopped by a person; saved.")
        case "pause":
            return _pause(loop, command)
        case "resume" if loop.paused:
            loop.say(Answer(command=command.id, message="goes on"))
            loop.paused = False
            loop.turn("running", from_step=loop.place.step)
            return None
        case "resume":
            return "It is not paused."
        case "step":
            if not loop.paused:
                raise Problem("It is running, and only a paused run makes single steps.", "Pause it first.")
            if loop.stepping:
                raise Problem("It still makes the steps that were asked before.", "Ask again when they are done.")
            loop.stepping = Stepping(command.id, loop.place.step, wanted(command.request))
            return None
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


def _pause(loop: Obedient, command: Command) -> str | None:
    """Save, and wait from here on; a pause among the steps of a paused run ends them."""
    if loop.stepping:
        loop.say(Answer(command=loop.stepping.command, message=loop.stepping.cut(loop.place.step, "paused")))
        loop.stepping = None
    elif loop.paused:
        return "It is paused already."
    # Answered before the checkpoint, which may take seconds.
    loop.say(Answer(command=command.id, message="paused"))
    loop.save()
    loop.turn("paused")
    loop.paused = True
    return None
