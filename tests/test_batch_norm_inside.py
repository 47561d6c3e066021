"""Batch normalisation inside: the exact numbers, the same as torch's layer in both modes, small batches, and what cannot be normalised."""

from typing import Any

import numpy as np
import pytest
import torch
from exploring import asked

from workbench.problems import Problem

NAME = "batch-norm-inside"
WIDE = {
    "batch": [[1, -3, 5], [2, 8, 5.5], [4, 0, -20], [4, 1, 7], [-9, 2, 0.1]],
    "gamma": 1.5,
    "beta": -0.7,
    "epsilon": 0.01,
    "momentum": 0.3,
}


def column(events: dict[str, Any], name: str, tag: str = "normalised") -> list[float]:
    return [row[events[tag].columns.index(name)] for row in events[tag].rows]


def statistics(events: dict[str, Any]) -> dict[str, list[float]]:
    return {row[0]: row[1:] for row in events["statistics"].rows}


def test_the_numbers_of_one_to_four() -> None:
    events = asked(NAME)
    assert column(events, "x̂") == pytest.approx([-1.341635, -0.447212, 0.447212, 1.341635], abs=5e-7)
    table = statistics(events)
    assert table["mean"] == [2.5] and table["variance, over n"] == [1.25]
    assert table["variance, over n − 1"] == pytest.approx([1.666667], abs=5e-7)
    assert table["running mean"] == pytest.approx([0.25]) and table["running variance"] == pytest.approx([1.066667], abs=5e-7)
    assert table["mean of x̂"] == pytest.approx([0], abs=1e-12) and table["standard deviation of x̂"] == pytest.approx([1], abs=1e-5)


def test_division_by_the_variance_is_another_thing() -> None:
    """The notes' formula, which is the cheat of this lesson."""
    events = asked(NAME)
    wrong = events["divided by the variance"].values
    assert np.ravel(wrong) == pytest.approx([-1.2, -0.4, 0.4, 1.2], abs=2e-5)
    assert column(events, "x̂") != pytest.approx(np.ravel(wrong), abs=0.01)
    assert min(column(events, "x̂")) < 0 and max(column(events, "x̂")) > 1, "not between 0 and 1"


@pytest.mark.parametrize("steps", [0, 1, 7, 100])
def test_both_modes_are_torch_s(steps: int) -> None:
    batch = torch.tensor(WIDE["batch"], dtype=torch.float64)
    layer = torch.nn.BatchNorm1d(3, eps=0.01, momentum=0.3).double()
    with torch.no_grad():
        layer.weight.fill_(1.5)
        layer.bias.fill_(-0.7)
        for _ in range(steps):
            layer(batch)
        averages = layer.running_mean.tolist(), layer.running_var.tolist()
        evaluation, training = layer.eval()(batch), layer.train()(batch)
    events = asked(NAME, **WIDE, steps=steps)
    table = statistics(events)
    assert (table["running mean"], table["running variance"]) == (pytest.approx(averages[0]), pytest.approx(averages[1]))
    for place in range(3):
        assert column(events, "training", f"normalised/x{place + 1}") == pytest.approx(training[:, place].tolist())
        assert column(events, "evaluation", f"normalised/x{place + 1}") == pytest.approx(evaluation[:, place].tolist())


def test_the_start_still_weighs_a_tenth_after_22_steps() -> None:
    events = asked(NAME, steps=22)
    assert events["share of the start/left"].y[22] == pytest.approx(0.0985, abs=5e-5)
    mean = events["running averages of x1/mean"].y
    assert mean[22] == pytest.approx(2.5 * (1 - 0.9**22)) and len(mean) == 101
    assert statistics(events)["running mean"] == pytest.approx([mean[22]])
    assert asked(NAME, momentum=1)["running averages of x1/mean"].y[1] == 2.5


@pytest.mark.parametrize("pair", [(1, 2), (-50, 80), (3, 3.5)])
def test_two_examples_always_become_minus_one_and_one(pair: tuple[float, float]) -> None:
    assert column(asked(NAME, batch=[[pair[0]], [pair[1]]]), "x̂") == pytest.approx([-1, 1], abs=1e-4)


def test_in_training_an_example_depends_on_its_neighbours_and_in_evaluation_not() -> None:
    before, after = asked(NAME), asked(NAME, batch=[[1], [2], [3], [40]])
    assert column(before, "training")[0] != pytest.approx(column(after, "training")[0], abs=0.1)
    # With the start's averages alone, which know no batch.
    before, after = asked(NAME, steps=0), asked(NAME, steps=0, batch=[[1], [2], [3], [40]])
    assert column(before, "evaluation")[:3] == column(after, "evaluation")[:3]


def test_a_constant_that_is_added_goes_lost_and_gamma_and_beta_bring_it_back() -> None:
    assert column(asked(NAME, batch=[[11], [12], [13], [14]]), "x̂") == pytest.approx(column(asked(NAME), "x̂"))
    back = asked(NAME, gamma=(1.25 + 1e-5) ** 0.5, beta=2.5)
    assert column(back, "training") == pytest.approx([1, 2, 3, 4])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"batch": [[1]]}, "batch has one example, and training mode wants two or more"),
        ({"batch": [[5, 1], [5, 2]], "epsilon": 0}, "epsilon must be above 0 here, as the variance of column 1 of batch is 0"),
        ({"batch": []}, "batch must have 1 or more items"),
        ({"batch": [[1], [2, 3]]}, "batch: all rows must have equally many numbers"),
        ({"batch": [[101], [0]]}, "batch.0.0 must be at most 100"),
        ({"batch": [[float("nan")], [0]]}, "batch.0.0"),
        ({"momentum": 1.1}, "momentum must be at most 1"),
        ({"steps": 101}, "steps must be at most 100"),
    ],
)
def test_bad_input_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(NAME, **fields)
    assert raised.value.message.startswith(says) and raised.value.cause == "data"


def test_a_constant_feature_becomes_zero() -> None:
    assert column(asked(NAME, batch=[[5, 1], [5, 2]]), "x̂", "normalised/x1") == [0, 0]
