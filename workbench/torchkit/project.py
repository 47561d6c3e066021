"""TorchProject, the base of every PyTorch project: device, precision, and the table of its networks."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from workbench.events import Event
from workbench.launch import devices, torch_probe
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Compute, Train
from workbench.torchkit.resumable import TorchResumable
from workbench.torchkit.summary import network_table
from workbench.training.project import Project, Settings

_NOTHING = contextlib.nullcontext()


class TorchProject(TorchResumable, Project):
    """A Project whose numbers are tensors. `self.device` is the run's device: move modules and data there."""

    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def __init__(self, config: Settings, train: Train, compute: Compute, seed: int, folder: Path = Path()) -> None:
        super().__init__(config, train, compute, seed, folder)
        name = compute.device
        if name.startswith("cuda"):
            _insist(name)
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        # With a number always: torch.cuda.set_device refuses a device without one.
        self.device = torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)
        # They are of this machine and this attempt, and belong to no checkpoint.
        self._base |= {"device", "_proved"}

    def prepare(self) -> None:
        """Set the number of threads and what CUDA may trade for speed, as the recipe's `compute:` says."""
        torch.set_num_threads(self.compute.threads or len(os.sched_getaffinity(0)))
        # TF32 rounds the factors of a product to 10 bits behind the point, and is several times as fast.
        torch.backends.cuda.matmul.allow_tf32 = self.compute.tf32
        torch.backends.cudnn.allow_tf32 = self.compute.tf32
        # Benchmarking picks whatever is fastest at this moment, so two runs may add up in another order.
        torch.backends.cudnn.benchmark = not self.compute.deterministic
        if self.compute.deterministic:
            # cuBLAS reads this once, when it first makes a workspace.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(self.compute.deterministic)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Around a forward pass and its loss: bfloat16 on CUDA where `compute.precision` says so, else nothing."""
        if self.device.type == "cuda" and self.compute.precision == "bfloat16":
            # No gradient scaler: unlike float16, bfloat16 has the exponents of float32.
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return _NOTHING

    def example_inputs(self) -> dict[str, tuple[Any, ...]]:
        """What one batch calls the networks with, by attribute: `{"network": (pixels,)}`. So `summary` knows the shapes between layers."""
        return {}

    def summary(self) -> Iterator[Event]:
        """The table of every network found on self, copies that are averages of another one left out."""
        modules = {
            name: value for name, value in vars(self).items() if isinstance(value, nn.Module) and not isinstance(value, AveragedModel)
        }
        table = network_table(modules, self.example_inputs())
        if table:
            yield table


def _insist(name: str) -> None:
    """A run that was given a GPU never goes on without it: it would train on, some fifty times slower, and nobody would know why."""
    try:
        torch.cuda.init()
        count = torch.cuda.device_count()
        reason = "" if torch.cuda.is_available() else "it finds no device"
    except (RuntimeError, AssertionError) as error:
        count, reason = 0, one_line(str(error), 300)
    if reason:
        probe = torch_probe.Torch(version=torch.__version__, cuda=torch.version.cuda or "", hip=torch.version.hip or "", reason=reason)
        raise torch_probe.refusal(probe, devices.driver()) or Problem(reason, cause="device")
    if int(name.partition(":")[2] or 0) >= count:
        raise Problem(
            f"This run is to train on {name}, and torch finds {count}.", "Look at CUDA_VISIBLE_DEVICES; `dlwb doctor` shows it.", "device"
        )
