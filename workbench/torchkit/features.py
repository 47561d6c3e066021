"""What a frozen network says of pictures, computed once and kept on disk: `of` gives it to whoever trains a head on it."""

import hashlib
import io
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench import atomic, paths
from workbench.problems import one_line
from workbench.torchkit.backbone import Backbone

PIECE = 64
"""Pictures that go through a network at once."""
KEPT = 20
"""Files that stay in the cache; of more, those not used for the longest go."""
_DIGEST = 32
"""Bytes of a SHA-256, which stand before each file's numbers."""


def of(backbone: Backbone, pictures: Tensor, size: int, device: torch.device) -> Tensor:
    """(number, 3, side, side) bytes → (number, width) float32 on the device, of the pictures at `size` pixels.

    Computed only where the cache has none for these very pictures, this network, these weights and this size. A file that is damaged is
    told of on stderr, and made anew.
    """
    key = hashlib.sha256(f"1 {backbone.name} {size}{backbone.cut}".encode())
    for name, tensor in backbone.state_dict().items():
        key.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    key.update(pictures.contiguous().numpy().data)
    path = paths.cache_folder() / "features" / f"{key.hexdigest()[:32]}.npy"
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST]:
            path.touch()
            return torch.from_numpy(np.load(io.BytesIO(data[_DIGEST:]), allow_pickle=False)).to(device)
        print(f"{one_line(str(path))} is damaged: its features are computed anew.", file=sys.stderr, flush=True)
    except FileNotFoundError:
        pass
    except OSError as error:
        print(f"{one_line(str(path))} cannot be read ({error.strerror}): its features are computed anew.", file=sys.stderr, flush=True)
    made = _computed(backbone, pictures, size, device)
    out = io.BytesIO()
    np.save(out, made.cpu().numpy())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, hashlib.sha256(out.getbuffer()).digest() + out.getvalue())
        for old in sorted(path.parent.glob("*.npy"), key=lambda each: -each.stat().st_mtime)[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        print(f"The features are not kept for the next run: {error.strerror}.", file=sys.stderr, flush=True)
    return made


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
