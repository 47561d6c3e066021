"""Router: the HTTP side of an endpoint. It checks headers and size, picks a variant, passes the body on and the answer back.

It reads no body and knows no array. The way of a request for an answer is plain ASGI; all else (health, metadata, metrics) is Starlette's.
"""

import asyncio
import itertools
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.problems import Problem, one_line
from workbench.serving import beside, metrics
from workbench.serving import headers as heads
from workbench.serving.figures import Figures
from workbench.serving.messages import LARGEST_BODY, Refusal, Reply, Request
from workbench.serving.refusals import CLOSE, SOON, answer, no_path
from workbench.serving.routing import Table
from workbench.serving.variant import Variant

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

WORTH_READING = 8 * LARGEST_BODY
"""Bytes of a body that is too large and read to its end, so that the client sees why."""
BODY_SECONDS = 10.0
"""Until a body must be here."""
COMING = 256 << 20
"""Bytes of bodies that may be on their way at once; more get a 503."""
CLIENTS = 10_000
"""Whose rates are remembered."""
_TAKEN_HEADERS = (b"host", b"content-type", b"content-length", b"authorization", b"transfer-encoding")


@dataclass(slots=True)
class Answered:
    """A request and what came of it, for the access log, capture, feedback and a shadow."""

    id: str
    path: str
    code: int
    seconds: float
    variant: str = ""
    """"" where it was refused before it had one."""
    model: str = ""
    """NAME:VERSION."""
    session: str = ""
    target: str = ""
    client: str = ""
    request: Request | None = None
    reply: Reply | None = None
    message: str = ""


