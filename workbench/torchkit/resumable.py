"""How a PyTorch project's parts are saved and restored: Resumable for tensors, modules and the generators of every device."""

import contextlib
import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from workbench.problems import Problem
from workbench.training.resumable import Resumable

# What torch.load(weights_only=True) has to be allowed for arrays of NumPy: nothing in it runs code.
_ARRAY_KINDS: list[Any] = [
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdFD"},
]


class TorchResumable(Resumable):
    """Resumable, with tensors that are saved from the device and read back into place."""

    device: torch.device
    suffix: ClassVar[str] = ".pt"
    stateless: ClassVar[tuple[type, ...]] = (*Resumable.stateless, torch.Generator, torch.device, torch.dtype)
    _proved = False
    """Whether a checkpoint of this run could be read again."""

    def device_memory(self) -> float:
        """Peak of the memory that torch has reserved on the device, in bytes."""
        return float(torch.cuda.max_memory_reserved(self.device)) if self.device.type == "cuda" else 0.0

    def floats(self, values: list[Any]) -> list[float]:
        """Numbers and tensors of one element as floats; all tensors are read in one wait for the device."""
        tensors = [value.detach().reshape(()).to(self.device) for value in values if isinstance(value, torch.Tensor)]
        # Stacked on the device first: one copy to the CPU, and so one wait, whatever their number.
        read = iter(torch.stack(tensors).tolist() if tensors else [])
        return [float(next(read) if isinstance(value, torch.Tensor) else value) for value in values]

    def keep(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """The numbers without their graphs; on the CPU, where nothing has to be waited for, read at once, as that is cheaper."""
        detached = numbers.copy()
        for name, value in numbers.items():
            if isinstance(value, torch.Tensor):
                detached[name] = value.item() if value.is_cpu else value.detach()
        return detached

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Without gradients, every module found on self in eval mode; each submodule gets its own mode back."""
        modules = [part for value in vars(self).values() if isinstance(value, nn.Module) for part in value.modules()]
        modes = [(part, part.training) for part in modules]
        try:
            for part in modules:
                part.training = False
            # Not inference_mode: features that a project caches here could then never be trained on.
            with torch.no_grad():
                yield
        finally:
            for part, mode in modes:
                part.training = mode

    def seed_all(self, seed: int) -> None:
        """Seed Python, NumPy, and PyTorch on the CPU and every CUDA device."""
        super().seed_all(seed)
        torch.default_generator.manual_seed(seed)
        # Not torch.manual_seed: as long as CUDA is not in use, it keeps a trace of the stack for it each time, which takes 0.3 ms.
        if self.device.type == "cuda":
            torch.cuda.manual_seed_all(seed)

    def random_state(self) -> dict[str, Any]:
        """As Project's, and PyTorch's: of the CPU, of the run's own GPU, and of each torch.Generator on self."""
        state = super().random_state()
        state["torch"] = torch.get_rng_state()
        if self.device.type == "cuda":
            state["device"] = torch.cuda.get_rng_state(self.device)
        for name, value in vars(self).items():
            if isinstance(value, torch.Generator):
                state[f"self.{name}"] = value.get_state()
        return state

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Put back what `random_state` returned."""
        super().set_random_state(state)
        torch.set_rng_state(state["torch"])
        if self.device.type == "cuda":
            saved = state.get("device")
            # Checkpoints of version 0.1 have a list, by the numbers that the GPUs had then.
            before, index = state.get("cuda", []), self.device.index or 0
            if saved is None and before:
                saved = before[index] if index < len(before) else before[0]
            if saved is not None:
                torch.cuda.set_rng_state(saved, self.device)
        for name, value in vars(self).items():
            if isinstance(value, torch.Generator) and f"self.{name}" in state:
                value.set_state(state[f"self.{name}"])

    def array_state(self, value: Any) -> Any:
        """A copy of a tensor on the CPU, or of a NumPy array."""
        return _on_cpu(value) if isinstance(value, torch.Tensor) else super().array_state(value)

    def trained_arrays(self) -> dict[str, Any]:
        """The parameters and other tensors that gradients change, by name; of a project without any, every array of real numbers."""
        state = {name: value for name, value in vars(self).items() if name not in self._base and name not in self._data}
        tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor) and value.is_floating_point()}
        trained: dict[str, Any] = {
            f"{name}.{part}": weight
            for name, value in state.items()
            # An average follows the network that is trained, and has no gradients of its own.
            if isinstance(value, nn.Module) and not isinstance(value, AveragedModel)
            for part, weight in value.named_parameters()
            if weight.requires_grad
        }
        trained.update((name, tensor) for name, tensor in tensors.items() if tensor.requires_grad)
        return trained or {**super().trained_arrays(), **tensors}

    def norm_of(self, array: Any) -> float:
        """The Euclidean norm of a tensor, or of an array of NumPy."""
        if not isinstance(array, torch.Tensor):
            return super().norm_of(array)
        # In double precision: the squares of float16 overflow above 256.
        dense = array.detach().to_dense() if array.is_sparse else array.detach()
        return float(torch.linalg.vector_norm(dense, dtype=torch.float64))

    def load_array(self, value: Any, saved: Any) -> Any:
        """Write into the tensor that is there, so that an optimizer goes on with the same one."""
        if not isinstance(saved, torch.Tensor):
            return super().load_array(value, saved)
        if isinstance(value, torch.Tensor) and value.shape == saved.shape and value.dtype == saved.dtype:
            with torch.no_grad():
                value.copy_(saved)
            return value
        # Of another shape now, as a hidden state with another batch size: a new tensor where the old one was.
        like = value if isinstance(value, torch.Tensor) else torch.empty(0, device=self.device)
        return saved.to(like.device, copy=True).requires_grad_(like.requires_grad)

    def copied(self, tree: Any) -> Any:
        """A deep copy of a state_dict with its tensors on the CPU."""
        if isinstance(tree, torch.Tensor):
            return _on_cpu(tree)
        if isinstance(tree, dict):
            pairs = ((key, self.copied(value)) for key, value in tree.items())
            copy: dict[Any, Any] = OrderedDict(pairs) if isinstance(tree, OrderedDict) else dict(pairs)
            if hasattr(tree, "_metadata"):
                # The versions of each module's format, which load_state_dict looks at.
                copy._metadata = super().copied(tree._metadata)  # type: ignore[attr-defined]
            return copy
        if isinstance(tree, np.generic):
            return tree.item()  # a learning rate that NumPy computed
        if type(tree) in (list, tuple):
            return type(tree)(self.copied(value) for value in tree)
        return super().copied(tree)

    def encode_state(self, tree: dict[str, Any]) -> bytes:
        """A checkpoint's tree of tensors, arrays and plain values as the bytes of a .pt file."""
        file = io.BytesIO()
        torch.save(tree, file)
        data = file.getvalue()
        if not self._proved:
            # torch.save takes any object, torch.load gives back plain data only: that must not come out when it is resumed.
            try:
                self.decode_state(data)
            except pickle.UnpicklingError as error:
                kind = re.search(r"GLOBAL (\S+)", str(error))
                raise Problem(
                    f"A state_dict holds a {kind[1] if kind else 'thing'}, which a checkpoint cannot give back.",
                    "Keep tensors, arrays and plain numbers in it.",
                ) from error
            self._proved = True
        return data

    def decode_state(self, data: bytes) -> dict[str, Any]:
        """The tree again, on the CPU; plain data only, no object of any other kind is made."""
        with torch.serialization.safe_globals(_ARRAY_KINDS):
            tree: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return tree


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)
