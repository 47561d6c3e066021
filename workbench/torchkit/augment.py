"""Data augmentation of pictures by a random affine map, a whole batch at once and on its device; and its settings."""

import math

import torch
import torch.nn.functional as F

from workbench.training.project import Field, Settings


class Augmentation(Settings):
    """Base of a Config: how training pictures are changed at random, which makes training harder and reduces overfitting."""

    shift: float = Field(0.0, ge=0)
    """Pixels by which a training picture is shifted at random at most, each way; higher augments more, and cuts more off."""
    rotation: float = Field(0.0, ge=0, le=180)
    """Degrees by which a training picture is rotated at random at most; higher augments more."""
    zoom: float = Field(0.0, ge=0, lt=1)
    """Share by which a training picture is enlarged or reduced at random at most; higher augments more."""
    flip: bool = False
    """Mirror a random half of the training pictures, left and right; not for letters and digits, which it makes others of."""

    def augmented(self, pixels: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) → the same, each picture changed by draws of its own."""
        return random_affine(pixels, shift=self.shift, rotation=self.rotation, zoom=self.zoom, flip=self.flip)


def random_affine(
    pixels: torch.Tensor, *, shift: float = 0.0, rotation: float = 0.0, zoom: float = 0.0, flip: bool = False
) -> torch.Tensor:
    """(batch, channels, height, width) → the same, each picture rotated, scaled, shifted and mirrored by draws of its own.

    Each draw is uniform between plus and minus `shift` (pixels), `rotation` (degrees) and `zoom` (fraction of the size); `flip` mirrors
    left and right in half of the pictures. Interpolation is bilinear; what comes in from outside is 0.
    """
    if not (shift or rotation or zoom or flip):
        return pixels
    number, _, height, width = pixels.shape
    # In [-1, 1). All five are drawn, whichever are off: turning one on leaves the draws of the others as they were.
    turn, size, across, down, side = torch.rand(5, number, device=pixels.device) * 2 - 1
    turn, size = turn * math.radians(rotation), 1 + zoom * size
    # Divided: the matrix leads from places of the result to places of the source, so to enlarge is to step less far.
    cos, sin = turn.cos() / size, turn.sin() / size
    # A sign of a uniform number: mirrored with probability 1/2.
    side = side.sign() if flip else torch.ones_like(side)
    # affine_grid counts both axes from -1 to 1, whatever their lengths: a rotation goes by the true ones.
    matrix = [
        cos * side,
        -sin * (height / width),
        across * (2 * shift / width),
        sin * (width / height) * side,
        cos,
        down * (2 * shift / height),
    ]
    grid = F.affine_grid(torch.stack(matrix, 1).view(number, 2, 3), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)
