"""The Fréchet distance, by hand and against SciPy's matrix root."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from workbench.torchkit.adversarial import frechet_distance, moments


def test_frechet_distance_by_hand() -> None:
    def normal(mean: list[float], covariance: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64)

    # (3 - 0)² + 1 + 4 - 2 · √(1 · 4)
    assert frechet_distance(normal([0.0], [[1.0]]), normal([3.0], [[4.0]])) == pytest.approx(10)
    one, other = normal([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]]), normal([0.0, 2.0], [[1.0, -0.7], [-0.7, 3.0]])
    expected = 1 + 3 + 4 - 2 * np.trace(sqrtm(one[1].numpy() @ other[1].numpy()).real)
    assert frechet_distance(one, other) == pytest.approx(expected)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_moments_are_mean_and_covariance() -> None:
    mean, covariance = moments(torch.tensor([[0.0, 2.0], [2.0, 2.0], [4.0, 5.0]]))
    assert mean.tolist() == [2, 3]
    assert covariance.tolist() == [[4, 3], [3, 3]]
