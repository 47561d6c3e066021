"""What a project computes around its networks, as modules that can be exported."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Computed(nn.Module):
    """A function of one batch that uses these networks: as their submodules, so that their weights are weights of the graph."""

    def __init__(self, compute: Callable[[Tensor], Tensor], **networks: nn.Module) -> None:
        super().__init__()
        for name, network in networks.items():
            self.add_module(name, network)
        self.compute = compute

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, …) → (batch, …)."""
        return self.compute(inputs).float()


class Step(nn.Module):
    """One step of a language model: codes (texts, 1) from 1 and the state before → logits (texts, tokens) and the state after.

    A graph has the texts in the first axis of each of its arrays; the layers' own state has them in the third.
    """

    def __init__(self, compute: Callable[[Tensor, Tensor], tuple[Tensor, Any]], network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.compute = compute

    def forward(self, codes: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(texts, 1), (texts, states, layers, hidden units) → (texts, tokens) and the state after."""
        logits, after = self.compute(codes - 1, state.permute(1, 2, 0, 3).contiguous())
        return logits.float(), after.permute(2, 0, 1, 3).contiguous()
