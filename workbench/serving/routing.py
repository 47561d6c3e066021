"""Which variant answers a request: a frozen table that is replaced whole, so that a change falls between two requests."""

import hashlib
import math
import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Generic, TypeVar

from workbench.problems import Problem
from workbench.serving.endpoint import unknown_variant

V = TypeVar("V")


@dataclass(frozen=True)
class Table(Generic[V]):
    """Variants by name, and how the requests are shared among them."""

    variants: Mapping[str, V] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    """Relative: 1 and 1 are halves. A variant without one, or with 0, answers only requests that name it."""
    shadow: str = ""
    """The variant that gets a copy of each request after it is answered; "" for none."""
    chance: random.Random = field(default_factory=random.Random, compare=False, repr=False)
    """Shared by the tables that follow one another, so that a change of weights does not begin its sequence anew."""

    @cached_property
    def shares(self) -> dict[str, float]:
        """The part of the traffic that each variant gets, from 0 to 1; only those that get any."""
        total = sum(self.weights.values())
        return {name: weight / total for name, weight in self.weights.items() if weight > 0 and name in self.variants}

    @cached_property
    def _ladder(self) -> tuple[list[str], list[float]]:
        names = list(self.shares)
        return names, list(accumulate(self.shares.values()))

    def pick(self, session: str = "", target: str = "") -> str:
        """The variant of one request: `target` where it names one; the same for the same session; else drawn by the weights.

        Not in turns: turns fit the weights too well, and a client that asks periodically would always meet the same variant.
        """
        if target:
            if target not in self.variants:
                raise unknown_variant(target, self.variants)
            return target
        names, steps = self._ladder
        if not names:
            raise Problem("No variant takes requests now.", "Ask again in a moment.")
        if len(names) == 1:
            return names[0]
        if session:
            return max(names, key=lambda name: _score(session, name, self.shares[name]))
        # min: sums of shares may fall short of 1 by a rounding error.
        return names[min(bisect_right(steps, self.chance.random() * steps[-1]), len(names) - 1)]


def _score(session: str, name: str, share: float) -> float:
    """Weighted rendezvous hashing (Schindelhauer, Schomaker 2005): the highest score wins in proportion to the shares.

    A changed weight moves only as many sessions as it must: who has met the new version stays with it while its share grows.
    """
    digest = hashlib.blake2b(f"{session}\0{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    # 52 bits and a half: inside (0, 1) and exact, so that the logarithm is finite and not 0.
    uniform = ((int.from_bytes(digest) >> 12) + 0.5) / 2**52
    return share / -math.log(uniform)
