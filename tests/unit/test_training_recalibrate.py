"""The fit of a correction, where the truth is known; and the choice, where there is nothing to correct."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.calibration import COLDEST, HOTTEST, softmax
from training.correction import SHAPES, Correction, Shape, fit, row_losses
from training.recalibrate import Knobs, Trial, choose, deal, try_shapes

KNOBS = Knobs()
CONFIDENCES, THRESHOLDS, BOTH = SHAPES
BIAS = np.array([1.0, -0.5, -0.5, 0.0])
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def _honest(rows: int, seed: int = 5) -> tuple[Floats, Indices]:
    """Logits (rows, 4) and labels drawn by just their probabilities."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(rows, 4))
    return logits, np.array([random.choice(4, p=row) for row in softmax(logits)])


def test_a_known_temperature_is_found() -> None:
    logits, labels = _honest(4000)

    found = fit(logits * 3, labels, CONFIDENCES, KNOBS.deviation)

    assert 1 / found.scale == pytest.approx(3, rel=0.05)
    assert found.bias.tolist() == [0.0] * 4


def test_a_known_bias_is_found_and_the_scale_left_alone() -> None:
    logits, labels = _honest(4000)

    found = fit(logits + BIAS, labels, THRESHOLDS, KNOBS.deviation)

    assert found.scale == 1.0
    assert found.bias == pytest.approx(-BIAS, abs=0.1)
    assert found.bias.sum() == pytest.approx(0, abs=1e-9)


def test_both_are_found_together() -> None:
    logits, labels = _honest(4000)

    found = fit(3 * logits + BIAS, labels, BOTH, KNOBS.deviation)

    assert 1 / found.scale == pytest.approx(3, rel=0.05)
    assert found.bias == pytest.approx(-BIAS / 3, abs=0.1)


def test_priors_that_moved_are_answered_by_their_log_ratio() -> None:
    """Of honest logits, rows of the first label are kept and half of the others are not: it is twice as frequent."""
    logits, labels = _honest(8000)
    kept = (labels == 0) | (np.arange(labels.size) % 2 == 0)

    found = fit(logits[kept], labels[kept], THRESHOLDS, KNOBS.deviation)

    assert found.bias[0] - found.bias[1:].mean() == pytest.approx(np.log(2), abs=0.1)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_no_small_change_of_what_is_fitted_is_better(shape: Shape) -> None:
    logits, labels = _honest(60)
    logits = 2 * logits + BIAS
    found = fit(logits, labels, shape, 0.5)

    def loss(scale: float, bias: Floats) -> float:
        losses = row_losses(Correction(scale, bias).apply(logits), labels).sum()
        return losses + 2 * ((scale - 1) ** 2 + np.square(bias).sum())  # a deviation of 0.5

    least = loss(found.scale, found.bias)
    for step in (-1e-3, 1e-3):
        if shape.has_scale:
            assert loss(found.scale + step, found.bias) > least
        for label in range(4 if shape.has_bias else 0):
            assert loss(found.scale, found.bias + step * np.eye(4)[label]) > least


def test_few_rows_of_a_label_move_it_less_than_many() -> None:
    few, many = (fit(np.zeros((rows, 2)), np.zeros(rows, np.int64), THRESHOLDS, 1.0).bias[0] for rows in (2, 200))

    assert 0.3 < few < 0.6
    assert many > 1.5


def test_answers_that_are_all_right_or_all_wrong_keep_the_scale_within_its_limits() -> None:
    logits = np.tile(np.eye(3) * 20, (100, 1))

    right = fit(logits / 20, np.tile(np.arange(3), 100), CONFIDENCES, 100.0)
    wrong = fit(logits, np.tile([1, 2, 0], 100), CONFIDENCES, 1.0)

    assert 1.0 < right.scale <= 1 / COLDEST
    assert 1 / HOTTEST <= wrong.scale < 0.2


def test_one_correction_after_another_is_one_correction() -> None:
    logits, _ = _honest(5)
    first, then = Correction(0.5, BIAS), Correction(3.0, BIAS[::-1])

    assert then.after(first).apply(logits) == pytest.approx(then.apply(first.apply(logits)))


@pytest.mark.parametrize(
    ("scale", "bias", "wanted"),
    [(3.0, 0.0, "confidences"), (1.0, 2.0, "thresholds"), (3.0, 4.0, "confidences and thresholds")],
)
def test_what_is_wrong_is_what_is_corrected(scale: float, bias: float, wanted: str) -> None:
    logits, labels = _honest(200)

    chosen = choose(try_shapes(scale * logits + bias * BIAS, labels, KNOBS), KNOBS.alpha)

    assert chosen is not None
    assert chosen.shape.name == wanted


def test_an_honest_model_is_changed_no_more_often_than_the_risk_says() -> None:
    knobs = Knobs(folds=3)

    changed = sum(choose(try_shapes(*_honest(60, seed), knobs), knobs.alpha) is not None for seed in range(100))

    assert changed <= 5


def _trial(shape: Shape, gain: float, deviation: float, righted: int = 10, spoilt: int = 0) -> Trial:
    """On 100 rows."""
    changed = np.repeat([1.0, -1.0, 0.0], [righted, spoilt, 100 - righted - spoilt])
    return Trial(shape, gain + deviation * np.tile([1.0, -1.0], 50), changed)


def test_nothing_is_chosen_that_may_be_chance_however_much_it_saves() -> None:
    sure, unsure = _trial(CONFIDENCES, 0.05, 0.1), _trial(THRESHOLDS, 0.5, 4.0)

    assert choose([unsure, sure], 0.05) is sure
    assert choose([unsure], 0.05) is None
    assert choose([_trial(BOTH, 0.0, 0.0)], 0.05) is None


@pytest.mark.parametrize("shape", [THRESHOLDS, BOTH], ids=lambda shape: shape.name)
@pytest.mark.parametrize(("righted", "spoilt"), [(0, 0), (0, 3), (9, 5)])
def test_a_bias_that_does_not_surely_put_more_answers_right_is_not_worth_it_whatever_it_saves(
    shape: Shape, righted: int, spoilt: int
) -> None:
    plain, biased = _trial(CONFIDENCES, 0.1, 0.2, righted=0), _trial(shape, 0.9, 0.1, righted, spoilt)

    assert choose([plain, biased], 0.05) is plain
    assert choose([biased], 0.05) is None


@pytest.mark.parametrize(("gain", "wanted"), [(0.41, CONFIDENCES), (0.45, BOTH)])
def test_more_is_corrected_only_where_it_saves_more_than_its_own_noise(gain: float, wanted: Shape) -> None:
    """The difference has a deviation of 0.2 over 100 rows: 0.02 of its mean."""
    chosen = choose([_trial(CONFIDENCES, 0.4, 0.5), _trial(BOTH, gain, 0.7)], 0.05)

    assert chosen is not None
    assert chosen.shape == wanted


def test_rows_of_each_label_are_spread_over_all_folds() -> None:
    labels = np.repeat([0, 1, 2], [30, 20, 10])

    folds = deal(labels, 10, seed=7)

    for label, each in ((0, 3), (1, 2), (2, 1)):
        assert np.bincount(folds[labels == label], minlength=10).tolist() == [each] * 10


def test_the_loss_of_a_row_is_finite_for_logits_beyond_what_exp_can_hold() -> None:
    assert row_losses(np.array([[1000.0, 0.0]]), np.array([1])).tolist() == [1000.0]
