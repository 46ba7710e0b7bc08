"""What labelled predictions teach, against scikit-learn's isotonic regression."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_breast_cancer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from pawl.calibration import Labelled, calibration_error, confidence_counts, isotonic, log_loss, right_rates
from pawl.errors import IncompatibleProfiles

bins = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=30).map(
    lambda pairs: [(min(pair), max(pair)) for pair in pairs]
)
some = bins.filter(lambda pairs: any(rows for _, rows in pairs))


@given(some)
def test_the_curve_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    hits, rows = (np.array(column) for column in zip(*pairs, strict=True))
    filled = np.flatnonzero(rows)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(filled, hits[filled] / rows[filled], rows[filled])

    assert isotonic(hits, rows) == pytest.approx(theirs.predict(np.arange(len(pairs))), abs=1e-9)


@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.booleans()), min_size=1, max_size=50))
def test_the_log_loss_is_scikit_learns(answers: list[tuple[float, bool]]) -> None:
    chances, truth = (np.array(column) for column in zip(*answers, strict=True))

    theirs = metrics.log_loss(truth, chances, labels=[False, True])

    assert log_loss(np.where(truth, chances, 1 - chances)) == pytest.approx(theirs)


def _labelled(seed: int, rows: int, labels: int = 3) -> Labelled:
    generator = np.random.default_rng(seed)
    guess, truth = generator.integers(0, labels, (2, rows))
    return Labelled.of("abcdef"[:labels], guess, generator.random(rows), truth, bins=20)


def test_labels_that_come_in_parts_teach_the_same_in_any_order() -> None:
    first, second, third = (_labelled(seed, 50 + seed) for seed in range(3))

    one, other = first.merged(second).merged(third), third.merged(second.merged(first))

    assert one.to_dict() == other.to_dict()
    assert one.seen.sum() == one.confusion.sum() == 153
    assert one.right.sum() == np.trace(one.confusion)


def test_labelled_counts_survive_json() -> None:
    labelled = _labelled(1, 80)

    again = Labelled.from_dict(json.loads(json.dumps(labelled.to_dict())))

    assert again.to_dict() == labelled.to_dict()
    assert (again.seen == labelled.seen).all() and (again.right == labelled.right).all()


def test_counts_of_other_labels_do_not_add_up() -> None:
    with pytest.raises(IncompatibleProfiles, match="want"):
        _labelled(1, 10).merged(_labelled(1, 10, labels=2))


def test_a_confidence_of_one_falls_into_the_last_bin() -> None:
    assert confidence_counts(1, [0, 0, 0], [0.0, 0.5, 1.0], bins=4).tolist() == [[1, 0, 1, 1]]


def test_the_rates_of_two_labels_share_one_curve() -> None:
    labelled = Labelled.of(("no", "yes"), [0, 0, 1, 1], [0.9, 0.9, 0.6, 0.9], [0, 1, 0, 1], bins=10)

    rates = right_rates(labelled)

    assert rates[1, 9] == 1.0 and rates[1, 6] == pytest.approx(0.0 + 1 / 3)
    assert rates[0] == pytest.approx(1 - rates[1][::-1])


def test_a_label_without_labelled_rows_borrows_from_the_others() -> None:
    labelled = Labelled.of("abc", [0] * 40 + [1] * 40, [0.75] * 80, [0] * 30 + [1] * 40 + [2] * 10, bins=4)

    rates = right_rates(labelled)

    assert rates[2, 3] == pytest.approx(60 / 80)
    assert rates[0, 3] == pytest.approx((30 + 20 * 60 / 80) / (40 + 20))


@pytest.mark.parametrize("source", ["random", "tumours"])
def test_the_calibration_error_is_what_scikit_learns_curve_weighs_up_to(source: str) -> None:
    if source == "random":
        generator = np.random.default_rng(6)
        told = generator.random(2000)
        is_right = generator.random(2000) < told**2
    else:
        features, truth = load_breast_cancer(return_X_y=True)
        chances = LogisticRegression(C=1e-8).fit(features, truth).predict_proba(features)
        told, is_right = chances.max(axis=1), chances.argmax(axis=1) == truth
    share, mean = calibration_curve(is_right, told, n_bins=15, strategy="uniform")
    rows = np.histogram(told, bins=15, range=(0, 1))[0]

    expected = (np.abs(share - mean) * rows[rows > 0]).sum() / told.size

    assert calibration_error(told, is_right) == pytest.approx(expected, abs=1e-12)
    assert expected > 0.01
