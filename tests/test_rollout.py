"""What a change makes of a configuration, and when a variant is judged to be worse than its limit."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy import stats

from workbench.problems import Problem
from workbench.serving.endpoint import Canary, Config, VariantPlan
from workbench.serving.rollout import LEVEL, Change, Judge, changed, least_errors, plan_of, reweighted, seconds_of, share_of


def folder(reference: str) -> Any:
    """A model by reference, as the store gives it."""
    name, _, version = reference.replace("@champion", ":4").partition(":")
    number = int(version or 1)
    return SimpleNamespace(
        model=SimpleNamespace(name=name, version=number), digest=f"{number:064x}", path=Path(name) / str(number), label=f"{name}:{number}"
    )


def plan(version: int, weight: float = 1.0) -> VariantPlan:
    return VariantPlan(name=str(version), model=f"digits/{version}", digest=f"{version:064x}", weight=weight)


THREE = Config(variants=[plan(3)])


def weights(change: Change, config: Config = THREE) -> dict[str, float]:
    return changed(config, change, folder).weights()


def test_a_version_alone_replaces_the_others() -> None:
    assert weights(Change(variants=[("4", None)])) == {"4": 1.0}
    assert weights(Change(variants=[("@champion", None)])) == {"4": 1.0}


def test_a_share_leaves_the_rest_to_the_others_in_their_proportions() -> None:
    assert weights(Change(variants=[("4", 0.1)])) == {"3": 0.9, "4": 0.1}
    two = Config(variants=[plan(1, 3.0), plan(2, 1.0)])
    assert weights(Change(variants=[("4", 0.2)]), two) == pytest.approx({"1": 0.6, "2": 0.2, "4": 0.2})
    assert weights(Change(variants=[("3", 0.5), ("linear", 0.5)])) == {"3": 0.5, "linear-1": 0.5}


def test_a_canary_has_its_share_at_first_and_all_in_the_end() -> None:
    config = changed(THREE, Change(variants=[("4", 0.1)], seconds=300), folder)
    assert config.canary == Canary(variant="4", share=0.1, seconds=300)
    assert config.weights() == {"3": 0.9, "4": 0.1}
    assert config.weights(0.5) == {"3": 0.5, "4": 0.5}
    after = config.after_canary()
    assert after.canary is None and after.weights() == {"4": 1.0}


def test_a_shadow_has_no_traffic() -> None:
    config = changed(THREE, Change(shadow="4"), folder)
    assert config.shadow == "4" and config.weights() == {"3": 1.0, "4": 0.0}
    assert [variant.name for variant in changed(config, Change(shadow=""), folder).variants] == ["3"]
    # Nor does it become one of those that share what a new version leaves.
    assert weights(Change(variants=[("5", 0.5)]), config) == {"3": 0.5, "4": 0.0, "5": 0.5}
    promoted = changed(config, Change(variants=[("4", 0.5)]), folder)
    assert promoted.shadow == "" and promoted.weights() == {"3": 0.5, "4": 0.5}


@pytest.mark.parametrize(
    "change, says",
    [
        (Change(variants=[("4", 0.6), ("5", 0.6)]), "add up to 120%"),
        (Change(variants=[("4", 0.1), ("5", 0.1)], seconds=60), "one variant with a time"),
        (Change(variants=[("3", 0.1)], seconds=60), "has all the traffic already"),
        (Change(shadow="3"), "answers requests already"),
        (Change(limits={"speed": 1.0}), "limits cannot be used"),
        (Change(limits={"errors": 2.0}), "limits cannot be used"),
    ],
)
def test_what_cannot_be_is_one_sentence(change: Change, says: str) -> None:
    with pytest.raises(Problem, match=says):
        changed(THREE, change, folder)


def test_another_model_under_a_version_that_is_served_is_refused() -> None:
    other = Config(variants=[VariantPlan(name="3", model="digits/3", digest="f" * 64)])
    with pytest.raises(Problem, match="not the model that the variant 3 has"):
        changed(other, Change(variants=[("3", 0.5)]), folder)


def test_variants_are_named_by_version_and_other_models_by_both() -> None:
    assert plan_of("4", "digits", folder).name == "4"
    assert plan_of("linear:2", "digits", folder).name == "linear-2"
    assert plan_of("digits:2", "", folder).name == "digits-2"


def test_live_weights() -> None:
    assert reweighted({"3": 0.9, "4": 0.1}, {"4": 0.15}) == {"3": 0.85, "4": 0.15}
    assert reweighted({"3": 0.9, "4": 0.1}, {"4": 1.0}) == {"3": 0.0, "4": 1.0}
    # Proportions of nothing are equal parts; a shadow gets none.
    assert reweighted({"3": 0.0, "4": 1.0, "5": 0.0}, {"4": 0.9}, "5") == pytest.approx({"3": 0.1, "4": 0.9, "5": 0.0})
    assert reweighted({"3": 1.0}, {"3": 0.5}) == {"3": 1.0}
    for named, says in (({"5": 0.1}, "no variant '5'"), ({"4": float("nan")}, "0 to 100%"), ({"4": 1.5}, "0 to 100%")):
        with pytest.raises(Problem, match=says):
            reweighted({"3": 0.9, "4": 0.1}, named)


def test_words_of_shares_and_times() -> None:
    assert [share_of(text) for text in ("10%", "0.1", "100 %", "2.5%")] == [0.1, 0.1, 1.0, 0.025]
    assert [seconds_of(text) for text in ("90", "30s", "5m", "2h", "1d")] == [90, 30, 300, 7200, 86400]
    for text in ("", "10", "-1%", "nan", "110%", "ten"):
        with pytest.raises(Problem, match="is no share"):
            share_of(text)
    for text in ("", "0", "-5m", "5 weeks", "8d"):
        with pytest.raises(Problem, match="is no time"):
            seconds_of(text)


def test_least_errors_is_the_exact_binomial_threshold() -> None:
    for count in (1, 2, 3, 20, 100):
        least = least_errors(count, 0.05)
        assert stats.binom.sf(least - 1, count, 0.05) < LEVEL <= stats.binom.sf(least - 2, count, 0.05)
    assert least_errors(2, 0.05) == 3 and least_errors(3, 0.05) == 3
    assert least_errors(50, 0.0) == 1


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.3])
def test_a_bad_version_is_judged_within_20_errors(rate: float) -> None:
    for seed in range(200):
        chance, judge, errors = random.Random(seed), Judge(0.05), 0
        while True:
            wrong = chance.random() < rate
            errors += wrong
            if judge.saw(wrong):
                break
        assert errors <= 20


def test_a_good_version_is_left_alone() -> None:
    """1 error in 100 where 5 are allowed: 200 canaries of 2,000 requests."""
    taken_back = 0
    for seed in range(200):
        chance, judge = random.Random(seed), Judge(0.05)
        taken_back += any(judge.saw(chance.random() < 0.01) for _ in range(2000))
    assert taken_back <= 2
