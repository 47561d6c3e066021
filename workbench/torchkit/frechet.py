"""The Fréchet distance between what a network says of real examples and of made ones: it ranks GANs (Heusel et al. 2017)."""

import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor]


def moments(features: Tensor) -> Moments:
    """Mean (features,) and covariance (features, features) of features (number, features), in double precision."""
    features = features.double()
    return features.mean(0), features.T.cov()


def frechet_distance(one: Moments, other: Moments) -> float:
    """Between two normal distributions: |m1 - m2|² + trace(C1 + C2 - 2 (C1 C2)^½) (Dowson and Landau 1982).

    C1 C2 has the eigenvalues of the symmetric C1^½ C2 C1^½, and those are not negative.
    """
    (mean, covariance), (other_mean, other_covariance) = one, other
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    crossed = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    apart = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * crossed
    return float(apart)
