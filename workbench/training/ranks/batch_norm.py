"""Batch norm over the rows of all processes: as one process has it, whatever the device. torch's SyncBatchNorm needs a GPU."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from workbench.training.project import Project
from workbench.training.ranks.gradients import Gradients
from workbench.training.ranks.group import Group


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; the gradient goes back to each of them.

    At the end every process's gradients are weighted by its rows, so the gradient of the mean loss with respect to what this process gave
    is the weighted sum of all, divided by its own weight.
    """

    @staticmethod
    def forward(context: Any, values: Tensor, group: Group, weight: float) -> Tensor:
        context.group, context.weight = group, weight
        total = values.clone()
        group.sum(total)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total = gradient * context.weight
        context.group.sum(total)
        return total / context.weight if context.weight else torch.zeros_like(total), None, None


def synchronise(project: Project, group: Group, gradients: Gradients) -> int:
    """Let every batch norm found on a project see the rows of all processes in a training step; returns their number."""
    count = 0
    for norm in _norms(project):
        norm.forward = partial(_forward, norm, norm.forward, group, gradients)  # type: ignore[method-assign]
        count += 1
    return count


def _norms(project: Project) -> Iterator[_BatchNorm]:
    seen: set[int] = set()
    for value in vars(project).values():
        for part in value.modules() if isinstance(value, nn.Module) else ():
            if isinstance(part, _BatchNorm) and id(part) not in seen:
                seen.add(id(part))
                yield part


def _forward(norm: _BatchNorm, alone: Any, group: Group, gradients: Gradients, values: Tensor) -> Tensor:
    """(rows, channels, …) → the same. In evaluation mode, and where the leader alone computes, each has what it had."""
    output: Tensor
    if not gradients.active or not norm.training:
        output = alone(values)
        return output
    norm._check_input_dim(values)  # type: ignore[no-untyped-call]
    others = [axis for axis in range(values.dim()) if axis != 1]
    shape = [1, -1, *[1] * (values.dim() - 2)]
    # The sums of many squares: bfloat16 would lose them.
    exact = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
    # A row that only takes part, where there are fewer rows than processes, counts nothing.
    counts = float(gradients.weight > 0)
    size = exact.new_tensor([counts * exact.numel() / exact.shape[1]])
    total = _Sum.apply(torch.cat([exact.sum(others) * counts, size]), group, gradients.weight)
    number = total[-1].detach()
    mean = total[:-1] / number
    centred = exact - mean.view(shape)
    # From the differences, in a second sum: the difference of large sums would lose its digits.
    variance = _Sum.apply(centred.square().sum(others) * counts, group, gradients.weight) / number
    _follow(norm, mean, variance, float(number))
    normal = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        normal = normal * norm.weight.view(shape)
    if norm.bias is not None:
        normal = normal + norm.bias.view(shape)
    output = normal.to(values.dtype)
    return output


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor, number: float) -> None:
    """Move the running averages towards the batch's, as torch does: the variance without bias."""
    if norm.running_mean is None or norm.running_var is None:
        return
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    momentum = norm.momentum
    if momentum is None:
        assert norm.num_batches_tracked is not None
        momentum = 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_((variance * (number / max(1.0, number - 1))).to(norm.running_var.dtype), momentum)
