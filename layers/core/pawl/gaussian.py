"""How far two Gaussians lie apart, told from means and covariances alone; of rows in general it compares these."""

import numpy as np
from numpy.typing import ArrayLike


def frechet_distance(
    reference_mean: ArrayLike, reference_covariance: ArrayLike, recent_mean: ArrayLike, recent_covariance: ArrayLike
) -> float:
    """The squared Wasserstein-2 distance of two Gaussians (Dowson, Landau 1982), as FID takes it of embeddings.

    Means have shape (features,), covariances (features, features).

    >>> frechet_distance([0.0], [[1.0]], [3.0], [[4.0]])
    10.0
    """
    apart = np.asarray(reference_mean, float) - np.asarray(recent_mean, float)
    old, new = (
        np.atleast_2d(np.asarray(reference_covariance, float)),
        np.atleast_2d(np.asarray(recent_covariance, float)),
    )
    values, vectors = np.linalg.eigh(old)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ new @ root), 0.0)).sum()
    return max(0.0, float(apart @ apart + np.trace(old) + np.trace(new) - 2 * shared))


def expected_frechet_distance(covariance: ArrayLike, reference_rows: int, recent_rows: int) -> float:
    """The Frechet distance that two samples of one Gaussian have by chance, to first order in 1/n + 1/m.

    A sample must have several times as many rows as features for it to hold.
    """
    values = np.maximum(np.linalg.eigvalsh(np.atleast_2d(np.asarray(covariance, float))), 0.0)
    sums = values[:, None] + values
    products = np.divide(np.outer(values, values), sums, out=np.zeros_like(sums), where=sums > 0)
    spread = values.sum() + (products.sum() + np.trace(products)) / 2
    return float(spread * (1 / reference_rows + 1 / recent_rows))
