"""What a frozen network says of pictures, computed once and kept on disk: `of` gives it to whoever trains a head on it."""

import hashlib
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.torchkit.backbone import Backbone
from workbench.torchkit.disk_cache import cached

PIECE = 64
"""Pictures that go through a network at once."""


def of(backbone: Backbone, pictures: Tensor, size: int, device: torch.device) -> Tensor:
    """(number, 3, side, side) bytes → (number, width) float32 on the device, of the pictures at `size` pixels.

    Computed only where the cache has none for these very pictures, this network, these weights and this size.
    """
    key = hashlib.sha256(f"1 {backbone.name} {size}{backbone.cut}".encode())
    for name, tensor in backbone.state_dict().items():
        key.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    key.update(pictures.contiguous().numpy().data)
    made = cached("features", key.hexdigest(), lambda: _computed(backbone, pictures, size, device).cpu().numpy())
    return torch.from_numpy(made).to(device)


def resized(pictures: Tensor, size: int) -> Tensor:
    """(number, 3, side, side) bytes → (number, 3, size, size), float32 in [0, 1]."""
    scaled = pictures.float() / 255
    if scaled.shape[-1] == size:
        return scaled
    return F.interpolate(scaled, size=(size, size), mode="bilinear", antialias=size < scaled.shape[-1])


def _computed(backbone: Backbone, pictures: Tensor, size: int, device: torch.device) -> Tensor:
    backbone.to(device)
    made, told = [], -1
    with torch.no_grad():
        for start in range(0, len(pictures), PIECE):
            made.append(backbone(resized(pictures[start : start + PIECE].to(device), size)))
            tenth = (start + PIECE) * 10 // len(pictures)
            if tenth != told:
                told = tenth
                done = min(start + PIECE, len(pictures))
                print(f"{backbone.name}: {done:,} of {len(pictures):,} pictures", file=sys.stderr, flush=True)
    return torch.cat(made)
