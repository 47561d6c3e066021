"""The mean gradient over all processes, at the end of every backward pass, so that clipping and every optimizer see it.

A lesson calls `loss.backward()` as it does alone. Hooks note which parameters got a gradient; a callback at the end of the pass, where DDP
and FSDP have theirs, sums these gradients over the processes, each weighted by its rows. As the weights add up to 1 and what was there
before is the same everywhere, the sum is also right where gradients of several passes add up.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch.autograd import Variable
from torch.optim import Optimizer

from workbench.problems import Problem
from workbench.training.project import Project
from workbench.training.ranks.group import Group

BUCKET = 1 << 26
"""Bytes that are sent at once: a copy of them is made."""


def parameters(project: Project) -> Iterator[torch.Tensor]:
    """Every tensor that gradients may change: those of optimizers found on it, and those that a checkpoint takes for trained."""
    seen: set[int] = set()
    held = (weight for value in vars(project).values() for optimizer in _optimizers(value) for weight in _weights(optimizer))
    for weight in [*held, *project.trained_arrays().values()]:
        if isinstance(weight, torch.Tensor) and weight.is_leaf and weight.is_floating_point() and id(weight) not in seen:
            seen.add(id(weight))
            yield weight


def _optimizers(value: Any) -> Iterable[Optimizer]:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return [entry for entry in values if isinstance(entry, Optimizer)]


def _weights(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


class Gradients:
    """Sums the gradients of a project's parameters over the processes."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.weight = 0.0
        """This process's share of the step's rows."""
        self.active = False
        """Whether a training step is made: an evaluation or a sample, which the leader makes alone, may have gradients of its own."""
        self._parameters: list[torch.Tensor] = []
        self._known: set[int] = set()
        self._touched: set[int] = set()

    def watch(self, project: Project) -> None:
        """Watch the parameters that are new: a lesson may make, or unfreeze, some on its way."""
        for weight in parameters(project):
            # The list holds them, so that no other tensor gets the same id.
            if id(weight) not in self._known:
                self._known.add(id(weight))
                _hooked(weight, partial(self._accumulated, len(self._parameters)))
                self._parameters.append(weight)

    def begin(self, weight: float) -> None:
        """A step begins; a pass that an error ended has left nothing."""
        self.weight, self.active = weight, True
        self._touched.clear()

    def _accumulated(self, place: int, weight: torch.Tensor) -> None:
        if self.active:
            if not self._touched:
                # Within a pass: the callback belongs to it, and runs when all of its gradients are there.
                Variable._execution_engine.queue_callback(self._reduce)
            self._touched.add(place)

    @torch.no_grad()
    def _reduce(self) -> None:
        touched = torch.zeros(len(self._parameters), dtype=torch.uint8)
        touched[sorted(self._touched)] = 1
        self._touched.clear()
        # What got a gradient in one process alone, as its rows were of another kind, is summed everywhere.
        self._group.any(touched)
        chosen = [self._parameters[place] for place in touched.nonzero().flatten().tolist()]
        for bucket in _buckets(chosen):
            for weight in bucket:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                if weight.grad.is_sparse:
                    raise Problem(
                        "Several processes cannot share sparse gradients.", "Leave out sparse=True, or compute.processes.", cause="error"
                    )
            flat = torch.cat([weight.grad.reshape(-1) for weight in bucket if weight.grad is not None]).mul_(self.weight)
            self._group.sum(flat)
            for weight, part in zip(bucket, torch.split(flat, [weight.numel() for weight in bucket]), strict=True):
                assert weight.grad is not None
                weight.grad.copy_(part.view(weight.shape))


def _hooked(weight: torch.Tensor, hook: Callable[[torch.Tensor], None]) -> None:
    # A frozen one takes no hook, and may be unfrozen later.
    frozen = not weight.requires_grad
    weight.requires_grad_(True)
    weight.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
    weight.requires_grad_(not frozen)


def _buckets(weights: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """The weights of one kind and device, in groups of at most `BUCKET` bytes."""
    kinds: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = {}
    for weight in weights:
        kinds.setdefault((weight.dtype, weight.device), []).append(weight)
    for alike in kinds.values():
        bucket: list[torch.Tensor] = []
        for weight in alike:
            if bucket and sum(other.nbytes for other in bucket) + weight.nbytes > BUCKET:
                yield bucket
                bucket = []
            bucket.append(weight)
        yield bucket
