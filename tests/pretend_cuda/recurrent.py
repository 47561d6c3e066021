"""Recurrent layers on the pretended device: PyTorch asks cuDNN for them above the dispatcher, so they are run on the inner tensors."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch

from pretend_cuda.tensor import Machine, Pretend


class OnCpu(torch.autograd.Function):
    """A whole layer on the CPU tensors inside, forward and backward."""

    @staticmethod
    def forward(ctx: Any, call: Any, device: torch.device, random: Any, *given: Pretend) -> Any:  # type: ignore[override]
        ctx.inner = [value.inner.detach().requires_grad_(value.requires_grad) for value in given]
        with torch.enable_grad(), random:
            ctx.made = call(ctx.inner)
        return tuple(Pretend(value.detach(), device) for value in ctx.made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        wanted = [value for value in ctx.inner if value.requires_grad]
        pairs = [(made, grad.inner) for made, grad in zip(ctx.made, grads, strict=True) if grad is not None and made.requires_grad]
        outputs, upstream = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(outputs, wanted, upstream, allow_unused=True))
        device = next(grad for grad in grads if grad is not None).device
        gradients = [next(found) if value.requires_grad else None for value in ctx.inner]
        return None, None, None, *(None if gradient is None else Pretend(gradient, device) for gradient in gradients)


def recurrent(original: Callable[..., Any], states: int) -> Callable[..., Any]:
    """torch.lstm (two `states`) or torch.gru and torch.rnn_* (one), for tensors that pretend."""

    def call(given: torch.Tensor, hidden: Any, weights: Any, *rest: Any) -> Any:
        if not isinstance(weights, list):
            raise NotImplementedError("pretend_cuda runs no packed sequences")
        hidden = list(hidden) if states == 2 else [hidden]
        everything = [given, *hidden, *weights]
        if not any(isinstance(value, Pretend) for value in everything):
            return original(given, tuple(hidden) if states == 2 else hidden[0], weights, *rest)
        for value in everything:
            if not isinstance(value, Pretend) or value.device != given.device:
                raise RuntimeError(
                    f"Input and hidden or parameter tensors are not at the same device, found {given.device} and {value.device}"
                )
        # cuDNN's layers are on autocast's list of lower precision.
        if torch.is_autocast_enabled("cuda"):
            dtype = torch.get_autocast_dtype("cuda")
            everything = [value.to(dtype) if value.is_floating_point() else value for value in everything]
        dropout, train = rest[2], rest[3]
        random = Machine.watch.drawing(given.device.index) if dropout and train else contextlib.nullcontext()

        def inner(tensors: list[torch.Tensor]) -> Any:
            first, after = tensors[1 : 1 + states], tensors[1 + states :]
            return original(tensors[0], tuple(first) if states == 2 else first[0], after, *rest)

        return OnCpu.apply(inner, given.device, random, *everything)

    return call
