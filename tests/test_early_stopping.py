"""Early stopping against a definition that goes through all evaluations anew each time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.problems import Problem
from workbench.training.early_stopping import EarlyStopping

values = st.lists(st.one_of(st.integers(0, 6).map(float), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=40)


@given(values, st.integers(0, 5), st.sampled_from(["valid/loss", "valid/accuracy"]))
def test_it_stops_when_the_definition_does(evaluations: list[float], patience: int, metric: str) -> None:
    stopping = EarlyStopping(metric)
    sign = -1 if metric == "valid/loss" else 1
    for index, value in enumerate(evaluations):
        earlier = [sign * one for one in evaluations[:index] if math.isfinite(one)]
        better = math.isfinite(value) and all(sign * value > one for one in earlier)
        assert stopping.judge({metric: value, "valid/other": 1.0}) == better
        finite = [sign * one for one in evaluations[: index + 1] if math.isfinite(one)]
        best = max(finite, default=None)
        assert stopping.best == (None if best is None else sign * best)
        since = index - evaluations.index(stopping.best) if best is not None else index + 1
        assert stopping.stale == since
        assert stopping.is_over(patience) == (patience > 0 and since >= patience)


def test_without_a_metric_nothing_is_better_and_nothing_is_over() -> None:
    stopping = EarlyStopping("")
    assert not any(stopping.judge({"valid/loss": value}) for value in (3.0, 2.0, 1.0))
    assert not stopping.is_over(1)


def test_a_metric_that_is_not_measured_is_named_with_those_that_are() -> None:
    with pytest.raises(Problem, match=r"train\.keep_best names valid/lost, which is not measured\. Measured are: valid/loss\."):
        EarlyStopping("valid/lost").judge({"valid/loss": 1.0})
