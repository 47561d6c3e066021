"""The server of an endpoint: `python -m workbench.serving.host ENDPOINT`, started by its supervisor. One life of it, from start to stop.

It polls control.jsonl, hands what is asked to `changes`, and writes the figures of each second.
"""

import asyncio
import contextlib
import faulthandler
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from workbench.events import Answer, Event, Mark, Status
from workbench.formatting import short
from workbench.problems import Problem, one_line
from workbench.runs import lock
from workbench.runs.commands import Command, Inbox
from workbench.runs.log import EventLog
from workbench.serving import headers, server
from workbench.serving.changes import Changes
from workbench.serving.endpoint import Endpoint
from workbench.serving.recording import AccessLog, Captures
from workbench.serving.rollout import Change
from workbench.serving.router import Answered, Router
from workbench.serving.seconds import Seconds
from workbench.serving.watching import Watching

EVERY = 0.1
"""Seconds between two looks at control.jsonl."""
FIRST_WAIT = 10.0
"""Seconds that clients of a server that died wait for the new one's variants before they get a 503."""


class Host:
    """One life of an endpoint's server."""

    def __init__(self, endpoint: Endpoint, held: lock.Lock, death: str = "") -> None:
        self.endpoint, self.lock, self.death = endpoint, held, death
        self.holder = lock.content(endpoint.lock)
        self.about = endpoint.about
        self.log = EventLog(endpoint.path)
        self.answers = 0
        """Requests that were answered, with any code; the lines of the access log."""
        self.access = AccessLog(endpoint.access)
        self.captures = Captures(endpoint.captures, 0.0)
        self.changes = Changes(self)
        token = headers.token_for(self.about.host)
        hosts = headers.OWN_HOSTS | {name.encode() for name in _names(self.about.host)}
        self.router = Router(endpoint.id, self.changes.table({}), hosts=hosts, token=token)
        self.router.on_answer.append(self._answered)
        self.ending: dict[str, str] = {}
        self._inbox = Inbox(endpoint.control, self.changes.current.offset)
        self._asked = time.monotonic()
        self._origin = max(0.0, time.time() - self.about.created) - time.monotonic()
        self._state = ("", "")
        self._seconds = Seconds(self)
        self._watching = Watching(self)

    # -- life -----------------------------------------------------------------------------------------------------------------------

    async def work(self, listening: socket.socket, stop: asyncio.Event) -> dict[str, str]:
        """Serve until somebody stops it; returns what exit.json will say."""
        self.turn("Creating", self.death)
        if self.death:
            self.mark(f"restart: {self.death}")
        if self.changes.current.doing:
            self.answer(self.changes.current.doing, False, "The server died before this was done.")
            self.changes.keep(doing="")
        stopped = asyncio.Event()
        opening = asyncio.ensure_future(self.changes.begin())
        if self.death:
            # Clients that come meanwhile wait in the backlog of the socket, and are answered.
            await asyncio.wait((opening,), timeout=FIRST_WAIT)
        serving = asyncio.ensure_future(server.serve(self.router, listening, stopped))
        try:
            while not opening.done() and not stop.is_set() and not serving.done():
                await asyncio.wait((opening, serving), timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
                await self._watch(stop, serving)
            self.ending = self.ending or {"state": "Stopped", "cause": "sigterm", "message": "Asked to end by SIGTERM."}
        except Problem as problem:
            self.ending = _failed(problem)
        finally:
            stopped.set()
            opening.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await serving
            await self.changes.close()
            self._flush()
            self._seconds.write(last=True)
        self.turn(self.ending["state"], self.ending["message"], self.ending["cause"], self.ending.get("hint", ""))
        self.log.close()
        return self.ending

    async def _watch(self, stop: asyncio.Event, serving: "asyncio.Future[None]") -> None:
        second = time.monotonic()
        while not self.ending and not stop.is_set():
            await asyncio.sleep(EVERY)
            if serving.done():
                serving.result()  # an error of the server's own
                return
            for command in self._inbox.poll():
                self.changes.keep(offset=self._inbox.offset)
                self._obey(command)
            if (now := time.monotonic()) >= second + 1:
                second = max(second + 1, now - 1)
                self._flush()
                self._seconds.write()
                self.changes.look(now)
                self._watching.look()
                self._look_whether_idle(now - self._asked)

    def _look_whether_idle(self, idle: float) -> None:
        if self.about.idle and idle > self.about.idle and not self.router.in_flight and not self.changes.busy:
            self.ending = {"state": "Stopped", "cause": "idle", "message": f"Nobody asked it anything for {short(idle)}."}

    def _flush(self) -> None:
        self.access.flush()
        self.captures.flush()

    def _answered(self, answered: Answered) -> None:
        """After each answer was sent."""
        self._asked = time.monotonic()
        self.answers += 1
        self.access.saw(answered)
        request, reply, shadow = answered.request, answered.reply, self.changes.shadow
        if request is None or reply is None:
            return
        if self.captures.share:
            self.captures.saw(request, reply, answered.variant)
        if shadow and answered.variant != shadow.variant.name:
            shadow.saw(request, reply, answered.variant)
        self.changes.saw(answered, reply.code)
        self._watching.saw(answered.id, self.changes.variants.get(answered.variant), reply)

    def _obey(self, command: Command) -> None:
        """Do what a person asks, or begin to: an Answer in the log says when it is done."""
        try:
            if command.verb == "stop":
                self.ending = {"state": "Stopped", "cause": "person", "message": "Stopped by a person."}
                self.answer(command.id, True, "stops")
            elif command.verb == "weights":
                self.changes.weigh(msgspec.convert(command.request.get("weights"), dict[str, float]), command.id)
            elif command.verb == "rollback":
                self.changes.roll_back(msgspec.convert(command.request.get("to", 0), int), command.id)
            elif command.verb == "feedback":
                labels = msgspec.convert(command.request.get("labels"), dict[str, str])
                self.answer(command.id, True, self._watching.label(labels))
            elif command.verb == "update":
                self.changes.update(msgspec.convert(command.request, Change), command.id)
            else:
                raise Problem(f"An endpoint cannot {one_line(command.verb, 40)!r}.")
        except Problem as problem:
            self.answer(command.id, False, str(problem))
        except msgspec.ValidationError as error:
            self.answer(command.id, False, f"That cannot be read: {one_line(str(error), 200)}.")

    def alarm(self, text: str, variant: str = "") -> None:
        """Something is over its limit, as drift or accuracy. A canary is taken back where it is about it."""
        canary = self.changes.config.canary
        if canary and self.changes.judge and variant == canary.variant and not self.changes.busy:
            self.changes.take_back(text)
        else:
            self.mark(f"alarm: {text}")

    # -- log ------------------------------------------------------------------------------------------------------------------------

    def write(self, event: Event) -> None:
        """Add an event to the log, at this second of the endpoint's life. A disk that is full does not stop an endpoint."""
        event.step = max(0, int(self._origin + time.monotonic()))
        with contextlib.suppress(Problem, OSError):
            self.log.write(event)

    def mark(self, text: str, *, command: str = "", config: int = 0) -> None:
        """A line of the timeline."""
        settings: dict[str, Any] = {f"weight/{name}": share for name, share in self.router.table.shares.items()}
        if config:
            settings["config"] = config
        self.write(Mark(text=one_line(text, 400), settings=settings, command=command))

    def answer(self, command: str, ok: bool, message: str) -> None:
        """What became of a command."""
        self.write(Answer(command=command, ok=ok, message=one_line(message, 600)))

    def turn(self, state: str, message: str = "", cause: str = "", hint: str = "") -> None:
        """Say how the endpoint is, in its log and for lists that do not read it."""
        if (state, message) == self._state:
            return
        self._state = (state, message)
        self.holder.update(state=state, message=message, worker={"pid": os.getpid(), "ticks": lock.start_ticks(os.getpid())})
        self.lock.write(self.holder)
        attempt = self.holder.get("attempt", 1)
        self.write(Status(state=state, message=one_line(message), cause=cause, hint=hint, attempt=attempt))


def _names(host: str) -> set[str]:
    """What clients may call this machine where it listens at `host`; all its names where that is every address."""
    names = {host, f"[{host}]"}
    if host in ("0.0.0.0", "::"):
        own = socket.gethostname()
        with contextlib.suppress(OSError):
            names |= {own, *(str(address[4][0]) for address in socket.getaddrinfo(own, None))}
    return names


def _failed(problem: Problem) -> dict[str, str]:
    return {"state": "Failed", "cause": problem.cause, "message": problem.message, "hint": problem.hint}


def _handed(name: str) -> int:
    file = int(os.environ.pop(name))
    os.set_inheritable(file, False)
    return file


def main(path: Path) -> int:
    """Serve an endpoint; the report goes to the supervisor's pipe."""
    faulthandler.enable()
    report, held = _handed("DLWB_REPORT"), lock.Lock(_handed("DLWB_LOCK"))
    listening = socket.socket(fileno=_handed("DLWB_SOCKET"))
    try:
        ending = server.run(lambda stop: Host(Endpoint(path), held, os.environ.pop("DLWB_DEATH", "")).work(listening, stop))
    except Problem as problem:
        ending = _failed(problem)
    with contextlib.suppress(OSError):
        os.write(report, msgspec.json.encode(ending))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
