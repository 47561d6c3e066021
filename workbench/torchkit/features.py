"""Features of pictures by a frozen network, computed once and kept in the disk cache: `of` gives them to lessons that train a head."""

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
    # 1 is the version of the computation: whoever changes it, counts it up.
    key = hashlib.sha256(f"1 {backbone.name} {size}{backbone.cut}".encode())
    for name, tensor in backbone.state_dict().items():
        key.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    key.update(pictures.contiguous().numpy().data)
    values = cached("features", key.hexdigest(), lambda: _computed(backbone, pictures, size, device).cpu().numpy())
    return torch.from_numpy(values).to(device)


def resized(pictures: Tensor, size: int) -> Tensor:
    """(number, 3, side, side) bytes → (number, 3, size, size), float32 in [0, 1]."""
    scaled = pictures.float() / 255
    if scaled.shape[-1] == size:
        return scaled
    # Reduced without antialiasing, fine patterns would turn into coarse ones that are not there.
    return F.interpolate(scaled, size=(size, size), mode="bilinear", antialias=size < scaled.shape[-1])


def _computed(backbone: Backbone, pictures: Tensor, size: int, device: torch.device) -> Tensor:
    backbone.to(device)
    pieces, last_tenth = [], -1
    with torch.no_grad():
        for start in range(0, len(pictures), PIECE):
            pieces.append(backbone(resized(pictures[start : start + PIECE].to(device), size)))
            tenth = (start + PIECE) * 10 // len(pictures)
            # A line for each tenth: it takes minutes, and somebody may be watching.
            if tenth != last_tenth:
                last_tenth = tenth
                done = min(start + PIECE, len(pictures))
                print(f"{backbone.name}: {done:,} of {len(pictures):,} pictures", file=sys.stderr, flush=True)
    return torch.cat(pieces)
