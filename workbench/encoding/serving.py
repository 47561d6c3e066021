"""What a project's `serving()` returns: the graph and how raw input becomes its arrays and its output an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.encoding.coding import Coding


@dataclass(frozen=True)
class Serving:
    """A trained model as it is served. The project's own `predict` answers by the same coding."""

    coding: Coding
    kind: Literal["onnx", "xgboost", "project"] = "onnx"
    """How it is computed: an ONNX graph; a booster; or by the project itself, for own runs only."""
    graph: Any = None
    """A module on the CPU that is called with the encoder's array, (batch, …), and returns (batch, …); or a booster."""
    examples: Callable[[int], Sequence[Any]] = field(default=lambda count: ())
    """So many real raw inputs of the test split, the first ones, as `predict` takes them."""
    exporter: Literal["dynamo", "legacy"] = "dynamo"
    licence: str = ""
