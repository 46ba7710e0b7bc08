"""The error of a regression before labels come: in the verdict, its cure, its sentence and its page."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from drift import page
from drift.foresight import estimate_error
from drift.policy import DEFAULT
from drift.report import Report, Scope
from drift.season import Season
from drift.verdict import Evidence, judge
from pawl.expectation import ExpectedError
from pawl.profile import Profile

SCOPE = Scope("prices", "2", "2026-07-13T09:00:00.000Z", "2026-07-14T09:00:00.000Z")
Columns = dict[str, NDArray[np.float64]]


def _rows(seed: int, rows: int, oldest: float = 50.0) -> tuple[Columns, NDArray[np.float64]]:
    """Houses by age and area, and by how much the price that was said of each was off: the older, the more."""
    generator = np.random.default_rng(seed)
    age, area = generator.uniform(0, oldest, rows), generator.normal(100, 20, rows)
    return {"age": age, "area": area}, (1 + 0.2 * age) * generator.choice([-1.0, 1.0], rows)


def _known(rows: int = 5000) -> ExpectedError:
    columns, off = _rows(1, rows)
    return ExpectedError.learn({name: values.tolist() for name, values in columns.items()}, off, np.zeros(rows))


def _judged(oldest: float, season: bool = False) -> Report:
    reference = Profile.of(_rows(1, 5000)[0], {"age": (0.0, 100.0)})
    recent, earlier = Profile.like(reference), Profile.like(reference)
    recent.update(_rows(2, 2000, oldest)[0])
    earlier.update(_rows(3, 4000, oldest)[0])
    weeks = Season((earlier,)) if season else None
    evidence = Evidence(reference, recent, season=weeks, expected=_known())
    return judge(evidence, SCOPE, policy=DEFAULT, minimum_rows=100)


def test_an_error_that_rises_harms_and_asks_for_a_training() -> None:
    report = _judged(oldest=100.0)

    assert report.error is not None and report.error.has_risen
    assert report.error.reference == pytest.approx(6.0, rel=0.02)
    assert report.error.low < report.error.error < report.error.high
    assert report.cure.action == "full_retrain"
    assert report.sentence.startswith(
        "prices 2 meets other questions than it was made for: age moved; estimated error "
    )
    assert f"rises ({report.error.reference:.3g} to {report.error.error:.3g})" in report.sentence


def test_an_error_that_falls_harms_nobody() -> None:
    report = _judged(oldest=20.0)

    assert report.error is not None and not report.error.has_risen
    assert (report.status, report.cure.action) == ("drifted", "nothing")
    assert "; estimated error holds" in report.sentence


def test_undrifted_windows_have_the_reference_s_error() -> None:
    for seed in range(20):
        reference, recent = Profile.of(_rows(1, 5000)[0]), Profile.open()
        recent.update(_rows(100 + seed, 300)[0])

        found = estimate_error(reference, recent, _known(), DEFAULT)

        assert found is not None and not found.has_risen
        assert found.low < 6.0 < found.high


def test_an_error_that_rises_alone_is_a_drift_of_the_answers() -> None:
    policy = replace(DEFAULT, ignored_columns=("age",))
    reference = Profile.of(_rows(1, 5000)[0])
    recent = Profile.open()
    recent.update(_rows(2, 2000, 100.0)[0])

    report = judge(Evidence(reference, recent, expected=_known()), SCOPE, policy=policy, minimum_rows=100)

    assert (report.status, report.attribution.kind, report.drifted) == ("drifted", "prediction", [])


def test_an_error_that_was_as_large_in_earlier_weeks_has_not_risen() -> None:
    report = _judged(oldest=100.0, season=True)

    assert report.error is not None and not report.error.has_risen
    assert report.status == "stable"


def test_without_one_of_its_columns_nothing_is_said_of_the_error() -> None:
    reference = Profile.of(_rows(1, 500)[0])
    recent = Profile.open()
    recent.update({"age": [1.0] * 200})

    assert estimate_error(reference, recent, _known(), DEFAULT) is None
    assert estimate_error(reference, recent, None, DEFAULT) is None


def test_the_page_shows_the_error_with_its_band_and_not_the_accuracy() -> None:
    report = _judged(oldest=100.0)

    told = page.render(report)

    assert report.error is not None
    assert "<h2>Error</h2>" in told and "<h2>Accuracy</h2>" not in told
    assert f'aria-label="Estimated error {report.error.error:.3g}, band ' in told
    assert f"{report.error.error:.4g} on average" in told


def test_the_page_says_of_how_many_rows_nothing_is_known() -> None:
    reference = Profile.of({"fuel": ["oil", "gas"] * 500})
    recent = Profile.like(reference)
    recent.update({"fuel": ["hydrogen"] * 100 + ["oil"] * 300})
    known = ExpectedError.learn({"fuel": ["oil", "gas"] * 500}, np.ones(1000), np.zeros(1000))

    told = page.render(judge(Evidence(reference, recent, expected=known), SCOPE, policy=DEFAULT, minimum_rows=100))

    assert "In 25% of rows nothing is known of errors." in told
