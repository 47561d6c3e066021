"""What a frozen MobileNetV2 sees at each place of a picture, kept in the disk cache: what a decoder with attention looks at."""

import hashlib
import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.preparation import progress
from workbench.torchkit.backbone import build
from workbench.torchkit.disk_cache import cached_in_pieces
from workbench.torchkit.features import resized

NETWORK = "mobilenet_v2"
Fineness = Literal["deep", "fine"]
LAST = {"deep": 18, "fine": 13}
"""Module of MobileNetV2 behind which a grid is taken: 1,280 numbers for each 32 x 32 pixels, or 96 for each 16 x 16."""
CHANNELS = {"deep": 1280, "fine": 96}
PIECE = 64
"""Pictures that go through the network at once."""


class Grids:
    """Computes grids of features; it holds the frozen network, of which no checkpoint needs a copy."""

    def __init__(self, weights: str, fineness: Fineness, size: int, device: torch.device) -> None:
        """`weights`: published, stand-in or random; `size`: side of the pictures as the network gets them, in pixels."""
        backbone = build(NETWORK, weights)
        features = backbone.network.get_submodule("features")
        assert isinstance(features, nn.Sequential)
        self.layers = nn.Sequential(backbone.scaled, *features[: LAST[fineness] + 1]).eval().to(device)
        self.size, self.device, self.fineness = size, device, fineness

    @torch.no_grad()
    def look(self, pictures: Tensor) -> Tensor:
        """(number, 3, side, side) bytes → (number, places, channels) float16 on the device, the places row by row."""
        features: Tensor = self.layers(resized(pictures.to(self.device), self.size))
        # Half precision: of a thousand pictures the deep grids are 125 MB.
        return features.flatten(2).transpose(1, 2).half()

    def of(self, pictures: Tensor, what: str) -> Tensor:
        """The same, computed only where the cache has none for these pictures and this network; `what` they are, for people who wait."""
        # 1 is the version of the computation: whoever changes it, counts it up.
        key = hashlib.sha256(f"1 {NETWORK} {self.fineness} {self.size}".encode())
        for name, tensor in self.layers.state_dict().items():
            key.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        key.update(pictures.contiguous().numpy().data)

        def computed(number: int) -> np.ndarray:
            progress(f"grids of {what}", number * PIECE, len(pictures))
            return self.look(pictures[number * PIECE : (number + 1) * PIECE]).contiguous().cpu().numpy()

        array = cached_in_pieces("grids", key.hexdigest(), math.ceil(len(pictures) / PIECE), computed)
        progress(f"grids of {what}", len(pictures), len(pictures))
        return torch.from_numpy(array).to(self.device)
