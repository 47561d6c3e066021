"""Torchvision's classification networks by name, pre-trained on ImageNet, without their last layer: what transfer learning builds on."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import torch
from torch import Tensor, nn

from workbench import paths
from workbench.datasets.store import fetch
from workbench.datasets.store.catalog import File, in_home, in_mirror
from workbench.datasets.store.download import length
from workbench.preparation import source_file
from workbench.problems import Problem, nearest, one_line
from workbench.torchkit.pretrained import DEVIATION, MEAN

STAND_INS = {"mobilenet_v2": ("mobilenet-v2-weights", "dequantised"), "squeezenet1_0": ("squeezenet-weights", "")}
"""Networks of which the catalogue has weights that only a mirror gives: with `weights` "stand-in"."""
HASHED = re.compile(r"-([0-9a-f]{8,})\.pth$")
"""How the name of a file of torchvision's ends: with the first digits of its SHA-256."""
LARGEST = 3_000_000_000
"""Bytes of a file with weights; torchvision's largest has 2.5e9."""


class Scaled(nn.Module):
    """Standardises colours in [0, 1] as the networks of ImageNet expect it; channels last, with which a CPU is quicker."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        scaled: Tensor = (pixels - self.mean) / self.deviation
        return scaled.contiguous(memory_format=torch.channels_last)


class _Reached(Exception):
    """Raised in the layer that the network is cut after, with its output: nothing behind it need be computed."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


