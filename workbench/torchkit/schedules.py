"""The door by which people's own projects import `set_rate`; it is defined in `optimization`."""

from workbench.torchkit.optimization import one_cycle, set_rate

__all__ = ["one_cycle", "set_rate"]
