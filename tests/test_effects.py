"""How much a setting goes with a metric: as other programs say, not by chance or one diverged run, and nothing where none can tell."""

import itertools
import math
import random

import msgspec
import pytest
from made_runs import RECIPE, make_run
from scipy import stats

from workbench.recipes.recipe import Train
from workbench.runs import compare
from workbench.runs.compare import Side
from workbench.runs.effects import effects, metric_of, ranks
from workbench.runs.history import History
from workbench.runs.summary import Summary

NUMBERS = itertools.count()


def sides(rows: list[dict], metric: str = "valid/loss") -> list[Side]:
    """A side for each row: its settings, and under `y` its figure."""
    made = []
    for number, row in enumerate(rows):
        config = {"data": "digits"} | {name: value for name, value in row.items() if name != "y"}
        recipe = msgspec.structs.replace(RECIPE, config=config, train=Train(keep_best=metric))
        y = row["y"]
        figure = {metric: "None" if y != y else y} if y is not None else {}
        run, summary = make_run(f"run-{next(NUMBERS)}", recipe), Summary(size=1, last=figure, best=figure)
        made.append(Side(run, f"run {number}", recipe, History(), summary))
    return made


def shares(rows: list[dict]) -> dict[str, float | None]:
    chosen = sides(rows)
    return {one.setting.name.removeprefix("config."): one.share for one in effects(chosen, compare.differing(chosen), "valid/loss").ranked}


def test_ranks_are_scipys() -> None:
    values = [3.0, 1.0, 3.0, math.inf, -2.0, 3.0]
    assert ranks(values) == stats.rankdata(values).tolist() and ranks([]) == []


def test_of_repeated_values_it_is_kruskal_and_wallis() -> None:
    rng = random.Random(1)
    rows = [{"rate": rate, "y": rate * 3 + rng.gauss(0, 1)} for rate in (0.1, 0.5, 1.0) for _ in range(6)]
    groups = [[row["y"] for row in rows if row["rate"] == rate] for rate in (0.1, 0.5, 1.0)]
    h, n, k = stats.kruskal(*groups).statistic, len(rows), 3
    # Epsilon squared as Tomczak has it is H / (n - 1), which is η² of the ranks; here it is adjusted for the number of groups.
    assert shares(rows)["rate"] == pytest.approx(1 - (1 - h / (n - 1)) * (n - 1) / (n - k), rel=1e-9)


def test_of_numbers_that_are_all_different_it_is_spearman() -> None:
    rng = random.Random(2)
    rows = [{"rate": rng.random(), "y": 0.0} for _ in range(12)]
    for row in rows:
        row["y"] = row["rate"] ** 3 + rng.gauss(0, 0.1)
    rho = stats.spearmanr([row["rate"] for row in rows], [row["y"] for row in rows]).statistic
    assert shares(rows)["rate"] == pytest.approx(1 - (1 - rho**2) * 11 / 10, rel=1e-9)


def test_the_largest_effect_is_first_and_chance_is_near_nothing() -> None:
    rng = random.Random(3)
    pairs = [(rate, noise) for rate in (0.0, 1.0) for noise in (1, 2) for _ in range(5)]
    rows = [{"rate": rate, "noise": noise, "y": rate + rng.gauss(0, 0.05)} for rate, noise in pairs]
    found = shares(rows)
    assert list(found) == ["rate", "noise"] and found["rate"] > 0.7 and found["noise"] < 0.15


def test_a_u_is_seen_and_one_diverged_run_does_not_decide() -> None:
    rows = [{"rate": rate, "y": abs(rate - 3) + 0.01 * seed} for rate in (1, 2, 3, 4, 5) for seed in range(4)]
    assert shares(rows)["rate"] > 0.8, "a rank correlation would be near 0"
    rates = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]
    rows = [{"rate": rate, "kind": "ab"[place % 2], "y": rate + 0.01 * place} for place, rate in enumerate(rates)]
    rows[0]["y"] = float("nan")
    rows[7]["y"] = 1e30
    assert shares(rows)["kind"] < 0.2


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"rate": 1, "y": 1.0}, {"rate": 2, "y": 2.0}, {"rate": 3, "y": 3.0}], "too few runs"),
        ([{"kind": word, "y": 1.0 * place} for place, word in enumerate("abcde")], "too many values for so few runs"),
        ([{"kind": "ab"[place % 2], "y": 1.0} for place in range(8)], "no difference in the metric"),
        ([{"kind": "ab"[place % 2], "y": None if place % 2 else place * 1.0} for place in range(12)], "all the same"),
    ],
)
def test_where_nothing_can_be_told_it_says_why(rows: list[dict], why: str) -> None:
    chosen = sides(rows)
    [effect] = effects(chosen, compare.differing(chosen), "valid/loss").ranked
    assert (effect.share, effect.why) == (None, why)


def test_few_runs_are_said() -> None:
    few = sides([{"rate": place % 2, "y": place * 1.0} for place in range(6)])
    assert "With 6 runs much of it may be chance." in effects(few, compare.differing(few), "valid/loss").remark
    none = sides([{"rate": place, "y": place * 1.0} for place in range(2)])
    assert effects(none, compare.differing(none), "valid/loss").remark == "2 runs with valid loss cannot tell which setting matters."
    many = sides([{"rate": place % 2, "y": place * 1.0} for place in range(9)])
    remark = effects(many, compare.differing(many), "valid/loss").remark
    assert "share of the variance of valid loss" in remark and "chance" not in remark


def test_the_metric_is_one_of_validation_before_one_of_the_test() -> None:
    both = Summary(size=1, last={"test/accuracy": 1.0, "valid/accuracy": 1.0})
    chosen = [side._replace(summary=both) for side in sides([{"y": 0.0}] * 2)]
    assert metric_of(chosen) == "valid/accuracy"
    assert metric_of([side._replace(summary=Summary(size=1, last={"test/accuracy": 1.0})) for side in chosen]) == "test/accuracy"
    assert metric_of(sides([{"y": 1.0}] * 2)) == "valid/loss" and metric_of([]) == ""
