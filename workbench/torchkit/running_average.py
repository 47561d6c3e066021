"""A network whose weights are the running average of another one's: it is steadier than the weights of any one step."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class RunningAverage(AveragedModel):
    """Exponential moving average of a network's weights and buffers: a step keeps the share `memory` of it, less at first."""

    def __init__(self, model: nn.Module, memory: float) -> None:
        # The buffers, too: batch norm's running averages belong to the weights that they were measured with.
        super().__init__(model, use_buffers=True)
        self.memory = memory

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the weights of now. AveragedModel's own would send its count of steps to the device, once for each tensor."""
        mine, theirs = ([*network.parameters(), *network.buffers()] for network in (self.module, model))
        pairs = list(zip(mine, theirs, strict=True))
        averages, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        # After n steps it reaches back over about n / 9 of them, to forget untrained weights: the rule of TensorFlow's
        # ExponentialMovingAverage, (1 + n) / (10 + n). A weight of 1 copies. The count of steps lies on the CPU: nothing waits for it.
        weight = float((9 / (self.n_averaged + 10)).clamp(min=1 - self.memory)) if self.n_averaged else 1.0
        torch._foreach_lerp_(averages, values, weight)
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)
        self.n_averaged += 1
