"""Endpoints: what lies where in the directory of one, its configurations, its state, and how one is found. Light: lists begin here."""

import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from workbench import events, files, paths
from workbench.events import CAUSES, AnyEvent, Status
from workbench.problems import Problem, nearest, one_line
from workbench.recipes import yaml_reader
from workbench.recipes.recipe import dump
from workbench.runs import commands, lock
from workbench.runs.state import State, whole

NAME = re.compile(r"(?![.-])[A-Za-z0-9._-]{1,64}")
"""A name is looked up; it is joined to a path only where it is one. A shell would take one with a dash first for an option."""
LIVE = ("Creating", "InService", "Updating", "RollingBack")
ENDED = ("Stopped", "Failed", "Deleted")
PORT = 8080
MOST_VARIANTS = 16

T = TypeVar("T")
Name = Annotated[str, Meta(pattern=r"^(?!\.)[A-Za-z0-9._-]{1,64}\Z")]
Weight = Annotated[float, Meta(ge=0, le=1e6)]
Share = Annotated[float, Meta(ge=0, le=1)]


class VariantPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that an endpoint serves."""

    name: Name
    model: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}/[1-9][0-9]{0,6}\Z")]
    """NAME/VERSION: an alias is resolved before it is written here, so that nothing moves when the alias does."""
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """SHA-256 of its model.json: another model under the same name and version is refused."""
    weight: Weight = 1.0

    @property
    def folder(self) -> Path:
        """Where the model lies."""
        name, _, version = self.model.partition("/")
        if not NAME.fullmatch(name):
            raise Problem(f"{one_line(self.model)} is no model's name.", "", "data")
        return paths.models() / name / version

    @property
    def label(self) -> str:
        """`name:version`."""
        return self.model.replace("/", ":")


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new variant gets a share of the traffic for a time, then more, or all: unless it does worse than the limits allow."""

    variant: Name
    share: Annotated[float, Meta(gt=0, le=1)]
    seconds: Annotated[float, Meta(gt=0, le=7 * 86400)]
    """How long each share lasts."""
    step: Share = 0.0
    """How much is added each time; 0: all at once after the first."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a variant may do before there is an alarm, and a canary is taken back."""

    errors: Share = 0.05
    """Share of requests that end with an error of ours (5xx), or that this variant refuses where the others do not."""
    p99: Annotated[float, Meta(ge=0, le=60_000)] = 0.0
    """Milliseconds; 0: no limit."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configuration of an endpoint, as configs/0001.yaml holds it."""

    variants: Annotated[list[VariantPlan], Meta(min_length=1, max_length=MOST_VARIANTS)]
    shadow: str = ""
    """The variant that gets a copy of each request after it is answered."""
    canary: Canary | None = None
    capture: Share = 0.0
    """Share of the requests that are written to captures/ with their answers."""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("two variants have the same name")
        if self.shadow and self.shadow not in names:
            raise ValueError("the shadow is none of its variants")
        if self.canary and self.canary.variant not in names:
            raise ValueError("the canary is none of its variants")
        if not sum(self.weights().values()):
            raise ValueError("no variant has any traffic")

    def named(self, name: str) -> VariantPlan:
        """The variant of that name. Raises Problem where there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise unknown_variant(name, [variant.name for variant in self.variants])

    def weights(self, share: float | None = None) -> dict[str, float]:
        """The weight of each variant; with a canary it has `share` of all, its first one by default, and the others what is left."""
        if self.canary is None:
            return {variant.name: 0.0 if variant.name == self.shadow else variant.weight for variant in self.variants}
        share = self.canary.share if share is None else share
        others = {variant.name: variant.weight for variant in self.variants if variant.name not in (self.canary.variant, self.shadow)}
        total = sum(others.values()) or 1.0
        weights = {name: weight / total * (1 - share) for name, weight in others.items()}
        return {variant.name: weights.get(variant.name, 0.0) for variant in self.variants} | {self.canary.variant: share}

    def after_canary(self) -> "Config":
        """The configuration in which the canary has all the traffic, and the variants that it replaces are gone."""
        assert self.canary
        stay = (self.canary.variant, self.shadow)
        kept = [msgspec.structs.replace(variant, weight=1.0) for variant in self.variants if variant.name in stay]
        return msgspec.structs.replace(self, variants=kept, canary=None)


class About(msgspec.Struct, frozen=True, kw_only=True):
    """endpoint.json: what a start says once."""

    host: str = "127.0.0.1"
    port: int = PORT
    isolate: bool = True
    """A worker process for each variant; without, one model inside the server."""
    idle: float = 0.0
    """Seconds without a request after which it stops by itself; 0: never."""
    created: float = 0.0


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """current.json: what the server goes on with after its death."""

    config: int = 1
    before: dict[int, int] = {}
    """The configuration that a roll-back of each one leads to."""
    share: float = 0.0
    """What the canary has now; 0: its first share."""
    weights: dict[str, float] = {}
    """Weights that a person has set since; empty: those of the configuration."""
    offset: int = 0
    """Bytes of control.jsonl that are read."""
    doing: str = ""
    """The command that is being carried out."""


class Endpoint:
    """One endpoint's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self.events = path / "events.jsonl"
        self.control = path / "control.jsonl"
        self.output = path / "output.log"
        self.access = path / "access.log"
        self.configs = path / "configs"
        self.captures = path / "captures"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def id(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def about(self) -> About:
        """Where it listens. Problem where that cannot be read."""
        return _read(self, "endpoint.json", About)

    @property
    def current(self) -> Current:
        """Which configuration is in use. Problem where that cannot be read."""
        return _read(self, "current.json", Current)

    @property
    def url(self) -> str:
        """Where it is asked."""
        host = one_line(self.about.host, 80)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.about.port}"

    def write(self, name: str, value: About | Current) -> None:
        """Replace endpoint.json or current.json."""
        files.write(self.path / name, msgspec.json.encode(value), sync=False)

    # -- configurations -------------------------------------------------------------------------------------------------------------

    def numbers(self) -> list[int]:
        """The numbers of its configurations, in the order in which they were made."""
        try:
            names = os.listdir(self.configs)
        except OSError:
            return []
        return sorted(int(name[:-5]) for name in names if re.fullmatch(r"[0-9]{4,7}\.yaml", name))

    def config(self, number: int) -> Config:
        """One configuration. Problem where there is none of that number, or its file is damaged."""
        file = self.configs / f"{number:04}.yaml"
        if not file.is_file():
            known = ", ".join(map(str, self.numbers()[-8:]))
            raise Problem(f"The endpoint {self.id} has no configuration {number}.", f"It has: {known}." if known else _ANEW)
        document = yaml_reader.read(file, follow=False)
        try:
            if document.faults:
                raise ValueError(document.faults[0].text)
            return msgspec.convert(document.value, Config)
        except ValueError as error:
            raise Problem(f"configs/{file.name} of {self.id} is damaged: {one_line(str(error), 200)}.", _ANEW, "data") from None

    def add(self, config: Config) -> int:
        """Write a new configuration under the next number; no file of an earlier one is touched. Returns the number."""
        self.configs.mkdir(parents=True, exist_ok=True)
        number = max(self.numbers(), default=0)
        while True:
            number += 1
            target = self.configs / f"{number:04}.yaml"
            with files.beside(target) as part:
                part.write_text(dump(config))
                part.chmod(0o444)
                try:
                    # Not a rename: that would replace one that another process has just written.
                    os.link(part, target)
                    return number
                except FileExistsError:
                    continue


