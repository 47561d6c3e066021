"""What a network's weights and gradients look like: norms, the share near zero, a histogram, and the gradient's norm layer by layer."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from workbench.events import Curve, Event, Scalars

NEAR = 1e-3
"""A weight whose absolute value is below this counts as near zero."""
BINS = 81
"""Bars of a histogram: an odd number, so that zero lies in the middle of one."""


def weight_matrices(network: nn.Module) -> list[Tensor]:
    """The weights of all layers without their biases, and without the scales of batch norm."""
    return [weight.detach() for weight in network.parameters() if weight.dim() > 1]


def weight_events(network: nn.Module) -> Iterator[Event]:
    """Numbers `near_zero` (share of |w| < NEAR), `zeros` (share of w = 0), `abs_sum` (Σ|w|) and `norm` (√Σw²), and the histogram `weights`.

    The histogram is the decimal logarithm of one more than how many weights are in each of BINS equal bins.
    """
    weights = torch.cat([weight.flatten() for weight in weight_matrices(network)])
    size = weights.abs()
    share = {"near_zero": (size < NEAR).float().mean(), "zeros": (size == 0).float().mean()}
    sums = {"abs_sum": size.double().sum(), "norm": size.double().square().sum().sqrt()}
    yield Scalars(values={name: float(value) for name, value in {**share, **sums}.items()})
    most = float(size.max()) or 1.0
    # A diverged network has no histogram.
    if math.isfinite(most):
        counts = torch.histc(weights.cpu(), BINS, -most, most)
        middles = (torch.arange(BINS) + 0.5) / BINS * 2 * most - most
        yield Curve(tag="weights", x=middles.tolist(), y=(counts + 1).log10().tolist(), labels=("weight", "log10 of 1 + count"))


def gradient_norms(network: nn.Module, loss: Tensor) -> list[float]:
    """√Σg² of the gradient of `loss` to the weights of each layer, the first layer first; the parameters' own `.grad` stay as they are."""
    weights = [weight for weight in network.parameters() if weight.dim() > 1]
    return [float(gradient.norm()) for gradient in torch.autograd.grad(loss, weights)]


def gradient_events(norms: list[float]) -> Iterator[Event]:
    """Numbers `gradient/first` and `gradient/last`, and the curve `gradient by layer`, in decimal logarithms."""
    yield Scalars(values={"gradient/first": norms[0], "gradient/last": norms[-1]})
    layers = [float(number) for number in range(1, len(norms) + 1)]
    # A gradient of exactly 0 has no logarithm: it is drawn at the bottom of what float32 can hold.
    heights = [math.log10(max(norm, 1e-38)) if math.isfinite(norm) else math.nan for norm in norms]
    yield Curve(tag="gradient by layer", x=layers, y=heights, labels=("layer", "log10 of the norm"))
