"""The distance of two Gaussians is that of its definition, and by chance as large as expected."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from pawl.gaussian import expected_frechet_distance, frechet_distance


def test_the_frechet_distance_is_that_of_the_matrix_root() -> None:
    generator = np.random.default_rng(10)
    old, new = generator.normal(size=(50, 6)), generator.normal(0.3, 1.5, (60, 6))
    left, right = np.cov(old.T), np.cov(new.T)
    apart = old.mean(axis=0) - new.mean(axis=0)

    found = frechet_distance(old.mean(axis=0), left, new.mean(axis=0), right)

    assert found == pytest.approx(apart @ apart + np.trace(left + right - 2 * sqrtm(left @ right).real), rel=1e-9)
    assert frechet_distance(old.mean(axis=0), left, old.mean(axis=0), left) == pytest.approx(0, abs=1e-9)


def test_two_samples_of_one_gaussian_lie_as_far_apart_as_expected() -> None:
    covariance = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 0.1]])
    generator = np.random.default_rng(11)
    found = list[float]()
    for _ in range(200):
        old, new = (generator.multivariate_normal(np.zeros(3), covariance, rows) for rows in (400, 250))
        found.append(frechet_distance(old.mean(axis=0), np.cov(old.T), new.mean(axis=0), np.cov(new.T)))

    assert expected_frechet_distance(covariance, 400, 250) == pytest.approx(np.mean(found), rel=0.08)
