"""The server of an endpoint: `python -m workbench.serving.host ENDPOINT`, started by its supervisor. Router, variants, and what changes them.

It polls control.jsonl, starts and checks new variants, swaps the router's table, judges canaries, and writes the figures of each second.
"""

import asyncio
import contextlib
import faulthandler
import os
import random
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from workbench.encoding import model_folder, model_store
from workbench.events import Answer, Event, Mark, Status, Table
from workbench.formatting import short
from workbench.problems import Problem, one_line
from workbench.runs import lock
from workbench.runs.commands import Command, Inbox
from workbench.runs.log import EventLog
from workbench.serving import headers, routing, server
from workbench.serving.endpoint import Config, Endpoint, VariantPlan
from workbench.serving.recording import AccessLog, Captures, Shadow
from workbench.serving.rollout import Change, Judge, changed, reweighted
from workbench.serving.router import Answered, Router
from workbench.serving.seconds import Seconds
from workbench.serving.variant import Variant

EVERY = 0.1
"""Seconds between two looks at control.jsonl."""
FIRST_WAIT = 3.0
"""Seconds that clients of a server that died wait for the new one's variants before they get a 503."""
DRAIN = 30.0
LEAST_FOR_P99 = 50
"""Requests of a canary before its p99 is judged."""


class Host:
    """One life of an endpoint's server."""

    def __init__(self, endpoint: Endpoint, held: lock.Lock, death: str = "") -> None:
        self.endpoint, self.lock, self.death = endpoint, held, death
        self.holder = lock.content(endpoint.lock)
        self.about, self.current = endpoint.about, endpoint.current
        self.config = endpoint.config(self.current.config)
        self.log = EventLog(endpoint.path)
        self.chance = random.Random()
        self.variants: dict[str, Variant] = {}
        self.leaving: list[Variant] = []
        """Variants that answer what they have and then go."""
        self.answers = 0
        """Requests that were answered, with any code; the lines of the access log."""
        token = headers.token_for(self.about.host)
        hosts = headers.OWN_HOSTS | {self.about.host.encode()}
        self.router = Router(endpoint.id, self._table({}), hosts=hosts, token=token)
        self.router.on_answer.append(self._answered)
        self.access = AccessLog(endpoint.access)
        self.captures = Captures(endpoint.captures, self.config.capture)
        self.shadow: Shadow | None = None
        self.judge: Judge | None = None
        self.ending: dict[str, str] = {}
        self._inbox = Inbox(endpoint.control, self.current.offset)
        self._changing: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._others = [0, 0]
        self._stage = 0.0
        self._asked = time.monotonic()
        self._origin = max(0.0, time.time() - self.about.created) - time.monotonic()
        self._state = ""
        self._seconds = Seconds(self)

    # -- life -----------------------------------------------------------------------------------------------------------------------

    async def work(self, listening: socket.socket, stop: asyncio.Event) -> dict[str, str]:
        """Serve until somebody stops it; returns what exit.json will say."""
        self._turn("Creating", self.death)
        if self.death:
            self.mark(f"restart: {self.death}")
        if self.current.doing:
            self._answer(self.current.doing, False, "The server died before this was done.")
            self._keep(doing="")
        stopped = asyncio.Event()
        opening = asyncio.ensure_future(self._open(self.config))
        if self.death:
            # Clients that come meanwhile wait in the backlog of the socket, and are answered.
            await asyncio.wait((opening,), timeout=FIRST_WAIT)
        serving = asyncio.ensure_future(server.serve(self.router, listening, stopped))
        try:
            while not opening.done() and not stop.is_set() and not serving.done():
                await asyncio.wait((opening, serving), timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                self.variants = opening.result()
                self._swap()
                self._enter_stage()
                self.mark(f"configuration {self.current.config}: {self.shares()}", config=self.current.config)
                self._turn("Updating" if self.config.canary else "InService", self._canary_words())
                await self._watch(stop, serving)
            self.ending = self.ending or {"state": "Stopped", "cause": "sigterm", "message": "Asked to end by SIGTERM."}
        except Problem as problem:
            self.ending = {"state": "Failed", "cause": problem.cause, "message": problem.message, "hint": problem.hint}
        finally:
            stopped.set()
            opening.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await serving
            await asyncio.gather(*(variant.close() for variant in (*self.variants.values(), *self.leaving)), return_exceptions=True)
            self._flush()
            self._seconds.write(last=True)
        self._turn(self.ending["state"], self.ending.get("message", ""), self.ending["cause"], self.ending.get("hint", ""))
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
                self._keep(offset=self._inbox.offset)
                await self._obey(command)
            if (now := time.monotonic()) >= second + 1:
                second = max(second + 1, now - 1)
                self._flush()
                self._seconds.write()
                self._look(now)

    def _flush(self) -> None:
        self.access.flush()
        self.captures.flush()

    def _look(self, now: float) -> None:
        """Once a second: the canary's stage, its p99, and whether anybody asks at all."""
        canary = self.config.canary
        if canary and self.judge and not self._busy():
            variant = self.variants[canary.variant]
            p99 = 1000 * variant.figures.quantiles().get("p99", 0.0)
            if self.config.limits.p99 and p99 > self.config.limits.p99 and self.judge.count >= LEAST_FOR_P99:
                self._take_back(f"p99 of {canary.variant} is {p99:.0f} ms; its limit is {self.config.limits.p99:g} ms.")
            elif now >= self._stage + canary.seconds:
                self._advance()
        idle = now - self._asked
        if self.about.idle and idle > self.about.idle and not self.router.in_flight and not self._busy():
            self.ending = {"state": "Stopped", "cause": "idle", "message": f"Nobody asked it anything for {short(idle)}."}

    # -- one answer -----------------------------------------------------------------------------------------------------------------

    def _answered(self, answered: Answered) -> None:
        self._asked = time.monotonic()
        self.answers += 1
        self.access.saw(answered)
        request, reply, name = answered.request, answered.reply, answered.variant
        if request is None or reply is None:
            return
        if self.captures.share:
            self.captures.saw(request, reply, name)
        if self.shadow and name != self.shadow.variant.name:
            self.shadow.saw(request, reply, name)
        if self.judge and self.config.canary:
            refused = 400 <= reply.code < 500
            if name != self.config.canary.variant:
                self._others[0] += 1
                self._others[1] += refused
            # What the other variants refuse as well is the client's mistake.
            elif self.judge.saw(
                reply.code >= 500 or (refused and self._others[1] <= self.judge.limit * self._others[0] and self._others[0] > 0)
            ):
                share = f"{self.judge.errors} of {self.judge.count}"
                self._take_back(f"{share} requests to {name} failed, the last with {reply.code} {one_line(reply.message, 120)}")

    # -- variants -------------------------------------------------------------------------------------------------------------------

    async def _open(self, config: Config) -> dict[str, Variant]:
        """The variants of a configuration: those that run already, and new ones, started and checked. Problem where one is not right."""
        opened: dict[str, Variant] = {}
        new: list[Variant] = []
        try:
            if not self.about.isolate and len(config.variants) > 1:
                raise Problem("Without isolation an endpoint serves one variant.", "Serve it without --no-isolate.")
            for plan in config.variants:
                running = self.variants.get(plan.name)
                if running and running.folder.digest == plan.digest and not running.failed:
                    opened[plan.name] = running
                    continue
                variant = opened[plan.name] = await self._made(plan)
                new.append(variant)
            for started in await asyncio.gather(*(variant.start() for variant in new), return_exceptions=True):
                if isinstance(started, BaseException):
                    raise started
        except BaseException:
            await asyncio.gather(*(variant.close() for variant in new if variant.pid), return_exceptions=True)
            raise
        return opened

    async def _made(self, plan: VariantPlan) -> Variant:
        # In a thread: the hashes of a large model would hold up every request.
        folder = await asyncio.get_running_loop().run_in_executor(None, model_folder.read, plan.folder)
        if folder.digest != plan.digest:
            raise Problem(f"{plan.label} is another model than the one that the configuration names.", "A version never changes.", "data")
        variant = Variant(plan.name, folder, isolate=self.about.isolate, log=sys.stderr.fileno())
        variant.on_event.append(lambda kind, text: self._happened(variant, kind, text))
        return variant

    def _happened(self, variant: Variant, kind: str, text: str) -> None:
        """A worker died, is back, or has failed for good."""
        self.mark({"died": "restart", "back": "restart", "failed": "alarm"}.get(kind, kind) + f": {text}")
        if kind != "failed" or self.variants.get(variant.name) is not variant:
            return
        before = self.current.before.get(self.current.config, 0)
        if self.config.canary and self.config.canary.variant == variant.name:
            self._take_back(text)
        elif before and all(plan.digest != variant.folder.digest for plan in self.endpoint.config(before).variants):
            self._start_change(lambda: self._to(before, "", text))
        elif self.router.table.shares.keys() - {variant.name} and variant.name in self.router.table.shares:
            self._set_weights(reweighted(self.router.table.weights, {variant.name: 0.0}, self.config.shadow))
        else:
            self._turn("Failed", text)

    def _table(self, weights: dict[str, float]) -> "routing.Table[Variant]":
        shadow = self.config.shadow if self.config.shadow in self.variants else ""
        return routing.Table(dict(self.variants), weights, shadow, self.chance)

    def _swap(self, weights: dict[str, float] | None = None) -> None:
        """One assignment between two requests: whoever was picked before still gets the old variant's answer."""
        self.router.table = self._table(weights or self.current.weights or self.config.weights(self.current.share or None))
        wanted = self.variants.get(self.config.shadow)
        if wanted is not (self.shadow.variant if self.shadow else None):
            self.shadow = Shadow(wanted) if wanted else None
        self.captures.share = self.config.capture
        rows: list[list[str | float]] = [
            [plan.name, plan.label, round(self.router.table.shares.get(plan.name, 0.0), 4), "shadow" * (plan.name == self.config.shadow)]
            for plan in self.config.variants
        ]
        self.write(Table(tag="variants", columns=["variant", "model", "weight", "as"], rows=rows))

    def share(self, variant: Variant) -> float:
        """What part of the traffic a variant gets now."""
        return self.router.table.shares.get(variant.name, 0.0) if self.variants.get(variant.name) is variant else 0.0

    def shares(self) -> str:
        """`3 90%, 4 10%`."""
        table = self.router.table
        words = [f"{name} {share:.3g}%" for name, share in ((name, 100 * share) for name, share in table.shares.items())]
        return ", ".join([*words, *([f"{table.shadow} shadow"] if table.shadow else [])])

    # -- changes --------------------------------------------------------------------------------------------------------------------

    async def _obey(self, command: Command) -> None:
        try:
            if command.verb == "stop":
                self.ending = {"state": "Stopped", "cause": "person", "message": "Stopped by a person."}
                self._answer(command.id, True, "stops")
            elif command.verb == "weights":
                self._no_canary("the weights")
                named = msgspec.convert(command.request.get("weights"), dict[str, float])
                self._set_weights(reweighted(self.router.table.weights, named, self.config.shadow), command.id)
                self._answer(command.id, True, self.shares())
            elif command.verb == "rollback":
                wanted = msgspec.convert(command.request.get("to", 0), int)
                self._roll_back(command.id, wanted)
            elif command.verb == "update":
                change = msgspec.convert(command.request, Change)
                self._no_canary("the variants")
                self._start_change(lambda: self._update(change, command.id))
            else:
                raise Problem(f"An endpoint cannot {one_line(command.verb, 40)!r}.")
        except Problem as problem:
            self._answer(command.id, False, str(problem))
        except msgspec.ValidationError as error:
            self._answer(command.id, False, f"That cannot be read: {one_line(str(error), 200)}.")

    def _busy(self) -> bool:
        return self._changing is not None and not self._changing.done()

    def _no_canary(self, what: str) -> None:
        if canary := self.config.canary:
            raise Problem(
                f"The canary {canary.variant} decides about {what} until it ends.", f"`dlwb endpoint rollback {self.endpoint.id}` ends it."
            )

    def _start_change(self, change: Callable[[], Awaitable[None]]) -> None:
        """Carry out a change beside the requests; one at a time."""
        if self._busy():
            raise Problem("Another change is being carried out.", "Ask again when it is done.")

        async def carried_out() -> None:
            try:
                await change()
            except Exception as error:  # a mistake of ours must not end the endpoint
                traceback.print_exc()
                self.mark(f"alarm: the change was given up: {one_line(repr(error), 200)}")
            finally:
                self._keep(doing="")

        self._changing = asyncio.get_running_loop().create_task(carried_out())

    async def _update(self, change: Change, command: str) -> None:
        loop = asyncio.get_running_loop()
        self._keep(doing=command)
        try:
            config = await loop.run_in_executor(None, lambda: changed(self._as_weighted(), change, model_store.find))
            await self._change(config, self.current.config, "Updating", command)
        except Problem as problem:
            self.mark(f"update refused: {problem.message}", command=command)
            self._turn("InService")
            self._answer(command, False, str(problem))

    def _as_weighted(self) -> Config:
        """The configuration in use with the weights that a person has set since."""
        live = self.current.weights
        plans = [msgspec.structs.replace(plan, weight=live.get(plan.name, plan.weight)) for plan in self.config.variants]
        return msgspec.structs.replace(self.config, variants=plans)

    async def _change(self, config: Config, before: int, state: str, command: str = "", reason: str = "") -> None:
        """Go over to a configuration: start what is new, swap, drain what is gone. Problem where a new variant is not right."""
        self._turn(state, reason)
        opened = await self._open(config)
        number = self.endpoint.add(config)
        gone = [variant for variant in self.variants.values() if variant not in opened.values()]
        self.config, self.variants = config, opened
        self._keep(config=number, before={**self.current.before, number: before}, share=0.0, weights={})
        self._swap()
        self._enter_stage()
        words = f"configuration {number}: {self.shares()}" + (f"; {self._canary_words()}" if config.canary else "")
        self.mark(words + (f"; {reason}" if reason else ""), command=command, config=number)
        self._turn("Updating" if config.canary else "InService", self._canary_words())
        if command:
            self._answer(command, True, words)
        self._let_go(gone)

    def _let_go(self, gone: list[Variant]) -> None:
        async def drained(variant: Variant) -> None:
            await variant.drain(DRAIN)
            # Its last second is still to be written.
            await asyncio.sleep(1.5)
            self.leaving.remove(variant)

        self.leaving += gone
        for variant in gone:
            task = asyncio.get_running_loop().create_task(drained(variant))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    def _set_weights(self, weights: dict[str, float], command: str = "") -> None:
        self._keep(weights=weights)
        self._swap()
        self.mark(f"weights: {self.shares()}", command=command)

    def _roll_back(self, command: str, wanted: int) -> None:
        if self.config.canary and not wanted and not self._busy():
            self._take_back("A person took it back.", command)
            return
        number = wanted or self.current.before.get(self.current.config, 0)
        if not number:
            raise Problem("There is no configuration to go back to.", "`dlwb endpoint show` lists them; --to names one.")
        if number == self.current.config:
            raise Problem(f"Configuration {number} is in use already.")
        self.endpoint.config(number)
        self._start_change(lambda: self._to(number, command))

    async def _to(self, number: int, command: str, reason: str = "") -> None:
        """Go over to a new configuration that is equal to an old one."""
        self._keep(doing=command)
        try:
            words = f"as configuration {number}" + (f": {reason}" if reason else "")
            await self._change(self.endpoint.config(number), self.current.before.get(number, 0), "RollingBack", command, words)
        except Problem as problem:
            self.mark(f"alarm: roll-back failed: {problem.message}", command=command)
            self._turn("Failed" if reason else "InService", problem.message)
            if command:
                self._answer(command, False, str(problem))

    # -- canary ---------------------------------------------------------------------------------------------------------------------

    def _enter_stage(self) -> None:
        self._stage = time.monotonic()
        self.judge, self._others = (Judge(self.config.limits.errors) if self.config.canary else None), [0, 0]

    def _canary_words(self) -> str:
        if not (canary := self.config.canary):
            return ""
        share = self.current.share or canary.share
        return f"canary {canary.variant} has {share:.3g} of the traffic for {short(canary.seconds)}".replace(f"{share:.3g}", f"{share:.0%}")

    def _advance(self) -> None:
        """The canary's time is over and it did well: more for it, or all."""
        canary = self.config.canary
        assert canary
        share = (self.current.share or canary.share) + canary.step
        if canary.step and share < 1 - 1e-9:
            self._keep(share=share)
            self._swap()
            self._enter_stage()
            self.mark(f"canary: {self.shares()}")
            self._turn("Updating", self._canary_words())
            return
        done = f"the canary {canary.variant} did well"
        before = self.current.before.get(self.current.config, 0)
        self._start_change(lambda: self._change(self.config.after_canary(), before, "Updating", "", done))

    def _take_back(self, reason: str, command: str = "") -> None:
        """No more traffic for the canary from this moment on; the configuration follows."""
        assert self.config.canary
        canary, self.judge = self.config.canary.variant, None
        self._swap(self.config.weights(0.0))
        self.mark(f"{'roll-back' if command else 'alarm'}: {canary}: {reason}", command=command)
        before = self.current.before.get(self.current.config, 0)
        self._start_change(lambda: self._to(before, command, "" if command else reason))

    def alarm(self, text: str, variant: str = "") -> None:
        """Something is over its limit, as drift or accuracy. The canary is taken back where it is about it."""
        if self.config.canary and self.judge and variant == self.config.canary.variant and not self._busy():
            self._take_back(text)
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

    def _answer(self, command: str, ok: bool, message: str) -> None:
        self.write(Answer(command=command, ok=ok, message=one_line(message, 600)))

    def _keep(self, **changes: Any) -> None:
        """Note what a new server goes on with after this one's death."""
        current = msgspec.structs.replace(self.current, **changes)
        if current != self.current:
            self.current = current
            with contextlib.suppress(OSError):
                self.endpoint.write("current.json", current)

    def _turn(self, state: str, message: str = "", cause: str = "", hint: str = "") -> None:
        if (state, message) == self._state:
            return
        self._state = (state, message)
        self.holder.update(state=state, message=message, worker={"pid": os.getpid(), "ticks": lock.start_ticks(os.getpid())})
        self.lock.write(self.holder)
        attempt = self.holder.get("attempt", 1)
        self.write(Status(state=state, message=one_line(message), cause=cause, hint=hint, attempt=attempt))


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
        ending = {"state": "Failed", "cause": problem.cause, "message": problem.message, "hint": problem.hint}
    with contextlib.suppress(OSError):
        os.write(report, msgspec.json.encode(ending))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
