"""The loss of a regression without labels: exact where losses add up over features, and honest where they do not."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from pawl.errors import IncompatibleProfiles
from pawl.losses import LossModel

BINS = {"age": 20, "fuel": 3}


def _rows(seed: int, rows: int, oldest: int = 20) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.float64]]:
    """Losses that grow with age and with the last fuel."""
    generator = np.random.default_rng(seed)
    age, fuel = generator.integers(0, oldest, rows), generator.integers(0, 3, rows)
    losses = (1 + 0.2 * age + 2 * (fuel == 2)) * generator.exponential(1, rows)
    return {"age": age, "fuel": fuel}, losses


def _counts(features: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    return {name: np.bincount(codes, minlength=BINS[name]) for name, codes in features.items()}


def test_the_loss_of_shifted_features_is_what_it_turns_out_to_be() -> None:
    model = LossModel.fit(*_rows(1, 40_000), BINS)
    features, losses = _rows(2, 8000, oldest=8)

    found = model.estimate(_counts(features))

    assert found.low <= losses.mean() <= found.high
    assert found.value == pytest.approx(losses.mean(), rel=0.04)
    assert found.value < 0.75 * model.mean
    assert found.uncovered == 0.0


def test_the_loss_of_the_labelled_rows_is_their_mean() -> None:
    features, losses = _rows(3, 5000)

    found = LossModel.fit(features, losses, BINS).estimate(_counts(features))

    assert found.value == pytest.approx(losses.mean(), rel=1e-9)
    assert found.sampling_error == pytest.approx(losses.std() / np.sqrt(5000))


def test_rows_where_no_label_was_are_counted_as_uncovered() -> None:
    model = LossModel.fit(*_rows(4, 5000, oldest=10), BINS)
    counts = _counts(_rows(5, 1000, oldest=10)[0])
    counts["age"][15] = 1000

    assert model.estimate(counts).uncovered == pytest.approx(0.5)


def test_a_loss_that_two_features_make_only_together_goes_unseen() -> None:
    generator = np.random.default_rng(6)
    left, right = generator.integers(0, 2, (2, 20_000))
    model = LossModel.fit({"l": left, "r": right}, (left ^ right).astype(float), {"l": 2, "r": 2})

    found = model.estimate({"l": np.array([500, 500]), "r": np.array([500, 500])})

    assert found.value == pytest.approx(0.5, abs=0.02)


def test_many_values_of_a_feature_share_few_steps() -> None:
    generator = np.random.default_rng(7)
    codes = generator.integers(0, 1000, 5000)

    effects = LossModel.fit({"x": codes}, codes / 1000, {"x": 1002}).effects["x"]

    assert np.unique(effects[np.isfinite(effects)]).size <= 32
    assert effects.shape == (1002,)
    assert np.isnan(effects[1001])


def test_a_loss_model_survives_json() -> None:
    model = LossModel.fit(*_rows(8, 500, oldest=12), BINS)
    counts = _counts(_rows(9, 300)[0])

    again = LossModel.from_dict(json.loads(json.dumps(model.to_dict())))

    assert again.estimate(counts) == model.estimate(counts)


def test_other_features_or_bins_are_refused() -> None:
    model = LossModel.fit(*_rows(10, 200), BINS)

    with pytest.raises(IncompatibleProfiles, match="want"):
        model.estimate({"age": np.ones(20)})
    with pytest.raises(IncompatibleProfiles, match="'fuel'"):
        model.estimate({"age": np.ones(20), "fuel": np.ones(4)})
