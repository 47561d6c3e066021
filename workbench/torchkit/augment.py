"""Pictures moved at random, a whole batch at once and on its device."""

import math

import torch
import torch.nn.functional as F


def moved(pixels: torch.Tensor, *, shift: float = 0.0, rotation: float = 0.0, zoom: float = 0.0, flip: bool = False) -> torch.Tensor:
    """(batch, channels, height, width) → the same, each picture turned, scaled, shifted and mirrored by draws of its own.

    Each draw is uniform: `shift` up to so many pixels each way, `rotation` up to so many degrees, `zoom` a share of the size, `flip`
    left and right in half of them. Bilinear; what comes in from outside is 0.
    """
    if not (shift or rotation or zoom or flip):
        return pixels
    number, _, height, width = pixels.shape
    turn, size, across, down, side = torch.rand(5, number, device=pixels.device) * 2 - 1
    turn, size = turn * math.radians(rotation), 1 + zoom * size
    cos, sin = turn.cos() / size, turn.sin() / size
    side = side.sign() if flip else torch.ones_like(side)
    # affine_grid counts both axes from -1 to 1: a turn goes by their true lengths.
    rows = [
        cos * side,
        -sin * (height / width),
        across * (2 * shift / width),
        sin * (width / height) * side,
        cos,
        down * (2 * shift / height),
    ]
    grid = F.affine_grid(torch.stack(rows, 1).view(number, 2, 3), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)
