"""What a project's `serving()` returns: the graph and how raw input becomes its arrays and its output an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.encoding.coding import Coding, png


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
    truths: Callable[[int], Sequence[str]] = field(default=lambda count: ())
    """The labels of so many of them, where there are classes."""
    exporter: Literal["dynamo", "legacy"] = "dynamo"
    licence: str = ""


MOST_PIXELS = 4096
"""Numbers of a picture that is sent as numbers."""


def sent_pictures(images: Any) -> list[Any]:
    """Pictures (number, channels, height, width) in [0, 1] as clients send them: as PNGs, every other small one as numbers."""
    small = images[0].size <= MOST_PIXELS if len(images) else False
    return [{"pixels": image.tolist()} if small and place % 2 == 0 else {"picture": png(image)} for place, image in enumerate(images)]


def sent_noise(count: int, size: int) -> list[Any]:
    """Uniform noise in [-1, 1) as clients send it, always the same."""
    import numpy as np

    return [{"numbers": row.tolist()} for row in np.random.default_rng(0).uniform(-1, 1, (count, size)).astype(np.float32)]
