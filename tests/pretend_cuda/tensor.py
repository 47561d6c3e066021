"""Pretend: a tensor that says it is on `cuda:N` and holds a CPU tensor."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from pretend_cuda.watch import Watch


class Machine:
    """Which pretended machine there is at the moment; none outside `pretend_cuda`."""

    watch: "Watch"


def on_host(index: Any) -> Any:
    """An index with its lists and arrays as tensors on the CPU, from where CUDA sends them: C++ would make them on `meta`."""
    if isinstance(index, tuple):
        return tuple(map(on_host, index))
    return torch.as_tensor(index) if isinstance(index, list | np.ndarray) else index


class Pretend(torch.Tensor):
    """Says that it is on `place`; `inner` is the CPU tensor."""

    inner: torch.Tensor
    place: torch.device

    @staticmethod
    def __new__(cls, inner: torch.Tensor, device: torch.device, requires_grad: bool = False) -> "Pretend":
        # C++ that asks for the device is told `meta:N` (see Watch.run): told cuda:N the autograd engine would look for a driver's streams.
        made: Pretend = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=device,
            requires_grad=requires_grad,
            dispatch_device=True,
        )
        made.inner, made.place = inner, device
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return Machine.watch.run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"Pretend({self.inner!r}, device='{self.device}')"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pretend":
        if id(self) not in memo:
            made = self.detach().clone().requires_grad_(self.requires_grad)
            if hasattr(self, "_is_param"):
                made._is_param = self._is_param
            memo[id(self)] = made
        copy: Pretend = memo[id(self)]
        return copy

    device = property(lambda self: self.place)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(on_host(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(on_host(index), value)

    def get_device(self) -> int:
        return int(self.place.index)

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        copy = kwargs.pop("copy", False)
        if args and isinstance(args[0], torch.Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        device, dtype, late, form = torch._C._nn._parse_to(*args, **kwargs)
        dtype = self.dtype if dtype is None else dtype
        if device is None:
            device = self.place
        elif device.type == "cuda":
            device = Machine.watch.place(device)
        if device == self.place:
            return super().to(dtype, copy=copy, memory_format=form or torch.preserve_format)
        moved: torch.Tensor = torch.ops.aten._to_copy.default(self, dtype=dtype, device=device, non_blocking=late, memory_format=form)
        return moved

    def cpu(self, memory_format: torch.memory_format = torch.preserve_format) -> torch.Tensor:
        return self.to("cpu", memory_format=memory_format)

    def cuda(self, device: Any = None, non_blocking: bool = False, memory_format: Any = torch.preserve_format) -> torch.Tensor:
        return self.to(torch.device("cuda") if device is None else device, non_blocking=non_blocking)

    def numpy(self, **_: Any) -> Any:
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        Machine.watch.count("wait", "tolist")
        return self.inner.tolist()

    def untyped_storage(self) -> Any:
        return self.inner.untyped_storage()

    def data_ptr(self) -> int:
        return self.inner.data_ptr()
