"""A CUDA that is pretended: tensors that say `cuda:N` and hold a CPU tensor, so that device bugs show on a machine without a GPU.

    with pretend_cuda() as watch:
        x = torch.ones(3, device="cuda")      # works
        x + torch.ones(3)                     # RuntimeError: Expected all tensors to be on the same device …
        x.numpy()                             # TypeError: can't convert cuda:0 device type tensor to numpy …
        x.sum().item()                        # works, and is counted
        watch.take()                          # {("wait", "item", "file.py:4"): 1}

What is counted, by kind:  "wait": the host waits for the device (item, tolist, cpu, nonzero, a boolean mask …);
"send": a copy from the host that waits until it is done;  "unpinned": a non-blocking copy out of memory that is not pinned, which
the driver has to stage;  "async": a copy as it should be.

How: `Pretend` is a wrapper subclass whose __torch_dispatch__ runs each ATen op on the CPU tensors inside, and `Watch`, a
TorchDispatchMode, catches what makes tensors on a device and what moves them. Autograd above both is PyTorch's own, autocast's casts
are made where PyTorch makes them, by its own lists. Needs no CUDA build of PyTorch. It says nothing about speed, memory, kernels or the
last bits of a GPU's arithmetic.
"""

from pretend_cuda.driver import pretend_cuda
from pretend_cuda.tensor import Pretend
from pretend_cuda.watch import Watch

__all__ = ["Pretend", "Watch", "pretend_cuda"]
