"""What a change makes of a configuration, and when a variant does worse than its limit. No process here."""

import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem, one_line
from workbench.serving.endpoint import NAME, Canary, Config, Limits, Share, VariantPlan, unknown_variant

WINDOW = 100
"""A variant's last answers that are judged."""
LEVEL = 1e-3
"""So unlikely must so many errors be, were the true rate the limit itself, before a canary is taken back."""
MOST_ERRORS = 20
"""After so many errors the measured rate alone decides."""
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `endpoint update` asks for, as control.jsonl carries it."""

    variants: list[tuple[str, Annotated[float, Meta(gt=0, le=1)] | None]] = []
    """A model (a version of the endpoint's own, @ALIAS, or NAME[:VERSION|@ALIAS]) and its share; None: all the traffic."""
    seconds: Annotated[float, Meta(ge=0, le=7 * 86400)] = 0.0
    """For how long the share lasts, before all the traffic follows; 0: it stays."""
    step: Share = 0.0
    shadow: str | None = None
    """A model for a shadow; "" for none; None leaves it as it is."""
    limits: dict[str, float] = {}
    capture: Share | None = None


def changed(config: Config, change: Change, find: Callable[[str], ModelFolder]) -> Config:
    """The configuration after a change. `find` looks a model up. Raises Problem for what cannot be."""
    base = msgspec.structs.replace(config, canary=None)
    limits = msgspec.to_builtins(base.limits) | change.limits
    try:
        base = msgspec.structs.replace(base, limits=msgspec.convert(limits, Limits))
    except msgspec.ValidationError as error:
        raise Problem(f"The limits cannot be used: {one_line(str(error))}.", "There are: errors=5%, p99=200.") from None
    if change.capture is not None:
        base = msgspec.structs.replace(base, capture=change.capture)
    plans = {variant.name: variant for variant in base.variants}
    own = _own(base)
    named: dict[str, float] = {}
    for reference, share in change.variants:
        plan = plan_of(reference, own, find)
        plans.setdefault(plan.name, plan)
        if plans[plan.name].digest != plan.digest:
            raise Problem(f"{plan.label} is not the model that the variant {plan.name} has.", "A version never changes: export a new one.")
        named[plan.name] = 1.0 if share is None else share
    if change.seconds or change.step:
        if len(named) != 1 or not change.seconds:
            raise Problem("A canary is one variant with a time.", "For example: --variant 4=10% --for 5m")
        [(name, share)] = named.items()
        if all(variant.name == name for variant in base.variants):
            raise Problem(f"{name} has all the traffic already.", "A canary is another version.")
        plans[name] = msgspec.structs.replace(plans[name], weight=0.0)
        canary = Canary(variant=name, share=share, seconds=change.seconds, step=change.step)
        base = _made(base, plans, canary=canary)
    elif named:
        if base.shadow in named:
            base = msgspec.structs.replace(base, shadow="")
        weights = shared({name: weight for name, weight in base.weights().items() if name != base.shadow}, named)
        plans = {name: msgspec.structs.replace(plan, weight=weights.get(name, 0.0)) for name, plan in plans.items()}
        base = _made(base, {name: plan for name, plan in plans.items() if plan.weight or name == base.shadow})
    if change.shadow is not None:
        base = _shadowed(base, change.shadow, own, find)
    return base


def _shadowed(config: Config, reference: str, own: str, find: Callable[[str], ModelFolder]) -> Config:
    """The configuration with another shadow, or none; a shadow has no traffic of its own."""
    plans = {variant.name: variant for variant in config.variants if variant.name != config.shadow}
    if not reference:
        return _made(config, plans, shadow="")
    plan = plan_of(reference, own, find)
    if plan.name in plans and plans[plan.name].weight:
        raise Problem(f"{plan.name} answers requests already, so it cannot be the shadow.", "A shadow is another version.")
    return _made(config, {**plans, plan.name: msgspec.structs.replace(plan, weight=0.0)}, shadow=plan.name)


def _made(config: Config, plans: Mapping[str, VariantPlan], **more: Any) -> Config:
    try:
        return msgspec.structs.replace(config, variants=list(plans.values()), **more)
    except ValueError as error:
        raise Problem(f"That cannot be: {error}.") from None


def _own(config: Config) -> str:
    """The model whose versions are meant where a person names a version alone: that with the most traffic."""
    weights = config.weights()
    return max(config.variants, key=lambda variant: weights[variant.name]).model.partition("/")[0]


def plan_of(reference: str, own: str, find: Callable[[str], ModelFolder]) -> VariantPlan:
    """A reference as a variant: `4` and `@champion` mean the endpoint's `own` model. Named by its version where it is that model's."""
    if own and re.fullmatch(r"[1-9][0-9]*", reference):
        reference = f"{own}:{reference}"
    elif own and reference.startswith("@"):
        reference = f"{own}{reference}"
    folder = find(reference)
    model = folder.model
    name = str(model.version) if model.name == own else f"{model.name}-{model.version}"
    if not NAME.fullmatch(name):
        raise Problem(f"{one_line(folder.label)} has too long a name for a variant.", "Export it under a shorter name.")
    return VariantPlan(name=name, model=f"{model.name}/{model.version}", digest=folder.digest)


def shared(weights: Mapping[str, float], named: Mapping[str, float]) -> dict[str, float]:
    """Weights that add up to 1: the `named` have the shares given; the others what is left, in their proportions, or equal parts of it."""
    total = sum(named.values())
    if total > 1 + 1e-9:
        raise Problem(f"The shares add up to {total:.0%}.", "Give at most 100% in all.")
    others = {name: weight for name, weight in weights.items() if name not in named}
    if not others:
        if not total:
            raise Problem("No variant would have any traffic.", "Give one of them a share.")
        return {name: share / total for name, share in named.items()}
    if not sum(others.values()):
        others = dict.fromkeys(others, 1.0)
    part = max(0.0, 1 - total) / sum(others.values())
    return {**{name: round(weight * part, 12) for name, weight in others.items()}, **named}


def reweighted(weights: Mapping[str, float], named: Mapping[str, float], shadow: str = "") -> dict[str, float]:
    """Live weights after a person has given some of the variants a share. Raises Problem for a variant that is not there."""
    for name, share in named.items():
        if name not in weights:
            raise unknown_variant(name, weights)
        if name == shadow:
            raise Problem(f"{name} is the shadow, which answers nobody.", "`dlwb endpoint update --variant` gives it traffic.")
        if not 0 <= share <= 1:  # written so that NaN fails it, too
            raise Problem(f"A share is from 0 to 100%, not {share:g}.")
    visible = {name: weight for name, weight in weights.items() if name != shadow}
    return {**shared(visible, named), **dict.fromkeys([shadow] if shadow in weights else [], 0.0)}


def share_of(text: str) -> float:
    """`10%` or `0.1` as 0.1. Raises Problem for anything else."""
    if match := re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(%?)\s*", text):
        value = float(match[1]) / (100 if match[2] else 1)
        if value <= 1:
            return value
    raise Problem(f"{one_line(text, 40)!r} is no share.", "Write 10% or 0.1.")


def seconds_of(text: str) -> float:
    """`90`, `30s`, `5m`, `2h` or `1d` in seconds. Raises Problem for anything else."""
    if match := re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*", text):
        value = float(match[1]) * UNITS[match[2]]
        if 0 < value <= 7 * 86400:
            return value
    raise Problem(f"{one_line(text, 40)!r} is no time up to 7 days.", "Write 30s, 5m or 2h.")


class Judge:
    """Whether a variant's answers show that it errs more often than the limit: exact binomial over its last WINDOW answers."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.count = 0
        self.errors = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)

    def saw(self, error: bool) -> bool:
        """Count one answer; True where the limit is exceeded. Only an error can exceed it."""
        self._last.append(error)
        self.count += 1
        self.errors += error
        if not error:
            return False
        recent = sum(self._last)
        return recent >= least_errors(len(self._last), self.limit) or (self.errors >= MOST_ERRORS and self.errors > self.limit * self.count)


@lru_cache(maxsize=4096)
def least_errors(count: int, limit: float) -> int:
    """The fewest errors among `count` answers whose chance is below LEVEL where the true rate is `limit`; more than `count`: never."""
    tail, errors = 0.0, count + 1
    while errors > 0:
        tail += math.comb(count, errors - 1) * limit ** (errors - 1) * (1 - limit) ** (count - errors + 1)
        if tail >= LEVEL:
            return errors
        errors -= 1
    return 1
