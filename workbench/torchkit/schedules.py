"""Learning rates over a run, as shares of the recipe's: functions of how much of it is done, so that a run resumes where it was."""

import math

from torch.optim import Optimizer


def one_cycle(done: float, rising: float = 0.3, start: float = 0.04) -> float:
    """The one-cycle policy of Smith and Topin (2019), `done` from 0 to 1: up from `start` to 1 in a line, then down to 0 as a cosine."""
    if done < rising:
        return start + (1 - start) * done / rising
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (done - rising) / (1 - rising)))


def set_rate(optimizer: Optimizer, rate: float, schedule: str = "constant", done: float = 0.0, *, rising: float = 0.3) -> float:
    """Give every group of parameters the rate, or, by the schedule "one-cycle", its part of it now; of that its `share`, if it has one."""
    if schedule == "one-cycle":
        rate *= one_cycle(done, rising)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
    return rate
