"""Moved pictures: by how much at most, that each goes its own way, and that nothing moves where nothing may."""

import math

import torch

from workbench.torchkit.augment import random_affine


def spots(number: int, height: int = 31, width: int = 31) -> torch.Tensor:
    """Pictures with one blurred spot each, in their middle."""
    y, x = torch.meshgrid(torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij")
    return torch.exp(-(x**2 + y**2) / 8.0).expand(number, 1, height, width).contiguous()


def centres(pixels: torch.Tensor) -> torch.Tensor:
    """(number, 2): x and y of each picture's mass, in pixels from its middle."""
    mass = pixels[:, 0] / pixels.sum((1, 2, 3))[:, None, None]
    height, width = mass.shape[1:]
    x = (mass.sum(1) * (torch.arange(width) - width // 2)).sum(1)
    y = (mass.sum(2) * (torch.arange(height) - height // 2)).sum(1)
    return torch.stack([x, y], 1)


def test_a_shift_is_in_pixels_and_each_picture_has_its_own() -> None:
    torch.manual_seed(0)
    for height, width in ((31, 31), (25, 41)):
        found = centres(random_affine(spots(400, height, width), shift=3))
        assert found.abs().max() <= 3.05
        assert (found.amin(0) < -2.7).all() and (found.amax(0) > 2.7).all()
        assert found.std(0).allclose(torch.full((2,), 3 / math.sqrt(3)), atol=0.2)


def test_a_rotation_is_in_degrees_and_keeps_the_distance() -> None:
    torch.manual_seed(0)
    for height, width in ((31, 31), (31, 61)):
        aside = spots(400, height, width).roll(8, 3)
        x, y = centres(random_affine(aside, rotation=30)).unbind(1)
        assert torch.allclose(torch.hypot(x, y), torch.full_like(x, 8), atol=0.1)
        angles = torch.rad2deg(torch.atan2(y, x))
        assert 28 < angles.max() <= 30.3 and -30.3 <= angles.min() < -28


def test_zoom_changes_the_size_and_a_flip_mirrors_half() -> None:
    torch.manual_seed(0)
    sizes = random_affine(spots(400), zoom=0.2).sum((1, 2, 3)) / spots(1).sum()
    assert 1.35 < sizes.max() <= 1.45 and 0.63 <= sizes.min() < 0.7
    x, y = centres(random_affine(spots(400).roll(5, 3), flip=True)).unbind(1)
    assert torch.allclose(x.abs(), torch.full_like(x, 5), atol=0.05) and y.abs().max() < 0.05
    assert 150 < (x < 0).sum() < 250


def test_nothing_moves_and_nothing_is_drawn_where_nothing_may() -> None:
    pixels = spots(3)
    state = torch.get_rng_state()
    assert random_affine(pixels) is pixels
    assert torch.equal(torch.get_rng_state(), state)
