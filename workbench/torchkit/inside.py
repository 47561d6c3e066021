"""What lessons take out of a trained network: a layer's outputs, the first convolution's kernels, the last layer's inputs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.problems import Problem
from workbench.torchkit.backbone import Backbone, Scaled


def activations(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The activation functions of a small network, by their names."""
    kinds = (nn.ReLU, nn.Tanh, nn.Sigmoid)
    return [(f"{path} {type(part).__name__}", part) for path, part in network.named_modules() if isinstance(part, kinds)]


def blocks(network: Backbone) -> list[tuple[str, nn.Module]]:
    """The parts of a pre-trained network, by their names; of those that hold others, the inner ones."""
    paths = network.layers()
    parts = [(path, network.network.get_submodule(path)) for path in paths if not any(other.startswith(f"{path}.") for other in paths)]
    return [(f"{path} {type(part).__name__}", part) for path, part in parts]


class _Reached(Exception):
    """Raised in the layer that is looked into, with its output: what lies behind may not take a picture of another size."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


def _stop(module: nn.Module, inputs: Any, output: Tensor) -> None:
    """The hook of a layer whose output is wanted."""
    raise _Reached(output)


def output_of(layer: nn.Module, answer: Callable[[Tensor], Any], inputs: Tensor) -> Tensor:
    """What a layer makes of `answer`'s inputs, (number, units) or (number, units, height, width); what lies behind it is not computed."""
    hook = layer.register_forward_hook(_stop)
    try:
        answer(inputs)
    except _Reached as reached:
        return reached.output
    finally:
        hook.remove()
    raise Problem("The network never uses this layer.", cause="data")


def flat(layer: nn.Module, value: float) -> str:
    """Why an ascent cannot begin: where a ReLU is flat, its gradient is 0."""
    saturated = value >= 6 and any(isinstance(part, nn.ReLU6) for part in layer.modules())
    where = "is 6 at every place, and ReLU6 does not grow above 6" if saturated else "is 0 at every place, and ReLU does not grow below 0"
    if not saturated and value > 0:
        where = "does not change with any pixel"
    return f"The gradient is exactly 0: the unit {where}. No step leads up from here. Choose another unit or another seed."


def first_kernels(project: Any) -> np.ndarray:
    """The kernels of the first convolution of a built project, (number, height, width), for a grey picture in [0, 1].

    On a grey picture all colours are the same number, so a kernel acts by its sum over the colours; where the network standardises the
    colours first, each is divided by its standard deviation. Problem where no layer is a convolution.
    """
    parts = list(_parts(project))
    layer = next((part for part in parts if isinstance(part, nn.Conv2d)), None)
    if layer is None:
        raise Problem("The run's network has no convolution, so it has no kernels.", "Take a run of a CNN, as mnist-cnn.", "data")
    kernels = layer.weight.detach().cpu()  # (number, colours, height, width)
    scaled = next((part for part in parts if isinstance(part, Scaled)), None)
    if scaled is not None:
        kernels = kernels / scaled.deviation.cpu()
    return kernels.sum(1).double().numpy()


def last_inputs(project: Any, answer: Callable[[Any], Tensor], pieces: Sequence[Any]) -> np.ndarray:
    """What the last linear layer of a built project gets while `answer` answers the pieces, (examples, features), float32."""
    layers = [part for part in _parts(project) if isinstance(part, nn.Linear)]
    if not layers:
        raise Problem("The run's network has no linear layer at its end, so nothing lies before it.", "", "data")
    seen: list[Tensor] = []
    hook = layers[-1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].detach().float().cpu()))
    try:
        with project.evaluating():
            for piece in pieces:
                answer(piece)
    finally:
        hook.remove()
    return torch.cat(seen).flatten(1).numpy()


def _parts(project: Any) -> Iterator[nn.Module]:
    """All layers of all its networks, in the order in which they were made."""
    for value in vars(project).values():
        if isinstance(value, nn.Module):
            yield from value.modules()
