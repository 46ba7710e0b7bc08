import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp, kstwobign, wasserstein_distance

from drift.judgement import compare
from drift.policy import DEFAULT
from drift.report import Report, Scope
from drift.verdict import Evidence, judge
from pawl.profile import NumericSketch, Profile

RANGES = {"confidence": (0.0, 1.0)}


def _answers(
    seed: int, rows: int, shares: Sequence[float] = (0.5, 0.3, 0.2), a: float = 8.0
) -> dict[str, list[object]]:
    """Labels in the given shares, and confidences of a beta distribution over `a` and 2."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(["outage", "billing", "meter"], rows, p=shares)
    return {"confidence": generator.beta(a, 2.0, rows).tolist(), "label": labels.tolist()}


REFERENCE = Profile.of(_answers(1, 4000), RANGES)  # type: ignore[arg-type]


def _recent(seed: int, rows: int, shares: Sequence[float] = (0.5, 0.3, 0.2), a: float = 8.0) -> Profile:
    profile = Profile.like(REFERENCE)
    profile.update(_answers(seed, rows, shares, a))  # type: ignore[arg-type]
    return profile


def _judge(recent: Profile, minimum_rows: int = 100) -> Report:
    scope = Scope("triage", "3", "2026-07-13T09:00:00.000Z", "2026-07-14T09:00:00.000Z")
    return judge(Evidence(REFERENCE, recent), scope, policy=DEFAULT, minimum_rows=minimum_rows)


@pytest.mark.parametrize("seed", range(2, 12))
def test_traffic_like_the_reference_is_stable(seed: int) -> None:
    report = _judge(_recent(seed, 1000))

    assert (report.status, report.drifted) == ("stable", [])
    assert report.score < 0.5


def test_a_shift_of_the_labels_is_found_in_that_column_alone() -> None:
    report = _judge(_recent(2, 1000, shares=(0.1, 0.2, 0.7)))

    assert (report.status, report.drifted) == ("drifted", ["label"])
    assert report.score == max(column.effect for column in report.columns) > 1


def test_a_shift_of_the_confidences_is_found_in_that_column_alone() -> None:
    report = _judge(_recent(2, 1000, a=4.0))

    assert (report.status, report.drifted) == ("drifted", ["confidence"])


def test_the_largest_shift_is_named_first() -> None:
    report = _judge(_recent(2, 1000, shares=(0.0, 0.1, 0.9), a=5.0))

    effects = {column.column: column.effect for column in report.columns}
    assert effects["label"] > effects["confidence"] > 1
    assert report.drifted == ["label", "confidence"]


def test_a_label_never_seen_before_is_a_shift() -> None:
    recent = _recent(2, 600)
    recent.update({**_answers(3, 400), "label": ["tariff"] * 400})  # type: ignore[dict-item]

    assert _judge(recent).drifted == ["label"]


def test_a_tiny_shift_in_a_million_rows_is_beyond_chance_but_not_large_enough() -> None:
    report = _judge(_recent(2, 1_000_000, shares=(0.47, 0.31, 0.22)))

    label = next(column for column in report.columns if column.column == "label")
    assert label.p_value < 0.05 / 2
    assert (label.effect < 1, report.status) == (True, "stable")


def test_what_two_small_samples_show_by_chance_is_taken_off_the_effect() -> None:
    (label,) = [each for each in _judge(_recent(5, 60), minimum_rows=1).columns if each.column == "label"]
    chance = math.sqrt((1 / 60 + 1 / REFERENCE.rows) / (8 * math.log(2))) * math.sqrt(math.pi / 2)  # three labels

    assert label.effect == pytest.approx(max(0.0, (label.distance - chance) / 0.1201), abs=2e-3)
    assert label.effect < label.distance / 0.1201


def test_a_large_effect_that_may_be_chance_scores_just_below_the_limit() -> None:
    recent = Profile.like(REFERENCE)
    recent.update({"confidence": [0.8] * 9, "label": ["meter", "meter", *["outage"] * 7]})

    report = _judge(recent, minimum_rows=1)

    assert max(column.effect for column in report.columns if not column.has_drifted) > 1
    assert {column.score for column in report.columns if not column.has_drifted} == {0.99}


def test_a_large_shift_in_a_handful_of_rows_may_be_chance() -> None:
    recent = Profile.like(REFERENCE)
    recent.update({"confidence": [0.8] * 9, "label": ["meter", "meter", *["outage"] * 7]})

    label = next(column for column in _judge(recent, minimum_rows=1).columns if column.column == "label")
    assert label.effect > 1
    assert not label.has_drifted


@pytest.mark.parametrize(("rows", "status"), [(99, "insufficient"), (100, "drifted")])
def test_a_window_with_too_few_rows_is_not_judged(rows: int, status: str) -> None:
    report = _judge(_recent(2, rows, shares=(0.0, 0.0, 1.0)))

    assert (report.status, report.rows) == (status, rows)
    assert bool(report.columns) == (status != "insufficient")


def test_an_empty_window_is_insufficient_even_when_no_rows_are_needed_elsewhere() -> None:
    report = _judge(Profile.like(REFERENCE))

    assert (report.status, report.score, report.drifted) == ("insufficient", 0.0, [])


def test_a_column_without_values_is_left_out_and_the_others_are_judged() -> None:
    recent = Profile.like(REFERENCE)
    recent.update({"confidence": [float("nan")] * 200, "label": ["meter"] * 200})

    assert [column.column for column in compare(REFERENCE, recent)] == ["label"]


def test_the_tests_behind_the_verdict_are_those_of_scipy() -> None:
    old, new = _answers(1, 4000), _answers(5, 700, shares=(0.45, 0.33, 0.22), a=7.5)
    names = ["billing", "meter", "outage"]
    table = [[answers["label"].count(name) for name in names] for answers in (old, new)]

    by_column = {column.column: column for column in compare(REFERENCE, _recent(5, 700, (0.45, 0.33, 0.22), 7.5))}

    assert by_column["label"].p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue, abs=1e-9)
    distance, effective = ks_2samp(old["confidence"], new["confidence"]).statistic, 4000 * 700 / 4700
    bin_share = 0.01  # more than any bin holds: what binning can hide of the distance
    unlikely, likely = (kstwobign.sf(d * math.sqrt(effective)) for d in (distance, distance - bin_share))
    assert unlikely - 1e-12 <= by_column["confidence"].p_value <= likely


@pytest.mark.parametrize(("columns", "has_drifted"), [(1, True), (40, False)])
def test_the_more_columns_the_more_it_takes_to_alarm(columns: int, has_drifted: bool) -> None:
    names = [f"column {n}" for n in range(columns)]
    reference, recent = (Profile.of({name: ["a"] * a + ["b"] * b for name in names}) for a, b in ((500, 500), (22, 8)))

    drifts = compare(reference, recent)

    assert {drift.has_drifted for drift in drifts} == {has_drifted}
    assert {drift.p_value < 0.05 for drift in drifts} == {True}
    by_hand = (22 / 30 - 0.5) * math.log(22 / 15) + (8 / 30 - 0.5) * math.log(8 / 15)
    assert {drift.stability for drift in drifts} == {round(by_hand, 4)}


def test_numbers_are_compared_in_tenths_of_the_reference() -> None:
    reference = Profile.of({"amount": list(range(1000))}, {"amount": (0.0, 1000.0)})
    recent = Profile.like(reference)
    recent.update({"amount": list(range(500))})

    (drift,) = compare(reference, recent)

    empty, half = 0.5 / 500, 0.1
    shares = np.array([0.2] * 5 + [empty] * 5)
    by_hand = float(((shares / shares.sum() - half) * np.log(shares / shares.sum() / half)).sum())
    assert drift.stability == pytest.approx(by_hand, rel=0.05)
    assert drift.has_drifted


def test_values_outside_the_references_range_count_at_its_edges() -> None:
    recent = Profile.like(REFERENCE)
    recent.update({"confidence": [17.0] * 300, "label": ["outage"] * 300})

    confidence = next(each for each in compare(REFERENCE, recent) if each.column == "confidence")
    assert isinstance(recent.columns["confidence"], NumericSketch)
    assert confidence.has_drifted


def test_a_report_is_plain_json_with_the_drifted_columns() -> None:
    report = _judge(_recent(2, 1000, shares=(0.1, 0.2, 0.7)))

    raw = json.loads(json.dumps(report.to_dict()))

    assert (raw["schema"], raw["model"], raw["version"]) == (2, "triage", "3")
    assert (raw["rows"], raw["reference_rows"]) == (1000, 4000)
    assert (raw["since"], raw["until"]) == ("2026-07-13T09:00:00.000Z", "2026-07-14T09:00:00.000Z")
    assert (raw["status"], raw["drifted"]) == ("drifted", ["label"])
    assert {each["column"] for each in raw["columns"]} == {"confidence", "label"}


def test_a_latency_is_profiled_and_never_judged() -> None:
    reference = Profile.of({"tokens": [1.0, 2.0] * 500, "latency_ms": [10.0, 12.0] * 500})
    recent = Profile.like(reference)
    recent.update({"tokens": [1.0, 2.0] * 500, "latency_ms": [900.0, 1000.0] * 500})

    assert [column.column for column in compare(reference, recent)] == ["tokens"]


@pytest.mark.parametrize(("columns", "role"), [(("tokens",), "data"), (("tokens", "prompt_tokens"), "prediction")])
def test_tokens_are_the_questions_unless_the_prompts_are_counted_apart(columns: Sequence[str], role: str) -> None:
    reference = Profile.of({name: [1.0, 2.0, 3.0] * 50 for name in columns})

    assert {each.column: each.role for each in compare(reference, reference)}["tokens"] == role


def test_outliers_that_hide_a_shift_from_the_wasserstein_distance_do_not_hide_it_from_the_stability_index() -> None:
    generator = np.random.default_rng(4)
    heavy = np.concatenate((generator.normal(0, 1, 5000), [1e6, -1e6]))
    reference = Profile.of({"amount": heavy})
    recent = Profile.like(reference)
    recent.update({"amount": heavy + 1})

    (drift,) = compare(reference, recent)

    assert drift.distance < 0.01
    assert drift.has_drifted and drift.stability > 0.5


def test_the_verdicts_of_large_samples_are_evidentlys() -> None:
    generator = np.random.default_rng(6)
    old = {"near": generator.normal(0, 1, 20_000), "far": generator.normal(0, 1, 20_000)}
    new = {"near": generator.normal(0.05, 1, 20_000), "far": generator.normal(0.15, 1, 20_000)}
    reference = Profile.of(old)
    recent = Profile.like(reference)
    recent.update(new)

    by_column = {column.column: column for column in compare(reference, recent) if column.tie is None}

    for name, column in by_column.items():
        evidently = wasserstein_distance(old[name], new[name]) / np.std(old[name])
        assert column.distance == pytest.approx(evidently, abs=0.002)
        assert column.has_drifted == (evidently >= 0.1)
    assert by_column["near"].p_value < 0.001
