"""Distances and verdicts beside Evidently's own, on random and on real data: its users read what they know.

Its chi-square test takes the reference for the truth, ours for a sample, so p-values of categories are held against
scipy's in the unit tests and not against Evidently's.
"""

import importlib
import math
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

from drift.judgement import compare
from pawl.profile import Profile
from pawl.stats import (
    jensen_shannon,
    kolmogorov_smirnov,
    normalized_wasserstein,
    population_stability,
    total_variation,
)

WORDS = np.array(["billing", "delivery", "meter", "outage", "tariff"])


@pytest.fixture(scope="module")
def pandas() -> ModuleType:
    return importlib.import_module("pandas")


@pytest.fixture(scope="module")
def stattests() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it reaches into parts of numpy that have moved
        return importlib.import_module("evidently.legacy.calculations.stattests")


@pytest.mark.parametrize("seed", range(5))
def test_distances_of_categories_are_evidentlys(seed: int, stattests: ModuleType, pandas: ModuleType) -> None:
    generator = np.random.default_rng(seed)
    old, new = (generator.choice(WORDS, rows, p=generator.dirichlet(np.full(5, 4))) for rows in (4000, 2500))
    counts = [[int((part == word).sum()) for word in WORDS] for part in (old, new)]
    assert all(min(part) > 0 for part in counts)
    reference, current = pandas.Series(old), pandas.Series(new)

    def theirs(name: str) -> float:
        test = getattr(stattests, name)
        return test(reference, current, stattests.psi.ColumnType.Categorical, None).drift_score

    assert population_stability(*counts) == pytest.approx(theirs("psi_stat_test"), abs=1e-12)
    assert jensen_shannon(*counts) * math.sqrt(math.log(2)) == pytest.approx(
        theirs("jensenshannon_stat_test"), abs=1e-12
    )
    distance = stattests.tvd_stattest._total_variation_distance(reference, current)
    assert total_variation(*counts) == pytest.approx(distance, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_distances_of_random_numbers_are_evidentlys(seed: int, stattests: ModuleType, pandas: ModuleType) -> None:
    generator = np.random.default_rng(seed)
    old = generator.normal(0, 1, 5000).round(2)
    new = generator.normal(generator.normal(0, 0.3), 1.3, 3000).round(2)
    _require_alike(old, new, stattests, pandas)


def test_distances_of_real_measurements_are_evidentlys(stattests: ModuleType, pandas: ModuleType) -> None:
    data = load_breast_cancer()
    for column in data.data.T:
        _require_alike(column[data.target == 0], column[data.target == 1], stattests, pandas)


def test_sketches_of_real_measurements_keep_evidentlys_distances(stattests: ModuleType, pandas: ModuleType) -> None:
    data = load_breast_cancer()
    rows = (data.data, data.data[data.target == 0])
    tables = [dict(zip(data.feature_names, part.T, strict=True)) for part in rows]
    reference = Profile.of(tables[0])
    recent = Profile.like(reference)
    recent.update(tables[1])
    found = {drift.column: drift for drift in compare(reference, recent) if drift.tie is None}

    assert len(found) == 30
    for name, drift in found.items():
        old, new = (pandas.Series(table[name]) for table in tables)
        theirs = stattests.wasserstein_stat_test(old, new, stattests.psi.ColumnType.Numerical, None).drift_score
        assert drift.distance == pytest.approx(theirs, rel=0.02), name


@pytest.mark.parametrize("rows", [500, 20_000])
def test_verdicts_are_evidentlys_where_a_shift_is_clear(rows: int, stattests: ModuleType, pandas: ModuleType) -> None:
    """Up to a thousand rows it tests, each column by itself, so one in twenty alarms on nothing; then it measures."""
    generator = np.random.default_rng(rows)
    shifts = {"moved": 0.6, "fled": 2.0} | ({"still": 0.0} if rows > 1000 else {})
    old: dict[str, Any] = {name: generator.normal(0, 1, rows) for name in shifts}
    new: dict[str, Any] = {name: generator.normal(shift, 1, rows) for name, shift in shifts.items()}
    old["turned"] = generator.choice(WORDS, rows)
    new["turned"] = generator.choice(WORDS, rows, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    reference = Profile.of(old)
    recent = Profile.like(reference)
    recent.update(new)
    ours = {drift.column: drift.has_drifted for drift in compare(reference, recent) if drift.tie is None}

    assert ours == _preset_verdicts(pandas.DataFrame(old), pandas.DataFrame(new))
    assert ours == {name: name != "still" for name in old}


def _require_alike(old: NDArray[Any], new: NDArray[Any], stattests: ModuleType, pandas: ModuleType) -> None:
    positions, codes = np.unique(np.concatenate((old, new)), return_inverse=True)
    counts = [np.bincount(part, minlength=positions.size) for part in (codes[: old.size], codes[old.size :])]
    reference, current = pandas.Series(old), pandas.Series(new)
    number = stattests.psi.ColumnType.Numerical

    distance = stattests.wasserstein_stat_test(reference, current, number, None).drift_score
    assert normalized_wasserstein(*counts, positions) == pytest.approx(distance, rel=1e-9)
    p_value = stattests.ks_stat_test(reference, current, number, None).drift_score
    # Evidently's is exact where samples are small; ours is the limit that it tends to.
    assert kolmogorov_smirnov(*counts)[1] == pytest.approx(p_value, rel=0.5, abs=0.01)


def _preset_verdicts(reference: Any, current: Any) -> dict[str, bool]:
    """What Evidently's data drift preset, as it comes, says of each column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = importlib.import_module("evidently").Report(
            [importlib.import_module("evidently.presets").DataDriftPreset()], include_tests=True
        )
        told = report.run(current, reference).dict()
    drifted = {test["metric_config"]["params"]["column"]: test["status"] for test in told["tests"][1:]}
    return {column: status == "FAIL" for column, status in drifted.items()}
