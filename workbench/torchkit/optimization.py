"""How weights follow their gradients: the settings of an optimizer and its learning-rate schedule, for every lesson with an optimizer.

A lesson's Config inherits `Optimization`, or `LearningRate` where the lesson itself chooses the optimizer. Its training step begins with
`config.apply(optimizer, progress)`: that is the one way by which live settings and the schedule reach the optimizer. What it sets depends
on the settings and the progress alone, so a resumed run goes on with the same values, and no lesson needs to be told of a change.
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from workbench.training.project import Settings, live

LIVE = ("momentum", "weight_decay")
"""Live settings that are called as their key in an optimizer's groups of parameters. The learning rate is `lr` there, see `set_rate`."""


def one_cycle(done: float, rising: float = 0.3, start: float = 0.04) -> float:
    """Share of the highest learning rate when the share `done` of a run is over, by the one-cycle policy (Smith and Topin 2019).

    It rises from `start` to 1 in a line during the share `rising`, then falls to 0 as half a cosine.
    """
    if done < rising:
        return start + (1 - start) * done / rising
    # min: behind the end the cosine would rise again.
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (done - rising) / (1 - rising)))


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


def step_size(default: float, about: str = "Step size of the optimizer; higher learns faster and may diverge.") -> Any:
    """A live learning rate with a lesson's own default: `learning_rate: float = step_size(0.003)`."""
    return live(default, gt=0, description=about)


class LearningRate(Settings):
    """Base of a Config: a learning rate and its schedule, for lessons that choose the optimizer themselves."""

    rising: ClassVar[float] = 0.3
    """Share of the run in which one-cycle rises."""

    learning_rate: float = step_size(0.001)
    schedule: Literal["constant", "one-cycle"] = "constant"
    """Learning rate over the run: constant, or one-cycle, which rises to learning_rate and then falls to zero."""

    def apply(self, optimizer: Optimizer, progress: float) -> dict[str, float]:
        """Give the optimizer what it needs for the next step: the learning rate of now, and each live setting that its groups know.

        `progress` is the share of the run that is done. Returns the learning rate as a number to log, where a schedule changes it.
        """
        rate = set_rate(optimizer, self.learning_rate, self.schedule, progress, rising=self.rising)
        for name in LIVE:
            value = getattr(self, name, None)
            # All groups alike: only the learning rate of pre-trained layers is a share of the rest.
            for group in optimizer.param_groups:
                if value is not None and name in group:
                    group[name] = value
        return {} if self.schedule == "constant" else {"learning_rate": rate}


class Optimization(LearningRate):
    """Base of a Config that leaves the choice of the optimizer to a recipe."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """Update rule: sgd follows the gradient, adam scales it for each weight, adamw also decays weights apart from the gradient."""
    momentum: float = live(0.0, ge=0, lt=1, when={"optimizer": "sgd"})
    """Fraction of the previous update that sgd adds to the next one; higher smooths the path and overshoots more."""
    weight_decay: float = live(0.0, ge=0)
    """Strength with which each step shrinks the weights towards zero; higher reduces overfitting, and too high underfits."""

    def make_optimizer(self, parameters: Any) -> Optimizer:
        """The optimizer of these parameters, or groups of them, each with an optional `share` of the learning rate."""
        # Fused: one kernel takes the step of all weights, where else each tensor takes several.
        settings: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}
        if self.optimizer == "sgd":
            return SGD(parameters, momentum=self.momentum, **settings)
        # In SGD and Adam weight decay is a term of the gradient; AdamW decays the weights themselves (Loshchilov and Hutter 2019).
        return (Adam if self.optimizer == "adam" else AdamW)(parameters, **settings)


class Clipping(Settings):
    """Base of a Config: gradient-norm clipping, as the gradients of recurrent networks explode (Pascanu, Mikolov and Bengio 2013)."""

    clip: float = live(5.0, gt=0)
    """Largest norm of the gradient of all weights together; a longer gradient is scaled down to it. Lower is steadier and slower."""

    def clip_gradients(self, parameters: Iterable[Tensor]) -> Tensor:
        """Scale the gradients in place, between backward and the optimizer's step; returns their norm before that."""
        return nn.utils.clip_grad_norm_(parameters, self.clip)