class Router:
    """An ASGI application. `table` is replaced whole: a swap is one assignment between two requests."""

    def __init__(
        self,
        name: str,
        table: Table[Variant],
        *,
        hosts: frozenset[bytes] = heads.OWN_HOSTS,
        token: str = "",
        rate: float = 0.0,
    ) -> None:
        """`hosts`: names in the Host header that are ours. `rate`: requests a second of one client's address, 0 for any."""
        self.name, self.table, self.hosts, self.token, self.rate = name, table, hosts, token, rate
        self.on_answer: list[Callable[[Answered], None]] = []
        """Called after an answer was sent."""
        self.draining = False
        self.in_flight = 0
        self.refused = Figures()
        """Requests that no variant got."""
        self.sources: list[metrics.Source] = []
        """More for /metrics."""
        self.began = time.time()
        self._coming = 0
        self._rates: dict[str, tuple[float, float]] = {}
        self._ids = (f"{os.urandom(6).hex()}-{number:x}" for number in itertools.count(1))
        self._invocations = {"/invocations", f"/endpoints/{name}/invocations"}
        self._heads: dict[str, tuple[tuple[bytes, bytes], ...]] = {}
        self._starlette = beside.app(self)

    @property
    def ready(self) -> bool:
        """Every variant that gets traffic has answered its examples, and its process lives."""
        table = self.table
        return not self.draining and bool(table.shares) and all(table.variants[name].healthy for name in table.shares)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """One request."""
        if scope["type"] != "http":
            return
        self.in_flight += 1
        begin, starlette = time.monotonic(), False
        found = dict(scope["headers"])
        identity = heads.request_id(found.get(b"x-amzn-sagemaker-inference-id") or found.get(b"x-request-id")) or next(self._ids)
        answered = Answered(identity, scope["path"], 500, 0.0, client=scope["client"][0] if scope["client"] else "")
        try:
            self._admit(scope, found, answered.client)
            path = scope["path"]
            if path in self._invocations:
                await self._invoke(scope, found, receive, send, answered)
            elif path.endswith("/infer") and path.startswith("/v2/models/"):
                await self._infer(scope, found, receive, send, answered)
            else:
                answered.code, starlette = 200, True
                await self._starlette({**scope, "answered": answered}, receive, send)
                if answered.code != 200:
                    self._count_refused(answered, begin)
        except Refusal as refusal:
            answered.code, answered.message = refusal.code, str(refusal)
            self._count_refused(answered, begin)
            await self._refuse(send, answered, refusal)
        except _Gone:
            answered.code, answered.message = 499, "The client went away."
        except Exception:
            answered.code, answered.message = 500, "Something failed here."
            logging.getLogger(__name__).exception("request %s failed", answered.id)
            if not starlette:  # which has answered already
                await self._refuse(send, answered, Refusal(500, answered.message))
        finally:
            self.in_flight -= 1
        answered.seconds = time.monotonic() - begin
        for hook in self.on_answer:
            hook(answered)

    # -- one request ----------------------------------------------------------------------------------------------------------------

    def _admit(self, scope: "Scope", found: Mapping[bytes, bytes], client: str) -> None:
        """Raises Refusal where this request must not come any further."""
        if len(found) < len(scope["headers"]):
            names = [name for name, _ in scope["headers"]]
            for name in _TAKEN_HEADERS:
                if names.count(name) > 1:
                    raise Refusal(400, f"The header {name.decode()} stands twice.", "", CLOSE)
        heads.check_host(found.get(b"host"), self.hosts)
        if self.token and scope["path"] != "/ping":
            heads.check_token(found.get(b"authorization"), self.token)
        if self.rate:
            self._check_rate(client)

    def _check_rate(self, client: str) -> None:
        """A bucket of one second's requests for each address."""
        now = time.monotonic()
        most = max(1.0, self.rate)
        left, when = self._rates.pop(client, (most, now))
        left = min(most, left + (now - when) * self.rate)
        # Last in the order, so that the first ones are those who were away longest.
        self._rates[client] = (left - 1 if left >= 1 else left, now)
        if len(self._rates) > CLIENTS:
            del self._rates[next(iter(self._rates))]
        if left < 1:
            seconds = math.ceil((1 - left) / self.rate)
            raise Refusal(429, f"More than {self.rate:g} requests a second come from you.", "", ((b"retry-after", str(seconds).encode()),))

    async def _invoke(self, scope: "Scope", found: Mapping[bytes, bytes], receive: "Receive", send: "Send", answered: Answered) -> None:
        self._only_post(scope)
        answered.target = found.get(b"x-amzn-sagemaker-target-variant", b"")[:100].decode("latin-1")
        answered.session = found.get(b"x-amzn-sagemaker-session-id", b"")[:300].decode("latin-1")

        def choose() -> Variant:
            try:
                return self.table.variants[self.table.pick(answered.session, answered.target)]
            except Problem as problem:
                raise Refusal(404 if answered.target else 503, problem.message, problem.hint, () if answered.target else SOON) from None

        await self._answer(choose, found, receive, send, answered, "invocations")

    async def _infer(self, scope: "Scope", found: Mapping[bytes, bytes], receive: "Receive", send: "Send", answered: Answered) -> None:
        self._only_post(scope)
        parts = scope["path"].split("/")[3:-1]
        if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1] != "versions"):
            raise no_path(scope["path"])
        version = parts[2] if len(parts) == 3 else ""
        await self._answer(lambda: self.of_model(parts[0], version), found, receive, send, answered, "infer")

    async def _answer(
        self,
        choose: Callable[[], Variant],
        found: Mapping[bytes, bytes],
        receive: "Receive",
        send: "Send",
        answered: Answered,
        form: str,
    ) -> None:
        variant = choose()
        if self.draining:
            raise Refusal(503, "The server is stopping.", "", SOON)
        if found.get(b"content-encoding", b"identity") != b"identity":
            raise Refusal(415, "A compressed body is not read here.", "Send it without Content-Encoding.")
        kind = heads.content_type(found.get(b"content-type"))
        heads.check_type(kind, frozenset({heads.JSON}) if form == "infer" else variant.takes)
        accept = heads.accepted(found.get(b"accept"))
        body = await self._body(found, receive)
        if self.table.variants.get(variant.name) is not variant:
            # It was replaced while the body came, and takes no more requests.
            variant = choose()
            heads.check_type(kind, frozenset({heads.JSON}) if form == "infer" else variant.takes)
        request = Request(answered.id, body, kind, accept, form, variant.label if form == "infer" else "")
        answered.variant, answered.model, answered.request = variant.name, variant.label, request
        reply = answered.reply = await variant.ask(request)
        answered.code, answered.message = reply.code, reply.message
        if reply.code != 200:
            retry = ((b"retry-after", str(reply.retry_after).encode()),) if reply.retry_after else ()
            await self._refuse(send, answered, Refusal(reply.code, reply.message, "", (*self._of(variant), *retry)))
            return
        await _send(send, 200, self._headers(answered.id, reply, variant), reply.body)

    async def _body(self, found: Mapping[bytes, bytes], receive: "Receive") -> bytes:
        """The whole body. Raises Refusal: 413 where it is too large, by its own words or by count; 408 where it does not come."""
        stated = found.get(b"content-length", b"")
        length = int(stated[:20]) if stated.isdigit() else 0
        if length > LARGEST_BODY and (b"expect" in found or length > WORTH_READING):
            raise _too_large(CLOSE)  # it waits for our word, or is not worth to be listened to
        parts: list[bytes] = []
        size = held = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Gone
                    part: bytes = message["body"]
                    size += len(part)
                    if max(size, length) <= LARGEST_BODY:
                        parts.append(part)
                    elif size > WORTH_READING:
                        raise _too_large(CLOSE)
                    else:
                        # Read on without keeping it: who still sends when the connection is reset does not see the answer.
                        parts.clear()
                    if not message.get("more_body"):
                        break
                    held += len(part)
                    self._coming += len(part)
                    if self._coming > COMING:
                        raise Refusal(503, "Too many bodies are on their way.", "", (*SOON, *CLOSE))
        except TimeoutError:
            raise Refusal(408, f"The body was not here after {BODY_SECONDS:.0f} seconds.", "", CLOSE) from None
        finally:
            self._coming -= held
        if size > LARGEST_BODY:
            raise _too_large()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _headers(self, identity: str, reply: Reply, variant: Variant) -> list[tuple[bytes, bytes]]:
        shown = identity.encode()
        return [
            (b"content-type", reply.content.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            (b"x-request-id", shown),
            (b"x-amzn-requestid", shown),
            *self._of(variant),
        ]

    def _of(self, variant: Variant) -> tuple[tuple[bytes, bytes], ...]:
        """Which variant and which version answered."""
        found = self._heads.get(variant.name)
        if found is None or found[1][1] != variant.label.encode():
            found = ((b"x-amzn-invoked-production-variant", variant.name.encode()), (b"x-model-version", variant.label.encode()))
            self._heads[variant.name] = found
        return found

    async def _refuse(self, send: "Send", answered: Answered, refusal: Refusal) -> None:
        lines, body = answer(refusal, answered.id)
        await _send(send, refusal.code, lines, body)

    def _only_post(self, scope: "Scope") -> None:
        if scope["method"] != "POST":
            raise Refusal(405, f"{scope['method'][:20]} is not for {one_line(scope['path'], 80)}.", "POST a body.", ((b"allow", b"POST"),))

    def _count_refused(self, answered: Answered, begin: float) -> None:
        now = time.monotonic()
        self.refused.count(answered.code, now - begin, now)

    def of_model(self, name: str, version: str = "") -> Variant:
        """A variant that serves this model, by its weight where there are several. Raises Refusal (404)."""
        table = self.table
        fitting = [
            variant
            for variant in table.variants.values()
            if variant.folder.model.name == name and version in ("", str(variant.folder.model.version))
        ]
        if not fitting:
            there = ", ".join(sorted({variant.label for variant in table.variants.values()}))
            raise Refusal(404, f"There is no model {one_line(':'.join(filter(None, (name, version))), 80)!r} here.", f"There is {there}.")
        drawn = table.variants[table.pick()] if table.shares else fitting[0]
        return drawn if drawn in fitting else fitting[0]


class _Gone(Exception):
    """The client closed its connection before its body was here, or its answer there."""


async def _send(send: "Send", code: int, lines: list[tuple[bytes, bytes]], body: bytes) -> None:
    try:
        await send({"type": "http.response.start", "status": code, "headers": lines})
        await send({"type": "http.response.body", "body": body})
    except (OSError, RuntimeError) as error:  # uvloop's, for a connection that was closed meanwhile
        raise _Gone from error


def _too_large(extra: tuple[tuple[bytes, bytes], ...] = ()) -> Refusal:
    return Refusal(413, f"The body has more than {LARGEST_BODY >> 20} MiB.", "Send it in parts.", extra)
