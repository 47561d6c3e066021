"""Shares of the traffic: drawn, not in turns; a session stays; a target is always met."""

import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from scipy import stats

from workbench.problems import Problem
from workbench.serving.routing import Table

DRAWS = 10_000


def runs_test(sequence: list[str]) -> float:
    """p of the Wald-Wolfowitz test that two kinds come in a random order."""
    first = sum(item == sequence[0] for item in sequence)
    second = len(sequence) - first
    runs = 1 + sum(before != after for before, after in pairwise(sequence))
    mean = 1 + 2 * first * second / (first + second)
    variance = (mean - 1) * (mean - 2) / (first + second - 1)
    return float(2 * stats.norm.sf(abs(runs - mean) / math.sqrt(variance)))


def fair(pick: Callable[[], str], shares: dict[str, float]) -> dict[str, bool]:
    """What a sequence of draws passes: the binomial interval, chi-squared, and the runs test."""
    drawn = [pick() for _ in range(DRAWS)]
    counts = Counter(drawn)
    name = min(shares)
    low, high = stats.binom.interval(0.999, DRAWS, shares[name])
    expected = [DRAWS * share for share in shares.values()]
    chi = stats.chisquare([counts[name] for name in shares], expected).pvalue
    return {"interval": low <= counts[name] <= high, "chi squared": chi > 0.01, "runs": runs_test(drawn) > 0.01}


@pytest.mark.parametrize("weights", [{"a": 0.9, "b": 0.1}, {"a": 1.0, "b": 1.0}, {"a": 45.0, "b": 5.0}])
def test_shares_are_those_of_the_weights_and_in_no_order(weights: dict[str, float]) -> None:
    table = Table({"a": 1, "b": 2}, weights, chance=random.Random(20261129))
    assert all(fair(table.pick, table.shares).values())


@pytest.mark.parametrize("turn", ["ab", "a" * 9 + "b"])
def test_turns_fit_the_shares_and_fail_the_runs_test(turn: str) -> None:
    """The cheat: round robin passes whatever looks at the shares alone."""
    place = iter(range(DRAWS))
    passed = fair(lambda: turn[next(place) % len(turn)], {"a": turn.count("a") / len(turn), "b": 1 / len(turn)})
    assert passed == {"interval": True, "chi squared": True, "runs": False}


def test_ten_draws_of_the_course_stay_in_their_interval() -> None:
    """1 to 1 on ten requests: 2 to 8 of them go to one variant, 19 times of 20."""
    low, high = stats.binom.interval(0.95, 10, 0.5)
    assert (low, high) == (2, 8)
    table = Table({"a": 1, "b": 2}, {"a": 1.0, "b": 1.0}, chance=random.Random(1))
    inside = sum(low <= Counter(table.pick() for _ in range(10))["a"] <= high for _ in range(1000))
    assert 950 < inside < 995


def test_a_session_stays_and_sessions_have_the_shares_of_the_weights() -> None:
    table = Table({"a": 1, "b": 2}, {"a": 9.0, "b": 1.0})
    sessions = [f"visitor-{number}" for number in range(DRAWS)]
    picked = {session: table.pick(session) for session in sessions}
    assert all(table.pick(session) == picked[session] for session in sessions)
    low, high = stats.binom.interval(0.999, DRAWS, 0.1)
    assert low <= Counter(picked.values())["b"] <= high


def test_who_met_the_new_version_stays_with_it_while_its_share_grows() -> None:
    sessions = [f"visitor-{number}" for number in range(2000)]
    few, more = (Table({"a": 1, "b": 2}, {"a": 1 - share, "b": share}) for share in (0.1, 0.3))
    met = {session for session in sessions if few.pick(session) == "b"}
    assert met and all(more.pick(session) == "b" for session in met)


def test_a_target_is_always_met_even_without_weight() -> None:
    table = Table({"a": 1, "b": 2}, {"a": 1.0, "b": 0.0})
    assert {table.pick(target="b") for _ in range(100)} == {"b"}
    assert {table.pick() for _ in range(1000)} == {"a"}


def test_what_cannot_be_picked_is_one_sentence() -> None:
    with pytest.raises(Problem, match=r"There is no variant 'bleu'; did you mean blue\?"):
        Table({"blue": 1}, {"blue": 1.0}).pick(target="bleu")
    with pytest.raises(Problem, match="No variant takes requests now"):
        Table({"a": 1}, {"a": 0.0}).pick()


def test_the_random_sequence_goes_on_over_a_change_of_weights() -> None:
    chance = random.Random(7)
    tables = [Table({"a": 1, "b": 2}, {"a": 1.0, "b": 1.0}, chance=chance) for _ in range(DRAWS)]
    drawn = iter(tables)
    assert all(fair(lambda: next(drawn).pick(), tables[0].shares).values())
