"""pretend_cuda: `torch.cuda` and what asks for it, answered by a machine that is pretended."""

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.optim import optimizer as optimizers

from pretend_cuda.casts import casting
from pretend_cuda.recurrent import recurrent
from pretend_cuda.tensor import Machine, Pretend
from pretend_cuda.watch import Watch

MEMORY = ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved", "reset_peak_memory_stats")


def functions(watch: Watch) -> dict[str, Callable[..., Any]]:
    """What stands in for functions of `torch.cuda`."""
    began: list[bool] = []

    def index_of(device: Any = None) -> int:
        if device is None:
            return watch.current
        index = torch.cuda._utils._get_device_index(device, optional=True)
        return int(watch.place(torch.device("cuda", index)).index)

    def set_device(device: Any) -> None:
        # Raises for a device without a number, as CUDA's does.
        watch.current = index_of(torch.cuda._utils._get_device_index(device))

    def manual_seed_all(seed: int) -> None:
        for index in range(watch.devices):
            watch.states[index] = torch.Generator().manual_seed(seed).get_state()

    def set_state(state: torch.Tensor, device: Any = "cuda") -> None:
        if state.device.type != "cpu":
            raise TypeError("RNG state must be a torch.ByteTensor")
        watch.states[index_of(device)] = state.clone()

    name = "Pretended GPU"
    properties = SimpleNamespace(name=name, total_memory=80 << 30, major=9, minor=0, multi_processor_count=132)
    return {
        "_lazy_init": lambda: began or began.append(True),
        "init": lambda: began or began.append(True),
        "is_initialized": lambda: bool(began),
        "is_available": lambda: True,
        "device_count": lambda: watch.devices,
        "current_device": lambda: watch.current,
        "set_device": set_device,
        "is_bf16_supported": lambda *_, **__: True,
        "get_device_name": lambda device=None: name,
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_properties": lambda device=None: properties,
        "synchronize": lambda device=None: watch.count("wait", "synchronize"),
        "empty_cache": lambda: None,
        "manual_seed_all": manual_seed_all,
        "manual_seed": manual_seed_all,
        "get_rng_state": lambda device="cuda": watch.states[index_of(device)].clone(),
        "set_rng_state": set_state,
        "get_rng_state_all": lambda: [watch.states[index].clone() for index in range(watch.devices)],
        "set_rng_state_all": lambda states: [set_state(state, index) for index, state in enumerate(states)],
        **{memory: lambda device=None: 0 for memory in MEMORY},
    }


def loaded_in_place(original: Callable[..., Any]) -> Callable[..., Any]:
    """Module.load_state_dict that copies into the parameters, as without the setting below, which is there for Module.to alone."""

    def load(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        torch.__future__.set_swap_module_params_on_conversion(False)
        try:
            return original(module, *args, **kwargs)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(True)

    return load


def numbered(watch: Watch, original: Callable[..., Any]) -> Callable[..., Any]:
    """Tensor.to, where C++ would ask the driver which device "cuda" is."""

    def on(value: Any) -> Any:
        on_cuda = isinstance(value, str | torch.device) and torch.device(value).type == "cuda"
        return watch.place(torch.device(value)) if on_cuda else value

    def to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return original(tensor, *map(on, args), **{name: on(value) for name, value in kwargs.items()})

    return to


def from_data(watch: Watch, original: Callable[..., Any]) -> Callable[..., Any]:
    """torch.tensor and torch.as_tensor: made on the host, then sent, as PyTorch does."""

    def made(data: Any, *args: Any, device: Any = None, requires_grad: bool = False, **kwargs: Any) -> Any:
        if isinstance(data, Pretend):
            return data.to(device or data.device, kwargs.get("dtype") or data.dtype, copy=original.__name__ == "tensor")
        on_cuda = device is not None and torch.device(device).type == "cuda"
        result = original(data, *args, device="cpu" if on_cuda else device, **kwargs)
        if on_cuda:
            result = result.to(watch.place(torch.device(device)))
        return result.requires_grad_() if requires_grad else result

    return made


def grouped(original: Callable[..., Any]) -> Callable[..., Any]:
    """How optimizers group tensors by device, with the device as Python is told it."""

    def group(lists: Any, with_indices: bool = False) -> Any:
        groups = {}
        for (device, dtype), value in original(lists, with_indices).items():
            groups[next((tensor.device for tensor in value[0][0] if tensor is not None), device), dtype] = value
        return groups

    return group


def pinned(tensor: torch.Tensor, *_: Any) -> torch.Tensor:
    """A copy in memory that is not swapped out."""
    copy = tensor.clone()
    copy._pretends_pinned = True  # type: ignore[attr-defined]
    return copy


@contextlib.contextmanager
def pretend_cuda(devices: int = 1, of: str = "workbench") -> Iterator[Watch]:
    """The machine has so many GPUs. Places are counted by the innermost line of a file with `of` in its path."""
    watch = Watch(devices, of)
    kinds = list(optimizers._foreach_supported_types)
    swaps, cudnn = torch.__future__.get_swap_module_params_on_conversion(), torch.backends.cudnn.enabled
    patches: list[tuple[Any, str, Any]] = [
        # They ask the driver.
        (torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda optimizer: None),
        (torch.optim.Optimizer, "_cuda_graph_capture_health_check", lambda optimizer: None),
        (torch.nn.Module, "load_state_dict", loaded_in_place(torch.nn.Module.load_state_dict)),
        (torch.nn.Module, "compile", lambda module, *_, **__: None),
        (torch.Tensor, "to", numbered(watch, torch.Tensor.to)),
        (torch.Tensor, "cuda", lambda tensor, device="cuda", **kwargs: tensor.to(device, **kwargs)),
        (torch.Tensor, "pin_memory", pinned),
        (torch.Tensor, "is_pinned", lambda tensor, *_: getattr(tensor, "_pretends_pinned", False)),
        (torch, "tensor", from_data(watch, torch.tensor)),
        (torch, "as_tensor", from_data(watch, torch.as_tensor)),
        (torch._C, "_group_tensors_by_device_and_dtype", grouped(torch._C._group_tensors_by_device_and_dtype)),
        (torch._VF, "lstm", recurrent(torch._VF.lstm, 2)),
        *((torch._VF, name, recurrent(getattr(torch._VF, name), 1)) for name in ("gru", "rnn_tanh", "rnn_relu")),
        *((torch.cuda, name, value) for name, value in functions(watch).items()),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, value in patches:
            stack.enter_context(mock.patch.object(owner, name, value, create=True))
        # Module.to(device) keeps its Parameter objects, as on CUDA.
        torch.__future__.set_swap_module_params_on_conversion(True)
        # Else layers become cuDNN's ops, which the CPU lacks.
        torch.backends.cudnn.enabled = False
        optimizers._foreach_supported_types[:] = [*kinds, Pretend]
        outer = getattr(Machine, "watch", None)
        Machine.watch = watch
        try:
            with casting(), watch:
                yield watch
        finally:
            optimizers._foreach_supported_types[:] = kinds
            torch.__future__.set_swap_module_params_on_conversion(swaps)
            torch.backends.cudnn.enabled = cudnn
            if outer is not None:
                Machine.watch = outer
