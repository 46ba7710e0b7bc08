"""What single columns cannot show: found where it is, by sums alone, and nowhere else; held against tests on rows."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_wine
from tests.unit.yardsticks import domain_classifier, mean_discrepancy

from drift.judgement import ColumnDrift, compare
from drift.policy import DEFAULT, DriftPolicy
from drift.report import Report, Scope
from drift.season import Season
from drift.verdict import Evidence, judge
from pawl.profile import EMBEDDING, TOGETHER, Profile

Rows = NDArray[np.float64]
SCOPE = Scope("churn", "3", "2026-07-13T09:00:00.000Z", "2026-07-14T09:00:00.000Z")


def _rows(seed: int, rows: int, correlation: float, width: int = 4) -> Rows:
    """Normal columns, the first two of them correlated: whatever the correlation, each is what it was."""
    drawn = np.random.default_rng(seed).normal(size=(rows, width))
    drawn[:, 1] = correlation * drawn[:, 0] + np.sqrt(1 - correlation**2) * drawn[:, 1]
    return drawn


def _columns(rows: Rows, prefix: str = "c") -> dict[str, Rows]:
    return {f"{prefix}{place}": column for place, column in enumerate(rows.T)}


def _compared(old: Rows, new: Rows, prefix: str = "c", policy: DriftPolicy = DEFAULT) -> dict[str, ColumnDrift]:
    reference = Profile.of(_columns(old, prefix))
    recent = Profile.like(reference)
    recent.update(_columns(new, prefix))
    return {column.column: column for column in compare(reference, recent, policy)}


def _judged(old: Rows, new: Rows, prefix: str = "c") -> Report:
    reference = Profile.of(_columns(old, prefix))
    recent = Profile.like(reference)
    recent.update(_columns(new, prefix))
    return judge(Evidence(reference, recent), SCOPE, policy=DEFAULT, minimum_rows=100)


def test_a_correlation_that_turns_is_found_where_no_column_has_moved() -> None:
    found = _compared(_rows(1, 3000, 0.7), _rows(2, 400, -0.7))

    assert [name for name, column in found.items() if column.has_drifted] == [TOGETHER]
    tie = found[TOGETHER].tie
    assert tie is not None
    assert (tie.columns, tie.measure) == (("c0", "c1"), "correlation")
    assert (tie.before, tie.now) == pytest.approx((0.7, -0.7), abs=0.06)
    assert found[TOGETHER].distance == pytest.approx(1.4, abs=0.1)
    assert found[TOGETHER].discrepancy is not None and found[TOGETHER].discrepancy > 3
    same = _compared(_rows(1, 3000, 0.7), _rows(2, 400, 0.7))[TOGETHER].discrepancy
    assert same is not None and abs(same) < 0.1


def test_names_and_numbers_that_no_longer_go_together_are_found() -> None:
    """Who is in Oslo was young, and is old now: as many as before are in Oslo, and as many as before are old."""

    def draw(seed: int, rows: int, sign: float) -> dict[str, object]:
        generator = np.random.default_rng(seed)
        age = generator.normal(40, 10, rows)
        is_in = sign * (40 - age) / 10 + generator.normal(0, 0.5, rows) > 0
        return {"age": age, "city": np.where(is_in, "Oslo", generator.choice(["Rome", "Bergen"], rows)).tolist()}

    reference = Profile.of(draw(1, 3000, 1.0))  # type: ignore[arg-type]
    recent = Profile.like(reference)
    recent.update(draw(2, 300, -1.0))  # type: ignore[arg-type]

    found = {column.column: column for column in compare(reference, recent)}

    assert [name for name, column in found.items() if column.has_drifted] == [TOGETHER]
    tie = found[TOGETHER].tie
    assert tie is not None and tie.sentence == "correlation of age and city=Oslo"
    assert tie.before < -0.6 and tie.now > 0.6


def test_the_report_says_in_a_sentence_what_no_longer_goes_together() -> None:
    report = _judged(_rows(1, 3000, 0.7), _rows(2, 400, -0.7))

    assert (report.status, report.attribution.kind, report.drifted) == ("drifted", "data", [TOGETHER])
    assert report.sentence == ("churn 3 meets other questions than it was made for: correlation of c0 and c1 moved.")
    (part,) = report.attribution.parts
    assert (part.slice, part.is_share, part.share) == ("correlation of c0 and c1", False, 1.0)
    assert [shape.column for shape in report.distributions] == []


def test_a_report_of_a_stable_window_counts_single_columns_alone() -> None:
    report = _judged(_rows(1, 3000, 0.7), _rows(2, 400, 0.7))

    assert report.sentence == "churn 3 is stable: none of 4 columns has moved beyond chance and its limit."


def test_undrifted_windows_alarm_no_oftener_than_stated() -> None:
    """Columns that are skewed, heavy, whole and rare besides normal ones, and an embedding of heavy tails."""
    generator = np.random.default_rng(3)

    def draw(rows: int) -> dict[str, Rows]:
        plain, turned = _rows(int(generator.integers(1 << 30)), rows, 0.6), generator.standard_t(5, (rows, 6))
        rest = {
            "skewed": np.exp(2 * plain[:, 2]),
            "heavy": generator.standard_t(2, rows),
            "whole": generator.poisson(2, rows).astype(float),
            "rare": (generator.random(rows) < 0.1).astype(float),
        }
        return {**_columns(plain), **rest, **_columns(turned, "projection_")}

    drifted, chanced = 0, {TOGETHER: 0, EMBEDDING: 0}
    for window in range(300):
        if window % 30 == 0:
            reference = Profile.of(draw(2000))
        recent = Profile.like(reference)
        recent.update(draw((100, 300, 1000)[window % 3]))
        columns = [column for column in compare(reference, recent) if column.tie is not None]
        drifted += any(column.has_drifted for column in columns)
        for column in columns:
            chanced[column.column] += column.p_value < 0.05

    assert drifted <= 9
    assert max(chanced.values()) <= 24  # three standard errors above one in twenty are 26
    assert min(chanced.values()) >= 1


def test_a_tiny_change_of_correlation_in_many_rows_is_beyond_chance_but_not_large_enough() -> None:
    found = _compared(_rows(4, 100_000, 0.5), _rows(5, 100_000, 0.45))[TOGETHER]

    assert found.adjusted < 1e-6
    assert found.effect == pytest.approx(0.25, abs=0.06)
    assert not found.has_drifted


def test_a_large_change_of_correlation_in_few_rows_may_be_chance() -> None:
    few = _rows(6, 50, 0.0, width=12)

    found = _compared(_rows(7, 2000, 0.3, width=12), few)[TOGETHER]

    assert found.distance > 0.2
    assert not found.has_drifted


def test_with_fewer_rows_than_a_mean_of_products_needs_nothing_is_said() -> None:
    assert TOGETHER not in _compared(_rows(1, 500, 0.7), _rows(2, 49, -0.7))


def test_an_old_reference_is_judged_by_its_columns_as_before() -> None:
    old = Profile.of(_columns(_rows(1, 500, 0.7)))
    old.joints.clear()
    recent = Profile.like(Profile.from_json(old.to_json()))
    recent.update(_columns(_rows(2, 300, -0.7)))

    assert [column.column for column in compare(old, recent)] == ["c0", "c1", "c2", "c3"]


def test_columns_that_a_policy_ignores_are_not_looked_at_together_either() -> None:
    old, new = _rows(1, 3000, 0.7), _rows(2, 400, -0.7)

    without = _compared(old, new, policy=DriftPolicy(ignored_columns=("c1",)))
    off = _compared(old, new, policy=DriftPolicy(ignored_columns=(TOGETHER,)))

    assert not without[TOGETHER].has_drifted
    assert TOGETHER not in off


def test_an_embedding_that_turns_without_moving_any_direction_is_one_line_of_the_report() -> None:
    report = _judged(_rows(8, 2000, 0.8, width=8), _rows(9, 500, -0.8, width=8), "projection_")

    assert report.drifted == [EMBEDDING]
    assert report.sentence == "churn 3 meets other questions than it was made for: embedding moved."
    (part,) = report.attribution.parts
    assert part.slice == "correlation of projection_0 and projection_1"


def test_an_embedding_that_moves_or_spreads_says_which_direction() -> None:
    old, moved, spread = (_rows(seed, 1500, 0.0, width=8) for seed in (10, 11, 12))
    moved[:, 5] += 0.8
    spread[:, 3] *= 1.8

    ties = [_compared(old, new, "projection_")[EMBEDDING].tie for new in (moved, spread)]

    assert [None if tie is None else tie.sentence for tie in ties] == [
        "mean of projection_5",
        "variance of projection_3",
    ]


def test_columns_that_went_together_so_in_earlier_weeks_have_not_drifted() -> None:
    old, then, now = _rows(15, 3000, 0.7), _rows(16, 2000, -0.7), _rows(17, 500, -0.7)
    reference = Profile.of(_columns(old))
    weeks, recent = Profile.like(reference), Profile.like(reference)
    weeks.update(_columns(then))
    recent.update(_columns(now))

    evidence = Evidence(reference, recent, season=Season((weeks,)))
    report = judge(evidence, SCOPE, policy=DEFAULT, minimum_rows=100)

    (together,) = [column for column in report.columns if column.column == TOGETHER]
    assert (report.status, together.has_drifted) == ("stable", False)
    assert together.effect > 5 > 1 > (together.seasonal_effect or 0.0)


def test_broken_data_explain_a_change_of_what_goes_together() -> None:
    old, new = _rows(13, 3000, 0.7), _rows(14, 2000, -0.7)
    reference = Profile.of(_columns(old))
    recent = Profile.like(reference)
    new[::3, 1] = np.nan
    recent.update(_columns(new))

    report = judge(Evidence(reference, recent), SCOPE, policy=DEFAULT, minimum_rows=100)

    assert TOGETHER in report.drifted
    assert report.attribution.kind == "quality"


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.65])
def test_verdicts_on_random_rows_are_those_of_tests_on_the_rows_themselves(correlation: float) -> None:
    old, new = _rows(20, 500, 0.7), _rows(21, 500, correlation)

    ours = _compared(old, new)[TOGETHER]
    domain, discrepancy = domain_classifier(old, new), mean_discrepancy(old, new, permutations=199)

    is_turned = correlation < 0.5
    assert (ours.p_value < 0.001) == (domain.p_value < 0.001) == (discrepancy.p_value <= 0.01) == is_turned
    assert ours.has_drifted == is_turned


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_verdicts_on_real_measurements_are_those_of_tests_on_the_rows_themselves(load: object) -> None:
    """Each half of the rows against the other, as it is, and with columns shuffled so that only margins are left."""
    rows: Rows = load().data  # type: ignore[operator]
    generator = np.random.default_rng(22)
    mixed = rows[generator.permutation(len(rows))]
    old, same = mixed[::2], mixed[1::2]
    torn = np.column_stack([generator.permutation(column) for column in same.T])

    for new, is_torn in ((same, False), (torn, True)):
        found = _compared(old, new)
        assert found[TOGETHER].has_drifted == is_torn
        assert not any(column.has_drifted for name, column in found.items() if name != TOGETHER)
        assert (mean_discrepancy(old, new, permutations=199).p_value <= 0.01) == is_torn
