"""Fully connected networks: activations, how weights begin, and that the defaults draw what they always drew."""

import math
from typing import get_args

import pytest
import torch
from torch import nn

from workbench.torchkit.layers import ACTIVATIONS, INITIALISATIONS, Activation, Initialisation, mlp


def weight(initialisation: str, inputs: int = 400) -> torch.Tensor:
    torch.manual_seed(0)
    return mlp(inputs, [300], 2, 0.0, initialisation=initialisation)[1].weight.detach()  # type: ignore[arg-type]


def test_defaults_draw_what_they_always_drew() -> None:
    torch.manual_seed(3)
    layers = [nn.Linear(6, 5), nn.Linear(5, 2)]
    after = torch.rand(1)
    torch.manual_seed(3)
    network = mlp(6, [5], 2, 0.2)
    assert torch.equal(torch.rand(1), after)
    assert [type(layer) for layer in network] == [nn.Flatten, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    for mine, theirs in zip(network.parameters(), (tensor for layer in layers for tensor in layer.parameters()), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("zeros", 0, 0),
        ("ones", 1, 0),
        ("uniform-01", 0.5, 1 / math.sqrt(12)),
        ("uniform-half", 0, 1 / math.sqrt(12)),
        ("uniform-fan-in", 0, 0.05 / math.sqrt(3)),
        ("normal-fan-in", 0, 0.05),
        ("he", 0, 0.05 * math.sqrt(2)),
    ],
)
def test_weights_begin_as_named_with_biases_of_zero(name: str, mean: float, deviation: float) -> None:
    drawn = weight(name)
    assert drawn.mean().item() == pytest.approx(mean, abs=0.005)
    assert drawn.std().item() == pytest.approx(deviation, rel=0.02)
    assert not mlp(4, [3], 2, 0.0, initialisation=name)[1].bias.any()  # type: ignore[arg-type]


def test_default_is_uniform_by_the_number_of_inputs_with_such_biases() -> None:
    drawn = weight("default", 784)
    assert drawn.abs().max().item() == pytest.approx(1 / math.sqrt(784), rel=1e-3)
    assert drawn.std().item() == pytest.approx(weight("uniform-fan-in", 784).std().item(), rel=0.01)
    assert mlp(784, [300], 2, 0.0)[1].bias.any()


@pytest.mark.parametrize(("name", "gain"), [("normal-fan-in", 0.03125), ("uniform-fan-in", 1.286e-4), ("he", 1.0)])
def test_what_ten_relu_layers_leave_of_a_signal(name: str, gain: float) -> None:
    """Each layer multiplies the mean square by n·variance/2 (He et al. 2015)."""
    torch.manual_seed(1)
    layers = [mlp(500, [], 500, 0.0, initialisation=name) for _ in range(10)]  # type: ignore[arg-type]
    signal = start = torch.randn(200, 500).relu() * math.sqrt(2)
    for layer in layers:
        signal = layer(signal).relu()
    # The last ReLU is counted; the root of its mean square against that of the first input.
    ratio = signal.square().mean().sqrt() / start.square().mean().sqrt()
    assert ratio.item() == pytest.approx(gain, rel=0.35)


def test_every_initialisation_has_a_name_that_a_recipe_may_give() -> None:
    assert set(get_args(Initialisation)) == {"default", *INITIALISATIONS}
    assert set(get_args(Activation)) == set(ACTIVATIONS)
