"""dlwb, a deep-learning workbench for the terminal."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.elsewhere.run import Run

__version__ = "0.1.0"
__all__ = ["Run", "__version__"]


def __getattr__(name: str) -> Any:
    """`from workbench import Run`, for people's own scripts; imported only where it is asked for, as everything imports this module."""
    if name == "Run":
        from importlib import import_module

        return import_module("workbench.elsewhere.run").Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
