"""Features of pictures by a frozen network, computed once and kept in the disk cache: `of` gives them to lessons that train a head."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.preparation import progress
from workbench.torchkit.backbone import Backbone
from workbench.torchkit.disk_cache import cached_in_pieces

PIECE = 64
"""Pictures that go through a network at once."""


def of(backbone: Backbone, parts: Sequence[Tensor], size: int, device: torch.device) -> list[Tensor]:
    """For each part, (number, 3, side, side) bytes, its features (number, width), float32 on the device, of the pictures at `size` pixels.

    Computed only where the cache has none for these very pictures, this network, these weights and this size.
    """
    # 1 is the version of the computation: whoever changes it, counts it up.
    common = hashlib.sha256(f"1 {backbone.name} {size}{backbone.cut}".encode())
    for name, tensor in backbone.state_dict().items():
        common.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    backbone.to(device)
    what = f"features of {backbone.name}" + f" up to {backbone.cut}" * bool(backbone.cut)
    done, total, features = 0, sum(map(len, parts)), []
    for pictures in parts:
        key = common.copy()
        key.update(pictures.contiguous().numpy().data)

        def computed(number: int, pictures: Tensor = pictures, before: int = done) -> np.ndarray:
            start = number * PIECE
            progress(what, before + start, total)
            with torch.no_grad():
                values: Tensor = backbone(resized(pictures[start : start + PIECE].to(device), size))
            return values.contiguous().cpu().numpy()

        array = cached_in_pieces("features", key.hexdigest(), math.ceil(len(pictures) / PIECE), computed)
        features.append(torch.from_numpy(array).to(device))
        done += len(pictures)
    progress(what, total, total)
    return features


def resized(pictures: Tensor, size: int) -> Tensor:
    """(number, 3, side, side) bytes → (number, 3, size, size), float32 in [0, 1]."""
    scaled = pictures.float() / 255
    if scaled.shape[-1] == size:
        return scaled
    # Reduced without antialiasing, fine patterns would turn into coarse ones that are not there.
    return F.interpolate(scaled, size=(size, size), mode="bilinear", antialias=size < scaled.shape[-1])
