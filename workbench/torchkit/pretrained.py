"""Networks pre-trained on ImageNet, cut after one of their layers and frozen: features for style transfer and for judging faces.

Weights come from the catalogue, from a person's file, or are drawn at random.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.datasets.store.catalog import find
from workbench.datasets.store.fetch import fetch
from workbench.preparation import source_file
from workbench.problems import Problem, one_line

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in [0, 1]: the networks were trained on pictures scaled by them."""

PUBLISHED = {"vgg19": "vgg19-weights", "squeezenet1_0": "squeezenet-weights"}
"""The networks of style transfer, each with the catalogue's name for its weights."""


def layers(network: str) -> dict[str, int]:
    """The names of a network's layers, and behind which module of torchvision's `features` each has its output, after its ReLU.

    VGG-19's are those of configuration E of Simonyan and Zisserman (2015): conv1_1 to conv5_4, block and place in it. SqueezeNet 1.0's
    are those of Iandola et al. (2016), table 1: conv1, fire2 to fire9.
    """
    if network == "squeezenet1_0":
        # The rest are the pools between them.
        return {"conv1": 1, **{f"fire{number}": place for number, place in zip(range(2, 10), (3, 4, 5, 7, 8, 9, 10, 12), strict=True)}}
    names, block, place = {}, 1, 0
    for index, module in enumerate(_features(network)):
        if isinstance(module, nn.ReLU):
            place += 1
            names[f"conv{block}_{place}"] = index
        elif isinstance(module, nn.MaxPool2d):
            block, place = block + 1, 0
    return names


def frozen(network: str, weights: str | Path, last: int) -> nn.Sequential:
    """The network's `features` up to and with module `last`, in eval mode, on the CPU; its parameters get no gradients.

    `weights` is "published", "random", or the path of a state_dict. Raises Problem (cause "data") where a file can't be had, is no
    state_dict, or has other layers than the network.
    """
    cut = _features(network)[: last + 1]
    if weights == "random":
        cut.to_empty(device="cpu")
        for module in cut.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                # He et al. (2015): the variance stays the same through layers with ReLU, and the deepest features are not all 0.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
    else:
        path = fetch(PUBLISHED[network])["weights"] if weights == "published" else Path(weights)
        # assign: on the meta device there is no memory to copy into.
        cut.load_state_dict(_chosen(path, cut.state_dict(), network), assign=True)
        if weights != "published":
            source_file(path)
    return cut.eval().requires_grad_(False)


def variant(network: str, weights: str | Path) -> str:
    """What figures made with it are to be called; "" for the network and the weights that the course used."""
    if weights == "published":
        entry = find(PUBLISHED[network])
        return f"{entry.title} in place of {entry.stand_in_for}" if entry.stand_in_for else ""
    return f"{network} with {weights if weights == 'random' else 'own'} weights"


def _features(network: str) -> nn.Sequential:
    """Torchvision's module, its parameters without memory: VGG-19's unused last layers alone would take 490 MB and seconds."""
    from torchvision import models

    with torch.device("meta"):
        features: nn.Sequential = getattr(models, network)(weights=None).features
    return features


def _chosen(path: Path, wanted: dict[str, torch.Tensor], network: str) -> dict[str, torch.Tensor]:
    """Those tensors of the file that the cut network has, as float32; Problem where one is missing or has another shape."""
    name = one_line(str(path))
    try:
        saved: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Problem(f"The weights {name} cannot be read: {error.strerror or error}.", "", "data") from None
    except Exception:
        # Whatever else it stumbles over is the file's fault: a dozen kinds of error for as many ways to be damaged.
        raise Problem(f"{name} is damaged, or does not hold weights.", "It has to be a saved state_dict.", "data") from None
    chosen = {}
    for key, tensor in wanted.items():
        candidate = saved.get(f"features.{key}") if isinstance(saved, dict) else None
        if not isinstance(candidate, torch.Tensor):
            raise Problem(f"{name} has no features.{key}, so it is not a state_dict of {network}.", "", "data")
        if candidate.shape != tensor.shape:
            has, needs = (" x ".join(map(str, weights.shape)) for weights in (candidate, tensor))
            raise Problem(f"In {name} features.{key} is {has}, where {network} has {needs}.", "", "data")
        # Files in half precision are taken, too.
        chosen[key] = candidate.float()
    return chosen
