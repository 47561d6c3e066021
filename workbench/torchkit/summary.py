"""What a network is made of, as a table: each layer with its output's shape, its parameters and its memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from workbench.events import Table

COLUMNS = ["layer", "kind", "output shape", "parameters", "memory"]


def network_table(modules: Mapping[str, nn.Module], inputs: Mapping[str, Sequence[Any]], tag: str = "network") -> Table | None:
    """A row for each layer and a total; None where there is no layer. `memory` is of parameters, buffers and an output of its own.

    `inputs` names, for some of the modules, what one batch calls them with; they are called once, in the order of `inputs`, with hooks
    that are gone afterwards. A layer that is called twice has its first output; one that is not called has none.
    """
    layers = {
        f"{name}.{inner}" if inner and len(modules) > 1 else inner or name: layer
        for name, module in modules.items()
        for inner, layer in module.named_modules()
        if not any(True for _ in layer.children())
    }
    outputs: dict[nn.Module, tuple[str, int]] = {}

    def note(layer: nn.Module, arguments: Any, output: Any) -> None:
        source, result = _first_tensor(arguments), _first_tensor(output)
        if result is None or layer in outputs:
            return
        # Flatten and the like return a view of their input.
        same = source is not None and source.untyped_storage().data_ptr() == result.untyped_storage().data_ptr()
        outputs[layer] = (" x ".join(map(str, result.shape)), 0 if same else result.numel() * result.element_size())

    hooks = [layer.register_forward_hook(note) for layer in layers.values()]
    try:
        for name, arguments in inputs.items():
            modules[name](*arguments)
    finally:
        for hook in hooks:
            hook.remove()
    rows: list[list[str | float]] = []
    counted: set[int] = set()
    total, bytes_in_all = 0, 0
    for name, layer in layers.items():
        # A parameter that two layers share is the first one's.
        own = [weight for weight in layer.parameters(recurse=False) if id(weight) not in counted]
        counted.update(map(id, own))
        if layer not in outputs and not own:
            continue
        shape, size = outputs.get(layer, ("", 0))
        number = sum(weight.numel() for weight in own)
        size += sum(tensor.numel() * tensor.element_size() for tensor in (*own, *layer.buffers(recurse=False)))
        kind = type(layer).__name__ + (", frozen" if own and not any(weight.requires_grad for weight in own) else "")
        rows.append([name, kind, shape, number, in_words(size)])
        total, bytes_in_all = total + number, bytes_in_all + size
    if not rows:
        return None
    return Table(tag=tag, columns=COLUMNS, rows=[*rows, ["total", f"{len(rows)} layers", "", total, in_words(bytes_in_all)]])


def _first_tensor(value: Any) -> torch.Tensor | None:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return value if isinstance(value, torch.Tensor) else None


def in_words(size: float) -> str:
    """Bytes in the unit that a person would choose: 512 B, 1.6 kB, 2.7 MB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
