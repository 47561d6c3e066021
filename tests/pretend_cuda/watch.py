"""Watch: the pretended machine. It runs each op, refuses what CUDA refuses, and counts what costs."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from pretend_cuda import waits
from pretend_cuda.tensor import Pretend

HERE = str(Path(__file__).parent)
SCALARS_TOO = {"where", "masked_fill", "masked_fill_", "fill", "fill_", "index_put", "index_put_", "_index_put_impl_", "lerp", "lerp_"}
"""Take a CPU tensor without dimensions as a number, as all pointwise ops do."""
COPIES = {"copy_", "_to_copy", "_copy_from", "_copy_from_and_resize"}

Count = tuple[str, str, str]
"""Kind, op, file:line."""


def caller(of: str, *beside: str) -> str:
    """The innermost line of a file with `of` in its path that is running, as file:line; else the innermost one of any other file.

    Files of this package, and those that `beside` names, do not count.
    """
    frame: Any = sys._getframe(1)
    innermost = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(("<", HERE, *beside)):
            place = f"{Path(file).name}:{frame.f_lineno}"
            innermost = innermost or place
            if of in file and "site-packages" not in file:
                return place
        frame = frame.f_back
    return innermost


class Watch(TorchDispatchMode):
    """A machine with so many pretended GPUs. Places are counted by the innermost line of a file with `of` in its path."""

    def __init__(self, devices: int, of: str) -> None:
        super().__init__()
        self.of, self.devices, self.current = of, devices, 0
        self.counts: Counter[Count] = Counter()
        self.states = {index: torch.Generator().manual_seed(0).get_state() for index in range(devices)}

    def take(self) -> Counter[Count]:
        """What was counted since the last call."""
        taken, self.counts = self.counts, Counter()
        return taken

    def count(self, kind: str, op: str) -> None:
        self.counts[kind, op, caller(self.of)] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """One ATen op."""
        op = func._schema.name.partition("::")[2]
        if op == "device":  # PyTorch's C++ asks: see Pretend
            return torch.device("meta", args[0].place.index)
        leaves, form = pytree.tree_flatten((args, kwargs))
        tensors = [value for value in leaves if isinstance(value, torch.Tensor)]
        ours = [value for value in tensors if isinstance(value, Pretend)]
        target = self.target(kwargs)
        if not ours and (target is None or target.type != "cuda"):
            return func(*args, **kwargs)
        if op == "_fused_sdp_choice":
            return 0  # attention by plain matrix products
        where = self.place(target) if target is not None and target.type == "cuda" else ours[0].device
        self.check(op, func, tensors, leaves, where)
        to_host = (target is not None and target.type == "cpu") or (op == "copy_" and not isinstance(args[0], Pretend))
        self.weigh(op, func, args, kwargs, where, to_host)

        plain_args, plain_kwargs = pytree.tree_unflatten([value.inner if isinstance(value, Pretend) else value for value in leaves], form)
        if target is not None:
            plain_kwargs["device"] = torch.device("cpu")
        plain_kwargs.pop("pin_memory", None)
        random = torch.Tag.nondeterministic_seeded in func.tags and not any(isinstance(value, torch.Generator) for value in leaves)
        with self.drawing(where.index) if random else contextlib.nullcontext():
            result = func(*plain_args, **plain_kwargs)
        if not func._schema.returns:
            return None  # a list was written into
        written = self.written(func, args, kwargs)
        if written is not None:
            self.reshape(func, args, kwargs, written)
            return written
        if to_host or op in ("_local_scalar_dense", "equal"):
            return result
        return pytree.tree_map(lambda value: Pretend(value, where) if isinstance(value, torch.Tensor) else value, result)

    @staticmethod
    def target(kwargs: dict[str, Any]) -> torch.device | None:
        """The device that an op is told to make its result on."""
        if kwargs.get("device") is None:
            return None
        device = torch.device(kwargs["device"])
        # The answer that C++ was given comes back.
        return torch.device("cuda", device.index) if device.type == "meta" and device.index is not None else device

    def place(self, device: torch.device) -> torch.device:
        """The device with its number; RuntimeError where there is none of that number."""
        index = self.current if device.index is None else device.index
        if index >= self.devices:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return torch.device("cuda", index)

    def check(self, op: str, func: Any, tensors: list[torch.Tensor], leaves: list[Any], where: torch.device) -> None:
        """Refuse what CUDA refuses."""
        for value in leaves:
            if isinstance(value, torch.Generator) and value.device.type != "cuda":
                raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if op in COPIES:
            return
        for value in tensors:
            if isinstance(value, Pretend) and value.device == where:
                continue
            on_cpu = value.device.type == "cpu"
            number = on_cpu and value.dim() == 0 and (torch.Tag.pointwise in func.tags or op in SCALARS_TOO or op.startswith("_foreach_"))
            index = on_cpu and op in waits.INDEXING and value is not tensors[0] and not value.is_floating_point()
            if number or (index and isinstance(tensors[0], Pretend)):
                continue
            if op in waits.INDEXING and not isinstance(tensors[0], Pretend):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            found = f"found at least two devices, {where} and {value.device}! ({op})"
            raise RuntimeError(f"Expected all tensors to be on the same device, but {found}")

    def weigh(self, op: str, func: Any, args: Any, kwargs: dict[str, Any], where: torch.device, to_host: bool) -> None:
        """Count what makes the host wait, and what is sent."""
        if op in ("_to_copy", "copy_"):
            source = args[1] if op == "copy_" else args[0]
            late = kwargs.get("non_blocking", False) or (op == "copy_" and len(args) > 2 and args[2])
            if to_host and not late:
                self.count("wait", "cpu")
            elif not to_host and not isinstance(source, Pretend):
                pinned = getattr(source, "_pretends_pinned", False)
                self.count("send" if not late else "async" if pinned else "unpinned", "to")
        elif op in waits.INDEXING:
            for kind, name in waits.indexed(op, args):
                self.count(kind, name)
        elif name := waits.waiting(op, func, args, kwargs):
            self.count("wait", name)

    @staticmethod
    def written(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What an op in place returns: the very arguments that it wrote into; None for other ops."""
        returns = func._schema.returns
        if not all(value.alias_info and value.alias_info.is_write for value in returns):
            return None
        found = []
        for value in returns:
            for place, argument in enumerate(func._schema.arguments):
                if argument.alias_info and argument.alias_info.before_set == value.alias_info.before_set:
                    found.append(kwargs[argument.name] if argument.name in kwargs else args[place])
        return found[0] if len(found) == 1 else tuple(found)

    @staticmethod
    def reshape(func: Any, args: Any, kwargs: dict[str, Any], written: Any) -> None:
        """Give the wrapper the shape and strides that an op in place (`t_`, `as_strided_`, `resize_`) gave the tensor inside."""
        for value in pytree.tree_leaves(written):
            if not isinstance(value, Pretend) or (value.shape, value.stride()) == (value.inner.shape, value.inner.stride()):
                continue
            # The wrapper has no memory: on the meta device the op changes nothing but shape and strides.
            form = value.inner
            before = torch._C._meta_in_tls_dispatch_include()
            with no_dispatch():
                torch._C._set_meta_in_tls_dispatch_include(True)
                try:
                    torch.ops.aten.as_strided_.default(value, form.size(), form.stride(), form.storage_offset())
                finally:
                    torch._C._set_meta_in_tls_dispatch_include(before)

    @contextlib.contextmanager
    def drawing(self, index: int) -> Iterator[None]:
        """CUDA has generators of its own, one a device: the CPU's stays where it is."""
        before = torch.default_generator.get_state()
        torch.default_generator.set_state(self.states[index])
        try:
            yield
        finally:
            self.states[index] = torch.default_generator.get_state()
            torch.default_generator.set_state(before)
