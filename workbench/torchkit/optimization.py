"""How weights follow their gradients: the settings of an optimizer and its learning-rate schedule, for every lesson with an optimizer.

A lesson's Config inherits `Optimization`, or `LearningRate` where the lesson itself chooses the optimizer. Its training step begins with
`config.apply(optimizer, progress)`: that is the one way by which live settings and the schedule reach the optimizer. What it sets depends
on the settings and the progress alone, so a resumed run goes on with the same values, and no lesson needs to be told of a change.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softshrink
from torch.optim import SGD, Adam, AdamW, Optimizer

from workbench.torchkit.schedules import decay, set_rate
from workbench.training.project import Field, Settings, live, only

LIVE = ("momentum", "weight_decay", "l1")
"""Live settings that are called as their key in an optimizer's groups of parameters. The learning rate is `lr` there, see `set_rate`."""
DECAYS = ("step", "exponential", "cosine")
"""Schedules that begin with the learning rate and end with a share of it, see `decay`."""


def step_size(default: float, about: str = "Step size of the optimizer; higher learns faster and may diverge.") -> Any:
    """A live learning rate with a lesson's own default: `learning_rate: float = step_size(0.003)`."""
    return live(default, gt=0, description=about)


class LearningRate(Settings):
    """Base of a Config: a learning rate and its schedule, for lessons that choose the optimizer themselves."""

    rising: ClassVar[float] = 0.3
    """Share of the run in which one-cycle rises."""

    learning_rate: float = step_size(0.001)
    schedule: Literal["constant", "one-cycle", "step", "exponential", "cosine"] = "constant"
    """Learning rate over the run: constant; one-cycle, which rises to learning_rate and then falls to zero; or falling in a few steps, by
    the same factor at each step, or as half a cosine."""
    last_share: float = only(0.01, when={"schedule": DECAYS}, gt=0, le=1)
    """Share of learning_rate that is left at the end of the run; lower settles closer to a minimum, and takes smaller steps on the way."""
    drops: int = only(3, when={"schedule": "step"}, ge=1, le=100)
    """How often the learning rate falls in the run, by equal factors at equal distances; more come closer to an exponential decay."""

    def apply(self, optimizer: Optimizer, progress: float) -> dict[str, float]:
        """Give the optimizer what it needs for the next step: the learning rate of now, and each live setting that its groups know.

        `progress` is the share of the run that is done. Returns the learning rate as a number to log, where a schedule changes it.
        """
        rate = self.learning_rate
        if self.schedule in DECAYS:
            rate *= decay(self.schedule, progress, self.last_share, self.drops)
        rate = set_rate(optimizer, rate, self.schedule, progress, rising=self.rising)
        for name in LIVE:
            value = getattr(self, name, None)
            # All groups alike: only the learning rate of pre-trained layers is a share of the rest.
            for group in optimizer.param_groups:
                # Without a penalty the groups, and so the checkpoints, are those of torch alone.
                if value is not None and (name in group or (name == "l1" and value)):
                    group[name] = value
        return {} if self.schedule == "constant" else {"learning_rate": rate}


class Optimization(LearningRate):
    """Base of a Config that leaves the choice of the optimizer to a recipe."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """Update rule: sgd follows the gradient, adam scales it for each weight, adamw also decays weights apart from the gradient."""
    momentum: float = live(0.0, ge=0, lt=1, when={"optimizer": "sgd"})
    """Fraction of the previous update that sgd adds to the next one; higher smooths the path and overshoots more."""
    weight_decay: float = live(0.0, ge=0)
    """Strength with which each step shrinks the weights towards zero; higher reduces overfitting, and too high underfits.
    It adds weight_decay * w to the gradient: a penalty of λ Σw² on the loss, under sgd, is a weight_decay of 2λ."""
    l1: float = live(0.0, ge=0)
    """Strength λ of the penalty λ Σ|w| on the weights, by soft-thresholding: each step moves every weight towards zero by the learning
    rate times λ, and leaves exact zeros. Higher leaves more of them, and too high underfits."""

    def make_optimizer(self, parameters: Any) -> Optimizer:
        """The optimizer of these parameters, or groups of them, each with an optional `share` of the learning rate."""
        # Fused: one kernel takes the step of all weights, where else each tensor takes several.
        settings: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}
        optimizer: Optimizer
        if self.optimizer == "sgd":
            optimizer = SGD(parameters, momentum=self.momentum, **settings)
        else:
            # In SGD and Adam weight decay is a term of the gradient; AdamW decays the weights themselves (Loshchilov and Hutter 2019).
            optimizer = (Adam if self.optimizer == "adam" else AdamW)(parameters, **settings)
        optimizer.register_step_post_hook(soft_threshold)
        return optimizer


@torch.no_grad()
def soft_threshold(optimizer: Optimizer, *_: Any) -> None:
    """Moves each weight towards zero by its group's learning rate times `l1`, and no further than to zero: the proximal step of λ Σ|w|.

    A step down the sub-gradient λ sign(w) would go past zero and back, and leave no weight at it (Parikh and Boyd 2014, section 6.5.2).
    """
    for group in optimizer.param_groups:
        # Only where there is, or was, a penalty.
        if strength := group.get("l1", 0.0) * group["lr"]:
            for weight in group["params"]:
                weight.copy_(softshrink(weight, strength))


class ClassifierSettings(Optimization):
    """Base of a classifier's Config: those of `Optimization`, and how its labels are smoothed."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each training label that is spread evenly over all classes; higher makes the network less confident."""


class Clipping(Settings):
    """Base of a Config: gradient-norm clipping, as the gradients of recurrent networks explode (Pascanu, Mikolov and Bengio 2013)."""

    clip: float = live(5.0, gt=0)
    """Largest norm of the gradient of all weights together; a longer gradient is scaled down to it. Lower is steadier and slower."""

    def clip_gradients(self, parameters: Iterable[Tensor]) -> Tensor:
        """Scale the gradients in place, between backward and the optimizer's step; returns their norm before that."""
        return nn.utils.clip_grad_norm_(parameters, self.clip)
