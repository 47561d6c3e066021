"""What lessons in PyTorch share, and one door for people's own files: `from workbench.torchkit import TorchProject, Settings, live`.

Each name is imported when it is asked for, so that a lesson which needs one kit does not pay for the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.events import Curve, Images, Matrix, Scalars, Scatter, Table, Text
    from workbench.torchkit.batches import InMemory
    from workbench.torchkit.project import TorchProject
    from workbench.torchkit.schedules import set_rate
    from workbench.training.project import Batches, Field, Own, Request, Settings, live

_HOMES = {
    "workbench.events": ("Curve", "Images", "Matrix", "Scalars", "Scatter", "Table", "Text"),
    "workbench.torchkit.batches": ("InMemory",),
    "workbench.torchkit.project": ("TorchProject",),
    "workbench.torchkit.schedules": ("set_rate",),
    "workbench.training.project": ("Batches", "Field", "Own", "Request", "Settings", "live"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Batches",
    "Curve",
    "Field",
    "Images",
    "InMemory",
    "Matrix",
    "Own",
    "Request",
    "Scalars",
    "Scatter",
    "Settings",
    "Table",
    "Text",
    "TorchProject",
    "live",
    "set_rate",
]


def __getattr__(name: str) -> Any:
    """The door's names, from where they are defined."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
