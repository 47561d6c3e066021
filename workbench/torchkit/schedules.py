"""Learning-rate schedules: how large a share of its learning rate an optimizer takes at each moment of a run."""

import math

from torch.optim import Optimizer


def one_cycle(done: float, rising: float = 0.3, start: float = 0.04) -> float:
    """Share of the highest learning rate when the share `done` of a run is over, by the one-cycle policy (Smith and Topin 2019).

    It rises from `start` to 1 in a line during the share `rising`, then falls to 0 as half a cosine.
    """
    if done < rising:
        return start + (1 - start) * done / rising
    # min: behind the end the cosine would rise again.
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (done - rising) / (1 - rising)))


def decay(kind: str, done: float, last: float, drops: int = 3) -> float:
    """Share of the learning rate when the share `done` of a run is over; it falls from 1 to `last`.

    "exponential" falls by the same factor at each step, "step" in `drops` equal factors at equal distances, "cosine" as half a cosine
    (Loshchilov and Hutter 2017).
    """
    done = min(1.0, done)
    if kind == "cosine":
        return last + (1 - last) * (0.5 + 0.5 * math.cos(math.pi * done))
    if kind == "step":
        # min: the last part of the run has the last rate, also at its very end.
        done = min(drops, math.floor(done * (drops + 1))) / drops
    return float(last**done)


def set_rate(optimizer: Optimizer, rate: float, schedule: str = "constant", done: float = 0.0, *, rising: float = 0.3) -> float:
    """Give every group of parameters its learning rate for the next step, and return that rate.

    With `schedule` "one-cycle" `rate` is the highest of the run, of which the share `done` is over. A group's `share`, where it has one,
    multiplies its own rate: pre-trained layers are fine-tuned with a lower one.
    """
    if schedule == "one-cycle":
        rate *= one_cycle(done, rising)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
    return rate
