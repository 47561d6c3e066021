"""A signal through random layers: the exact factors, the ones measured beside them, the gradient, and starts that send nothing."""

import math
from typing import Any, get_args

import numpy as np
import pytest
from exploring import asked

from workbench.events import Curve
from workbench.problems import Problem
from workbench.projects.convolutional_networks import weight_init_signal
from workbench.projects.convolutional_networks.weight_init_signal import activated, bounds, deviation, drawn, slope

KEPT = {"normal-rule": 2.0**-5, "uniform-rule": 6.0**-5, "default": 6.0**-5, "he": 1.0}
"""Of the root mean square, what is left after ten layers with ReLU: √(n · variance / 2) to the tenth."""


def rows(answer: dict[str, Any], table: str) -> dict[str, list[Any]]:
    return {row[0]: row[1:] for row in answer[table].rows}


def test_the_recipe_gives_the_exact_factors_of_ten_layers() -> None:
    table = rows(asked("weight-init-signal"), "starts")
    assert list(table) == list(get_args(weight_init_signal.Start))
    for start, kept in KEPT.items():
        assert float(table[start][2]) == pytest.approx(kept, rel=1e-5)
        assert float(table[start][1]) == pytest.approx(kept**0.1, rel=1e-5)
    assert KEPT["normal-rule"] == 0.03125 and KEPT["uniform-rule"] == pytest.approx(1.286e-4, rel=1e-3)
    assert table["ones"][1] == table["uniform-0-1"][1] == "grows" and table["zeros"][1] == "0"


@pytest.mark.parametrize("start", KEPT)
def test_what_is_measured_is_near_what_is_expected(start: str) -> None:
    forward, backward = [], []
    for seed in range(3):
        layers = rows(asked("weight-init-signal", initialisation=start, seed=seed), "layers")
        forward.append(layers["10"][0] / layers["0"][0])
        backward.append(layers["0"][3] / layers["10"][3])
    # The mean of three draws of 256 units; a factor of a layer that is 5 % off would be 60 % off here.
    for kept in (forward, backward):
        assert np.exp(np.mean(np.log(kept))) == pytest.approx(KEPT[start], rel=0.3)


def test_both_curves_are_straight_on_their_logarithmic_axis() -> None:
    answer = asked("weight-init-signal")
    for panel, first in (("signal", 0), ("gradient", 10)):
        expected, measured = answer[f"{panel}/expected"], answer[f"{panel}/measured"]
        steps = np.diff(expected.y) * (1 if first == 0 else -1)
        assert steps == pytest.approx([math.log10(0.5) / 2] * 10)
        assert expected.y[first] == measured.y[first] and len(measured.y) == 11
        assert np.abs(np.subtract(expected.y, measured.y)).max() < 0.2


def test_a_gain_multiplies_every_layer() -> None:
    once, twice = (rows(asked("weight-init-signal", gain=gain), "layers") for gain in (1, math.sqrt(2)))
    assert twice["10"][0] / once["10"][0] == pytest.approx(32)
    assert rows(asked("weight-init-signal", gain=math.sqrt(2)), "starts")["normal-rule"][2] == "1"
    he = rows(asked("weight-init-signal", initialisation="he"), "layers")
    assert he["10"][0] == pytest.approx(twice["10"][0])


def test_zeros_send_nothing_and_ones_explode() -> None:
    answer = asked("weight-init-signal", initialisation="zeros")
    layers = rows(answer, "layers")
    assert layers["1"][0] == layers["10"][0] == 0 and layers["9"][3] == 0 and layers["10"][2] == 1
    # Only the layer of the noise itself has a logarithm.
    assert answer["signal/measured"].x == [0] and answer["gradient/measured"].x == [10]
    layers = rows(asked("weight-init-signal", initialisation="ones", layers=16), "layers")
    # Equal units: from the second layer on, each sum is 256 times the same number.
    assert layers["16"][1] == pytest.approx(256) and layers["16"][0] > 1e30


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "none"])
def test_the_gradient_is_that_of_the_activation(activation: str) -> None:
    sums = np.array([-30.0, -2.0, -0.3, 0.4, 1.0, 30.0])
    outputs = activated(sums, activation)
    small = 1e-6
    expected = (activated(sums + small, activation) - activated(sums - small, activation)) / (2 * small)
    assert slope(sums, outputs, activation) == pytest.approx(expected, abs=1e-6)


def test_starts_draw_what_they_say() -> None:
    assert bounds("default", 784)[1] == pytest.approx(0.0357143, abs=5e-8) == 1 / 28
    for start in get_args(weight_init_signal.Start):
        weights = drawn(start, 256, 0, 0)
        assert weights.std() == pytest.approx(deviation(start, 256), rel=0.01)
        assert weights.mean() == pytest.approx({"ones": 1, "uniform-0-1": 0.5}.get(start, 0), abs=0.005)


def test_histograms_narrow_from_layer_to_layer() -> None:
    answer = asked("weight-init-signal")
    curves = [answer[f"sums/layer {layer}"] for layer in (1, 5, 10)]
    spreads = [math.sqrt(np.average(np.square(curve.x), weights=curve.y)) for curve in curves]
    assert all(isinstance(curve, Curve) and 0.99 < sum(curve.y) <= 1 for curve in curves)
    assert spreads[0] > 2 * spreads[1] > 4 * spreads[2]
    assert sum(tag.startswith("sums/") for tag in asked("weight-init-signal", layers=1)) == 1


@pytest.mark.parametrize(
    "fields", [{"gain": 0}, {"gain": float("nan")}, {"layers": 17}, {"width": 8}, {"initialisation": "xavier"}, {"seed": -1}]
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any]) -> None:
    with pytest.raises(Problem, match=next(iter(fields))) as raised:
        asked("weight-init-signal", **fields)
    assert raised.value.cause == "data"