_ANEW = "`dlwb endpoint delete` removes the endpoint, `dlwb serve` makes it anew."


def _read(endpoint: Endpoint, name: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(files.read_plain(endpoint.path / name, files.READ_LIMIT), type=kind)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Problem(f"{name} of the endpoint {endpoint.id} is damaged: {one_line(str(error), 200)}.", _ANEW, "data") from None


def unknown_variant(name: str, names: Iterable[str]) -> Problem:
    """That an endpoint has no variant of that name, and which it has."""
    names = list(names)
    near = nearest(name, names) or f". There are: {one_line(', '.join(names), 400)}."
    return Problem(f"There is no variant {one_line(name, 80)!r}{near}", "", "data")


def checked_name(name: str) -> str:
    """A name that an endpoint may have. Problem for any other."""
    if not NAME.fullmatch(name):
        raise Problem(
            f"{one_line(name, 80)!r} is no name for an endpoint.",
            "Use 1 to 64 letters, digits, dots, dashes and underscores, no dot or dash first.",
        )
    return name


def list_endpoints() -> list[Endpoint]:
    """All endpoints, by name."""
    try:
        names = sorted(os.listdir(paths.endpoints()))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.problem(str(paths.endpoints()), "read", error, paths.endpoints()) from error
    every = [Endpoint(paths.endpoints() / name) for name in names if NAME.fullmatch(name)]
    return [endpoint for endpoint in every if (endpoint.path / "endpoint.json").exists()]


def find_endpoint(name: str) -> Endpoint:
    """The endpoint of that name. Problem where there is none."""
    every = list_endpoints()
    for endpoint in every:
        if endpoint.id == name:
            return endpoint
    raise Problem(
        f"There is no endpoint {one_line(name, 80)}{nearest(name, [endpoint.id for endpoint in every])}.".replace("?.", "?"),
        "`dlwb endpoint list` lists them, `dlwb serve` starts one.",
    )


def state_of(endpoint: Endpoint) -> State:
    """How it is now: alive is that its lock is held; how it ended is what its supervisor wrote."""
    holder = lock.content(endpoint.lock)
    attempt = whole(holder.get("attempt"))
    host = one_line(str(holder.get("host") or lock.host()), 80)
    elsewhere = host if host != lock.host() else ""
    if lock.is_held(endpoint.lock):
        state = holder.get("state")
        message = one_line(str(holder.get("message", "")))
        return State(
            state=state if state in (*LIVE, "Failed") else "Creating", alive=True, attempt=attempt, host=elsewhere, message=message
        )
    ended = files.read_object(endpoint.path / "exit.json")
    if attempt and ended.get("attempt") == attempt:
        state = ended.get("state")
        cause, message, hint = (one_line(str(ended.get(name, "")), 1000) for name in ("cause", "message", "hint"))
        return State(state=state if state in ENDED else "Failed", attempt=attempt, cause=cause, message=message, hint=hint)
    if not attempt:
        return State(state="Stopped", message="It was never started.")
    # The supervisor may have died before its server: then the server's last line tells the end.
    status = next((event for event in newest(endpoint) if isinstance(event, Status)), None)
    if status and status.state in ENDED and status.attempt == attempt:
        return State(state=status.state, cause=status.cause, message=status.message, hint=status.hint, attempt=attempt)
    if elsewhere:
        return State(state="away", attempt=attempt, host=elsewhere, message=f"on {elsewhere}")
    cause = "vanished" if holder.get("boot") == lock.boot_id() else "restart"
    message = "Its processes were killed from outside, all at once." if cause == "vanished" else "The machine was restarted."
    return State(state="Failed", cause=cause, message=message, hint=f"`dlwb serve --name {endpoint.id}` starts it again.", attempt=attempt)


def newest(endpoint: Endpoint) -> Iterator[AnyEvent]:
    """The events in the last 64 KiB of its log, the newest first."""
    end = commands.size_of(endpoint.events)
    start = max(0, end - (1 << 16))
    for line in reversed(commands.part(endpoint.events, start, end - start).split(b"\n")):
        event = events.decode(body) if (body := events.whole(line)) else None
        if isinstance(event, events.Event):
            yield event


def words(state: State) -> str:
    """The state with its cause."""
    return f"{state.state}: {CAUSES.get(state.cause, state.cause)}" if state.cause and not state.alive else state.state


def up(endpoint: Endpoint) -> float:
    """Seconds since it was started last; 0 where it is not alive."""
    began = lock.content(endpoint.lock).get("began")
    return max(0.0, time.time() - began) if isinstance(began, int | float) and lock.is_held(endpoint.lock) else 0.0
