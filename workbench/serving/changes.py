"""Changes of an endpoint that serves: new variants are started and checked, the router's table is swapped, the old ones drain.

A change is made beside the requests, one at a time. A version that fails its examples never stands in the table.
"""

import asyncio
import contextlib
import random
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from workbench.encoding import model_folder, model_store
from workbench.encoding.model_folder import ModelFolder
from workbench.events import Table
from workbench.formatting import short
from workbench.problems import Problem, one_line
from workbench.serving import routing
from workbench.serving.endpoint import Config, VariantPlan
from workbench.serving.recording import Shadow
from workbench.serving.rollout import Change, Judge, changed, reweighted
from workbench.serving.router import Answered
from workbench.serving.same import misfit
from workbench.serving.variant import Variant

if TYPE_CHECKING:
    from workbench.serving.host import Host

DRAIN = 30.0
"""Seconds that a variant has for what it has taken."""
LEAST_FOR_P99 = 50
"""Requests of a canary before its p99 is judged."""


class Changes:
    """Configuration and variants of an endpoint, and the ways from one to the next."""

    def __init__(self, host: "Host") -> None:
        self.host, self.endpoint = host, host.endpoint
        self.current = host.endpoint.current
        self.config = host.endpoint.config(self.current.config)
        self.variants: dict[str, Variant] = {}
        self.leaving: list[Variant] = []
        """Variants that answer what they have and then go."""
        self.shadow: Shadow | None = None
        self.judge: Judge | None = None
        """Of the canary."""
        self._others = Judge(1.0)
        """What the other variants refuse meanwhile."""
        self._stage = 0.0
        self._chance = random.Random()
        self._changing: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._given_up: set[Variant] = set()

    @property
    def busy(self) -> bool:
        """Whether a change is being made."""
        return self._changing is not None and not self._changing.done()

    def keep(self, **changes: Any) -> None:
        """Note what a new server goes on with after this one's death."""
        current = msgspec.structs.replace(self.current, **changes)
        if current != self.current:
            self.current = current
            with contextlib.suppress(OSError):
                self.endpoint.write("current.json", current)

    # -- variants -------------------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start the variants of the configuration that is in use. Problem where one is not right."""
        self.variants = await self._open(self.config)
        self._swap()
        self._enter_stage()
        self.host.mark(f"configuration {self.current.config}: {self.shares()}", config=self.current.config)
        self._settle()

    async def _open(self, config: Config) -> dict[str, Variant]:
        """The variants of a configuration: those that run already, and new ones, started and checked. Problem where one is not right."""
        if not self.host.about.isolate and len(config.variants) > 1:
            raise Problem("Without isolation an endpoint serves one variant.", "Serve it without --no-isolate.")
        opened: dict[str, Variant] = {}
        new: list[Variant] = []
        try:
            for plan in config.variants:
                running = self.variants.get(plan.name)
                if running and running.folder.digest == plan.digest and not running.failed:
                    opened[plan.name] = running
                else:
                    opened[plan.name] = await self._made(plan)
                    new.append(opened[plan.name])
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
        variant = Variant(plan.name, folder, isolate=self.host.about.isolate, log=sys.stderr.fileno())
        words = {"died": "restart", "back": "restart", "failed": "alarm"}
        variant.on_event.append(lambda kind, text: self.host.mark(f"{words[kind]}: {text}"))
        return variant

    def _let_go(self, gone: list[Variant]) -> None:
        async def drained(variant: Variant) -> None:
            await variant.drain(DRAIN)
            await asyncio.sleep(1.5)  # its last second is still to be written
            self.leaving.remove(variant)

        self.leaving += gone
        for variant in gone:
            task = asyncio.get_running_loop().create_task(drained(variant))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """End every variant."""
        if self._changing:
            self._changing.cancel()
        await asyncio.gather(*(variant.close() for variant in (*self.variants.values(), *self.leaving)), return_exceptions=True)

    def _look_at_failed(self) -> None:
        """A variant that will not come back: its traffic goes to what worked before, or to the others."""
        failed = [variant for variant in self.variants.values() if variant.failed and variant not in self._given_up]
        if not failed:
            return
        variant = failed[0]
        self._given_up.add(variant)
        text = f"{variant.name} has failed: {variant.failed.message if variant.failed else ''}"
        before, shares = self.current.before.get(self.current.config, 0), self.host.router.table.shares
        if self.config.canary and self.config.canary.variant == variant.name:
            self.take_back(text)
        elif before and all(plan.digest != variant.folder.digest for plan in self.endpoint.config(before).variants):
            self._start(lambda: self._to(before, "", text))
        elif variant.name in shares and len(shares) > 1:
            self._set_weights(reweighted(self.host.router.table.weights, {variant.name: 0.0}, self.config.shadow))
        elif variant.name in shares:
            self.host.turn("Failed", text)

    # -- table ----------------------------------------------------------------------------------------------------------------------

    def table(self, weights: dict[str, float]) -> "routing.Table[Variant]":
        """The variants with these weights."""
        shadow = self.config.shadow if self.config.shadow in self.variants else ""
        return routing.Table(dict(self.variants), weights, shadow, self._chance)

    def _swap(self, weights: dict[str, float] | None = None) -> None:
        """One assignment between two requests: whoever was picked before still gets the old variant's answer."""
        weights = weights or self.current.weights or self.config.weights(self.current.share or None)
        self.host.router.table = table = self.table(weights)
        wanted = self.variants.get(self.config.shadow)
        if wanted is not (self.shadow.variant if self.shadow else None):
            self.shadow = Shadow(wanted, lambda: self.host.router.in_flight > 0) if wanted else None
        self.host.captures.share = self.config.capture
        rows: list[list[str | float]] = [
            [plan.name, plan.label, round(table.shares.get(plan.name, 0.0), 4), "shadow" * (plan.name == self.config.shadow)]
            for plan in self.config.variants
        ]
        self.host.write(Table(tag="variants", columns=["variant", "model", "weight", "as"], rows=rows))

    def share(self, variant: Variant) -> float:
        """What part of the traffic a variant gets now."""
        return self.host.router.table.shares.get(variant.name, 0.0) if self.variants.get(variant.name) is variant else 0.0

    def shares(self) -> str:
        """`3 90%, 4 10%`."""
        table = self.host.router.table
        return ", ".join(
            [*(f"{name} {100 * share:.3g}%" for name, share in table.shares.items()), *[f"{table.shadow} shadow"][: bool(table.shadow)]]
        )

    # -- what a person asks ---------------------------------------------------------------------------------------------------------

    def update(self, change: Change, command: str) -> None:
        """Go over to a changed configuration. Problem where that cannot begin now."""
        self._no_canary("the variants")
        self._start(lambda: self._update(change, command))

    def weigh(self, named: dict[str, float], command: str) -> None:
        """Give variants shares, at once and without a new configuration."""
        self._no_canary("the weights")
        if self.busy:
            raise Problem("Another change is being made.", "Ask again when it is done.")
        self._set_weights(reweighted(self.host.router.table.weights, named, self.config.shadow), command)

    def roll_back(self, wanted: int, command: str) -> None:
        """Go back to a configuration, 0 for the one before."""
        if self.config.canary and not wanted and not self.busy:
            self.take_back("A person took it back.", command)
            return
        number = wanted or self.current.before.get(self.current.config, 0)
        if not number:
            raise Problem("There is no configuration to go back to.", "`dlwb endpoint show` lists them; --to names one.")
        if number == self.current.config:
            raise Problem(f"Configuration {number} is in use already.")
        self.endpoint.config(number)
        self._start(lambda: self._to(number, command))

    def _no_canary(self, what: str) -> None:
        if canary := self.config.canary:
            raise Problem(
                f"The canary {canary.variant} decides about {what} until it ends.", f"`dlwb endpoint rollback {self.endpoint.id}` ends it."
            )

    def _start(self, change: Callable[[], Awaitable[None]]) -> None:
        """Make a change beside the requests; one at a time."""
        if self.busy:
            raise Problem("Another change is being made.", "Ask again when it is done.")

        async def made() -> None:
            try:
                await change()
            except Exception as error:  # a mistake of ours must not end the endpoint
                traceback.print_exc()
                self.host.mark(f"alarm: the change was given up: {one_line(repr(error), 200)}")
            finally:
                self.keep(doing="")

        self._changing = asyncio.get_running_loop().create_task(made())

    async def _update(self, change: Change, command: str) -> None:
        self.keep(doing=command)
        try:
            live = self.current.weights
            plans = [msgspec.structs.replace(plan, weight=live.get(plan.name, plan.weight)) for plan in self.config.variants]
            config = msgspec.structs.replace(self.config, variants=plans)
            config = await asyncio.get_running_loop().run_in_executor(None, lambda: changed(config, change, self._fitting))
            await self._change(config, self.current.config, "Updating", command)
        except Problem as problem:
            self.host.mark(f"update refused: {problem.message}", command=command)
            self._settle()
            self.host.answer(command, False, str(problem))

    def _fitting(self, reference: str) -> ModelFolder:
        """A model by reference. Problem for one that cannot answer what the clients of this endpoint send."""
        folder = model_store.find(reference)
        here = next(iter(self.variants.values())).folder
        if why := misfit(here, folder):
            raise Problem(f"{folder.label} {why}.", "Serve it as an endpoint of its own: `dlwb serve`.", "data")
        return folder

    async def _to(self, number: int, command: str, reason: str = "") -> None:
        """Go over to a new configuration that is equal to an old one."""
        self.keep(doing=command)
        try:
            words = f"as configuration {number}" + (f": {reason}" if reason else "")
            await self._change(self.endpoint.config(number), self.current.before.get(number, 0), "RollingBack", command, words)
        except Problem as problem:
            self.host.mark(f"alarm: the roll-back failed: {problem.message}", command=command)
            if reason:
                self.host.turn("Failed", problem.message)
            else:
                self._settle()
            if command:
                self.host.answer(command, False, str(problem))

    async def _change(self, config: Config, before: int, state: str, command: str = "", reason: str = "") -> None:
        """Start what is new, swap, drain what is gone. Problem where a new variant is not right: then nothing has changed."""
        self.host.turn(state, reason)
        opened = await self._open(config)
        number = self.endpoint.add(config)
        gone = [variant for variant in self.variants.values() if variant not in opened.values()]
        self.config, self.variants = config, opened
        self.keep(config=number, before={**self.current.before, number: before}, share=0.0, weights={})
        self._swap()
        self._enter_stage()
        words = "; ".join(filter(None, (f"configuration {number}: {self.shares()}", self._canary_words(), reason)))
        self.host.mark(words, command=command, config=number)
        self._settle()
        if command:
            self.host.answer(command, True, words)
        self._let_go(gone)

    def _set_weights(self, weights: dict[str, float], command: str = "") -> None:
        self.keep(weights=weights)
        self._swap()
        self.host.mark(f"weights: {self.shares()}", command=command)
        if command:
            self.host.answer(command, True, self.shares())

    def _settle(self) -> None:
        """Say that no change is being made now, but for a canary that goes on."""
        self.host.turn("Updating" if self.config.canary else "InService", self._canary_words())

    # -- canary ---------------------------------------------------------------------------------------------------------------------

    def saw(self, answered: Answered, code: int) -> None:
        """Judge the canary by one answer."""
        if self.judge is None or self.config.canary is None:
            return
        refused = 400 <= code < 500
        if answered.variant != self.config.canary.variant:
            self._others.saw(refused)
            return
        # What the other variants refuse as well is the client's mistake.
        others = self._others
        error = code >= 500 or (refused and others.count > 0 and others.errors <= self.judge.limit * others.count)
        if self.judge.saw(error) and not self.busy:
            failed = f"{self.judge.errors} of {self.judge.count} requests failed"
            self.take_back(f"{failed}, the last with {code}: {one_line(answered.message, 120)}")

    def look(self, now: float) -> None:
        """Once a second: failed variants, the canary's p99, and its time."""
        if self.busy:
            return
        self._look_at_failed()
        canary = self.config.canary
        if not canary or not self.judge or self.busy:
            return
        p99 = 1000 * self.variants[canary.variant].figures.quantiles().get("p99", 0.0)
        if self.config.limits.p99 and p99 > self.config.limits.p99 and self.judge.count >= LEAST_FOR_P99:
            self.take_back(f"its p99 is {p99:.0f} ms, and the limit is {self.config.limits.p99:g} ms")
        elif now >= self._stage + canary.seconds:
            self._advance()

    def take_back(self, reason: str, command: str = "") -> None:
        """No more traffic for the canary from this moment on; the configuration follows."""
        assert self.config.canary
        canary, self.judge = self.config.canary.variant, None
        self._swap(self.config.weights(0.0))
        self.host.mark(f"{'roll-back' if command else 'alarm'}: canary {canary}: {reason}", command=command)
        before = self.current.before.get(self.current.config, 0)
        self._start(lambda: self._to(before, command, "" if command else reason))

    def _advance(self) -> None:
        """The canary's time is over and it did well: more for it, or all."""
        canary = self.config.canary
        assert canary
        share = (self.current.share or canary.share) + canary.step
        if canary.step and share < 1 - 1e-9:
            self.keep(share=share)
            self._swap()
            self._enter_stage()
            self.host.mark(f"canary: {self.shares()}")
            self._settle()
            return
        before = self.current.before.get(self.current.config, 0)
        done = f"canary {canary.variant} did well"
        self._start(lambda: self._change(self.config.after_canary(), before, "Updating", "", done))

    def _enter_stage(self) -> None:
        self._stage, self._others = time.monotonic(), Judge(1.0)
        self.judge = Judge(self.config.limits.errors) if self.config.canary else None

    def _canary_words(self) -> str:
        if not (canary := self.config.canary):
            return ""
        share = self.current.share or canary.share
        return f"canary {canary.variant} has {share:.0%} of the traffic for {short(canary.seconds)}"
