"""Autocast on the pretended device: the casts of `torch.autocast("cuda")`, made at PyTorch's own dispatch key and by its own lists.

PyTorch's kernels at that key cast nothing here, as they ask each tensor in C++ whether it is on CUDA: kernels in Python stand in for them.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from pretend_cuda.tensor import Pretend

LISTS = ("LOWER_PRECISION_FP", "FP32", "FP32_SET_OPT_DTYPE", "PROMOTE")
"""Of `ATen/autocast_mode.h`: ops cast to bfloat16, to float32, to float32 by their dtype argument, and to the widest of their inputs."""


@cache
def lists() -> dict[str, list[str]]:
    """The ops of each list, as `linear` or `softmax.int`, out of the header that comes with PyTorch."""
    header = (Path(torch.__file__).parent / "include/ATen/autocast_mode.h").read_text()
    # A macro goes on as long as its lines end in a backslash.
    macros = dict(re.findall(r"#define AT_FORALL_(\w+)\(_\)((?:.*\\\n)*.*)", header))
    return {name: [".".join(op) if op[1] else op[0] for op in re.findall(r"_\((\w+)(?:, (\w+))?\)", macros[name])] for name in LISTS}


def eligible(value: Any) -> bool:
    """Whether autocast looks at it: a number in double precision stays as it is."""
    return isinstance(value, Pretend) and value.is_floating_point() and value.dtype != torch.float64


def cast(op: Any, policy: str) -> Callable[..., Any]:
    """The op with the casts of a list."""
    without = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCUDA)
    names = [argument.name for argument in op._schema.arguments]

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(without):
            given = [value for value in pytree.tree_leaves((args, kwargs)) if eligible(value)]
            lower = torch.get_autocast_dtype("cuda")
            if policy == "FP32_SET_OPT_DTYPE":
                # A dtype that is asked for stays: cross_entropy asks for that of its input.
                asked = kwargs.get("dtype", args[names.index("dtype")] if "dtype" in names[: len(args)] else None)
                if given and "dtype" in names and asked is None:
                    kwargs["dtype"] = torch.float32
                return op(*args, **kwargs)
            wide = policy == "FP32" or (policy == "PROMOTE" and any(value.dtype == torch.float32 for value in given))
            dtype = torch.float32 if wide else lower
            args, kwargs = pytree.tree_map(lambda value: value.to(dtype) if eligible(value) else value, (args, kwargs))
            return op(*args, **kwargs)

    return call


@contextmanager
def casting() -> Iterator[None]:
    """While it is open, `torch.autocast("cuda")` casts tensors that pretend."""
    library = torch.library.Library("aten", "IMPL", "AutocastCUDA")
    try:
        for policy, names in lists().items():
            for name in names:
                packet, _, overload = name.partition(".")
                found = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
                if found is not None:
                    library.impl(found, cast(found, policy), allow_override=True)
        yield
    finally:
        library._destroy()
