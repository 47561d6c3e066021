"""How a classifier's weights follow the gradient: the settings that projects share, and the optimizer that they make."""

from typing import Any, Literal

from torch.optim import SGD, Adam, Optimizer

from workbench.torchkit.schedules import set_rate
from workbench.training.project import Field, Settings, live


class Descent(Settings):
    """Base of a Config: it has these settings, too."""

    optimizer: Literal["sgd", "adam"] = "adam"
    """how the weights follow the gradient"""
    learning_rate: float = live(0.001, gt=0)
    """length of the optimizer's step"""
    momentum: float = Field(0.0, ge=0, lt=1)
    """share of the last step that sgd takes again"""
    weight_decay: float = Field(0.0, ge=0)
    """pull of the weights towards zero"""
    schedule: Literal["constant", "one-cycle"] = "constant"
    """the learning rate over the run: constant, or one-cycle, up to learning_rate and down to zero"""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """share of each training label that is spread over all classes"""

    def optimizer_of(self, parameters: Any) -> Optimizer:
        """The optimizer of these parameters, or groups of them."""
        rates: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}
        return SGD(parameters, momentum=self.momentum, **rates) if self.optimizer == "sgd" else Adam(parameters, **rates)

    def pace(self, optimizer: Optimizer, progress: float) -> dict[str, float]:
        """Set the learning rate of the next step; returns it, as a number to log, where it changes by itself."""
        rate = set_rate(optimizer, self.learning_rate, self.schedule, progress)
        return {"learning_rate": rate} if self.schedule == "one-cycle" else {}