class Backbone(nn.Module):
    """A network that ends before its last layer: (batch, 3, height, width) in [0, 1] → (batch, `width`) features.

    With `cut` it ends after that layer, whose outputs are averaged over the picture; `width` is then known after a first look.
    """

    def __init__(self, name: str, network: nn.Module, cut: str = "") -> None:
        super().__init__()
        self.cut = cut
        self.name, self.scaled, self.network = name, Scaled(), network
        # Googlenet's and Inception's second outputs are there for their own training only.
        for extra in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, extra):
                setattr(network, extra, None)
        if hasattr(network, "aux_logits"):
            setattr(network, "aux_logits", False)  # noqa: B010 (not a module)
        last = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
        self._place = last[0]
        self.last = last[1]
        self.width = int(self.last.weight.shape[1])
        network.set_submodule(self._place, nn.Identity())
        if cut:
            self._insist(cut, "be cut after")

    def forward(self, pixels: Tensor) -> Tensor:
        features = self._until_cut(pixels) if self.cut else self.network(self.scaled(pixels))
        self.width = features.shape[1]
        return features

    def _until_cut(self, pixels: Tensor) -> Tensor:
        def stop(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            raise _Reached(output)

        hook = self.network.get_submodule(self.cut).register_forward_hook(stop)
        try:
            output: Tensor = self.network(self.scaled(pixels))
        except _Reached as reached:
            output = reached.output
        finally:
            hook.remove()
        # (batch, channels, height, width), or a transformer's (batch, places, channels)
        return output.mean((2, 3)) if output.ndim == 4 else output.mean(1) if output.ndim == 3 else output

    def imagenet(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) → (batch, 1000): what the network answered before its last layer was taken off."""
        self.network.set_submodule(self._place, self.last)
        try:
            answers: Tensor = self.network(self.scaled(pixels))
        finally:
            self.network.set_submodule(self._place, nn.Identity())
        return answers

    def layers(self) -> list[str]:
        """The names of its parts with parameters, as `features.0`, … or `conv1`, …; those of a Sequential are listed one by one."""
        names = []
        for name, part in self.network.named_children():
            inner = [f"{name}.{child}" for child, _ in part.named_children()] if isinstance(part, nn.Sequential) else []
            names += [name, *inner]
        return [name for name in names if any(True for _ in self.network.get_submodule(name).parameters())]

    def _insist(self, layer: str, what: str) -> None:
        known = dict(self.network.named_modules())
        if not layer or layer not in known or not any(True for _ in known[layer].parameters()):
            raise Problem(f"{self.name} has no layer {one_line(layer, 60)!r} to {what}.", f"It has: {', '.join(self.layers())}.")

    def tune_from(self, first: str) -> None:
        """Let the parameters from a layer on get gradients, and no other; "" lets none. Problem where there is no such layer."""
        # Eval mode: batch norm keeps ImageNet's running averages.
        self.eval().requires_grad_(False)
        if not first:
            return
        known = dict(self.network.named_modules())
        self._insist(first, "be tuned from")
        if self.cut and list(known).index(first) > list(known).index(self.cut):
            raise Problem(f"{self.name} is cut after {self.cut}, so it cannot be fine-tuned from {first} on, which comes later.")
        reached = False
        # In the order in which the network makes its parts, which in torchvision is that of the forward pass.
        for path, part in known.items():
            reached = reached or path == first
            if reached:
                part.requires_grad_(True)


def build(name: str, weights: str | Path, cut: str = "") -> Backbone:
    """The network in eval mode on the CPU, without gradients. `weights` is "published", "stand-in", "random", or a state_dict's path.

    Raises Problem where there is no such network, or its weights cannot be had or do not fit.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        hint = f"It has {len(known)}, as mobilenet_v2, resnet18, resnet50, vgg16, densenet121, efficientnet_b0."
        raise Problem(f"Torchvision has no network {one_line(name, 60)!r}{nearest(name, known) or '.'}", hint)
    # Only these two warn unless they are told whether to draw weights.
    settings: dict[str, Any] = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    if settings and weights != "random":
        # Their published weights came from TensorFlow and expect inputs in [-1, 1]: torchvision sets this wherever it loads them.
        settings = {"init_weights": False, "transform_input": True}
    network = models.get_model(name, weights=None, **settings)
    if weights != "random":
        path = published(name) if weights == "published" else _stand_in(name) if weights == "stand-in" else Path(weights)
        _load(network, path, name)
        if weights not in ("published", "stand-in"):
            source_file(path)
    backbone = Backbone(name, network, cut)
    backbone.tune_from("")
    return backbone.to(memory_format=torch.channels_last)


def address(name: str) -> str:
    """Where torchvision says that its weights of a network are: those of its first training, which the course used, where it has them."""
    from torchvision import models

    choices = models.get_model_weights(name)
    url: str = next((weights for weights in choices if weights.name == "IMAGENET1K_V1"), choices.DEFAULT).url
    return url


def published(name: str) -> Path:
    """The checked file of torchvision's own weights, fetched once; its name holds the first digits of its SHA-256."""
    url = address(name)
    file = Path(urlsplit(url).path).name
    digits = HASHED.search(file)
    if not digits:
        raise Problem(f"The name of {name}'s weights, {one_line(file)}, holds no hash to check them by.", "", "data")
    about = File(bytes=1, sha256=digits[1], url=url, mirror=f"weights/{file}")
    folder = paths.data() / "torchvision-weights"
    there = in_mirror(about) or in_home(about, folder)
    # Torchvision does not state the length; the server does.
    size = there.stat().st_size if there.exists() else length(url)
    if not 0 < size <= LARGEST:
        raise Problem(f"The server gives {size:,} bytes as the size of the weights of {name}.", f"At most {LARGEST:,} are allowed.", "data")
    return fetch.get(f"{name}'s weights", msgspec.structs.replace(about, bytes=size), folder)


def _stand_in(name: str) -> Path:
    if name not in STAND_INS:
        hint = f"It has those of: {', '.join(STAND_INS)}. Else take weights: published, or a file."
        raise Problem(f"The catalogue has no weights that stand in for those of {name}.", hint, "data")
    return fetch.fetch(*STAND_INS[name])["weights"]


def _load(network: nn.Module, path: Path, name: str) -> None:
    shown = one_line(str(path))
    try:
        saved: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Problem(f"The weights {shown} cannot be read: {error.strerror or error}.", "", "data") from None
    except Exception:
        # Whatever else it stumbles over is the file's fault: a dozen kinds of error for as many ways to be damaged.
        raise Problem(f"{shown} is damaged, or does not hold weights.", "It has to be a saved state_dict.", "data") from None
    wanted = network.state_dict()
    if not isinstance(saved, dict) or not all(isinstance(value, Tensor) for value in saved.values()):
        raise Problem(f"{shown} holds no state_dict.", f"Save network.state_dict() of torchvision's {name}.", "data")
    # The published files of DenseNets have the names of 2017: norm.1 for norm1.
    saved = {re.sub(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.(\d)", r"\1\2", key): value for key, value in saved.items()}
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked"):
            saved.setdefault(key, tensor)  # files of before 2018 have none
        if key not in saved:
            raise Problem(f"{shown} has no {one_line(key)}, so it is not a state_dict of {name}.", "", "data")
        if saved[key].shape != tensor.shape:
            has, needs = (" x ".join(map(str, weights.shape)) or "one number" for weights in (saved[key], tensor))
            raise Problem(f"In {shown} {one_line(key)} is {has}, where {name} has {needs}.", "", "data")
    network.load_state_dict({key: saved[key] for key in wanted})
